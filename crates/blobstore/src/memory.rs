//! Objects in memory, for tests and for what may be lost.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use futures_util::{StreamExt, stream};

use crate::{BlobStore, Chunk, Error, LIST_PAGE, ObjectId, ObjectReader, ObjectWriter};

const PIECE: u64 = 256 * 1024;

/// Keeps objects in memory; a sync does nothing. A removed id can be created again.
#[derive(Default)]
pub struct MemoryStore {
    objects: Mutex<HashMap<ObjectId, Arc<Mutex<Object>>>>,
}

#[derive(Default)]
struct Object {
    bytes: Vec<u8>,
    /// Which of the object's writers may write: the one that was made last.
    writer: u64,
}

impl MemoryStore {
    /// Makes an empty store.
    pub fn new() -> MemoryStore {
        MemoryStore::default()
    }

    fn find(&self, id: &ObjectId) -> Result<Arc<Mutex<Object>>, Error> {
        lock(&self.objects).get(id).cloned().ok_or_else(|| Error::NotFound { id: id.clone() })
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let objects = lock(&self.objects).len();
        f.debug_struct("MemoryStore").field("objects", &objects).finish()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[async_trait]
impl BlobStore for MemoryStore {
    async fn create(&self, id: &ObjectId) -> Result<Box<dyn ObjectWriter>, Error> {
        match lock(&self.objects).entry(id.clone()) {
            Entry::Occupied(_) => Err(Error::AlreadyExists { id: id.clone() }),
            Entry::Vacant(entry) => {
                let object = Arc::clone(entry.insert(Arc::default()));
                Ok(Box::new(MemoryWriter { id: id.clone(), object, writer: 0, offset: 0 }))
            }
        }
    }

    async fn resume(&self, id: &ObjectId, offset: u64) -> Result<Box<dyn ObjectWriter>, Error> {
        let object = self.find(id)?;
        let writer = {
            let mut locked = lock(&object);
            let found = locked.bytes.len() as u64;
            if found < offset {
                return Err(Error::Short { id: id.clone(), found, wanted: offset });
            }
            locked.bytes.truncate(usize::try_from(offset).unwrap_or(usize::MAX));
            locked.writer += 1;
            locked.writer
        };
        Ok(Box::new(MemoryWriter { id: id.clone(), object, writer, offset }))
    }

    async fn open(&self, id: &ObjectId) -> Result<ObjectReader, Error> {
        let object = self.find(id)?;
        let size = lock(&object).bytes.len() as u64;
        let source_id = id.clone();
        Ok(ObjectReader::new(id.clone(), size, move |range| {
            let (source_id, object) = (source_id.clone(), Arc::clone(&object));
            let pieces = range.clone().step_by(PIECE as usize).map(move |start| {
                let piece = start..range.end.min(start + PIECE);
                copy(&source_id, &object, piece)
            });
            stream::iter(pieces).boxed()
        }))
    }

    async fn remove(&self, id: &ObjectId) -> Result<(), Error> {
        lock(&self.objects).remove(id);
        Ok(())
    }

    fn list(&self) -> BoxStream<'static, Result<Vec<ObjectId>, Error>> {
        let ids: Vec<ObjectId> = lock(&self.objects).keys().cloned().collect();
        let pages: Vec<_> = ids.chunks(LIST_PAGE).map(|page| Ok(page.to_vec())).collect();
        stream::iter(pages).boxed()
    }
}

fn copy(id: &ObjectId, object: &Mutex<Object>, range: Range<u64>) -> Result<Bytes, Error> {
    let object = lock(object);
    let found = object.bytes.len() as u64;
    let bounds = usize::try_from(range.start).ok().zip(usize::try_from(range.end).ok());
    bounds
        .and_then(|(start, end)| object.bytes.get(start..end))
        .map(Bytes::copy_from_slice)
        .ok_or_else(|| Error::Short { id: id.clone(), found, wanted: range.end })
}

struct MemoryWriter {
    id: ObjectId,
    object: Arc<Mutex<Object>>,
    writer: u64,
    offset: u64,
}

impl MemoryWriter {
    fn in_turn(&self) -> Result<MutexGuard<'_, Object>, Error> {
        let object = lock(&self.object);
        if object.writer != self.writer {
            return Err(Error::Poisoned { id: self.id.clone() });
        }
        Ok(object)
    }
}

#[async_trait]
impl ObjectWriter for MemoryWriter {
    async fn write(&mut self, chunk: Chunk) -> Result<(), Error> {
        self.in_turn()?.bytes.extend_from_slice(&chunk);
        self.offset += chunk.len() as u64;
        Ok(())
    }

    async fn sync(&mut self) -> Result<(), Error> {
        self.in_turn().map(drop)
    }

    fn offset(&self) -> u64 {
        self.offset
    }
}
