//! The server may be killed at any time. The proof of the same name kills ten times as often.

use wharfinger_e2e::kill::kill_in_pushes;
use wharfinger_testkit::program::EngineKind;

async fn a_kill_loses_nothing_acknowledged(engine: EngineKind) {
    kill_in_pushes(engine, 3, 1).await;
}

wharfinger_e2e::on_each_engine! { a_kill_loses_nothing_acknowledged }
