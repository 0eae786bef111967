//! What tests ask of an engine: whether statements prepare, how they are planned, what the schema is.
//!
//! Only for tests; the program is built without it. It panics when the engine cannot be asked.
#![allow(clippy::expect_used, reason = "tests")]

use std::path::Path;

use rusqlite::Connection;

use crate::store::Readers;
use crate::{CommitStep, Error, Statement, Store, operations, sqlite};

operations! {
    /// Runs a test's own SQL.
    EXECUTE = execute { Durable, Guarded, unaudited "only tests run it" };
}

/// Opens a SQLite store whose writer tells `watch` of every commit.
///
/// # Errors
/// As [`Store::open`].
pub async fn watched(path: &Path, watch: impl Fn(CommitStep) + Send + 'static) -> Result<Store, Error> {
    Store::open_sqlite(path, watch).await
}

/// Runs SQL that has no parameters, such as that of a test's own tables, in one transaction of the
/// writer.
///
/// # Errors
/// What the SQL failed with.
pub async fn execute(store: &Store, sql: &str) -> Result<(), Error> {
    let sql = sql.to_owned();
    store.write(&EXECUTE, move |tx| tx.script(&sql)).await
}

/// Prepares and plans each statement; the answer is what is wrong with them.
///
/// Wrong is: it does not prepare; `$n` is not the n-th parameter on SQLite, which binds by position;
/// a table or index is read from end to end, unless `scans` names the statement (with the reason);
/// `json_each` is not the outermost loop, so that the list is parsed again for every row.
pub async fn statements(store: &Store, statements: &[&Statement], scans: &[(&str, &str)]) -> Vec<String> {
    let mut wrong: Vec<String> = scans
        .iter()
        .filter(|(name, _)| !statements.iter().any(|statement| statement.name == *name))
        .map(|(name, _)| format!("{name}: may scan, but there is no such statement"))
        .collect();
    let mut checked = Vec::with_capacity(statements.len());
    match store.readers() {
        Readers::Sqlite(readers) => {
            for statement in statements {
                let found = ask(readers, |connection| check_sqlite(connection, statement));
                checked.push((statement, found.map_err(|error| error.to_string())));
            }
        }
        Readers::Postgres(pool) => {
            let client = dedicated(pool).await;
            for statement in statements {
                let found = check_postgres(&client, statement)
                    .await
                    .map_err(|error| error.as_db_error().map_or(error.to_string(), ToString::to_string));
                checked.push((statement, found));
            }
        }
    }
    for (statement, found) in checked {
        let found = found.unwrap_or_else(|error| vec![format!("does not prepare: {error}")]);
        let may_scan = scans.iter().any(|(name, _)| *name == statement.name);
        wrong.extend(
            found
                .iter()
                .filter(|line| !(may_scan && line.starts_with(SCANS)))
                .map(|line| format!("{}: {line}", statement.name)),
        );
    }
    wrong
}

/// The names of a statement's columns, to be compared between engines and with
/// [`FromRow::COLUMNS`](crate::FromRow::COLUMNS).
///
/// # Panics
/// If it does not prepare.
pub async fn columns(store: &Store, statement: &Statement) -> Vec<String> {
    match store.readers() {
        Readers::Sqlite(readers) => ask(readers, |connection| {
            let prepared = connection.prepare(statement.sqlite).expect("the statement prepares");
            prepared.column_names().map(str::to_owned).collect()
        }),
        Readers::Postgres(pool) => {
            let prepared = dedicated(pool).await.prepare(statement.postgres).await.expect("it prepares");
            prepared.columns().iter().map(|column| column.name().to_owned()).collect()
        }
    }
}

/// The schema as sorted lines that are alike on both engines: each column with its nullability,
/// each unique key, each foreign key. On PostgreSQL also each text column whose collation is not
/// "C", which makes the comparison fail.
///
/// # Panics
/// If the engine cannot be asked.
pub async fn schema(store: &Store) -> Vec<String> {
    let mut lines = match store.readers() {
        Readers::Sqlite(readers) => ask(readers, |connection| {
            let mut asked = connection.prepare(SQLITE_SCHEMA).expect("the query prepares");
            let lines = asked.query_map([], |row| row.get(0)).expect("the query runs");
            lines.collect::<Result<Vec<String>, _>>().expect("it gives text")
        }),
        Readers::Postgres(pool) => {
            let rows = dedicated(pool).await.query(POSTGRES_SCHEMA, &[]).await;
            rows.expect("the query runs").iter().map(|row| row.get(0)).collect()
        }
    };
    lines.sort();
    lines
}

const SCANS: &str = "scans";

fn ask<T>(readers: &sqlite::Readers, question: impl FnOnce(&Connection) -> T) -> T {
    readers.read(|connection| Ok(question(connection))).expect("the store is open")
}

/// A connection out of the pool for good, because its settings are changed.
async fn dedicated(pool: &deadpool_postgres::Pool) -> deadpool_postgres::ClientWrapper {
    let client = pool.get().await.expect("the store is open and the server answers");
    deadpool_postgres::Object::take(client)
}

fn check_sqlite(connection: &Connection, statement: &Statement) -> Result<Vec<String>, rusqlite::Error> {
    let mut wrong = Vec::new();
    let prepared = connection.prepare(statement.sqlite)?;
    for index in 1..=prepared.parameter_count() {
        let name = prepared.parameter_name(index).unwrap_or("?");
        if name != format!("${index}") {
            wrong.push(format!("parameter {index} is {name}; use $1 to $n first in that order"));
        }
    }
    let mut explained = connection.prepare(&format!("EXPLAIN QUERY PLAN {}", statement.sqlite))?;
    let mut rows = explained.raw_query();
    let mut plan: Vec<(i64, String)> = Vec::new();
    while let Some(row) = rows.next()? {
        plan.push((row.get("parent")?, row.get("detail")?));
    }
    for (index, (parent, step)) in plan.iter().enumerate() {
        let earlier = plan.iter().take(index);
        if is_list(step) {
            let mut outer = earlier.filter(|(other, step)| other == parent && is_loop(step));
            if let Some((_, outer)) = outer.find(|(_, step)| !is_list(step)) {
                wrong.push(format!("reads its list within {outer:?}; put json_each first"));
            }
        } else if is_scan(step, &plan) {
            wrong.push(format!("{SCANS}: {step}"));
        }
    }
    Ok(wrong)
}

fn is_loop(step: &str) -> bool {
    step.starts_with("SCAN ") || step.starts_with("SEARCH ")
}

/// `json_each`, under whatever alias: there is no other virtual table.
fn is_list(step: &str) -> bool {
    step.starts_with("SCAN ") && step.contains(" VIRTUAL TABLE ")
}

/// Whether a step reads all of a table or index, and not of values or an inner query's answer.
fn is_scan(step: &str, plan: &[(i64, String)]) -> bool {
    let Some(source) = step.strip_prefix("SCAN ") else {
        return false;
    };
    let is_inner = plan.iter().any(|(_, other)| {
        let inner = other.strip_prefix("MATERIALIZE ").or_else(|| other.strip_prefix("CO-ROUTINE "));
        inner == Some(source)
    });
    !(is_inner || source.starts_with('(') || source.contains("CONSTANT ROW"))
}

async fn check_postgres(
    client: &tokio_postgres::Client,
    statement: &Statement,
) -> Result<Vec<String>, tokio_postgres::Error> {
    let parameters = client.prepare(statement.postgres).await?.params().len();
    let nulls = vec!["NULL"; parameters].join(", ");
    let args = if nulls.is_empty() { nulls } else { format!("({nulls})") };
    // A generic plan does not look at the values, so NULL will do for each.
    client
        .batch_execute("DEALLOCATE ALL; SET enable_seqscan = off; SET plan_cache_mode = force_generic_plan")
        .await?;
    client.batch_execute(&format!("PREPARE checked AS {}", statement.postgres)).await?;
    let plan = client.simple_query(&format!("EXPLAIN EXECUTE checked{args}")).await?;
    let lines = plan.iter().filter_map(|message| match message {
        tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0),
        _ => None,
    });
    Ok(lines
        .filter(|line| line.contains("Seq Scan on "))
        .map(|line| format!("{SCANS}: {}", line.trim()))
        .collect())
}

/// An INTEGER PRIMARY KEY is the rowid and never null, though it is not declared so.
const SQLITE_SCHEMA: &str = "
WITH tables AS (
    SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'
), columns AS (
    SELECT t.name AS tab, c.name AS col, c.type, c.\"notnull\" AS required, c.pk
    FROM tables t, pragma_table_info(t.name) c
), keys AS (
    SELECT t.name AS tab, i.partial, i.name AS idx
    FROM tables t, pragma_index_list(t.name) i WHERE i.\"unique\"
)
SELECT tab || '.' || col ||
    CASE WHEN required OR (pk AND type = 'INTEGER') THEN ' not null' ELSE ' null' END
FROM columns
UNION ALL
SELECT tab || ' unique (' || col || ')' FROM columns WHERE pk = 1 AND type = 'INTEGER'
    AND (SELECT max(pk) FROM columns other WHERE other.tab = columns.tab) = 1
UNION ALL
SELECT tab || ' unique (' ||
    (SELECT group_concat(name, ', ') FROM (SELECT coalesce(name, 'expression') AS name
        FROM pragma_index_info(idx) ORDER BY seqno)) ||
    ')' || CASE WHEN partial THEN ' partial' ELSE '' END
FROM keys
UNION ALL
SELECT tab || ' references ' || target || ' (' || group_concat(col, ', ') || ') on delete ' || action
FROM (SELECT t.name AS tab, k.id, k.\"table\" AS target, k.\"from\" AS col, lower(k.on_delete) AS action
    FROM tables t, pragma_foreign_key_list(t.name) k ORDER BY t.name, k.id, k.seq)
GROUP BY tab, id, target, action";

const POSTGRES_SCHEMA: &str = "
WITH tables AS (
    SELECT c.oid, c.relname::text AS tab FROM pg_class c
    WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind = 'r'
), columns AS (
    SELECT t.oid, t.tab, a.attname::text AS col, a.attnum, a.attnotnull, a.attcollation, a.atttypid
    FROM tables t JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped
)
SELECT tab || '.' || col || CASE WHEN attnotnull THEN ' not null' ELSE ' null' END FROM columns
UNION ALL
SELECT tab || '.' || col || ' has a collation other than \"C\"' FROM columns
WHERE attcollation <> 0 AND attcollation <> '\"C\"'::regcollation
UNION ALL
SELECT t.tab || ' unique (' ||
    (SELECT string_agg(coalesce(c.col, 'expression'), ', ' ORDER BY k.place)
     FROM unnest(i.indkey) WITH ORDINALITY k(attnum, place)
     LEFT JOIN columns c ON c.oid = t.oid AND c.attnum = k.attnum
     WHERE k.place <= i.indnkeyatts) ||
    ')' || CASE WHEN i.indpred IS NULL THEN '' ELSE ' partial' END
FROM tables t JOIN pg_index i ON i.indrelid = t.oid AND i.indisunique
UNION ALL
SELECT t.tab || ' references ' || f.relname || ' (' ||
    (SELECT string_agg(c.col, ', ' ORDER BY k.place)
     FROM unnest(r.conkey) WITH ORDINALITY k(attnum, place)
     JOIN columns c ON c.oid = t.oid AND c.attnum = k.attnum) ||
    ') on delete ' || CASE r.confdeltype WHEN 'a' THEN 'no action' WHEN 'r' THEN 'restrict'
        WHEN 'c' THEN 'cascade' WHEN 'n' THEN 'set null' ELSE 'set default' END
FROM tables t JOIN pg_constraint r ON r.conrelid = t.oid AND r.contype = 'f'
JOIN pg_class f ON f.oid = r.confrelid";
