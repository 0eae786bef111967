//! What tables a database has, in which order they can be filled, and whether their rows agree.

use std::collections::BTreeMap;

use crate::migrate::DUMP;
use crate::tx::{Engine, Tx};
use crate::{EngineKind, Error, Statement, row};

/// Every column, table by table, in the order of its table. None of these reads a table of ours.
const TABLE_COLUMNS: Statement = Statement::new(
    "TABLE_COLUMNS",
    "SELECT t.name AS tab, c.name AS col, lower(c.type) AS kind FROM sqlite_schema t, pragma_table_info(t.name) c
     WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY t.name, c.cid",
    "SELECT c.relname::text AS tab, a.attname::text AS col, format_type(a.atttypid, NULL) AS kind
     FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
     WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind = 'r' ORDER BY c.relname, a.attnum",
);
/// Every column of every foreign key, key by key.
const KEY_COLUMNS: Statement = Statement::new(
    "KEY_COLUMNS",
    "SELECT t.name AS tab, t.name || '.' || k.id AS key, k.\"table\" AS target, k.\"from\" AS col, k.\"to\" AS target_col
     FROM sqlite_schema t, pragma_foreign_key_list(t.name) k WHERE t.type = 'table' ORDER BY t.name, k.id, k.seq",
    "SELECT c.relname::text AS tab, c.relname::text || '.' || k.conname::text AS key, f.relname::text AS target,
         a.attname::text AS col, b.attname::text AS target_col
     FROM pg_constraint k
     JOIN pg_class c ON c.oid = k.conrelid AND c.relnamespace = current_schema()::regnamespace
     JOIN pg_class f ON f.oid = k.confrelid
     CROSS JOIN unnest(k.conkey, k.confkey) WITH ORDINALITY n(here, there, place)
     JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = n.here
     JOIN pg_attribute b ON b.attrelid = k.confrelid AND b.attnum = n.there
     WHERE k.contype = 'f' ORDER BY c.relname, k.conname, n.place",
);
/// Tables whose key the database counts up, with the key's column. SQLite does without a counter.
pub(crate) const COUNTED_KEYS: Statement = Statement::new(
    "COUNTED_KEYS",
    "SELECT '' AS tab, '' AS col WHERE FALSE",
    "SELECT c.relname::text AS tab, a.attname::text AS col
     FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attidentity <> ''
     WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind = 'r' ORDER BY c.relname",
);

row! {
    struct TableColumn { tab: String, col: String, kind: String }
    struct KeyColumn { tab: String, key: String, target: String, col: String, target_col: String }
    /// A key that the database counts up.
    pub(crate) struct CountedKey { pub(crate) tab: String, pub(crate) col: String }
}

/// A table as both engines know it.
#[derive(Debug, Default)]
pub(crate) struct Table {
    pub(crate) name: String,
    /// Names and the engine's types.
    pub(crate) columns: Vec<(String, String)>,
    keys: BTreeMap<String, Key>,
}

#[derive(Debug, Default)]
struct Key {
    target: String,
    columns: Vec<(String, String)>,
}

/// Every table, each after those that it refers to.
pub(crate) fn tables(mut engine: Engine<'_>) -> Result<Vec<Table>, Error> {
    let mut tx = Tx::new(&DUMP, engine.reborrow());
    let mut tables: BTreeMap<String, Table> = BTreeMap::new();
    for TableColumn { tab, col, kind } in tx.all(&TABLE_COLUMNS, &[])? {
        let table = tables.entry(tab.clone()).or_default();
        table.name = tab;
        table.columns.push((col, kind));
    }
    for KeyColumn { tab, key, target, col, target_col } in tx.all(&KEY_COLUMNS, &[])? {
        let key = tables.entry(tab).or_default().keys.entry(key).or_default();
        key.target = target;
        key.columns.push((col, target_col));
    }
    let mut ordered: Vec<Table> = Vec::with_capacity(tables.len());
    while !tables.is_empty() {
        let is_filled = |key: &Key, table: &str| key.target == table || !tables.contains_key(&key.target);
        let ready = tables.values().find(|table| table.keys.values().all(|key| is_filled(key, &table.name)));
        // The schema's own test would fail first: no row of such tables could be inserted.
        let next = ready.or_else(|| tables.values().next()).map(|table| table.name.clone());
        ordered.extend(next.and_then(|name| tables.remove(&name)));
    }
    Ok(ordered)
}

/// What contradicts in the database itself, a sentence each: rows that refer to none, and, on SQLite, what
/// its own check of pages and indexes finds.
pub(crate) fn contradictions(mut engine: Engine<'_>) -> Result<Vec<String>, Error> {
    let mut found = match &engine {
        Engine::Sqlite(connection) => crate::sqlite::texts(connection, "PRAGMA integrity_check(100)")?,
        Engine::Postgres(_) => Vec::new(),
    };
    found.retain(|line| line != "ok");
    for table in tables(engine.reborrow())? {
        for key in table.keys.values() {
            let lost: i64 = engine.count(&key.lost(&table.name))?;
            if lost > 0 {
                found.push(format!(
                    "{lost} rows of {} refer to rows of {} that are not there",
                    table.name, key.target
                ));
            }
        }
    }
    Ok(found)
}

impl Key {
    /// Counts the rows that refer to none.
    fn lost(&self, table: &str) -> String {
        let pairs = |with: &str, each: &dyn Fn(&(String, String)) -> String| {
            self.columns.iter().map(each).collect::<Vec<_>>().join(with)
        };
        let refers = pairs(" AND ", &|(here, _)| format!("c.\"{here}\" IS NOT NULL"));
        let is_found = pairs(" AND ", &|(here, there)| format!("p.\"{there}\" = c.\"{here}\""));
        format!(
            "SELECT count(*) FROM \"{table}\" c WHERE {refers} AND NOT EXISTS (SELECT 1 FROM \"{}\" p WHERE {is_found})",
            self.target
        )
    }
}

impl Engine<'_> {
    /// The one number that a query gives.
    fn count(&mut self, sql: &str) -> Result<i64, Error> {
        match self {
            Engine::Sqlite(connection) => crate::sqlite::number(connection, sql),
            Engine::Postgres(session) => session.number(sql),
        }
    }

    pub(crate) fn kind(&self) -> EngineKind {
        match self {
            Engine::Sqlite(_) => EngineKind::Sqlite,
            Engine::Postgres(_) => EngineKind::Postgres,
        }
    }
}
