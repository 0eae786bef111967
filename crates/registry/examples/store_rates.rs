//! How many manifests and blobs a second the store takes on either engine, beside the disk's own rate.
//!
//! `cargo run --release -p wharfinger-registry --example store_rates URL`, where URL is
//! that of an empty PostgreSQL database whose server syncs: rounds alternate between the
//! engines; the table holds medians. Blobs are in memory, so that only the store is measured.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "a measurement"
)]

use std::convert::Infallible;
use std::io::Write;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::stream;
use tokio::task::JoinSet;
use wharfinger_metastore::{EngineKind, Location, Store};
use wharfinger_testkit::engines;
use wharfinger_testkit::services::{Installation, found};
use wharfinger_types::{Digest, Reference};

const RUN: Duration = Duration::from_secs(2);
const ROUNDS: usize = 5;

#[derive(Clone, Copy, PartialEq)]
enum Operation {
    PutManifest,
    FinishUpload,
}

/// Appends and syncs 256 bytes, a row's worth, for a while; answers with the rate a second.
fn bare_append() -> f64 {
    let directory = wharfinger_testkit::TempDir::new();
    let mut file = std::fs::File::create(directory.path().join("append")).unwrap();
    let (started, mut appends) = (Instant::now(), 0);
    while started.elapsed() < RUN / 2 {
        file.write_all(&[7; 256]).unwrap();
        rustix::fs::fdatasync(file.as_fd()).unwrap();
        appends += 1;
    }
    f64::from(appends) / started.elapsed().as_secs_f64()
}

/// Each client works in a repository of its own, as pushes do.
async fn client(
    installation: Installation,
    number: usize,
    operation: Operation,
    until: Instant,
    done: Arc<AtomicUsize>,
) {
    let (ctx, image) = (installation.local(), installation.image(&format!("app{number}")));
    let registry = &installation.registry;
    let upload = async |bytes: String| {
        let (digest, size) = (Digest::sha256(bytes.as_bytes()), bytes.len());
        let body = stream::iter([Ok::<_, Infallible>(Bytes::from(bytes))]);
        registry.upload_blob(&ctx, &image, &digest, body).await.unwrap();
        (digest, size)
    };
    let mut layers = Vec::new();
    for layer in 0..9 {
        layers.push(upload(format!("{number} {layer}")).await);
    }
    let config = layers.remove(0);
    let mut round = 0;
    while Instant::now() < until {
        round += 1;
        if operation == Operation::FinishUpload {
            upload(format!("{number} blob {round} {:?}", Instant::now())).await;
        } else {
            let layers: Vec<_> = layers
                .iter()
                .map(|layer| serde_json::json!({ "digest": layer.0.as_str(), "size": layer.1 }))
                .collect();
            let nonce = format!("{round} {:?}", Instant::now());
            let manifest = serde_json::json!({
                "schemaVersion": 2, "config": { "digest": config.0.as_str(), "size": config.1 }, "layers": layers, "nonce": nonce
            });
            let body = stream::iter([Ok::<_, Infallible>(Bytes::from(manifest.to_string()))]);
            let tag: Reference = format!("v{round}").parse().unwrap();
            registry.put_manifest(&ctx, &image, &tag, &[], None, body).await.unwrap();
        }
        done.fetch_add(1, Ordering::Relaxed);
    }
}

async fn rate(installation: &Installation, operation: Operation, clients: usize) -> f64 {
    let done = Arc::new(AtomicUsize::new(0));
    let started = Instant::now();
    let mut running = JoinSet::new();
    for number in 0..clients {
        running.spawn(client(installation.clone(), number, operation, started + RUN, Arc::clone(&done)));
    }
    running.join_all().await;
    #[expect(clippy::cast_precision_loss, reason = "a few thousand")]
    let done = done.load(Ordering::Relaxed) as f64;
    done / started.elapsed().as_secs_f64()
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

#[tokio::main]
async fn main() {
    let sqlite = engines::open(EngineKind::Sqlite).await;
    let url =
        std::env::args().nth(1).expect("usage: store_rates postgres://… (an empty database, with fsync on)");
    let postgres = Store::open(&Location::Postgres(url)).await.unwrap();
    let installations = [found(sqlite.store.clone()).await, found(postgres.clone()).await];
    println!(
        "| operation | clients | SQLite /s | PostgreSQL /s | bare append + fdatasync /s |\n|---|---|---|---|---|"
    );
    for (name, operation) in
        [("put_manifest", Operation::PutManifest), ("finish_upload", Operation::FinishUpload)]
    {
        for clients in [1, 16, 64] {
            let (mut rates, mut bare) = ([Vec::new(), Vec::new()], Vec::new());
            for round in 0..ROUNDS {
                bare.push(bare_append());
                for turn in 0..2 {
                    let engine = (turn + round) % 2;
                    rates[engine].push(rate(&installations[engine], operation, clients).await);
                }
            }
            let [sqlite, postgres] = rates.each_mut().map(|rates| median(rates));
            println!("| {name} | {clients} | {sqlite:.0} | {postgres:.0} | {:.0} |", median(&mut bare));
        }
    }
    sqlite.store.close().await;
    postgres.close().await;
}
