//! The tour of the README, run as it is pasted.

use std::fs;
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use wharfinger_e2e::tool;
use wharfinger_testkit::TempDir;
use wharfinger_testkit::program::{binary, wait};

use crate::docker::Docker;

const ADDRESS: &str = "127.0.0.1:5000";
const TOUR_TIMEOUT: Duration = Duration::from_secs(180);
/// What a shell that is not at a terminal needs beside the tour: it ends at the first command that
/// fails, and leaves neither server nor container behind then.
const PROLOGUE: &str = r#"set -euo pipefail
trap 'docker rm -f wharf-tour >/dev/null 2>&1 || true; kill $(jobs -p) 2>/dev/null || true' EXIT
"#;

#[test]
fn the_tour_works_as_pasted() {
    let scratch = TempDir::new();
    let docker = Docker::find_or_start(scratch.path());
    let mut script = blocks("bash");
    assert!(script.contains(ADDRESS));
    let address = free_address();
    script = script.replace(ADDRESS, &address);

    let home = scratch.path().join("home");
    fs::create_dir(&home).unwrap();
    let output = scratch.path().join("output");
    let file = fs::File::create(&output).unwrap();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let programs = [binary(), tool("oci-cli/bin/oci")].map(|program| program.parent().unwrap().to_owned());
    let path = std::env::join_paths(programs.into_iter().chain(std::env::split_paths(&path)));
    let mut shell = Command::new("setpriv")
        .args(["--pdeathsig", "TERM", "bash", "-c"])
        .arg(format!("{PROLOGUE}{script}"))
        .current_dir(scratch.path())
        .env("PATH", path.unwrap())
        .env("HOME", &home)
        .env("DOCKER_CONFIG", home.join(".docker"))
        .env("DOCKER_HOST", &docker.host)
        .env("REGISTRY_AUTH_FILE", home.join("auth.json"))
        .env("WHARFINGER__SERVER__LISTEN", &address)
        .stdin(Stdio::null())
        .stdout(file.try_clone().unwrap())
        .stderr(file)
        .spawn()
        .unwrap();
    let status = wait(&mut shell, TOUR_TIMEOUT);
    if status.is_none() {
        let _ = kill_process(Pid::from_child(&shell), Signal::TERM);
        let _ = wait(&mut shell, Duration::from_secs(20));
    }
    let log = fs::read_to_string(scratch.path().join("tour/serve.log")).unwrap_or_default();
    let output = fs::read_to_string(&output).unwrap();
    assert!(status.is_some_and(|status| status.success()), "{status:?}\n{output}\nserver: {log}");

    let (before_bob, rest) = output.split_once("bob may not pull").expect("the second user's pull fails");
    let (bobs_push, rest) = rest.split_once("bob may not push").expect("the second user's push fails");
    let (with_oci, rest) = rest.split_once("denied: bob: ").expect("bob's push is explained");
    for said in [
        "\"lifecycle-state\": \"ACTIVE\"",
        "Allow group Readers to read repos in tenancy",
        "bob may pull now",
    ] {
        assert!(with_oci.contains(said), "{said}: {output}");
    }
    let (public, _) =
        rest.split_once("nobody may push without logging in").expect("a push without login fails");
    for said in ["Login Succeeded", "hello from the wharf", "Downloaded newer image for", "/demo/copy\""] {
        assert!(before_bob.contains(said), "{said}: {output}");
    }
    // Docker for the administrator, skopeo, docker for the second user.
    assert_eq!(before_bob.matches("Login Succeeded").count(), 3, "{output}");
    let bobs_pull = before_bob.rsplit("Login Succeeded").next().unwrap();
    assert!(bobs_pull.contains("denied"), "{output}");
    assert!(bobs_push.contains("denied"), "{output}");
    assert!(public.contains("Downloaded newer image for"), "{output}");
    assert!(public.contains("/demo/hello\""), "{output}");
    assert!(!scratch.path().join("tour").exists(), "it tidies up");
}

#[test]
fn the_tour_says_how_docker_is_installed_and_started() {
    let preparation = blocks("sh");
    for said in [
        "apt-get install -y --no-install-recommends",
        "docker.io",
        "skopeo",
        "busybox-static",
        "dockerd",
        "oci-cli",
    ] {
        assert!(preparation.contains(said), "{said}: {preparation}");
    }
}

/// The fenced blocks of that language between the tour's markers, one after the other.
fn blocks(language: &str) -> String {
    let readme = concat!(env!("CARGO_MANIFEST_DIR"), "/../../README.md");
    let readme = fs::read_to_string(readme).expect("README.md can be read");
    let tour = readme
        .split_once("<!-- tour -->")
        .and_then(|(_, rest)| rest.split_once("<!-- /tour -->"))
        .expect("README.md has a tour between its markers")
        .0;
    let mut text = String::new();
    let mut is_within = false;
    for line in tour.lines() {
        match line.strip_prefix("```") {
            Some(info) => is_within = !is_within && info == language,
            None if is_within => {
                text.push_str(line);
                text.push('\n');
            }
            None => {}
        }
    }
    text
}

/// The address as it stands in the tour, or another on a machine where that is taken.
fn free_address() -> String {
    let listener = TcpListener::bind(ADDRESS).or_else(|_| TcpListener::bind("127.0.0.1:0"));
    let address = listener.and_then(|listener| listener.local_addr());
    address.expect("loopback can be bound").to_string()
}
