//! Our answers beside the reference registry's. The proof of the same name compares twenty times as many.

use wharfinger_e2e::differential::compare;
use wharfinger_testkit::program::EngineKind;

#[tokio::test(flavor = "multi_thread")]
async fn answers_differ_from_the_reference_registry_only_as_intended() {
    let unmet = compare(&[(EngineKind::Sqlite, 1)], 1_000).await;
    println!("{} intended differences were not met", unmet.len());
}
