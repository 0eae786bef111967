//! Many answers beside the reference registry's, and whether every intended difference still is one.

use wharfinger_e2e::differential::compare;
use wharfinger_testkit::program::EngineKind::{Postgres, Sqlite};

const REQUESTS: usize = 20_000;

pub(crate) async fn only_as_intended() {
    let runs = [(Sqlite, 1), (Postgres, 2), (Sqlite, 3), (Postgres, 4)];
    let unmet = compare(&runs, REQUESTS / runs.len()).await;
    println!("{REQUESTS} requests of {} seeds differ only as intended", runs.len());
    assert!(unmet.is_empty(), "met no longer, so to be removed: {unmet:#?}");
}
