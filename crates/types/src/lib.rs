//! The words that every crate speaks: digests, names, permissions, times.
//!
//! Pure: it knows no I/O, no clock, no randomness and no wire format beyond the text form of each
//! value. A value of a type in here has been checked; nothing downstream checks it again.

mod digest;
mod error;
pub mod media_type;
mod name;
mod ocid;
mod permission;
mod time;

pub use digest::{Algorithm, Digest, Hasher, ParseDigestError};
pub use error::ErrorKind;
pub use name::{ImageName, Namespace, ParseNameError, Reference, RepositoryName, Tag};
pub use ocid::{Ocid, ParseOcidError, ResourceKind};
pub use permission::Permission;
pub use time::Timestamp;

/// Which part of a list is asked for: at most `limit` entries after `last` in byte order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The greatest number of entries wanted; 0 is an empty page.
    pub limit: usize,
    /// The last entry the caller has seen; the page starts behind it.
    pub last: Option<String>,
}

impl Page {
    /// The page of `limit` entries behind `last`; `None` if `last` can be no entry of any list.
    pub fn after(limit: usize, last: Option<String>) -> Option<Page> {
        let can_be_entry = |last: &String| last.len() <= 512 && !last.contains('\0');
        last.as_ref().is_none_or(can_be_entry).then_some(Page { limit, last })
    }
}

/// Path and query of a request as they stood on the wire, which is what a request signature is over. The
/// server attaches it where it routes by another path than that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestTarget(pub String);

/// The one name of an operation: a face attaches it to its answer, for the metric and the log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct OperationName(pub &'static str);
