//! PostgreSQL: writer threads with a connection each, and a pool of connections for reads.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use deadpool_postgres::{
    ClientWrapper, Manager, ManagerConfig, Object, Pool, PoolError, RecyclingMethod, Runtime,
};
use postgres::NoTls;
use postgres::binary_copy::BinaryCopyInWriter;
use postgres::error::{DbError, Severity, SqlState};
use postgres::fallible_iterator::FallibleIterator;
use postgres::types::{ToSql, Type};
use serde_json::Value;

use crate::Error;
use crate::operation::{Isolation, Operation, Promise};
use crate::queue::{Job, Queue};
use crate::statement::{Args, Columns, FromRow, Row, Statement};
use crate::transfer::{self, Cell, Columns as TableColumns, Kind, Next};
use crate::tx::{Engine, Tx};

/// Connections that write, each with its thread.
pub(crate) const WRITERS: usize = 8;
/// Connections that read.
const READERS: usize = 16;
/// How often a body runs that always meets others, before its caller is told to try later.
const ATTEMPTS: u32 = 40;
/// The longest pause between two attempts.
const LONGEST_PAUSE: Duration = Duration::from_millis(100);
/// How long to wait for a connection to be made, or for one of the pool to be free.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a peer may be silent before the connection counts as lost.
const SILENCE_TIMEOUT: Duration = Duration::from_secs(30);

/// Writers must not scan a table: a scan locks all of it against other serializable bodies.
const WRITER_OPTIONS: &str = "-c statement_timeout=30s -c enable_seqscan=off";
const READER_OPTIONS: &str = "-c statement_timeout=30s -c default_transaction_read_only=on";

/// Reads a `postgres://` URL.
pub(crate) fn parse(url: &str) -> Result<tokio_postgres::Config, Error> {
    let mut config: tokio_postgres::Config = url.parse().map_err(|error| Error::Location(Arc::new(error)))?;
    if config.get_connect_timeout().is_none() {
        config.connect_timeout(CONNECT_TIMEOUT);
    }
    if config.get_application_name().is_none() {
        config.application_name("wharfinger");
    }
    config.tcp_user_timeout(SILENCE_TIMEOUT).keepalives_idle(SILENCE_TIMEOUT);
    Ok(config)
}

fn with_options(config: &tokio_postgres::Config, options: &str) -> tokio_postgres::Config {
    let mut config = config.clone();
    let given = config.get_options().unwrap_or_default().to_owned();
    config.options(format!("{given} {options}"));
    config
}

/// One connection and the statements prepared on it.
pub(crate) struct Session {
    client: postgres::Client,
    prepared: HashMap<&'static str, postgres::Statement>,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("prepared", &self.prepared.len()).finish_non_exhaustive()
    }
}

impl Session {
    /// Connects; must be called and dropped outside of an async task.
    pub(crate) fn connect(config: &tokio_postgres::Config) -> Result<Self, Error> {
        let client = postgres::Config::from(config.clone())
            .connect(NoTls)
            .map_err(|error| Error::Unavailable(Arc::new(error)))?;
        Ok(Self { client, prepared: HashMap::new() })
    }

    pub(crate) fn execute(&mut self, statement: &Statement, args: Args<'_>) -> Result<u64, Error> {
        let prepared = self.prepare(statement)?;
        self.client.execute(&prepared, &params(args)).map_err(|error| classify(statement.name, error))
    }

    pub(crate) fn query<T: FromRow>(
        &mut self,
        statement: &Statement,
        args: Args<'_>,
        most: usize,
    ) -> Result<Vec<T>, Error> {
        let prepared = self.prepare(statement)?;
        let rows =
            self.client.query(&prepared, &params(args)).map_err(|error| classify(statement.name, error))?;
        read_rows(statement, &rows, most)
    }

    pub(crate) fn script(&mut self, sql: &str) -> Result<(), Error> {
        self.client.batch_execute(sql).map_err(|error| classify("script", error))
    }

    /// The one number that a query gives.
    pub(crate) fn number(&mut self, sql: &str) -> Result<i64, Error> {
        let failed = |error| classify("number", error);
        self.client.query_one(sql, &[]).and_then(|row| row.try_get(0)).map_err(failed)
    }

    /// Hands every row of a query on, as a copy has it.
    pub(crate) fn each_row(
        &mut self,
        sql: &str,
        mut each: impl FnMut(Vec<Value>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let failed = |error| classify("each_row", error);
        let mut rows = self.client.query_raw(sql, std::iter::empty::<&str>()).map_err(failed)?;
        while let Some(row) = rows.next().map_err(failed)? {
            let values = (0..row.len()).map(|index| value(&row, index));
            each(values.collect::<Result<_, _>>().map_err(failed)?)?;
        }
        Ok(())
    }

    /// Inserts rows until something else comes, which it hands back. One statement inserts them all, so that
    /// those of a table that refers to itself may come in any order.
    pub(crate) fn insert<T>(
        &mut self,
        columns: &TableColumns,
        mut next: impl FnMut() -> Result<Next<T>, Error>,
    ) -> Result<T, Error> {
        let failed = |error| classify("insert", error);
        let sql = format!("COPY \"{}\" ({}) FROM STDIN BINARY", columns.table, columns.quoted());
        let types: Vec<Type> = columns.kinds.iter().map(|kind| type_of(*kind)).collect();
        let writer = self.client.copy_in(&sql).map_err(failed)?;
        let mut writer = BinaryCopyInWriter::new(writer, &types);
        loop {
            match next()? {
                Next::Row(cells) => {
                    let row: Vec<&(dyn ToSql + Sync)> = cells.iter().map(bound).collect();
                    writer.write(&row).map_err(failed)?;
                }
                Next::Other(other) => {
                    writer.finish().map_err(failed)?;
                    return Ok(other);
                }
            }
        }
    }

    fn prepare(&mut self, statement: &Statement) -> Result<postgres::Statement, Error> {
        if let Some(prepared) = self.prepared.get(statement.postgres) {
            return Ok(prepared.clone());
        }
        let prepared =
            self.client.prepare(statement.postgres).map_err(|error| classify(statement.name, error))?;
        self.prepared.insert(statement.postgres, prepared.clone());
        Ok(prepared)
    }

    fn begin(&mut self, operation: &Operation) -> Result<(), Error> {
        let begin = match operation.isolation {
            Isolation::Serializable => "BEGIN ISOLATION LEVEL SERIALIZABLE",
            Isolation::Guarded => "BEGIN ISOLATION LEVEL READ COMMITTED",
        };
        match operation.promise {
            Promise::Durable => self.script(begin),
            Promise::Relaxed => self.script(&format!("{begin}; SET LOCAL synchronous_commit = off")),
        }
    }

    fn commit(&mut self, operation: &Operation) -> Result<(), Error> {
        let Err(error) = self.client.batch_execute("COMMIT") else {
            return Ok(());
        };
        let answered = error.as_db_error().and_then(DbError::parsed_severity);
        let (cause, answer) = match (classify("COMMIT", error), answered) {
            (conflict @ Error::Conflict(_), _) => return Err(conflict),
            (cause, Some(Severity::Error)) => (cause, Error::CommitFailed),
            (cause, _) => (cause, Error::OutcomeUnknown),
        };
        tracing::error!(operation = operation.name, error = ?cause, "metadata commit failed");
        Err(answer)
    }
}

/// One writer thread: one transaction a job.
pub(crate) fn write(config: &tokio_postgres::Config, queue: &Queue) {
    let config = with_options(config, WRITER_OPTIONS);
    let mut idle = None;
    queue.serve(1, |jobs| {
        for mut job in jobs {
            let outcome = commit_job(&config, &mut idle, job.as_mut());
            job.answer(outcome);
        }
    });
}

fn commit_job(
    config: &tokio_postgres::Config,
    idle: &mut Option<Session>,
    job: &mut dyn Job,
) -> Result<(), Error> {
    let mut was_lost = false;
    let mut attempt = 0;
    loop {
        let mut session = match idle.take() {
            Some(session) => session,
            None => Session::connect(config)?,
        };
        match attempt_job(&mut session, job) {
            Ok(()) => {
                *idle = Some(session);
                return Ok(());
            }
            Err(Error::Conflict(cause)) => {
                *idle = Some(session);
                attempt += 1;
                if attempt == ATTEMPTS {
                    return Err(Error::Unavailable(cause));
                }
                thread::sleep(pause(attempt));
            }
            // A connection that was idle may have been dead for long: the next one is new.
            Err(Error::ConnectionLost(_)) if !was_lost => was_lost = true,
            Err(Error::ConnectionLost(cause)) => return Err(Error::Unavailable(cause)),
            Err(error) => return Err(error),
        }
    }
}

/// Runs the job's body in a transaction of its own. The session is good for more unless the error
/// is another than a conflict.
fn attempt_job(session: &mut Session, job: &mut dyn Job) -> Result<(), Error> {
    let operation = job.operation();
    session.begin(operation)?;
    let mut tx = Tx::new(operation, Engine::Postgres(session));
    let keep = job.run(&mut tx);
    let failure = tx.failure.take();
    match failure {
        Some(lost @ Error::ConnectionLost(_)) => Err(lost),
        Some(conflict @ Error::Conflict(_)) => session.script("ROLLBACK").and(Err(conflict)),
        _ if keep => session.commit(operation),
        _ => session.script("ROLLBACK"),
    }
}

/// A random time below a limit that doubles with each attempt, so that those who met part.
fn pause(attempt: u32) -> Duration {
    let limit = LONGEST_PAUSE.min(Duration::from_millis(1 << attempt.min(10)));
    // Each RandomState has new keys: randomness enough without another dependency.
    let random = RandomState::new().hash_one(attempt);
    limit.mul_f64(random as f64 / u64::MAX as f64)
}

/// The pool that reads use; it connects when first asked.
pub(crate) fn readers(config: &tokio_postgres::Config) -> Result<Pool, Error> {
    let manager = Manager::from_config(
        with_options(config, READER_OPTIONS),
        NoTls,
        ManagerConfig { recycling_method: RecyclingMethod::Fast },
    );
    Pool::builder(manager)
        .max_size(READERS)
        .runtime(Runtime::Tokio1)
        .wait_timeout(Some(CONNECT_TIMEOUT))
        .build()
        .map_err(|error| Error::Unavailable(Arc::new(error)))
}

/// Reads on a connection of the pool; once more on a new one if the first turns out to be dead.
pub(crate) async fn read<T: FromRow>(
    pool: &Pool,
    statement: &Statement,
    args: Args<'_>,
    most: usize,
) -> Result<Vec<T>, Error> {
    let rows = match read_once(pool, statement, args).await {
        Err(Error::ConnectionLost(_)) => {
            // The others that are idle may be as dead without anyone having noticed yet.
            pool.retain(|_, _| false);
            read_once(pool, statement, args).await
        }
        other => other,
    };
    let rows = rows.map_err(|error| match error {
        Error::ConnectionLost(cause) => Error::Unavailable(cause),
        other => other,
    })?;
    read_rows(statement, &rows, most)
}

async fn read_once(pool: &Pool, statement: &Statement, args: Args<'_>) -> Result<Vec<postgres::Row>, Error> {
    let client = connection(pool).await?;
    let failed = |error| classify(statement.name, error);
    let prepared = client.prepare_cached(statement.postgres).await.map_err(failed)?;
    client.query(&prepared, &params(args)).await.map_err(failed)
}

/// A session of its own with the advisory lock of that name, unless another has it.
pub(crate) async fn lock(pool: &Pool, name: &str) -> Result<Option<ClientWrapper>, Error> {
    let client = Object::take(connection(pool).await?);
    let unavailable = |error: tokio_postgres::Error| Error::Unavailable(Arc::new(error));
    let take = "SELECT pg_try_advisory_lock(hashtextextended($1, 0))";
    let row = client.query_one(take, &[&name]).await.map_err(unavailable)?;
    let is_taken: bool = row.try_get(0).map_err(unavailable)?;
    Ok(is_taken.then_some(client))
}

async fn connection(pool: &Pool) -> Result<Object, Error> {
    pool.get().await.map_err(|error| match error {
        PoolError::Closed => Error::Closed,
        other => Error::Unavailable(Arc::new(other)),
    })
}

fn read_rows<T: FromRow>(
    statement: &Statement,
    rows: &[postgres::Row],
    most: usize,
) -> Result<Vec<T>, Error> {
    rows.iter()
        .take(most)
        .map(|row| {
            let columns = Columns::Postgres(row);
            T::from_row(&Row { statement: statement.name, columns })
        })
        .collect()
}

fn params<'a>(args: Args<'a>) -> Vec<&'a (dyn ToSql + Sync)> {
    args.iter().map(|arg| *arg as &(dyn ToSql + Sync)).collect()
}

fn value(row: &postgres::Row, index: usize) -> Result<Value, postgres::Error> {
    let kind = row.columns().get(index).map(postgres::Column::type_);
    Ok(match kind {
        Some(&Type::BOOL) => row.try_get::<_, Option<bool>>(index)?.map(i64::from).into(),
        Some(&Type::TEXT) => row.try_get::<_, Option<String>>(index)?.into(),
        Some(&Type::BYTEA) => row.try_get::<_, Option<&[u8]>>(index)?.map_or(Value::Null, transfer::bytes),
        _ => row.try_get::<_, Option<i64>>(index)?.into(),
    })
}

fn type_of(kind: Kind) -> Type {
    match kind {
        Kind::Integer => Type::INT8,
        Kind::Bool => Type::BOOL,
        Kind::Text => Type::TEXT,
        Kind::Bytes => Type::BYTEA,
    }
}

fn bound(cell: &Cell) -> &(dyn ToSql + Sync) {
    match cell {
        Cell::Null(Kind::Integer) => &None::<i64>,
        Cell::Null(Kind::Bool) => &None::<bool>,
        Cell::Null(Kind::Text) => &None::<String>,
        Cell::Null(Kind::Bytes) => &None::<Vec<u8>>,
        Cell::Integer(number) => number,
        Cell::Bool(truth) => truth,
        Cell::Text(text) => text,
        Cell::Bytes(bytes) => bytes,
    }
}

fn classify(statement: &'static str, error: postgres::Error) -> Error {
    let Some(database) = error.as_db_error() else {
        return if is_lost(&error) {
            Error::ConnectionLost(Arc::new(error))
        } else {
            Error::sql(statement, error)
        };
    };
    if matches!(database.parsed_severity(), Some(Severity::Fatal | Severity::Panic)) {
        return Error::ConnectionLost(Arc::new(error));
    }
    let code = database.code();
    let constraint = || database.constraint().unwrap_or_default().to_owned();
    if *code == SqlState::UNIQUE_VIOLATION {
        Error::Unique { constraint: key_columns(database).unwrap_or_else(constraint) }
    } else if [SqlState::FOREIGN_KEY_VIOLATION, SqlState::RESTRICT_VIOLATION].contains(code) {
        Error::ForeignKey { statement }
    } else if *code == SqlState::CHECK_VIOLATION {
        Error::Check { constraint: constraint() }
    } else if [SqlState::T_R_SERIALIZATION_FAILURE, SqlState::T_R_DEADLOCK_DETECTED].contains(code) {
        Error::Conflict(Arc::new(error))
    } else if *code == SqlState::QUERY_CANCELED {
        Error::Unavailable(Arc::new(error))
    } else {
        Error::sql(statement, error)
    }
}

fn is_lost(error: &postgres::Error) -> bool {
    let source = std::error::Error::source(error);
    error.is_closed() || source.is_some_and(<dyn std::error::Error>::is::<std::io::Error>)
}

/// The key's columns as SQLite names them, from "Key (tenancy_id, name)=(7, app) already exists."
fn key_columns(error: &DbError) -> Option<String> {
    let (_, key) = error.detail()?.split_once('(')?;
    let (columns, _) = key.split_once(")=(")?;
    let table = error.table()?;
    let named: Vec<String> = columns.split(", ").map(|column| format!("{table}.{column}")).collect();
    Some(named.join(", "))
}
