//! What a statement, a transaction or the opening of a store can fail with.

use std::sync::Arc;

/// The driver's error beneath ours; shared, because one failed COMMIT answers many callers.
pub type Cause = Arc<dyn std::error::Error + Send + Sync>;

/// Why the store could not do what it was asked.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A row with this key exists.
    #[error("a row with the same {constraint} exists")]
    Unique {
        /// The columns of the key: `repository.tenancy_id, repository.name`, alike on both engines.
        constraint: String,
    },
    /// A row refers to one that does not exist, or a row to be deleted is referred to.
    #[error("statement {statement} breaks a foreign key")]
    ForeignKey {
        /// The statement that broke it; SQLite does not name the key.
        statement: &'static str,
    },
    /// A value breaks a CHECK constraint.
    #[error("a value breaks the check {constraint}")]
    Check {
        /// The constraint's name.
        constraint: String,
    },
    /// The connection was lost during COMMIT: the write was done or was not. Read before trying again.
    #[error("the connection was lost during commit; whether the write was done is unknown")]
    OutcomeUnknown,
    /// The write was rolled back at or before COMMIT, perhaps because of another in the same batch.
    #[error("the transaction did not commit; nothing was written, and the log says why")]
    CommitFailed,
    /// The store has been closed.
    #[error("the metadata store is closed")]
    Closed,
    /// The database could not be reached, was too busy, or took too long; trying again may help.
    #[error("the metadata database is not available")]
    Unavailable(#[source] Cause),
    /// Inside a body: another transaction was in the way. The store runs the body again by itself.
    #[error("the transaction met another and must run again")]
    Conflict(#[source] Cause),
    /// Inside a body: the connection was lost. The store runs the body again by itself, once.
    #[error("the connection to the metadata database was lost")]
    ConnectionLost(#[source] Cause),
    /// The database was migrated by a newer program than this one.
    #[error(
        "the database has schema version {found}, this program knows up to {known}: \
         run the newer program, or restore the backup from before the upgrade"
    )]
    NewerSchema {
        /// The version in the database.
        found: i64,
        /// The newest version that this program can use.
        known: i64,
    },
    /// A migration failed and was rolled back.
    #[error("migration {version} ({name}) failed; the schema is unchanged since the version before")]
    Migration {
        /// The migration's number.
        version: i64,
        /// The migration's name.
        name: &'static str,
        /// What the engine said.
        source: Cause,
    },
    /// A copy of the metadata could not be written.
    #[error("the copy of the metadata cannot be written")]
    Output(#[source] Cause),
    /// A copy of the metadata is not right.
    #[error("line {line} of the copy of the metadata is not right: {reason}")]
    Input {
        /// Counted from 1.
        line: u64,
        /// What is wrong with it.
        reason: String,
    },
    /// Only an empty database can be filled from a copy.
    #[error("the database is not empty: give an empty one")]
    NotEmpty,
    /// The database's location is not one.
    #[error("the metadata location is not valid; it must be a file or a postgres:// URL")]
    Location(#[source] Cause),
    /// The body panicked; its writes were rolled back.
    #[error("the body of a write panicked; its writes were rolled back")]
    Panicked,
    /// The body did not write the audit records that its operation names; its writes were rolled back.
    #[error("operation {operation} wrote {found} audit records, not the number it declares")]
    RecordMissing {
        /// The operation's name.
        operation: &'static str,
        /// How many it wrote.
        found: u32,
    },
    /// An earlier statement of the same body failed; nothing runs after it.
    #[error("an earlier statement of this transaction failed")]
    Poisoned,
    /// A statement that must give a row gave none.
    #[error("statement {statement} gave no row")]
    NoRow {
        /// The statement's name.
        statement: &'static str,
    },
    /// Any other failure of a statement.
    #[error("statement {statement} failed")]
    Sql {
        /// The statement's name.
        statement: &'static str,
        /// What the driver said.
        source: Cause,
    },
}

impl Error {
    pub(crate) fn sql(
        statement: &'static str,
        source: impl std::error::Error + Send + Sync + 'static,
    ) -> Self {
        Self::Sql { statement, source: Arc::new(source) }
    }
}
