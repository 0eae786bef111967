//! What every adapter offers: create, resume, open and remove an object.
//!
//! No word in here assumes a file: an object may as well be parts in a bucket or encrypted bytes.

use std::fmt;
use std::ops::Range;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};

use crate::{Chunk, Error, ObjectId};

/// Keeps objects. All calls may run at the same time, on the same object too.
#[async_trait]
pub trait BlobStore: Send + Sync + fmt::Debug {
    /// Makes an empty object and its writer. [`Error::AlreadyExists`] if the id is in use.
    ///
    /// Whether an id can be used again after a remove is up to the adapter: take a fresh one. A
    /// dropped future may leave an empty object behind.
    async fn create(&self, id: &ObjectId) -> Result<Box<dyn ObjectWriter>, Error>;

    /// Cuts the object back to `offset` bytes and returns a writer that appends there.
    /// [`Error::Short`] if it has fewer bytes, [`Error::NotFound`] if it is not there; then an
    /// earlier writer of the object is not disturbed.
    ///
    /// An earlier writer in this process, dropped or not, is shut out first: what it left running
    /// has ended when this returns, and its next call is [`Error::Poisoned`]. Nothing shuts out a
    /// writer in another process. The bytes before `offset` are kept as they are: after a
    /// crash only those of an earlier successful sync are certain. An object that a sync failed on can't
    /// be resumed by the process that was told so: a later sync would succeed without having written.
    async fn resume(&self, id: &ObjectId, offset: u64) -> Result<Box<dyn ObjectWriter>, Error>;

    /// Opens the object for reading, as large as it is now. [`Error::NotFound`] if it is absent.
    async fn open(&self, id: &ObjectId) -> Result<ObjectReader, Error>;

    /// Removes the object; one that is not there is no error. Readers that are open go on to the
    /// end. Not durable by itself: after a power cut the object may be back.
    async fn remove(&self, id: &ObjectId) -> Result<(), Error>;

    /// Streams the ids of all objects in pages of at most [`LIST_PAGE`], in no order. What is made or
    /// removed meanwhile may be among them or not; everything else is there once. No more than a page
    /// is held. The stream is over after an error.
    fn list(&self) -> BoxStream<'static, Result<Vec<ObjectId>, Error>>;
}

/// The most ids on a page of [`BlobStore::list`].
pub const LIST_PAGE: usize = 1_000;

/// Appends to one object.
///
/// A call that fails, or whose future is dropped before its end, poisons the writer: every later
/// call is [`Error::Poisoned`], as the end of the object is no longer known. To go on, resume the
/// object. Dropping a writer keeps what it wrote and leaves nothing behind but a system call that
/// was under way.
#[async_trait]
pub trait ObjectWriter: Send {
    /// Appends the chunk and lets go of it. [`Error::Full`] if there is no room.
    async fn write(&mut self, chunk: Chunk) -> Result<(), Error>;

    /// Makes the bytes written so far and the name of the object durable.
    async fn sync(&mut self) -> Result<(), Error>;

    /// The number of bytes in the object, up to the last write that succeeded.
    fn offset(&self) -> u64;
}

type Source = Box<dyn Fn(Range<u64>) -> BoxStream<'static, Result<Bytes, Error>> + Send + Sync>;

/// An open object.
pub struct ObjectReader {
    id: ObjectId,
    size: u64,
    changed_at: i128,
    source: Source,
}

impl ObjectReader {
    /// A reader of `size` bytes; `source` is called with a range within them that is not empty.
    pub(crate) fn new(
        id: ObjectId,
        size: u64,
        source: impl Fn(Range<u64>) -> BoxStream<'static, Result<Bytes, Error>> + Send + Sync + 'static,
    ) -> ObjectReader {
        ObjectReader { id, size, changed_at: 0, source: Box::new(source) }
    }

    /// The same, of an object that was last changed at a time of the storage's own count.
    pub(crate) fn changed_at(self, changed_at: i128) -> ObjectReader {
        ObjectReader { changed_at, ..self }
    }

    /// The object as it is now: differs once anything has written to it through its storage. What the medium
    /// does to its bytes is not seen.
    pub fn version(&self) -> (ObjectId, i128) {
        (self.id.clone(), self.changed_at)
    }

    /// The size of the object in bytes when it was opened.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Streams exactly the bytes of `range`, which may be one of several, at most 256 KiB an item. A range beyond the end, and an
    /// object cut while it is read, end in [`Error::Short`]; the stream is over after an error.
    pub fn read(&self, range: Range<u64>) -> BoxStream<'static, Result<Bytes, Error>> {
        if range.end > self.size {
            let short = Error::Short { id: self.id.clone(), found: self.size, wanted: range.end };
            return stream::once(async { Err(short) }).boxed();
        }
        if range.is_empty() {
            return stream::empty().boxed();
        }
        (self.source)(range)
    }
}

impl fmt::Debug for ObjectReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ObjectReader").field("id", &self.id).field("size", &self.size).finish_non_exhaustive()
    }
}
