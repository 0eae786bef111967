//! The official conformance suite of the Distribution spec, authenticated, at each of its versions.

use std::process::Command;

use wharfinger_e2e::tool;
use wharfinger_testkit::TempDir;
use wharfinger_testkit::program::{EngineKind, Program};

/// What is skipped, and why that is right: nothing.
const SKIPS: [&str; 0] = [];

async fn conforms_at_1_0(engine: EngineKind) {
    let settings = [("OCI_VERSION", "1.0"), ("OCI_DATA_SHA512", "false")];
    conforms(&mut Program::start(engine), engine, &settings);
}

async fn conforms_at_1_1(engine: EngineKind) {
    conforms(&mut Program::start(engine), engine, &[("OCI_VERSION", "1.1")]);
}

/// What will be the next version.
async fn conforms_to_the_draft(engine: EngineKind) {
    let mut program = Program::start(engine);
    conforms(&mut program, engine, &[("OCI_VERSION", "dev")]);
}

/// The same with manifests whose layers or entries were never pushed.
async fn conforms_with_sparse_manifests(engine: EngineKind) {
    let setting = ("WHARFINGER__REGISTRY__ALLOW_SPARSE_MANIFESTS", "true");
    let mut program = Program::start_with(engine, &[setting]);
    conforms(&mut program, engine, &[("OCI_VERSION", "dev"), ("OCI_DATA_SPARSE", "true")]);
}

fn conforms(program: &mut Program, engine: EngineKind, settings: &[(&str, &str)]) {
    let results = TempDir::new();
    let bootstrap = &program.bootstrap;
    let output = Command::new("timeout")
        .arg("240")
        .arg(tool("conformance"))
        .current_dir(results.path())
        .env("OCI_REGISTRY", program.address().to_string())
        .env("OCI_TLS", "disabled")
        .env("OCI_REPO1", program.image("conformance/one"))
        .env("OCI_REPO2", program.image("conformance/two"))
        .env("OCI_USERNAME", format!("{}/{}", bootstrap.namespace, bootstrap.username))
        .env("OCI_PASSWORD", &bootstrap.auth_token)
        .env("OCI_CACHE_AUTH", "true")
        .envs(settings.iter().copied())
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
        "conformance {settings:?} on {engine:?}: {} pass, {} skip, {} in all",
        count(&report, "Pass"),
        count(&report, "Skip"),
        count(&report, "Total")
    );
    let skips: Vec<&str> = report.lines().map(str::trim).filter(|line| line.ends_with(": Skip")).collect();
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

wharfinger_e2e::on_each_engine! { conforms_at_1_0 conforms_at_1_1 conforms_to_the_draft conforms_with_sparse_manifests }
