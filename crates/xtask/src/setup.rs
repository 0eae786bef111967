//! Installs what the tests and the benchmark need, at pinned versions, once.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::workspace::{Workspace, run as run_command};

/// Debian packages and what they are for.
const TEST_PACKAGES: [(&str, &str); 8] = [
    ("docker.io", "push and pull with a real Docker engine"),
    ("skopeo", "copies between registries"),
    ("busybox-static", "the content of a test image that runs"),
    ("postgresql-15", "the second metadata engine"),
    ("openssl", "certificates for TLS tests, keys for signatures"),
    ("python3-venv", "Oracle's command line and SDK"),
    ("strace", "the order of system calls, and faults and kills at them"),
    ("docker-registry", "the answers to compare ours with, and the peer to beat"),
];
const BENCH_PACKAGES: [(&str, &str); 2] =
    [("nginx-light", "the limit for reads"), ("wrk", "the load for manifests")];

pub(crate) enum Installer {
    Go,
    Cargo,
    /// Into a virtual environment, the directory `CACHE/bin/NAME`.
    Python,
}

/// What is installed into `CACHE/bin`: name, source, version, installer, what for.
type Tool = (&'static str, &'static str, &'static str, Installer, &'static str);

const TOOLS: [Tool; 3] = [
    (
        "conformance",
        "github.com/opencontainers/distribution-spec/conformance",
        "v0.0.0-20260831232431-97274622c111",
        Installer::Go,
        "the official conformance suite",
    ),
    ("cargo-deny", "cargo-deny", "0.20.2", Installer::Cargo, "checks dependencies and licences"),
    ("oci-cli", "oci-cli", "3.95.1", Installer::Python, "Oracle's command line and SDK"),
];
/// Only for its proof.
pub(crate) const MUTANTS: Tool =
    ("cargo-mutants", "cargo-mutants", "27.1.0", Installer::Cargo, "changes code to see tests fail");
/// Only for the fuzz targets.
pub(crate) const FUZZ: Tool =
    ("cargo-fuzz", "cargo-fuzz", "0.13.2", Installer::Cargo, "builds and runs the fuzz targets");

pub(crate) fn run(workspace: &Workspace, bench: bool) -> Result<()> {
    let _lock = workspace.lock()?;
    install(workspace, bench)
}

/// As [`run`], for callers that hold the lock.
pub(crate) fn install(workspace: &Workspace, bench: bool) -> Result<()> {
    let started = Instant::now();
    let mut packages = TEST_PACKAGES.to_vec();
    if bench {
        packages.extend(BENCH_PACKAGES);
    }
    install_packages(&packages)?;
    for tool in &TOOLS {
        ensure(workspace, tool)?;
    }
    println!("setup: everything is there ({:.1} s)", started.elapsed().as_secs_f64());
    Ok(())
}

/// Installs a tool unless it is there at its version.
pub(crate) fn ensure(workspace: &Workspace, tool: &Tool) -> Result<()> {
    let (name, _, version, _, purpose) = tool;
    let stamp = workspace.bin().join(format!("{name}.version"));
    let installed = fs::read_to_string(&stamp).is_ok_and(|found| found == *version);
    if installed && workspace.bin().join(name).exists() {
        return Ok(());
    }
    println!("setup: installing {name} {version} ({purpose})");
    let start = Instant::now();
    install_tool(workspace, tool)?;
    fs::write(&stamp, version).with_context(|| stamp.display().to_string())?;
    println!("setup: {name} took {:.0} s", start.elapsed().as_secs_f64());
    Ok(())
}

fn install_tool(workspace: &Workspace, tool: &Tool) -> Result<()> {
    let (name, source, version, installer, _) = tool;
    match installer {
        Installer::Go => run_command(
            Command::new("go")
                .args(["install", &format!("{source}@{version}")])
                .env("GOBIN", workspace.bin())
                .env("GOFLAGS", "-buildvcs=false"),
        ),
        Installer::Cargo => run_command(
            workspace
                .cargo(["install", "--locked", "--root"])?
                .arg(&workspace.cache)
                .arg(format!("{source}@{version}"))
                .env("CARGO_TARGET_DIR", workspace.cache.join("target-tools")),
        ),
        Installer::Python => {
            let environment = workspace.bin().join(name);
            // Debian's, to which python3-venv belongs: PATH may have another one first.
            run_command(Command::new("/usr/bin/python3").args(["-m", "venv", "--clear"]).arg(&environment))?;
            run_command(
                Command::new(environment.join("bin/pip"))
                    .args(["install", "--quiet", "--no-input", "--disable-pip-version-check"])
                    .arg(format!("{source}=={version}")),
            )
        }
    }
}

fn install_packages(packages: &[(&str, &str)]) -> Result<()> {
    let mut missing = Vec::new();
    for (name, purpose) in packages {
        let is_installed = is_installed(name).with_context(|| {
            let all: Vec<_> = packages.iter().map(|(name, _)| *name).collect();
            format!("not Debian? install by hand what these packages hold: {}", all.join(" "))
        })?;
        if !is_installed {
            println!("setup: {name} is missing ({purpose})");
            missing.push(*name);
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    let wanted = missing.join(" ");
    if fs::metadata("/proc/self")?.uid() != 0 {
        bail!("not root; as root run: apt-get install --no-install-recommends {wanted}");
    }
    let start = Instant::now();
    let apt = |arguments: &[&str]| {
        let mut command = Command::new("apt-get");
        command.args(["-q", "-o", "DPkg::Lock::Timeout=300"]).args(arguments);
        run_command(command.env("DEBIAN_FRONTEND", "noninteractive"))
            .with_context(|| format!("install these packages by hand: {wanted}"))
    };
    apt(&["update"])?;
    apt(&[&["install", "-y", "--no-install-recommends"], missing.as_slice()].concat())?;
    println!("setup: packages took {:.0} s", start.elapsed().as_secs_f64());
    Ok(())
}

fn is_installed(package: &str) -> Result<bool> {
    let output = Command::new("dpkg-query")
        .args(["-W", "-f", "${db:Status-Status}", package])
        .output()
        .context("cannot run dpkg-query")?;
    Ok(output.stdout == b"installed")
}
