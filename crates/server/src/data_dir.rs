//! The data directory: made, checked and locked before anything in it is touched.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use rustix::fs::{FlockOperation, Mode};
use wharfinger_blobstore::make_directory;

/// A data directory that this process owns for as long as the value lives.
#[derive(Debug)]
pub(crate) struct DataDir {
    path: PathBuf,
    _lock: File,
}

/// Marks a data directory that a restore is filling.
pub(crate) const RESTORING: &str = "restoring";

/// The control socket of a data directory.
pub(crate) fn control_socket(data_dir: &Path) -> PathBuf {
    data_dir.join("control.sock")
}

impl DataDir {
    /// Makes the directory if need be and takes it over.
    pub(crate) fn open(path: &Path) -> anyhow::Result<DataDir> {
        let shown = path.display();
        // Whatever is made from here on is the owner's alone: keys, database, objects, socket.
        rustix::process::umask(Mode::RWXG | Mode::RWXO);
        let path = make_directory(path).with_context(|| {
            format!("cannot make the data directory {shown}: choose another with --data-dir")
        })?;
        let mode = std::fs::metadata(&path)?.permissions().mode();
        if mode & 0o022 != 0 {
            bail!(
                "the data directory {shown} can be written by others (mode {:o}): chmod 700 it",
                mode & 0o777
            );
        }
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(path.join("lock"))
            .with_context(|| format!("cannot write to the data directory {shown}: check its owner and mode, or choose another with --data-dir"))?;
        if rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            bail!(
                "the data directory {shown} is in use by another wharfinger process: stop that one, or choose another with --data-dir"
            );
        }
        Ok(DataDir { path, _lock: lock })
    }

    /// Refuses a directory that a restore has not finished.
    pub(crate) fn require_whole(&self) -> anyhow::Result<()> {
        if self.join(RESTORING).exists() {
            bail!(
                "a restore into the data directory {} was cut off: run `wharfinger restore` again, or serve another directory",
                self.path.display()
            );
        }
        Ok(())
    }

    /// Refuses a directory that holds anything but what a restore that was cut off has left.
    pub(crate) fn require_empty(&self) -> anyhow::Result<()> {
        let was_cut_off = self.join(RESTORING).exists();
        for entry in std::fs::read_dir(&self.path).context("cannot list the data directory")? {
            let name = entry?.file_name();
            let name = name.to_string_lossy();
            let is_left = name == RESTORING || name == "objects" || name.starts_with("wharfinger.db");
            if name != "lock" && !(was_cut_off && is_left) {
                bail!(
                    "the data directory {} is not empty, it has `{name}`: restore into an empty one",
                    self.path.display()
                );
            }
        }
        Ok(())
    }

    /// Removes a file for good: after a power cut it is not back.
    pub(crate) fn remove_durably(&self, name: &str) -> std::io::Result<()> {
        std::fs::remove_file(self.join(name))?;
        File::open(&self.path)?.sync_all()
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// A file's path in the directory.
    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Writes a file that only the owner may read, durably: its bytes and its name are synced.
    pub(crate) fn write_private(&self, name: &str, text: &str) -> std::io::Result<()> {
        let unfinished = self.join(&format!("{name}.new"));
        let mut file =
            OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&unfinished)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        // Renamed when whole: nobody reads half of it.
        std::fs::rename(&unfinished, self.join(name))?;
        File::open(&self.path)?.sync_all()
    }

    /// Removes a file; one that is not there is no error.
    pub(crate) fn remove(&self, name: &str) {
        if let Err(error) = std::fs::remove_file(self.join(name))
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(file = name, %error, "cannot remove");
        }
    }
}
