//! Garbage collection of very many dead blobs: it ends, goes on after kills, and pulls do not notice it.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::StatusCode;
use serde_json::Value;
use tokio::task::JoinSet;
use wharfinger_testkit::http::{Client, Dice, digest, expect};
use wharfinger_testkit::program::{EngineKind, Program, binary};
use wharfinger_testkit::rows;

const DEAD: i64 = 200_000;
const ROUNDS: usize = 6;
/// How long pulls are measured, quiet and during a run.
const SPELL: Duration = Duration::from_secs(4);
const CLIENTS: usize = 4;
/// Between two pulls of a client: a load that leaves room, for a full machine shows every neighbour.
const PAUSE: Duration = Duration::from_millis(8);
const LAYER_BYTES: usize = 64 << 10;
/// What the collector may take of memory.
const MEMORY: u64 = 32 << 20;
/// What SQLite's pages in memory take as soon as much is read and written: 64 MiB of the writer, 8 of each reader.
const SQLITE_PAGES: u64 = 80 << 20;

pub(crate) async fn many_dead_blobs_are_collected(engine: EngineKind) {
    let environment = [("WHARFINGER__GC__INTERVAL", "0"), ("WHARFINGER__GC__READER_GRACE", "0")];
    let mut program = Program::start_with(engine, &environment);
    let image = program.image("app");
    let layer = Dice::new(1).bytes(LAYER_BYTES);
    program.administrator().push_image(&image, "1", &layer).await.unwrap();
    let token = program.administrator().token(&[&format!("repository:{image}:pull")]).await.unwrap();
    program.stop();
    let began = Instant::now();
    rows::fill_with_dead_blobs(&program.location(), &program.data_dir(), DEAD).await;
    println!("{engine:?}: {DEAD} dead blobs made in {:.1} s", began.elapsed().as_secs_f64());
    program.restart();

    let (mut quiet, mut busy) = (Vec::new(), Vec::new());
    let mut collecting = Duration::ZERO;
    for round in 0..ROUNDS {
        let client = program.anonymous().bearer(&token);
        let _warm = latencies(&client, &image, &layer, Duration::from_secs(1)).await;
        let calm = latencies(&client, &image, &layer, SPELL).await;
        let mut run = collect(&program);
        let began = Instant::now();
        let during = latencies(&client, &image, &layer, SPELL).await;
        let is_over = run.try_wait().unwrap().is_some();
        collecting += began.elapsed();
        program.kill();
        run.wait().unwrap();
        let left = rows::content_count(&program.location()).await;
        println!(
            "{engine:?}: round {round}: {} pulls, p99 {:.2} ms quiet; {} pulls, p99 {:.2} ms during a run; killed, {left} rows left",
            calm.len(),
            percentile(&calm),
            during.len(),
            percentile(&during)
        );
        program.restart();
        if is_over {
            break;
        }
        quiet.push(percentile(&calm));
        busy.push(percentile(&during));
    }
    assert!(quiet.len() >= 3, "the runs were too short to be measured: raise DEAD");
    let idle = program.rss_anon();
    let began = Instant::now();
    let (last, peak) = finish(&program, collect(&program));
    collecting += began.elapsed();
    println!("{engine:?}: the last run: {last}");
    let grown = peak.saturating_sub(idle);
    println!(
        "{engine:?}: collected in {:.1} s; memory grew by {:.1} MB",
        collecting.as_secs_f64(),
        grown as f64 / 1e6
    );
    let pages = if engine == EngineKind::Sqlite { SQLITE_PAGES } else { 0 };
    assert!(grown < MEMORY + pages, "{grown} bytes");

    let objects = objects(&program.data_dir());
    assert_eq!(objects, 2, "those of the image that is there");
    // Two blobs, two links, nothing to be removed.
    assert_eq!(rows::content_count(&program.location()).await, 4);
    let client = program.anonymous().bearer(&token);
    latencies(&client, &image, &layer, Duration::from_millis(100)).await;
    let ratio = median(&mut busy) / median(&mut quiet);
    println!(
        "{engine:?}: p99 of pulls during runs is {ratio:.2} x quiet (medians of {} rounds)",
        quiet.len()
    );
    assert!(ratio <= 1.3, "{ratio:.2}");
    program.stop();
}

/// Starts `wharfinger admin gc`.
fn collect(program: &Program) -> Child {
    let mut command = Command::new(binary());
    command.arg("--data-dir").arg(program.data_dir()).args(["--output", "json", "admin", "gc"]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    command.spawn().unwrap()
}

/// What the run printed, without its reasons, and the most memory that was seen meanwhile.
fn finish(program: &Program, run: Child) -> (Value, u64) {
    let is_done = Arc::new(AtomicBool::new(false));
    let done = Arc::clone(&is_done);
    std::thread::scope(|scope| {
        let sampler = scope.spawn(move || {
            let mut peak = 0;
            while !done.load(Ordering::Relaxed) {
                peak = program.rss_anon().max(peak);
                std::thread::sleep(Duration::from_millis(50));
            }
            peak
        });
        let output = run.wait_with_output().unwrap();
        is_done.store(true, Ordering::Relaxed);
        assert!(output.status.success());
        let mut collected: Value = serde_json::from_slice(&output.stdout).unwrap();
        collected.as_object_mut().unwrap().remove("reasons");
        (collected, sampler.join().unwrap())
    })
}

/// The times in milliseconds of pulls by several clients for that long, each a manifest and its layer.
async fn latencies(client: &Client, image: &str, layer: &Bytes, time: Duration) -> Vec<f64> {
    let end = Instant::now() + time;
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        let (client, layer) = (client.clone(), layer.clone());
        let paths = [format!("/v2/{image}/manifests/1"), format!("/v2/{image}/blobs/{}", digest(&layer))];
        clients.spawn(async move {
            let mut times = Vec::new();
            while Instant::now() < end {
                let began = Instant::now();
                let mut last = Bytes::new();
                for path in &paths {
                    let answer = client.send("GET", path, &[], Bytes::new()).await.unwrap();
                    last = expect(answer, StatusCode::OK).unwrap().into_body();
                }
                times.push(began.elapsed().as_secs_f64() * 1e3);
                assert!(last == layer, "the layer is whole");
                tokio::time::sleep(PAUSE).await;
            }
            times
        });
    }
    clients.join_all().await.concat()
}

/// The 99th.
fn percentile(times: &[f64]) -> f64 {
    let mut sorted = times.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() * 99 / 100]
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn objects(data_dir: &Path) -> usize {
    let shards = fs::read_dir(data_dir.join("objects")).unwrap();
    shards.map(|shard| fs::read_dir(shard.unwrap().path()).unwrap().count()).sum()
}
