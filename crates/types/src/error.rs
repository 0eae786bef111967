//! What went wrong, in the few classes that a face needs to choose a status.

/// The class of an error. Each service error has one; each face renders it in its own dialect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The resource is not there, for one who would be allowed to see it.
    NotFound,
    /// Nobody is logged in, or the credentials are not good.
    Unauthenticated,
    /// The principal is known and has no right to this.
    Denied,
    /// The state of the resource forbids it: name taken, in use, changed meanwhile.
    Conflict,
    /// The resource is not the one that the request was made for any more.
    Changed,
    /// The request itself is wrong; the same request will never succeed.
    Invalid,
    /// A body, header or list is larger than allowed.
    TooLarge,
    /// A range or offset that the resource does not have.
    RangeNotSatisfiable,
    /// Known, but not offered here.
    Unsupported,
    /// Asked more often than allowed.
    TooManyRequests,
    /// Try again later: overload, or a dependency that does not answer.
    Unavailable,
    /// A fault of ours; the text is logged with the request id and never sent.
    Internal,
}
