//! The official conformance suite of the Distribution spec, authenticated, at version 1.0.

use std::path::PathBuf;
use std::process::Command;

use wharfinger_testkit::TempDir;
use wharfinger_testkit::program::{EngineKind, Program};

/// What is skipped, and why that is right.
const SKIPS: [&str; 1] = [
    // A mount may be answered with an upload session, and is for now.
    "OCI Conformance Test/sha256 blobs/mount/blob-mount: Skip",
];

fn suite() -> PathBuf {
    let tools = std::env::var_os("WHARFINGER_TOOLS").map_or_else(
        || {
            let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
            let home = std::env::var_os("HOME").map(PathBuf::from);
            cache
                .or_else(|| home.map(|home| home.join(".cache")))
                .expect("HOME is set")
                .join("wharfinger/bin")
        },
        PathBuf::from,
    );
    let suite = tools.join("conformance");
    assert!(
        suite.is_file(),
        "the conformance suite is not in {}: run `cargo xtask setup`",
        tools.display()
    );
    suite
}

async fn conforms_at_1_0(engine: EngineKind) {
    let mut program = Program::start(engine);
    let results = TempDir::new();
    let bootstrap = &program.bootstrap;
    let output = Command::new("timeout")
        .arg("240")
        .arg(suite())
        .current_dir(results.path())
        .env("OCI_REGISTRY", program.address().to_string())
        .env("OCI_TLS", "disabled")
        .env("OCI_REPO1", program.image("conformance/one"))
        .env("OCI_REPO2", program.image("conformance/two"))
        .env(
            "OCI_USERNAME",
            format!("{}/{}", bootstrap.namespace, bootstrap.username),
        )
        .env("OCI_PASSWORD", &bootstrap.auth_token)
        .env("OCI_CACHE_AUTH", "true")
        .env("OCI_VERSION", "1.0")
        .env("OCI_DATA_SHA512", "false")
        .env("OCI_RESULTS_DIR", results.path())
        .env("OCI_LOG", "warn")
        .output()
        .unwrap();
    let report = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{report}\n{errors}");
    for figure in ["FAIL", "Error"] {
        assert_eq!(count(&report, figure), 0, "{report}");
    }
    println!(
        "conformance 1.0 on {engine:?}: {} pass, {} skip, {} in all",
        count(&report, "Pass"),
        count(&report, "Skip"),
        count(&report, "Total")
    );
    let skips: Vec<&str> = report
        .lines()
        .map(str::trim)
        .filter(|line| line.ends_with(": Skip"))
        .collect();
    println!("skipped: {skips:?}");
    assert_eq!(skips, SKIPS, "the skips are no longer those that are known");
    assert_eq!(count(&report, "Skip"), SKIPS.len());
    program.stop();
}

/// A figure of the summary, such as `FAIL.....:  0`.
fn count(report: &str, name: &str) -> usize {
    let figure = report.lines().find_map(|line| {
        let (left, right) = line.trim().split_once(':')?;
        let is_it = left.trim_end_matches('.') == name;
        is_it.then(|| right.trim().parse().ok())?
    });
    figure.unwrap_or_else(|| panic!("no count of {name} in {report}"))
}

wharfinger_e2e::on_each_engine! { conforms_at_1_0 }
