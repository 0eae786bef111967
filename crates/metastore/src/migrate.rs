//! Brings a database to the schema that this program knows.
//!
//! Each migration is one transaction under the database's own lock, so that programs that start at
//! once take turns.

use std::sync::Arc;

use crate::tx::{Engine, Tx};
use crate::{EngineKind, Error, operations, statements};

struct Migration {
    version: i64,
    name: &'static str,
    sqlite: &'static str,
    postgres: &'static str,
}

/// In ascending order; one that was released is never changed.
const MIGRATIONS: &[Migration] = &[Migration {
    version: 1,
    name: "initial",
    sqlite: include_str!("../migrations/sqlite/0001_initial.sql"),
    postgres: include_str!("../migrations/postgres/0001_initial.sql"),
}];

operations! {
    /// Brings the schema up to date.
    MIGRATE = migrate { Durable, Guarded, unaudited "it runs before there is anything to audit" };
    /// Reads a whole database.
    DUMP = dump { Relaxed, Guarded, unaudited "it reads" };
    /// Fills an empty database.
    LOAD = load { Durable, Guarded, unaudited "the records that it brings are the ones that there were" };
}

statements! {
    /// Takes the lock that migrations run under, until the transaction ends; SQLite's BEGIN has it.
    MIGRATION_LOCK = sqlite "SELECT 1", postgres "SELECT 1 FROM pg_advisory_xact_lock(7238101)";
    /// Makes the table of the versions that were applied.
    SCHEMA_VERSION_CREATE =
        sqlite "CREATE TABLE IF NOT EXISTS schema_version (
            version INTEGER PRIMARY KEY, name TEXT NOT NULL, applied_at INTEGER NOT NULL) STRICT",
        postgres "CREATE TABLE IF NOT EXISTS schema_version (
            version BIGINT PRIMARY KEY, name TEXT COLLATE \"C\" NOT NULL, applied_at BIGINT NOT NULL)";
    /// The newest version that was applied.
    SCHEMA_VERSION_NEWEST = "SELECT coalesce(max(version), 0) AS version FROM schema_version";
    /// Notes a version as applied, in microseconds since the epoch.
    SCHEMA_VERSION_INSERT =
        sqlite "INSERT INTO schema_version (version, name, applied_at)
            VALUES ($1, $2, CAST(unixepoch('subsec') * 1000000 AS INTEGER))",
        postgres "INSERT INTO schema_version (version, name, applied_at)
            VALUES ($1, $2, CAST(extract(epoch FROM now()) * 1000000 AS BIGINT))";
}

/// Applies what is missing.
///
/// # Errors
/// [`Error::NewerSchema`] and [`Error::Migration`]; the failing migration is rolled back.
pub(crate) fn migrate(mut engine: Engine<'_>) -> Result<(), Error> {
    let begin = match engine {
        Engine::Sqlite(_) => "BEGIN IMMEDIATE",
        Engine::Postgres(_) => "BEGIN",
    };
    loop {
        let mut tx = Tx::new(&MIGRATE, engine.reborrow());
        tx.script(begin)?;
        let applied = apply_next(&mut tx, i64::MAX);
        // A failed transaction is poisoned and cannot end itself.
        let mut end = Tx::new(&MIGRATE, engine.reborrow());
        match applied {
            Ok(Some(migration)) => {
                end.script("COMMIT")?;
                tracing::info!(version = migration.version, name = migration.name, "migrated");
            }
            Ok(None) => return end.script("COMMIT"),
            Err(error) => {
                end.script("ROLLBACK")?;
                return Err(error);
            }
        }
    }
}

/// Applies what is missing up to `version`, in the transaction of `tx`.
///
/// # Errors
/// As [`migrate`]; [`Error::NewerSchema`] if this program knows no such version.
pub(crate) fn apply_to(tx: &mut Tx<'_>, version: i64) -> Result<(), Error> {
    let known = MIGRATIONS.last().map_or(0, |newest| newest.version);
    if version > known {
        return Err(Error::NewerSchema { found: version, known });
    }
    while apply_next(tx, version)?.is_some() {}
    Ok(())
}

/// Applies the next migration, unless it is beyond `last`.
fn apply_next(tx: &mut Tx<'_>, last: i64) -> Result<Option<&'static Migration>, Error> {
    tx.opt::<i32>(&MIGRATION_LOCK, &[])?;
    tx.run(&SCHEMA_VERSION_CREATE, &[])?;
    let found: i64 = tx.one(&SCHEMA_VERSION_NEWEST, &[])?;
    let known = MIGRATIONS.last().map_or(0, |newest| newest.version);
    if found > known {
        return Err(Error::NewerSchema { found, known });
    }
    let mut missing = MIGRATIONS.iter().filter(|migration| migration.version <= last);
    let Some(next) = missing.find(|migration| migration.version > found) else {
        return Ok(None);
    };
    let sql = match tx.engine() {
        EngineKind::Sqlite => next.sqlite,
        EngineKind::Postgres => next.postgres,
    };
    tx.script(sql).map_err(|source| Error::Migration {
        version: next.version,
        name: next.name,
        source: Arc::new(source),
    })?;
    tx.run(&SCHEMA_VERSION_INSERT, &[&next.version, &next.name])?;
    Ok(Some(next))
}
