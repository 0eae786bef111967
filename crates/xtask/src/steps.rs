//! What is run with cargo: the steps of `test`, the slow proofs, the benchmark.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::workspace::{Workspace, run};
use crate::{fuzz, setup, syncs, tidy};

/// In the order they run: the cheapest first.
pub(crate) const STEPS: [&str; 8] = ["setup", "fmt", "tidy", "deny", "clippy", "unit", "build", "e2e"];

/// Runs the steps up to the first that fails, and says how long each took.
pub(crate) fn test(workspace: &Workspace, only: &[&str]) -> Result<()> {
    let _lock = workspace.lock()?;
    let mut times = Vec::new();
    let mut outcome = Ok(());
    for step in STEPS.into_iter().filter(|step| only.is_empty() || only.contains(step)) {
        println!("== {step}");
        let start = Instant::now();
        outcome = run_step(workspace, step).with_context(|| format!("step {step} failed"));
        times.push((step, start.elapsed()));
        if outcome.is_err() {
            break;
        }
    }
    print_times(&times);
    outcome
}

fn run_step(workspace: &Workspace, step: &str) -> Result<()> {
    match step {
        "setup" => setup::install(workspace, false),
        "fmt" => {
            run(&mut workspace.cargo(["fmt", "--all", "--check"])?)?;
            run(&mut workspace.cargo(["fmt", "--manifest-path", fuzz::MANIFEST, "--check"])?)
        }
        "tidy" => tidy::run(&workspace.root),
        "deny" => deny(workspace),
        "clippy" => {
            run(&mut workspace.cargo(["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"])?)?;
            // The proofs are no tests to cargo, and so not among all targets.
            let proofs = ["clippy", "-p", "wharfinger-e2e", "--test", "prove", "--", "-D", "warnings"];
            run(&mut workspace.cargo(proofs)?)?;
            let targets = ["clippy", "--manifest-path", fuzz::MANIFEST, "--", "-D", "warnings"];
            run(&mut workspace.cargo(targets)?)
        }
        "unit" => run(&mut workspace.cargo(["test", "--workspace", "--exclude", "wharfinger-e2e"])?),
        "build" => run(&mut workspace.cargo(["build", "-p", "wharfinger"])?),
        "e2e" => run(&mut e2e(workspace, "debug", &[])?),
        _ => bail!("there is no step {step}; the steps are {STEPS:?}"),
    }
}

fn deny(workspace: &Workspace) -> Result<()> {
    if !workspace.bin().join("cargo-deny").exists() {
        bail!("cargo-deny is missing; run `cargo xtask setup`");
    }
    // The check is offline and reads the sources of every package in the lock file.
    run(&mut workspace.cargo(["fetch", "--locked", "--quiet"])?)?;
    run(&mut workspace.cargo(["deny", "--offline", "check", "bans", "licenses", "sources"])?)?;
    // Fuzz targets are given to nobody: their licences don't matter, where they come from does.
    run(&mut workspace.cargo(["fetch", "--quiet", "--manifest-path", fuzz::MANIFEST])?)?;
    let arguments = ["deny", "--offline", "--manifest-path", fuzz::MANIFEST, "--config", "deny.toml"];
    run(workspace.cargo(arguments)?.args(["check", "bans", "sources"]))
}

/// `cargo test` of the end-to-end crate against the program built in `profile`.
fn e2e(workspace: &Workspace, profile: &str, arguments: &[&str]) -> Result<Command> {
    let mut command = workspace.cargo(["test", "-p", "wharfinger-e2e"])?;
    command.args(arguments);
    command.env("WHARFINGER_BIN", workspace.target().join(profile).join("wharfinger"));
    command.env("WHARFINGER_TOOLS", workspace.bin());
    Ok(command)
}

/// Runs the proof of that name, which CI does not run, or lists them all.
pub(crate) fn prove(workspace: &Workspace, name: Option<&str>) -> Result<()> {
    let _lock = workspace.lock()?;
    let proofs = ["--release", "--test", "prove", "--"];
    let Some(name) = name else {
        println!("mutants: changes to the policy crate's evaluator");
        println!("syncs [NAME...]: {}", syncs::names().join(" "));
        println!("interleavings: the collector meets others on PostgreSQL, statement by statement");
        println!("fuzz [SECONDS] [TARGET...]: {}", fuzz::targets(workspace)?.join(" "));
        return run(&mut e2e(workspace, "release", &[&proofs[..], &["--list"]].concat())?);
    };
    if name == "mutants" {
        return mutants(workspace);
    }
    let start = Instant::now();
    if name == "interleavings" {
        let test = ["test", "--release", "-p", "wharfinger-registry", "--test", "it", "--"];
        let mut command = workspace.cargo(test)?;
        command.args(["--nocapture", "--exact"]);
        command.arg("interleavings::nothing_is_lost_in_any_order").env("WHARFINGER_EVERY_ORDER", "1");
        run(&mut command)?;
        println!("{name}: {:.1} minutes", minutes(start.elapsed()));
        return Ok(());
    }
    run(&mut workspace.cargo(["build", "--release", "-p", "wharfinger"])?)?;
    let start = Instant::now();
    let arguments = [&proofs[..], &["--exact", name, "--nocapture"]].concat();
    run(&mut e2e(workspace, "release", &arguments)?)?;
    println!("{name}: {:.1} minutes", minutes(start.elapsed()));
    Ok(())
}

/// The modules of the policy crate that decide, and those that say what words mean.
const EVALUATOR: [&str; 12] = [
    "compile",
    "decide",
    "condition",
    "explain",
    "grants",
    "tree",
    "instant",
    "policy",
    "request",
    "check",
    "catalog",
    "variables",
];

/// Changes the evaluator in every small way and asks whether a test of its crate fails. One that should
/// not, since it changes nothing, goes into `.cargo/mutants.toml` with its reason.
fn mutants(workspace: &Workspace) -> Result<()> {
    setup::ensure(workspace, &setup::MUTANTS)?;
    let directory = workspace.cache.join("mutants");
    fs::create_dir_all(&directory)?;
    let mut command = workspace.cargo(["mutants", "--package", "wharfinger-policy", "--no-shuffle"])?;
    command.args(["--jobs", "1", "--minimum-test-timeout", "60", "--output"]).arg(&directory);
    command.args(EVALUATOR.map(|module| format!("--file=crates/policy/src/{module}.rs")));
    command.args(["--", "--test", "it"]);
    // Tests link faster without debug information, and a failure need not be made small.
    command.env("CARGO_PROFILE_DEV_DEBUG", "0").env("PROPTEST_MAX_SHRINK_ITERS", "0");
    run(command.env("CARGO_TARGET_DIR", directory.join("target")))
}

/// Builds everything in release and compares it with its peers.
pub(crate) fn bench(workspace: &Workspace, arguments: &[&str]) -> Result<()> {
    let _lock = workspace.lock()?;
    setup::install(workspace, true)?;
    run(&mut workspace.cargo(["build", "--release", "-p", "wharfinger", "-p", "wharfinger-bench"])?)?;
    let release = workspace.target().join("release");
    let mut command = Command::new(release.join("wharfinger-bench"));
    command.arg("--wharfinger").arg(release.join("wharfinger"));
    command.arg("--dir").arg(workspace.cache.join("bench")).args(arguments);
    run(&mut command)
}

fn print_times(times: &[(&str, Duration)]) {
    println!("\nstep     minutes");
    for (step, time) in times {
        println!("{step:<8} {:7.2}", minutes(*time));
    }
    println!("{:<8} {:7.2}", "total", minutes(times.iter().map(|(_, time)| *time).sum()));
}

fn minutes(time: Duration) -> f64 {
    time.as_secs_f64() / 60.0
}
