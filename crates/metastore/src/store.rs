//! The store that services hold.

use std::io::{self, BufRead};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use tokio::task::{consume_budget, spawn_blocking};

use crate::operation::Operation;
use crate::queue::{Queue, Write};
use crate::statement::{Args, FromRow, Statement};
use crate::tx::{Engine, Tx};
use crate::{Error, RowCounts, catalog, migrate, postgres, sqlite, transfer};

/// Which database is behind a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EngineKind {
    /// SQLite, in the process.
    Sqlite,
    /// PostgreSQL, shared by replicas.
    Postgres,
}

/// Where the database is.
#[derive(Clone, PartialEq, Eq)]
pub enum Location {
    /// A file, made if it is not there; its directory must be.
    Sqlite(PathBuf),
    /// A `postgres://` URL.
    Postgres(String),
}

impl std::fmt::Debug for Location {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Sqlite(path) => f.debug_tuple("Sqlite").field(path).finish(),
            // The URL may hold a password.
            Self::Postgres(_) => f.debug_tuple("Postgres").finish_non_exhaustive(),
        }
    }
}

/// The metadata store. Clones share connections and writer threads, which end when the last clone
/// is dropped or one is closed.
#[derive(Clone, Debug)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    location: Location,
    queue: Arc<Queue>,
    readers: Readers,
    writers: tokio::sync::Mutex<Vec<JoinHandle<()>>>,
}

/// A task that no other process has, until dropped; from [`Store::take_over`].
#[derive(Debug)]
pub struct Exclusive {
    /// The session that holds the advisory lock.
    _session: Option<deadpool_postgres::ClientWrapper>,
}

pub(crate) enum Readers {
    Sqlite(sqlite::Readers),
    Postgres(deadpool_postgres::Pool),
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let engine = match self.readers {
            Readers::Sqlite(_) => EngineKind::Sqlite,
            Readers::Postgres(_) => EngineKind::Postgres,
        };
        f.debug_struct("Inner").field("engine", &engine).finish_non_exhaustive()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.queue.close();
    }
}

impl Store {
    /// Connects and brings the schema up to date.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the database cannot be opened or reached, [`Error::NewerSchema`]
    /// if a newer program has migrated it, [`Error::Migration`], [`Error::Location`].
    pub async fn open(location: &Location) -> Result<Self, Error> {
        match location {
            Location::Sqlite(path) => Self::open_sqlite(path, |_| ()).await,
            Location::Postgres(url) => Self::open_postgres(url).await,
        }
    }

    pub(crate) async fn open_sqlite(
        path: &Path,
        watch: impl Fn(sqlite::CommitStep) + Send + 'static,
    ) -> Result<Self, Error> {
        let location = Location::Sqlite(path.to_owned());
        let readers = sqlite::Readers::new(path.to_owned());
        let path = path.to_owned();
        let connection = blocking(move || {
            let connection = sqlite::open_writer(&path)?;
            migrate::migrate(Engine::Sqlite(&connection))?;
            Ok(connection)
        })
        .await?;
        let queue = Arc::new(Queue::default());
        let served = Arc::clone(&queue);
        let writer = spawn_writer(move || sqlite::write(connection, &served, watch))?;
        Ok(Self::new(location, queue, Readers::Sqlite(readers), vec![writer]))
    }

    async fn open_postgres(url: &str) -> Result<Self, Error> {
        let config = postgres::parse(url)?;
        let readers = postgres::readers(&config)?;
        let migrated = config.clone();
        blocking(move || {
            let mut session = postgres::Session::connect(&migrated)?;
            migrate::migrate(Engine::Postgres(&mut session))
        })
        .await?;
        let queue = Arc::new(Queue::default());
        let mut writers = Vec::with_capacity(postgres::WRITERS);
        for _ in 0..postgres::WRITERS {
            let config = config.clone();
            let served = Arc::clone(&queue);
            writers.push(spawn_writer(move || postgres::write(&config, &served))?);
        }
        Ok(Self::new(Location::Postgres(url.to_owned()), queue, Readers::Postgres(readers), writers))
    }

    fn new(location: Location, queue: Arc<Queue>, readers: Readers, writers: Vec<JoinHandle<()>>) -> Self {
        let writers = tokio::sync::Mutex::new(writers);
        Self { inner: Arc::new(Inner { location, queue, readers, writers }) }
    }

    /// Runs `body` in a transaction and commits it if it returns `Ok`.
    ///
    /// The body holds SQL only and may run more than once. Once queued it runs to its end even if
    /// this future is dropped.
    ///
    /// # Errors
    /// The body's own, after which its writes are rolled back, or an [`Error`] of the transaction.
    pub async fn write<T, E, F>(&self, operation: &'static Operation, body: F) -> Result<T, E>
    where
        F: Fn(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        let (job, answer) = Write::new(operation, body);
        self.inner.queue.push(Box::new(job))?;
        match answer.await {
            Ok(result) => result,
            Err(_) => Err(Error::OutcomeUnknown.into()),
        }
    }

    /// Reads the first row, if there is one.
    ///
    /// # Errors
    /// What the statement failed with.
    pub async fn opt<T: FromRow>(&self, statement: &Statement, args: Args<'_>) -> Result<Option<T>, Error> {
        Ok(self.read(statement, args, 1).await?.pop())
    }

    /// Reads all rows.
    ///
    /// # Errors
    /// What the statement failed with.
    pub async fn all<T: FromRow>(&self, statement: &Statement, args: Args<'_>) -> Result<Vec<T>, Error> {
        self.read(statement, args, usize::MAX).await
    }

    async fn read<T: FromRow>(
        &self,
        statement: &Statement,
        args: Args<'_>,
        most: usize,
    ) -> Result<Vec<T>, Error> {
        match &self.inner.readers {
            Readers::Sqlite(readers) => {
                // The read itself never yields, and would starve the tasks beside it.
                consume_budget().await;
                readers.read(|connection| sqlite::query(connection, statement, args, most))
            }
            Readers::Postgres(pool) => postgres::read(pool, statement, args, most).await,
        }
    }

    /// Writes a copy of all rows as of one moment, but for those of the tables in `without`, as lines of JSON
    /// that [`Store::load`] reads on either engine; hands `out` back with the number of rows. It has a
    /// connection of its own and keeps no write waiting.
    ///
    /// # Errors
    /// [`Error::Output`], [`Error::Unavailable`], or what a statement failed with.
    pub async fn dump<W>(&self, mut out: W, without: &'static [&'static str]) -> Result<(W, RowCounts), Error>
    where
        W: io::Write + Send + 'static,
    {
        self.aside(move |engine| transfer::dump(engine, &mut out, without).map(|rows| (out, rows))).await
    }

    /// Fills an empty database from a copy that [`Store::dump`] wrote, in one transaction: all of it or nothing.
    /// The schema is that of the copy; [`Store::open`] brings it up to date.
    ///
    /// # Errors
    /// [`Error::NotEmpty`], [`Error::Input`], [`Error::NewerSchema`], or what a statement failed with.
    pub async fn load<R>(location: &Location, mut input: R) -> Result<RowCounts, Error>
    where
        R: BufRead + Send + 'static,
    {
        let location = location.clone();
        blocking(move || match location {
            Location::Sqlite(path) => {
                transfer::load(Engine::Sqlite(&sqlite::open_writer(&path)?), &mut input)
            }
            Location::Postgres(url) => {
                let mut session = postgres::Session::connect(&postgres::parse(&url)?)?;
                transfer::load(Engine::Postgres(&mut session), &mut input)
            }
        })
        .await
    }

    /// Whether the database has no table yet. A SQLite file is made if it is not there.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Location`], or what a statement failed with.
    pub async fn is_empty(location: &Location) -> Result<bool, Error> {
        let location = location.clone();
        blocking(move || match location {
            Location::Sqlite(path) => {
                Ok(catalog::tables(Engine::Sqlite(&sqlite::open_writer(&path)?))?.is_empty())
            }
            Location::Postgres(url) => {
                let mut session = postgres::Session::connect(&postgres::parse(&url)?)?;
                Ok(catalog::tables(Engine::Postgres(&mut session))?.is_empty())
            }
        })
        .await
    }

    /// Reads the whole database and says what contradicts in it, a sentence each: rows that refer to none,
    /// and on SQLite damaged pages and indexes.
    ///
    /// # Errors
    /// [`Error::Unavailable`], or what a statement failed with.
    pub async fn contradictions(&self) -> Result<Vec<String>, Error> {
        self.aside(catalog::contradictions).await
    }

    /// Runs what reads for long on a connection and a thread of its own.
    async fn aside<T: Send + 'static>(
        &self,
        work: impl FnOnce(Engine<'_>) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let location = self.inner.location.clone();
        blocking(move || match location {
            Location::Sqlite(path) => work(Engine::Sqlite(&sqlite::open_reader(&path)?)),
            Location::Postgres(url) => {
                let mut session = postgres::Session::connect(&postgres::parse(&url)?)?;
                work(Engine::Postgres(&mut session))
            }
        })
        .await
    }

    /// Takes `task` over for this process, unless another one that shares the database has it. It is let
    /// go with the answer, and when the connection that holds it breaks: what must never run twice needs
    /// more than this. The owner of a SQLite file has every task.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the database does not answer.
    pub async fn take_over(&self, task: &'static str) -> Result<Option<Exclusive>, Error> {
        match &self.inner.readers {
            Readers::Sqlite(_) => Ok(Some(Exclusive { _session: None })),
            Readers::Postgres(pool) => {
                let session = postgres::lock(pool, task).await?;
                Ok(session.map(|session| Exclusive { _session: Some(session) }))
            }
        }
    }

    /// Which database is behind it.
    #[must_use]
    pub fn engine(&self) -> EngineKind {
        match self.inner.readers {
            Readers::Sqlite(_) => EngineKind::Sqlite,
            Readers::Postgres(_) => EngineKind::Postgres,
        }
    }

    /// Finishes the writes that are queued and ends the threads and connections. What is asked
    /// later gets [`Error::Closed`].
    pub async fn close(&self) {
        self.inner.queue.close();
        match &self.inner.readers {
            Readers::Sqlite(readers) => readers.close(),
            Readers::Postgres(pool) => pool.close(),
        }
        let mut writers = self.inner.writers.lock().await;
        for writer in writers.drain(..) {
            if let Ok(Err(_)) = spawn_blocking(move || writer.join()).await {
                tracing::error!("a metadata writer thread panicked");
            }
        }
    }

    #[cfg(feature = "check")]
    pub(crate) fn readers(&self) -> &Readers {
        &self.inner.readers
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    spawn_blocking(work).await.unwrap_or(Err(Error::Panicked))
}

fn spawn_writer(work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, Error> {
    thread::Builder::new()
        .name("metadata-writer".to_owned())
        .spawn(work)
        .map_err(|error| Error::Unavailable(Arc::new(error)))
}
