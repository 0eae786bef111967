//! A copy of all metadata that either engine writes and either reads: lines of JSON.
//!
//! ```text
//! {"format":1,"schema":1}
//! {"table":"tenancy","columns":["id","ocid",…]}
//! [1,"ocid1.tenancy.oc1..a",…]
//! {"rows":{"tenancy":1,…}}
//! ```
//!
//! A table's line stands before its rows, and after the tables that it refers to. Integers and truth values are
//! numbers, bytes are base64. The last line counts the rows, so that a copy cut short is seen.
//!
//! A copy is one moment of the database. That moment is held by one read transaction, in which neither engine
//! keeps a writer waiting; SQLite's log grows meanwhile, for as long as it takes to write the rows down.

use std::collections::BTreeMap;
use std::io::{BufRead, Write};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::catalog::{self, COUNTED_KEYS, CountedKey, Table};
use crate::migrate::{self, DUMP, LOAD, SCHEMA_VERSION_NEWEST};
use crate::tx::{Engine, Tx};
use crate::{EngineKind, Error};

const FORMAT: i64 = 1;
/// Belongs to the schema, and comes with it.
const SCHEMA_VERSION_TABLE: &str = "schema_version";

/// Rows by table.
pub type RowCounts = BTreeMap<String, u64>;

/// A line that is not a row.
#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
enum Line {
    Head { format: i64, schema: i64 },
    Table { table: String, columns: Vec<String> },
    End { rows: RowCounts },
}

/// Writes all rows as of one moment, but for those of the tables in `without`.
pub(crate) fn dump(
    mut engine: Engine<'_>,
    out: &mut impl Write,
    without: &[&str],
) -> Result<RowCounts, Error> {
    let begin = match engine.kind() {
        EngineKind::Sqlite => "BEGIN",
        EngineKind::Postgres => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
    };
    engine.script(begin)?;
    let dumped = dump_rows(engine.reborrow(), out, without);
    engine.script("ROLLBACK")?;
    dumped
}

fn dump_rows(mut engine: Engine<'_>, out: &mut impl Write, without: &[&str]) -> Result<RowCounts, Error> {
    let schema: i64 = Tx::new(&DUMP, engine.reborrow()).one(&SCHEMA_VERSION_NEWEST, &[])?;
    write_line(out, &Line::Head { format: FORMAT, schema })?;
    let mut rows = RowCounts::new();
    for table in catalog::tables(engine.reborrow())? {
        if table.name == SCHEMA_VERSION_TABLE || without.contains(&table.name.as_str()) {
            continue;
        }
        let columns: Vec<String> = table.columns.iter().map(|(name, _)| name.clone()).collect();
        let sql = format!("SELECT {} FROM \"{}\"", quoted(&columns), table.name);
        write_line(out, &Line::Table { table: table.name.clone(), columns })?;
        let count = rows.entry(table.name).or_default();
        engine.each_row(&sql, |row| {
            *count += 1;
            write_line(out, &row)
        })?;
    }
    write_line(out, &Line::End { rows: rows.clone() })?;
    out.flush().map_err(|error| Error::Output(Arc::new(error)))?;
    Ok(rows)
}

fn quoted(columns: &[String]) -> String {
    columns.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ")
}

fn write_line(out: &mut impl Write, line: &impl Serialize) -> Result<(), Error> {
    let failed = |error: std::io::Error| Error::Output(Arc::new(error));
    serde_json::to_writer(&mut *out, line).map_err(|error| failed(error.into()))?;
    out.write_all(b"\n").map_err(failed)
}

/// Fills an empty database in one transaction, with the schema that the copy was made of.
pub(crate) fn load(mut engine: Engine<'_>, input: &mut impl BufRead) -> Result<RowCounts, Error> {
    let begin = match engine.kind() {
        // The order of tables does not help a table that refers to itself.
        EngineKind::Sqlite => "BEGIN IMMEDIATE; PRAGMA defer_foreign_keys = TRUE",
        EngineKind::Postgres => "BEGIN",
    };
    engine.script(begin)?;
    let loaded = load_rows(engine.reborrow(), input);
    let end = engine.script(if loaded.is_ok() { "COMMIT" } else { "ROLLBACK" });
    loaded.and_then(|rows| end.map(|()| rows))
}

fn load_rows(mut engine: Engine<'_>, input: &mut impl BufRead) -> Result<RowCounts, Error> {
    if !catalog::tables(engine.reborrow())?.is_empty() {
        return Err(Error::NotEmpty);
    }
    let mut lines = Lines { input, text: String::new(), number: 0 };
    match lines.next()? {
        Some(Text::Other(Line::Head { format: FORMAT, schema })) => {
            migrate::apply_to(&mut Tx::new(&LOAD, engine.reborrow()), schema)?;
        }
        _ => return Err(lines.wrong("it is not the head of a copy that this program can read")),
    }
    let tables = catalog::tables(engine.reborrow())?;
    let mut loaded = RowCounts::new();
    let mut line = lines.next()?;
    loop {
        match line {
            Some(Text::Other(Line::Table { table, columns })) => {
                let known = tables.iter().find(|known| known.name == table);
                let Some(into) = known.and_then(|known| Columns::of(known, &columns)) else {
                    return Err(lines.wrong(format!("the schema has no such table or columns: {table}")));
                };
                let mut count = 0;
                let after = engine.insert(&into, || match lines.next()? {
                    Some(Text::Row(row)) => {
                        let values = into.values(row).map_err(|reason| lines.wrong(reason))?;
                        count += 1;
                        Ok(Next::Row(values))
                    }
                    other => Ok(Next::Other(other)),
                })?;
                loaded.insert(table, count);
                line = after;
            }
            Some(Text::Other(Line::End { rows })) if rows == loaded => break,
            Some(Text::Other(Line::End { .. })) => {
                return Err(lines.wrong("it counts other rows than there are"));
            }
            _ => return Err(lines.wrong("a table or the end must stand here: the copy is not whole")),
        }
    }
    set_counters(engine)?;
    Ok(loaded)
}

/// The keys that the database counts up go on behind those that were brought.
fn set_counters(mut engine: Engine<'_>) -> Result<(), Error> {
    let counted: Vec<CountedKey> = Tx::new(&LOAD, engine.reborrow()).all(&COUNTED_KEYS, &[])?;
    for CountedKey { tab, col } in counted {
        engine.script(&format!(
            "SELECT setval(pg_get_serial_sequence('\"{tab}\"', '{col}'), max(\"{col}\")) FROM \"{tab}\""
        ))?;
    }
    Ok(())
}

enum Text {
    Row(Vec<Value>),
    Other(Line),
}

/// The next row of a table, or what stands behind its last one.
pub(crate) enum Next<T> {
    Row(Vec<Cell>),
    Other(T),
}

struct Lines<'a, R> {
    input: &'a mut R,
    text: String,
    number: u64,
}

impl<R: BufRead> Lines<'_, R> {
    fn next(&mut self) -> Result<Option<Text>, Error> {
        self.text.clear();
        self.number += 1;
        let read = self.input.read_line(&mut self.text).map_err(|error| self.wrong(error.to_string()))?;
        if read == 0 {
            return Ok(None);
        }
        let parsed = if self.text.starts_with('[') {
            serde_json::from_str(&self.text).map(Text::Row)
        } else {
            serde_json::from_str(&self.text).map(Text::Other)
        };
        parsed.map(Some).map_err(|error| self.wrong(error.to_string()))
    }

    fn wrong(&self, reason: impl Into<String>) -> Error {
        Error::Input { line: self.number, reason: reason.into() }
    }
}

/// The rows of one table of a copy, each with the columns asked for, in that order. It trusts the copy to be whole:
/// its reader has a digest of it.
#[derive(Debug)]
pub struct CopiedRows<R> {
    input: R,
    number: u64,
    table: &'static str,
    columns: &'static [&'static str],
    /// Where the columns stand in a row, once the table's line was read.
    places: Option<Vec<usize>>,
    is_over: bool,
}

impl<R: BufRead> CopiedRows<R> {
    /// The rows of `table` in the copy that `input` is.
    pub fn new(input: R, table: &'static str, columns: &'static [&'static str]) -> CopiedRows<R> {
        CopiedRows { input, number: 0, table, columns, places: None, is_over: false }
    }

    fn step(&mut self) -> Result<Option<Vec<Value>>, Error> {
        if self.is_over {
            return Ok(None);
        }
        let mut lines = Lines { input: &mut self.input, text: String::new(), number: self.number };
        while let Some(text) = lines.next()? {
            self.number = lines.number;
            match (text, &self.places) {
                (Text::Row(mut row), Some(places)) => {
                    let value = |place: &usize| row.get_mut(*place).map(Value::take).unwrap_or_default();
                    return Ok(Some(places.iter().map(value).collect()));
                }
                (Text::Other(Line::Table { table, columns }), None) if table == self.table => {
                    let place = |name: &&str| columns.iter().position(|column| column == name);
                    let places: Option<Vec<usize>> = self.columns.iter().map(place).collect();
                    let wrong = || lines.wrong(format!("{table} lacks a column"));
                    self.places = Some(places.ok_or_else(wrong)?);
                }
                (Text::Other(_), Some(_)) => break,
                (Text::Row(_) | Text::Other(_), None) => {}
            }
        }
        self.is_over = true;
        Ok(None)
    }
}

impl<R: BufRead> Iterator for CopiedRows<R> {
    type Item = Result<Vec<Value>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        self.step().transpose()
    }
}

/// What a column holds, on either engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Integer,
    Bool,
    Text,
    Bytes,
}

impl Kind {
    /// Of the name that the engine gives a type.
    fn of(name: &str) -> Option<Kind> {
        Some(match name {
            "integer" | "bigint" => Kind::Integer,
            "boolean" => Kind::Bool,
            "text" => Kind::Text,
            "blob" | "bytea" => Kind::Bytes,
            _ => return None,
        })
    }
}

/// One value of a row, ready to be bound.
#[derive(Debug)]
pub(crate) enum Cell {
    Null(Kind),
    Integer(i64),
    Bool(bool),
    Text(String),
    Bytes(Vec<u8>),
}

/// The columns of a table that a copy has.
#[derive(Debug)]
pub(crate) struct Columns {
    pub(crate) table: String,
    names: Vec<String>,
    pub(crate) kinds: Vec<Kind>,
}

impl Columns {
    fn of(table: &Table, names: &[String]) -> Option<Columns> {
        let kind = |name: &String| {
            let (_, kind) = table.columns.iter().find(|(known, _)| known == name)?;
            Kind::of(kind)
        };
        let kinds = names.iter().map(kind).collect::<Option<_>>()?;
        Some(Columns { table: table.name.clone(), names: names.to_vec(), kinds })
    }

    pub(crate) fn quoted(&self) -> String {
        quoted(&self.names)
    }

    fn values(&self, row: Vec<Value>) -> Result<Vec<Cell>, String> {
        if row.len() != self.names.len() {
            return Err(format!(
                "a row of {} has {} values, not {}",
                self.table,
                row.len(),
                self.names.len()
            ));
        }
        let cells = row.into_iter().zip(&self.kinds).zip(&self.names);
        let read = cells.map(|((value, kind), name)| {
            cell(value, *kind).ok_or_else(|| format!("the value of {}.{name} is of another type", self.table))
        });
        read.collect()
    }
}

fn cell(value: Value, kind: Kind) -> Option<Cell> {
    Some(match (value, kind) {
        (Value::Null, kind) => Cell::Null(kind),
        (Value::Number(number), Kind::Integer) => Cell::Integer(number.as_i64()?),
        (Value::Number(number), Kind::Bool) => Cell::Bool(number.as_i64()? != 0),
        (Value::String(text), Kind::Text) => Cell::Text(text),
        (Value::String(text), Kind::Bytes) => Cell::Bytes(BASE64.decode(text).ok()?),
        _ => return None,
    })
}

/// Bytes as the copy has them.
pub(crate) fn bytes(bytes: &[u8]) -> Value {
    Value::String(BASE64.encode(bytes))
}

impl Engine<'_> {
    fn script(&mut self, sql: &str) -> Result<(), Error> {
        match self {
            Engine::Sqlite(connection) => crate::sqlite::script(connection, sql),
            Engine::Postgres(session) => session.script(sql),
        }
    }

    fn each_row(
        &mut self,
        sql: &str,
        each: impl FnMut(Vec<Value>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        match self {
            Engine::Sqlite(connection) => crate::sqlite::each_row(connection, sql, each),
            Engine::Postgres(session) => session.each_row(sql, each),
        }
    }

    fn insert<T>(
        &mut self,
        columns: &Columns,
        next: impl FnMut() -> Result<Next<T>, Error>,
    ) -> Result<T, Error> {
        match self {
            Engine::Sqlite(connection) => crate::sqlite::insert(connection, columns, next),
            Engine::Postgres(session) => session.insert(columns, next),
        }
    }
}
