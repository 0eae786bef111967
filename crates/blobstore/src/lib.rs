//! Objects named by an id that is never used again: memory and file system.
//!
//! An object is a run of bytes that grows at its end, becomes durable by a sync, is read by range
//! and removed. This crate knows no digest, no repository, no SQL and no HTTP: what an object means
//! and who may read it is decided above.

mod chunk;
#[cfg(feature = "contract")]
pub mod contract;
mod error;
mod fs;
mod id;
mod memory;
#[cfg(feature = "simulation")]
pub mod simulated;
mod store;

pub use chunk::{CHUNK_SIZE, Chunk, ChunkBuffer, ChunkPool};
pub use error::Error;
pub use fs::{Disk, DiskFile, FileStore, NameIter, make_directory};
pub use id::ObjectId;
pub use memory::MemoryStore;
pub use store::{BlobStore, LIST_PAGE, ObjectReader, ObjectWriter};
