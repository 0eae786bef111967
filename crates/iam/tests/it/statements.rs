//! Every statement prepares on both engines, with the columns its row type reads, and by an index.

use wharfinger_metastore::{EngineKind, check};
use wharfinger_testkit::engines;

/// Founding reads the whole of a table that has a handful of rows.
const SMALL: &[(&str, &str)] = &[
    ("TENANCY_INSERT", "founding is rare, and checks the tables that refer to tenancies"),
    ("TENANCY_COUNT", "asked once, at the start; a handful of tenancies"),
    ("TENANCY_FIRST", "a handful of tenancies"),
    ("TOKEN_KEY_NEWEST", "a handful of keys, asked once a process"),
];

#[tokio::test(flavor = "multi_thread")]
async fn every_statement_prepares_and_uses_an_index_on_both_engines() {
    let all: Vec<_> = wharfinger_iam::STATEMENTS.iter().copied().flatten().copied().collect();
    assert!(all.len() > 20);
    let sqlite = engines::open(EngineKind::Sqlite).await;
    let postgres = engines::open(EngineKind::Postgres).await;
    let mut faults = check::statements(&sqlite.store, &all, SMALL).await;
    faults.extend(check::statements(&postgres.store, &all, SMALL).await);
    for statement in all {
        let (one, other) = (
            check::columns(&sqlite.store, statement).await,
            check::columns(&postgres.store, statement).await,
        );
        if one != other {
            faults.push(format!("{}: columns {one:?} and {other:?}", statement.name()));
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}
