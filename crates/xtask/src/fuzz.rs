//! The fuzz targets: a workspace of its own in `fuzz/`, built with the compiler's fuzzing flags.
//!
//! Inputs found stay in `fuzz/corpus` (not committed) and are taken up by the next run; those in `fuzz/seeds` are
//! written by hand. An input that breaks a law is left in `fuzz/artifacts`; it becomes a test of the crate concerned.

use std::fs::{self, File};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::workspace::{Workspace, run};
use crate::{files, setup};

pub(crate) const MANIFEST: &str = "fuzz/Cargo.toml";
const DEFAULT_SECONDS: u32 = 600;

/// Runs all targets, or those named, one after the other. The first argument may be how many seconds each runs.
pub(crate) fn prove(workspace: &Workspace, arguments: &[&str]) -> Result<()> {
    let seconds = arguments.first().and_then(|first| first.parse().ok());
    let named = if seconds.is_some() { arguments.get(1..).unwrap_or_default() } else { arguments };
    let targets = targets(workspace)?;
    if let Some(unknown) = named.iter().find(|name| !targets.iter().any(|target| target == *name)) {
        bail!("there is no fuzz target {unknown}; the targets are {}", targets.join(" "));
    }
    let _lock = workspace.lock()?;
    setup::ensure(workspace, &setup::FUZZ)?;
    run(&mut cargo_fuzz(workspace, "build")?)?;
    println!("{:<14} {:>7} {:>12} {:>9}  finding", "target", "seconds", "executions", "coverage");
    let mut findings = 0;
    for target in targets.iter().filter(|target| named.is_empty() || named.contains(&target.as_str())) {
        findings += usize::from(!fuzz(workspace, target, seconds.unwrap_or(DEFAULT_SECONDS))?);
    }
    if findings > 0 {
        bail!("{findings} targets have findings");
    }
    Ok(())
}

/// Their names, in order.
pub(crate) fn targets(workspace: &Workspace) -> Result<Vec<String>> {
    let sources = files::with_extension(&workspace.root.join("fuzz/fuzz_targets"), "rs")?;
    Ok(sources.iter().map(|path| files::name(&path.with_extension(""))).collect())
}

/// Prints one line; false if an input was found that breaks a law, takes too long or too much memory.
fn fuzz(workspace: &Workspace, target: &str, seconds: u32) -> Result<bool> {
    let (corpus, seeds) = (format!("fuzz/corpus/{target}"), format!("fuzz/seeds/{target}"));
    fs::create_dir_all(workspace.root.join(&corpus))?;
    let log = workspace.cache.join(format!("fuzz-{target}.log"));
    let mut command = cargo_fuzz(workspace, "run")?;
    command.args([target, &corpus]);
    command.args([&seeds].iter().filter(|seeds| workspace.root.join(seeds).exists()));
    command.args(["--", "-timeout=5", "-rss_limit_mb=2048", "-print_final_stats=1"]);
    command.arg(format!("-max_total_time={seconds}"));
    let dictionary = format!("fuzz/dictionaries/{target}.dict");
    if workspace.root.join(&dictionary).exists() {
        command.arg(format!("-dict={dictionary}"));
    }
    let output = File::create(&log).with_context(|| log.display().to_string())?;
    let status = command.stdout(output.try_clone()?).stderr(output).status()?;
    let text = String::from_utf8_lossy(&fs::read(&log)?).into_owned();
    let after = |label: &str| {
        let rest = text.rsplit_once(label).map_or("", |(_, rest)| rest);
        rest.split_whitespace().next().unwrap_or("-").to_owned()
    };
    let finding = if status.success() { "none".to_owned() } else { format!("see {}", log.display()) };
    let (executions, coverage) = (after("number_of_executed_units:"), after("cov: "));
    println!("{target:<14} {seconds:>7} {executions:>12} {coverage:>9}  {finding}");
    Ok(status.success())
}

fn cargo_fuzz(workspace: &Workspace, subcommand: &str) -> Result<Command> {
    let mut command = workspace.cargo(["fuzz", subcommand, "--fuzz-dir=fuzz"])?;
    command.env("CARGO_TARGET_DIR", workspace.target().join("fuzz"));
    // The flags that find memory errors are unstable; the compiler is the one that builds the program.
    command.env("RUSTC_BOOTSTRAP", "1");
    Ok(command)
}
