//! Where the workspace and its cache are, and cargo run inside them.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

pub(crate) struct Workspace {
    pub(crate) root: PathBuf,
    /// `$XDG_CACHE_HOME/wharfinger`: all that is built or installed, shared by every clone.
    pub(crate) cache: PathBuf,
}

impl Workspace {
    pub(crate) fn find() -> Result<Self> {
        // Read when run, not when compiled: clones may share a target directory.
        let manifest = std::env::var_os("CARGO_MANIFEST_DIR")
            .context("CARGO_MANIFEST_DIR is not set; run it as `cargo xtask`")?;
        let root = Path::new(&manifest).ancestors().nth(2).context("xtask is not in crates/xtask")?;
        let cache = match std::env::var_os("XDG_CACHE_HOME") {
            Some(cache) => PathBuf::from(cache),
            None => {
                let home = std::env::var_os("HOME").context("neither XDG_CACHE_HOME nor HOME is set")?;
                Path::new(&home).join(".cache")
            }
        };
        Ok(Self { root: root.to_owned(), cache: cache.join("wharfinger") })
    }

    /// Installed tools.
    pub(crate) fn bin(&self) -> PathBuf {
        self.cache.join("bin")
    }

    pub(crate) fn target(&self) -> PathBuf {
        self.cache.join("target")
    }

    /// cargo at the root, building into the cache, with the cache's tools first on PATH.
    pub(crate) fn cargo<I: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = I>) -> Result<Command> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path = std::env::join_paths([self.bin()].into_iter().chain(std::env::split_paths(&path)))?;
        let mut command = Command::new("cargo");
        command.args(arguments).current_dir(&self.root);
        command.env("CARGO_TARGET_DIR", self.target()).env("PATH", path);
        Ok(command)
    }

    /// Takes the cache until the result is dropped; waits for another `cargo xtask`.
    pub(crate) fn lock(&self) -> Result<File> {
        fs::create_dir_all(self.target())?;
        let path = self.cache.join("lock");
        let lock = File::create(&path).with_context(|| path.display().to_string())?;
        if lock.try_lock().is_err() {
            eprintln!("waiting for another `cargo xtask` (lock {})", path.display());
            lock.lock()?;
        }
        self.forget_other_clone()?;
        Ok(lock)
    }

    /// Cargo tells fresh from stale by file times, whatever the clone: without this, a clone
    /// older than the last build of another clone would be given the other clone's program.
    fn forget_other_clone(&self) -> Result<()> {
        let stamp = self.target().join("clone");
        let root = self.root.to_string_lossy();
        if fs::read_to_string(&stamp).is_ok_and(|last| last == root) {
            return Ok(());
        }
        let fuzz = format!("fuzz/{}-unknown-linux-gnu/release", std::env::consts::ARCH);
        for profile in ["debug", "release", &fuzz] {
            let Ok(entries) = fs::read_dir(self.target().join(profile).join(".fingerprint")) else {
                continue;
            };
            for entry in entries {
                let entry = entry?;
                let name = entry.file_name();
                let name = name.to_string_lossy();
                if name.starts_with("wharfinger") || name.starts_with("xtask") {
                    fs::remove_dir_all(entry.path())?;
                }
            }
        }
        fs::write(&stamp, root.as_bytes())?;
        Ok(())
    }
}

/// Runs the command with its output passed through; an error names it and its status.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let shown = shown(command);
    let status = command.status().with_context(|| format!("cannot run `{shown}`; is it installed?"))?;
    if !status.success() {
        bail!("`{shown}`: {status}");
    }
    Ok(())
}

fn shown(command: &Command) -> String {
    let words = [command.get_program()].into_iter().chain(command.get_args());
    words.map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ")
}
