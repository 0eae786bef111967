//! Writes to one file at a time, and keeps what a dropped future left running away from it.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use async_trait::async_trait;
use tokio::task::JoinHandle;

use super::names::Names;
use super::{DiskFile, blocking, finished};
use crate::{Chunk, Error, ObjectId, ObjectWriter};

/// The objects that a writer, or a system call that outlived its writer, still has open.
#[derive(Default)]
pub(super) struct Writing(Mutex<HashMap<ObjectId, Weak<OpenObject>>>);

/// An object open for writing. All its writers share this one, so that they can't overlap.
pub(super) struct OpenObject {
    id: ObjectId,
    file: Arc<dyn DiskFile>,
    /// Which writer may change the file, held during each change. A write whose future was dropped
    /// runs on in its thread; without this it could land behind the cut of a later resume.
    turn: Mutex<u64>,
    writing: Arc<Writing>,
}

impl Writing {
    /// The open object of this id: the one there is, else a new one around `file`.
    pub(super) fn adopt(self: &Arc<Writing>, id: &ObjectId, file: Arc<dyn DiskFile>) -> Arc<OpenObject> {
        let mut objects = lock(&self.0);
        if let Some(open) = objects.get(id).and_then(Weak::upgrade) {
            return open;
        }
        let (id, turn, writing) = (id.clone(), Mutex::new(0), Arc::clone(self));
        let object = Arc::new(OpenObject { id: id.clone(), file, turn, writing });
        objects.insert(id, Arc::downgrade(&object));
        object
    }
}

impl OpenObject {
    /// Waits for the change under way, cuts the file to `offset` and returns the turn of the writer
    /// that is the only one from now on.
    pub(super) fn take_over(&self, offset: u64) -> Result<u64, Error> {
        let failed = |source| Error::io(format!("cut object {} to {offset} bytes", self.id), source);
        let mut turn = lock(&self.turn);
        let found = self.file.size().map_err(failed)?;
        if found < offset {
            return Err(Error::Short { id: self.id.clone(), found, wanted: offset });
        }
        *turn += 1;
        self.file.truncate(offset).map_err(failed)?;
        Ok(*turn)
    }
}

impl Drop for OpenObject {
    fn drop(&mut self) {
        let mut objects = lock(&self.writing.0);
        // A resume may have put its own object here after the last holder of this one let go.
        if objects.get(&self.id).is_some_and(|object| object.strong_count() == 0) {
            objects.remove(&self.id);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(super) struct FileWriter {
    object: Arc<OpenObject>,
    turn: u64,
    offset: u64,
    names: Arc<Names>,
    /// The fsync of the directory, until it has been awaited.
    name: Option<JoinHandle<io::Result<()>>>,
    /// Unset for the length of each call, so that one that fails or is dropped leaves it unset.
    usable: bool,
}

impl FileWriter {
    pub(super) fn new(
        object: Arc<OpenObject>,
        turn: u64,
        offset: u64,
        names: Arc<Names>,
        name: JoinHandle<io::Result<()>>,
    ) -> FileWriter {
        FileWriter { object, turn, offset, names, name: Some(name), usable: true }
    }

    fn begin(&mut self) -> Result<(), Error> {
        if !std::mem::take(&mut self.usable) {
            return Err(Error::Poisoned { id: self.object.id.clone() });
        }
        Ok(())
    }

    async fn change(
        &self,
        verb: &str,
        work: impl FnOnce(&dyn DiskFile) -> io::Result<()> + Send + 'static,
    ) -> Result<(), Error> {
        let (object, mine) = (Arc::clone(&self.object), self.turn);
        let action = format!("{verb} object {}", object.id);
        blocking(action.clone(), move || {
            let turn = lock(&object.turn);
            if *turn != mine {
                return Err(Error::Poisoned { id: object.id.clone() });
            }
            work(&*object.file).map_err(|source| Error::io(action, source))
        })
        .await
    }
}

#[async_trait]
impl ObjectWriter for FileWriter {
    async fn write(&mut self, chunk: Chunk) -> Result<(), Error> {
        self.begin()?;
        let (offset, length) = (self.offset, chunk.len() as u64);
        self.change("write", move |file| file.write_at(&chunk, offset)).await?;
        self.offset += length;
        self.usable = true;
        Ok(())
    }

    async fn sync(&mut self) -> Result<(), Error> {
        self.begin()?;
        let (names, id) = (Arc::clone(&self.names), self.object.id.clone());
        let sync = move |file: &dyn DiskFile| file.sync_data().inspect_err(|_| names.lose(&id));
        self.change("sync", sync).await?;
        if let Some(name) = self.name.take() {
            let action = format!("sync the directory of object {}", self.object.id);
            let synced = finished(action.clone(), name).await?;
            synced.map_err(|source| Error::io(action, source))?;
        }
        self.usable = true;
        Ok(())
    }

    fn offset(&self) -> u64 {
        self.offset
    }
}
