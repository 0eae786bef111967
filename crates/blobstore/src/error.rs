//! What can go wrong with an object, whatever keeps it.

use std::io;

use crate::ObjectId;

/// A failed operation on a store or an object.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The text is not the id of an object.
    #[error("'{text}' is not an object id: give 32 lower-case hexadecimal digits")]
    InvalidId {
        /// What was given.
        text: String,
    },
    /// No object has this id.
    #[error("object {id} does not exist: it was removed or never created")]
    NotFound {
        /// The object asked for.
        id: ObjectId,
    },
    /// The id was used before.
    #[error("object {id} exists already: create it under a fresh id")]
    AlreadyExists {
        /// The id given to the create.
        id: ObjectId,
    },
    /// The object ends before the bytes that were asked for.
    #[error("object {id} has {found} bytes where {wanted} are wanted: restore it or upload again")]
    Short {
        /// The object.
        id: ObjectId,
        /// Its size in bytes.
        found: u64,
        /// The size in bytes that the operation needs.
        wanted: u64,
    },
    /// The storage has no room left: bytes, inodes or quota.
    #[error("no space left to {action}: free or add space where objects are kept")]
    Full {
        /// What was attempted, naming the object.
        action: String,
        /// The cause.
        source: io::Error,
    },
    /// The storage failed.
    #[error("failed to {action}: look at the storage below it")]
    Io {
        /// What was attempted, naming the object or path.
        action: String,
        /// The cause.
        source: io::Error,
    },
    /// The writer can't go on: an earlier call failed or was cancelled, or a resume took over.
    #[error("object {id} can't be written by this writer any more: resume or remove the object")]
    Poisoned {
        /// The object being written.
        id: ObjectId,
    },
}

impl Error {
    /// The error for `source`, met while doing `action`.
    pub(crate) fn io(action: String, source: io::Error) -> Error {
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Error::Full { action, source },
            _ => Error::Io { action, source },
        }
    }
}
