//! How much anonymous memory the server takes while clients push.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::StatusCode;
use hyper::body::{Body, Frame, SizeHint};
use sha2::{Digest as _, Sha256};
use tokio::task::JoinSet;
use wharfinger_testkit::http::{Client, Dice, expect, name_digest};
use wharfinger_testkit::program::{EngineKind, Program};

const CHUNK_BYTES: usize = 1 << 20;
const CHUNKS: usize = 64;
const SAMPLE_EVERY: Duration = Duration::from_millis(100);
const LIMIT_BYTES: u64 = 150_000_000;

pub(crate) async fn stays_within_bounds(engine: EngineKind) {
    let few = peak(engine, 32).await;
    let many = peak(engine, 64).await;
    let growth = (many as f64 / few as f64 - 1.0) * 100.0;
    println!("{engine:?}: 64 clients take {growth:+.1} % of what 32 take");
    assert!(few < LIMIT_BYTES, "{few} bytes with 32 clients");
    assert!(many * 10 < few * 12, "{many} bytes with 64 clients, {few} with 32");
}

/// The highest figure seen on a fresh server while that many clients push 64 MiB each.
async fn peak(engine: EngineKind, clients: usize) -> u64 {
    let mut program = Program::start(engine);
    let idle = program.rss_anon();
    let image = program.image("memory/app");
    let client = program.administrator();
    let started = Instant::now();
    let mut pushes = JoinSet::new();
    for seed in 0..clients {
        pushes.spawn(push(client.clone(), image.clone(), seed as u64));
    }
    let is_done = Arc::new(AtomicBool::new(false));
    let program_ref = &program;
    // Looked at when the sampler has ended: a panic before would wait for it forever.
    let mut outcomes = Vec::new();
    let (peak, samples) = thread::scope(|scope| {
        let done = Arc::clone(&is_done);
        let sampler = scope.spawn(move || {
            let (mut peak, mut samples) = (0, 0_u32);
            while !done.load(Ordering::Relaxed) {
                peak = peak.max(program_ref.rss_anon());
                samples += 1;
                thread::sleep(SAMPLE_EVERY);
            }
            (peak, samples)
        });
        tokio::task::block_in_place(|| {
            tokio::runtime::Handle::current().block_on(async {
                while let Some(pushed) = pushes.join_next().await {
                    outcomes.push(pushed);
                }
            });
        });
        is_done.store(true, Ordering::Relaxed);
        sampler.join().unwrap()
    });
    for outcome in outcomes {
        outcome.expect("every push is accepted");
    }
    let seconds = started.elapsed().as_secs_f64();
    let megabytes = (clients * CHUNKS * CHUNK_BYTES) as f64 / 1e6;
    println!(
        "{engine:?}: {clients} clients x 64 MiB: peak {:.1} MB (idle {:.1} MB, {samples} samples, {seconds:.1} s, {:.0} MB/s)",
        peak as f64 / 1e6,
        idle as f64 / 1e6,
        megabytes / seconds
    );
    program.stop();
    peak
}

async fn push(client: Client, image: String, seed: u64) {
    let chunk = Dice::new(seed).bytes(CHUNK_BYTES);
    let location = client.start_upload(&image).await.unwrap();
    let body = Repeated { chunk: chunk.clone(), left: CHUNKS };
    let appended = client.stream("PATCH", &location, &[], body).await.unwrap();
    expect(appended, StatusCode::ACCEPTED).unwrap();
    let mut hasher = Sha256::new();
    for _ in 0..CHUNKS {
        hasher.update(&chunk);
    }
    let closing = format!("{location}?digest={}", name_digest(hasher));
    let closed = client.send("PUT", &closing, &[], Bytes::new()).await;
    expect(closed.unwrap(), StatusCode::CREATED).unwrap();
}

/// A body of one chunk many times over, so that the clients take no memory to speak of.
struct Repeated {
    chunk: Bytes,
    left: usize,
}

impl Body for Repeated {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        self.left -= 1;
        Poll::Ready(Some(Ok(Frame::data(self.chunk.clone()))))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact((self.left * self.chunk.len()) as u64)
    }
}
