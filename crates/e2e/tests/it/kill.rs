//! The server may be killed at any time, and its disk and database may fail it. The proof `kills` does the same
//! many more times.

use wharfinger_e2e::kill::{Database, kill_in_traffic};
use wharfinger_testkit::program::EngineKind;

async fn thirty_kills_lose_nothing_acknowledged(engine: EngineKind) {
    let counts = kill_in_traffic(engine, Database::Shared, 30, 1).await;
    assert!(counts.at_calls + counts.at_starts > 0 && counts.other_troubles > 0, "{counts:?}");
}

wharfinger_e2e::on_each_engine! { thirty_kills_lose_nothing_acknowledged }
