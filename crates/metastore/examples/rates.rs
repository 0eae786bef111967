//! How many writes a second the store acknowledges, beside how many times the disk can sync.
//!
//! `cargo run --release -p wharfinger-metastore --example rates -- DIRECTORY [postgres://…]`
//!
//! The body is shaped like the put of a manifest: ten statements, of which seven write. Each client
//! writes to a repository of its own, so no conflict is real. The database must be empty. A line is
//! the operation, the number of clients, the rate, and the median and 99th percentile.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "measures")]

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use wharfinger_metastore::{EngineKind, Error, Location, Store, Tx, check, operations, statements};

const RUN: Duration = Duration::from_secs(3);

statements! {
    REPOSITORY_INSERT = "INSERT INTO r_repository (id, version) VALUES ($1, 0) ON CONFLICT (id) DO NOTHING";
    REPOSITORY_TOUCH = "UPDATE r_repository SET version = version + 1 WHERE id = $1";
    REPOSITORY_VERSION = "SELECT version FROM r_repository WHERE id = $1";
    MANIFEST_BY_DIGEST = "SELECT id FROM r_manifest WHERE repository_id = $1 AND digest = $2";
    MANIFEST_INSERT = "INSERT INTO r_manifest (repository_id, digest, body) VALUES ($1, $2, $3) RETURNING id";
    REFERENCE_INSERT = "INSERT INTO r_reference (manifest_id, blob) VALUES ($1, $2)";
    TAG_SET = "INSERT INTO r_tag (repository_id, name, manifest_id) VALUES ($1, $2, $3) ON CONFLICT (repository_id, name) DO UPDATE SET manifest_id = excluded.manifest_id";
    TAG_COUNT = "SELECT count(*) AS tags FROM r_tag WHERE repository_id = $1";
    RECORD_INSERT = "INSERT INTO r_record (repository_id, what) VALUES ($1, $2)";
}

operations! {
    PUT = put { Durable, Guarded, unaudited "measured" };
    PUT_SERIALIZABLE = put_serializable { Durable, Serializable, unaudited "measured" };
    PUT_RELAXED = put_relaxed { Relaxed, Guarded, unaudited "measured" };
}

#[tokio::main]
async fn main() {
    let mut args = std::env::args().skip(1);
    let directory = PathBuf::from(args.next().unwrap());
    append(&directory);
    measure(Location::Sqlite(directory.join("rates.db"))).await;
    if let Some(url) = args.next() {
        measure(Location::Postgres(url)).await;
    }
}

fn append(directory: &Path) {
    let mut file = File::create(directory.join("append")).unwrap();
    let (start, mut count) = (Instant::now(), 0);
    while start.elapsed() < RUN {
        file.write_all(&[7; 256]).unwrap();
        file.sync_data().unwrap();
        count += 1;
    }
    println!("append 256 B + fdatasync: {}/s", count / RUN.as_secs());
}

async fn measure(location: Location) {
    let store = Store::open(&location).await.unwrap();
    let id = match store.engine() {
        EngineKind::Sqlite => "INTEGER PRIMARY KEY",
        EngineKind::Postgres => "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY",
    };
    let tables = format!(
        "CREATE TABLE r_repository (id BIGINT PRIMARY KEY, version BIGINT NOT NULL);
         CREATE TABLE r_manifest (id {id}, repository_id BIGINT NOT NULL REFERENCES r_repository (id),
             digest TEXT NOT NULL, body TEXT NOT NULL, UNIQUE (repository_id, digest));
         CREATE TABLE r_reference (manifest_id BIGINT NOT NULL REFERENCES r_manifest (id),
             blob BIGINT NOT NULL, PRIMARY KEY (manifest_id, blob));
         CREATE TABLE r_tag (repository_id BIGINT NOT NULL, name TEXT NOT NULL,
             manifest_id BIGINT NOT NULL REFERENCES r_manifest (id), PRIMARY KEY (repository_id, name));
         CREATE TABLE r_record (id {id}, repository_id BIGINT NOT NULL, what TEXT NOT NULL);"
    );
    check::execute(&store, &tables).await.unwrap();
    for operation in [&PUT, &PUT_SERIALIZABLE, &PUT_RELAXED] {
        for clients in [1, 16, 64] {
            let mut running = JoinSet::new();
            let start = Instant::now();
            for client in 0..clients {
                let store = store.clone();
                running.spawn(async move {
                    let mut times = Vec::new();
                    while start.elapsed() < RUN {
                        let asked = Instant::now();
                        let name = format!("{} {clients} {client} {}", operation.name, times.len());
                        let body = move |tx: &mut Tx<'_>| put(tx, client, &name);
                        store.write(operation, body).await.unwrap();
                        times.push(asked.elapsed());
                    }
                    times
                });
            }
            let mut times = running.join_all().await.concat();
            times.sort();
            let rate = times.len() as f64 / start.elapsed().as_secs_f64();
            let at = |percent| times.get(times.len() * percent / 100).unwrap();
            let (engine, name, p50, p99) = (store.engine(), operation.name, at(50), at(99));
            println!("{engine:?} {name}, {clients}: {rate:.0}/s, {p50:.1?}, {p99:.1?}");
        }
    }
    store.close().await;
}

fn put(tx: &mut Tx<'_>, client: i64, name: &String) -> Result<(), Error> {
    tx.run(&REPOSITORY_INSERT, &[&client])?;
    tx.run(&REPOSITORY_TOUCH, &[&client])?;
    tx.one::<i64>(&REPOSITORY_VERSION, &[&client])?;
    tx.opt::<i64>(&MANIFEST_BY_DIGEST, &[&client, name])?;
    let manifest: i64 = tx.one(&MANIFEST_INSERT, &[&client, name, &"m".repeat(700)])?;
    tx.run(&REFERENCE_INSERT, &[&manifest, &1_i64])?;
    tx.run(&REFERENCE_INSERT, &[&manifest, &2_i64])?;
    tx.run(&TAG_SET, &[&client, &"latest", &manifest])?;
    tx.one::<i64>(&TAG_COUNT, &[&client])?;
    tx.run(&RECORD_INSERT, &[&client, name]).map(drop)
}
