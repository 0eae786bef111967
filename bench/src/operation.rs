//! The operations that are measured: one run of one of them against one peer.

use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::http::{Client, Receive};
use crate::peer::{Kind, Peer, push};
use crate::process;
use crate::workload::{LARGE, MANIFEST_TYPE, Workload};

/// Other work on the machine may take this share of a core before a run counts as noisy.
const FOREIGN_LIMIT: f64 = 0.3;
/// Process CPU comes in steps of 10 ms, so a run repeats a pull until that is little.
const PULLS: u32 = 6;

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Operation {
    Start,
    Memory,
    PullDiscard,
    PullCopy,
    Manifest,
    PushLarge,
    PushSmall,
}

/// One run.
pub(crate) struct Sample {
    /// In the operation's unit.
    pub(crate) figure: f64,
    /// Server CPU per GB (seconds) or per request (µs), where the operation has one.
    pub(crate) cpu: Option<f64>,
    /// Cores used by neither server nor client.
    pub(crate) foreign: f64,
}

impl Sample {
    fn at_rest(figure: f64) -> Self {
        Self { figure, cpu: None, foreign: 0.0 }
    }

    pub(crate) fn is_noisy(&self) -> bool {
        self.foreign > FOREIGN_LIMIT
    }
}

impl Operation {
    pub(crate) const ALL: [Self; 7] = [
        Self::Start,
        Self::Memory,
        Self::PullDiscard,
        Self::PullCopy,
        Self::Manifest,
        Self::PushLarge,
        Self::PushSmall,
    ];

    /// The name for `--only`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Memory => "memory",
            Self::PullDiscard => "pull-discard",
            Self::PullCopy => "pull-copy",
            Self::Manifest => "manifest",
            Self::PushLarge => "push-large",
            Self::PushSmall => "push-small",
        }
    }

    /// What it is, the unit of its figure, the unit of its CPU.
    pub(crate) fn describe(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Start => ("Start to first answer, empty store", "ms", ""),
            Self::Memory => ("Anonymous memory, 10 s idle after start", "MiB", ""),
            Self::PullDiscard => ("Pull a 256 MiB blob, one connection, client discards", "GB/s", "CPU s/GB"),
            Self::PullCopy => ("Pull a 256 MiB blob, one connection, client copies", "GB/s", "CPU s/GB"),
            Self::Manifest => ("GET a manifest by tag, 16 connections", "requests/s", "CPU µs/request"),
            Self::PushLarge => {
                ("Durable push of a 256 MiB blob (POST, PUT), empty store", "GB/s", "CPU s/GB")
            }
            Self::PushSmall => {
                ("Durable push of 64 KiB blobs, 8 connections, empty store", "blobs/s", "CPU µs/blob")
            }
        }
    }

    pub(crate) fn is_possible(self, kind: Kind) -> bool {
        kind != Kind::Nginx || !matches!(self, Self::PushLarge | Self::PushSmall)
    }

    pub(crate) fn run(self, peer: &mut Peer, workload: &Workload) -> Result<Sample> {
        match self {
            Self::Start => return Ok(Sample::at_rest(peer.start_empty()?.as_secs_f64() * 1e3)),
            Self::Memory => {
                peer.start_empty()?;
                sleep(Duration::from_secs(10));
                return Ok(Sample::at_rest(process::anonymous_memory(&peer.pids()?)? / f64::from(1 << 20)));
            }
            Self::PushLarge | Self::PushSmall => drop(peer.start_empty()?),
            _ => peer.start_filled(workload)?,
        }
        peer.authorize()?;
        let path = format!("/v2/{}/blobs/{}", peer.repository, workload.layer.digest);
        let pids = peer.pids()?;
        let before = (process::machine_cpu()?, process::cpu(&pids), process::own_cpu());
        let start = Instant::now();
        let count = match self {
            Self::PullDiscard => pull(peer, &path, Receive::Discard)?,
            Self::PullCopy => pull(peer, &path, Receive::Copy)?,
            Self::Manifest => get_manifests(peer)?,
            Self::PushLarge => push_large(peer, workload)?,
            _ => push_small(peer, workload)?,
        };
        let wall = start.elapsed().as_secs_f64();
        let server = process::cpu(&pids) - before.1;
        let foreign = (process::machine_cpu()? - before.0) - server - (process::own_cpu() - before.2);
        let cpu_scale = if matches!(self, Self::Manifest | Self::PushSmall) { 1e6 } else { 1.0 };
        Ok(Sample {
            figure: count / wall,
            cpu: Some(cpu_scale * server / count),
            foreign: foreign.max(0.0) / wall,
        })
    }
}

/// Gigabytes received.
fn pull(peer: &Peer, path: &str, receive: Receive) -> Result<f64> {
    let mut client = Client::connect(peer.port, &peer.headers)?;
    for _ in 0..PULLS {
        client.pull(path, LARGE, receive)?;
    }
    Ok(f64::from(PULLS) * LARGE as f64 / 1e9)
}

/// Gigabytes sent.
fn push_large(peer: &Peer, workload: &Workload) -> Result<f64> {
    let mut client = Client::connect(peer.port, &peer.headers)?;
    push(&mut client, &peer.repository, &workload.layer.digest, &[&workload.layer.bytes])?;
    Ok(LARGE as f64 / 1e9)
}

/// Requests answered in 3 s.
fn get_manifests(peer: &Peer) -> Result<f64> {
    let mut command = process::bound_to_us("wrk");
    command.args(["-t1", "-c16", "-d3s", "-H", &format!("Accept: {MANIFEST_TYPE}")]);
    for header in peer.headers.lines() {
        command.args(["-H", header]);
    }
    command.arg(format!("http://127.0.0.1:{}/v2/{}/manifests/latest", peer.port, peer.repository));
    let output = command.stderr(Stdio::inherit()).output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() || text.contains("Non-2xx") || text.contains("Socket errors") {
        bail!("wrk: {}: {text}", output.status);
    }
    let count = text
        .lines()
        .find_map(|line| line.trim().split_once(" requests in "))
        .context("wrk named no requests")?;
    Ok(count.0.parse()?)
}

/// Blobs pushed in 2 s.
fn push_small(peer: &Peer, workload: &Workload) -> Result<f64> {
    let next = AtomicUsize::new(0);
    let end = Instant::now() + Duration::from_secs(2);
    let push_until_end = || -> Result<u32> {
        let mut client = Client::connect(peer.port, &peer.headers)?;
        let mut count = 0;
        while Instant::now() < end {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let digest =
                workload.small_digests.get(number).context("the workload has too few small blobs")?;
            push(
                &mut client,
                &peer.repository,
                digest,
                &[&(number as u64).to_le_bytes(), &workload.small_rest],
            )?;
            count += 1;
        }
        Ok(count)
    };
    scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(push_until_end)).collect();
        let mut sum = 0.0;
        for thread in threads {
            sum += f64::from(thread.join().map_err(|_| anyhow::anyhow!("a pushing thread panicked"))??);
        }
        Ok(sum)
    })
}
