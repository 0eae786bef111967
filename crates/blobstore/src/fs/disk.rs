//! What the adapter asks of a file system, and nothing else.
//!
//! Two answer: the real one (`syscalls.rs`), and for tests one in memory that loses what was not
//! synced (`simulated.rs`). Names are relative to the root: a shard (`3f`) or an object (`3f/<id>`).
//! All calls may block, but for the two that look only at what is in memory.

use std::fmt;
use std::io;
use std::sync::Arc;

/// A directory tree in which objects are kept. All calls may run at the same time.
pub trait Disk: fmt::Debug + Send + Sync {
    /// Makes a directory in the root that only its owner may enter; one that is there is left as it is.
    fn make_directory(&self, name: &str) -> io::Result<()>;

    /// Makes the entries of a directory durable; `.` is the root, `..` what the root is in.
    fn sync_directory(&self, name: &str) -> io::Result<()>;

    /// Makes an empty file; its name must be new.
    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>>;

    /// Opens a file to write to it.
    fn open_for_writing(&self, name: &str) -> io::Result<Arc<dyn DiskFile>>;

    /// Opens a file to read it.
    fn open_for_reading(&self, name: &str) -> io::Result<Arc<dyn DiskFile>>;

    /// Opens for reading if that needs no disk. `None` says nothing about the object.
    fn open_cached(&self, name: &str) -> Option<Arc<dyn DiskFile>>;

    /// The names in a shard; one that is no text is empty.
    fn names(&self, shard: &str) -> io::Result<NameIter>;

    /// Removes the name; one that is not there is no error.
    fn remove(&self, name: &str) -> io::Result<()>;
}

/// Names as they are read.
pub type NameIter = Box<dyn Iterator<Item = io::Result<String>> + Send>;

/// An open file.
pub trait DiskFile: Send + Sync {
    /// Its length in bytes.
    fn size(&self) -> io::Result<u64>;

    /// When it was last written to or otherwise changed, in nanoseconds; nobody can set that back.
    fn changed_at(&self) -> io::Result<i128>;

    /// Cuts it.
    fn truncate(&self, size: u64) -> io::Result<()>;

    /// Writes all bytes at `offset`, going on after a short write.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Makes the bytes and the size durable.
    fn sync_data(&self) -> io::Result<()>;

    /// Reads from `offset` until the buffer is full or the file ends; returns the bytes read.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Reads what is cached at `offset`, and does not wait for more. 0 says nothing about the file:
    /// not cached, not supported by the file system, an error, or the end.
    fn read_cached(&self, buffer: &mut [u8], offset: u64) -> usize;
}
