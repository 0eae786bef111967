//! A Docker engine for the tests that need a real one, which take turns.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use wharfinger_testkit::program::wait;

/// An engine is one for the machine: two of our own would take each other's bridge.
static TURNS: Mutex<()> = Mutex::new(());

/// The machine's Docker engine, or one of our own.
pub(crate) struct Docker {
    pub(crate) host: String,
    own: Option<(Child, PathBuf)>,
    _turn: MutexGuard<'static, ()>,
}

impl Docker {
    /// The engine until the value is dropped; of our own, its files are in `scratch`.
    pub(crate) fn find_or_start(scratch: &Path) -> Self {
        let turn = TURNS.lock().unwrap_or_else(PoisonError::into_inner);
        let host = std::env::var_os("DOCKER_HOST")
            .and_then(|host| host.into_string().ok())
            .unwrap_or_else(|| "unix:///var/run/docker.sock".to_owned());
        if answers(&host) {
            return Self { host, own: None, _turn: turn };
        }
        let directory = scratch.join("docker");
        fs::create_dir(&directory).unwrap();
        let socket = directory.join("docker.sock");
        let host = format!("unix://{}", socket.display());
        let log = fs::File::create(directory.join("log")).unwrap();
        let engine = Command::new("setpriv")
            .args(["--pdeathsig", "TERM", "dockerd"])
            .arg("--data-root")
            .arg(directory.join("data"))
            .arg("--exec-root")
            .arg(directory.join("exec"))
            .arg("--pidfile")
            .arg(directory.join("pid"))
            .args(["-H", &host])
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .expect("setpriv of util-linux is installed");
        let mut docker = Self { host, own: Some((engine, directory.clone())), _turn: turn };
        let deadline = Instant::now() + Duration::from_secs(60);
        while !answers(&docker.host) {
            let (engine, _) = docker.own.as_mut().unwrap();
            let has_ended = engine.try_wait().unwrap().is_some();
            assert!(
                !has_ended && Instant::now() < deadline,
                "no Docker engine: run `cargo xtask setup`; its log: {}",
                fs::read_to_string(directory.join("log")).unwrap_or_default()
            );
            thread::sleep(Duration::from_millis(100));
        }
        docker
    }
}

impl Drop for Docker {
    fn drop(&mut self) {
        let Some((engine, directory)) = &mut self.own else {
            return;
        };
        let _ = kill_process(Pid::from_child(engine), Signal::TERM);
        if wait(engine, Duration::from_secs(30)).is_none() {
            let _ = engine.kill();
            let _ = engine.wait();
        }
        // It leaves this mount behind, which keeps the directory from being removed.
        let _ =
            Command::new("umount").arg(directory.join("exec/netns/default")).stderr(Stdio::null()).status();
    }
}

fn answers(host: &str) -> bool {
    let status = Command::new("timeout")
        .args(["10", "docker", "info"])
        .env("DOCKER_HOST", host)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    status.is_ok_and(|status| status.success())
}
