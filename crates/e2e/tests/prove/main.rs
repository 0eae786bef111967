//! Slow proofs, each run by its name with `cargo xtask prove NAME`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    reason = "tests"
)]

mod differential;
mod gc;
mod kills;
mod lists;
mod memory;

use wharfinger_testkit::program::EngineKind;

const ENGINES: [EngineKind; 2] = [EngineKind::Sqlite, EngineKind::Postgres];

/// 200 pushes are cut off on each engine.
#[tokio::test(flavor = "multi_thread")]
async fn hang_up() {
    for engine in ENGINES {
        wharfinger_e2e::hang_up::cut_pushes(engine, 200, 2).await;
        println!("{engine:?}: 200 pushes cut off, each left everything or nothing");
    }
}

/// 1,000 kills on SQLite and 500 on PostgreSQL, or `WHARFINGER_KILLS=SQLITE,POSTGRES`, from `WHARFINGER_SEED` on.
#[tokio::test(flavor = "multi_thread")]
async fn kills() {
    kills::lose_nothing().await;
}

/// A page costs the same however long the list is.
#[tokio::test(flavor = "multi_thread")]
async fn lists() {
    for engine in ENGINES {
        lists::cost_no_more_when_long(engine).await;
    }
}

/// 20,000 requests are answered as the reference registry does, but for what is meant to differ.
#[tokio::test(flavor = "multi_thread")]
async fn differential() {
    differential::only_as_intended().await;
}

/// 200,000 dead blobs are collected, through kills, and pulls do not notice.
#[tokio::test(flavor = "multi_thread")]
async fn gc() {
    for engine in ENGINES {
        gc::many_dead_blobs_are_collected(engine).await;
    }
}

/// Anonymous memory stays within its bounds while many clients push at once.
#[tokio::test(flavor = "multi_thread")]
async fn memory() {
    for engine in ENGINES {
        memory::stays_within_bounds(engine).await;
    }
}
