//! The name, the promise, the isolation and the record of a write.

/// A write that the program knows by name; made by [`operations!`](crate::operations).
#[derive(Debug)]
pub struct Operation {
    /// The name: the same in route, service, audit record and metric.
    pub name: &'static str,
    /// What an answer to it promises.
    pub promise: Promise,
    /// What it is shielded from on PostgreSQL. SQLite has one writer and is always serializable.
    pub isolation: Isolation,
    /// How many audit records it writes.
    pub record: Record,
}

/// What a successful answer promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Promise {
    /// The write is on disk and outlives a power cut.
    Durable,
    /// The write is seen by all, and may be lost in a power cut.
    Relaxed,
}

/// How a write is kept apart from others on PostgreSQL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isolation {
    /// As if alone: run again when it met another serializable write.
    Serializable,
    /// READ COMMITTED: each "at most", "unique" and "empty" in the body must be a constraint, a
    /// foreign key, or a guard row updated first.
    Guarded,
}

/// How many audit records a write makes; the store refuses any other number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Record {
    /// Exactly one.
    One,
    /// None, for the reason given.
    None(&'static str),
}

/// Names operations: a `pub(crate) static` each, and `OPERATIONS`, which lists them. At most one
/// `operations!` a module.
///
/// ```
/// wharfinger_metastore::operations! {
///     /// Makes a repository.
///     CREATE_REPOSITORY = create_repository { Durable, Serializable, audited };
///     /// Notes how far an upload has come.
///     SAVE_PROGRESS = save_progress { Relaxed, Guarded, unaudited "no reader can see it" };
/// }
/// # fn main() { assert_eq!(OPERATIONS[0].name, CREATE_REPOSITORY.name) }
/// ```
#[macro_export]
macro_rules! operations {
    ($(
        $(#[$meta:meta])*
        $name:ident = $verb:ident { $promise:ident, $isolation:ident, $record:ident $($reason:literal)? };
    )*) => {
        $(
            $(#[$meta])*
            pub(crate) static $name: $crate::Operation = $crate::Operation {
                name: stringify!($verb),
                promise: $crate::Promise::$promise,
                isolation: $crate::Isolation::$isolation,
                record: $crate::operations!(@record $record $($reason)?),
            };
        )*

        /// Every operation of this module.
        pub static OPERATIONS: &[&$crate::Operation] = &[$(&$name),*];
    };
    (@record audited) => { $crate::Record::One };
    (@record unaudited $reason:literal) => { $crate::Record::None($reason) };
}
