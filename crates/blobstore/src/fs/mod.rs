//! Objects as files, `root/xx/<id>`, where `xx` are the last two digits of the id.
//!
//! The file system gives three promises used here: a name made exclusively is made once, a file is
//! durable after fdatasync, a name after an fsync of its directory. No rename, no lock, no mapping.

mod directory;
mod disk;
mod list;
mod names;
mod reader;
mod syscalls;
mod writer;

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::stream::BoxStream;
use tokio::task::{JoinHandle, spawn_blocking};

use crate::{BlobStore, Error, ObjectId, ObjectReader, ObjectWriter};
pub use directory::make_directory;
pub use disk::{Disk, DiskFile, NameIter};
use names::Names;
use reader::ReadBuffers;
use syscalls::Directory;
use writer::{FileWriter, Writing};

/// Keeps objects as files below one directory. A removed id can be created again.
pub struct FileStore {
    disk: Arc<dyn Disk>,
    names: Arc<Names>,
    writing: Arc<Writing>,
    buffers: Arc<ReadBuffers>,
}

impl FileStore {
    /// Opens the store in `root`. Makes that directory (its parent must be there) and the shards
    /// in it where absent, readable for the owner only, and makes them durable.
    pub async fn open(root: &Path) -> Result<FileStore, Error> {
        let action = format!("open the object directory {}", root.display());
        let root = root.to_owned();
        blocking(action.clone(), move || {
            let disk = Directory::open(&root).map_err(|source| Error::io(action, source))?;
            FileStore::on(Arc::new(disk))
        })
        .await
    }

    /// Opens the store on a disk, which may be one of a test. Blocks.
    pub fn on(disk: Arc<dyn Disk>) -> Result<FileStore, Error> {
        let action = format!("make the directories of {disk:?}");
        prepare(&*disk).map_err(|source| Error::io(action, source))?;
        let names = Arc::new(Names::new(Arc::clone(&disk)));
        Ok(FileStore { disk, names, writing: Arc::default(), buffers: Arc::default() })
    }
}

impl fmt::Debug for FileStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileStore").field("disk", &self.disk).finish_non_exhaustive()
    }
}

/// Syncs at every start, not only after making a directory: an earlier start may have been cut
/// between the two.
fn prepare(disk: &dyn Disk) -> io::Result<()> {
    for number in 0..=u8::MAX {
        disk.make_directory(&format!("{number:02x}"))?;
    }
    // The shards' names; what comes into a shard is synced when it comes.
    disk.sync_directory(".")?;
    disk.sync_directory("..")
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
        let (disk, names, writing) = (self.disk.clone(), self.names.clone(), self.writing.clone());
        let (id_made, action_made) = (id.clone(), action.clone());
        let (object, synced) = blocking(action, move || {
            let name_sync = names.begin(&id_made);
            match disk.create(&name(&id_made)) {
                Ok(file) => Ok((writing.adopt(&id_made, file), name_sync.spawn())),
                Err(source) if source.kind() == io::ErrorKind::AlreadyExists => {
                    Err(Error::AlreadyExists { id: id_made })
                }
                Err(source) => Err(Error::io(action_made, source)),
            }
        })
        .await?;
        Ok(Box::new(FileWriter::new(object, 0, 0, Arc::clone(&self.names), synced)))
    }

    async fn resume(&self, id: &ObjectId, offset: u64) -> Result<Box<dyn ObjectWriter>, Error> {
        let (disk, names, writing) = (self.disk.clone(), self.names.clone(), self.writing.clone());
        let id_open = id.clone();
        let resumed = blocking(format!("resume object {id}"), move || {
            let failed = |source| open_error("resume", id_open.clone(), source);
            names.trust(&id_open).map_err(failed)?;
            let name_sync = names.begin(&id_open);
            let file = disk.open_for_writing(&name(&id_open)).map_err(failed)?;
            let object = writing.adopt(&id_open, file);
            let turn = object.take_over(offset)?;
            // The process that created the object may have died before its name was durable.
            Ok((object, turn, name_sync.spawn()))
        });
        let (object, turn, synced) = resumed.await?;
        Ok(Box::new(FileWriter::new(object, turn, offset, Arc::clone(&self.names), synced)))
    }

    async fn open(&self, id: &ObjectId) -> Result<ObjectReader, Error> {
        let file = match self.disk.open_cached(&name(id)) {
            Some(file) => file,
            None => {
                let (disk, id_open) = (Arc::clone(&self.disk), id.clone());
                let opened = blocking(format!("open object {id}"), move || {
                    disk.open_for_reading(&name(&id_open))
                        .map_err(|source| open_error("open", id_open, source))
                });
                opened.await?
            }
        };
        let size = file.size().map_err(|source| Error::io(format!("get the size of object {id}"), source))?;
        let changed_at =
            file.changed_at().map_err(|source| Error::io(format!("get the age of object {id}"), source))?;
        let (id_read, file, buffers) = (id.clone(), file, Arc::clone(&self.buffers));
        let reader = ObjectReader::new(id.clone(), size, move |range| {
            reader::read(id_read.clone(), Arc::clone(&file), range, Arc::clone(&buffers))
        });
        Ok(reader.changed_at(changed_at))
    }

    async fn remove(&self, id: &ObjectId) -> Result<(), Error> {
        let action = format!("remove object {id}");
        let (disk, names, id) = (self.disk.clone(), self.names.clone(), id.clone());
        blocking(action.clone(), move || {
            disk.remove(&name(&id)).map_err(|source| Error::io(action, source))?;
            names.forget(&id);
            Ok(())
        })
        .await
    }

    fn list(&self) -> BoxStream<'static, Result<Vec<ObjectId>, Error>> {
        list::list(Arc::clone(&self.disk))
    }
}

fn open_error(verb: &str, id: ObjectId, source: io::Error) -> Error {
    if source.kind() == io::ErrorKind::NotFound {
        return Error::NotFound { id };
    }
    Error::io(format!("{verb} object {id}"), source)
}
