//! The memory that uploads pass through: bounded, taken in turn, given back on drop.
//!
//! It knows nothing of objects: the same chunk is hashed and written by two others.

use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The size of a full chunk in bytes: 1 MiB.
pub const CHUNK_SIZE: usize = 1024 * 1024;

/// The upload buffers of the process: a fixed number of [`CHUNK_SIZE`] bytes each. A clone is the
/// same pool.
#[derive(Clone)]
pub struct ChunkPool {
    free: Arc<Mutex<Vec<Vec<u8>>>>,
    permits: Arc<Semaphore>,
}

impl ChunkPool {
    /// Makes a pool of `chunks` buffers, at least one. Memory is allocated when first used.
    pub fn new(chunks: usize) -> ChunkPool {
        ChunkPool { free: Arc::new(Mutex::new(Vec::new())), permits: Arc::new(Semaphore::new(chunks.max(1))) }
    }

    /// Takes an empty buffer; waits in turn while all are in use. A dropped future takes nothing.
    ///
    /// One who holds a chunk and waits for another can wait for ever: hold none, or only chunks
    /// whose write or hash is under way and ends without the new one.
    #[expect(clippy::expect_used, reason = "nothing closes the semaphore")]
    pub async fn take(&self) -> ChunkBuffer {
        let permit = Arc::clone(&self.permits).acquire_owned().await.expect("pool semaphore open");
        let recycled = self.free.lock().unwrap_or_else(PoisonError::into_inner).pop();
        ChunkBuffer(Lease {
            bytes: recycled.unwrap_or_else(|| Vec::with_capacity(CHUNK_SIZE)),
            free: Arc::clone(&self.free),
            _permit: permit,
        })
    }
}

impl fmt::Debug for ChunkPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let available = self.permits.available_permits();
        f.debug_struct("ChunkPool").field("available", &available).finish_non_exhaustive()
    }
}

/// One buffer of the pool. Its memory goes back before its permit, which is dropped last.
struct Lease {
    bytes: Vec<u8>,
    free: Arc<Mutex<Vec<Vec<u8>>>>,
    _permit: OwnedSemaphorePermit,
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut bytes = std::mem::take(&mut self.bytes);
        bytes.clear();
        self.free.lock().unwrap_or_else(PoisonError::into_inner).push(bytes);
    }
}

/// A buffer of the pool that is being filled.
pub struct ChunkBuffer(Lease);

impl ChunkBuffer {
    /// Copies as much of `bytes` as fits and advances `bytes` behind it.
    pub fn push(&mut self, bytes: &mut Bytes) {
        let fits = bytes.len().min(CHUNK_SIZE - self.len());
        self.0.bytes.extend_from_slice(&bytes.split_to(fits));
    }

    /// Whether nothing more fits.
    pub fn is_full(&self) -> bool {
        self.len() == CHUNK_SIZE
    }

    /// Whether it holds no bytes.
    pub fn is_empty(&self) -> bool {
        self.0.bytes.is_empty()
    }

    /// The number of bytes it holds.
    pub fn len(&self) -> usize {
        self.0.bytes.len()
    }

    /// Ends the filling.
    pub fn freeze(self) -> Chunk {
        Chunk(Arc::new(self.0))
    }
}

impl fmt::Debug for ChunkBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChunkBuffer").field("len", &self.len()).finish()
    }
}

/// At most [`CHUNK_SIZE`] bytes that no longer change. A clone shares the memory, which returns to
/// the pool when the last one is dropped.
#[derive(Clone)]
pub struct Chunk(Arc<Lease>);

impl Deref for Chunk {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0.bytes
    }
}

impl fmt::Debug for Chunk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chunk").field("len", &self.len()).finish()
    }
}
