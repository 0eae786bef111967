//! A statement's name and text, what is bound to it, and what its rows are read into.

use crate::Error;

/// One SQL statement, known by name; made by [`statements!`](crate::statements).
///
/// Parameters are `$1` to `$n`, each first used in that order, because SQLite binds by position.
#[derive(Debug)]
pub struct Statement {
    pub(crate) name: &'static str,
    pub(crate) sqlite: &'static str,
    pub(crate) postgres: &'static str,
}

impl Statement {
    #[doc(hidden)]
    #[must_use]
    pub const fn new(name: &'static str, sqlite: &'static str, postgres: &'static str) -> Self {
        Self { name, sqlite, postgres }
    }

    /// The name it was given in [`statements!`](crate::statements).
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }
}

/// A value that can be bound on both engines.
pub trait Param: rusqlite::ToSql + postgres::types::ToSql + Sync {}

impl<T: rusqlite::ToSql + postgres::types::ToSql + Sync> Param for T {}

/// The values of `$1` to `$n`: `&[&id, &name]`.
pub type Args<'a> = &'a [&'a dyn Param];

/// What a column can be read into on both engines: `i64`, `i32`, `bool`, `String`, `Vec<u8>`, and
/// an `Option` of each.
pub trait Column: rusqlite::types::FromSql + for<'a> postgres::types::FromSql<'a> {}

impl<T: rusqlite::types::FromSql + for<'a> postgres::types::FromSql<'a>> Column for T {}

/// One row of a statement's answer.
#[derive(Debug)]
pub struct Row<'a> {
    pub(crate) statement: &'static str,
    pub(crate) columns: Columns<'a>,
}

#[derive(Debug)]
pub(crate) enum Columns<'a> {
    Sqlite(&'a rusqlite::Row<'a>),
    Postgres(&'a postgres::Row),
}

impl Row<'_> {
    /// The column at `index`, counted from 0.
    ///
    /// # Errors
    /// [`Error::Sql`] if there is no such column or it holds another type.
    pub fn get<T: Column>(&self, index: usize) -> Result<T, Error> {
        match self.columns {
            Columns::Sqlite(row) => row.get(index).map_err(|source| Error::sql(self.statement, source)),
            Columns::Postgres(row) => row.try_get(index).map_err(|source| Error::sql(self.statement, source)),
        }
    }
}

/// What a row can be read into; implemented by [`row!`](crate::row) and by every [`Column`].
pub trait FromRow: Sized {
    /// The names of the columns that are read, in order; empty where any name will do.
    const COLUMNS: &'static [&'static str];

    /// Reads the row.
    ///
    /// # Errors
    /// [`Error::Sql`] if a column is missing or holds another type.
    fn from_row(row: &Row<'_>) -> Result<Self, Error>;
}

impl<T: Column> FromRow for T {
    const COLUMNS: &'static [&'static str] = &[];

    fn from_row(row: &Row<'_>) -> Result<Self, Error> {
        row.get(0)
    }
}

/// Names SQL statements: a `pub(crate) const` each, and `STATEMENTS`, which lists them for the test
/// that prepares them all.
///
/// A statement has one text for both engines, or one each where they differ. At most one
/// `statements!` a module.
///
/// ```
/// wharfinger_metastore::statements! {
///     /// A repository by its name.
///     REPOSITORY_BY_NAME = "SELECT id, name FROM repository WHERE name = $1";
///     /// The blobs of a JSON list of digests.
///     BLOBS = sqlite "SELECT b.id FROM json_each($1) j CROSS JOIN blob b ON b.digest = j.value",
///         postgres "SELECT b.id FROM json_array_elements_text($1::text::json) j(value)
///             JOIN blob b ON b.digest = j.value";
/// }
/// # fn main() { assert_eq!(STATEMENTS[1].name(), BLOBS.name()) }
/// ```
#[macro_export]
macro_rules! statements {
    ($($(#[$meta:meta])* $name:ident = $(sqlite $sqlite:literal, postgres)? $text:literal;)*) => {
        $(
            $(#[$meta])*
            pub(crate) const $name: $crate::Statement = {
                #[allow(unused_mut, unused_assignments, reason = "only statements of two texts assign")]
                let mut sqlite = $text;
                $(sqlite = $sqlite;)?
                $crate::Statement::new(stringify!($name), sqlite, $text)
            };
        )*

        /// Every statement of this module.
        pub static STATEMENTS: &[&$crate::Statement] = &[$(&$name),*];
    };
}

/// Makes structs that are read from a row by position, in field order; the field names are the
/// column names. Derives `Debug` and `Clone`.
///
/// ```
/// wharfinger_metastore::row! {
///     /// A repository as it is stored.
///     pub struct RepositoryRow {
///         /// The key.
///         pub id: i64,
///         /// The name within its tenancy.
///         pub name: String,
///     }
/// }
/// # use wharfinger_metastore::FromRow;
/// # fn main() { assert_eq!(RepositoryRow::COLUMNS, ["id", "name"]) }
/// ```
#[macro_export]
macro_rules! row {
    ($(
        $(#[$meta:meta])*
        $vis:vis struct $name:ident {
            $($(#[$field_meta:meta])* $field_vis:vis $field:ident: $type:ty),+ $(,)?
        }
    )+) => {$(
        $(#[$meta])*
        #[derive(Debug, Clone)]
        $vis struct $name {
            $($(#[$field_meta])* $field_vis $field: $type),+
        }

        impl $crate::FromRow for $name {
            const COLUMNS: &'static [&'static str] = &[$(stringify!($field)),+];

            fn from_row(row: &$crate::Row<'_>) -> ::core::result::Result<Self, $crate::Error> {
                let mut columns = 0..;
                let mut next = || columns.next().unwrap_or_default();
                Ok(Self { $($field: row.get(next())?),+ })
            }
        }
    )+};
}
