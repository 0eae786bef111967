//! What the tests of every change and the slow proofs have in common: pushes that are cut off, and
//! servers that are killed in the middle of them.
//!
//! It knows the program by its addresses, files and signals only.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    reason = "tests"
)]

pub mod differential;
pub mod hang_up;
pub mod kill;
pub mod raw;
pub mod syscalls;
pub mod token;
pub mod upload;

use std::future::Future;
use std::path::PathBuf;
use std::time::Duration;

use tokio::time::{Instant, sleep};

/// Runs each function as `name::sqlite` and `name::postgres`, with the engine.
#[macro_export]
macro_rules! on_each_engine {
    ($($name:ident)+) => {$(
        mod $name {
            #[tokio::test(flavor = "multi_thread")]
            async fn sqlite() {
                super::$name(wharfinger_testkit::program::EngineKind::Sqlite).await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn postgres() {
                super::$name(wharfinger_testkit::program::EngineKind::Postgres).await;
            }
        }
    )+};
}

/// Waits until the condition holds, and fails after a minute.
pub async fn wait_until<F, Fut>(what: &str, mut holds: F)
where
    F: FnMut() -> Fut,
    Fut: Future<Output = bool>,
{
    let deadline = Instant::now() + Duration::from_secs(60);
    while !holds().await {
        assert!(Instant::now() < deadline, "it never came: {what}");
        sleep(Duration::from_millis(5)).await;
    }
}

/// A file that `cargo xtask setup` installed.
pub fn tool(name: &str) -> PathBuf {
    let tools = std::env::var_os("WHARFINGER_TOOLS").map_or_else(
        || {
            let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
            let home = std::env::var_os("HOME").map(PathBuf::from);
            cache
                .or_else(|| home.map(|home| home.join(".cache")))
                .expect("HOME is set")
                .join("wharfinger/bin")
        },
        PathBuf::from,
    );
    let tool = tools.join(name);
    assert!(tool.is_file(), "{name} is not in {}: run `cargo xtask setup`", tools.display());
    tool
}
