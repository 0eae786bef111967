//! A client may hang up at any byte of a push. The proof of the same name cuts ten times as often.

use wharfinger_e2e::hang_up::cut_pushes;
use wharfinger_testkit::program::EngineKind;

async fn a_push_that_is_cut_off_leaves_everything_or_nothing(engine: EngineKind) {
    cut_pushes(engine, 21, 1).await;
}

wharfinger_e2e::on_each_engine! { a_push_that_is_cut_off_leaves_everything_or_nothing }
