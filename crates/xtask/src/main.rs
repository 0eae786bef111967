//! `cargo xtask`: sets up, checks, tests and measures this workspace.
//!
//! It knows the workspace's files and tools, never its code.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command-line program")]

mod files;
mod fuzz;
mod lines;
mod setup;
mod steps;
mod syncs;
mod tidy;
mod workspace;

use std::process::ExitCode;

use workspace::Workspace;

const USAGE: &str = "\
usage: cargo xtask COMMAND

  setup [bench]     install what the tests (and the benchmark's peers) need; Debian, as root
  test [STEP...]    all steps, or only those named: setup fmt tidy deny clippy unit build e2e
  tidy              check layers, file sizes, module headers and links
  prove [NAME]      run one slow proof, or list them
  prove fuzz [SECONDS] [TARGET...]
                    run the fuzz targets, each for 600 seconds if not said otherwise
  prove syncs [NAME...]
                    take each sync out of the code, one at a time, and see a test fail
  bench [ARG...]    compare the release build with its peers; arguments as of wharfinger-bench
  lines             lines of Rust per crate";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match run(&arguments) {
        Ok(Some(())) => ExitCode::SUCCESS,
        Ok(None) => {
            eprintln!("{USAGE}");
            ExitCode::from(2)
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// `None`: the arguments name no command.
fn run(arguments: &[&str]) -> anyhow::Result<Option<()>> {
    let workspace = Workspace::find()?;
    match arguments {
        ["setup"] => setup::run(&workspace, false)?,
        ["setup", "bench"] => setup::run(&workspace, true)?,
        ["test", only @ ..] if only.iter().all(|step| steps::STEPS.contains(step)) => {
            steps::test(&workspace, only)?;
        }
        ["tidy"] => tidy::run(&workspace.root)?,
        ["prove"] => steps::prove(&workspace, None)?,
        ["prove", "fuzz", arguments @ ..] => fuzz::prove(&workspace, arguments)?,
        ["prove", "syncs", only @ ..] => syncs::prove(&workspace, only)?,
        ["prove", name] => steps::prove(&workspace, Some(name))?,
        ["bench", arguments @ ..] => steps::bench(&workspace, arguments)?,
        ["lines"] => lines::run(&workspace.root)?,
        _ => return Ok(None),
    }
    Ok(Some(()))
}
