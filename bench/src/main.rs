//! Compares wharfinger with the reference registry and with nginx on this machine: a report, not a gate.
//!
//! Runs alternate (A B C, then C B A), after one warm-up each, so that what else the machine does hits
//! all alike. Wall figures of runs beside much foreign work are left out while three quiet ones remain.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command-line program")]

mod http;
mod operation;
mod peer;
mod process;
mod report;
mod workload;

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};

use operation::{Operation, Sample};
use peer::{Kind, Peer};
use workload::Workload;

const USAGE: &str =
    "usage: wharfinger-bench [--wharfinger PROGRAM] [--dir DIRECTORY] [--rounds N] [--only OPERATION]...";

struct Options {
    wharfinger: String,
    directory: PathBuf,
    rounds: usize,
    only: Vec<Operation>,
}

fn main() -> ExitCode {
    let options = match parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(error) => {
            eprintln!("error: {error:#}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<()> {
    fs::create_dir_all(&options.directory)?;
    let lock = File::create(options.directory.join("lock"))?;
    lock.try_lock().with_context(|| format!("another benchmark runs in {}", options.directory.display()))?;

    eprintln!("making the workload");
    let workload = Workload::new();
    let programs = [
        (Kind::Wharfinger, options.wharfinger.as_str()),
        (Kind::DockerRegistry, "docker-registry"),
        (Kind::Nginx, "nginx"),
    ];
    let mut peers: Vec<Peer> =
        programs.map(|(kind, program)| Peer::new(kind, program, &options.directory)).into();
    peers.retain_mut(|peer| match peer.start_filled(&workload) {
        Ok(()) => true,
        Err(error) => {
            println!("{} is left out: {error:#}\n", peer.kind.name());
            false
        }
    });
    report::print_legend(options.rounds);
    for operation in options.only.iter().copied() {
        report::print(operation, &measure(operation, &mut peers, &workload, options.rounds));
    }
    Ok(())
}

fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Options> {
    let mut options = Options {
        wharfinger: "wharfinger".to_owned(),
        directory: std::env::temp_dir().join("wharfinger-bench"),
        rounds: 5,
        only: Vec::new(),
    };
    while let Some(argument) = arguments.next() {
        let value = arguments.next().with_context(|| format!("{argument} needs a value"))?;
        match argument.as_str() {
            "--wharfinger" => options.wharfinger = value,
            "--dir" => options.directory = PathBuf::from(value),
            "--rounds" => {
                options.rounds = value.parse().with_context(|| format!("--rounds {value}"))?;
            }
            "--only" => {
                let found = Operation::ALL.into_iter().find(|operation| operation.name() == value);
                let names = Operation::ALL.map(Operation::name).join(" ");
                options.only.push(found.with_context(|| format!("no operation {value}; there are {names}"))?);
            }
            _ => bail!("there is no {argument}"),
        }
    }
    if options.only.is_empty() {
        options.only = Operation::ALL.into();
    }
    Ok(options)
}

/// The runs of each peer that can do the operation, in the order of the rounds.
fn measure(
    operation: Operation,
    peers: &mut [Peer],
    workload: &Workload,
    rounds: usize,
) -> Vec<(Kind, Vec<Sample>)> {
    let able = peers.iter_mut().filter(|peer| operation.is_possible(peer.kind));
    let mut runs: Vec<(&mut Peer, Vec<Sample>)> = able.map(|peer| (peer, Vec::new())).collect();
    for round in 0..=rounds {
        runs.retain_mut(|(peer, samples)| match operation.run(peer, workload) {
            Ok(sample) => {
                let name = peer.kind.name();
                eprintln!(
                    "{} {round} {name}: {:.4}, foreign {:.2}",
                    operation.name(),
                    sample.figure,
                    sample.foreign
                );
                if round > 0 {
                    samples.push(sample);
                }
                true
            }
            Err(error) => {
                println!("{} is left out of {}: {error:#}\n", peer.kind.name(), operation.name());
                false
            }
        });
        runs.reverse();
    }
    let mut results: Vec<(Kind, Vec<Sample>)> =
        runs.into_iter().map(|(peer, samples)| (peer.kind, samples)).collect();
    results.sort_by_key(|(kind, _)| *kind);
    results
}
