//! What a body sees of its transaction: statements, and no way to end it.

use crate::operation::{Operation, Record};
use crate::statement::{Args, FromRow, Statement};
use crate::{EngineKind, Error, postgres, sqlite};

/// The transaction of one body, on either engine.
///
/// The first error of a statement poisons it: later calls give [`Error::Poisoned`], and the body
/// fails with the first error even if it returns `Ok`.
#[derive(Debug)]
pub struct Tx<'a> {
    engine: Engine<'a>,
    operation: &'static Operation,
    records: u32,
    pub(crate) failure: Option<Error>,
}

#[derive(Debug)]
pub(crate) enum Engine<'a> {
    Sqlite(&'a rusqlite::Connection),
    Postgres(&'a mut postgres::Session),
}

impl Engine<'_> {
    pub(crate) fn reborrow(&mut self) -> Engine<'_> {
        match self {
            Self::Sqlite(connection) => Engine::Sqlite(connection),
            Self::Postgres(session) => Engine::Postgres(session),
        }
    }
}

impl<'a> Tx<'a> {
    pub(crate) fn new(operation: &'static Operation, engine: Engine<'a>) -> Self {
        Self { engine, operation, records: 0, failure: None }
    }

    /// Runs a statement that gives no rows; the answer is how many rows it changed.
    ///
    /// # Errors
    /// What the statement failed with, or [`Error::Poisoned`].
    pub fn run(&mut self, statement: &Statement, args: Args<'_>) -> Result<u64, Error> {
        self.step(|engine| match engine {
            Engine::Sqlite(connection) => sqlite::execute(connection, statement, args),
            Engine::Postgres(session) => session.execute(statement, args),
        })
    }

    /// The first row, if there is one.
    ///
    /// # Errors
    /// What the statement failed with, or [`Error::Poisoned`].
    pub fn opt<T: FromRow>(&mut self, statement: &Statement, args: Args<'_>) -> Result<Option<T>, Error> {
        Ok(self.query(statement, args, 1)?.pop())
    }

    /// The first row, which must be there.
    ///
    /// # Errors
    /// [`Error::NoRow`] if it is not, what the statement failed with, or [`Error::Poisoned`].
    pub fn one<T: FromRow>(&mut self, statement: &Statement, args: Args<'_>) -> Result<T, Error> {
        self.opt(statement, args)?.ok_or(Error::NoRow { statement: statement.name })
    }

    /// All rows.
    ///
    /// # Errors
    /// What the statement failed with, or [`Error::Poisoned`].
    pub fn all<T: FromRow>(&mut self, statement: &Statement, args: Args<'_>) -> Result<Vec<T>, Error> {
        self.query(statement, args, usize::MAX)
    }

    /// The operation that this transaction belongs to.
    #[must_use]
    pub fn operation(&self) -> &'static Operation {
        self.operation
    }

    /// Counts an audit record; for the audit crate, when it has inserted one.
    pub fn count_record(&mut self) {
        self.records += 1;
    }

    pub(crate) fn engine(&self) -> EngineKind {
        match self.engine {
            Engine::Sqlite(_) => EngineKind::Sqlite,
            Engine::Postgres(_) => EngineKind::Postgres,
        }
    }

    /// Runs statements that have no parameters and no cache: migrations, and tests' own tables.
    pub(crate) fn script(&mut self, sql: &str) -> Result<(), Error> {
        self.step(|engine| match engine {
            Engine::Sqlite(connection) => sqlite::script(connection, sql),
            Engine::Postgres(session) => session.script(sql),
        })
    }

    /// Whether a body that returned `Ok` may be committed.
    pub(crate) fn verdict(&self) -> Result<(), Error> {
        if let Some(failure) = &self.failure {
            return Err(failure.clone());
        }
        let declared = match self.operation.record {
            Record::One => 1,
            Record::None(_) => 0,
        };
        if self.records != declared {
            let operation = self.operation.name;
            return Err(Error::RecordMissing { operation, found: self.records });
        }
        Ok(())
    }

    fn query<T: FromRow>(
        &mut self,
        statement: &Statement,
        args: Args<'_>,
        most: usize,
    ) -> Result<Vec<T>, Error> {
        self.step(|engine| match engine {
            Engine::Sqlite(connection) => sqlite::query(connection, statement, args, most),
            Engine::Postgres(session) => session.query(statement, args, most),
        })
    }

    fn step<T>(&mut self, act: impl FnOnce(&mut Engine<'a>) -> Result<T, Error>) -> Result<T, Error> {
        if self.failure.is_some() {
            return Err(Error::Poisoned);
        }
        act(&mut self.engine).inspect_err(|error| self.failure = Some(error.clone()))
    }
}
