//! Objects as files, `root/xx/<id>`, where `xx` are the last two digits of the id.
//!
//! The file system gives three promises used here: a name made exclusively is made once, a file is
//! durable after fdatasync, a name after an fsync of its directory. No rename, no lock, no mapping.

mod list;
mod reader;
mod syscalls;
mod writer;

use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::stream::BoxStream;
use tokio::task::{JoinHandle, spawn_blocking};

use crate::{BlobStore, Error, ObjectId, ObjectReader, ObjectWriter};
use reader::ReadBuffers;
use writer::{FileWriter, Writing};

/// Keeps objects as files below one directory. A removed id can be created again.
pub struct FileStore {
    path: PathBuf,
    root: Arc<OwnedFd>,
    writing: Arc<Writing>,
    buffers: Arc<ReadBuffers>,
}

impl FileStore {
    /// Opens the store in `root`. Makes that directory (its parent must be there) and the shards
    /// in it where absent, readable for the owner only, and makes them durable.
    pub async fn open(root: &Path) -> Result<FileStore, Error> {
        let path = root.to_owned();
        let action = format!("open the object directory {}", path.display());
        let opened = blocking(action.clone(), {
            let path = path.clone();
            move || prepare(&path).map_err(|source| Error::io(action, source))
        });
        Ok(FileStore {
            root: Arc::new(opened.await?),
            path,
            writing: Arc::default(),
            buffers: Arc::default(),
        })
    }

    /// Starts the fsync that makes the name of the object durable.
    fn sync_name(&self, id: &ObjectId) -> JoinHandle<io::Result<()>> {
        let (root, shard) = (Arc::clone(&self.root), shard(id).to_owned());
        spawn_blocking(move || syscalls::sync_directory(&root, &shard))
    }
}

impl fmt::Debug for FileStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileStore").field("path", &self.path).finish_non_exhaustive()
    }
}

/// Syncs at every start, not only after making a directory: an earlier start may have been cut
/// between the two.
fn prepare(path: &Path) -> io::Result<OwnedFd> {
    syscalls::make_directory(path)?;
    let root = syscalls::open_directory(path)?;
    for number in 0..=u8::MAX {
        syscalls::make_directory(&path.join(format!("{number:02x}")))?;
    }
    // The shards' names; what comes into a shard is synced when it comes.
    syscalls::sync_directory(&root, ".")?;
    syscalls::sync_directory(&root, "..")?;
    Ok(root)
}

/// The last two digits of the id: those are random, its beginning is the time.
fn shard(id: &ObjectId) -> &str {
    let text = id.as_str();
    text.get(text.len().saturating_sub(2)..).unwrap_or(text)
}

fn name(id: &ObjectId) -> String {
    format!("{}/{id}", shard(id))
}

/// Runs what may block on a thread for that. Dropping the future does not stop it.
async fn blocking<T: Send + 'static>(
    action: String,
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    finished(action, spawn_blocking(work)).await?
}

/// The end of a blocking task, which is cut short only by a panic or the end of the runtime.
async fn finished<T>(action: String, task: JoinHandle<T>) -> Result<T, Error> {
    task.await.map_err(|stopped| Error::Io { action, source: io::Error::other(stopped) })
}

#[async_trait]
impl BlobStore for FileStore {
    async fn create(&self, id: &ObjectId) -> Result<Box<dyn ObjectWriter>, Error> {
        let action = format!("create object {id}");
        let (root, writing) = (Arc::clone(&self.root), Arc::clone(&self.writing));
        let (id_made, action_made) = (id.clone(), action.clone());
        let object = blocking(action, move || match syscalls::create(&root, &name(&id_made)) {
            Ok(file) => Ok(writing.adopt(&id_made, file)),
            Err(source) if source.kind() == io::ErrorKind::AlreadyExists => {
                Err(Error::AlreadyExists { id: id_made })
            }
            Err(source) => Err(Error::io(action_made, source)),
        });
        Ok(Box::new(FileWriter::new(object.await?, 0, 0, self.sync_name(id))))
    }

    async fn resume(&self, id: &ObjectId, offset: u64) -> Result<Box<dyn ObjectWriter>, Error> {
        let (root, writing, id_open) = (Arc::clone(&self.root), Arc::clone(&self.writing), id.clone());
        let resumed = blocking(format!("resume object {id}"), move || {
            let file = syscalls::open_for_writing(&root, &name(&id_open))
                .map_err(|source| open_error("resume", id_open.clone(), source))?;
            let object = writing.adopt(&id_open, file);
            let turn = object.take_over(offset)?;
            Ok((object, turn))
        });
        let (object, turn) = resumed.await?;
        // The process that created the object may have died before its name was durable.
        Ok(Box::new(FileWriter::new(object, turn, offset, self.sync_name(id))))
    }

    async fn open(&self, id: &ObjectId) -> Result<ObjectReader, Error> {
        let file = match syscalls::open_cached(&self.root, &name(id)) {
            Some(file) => file,
            None => {
                let (root, id_open) = (Arc::clone(&self.root), id.clone());
                let opened = blocking(format!("open object {id}"), move || {
                    syscalls::open_for_reading(&root, &name(&id_open))
                        .map_err(|source| open_error("open", id_open, source))
                });
                opened.await?
            }
        };
        let size = syscalls::size(&file)
            .map_err(|source| Error::io(format!("get the size of object {id}"), source))?;
        let changed_at = syscalls::changed_at(&file)
            .map_err(|source| Error::io(format!("get the age of object {id}"), source))?;
        let (id_read, file, buffers) = (id.clone(), Arc::new(file), Arc::clone(&self.buffers));
        let reader = ObjectReader::new(id.clone(), size, move |range| {
            reader::read(id_read.clone(), Arc::clone(&file), range, Arc::clone(&buffers))
        });
        Ok(reader.changed_at(changed_at))
    }

    async fn remove(&self, id: &ObjectId) -> Result<(), Error> {
        let action = format!("remove object {id}");
        let (root, name) = (Arc::clone(&self.root), name(id));
        blocking(action.clone(), move || {
            syscalls::remove(&root, &name).map_err(|source| Error::io(action, source))
        })
        .await
    }

    fn list(&self) -> BoxStream<'static, Result<Vec<ObjectId>, Error>> {
        list::list(Arc::clone(&self.root))
    }
}

fn open_error(verb: &str, id: ObjectId, source: io::Error) -> Error {
    if source.kind() == io::ErrorKind::NotFound {
        return Error::NotFound { id };
    }
    Error::io(format!("{verb} object {id}"), source)
}
