//! Every statement prepares on both engines, with equal columns and by an index.

use wharfinger_metastore::{EngineKind, check};
use wharfinger_testkit::engines;

const SCANS: &[(&str, &str)] = &[("MANIFEST_COPIES", "asked for a damaged manifest only")];

#[tokio::test(flavor = "multi_thread")]
async fn every_statement_prepares_and_uses_an_index_on_both_engines() {
    let all: Vec<_> = wharfinger_registry::STATEMENTS.iter().copied().flatten().copied().collect();
    assert!(all.len() > 20);
    let sqlite = engines::open(EngineKind::Sqlite).await;
    let postgres = engines::open(EngineKind::Postgres).await;
    let mut faults = check::statements(&sqlite.store, &all, SCANS).await;
    faults.extend(check::statements(&postgres.store, &all, SCANS).await);
    for statement in all {
        let one = check::columns(&sqlite.store, statement).await;
        let other = check::columns(&postgres.store, statement).await;
        if one != other {
            faults.push(format!("{}: columns {one:?} and {other:?}", statement.name()));
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}
