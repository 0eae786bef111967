//! SQLite: one writer connection that commits in groups, and a stack of readers.

use std::ffi::c_int;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::hooks::Wal;
use rusqlite::types::{Null, ValueRef};
use rusqlite::{Connection, ErrorCode, OpenFlags, params_from_iter};
use serde_json::Value;

use crate::operation::Promise;
use crate::queue::{Job, Queue};
use crate::statement::{Args, Columns, FromRow, Row, Statement};
use crate::transfer::{self, Cell, Columns as TableColumns, Next};
use crate::tx::{Engine, Tx};
use crate::{Cause, Error};

/// The most bodies that share one COMMIT.
const BATCH: usize = 256;
/// How long to wait for another process that holds the write lock.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Between two attempts where SQLite does not wait itself.
const BUSY_PAUSE: Duration = Duration::from_millis(5);
/// Prepared statements kept by each connection; more than the program has.
const CACHED_STATEMENTS: usize = 256;
/// How long the write-ahead log grows before it is brought into the database; SQLite's own default.
const CHECKPOINT_PAGES: c_int = 1_000;

/// Opens the file for writing and makes it if it is not there.
pub(crate) fn open_writer(path: &Path) -> Result<Connection, Error> {
    let connection = Connection::open(path).map_err(unavailable)?;
    prepare_connection(&connection, 64 * 1024).map_err(unavailable)?;
    use_wal(&connection).map_err(unavailable)?;
    connection.pragma_update(None, "synchronous", "FULL").map_err(unavailable)?;
    Ok(connection)
}

/// Changes the file to WAL. That survives in it, so readers need not ask for it.
fn use_wal(connection: &Connection) -> rusqlite::Result<()> {
    let mut waited = Duration::ZERO;
    loop {
        match connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(())) {
            // Two openers of a new file would wait for each other, so SQLite refuses one at once.
            Err(error) if is_busy(&error) && waited < BUSY_TIMEOUT => {
                std::thread::sleep(BUSY_PAUSE);
                waited += BUSY_PAUSE;
            }
            changed => return changed,
        }
    }
}

pub(crate) fn open_reader(path: &Path) -> Result<Connection, Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(unavailable)?;
    prepare_connection(&connection, 8 * 1024).map_err(unavailable)?;
    Ok(connection)
}

fn prepare_connection(connection: &Connection, cache_kib: i64) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(CACHED_STATEMENTS);
    // Else every new parameter of a statement beside a partial index has it planned again, which is
    // half of the time of a short read.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "cache_size", -cache_kib)?;
    connection.pragma_update(None, "mmap_size", 0)?;
    connection.pragma_update(None, "temp_store", "MEMORY")
}

/// Where a commit is. A test watches this to know what a power cut may leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommitStep {
    /// COMMIT is about to run: from here on the transaction may be found after a crash.
    Begun,
    /// COMMIT has returned, and the callers are about to be told; what it promises.
    Done(Promise),
}

/// The writer thread: everything queued is one transaction, one savepoint a body.
pub(crate) fn write(mut connection: Connection, queue: &Queue, watch: impl Fn(CommitStep)) {
    let mut log = Log::of(&mut connection);
    queue.serve(BATCH, |mut jobs| {
        let committed = commit_batch(&connection, &mut log, &mut jobs, &watch);
        roll_back(&connection);
        let mended = log.mend(&connection);
        let outcome = committed.map_err(|failure| {
            tracing::error!(error = ?failure.cause, bodies = jobs.len(), "metadata transaction failed");
            match failure.answer {
                Error::OutcomeUnknown if mended.is_ok() => Error::Unavailable(failure.cause),
                answer => answer,
            }
        });
        for job in jobs {
            job.answer(outcome.clone());
        }
    });
}

/// What the writer knows of the write-ahead log.
struct Log {
    /// How commits are synced at the moment.
    synced: Promise,
    /// A sync failed: the kernel takes for written what it could not write, earlier commits among it, and no
    /// later sync would bring that to the disk. So may an earlier process have left the log.
    is_doubtful: Arc<AtomicBool>,
}

impl Log {
    /// Watches the log of a connection that is to write.
    fn of(connection: &mut Connection) -> Self {
        let is_doubtful = Arc::new(AtomicBool::new(true));
        let doubted = Arc::clone(&is_doubtful);
        // SQLite's own hook checkpoints as well, and keeps to itself that it failed.
        let checkpoint = move |log: &mut Wal, pages: c_int| {
            if pages < CHECKPOINT_PAGES || doubted.load(Ordering::Relaxed) {
                return Ok(());
            }
            if let Err(error) = log.checkpoint()
                && !is_busy(&error)
            {
                tracing::error!(error = ?error, "a checkpoint of the metadata failed");
                doubted.store(true, Ordering::Relaxed);
            }
            Ok(())
        };
        if let Err(error) = connection.wal_hook(Some(checkpoint)) {
            tracing::error!(error = ?error, "checkpoints of the metadata are not watched");
        }
        Self { synced: Promise::Durable, is_doubtful }
    }

    fn sync_as(&mut self, connection: &Connection, promise: Promise) -> rusqlite::Result<()> {
        if self.synced == promise {
            return Ok(());
        }
        let level = if promise == Promise::Durable { "FULL" } else { "NORMAL" };
        // Ignored inside a transaction, so it is set before.
        connection.pragma_update(None, "synchronous", level)?;
        self.synced = promise;
        Ok(())
    }

    /// Brings a doubtful log to the disk, without the commit that failed: a restart would take for done what that
    /// one left at the end.
    fn mend(&mut self, connection: &Connection) -> Result<(), Cause> {
        if !self.is_doubtful.load(Ordering::Relaxed) {
            return Ok(());
        }
        let mended = self.write_anew(connection);
        self.is_doubtful.store(mended.is_err(), Ordering::Relaxed);
        roll_back(connection);
        mended
    }

    fn write_anew(&mut self, connection: &Connection) -> Result<(), Cause> {
        let cause = |error: rusqlite::Error| -> Cause { Arc::new(error) };
        self.sync_as(connection, Promise::Durable).map_err(cause)?;
        // Nobody else may append meanwhile.
        command(connection, "BEGIN IMMEDIATE").map_err(cause)?;
        rewrite_log(connection).map_err(|error| -> Cause { Arc::new(error) })?;
        // Changes nothing, but its commit goes over the end of the log.
        command(connection, "PRAGMA user_version = 0").map_err(cause)?;
        command(connection, "COMMIT").map_err(cause)
    }
}

/// Writes the log over itself, so that the next sync is about all of it.
fn rewrite_log(connection: &Connection) -> io::Result<()> {
    let Some(path) = connection.path() else { return Ok(()) };
    let file = File::options().read(true).write(true).open(format!("{path}-wal"))?;
    let (mut buffer, mut offset) = (vec![0; 1 << 20], 0);
    loop {
        let length = file.read_at(&mut buffer, offset)?;
        let read = buffer.get(..length).unwrap_or_default();
        if read.is_empty() {
            return Ok(());
        }
        file.write_all_at(read, offset)?;
        offset += length as u64;
    }
}

/// Why a whole batch failed, for the log, and what its callers are told.
struct BatchFailure {
    cause: Cause,
    answer: Error,
}

impl From<rusqlite::Error> for BatchFailure {
    fn from(cause: rusqlite::Error) -> Self {
        let is_full = cause.sqlite_error_code() == Some(ErrorCode::DiskFull);
        let cause: Cause = Arc::new(cause);
        let answer = if is_full { Error::Unavailable(Arc::clone(&cause)) } else { Error::CommitFailed };
        Self { cause, answer }
    }
}

fn commit_batch(
    connection: &Connection,
    log: &mut Log,
    jobs: &mut [Box<dyn Job>],
    watch: &impl Fn(CommitStep),
) -> Result<(), BatchFailure> {
    // Left open only by a panic outside a body.
    roll_back(connection);
    log.mend(connection)
        .map_err(|cause| BatchFailure { answer: Error::Unavailable(Arc::clone(&cause)), cause })?;
    let durable = jobs.iter().any(|job| job.operation().promise == Promise::Durable);
    let promise = if durable { Promise::Durable } else { Promise::Relaxed };
    log.sync_as(connection, promise)?;
    command(connection, "BEGIN IMMEDIATE").map_err(|error| {
        let is_busy = is_busy(&error);
        let mut failure = BatchFailure::from(error);
        if is_busy {
            failure.answer = Error::Unavailable(Arc::clone(&failure.cause));
        }
        failure
    })?;
    for job in jobs {
        run_body(connection, job.as_mut())?;
    }
    watch(CommitStep::Begun);
    command(connection, "COMMIT").map_err(|error| {
        let is_io = error.sqlite_error_code() == Some(ErrorCode::SystemIoFailure);
        let mut failure = BatchFailure::from(error);
        if is_io {
            log.is_doubtful.store(true, Ordering::Relaxed);
            // What reached the log before its sync failed may be found there after a restart, until it is mended.
            failure.answer = Error::OutcomeUnknown;
        }
        failure
    })?;
    watch(CommitStep::Done(promise));
    Ok(())
}

fn run_body(connection: &Connection, job: &mut dyn Job) -> rusqlite::Result<()> {
    command(connection, "SAVEPOINT body")?;
    let mut tx = Tx::new(job.operation(), Engine::Sqlite(connection));
    // A full disk and its like end the whole transaction: RELEASE then fails, and so does the batch.
    if !job.run(&mut tx) {
        command(connection, "ROLLBACK TO body")?;
    }
    command(connection, "RELEASE body")
}

fn roll_back(connection: &Connection) {
    if connection.is_autocommit() {
        return;
    }
    if let Err(error) = command(connection, "ROLLBACK") {
        tracing::error!(error = ?error, "metadata rollback failed");
    }
}

fn command(connection: &Connection, sql: &str) -> rusqlite::Result<()> {
    connection.prepare_cached(sql)?.execute([]).map(drop)
}

/// Read connections that nobody uses at the moment; a reader takes one and puts it back.
pub(crate) struct Readers {
    path: PathBuf,
    /// `None` once closed. No limit: a read never awaits, so there are no more than threads.
    idle: Mutex<Option<Vec<Connection>>>,
}

impl Readers {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path, idle: Mutex::new(Some(Vec::new())) }
    }

    pub(crate) fn read<T>(&self, read: impl FnOnce(&Connection) -> Result<T, Error>) -> Result<T, Error> {
        let idle = self.lock().as_mut().ok_or(Error::Closed)?.pop();
        let connection = match idle {
            Some(connection) => connection,
            None => open_reader(&self.path)?,
        };
        let result = read(&connection);
        if let Some(idle) = self.lock().as_mut() {
            idle.push(connection);
        }
        result
    }

    pub(crate) fn close(&self) {
        self.lock().take();
    }

    fn lock(&self) -> MutexGuard<'_, Option<Vec<Connection>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(crate) fn execute(connection: &Connection, statement: &Statement, args: Args<'_>) -> Result<u64, Error> {
    let run = || connection.prepare_cached(statement.sqlite)?.execute(&*params(args));
    let changed = run().map_err(|error| classify(statement.name, error))?;
    Ok(changed as u64)
}

pub(crate) fn query<T: FromRow>(
    connection: &Connection,
    statement: &Statement,
    args: Args<'_>,
    most: usize,
) -> Result<Vec<T>, Error> {
    let failed = |error| classify(statement.name, error);
    let mut prepared = connection.prepare_cached(statement.sqlite).map_err(failed)?;
    let mut rows = prepared.query(&*params(args)).map_err(failed)?;
    let mut found = Vec::new();
    while found.len() < most {
        let Some(row) = rows.next().map_err(failed)? else {
            break;
        };
        if found.len() < most {
            let row = Row { statement: statement.name, columns: Columns::Sqlite(row) };
            found.push(T::from_row(&row)?);
        }
    }
    Ok(found)
}

pub(crate) fn script(connection: &Connection, sql: &str) -> Result<(), Error> {
    connection.execute_batch(sql).map_err(|error| classify("script", error))
}

/// The first column of each row of a query, as text.
pub(crate) fn texts(connection: &Connection, sql: &str) -> Result<Vec<String>, Error> {
    let failed = |error| classify("texts", error);
    let mut prepared = connection.prepare(sql).map_err(failed)?;
    let rows = prepared.query_map([], |row| row.get(0)).map_err(failed)?;
    rows.collect::<rusqlite::Result<_>>().map_err(failed)
}

/// The one number that a query gives.
pub(crate) fn number(connection: &Connection, sql: &str) -> Result<i64, Error> {
    connection.query_row(sql, [], |row| row.get(0)).map_err(|error| classify("number", error))
}

/// Hands every row of a query on, as a copy has it.
pub(crate) fn each_row(
    connection: &Connection,
    sql: &str,
    mut each: impl FnMut(Vec<Value>) -> Result<(), Error>,
) -> Result<(), Error> {
    let failed = |error| classify("each_row", error);
    let mut prepared = connection.prepare(sql).map_err(failed)?;
    let columns = prepared.column_count();
    let mut rows = prepared.query([]).map_err(failed)?;
    while let Some(row) = rows.next().map_err(failed)? {
        let value = |index| {
            Ok(match row.get_ref(index)? {
                ValueRef::Null => Value::Null,
                ValueRef::Integer(number) => number.into(),
                ValueRef::Real(number) => number.into(),
                text @ ValueRef::Text(_) => text.as_str()?.into(),
                ValueRef::Blob(bytes) => transfer::bytes(bytes),
            })
        };
        each((0..columns).map(value).collect::<rusqlite::Result<_>>().map_err(failed)?)?;
    }
    Ok(())
}

/// Inserts rows until something else comes, which it hands back.
pub(crate) fn insert<T>(
    connection: &Connection,
    columns: &TableColumns,
    mut next: impl FnMut() -> Result<Next<T>, Error>,
) -> Result<T, Error> {
    let failed = |error| classify("insert", error);
    let places = vec!["?"; columns.kinds.len()].join(", ");
    let sql = format!("INSERT INTO \"{}\" ({}) VALUES ({places})", columns.table, columns.quoted());
    let mut prepared = connection.prepare(&sql).map_err(failed)?;
    loop {
        match next()? {
            Next::Row(cells) => {
                prepared.execute(params_from_iter(cells.iter().map(bound))).map_err(failed)?;
            }
            Next::Other(other) => return Ok(other),
        }
    }
}

fn bound(cell: &Cell) -> &dyn rusqlite::ToSql {
    match cell {
        Cell::Null(_) => &Null,
        Cell::Integer(number) => number,
        Cell::Bool(truth) => truth,
        Cell::Text(text) => text,
        Cell::Bytes(bytes) => bytes,
    }
}

fn params<'a>(args: Args<'a>) -> Vec<&'a dyn rusqlite::ToSql> {
    args.iter().map(|arg| *arg as &dyn rusqlite::ToSql).collect()
}

fn is_busy(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy)
}

fn unavailable(error: rusqlite::Error) -> Error {
    Error::Unavailable(Arc::new(error))
}

fn classify(statement: &'static str, error: rusqlite::Error) -> Error {
    let rusqlite::Error::SqliteFailure(failure, Some(message)) = &error else {
        return Error::sql(statement, error);
    };
    // "UNIQUE constraint failed: repository.tenancy_id, repository.name"
    let (what, subject) = message.split_once(" constraint failed").unwrap_or_default();
    let constraint = subject.trim_start_matches(": ").to_owned();
    match (failure.code, what) {
        (ErrorCode::ConstraintViolation, "UNIQUE") => Error::Unique { constraint },
        (ErrorCode::ConstraintViolation, "FOREIGN KEY") => Error::ForeignKey { statement },
        (ErrorCode::ConstraintViolation, "CHECK") => Error::Check { constraint },
        (ErrorCode::DatabaseBusy | ErrorCode::DiskFull, _) => unavailable(error),
        _ => Error::sql(statement, error),
    }
}
