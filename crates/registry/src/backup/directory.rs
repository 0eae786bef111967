//! The directory that a backup is in.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tokio::task::spawn_blocking;
use wharfinger_blobstore::{ObjectId, make_directory};
use wharfinger_metastore::{CopiedRows, RowCounts};
use wharfinger_types::{Algorithm, Digest, Hasher, Timestamp};

use super::BackupReport;
use crate::Error;

const FORMAT: u32 = 1;
const DESCRIPTION: &str = "backup.json";
const UNFINISHED: &str = "unfinished";
const OBJECTS: &str = "objects";
const LOCK: &str = "lock";
const METADATA: &str = "metadata-";
/// Entries read at once.
const PAGE: usize = 64;

/// A file and its digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Named {
    file: String,
    bytes: u64,
    digest: String,
}

/// What `backup.json` holds, followed by its own digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Description {
    format: u32,
    created_at: String,
    pub(crate) metadata: Named,
    pub(crate) rows: RowCounts,
    /// Objects that are needed, and their bytes.
    pub(crate) objects: u64,
    pub(crate) bytes: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sealed {
    backup: Description,
    digest: String,
}

/// A backup's directory.
#[derive(Debug)]
pub(crate) struct Directory {
    path: PathBuf,
    was_cut_off: bool,
    /// Held by who writes.
    _lock: Option<File>,
}

/// A blob of a backup.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) id: i64,
    pub(crate) digest: Digest,
    pub(crate) object: ObjectId,
    pub(crate) size: u64,
    /// Its object is not in the backup.
    pub(crate) is_damaged: bool,
}

impl Directory {
    /// Takes a directory over that is empty, not there yet, or holds a backup.
    pub(crate) async fn open_for_backup(path: &Path) -> Result<Directory, Error> {
        let path = path.to_owned();
        blocking("use", path, |path| {
            let path = &make_directory(path)?;
            let names = fs::read_dir(path)?.map(|file| Ok(file?.file_name()));
            let names: Vec<_> = names.collect::<io::Result<_>>()?;
            // One that was cut off at once has its lock only.
            let is_new = names.iter().all(|name| name == LOCK);
            if !is_new && !names.iter().any(|name| name == DESCRIPTION || name == UNFINISHED) {
                return Err(refused(
                    "it holds files, but no backup: give an empty one, or that of an earlier backup",
                ));
            }
            let lock = private().create(true).write(true).open(path.join(LOCK))?;
            if lock.try_lock().is_err() {
                return Err(refused("another backup into it is under way"));
            }
            let was_cut_off = path.join(UNFINISHED).exists();
            // Durable with the name of the object directory, before there is an object.
            private().create(true).write(true).open(path.join(UNFINISHED))?;
            // The last description stays in force: only what it does not name goes.
            let named = read_description(path).ok().map(|description| description.metadata.file);
            remove_metadata(path, named.as_deref())?;
            Ok(Directory { path: path.to_owned(), was_cut_off, _lock: Some(lock) })
        })
        .await
    }

    /// Opens a finished backup and checks that its metadata is what was written.
    pub(crate) async fn open_finished(path: &Path) -> Result<(Directory, Description), Error> {
        let path = path.to_owned();
        blocking("read the backup in", path, |path| {
            let description = read_description(path)?;
            let metadata = path.join(&description.metadata.file);
            let mut hasher = Hasher::new(Algorithm::Sha256);
            let mut file = File::open(&metadata)?;
            let mut buffer = vec![0; 1 << 18];
            loop {
                let read = file.read(&mut buffer)?;
                if read == 0 {
                    break;
                }
                hasher.update(buffer.get(..read).unwrap_or_default());
            }
            if hasher.finish().as_str() != description.metadata.digest {
                return Err(refused(&format!("{} has other bytes than were written", metadata.display())));
            }
            Ok((Directory { path: path.to_owned(), was_cut_off: false, _lock: None }, description))
        })
        .await
    }

    /// Whether the last backup into it did not end.
    pub(crate) fn was_cut_off(&self) -> bool {
        self.was_cut_off
    }

    pub(crate) fn objects(&self) -> PathBuf {
        self.path.join(OBJECTS)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    pub(crate) fn metadata_path(&self, metadata: &Named) -> PathBuf {
        self.path.join(&metadata.file)
    }

    pub(crate) fn new_metadata_file(&self) -> String {
        format!("{METADATA}{}.jsonl", ObjectId::fresh())
    }

    /// The blobs that the metadata names.
    pub(crate) fn entries(&self, metadata: &Named) -> Entries {
        Entries { path: self.metadata_path(metadata), rows: None }
    }

    /// Makes the metadata, whose objects are all here, the backup.
    pub(crate) async fn switch_to(
        &self,
        metadata: Named,
        report: &BackupReport,
        now: Timestamp,
    ) -> Result<(), Error> {
        let description = Description {
            format: FORMAT,
            created_at: now.to_string(),
            metadata,
            rows: report.rows.clone(),
            objects: report.objects,
            bytes: report.bytes,
        };
        blocking("write the description to", self.path.clone(), move |path| {
            let unfinished = path.join(format!("{DESCRIPTION}.new"));
            let mut file = private().create(true).truncate(true).write(true).open(&unfinished)?;
            file.write_all(seal(description)?.as_bytes())?;
            file.sync_all()?;
            // The names of the metadata and of what stands beside it.
            sync(path)?;
            fs::rename(unfinished, path.join(DESCRIPTION))?;
            sync(path)
        })
        .await
    }

    /// Ends a backup: what is left is all needed.
    pub(crate) async fn end(&self) -> Result<(), Error> {
        blocking("clear", self.path.clone(), |path| {
            remove_metadata(path, Some(&read_description(path)?.metadata.file))?;
            fs::remove_file(path.join(UNFINISHED))?;
            sync(path)
        })
        .await
    }
}

/// The blobs of a copy of the metadata, page by page.
#[derive(Debug)]
pub(crate) struct Entries {
    path: PathBuf,
    rows: Option<CopiedRows<BufReader<File>>>,
}

impl Entries {
    /// The next ones; none at the end.
    pub(crate) async fn next_page(&mut self) -> Result<Vec<Entry>, Error> {
        let rows = self.rows.take();
        let (rows, page) = blocking("read", self.path.clone(), |path| {
            let columns = &["id", "digest", "object", "size_bytes", "damaged_at"];
            let mut rows = match rows {
                Some(rows) => rows,
                None => CopiedRows::new(BufReader::new(File::open(path)?), "blob", columns),
            };
            let page: io::Result<Vec<Entry>> =
                rows.by_ref().take(PAGE).map(|row| entry(&row.map_err(io::Error::other)?)).collect();
            Ok((rows, page?))
        })
        .await?;
        self.rows = Some(rows);
        Ok(page)
    }
}

fn entry(row: &[serde_json::Value]) -> io::Result<Entry> {
    let [id, digest, object, size, damaged_at] = row else {
        return Err(refused("a row of blob is too short"));
    };
    let read = || {
        Some(Entry {
            id: id.as_i64()?,
            digest: digest.as_str()?.parse().ok()?,
            object: object.as_str()?.parse().ok()?,
            size: size.as_u64()?,
            is_damaged: !damaged_at.is_null(),
        })
    };
    read().ok_or_else(|| refused(&format!("the row of blob {digest} can't be read")))
}

/// A file in the making, hashed as it is written.
#[derive(Debug)]
pub(crate) struct Hashing {
    file: File,
    hasher: Hasher,
    bytes: u64,
}

impl Write for Hashing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.hasher.update(bytes.get(..written).unwrap_or_default());
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

pub(crate) async fn create(path: &Path) -> Result<BufWriter<Hashing>, Error> {
    blocking("write", path.to_owned(), |path| {
        let file = private().create_new(true).write(true).open(path)?;
        let hashing = Hashing { file, hasher: Hasher::new(Algorithm::Sha256), bytes: 0 };
        Ok(BufWriter::with_capacity(1 << 18, hashing))
    })
    .await
}

/// Makes the bytes of the file durable; its name is by [`Directory::switch_to`].
pub(crate) async fn finish(file: String, written: BufWriter<Hashing>) -> Result<Named, Error> {
    blocking("write", PathBuf::from(&file), move |_| {
        let Hashing { file: written, hasher, bytes } =
            written.into_inner().map_err(io::IntoInnerError::into_error)?;
        written.sync_all()?;
        Ok(Named { file, bytes, digest: hasher.finish().to_string() })
    })
    .await
}

fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.mode(0o600);
    options
}

fn sync(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

fn refused(reason: &str) -> io::Error {
    io::Error::other(reason.to_owned())
}

fn seal(backup: Description) -> io::Result<String> {
    let digest = Digest::sha256(&serde_json::to_vec(&backup)?).to_string();
    Ok(serde_json::to_string(&Sealed { backup, digest })?)
}

fn read_description(path: &Path) -> io::Result<Description> {
    let file = path.join(DESCRIPTION);
    let text = fs::read_to_string(&file).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => refused("it holds no finished backup: there is no backup.json"),
        kind => io::Error::new(kind, error),
    })?;
    let is_ours = |sealed: &Sealed| sealed.backup.format == FORMAT;
    let sealed = serde_json::from_str::<Sealed>(&text).ok().filter(is_ours);
    let backup = sealed.ok_or_else(|| refused("backup.json is not one that this program wrote"))?.backup;
    // Byte by byte: whoever flipped one, be it in the digest, is found.
    if seal(backup.clone())? != text {
        return Err(refused("backup.json has other bytes than were written"));
    }
    Ok(backup)
}

fn remove_metadata(path: &Path, but: Option<&str>) -> io::Result<()> {
    for file in fs::read_dir(path)? {
        let name = file?.file_name();
        let name = name.to_string_lossy();
        if name.starts_with(METADATA) && Some(&*name) != but {
            fs::remove_file(path.join(&*name))?;
        }
    }
    Ok(())
}

/// Does what may block, and says what was to be done where if it fails.
async fn blocking<T: Send + 'static>(
    verb: &'static str,
    path: PathBuf,
    work: impl FnOnce(&Path) -> io::Result<T> + Send + 'static,
) -> Result<T, Error> {
    let done = spawn_blocking(move || {
        work(&path).map_err(|error| Error::Directory(format!("cannot {verb} {}: {error}", path.display())))
    });
    done.await.map_err(|_| Error::Stopping)?
}
