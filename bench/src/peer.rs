//! The servers that are compared: how each is configured, started on an empty store, filled and stopped.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::Value;

use crate::http::Client;
use crate::process;
use crate::workload::{Blob, MANIFEST_TYPE, Workload};

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Wharfinger,
    DockerRegistry,
    Nginx,
}

pub(crate) struct Peer {
    pub(crate) kind: Kind,
    pub(crate) port: u16,
    pub(crate) repository: String,
    /// Header lines of every request.
    pub(crate) headers: String,
    program: String,
    directory: PathBuf,
    child: Option<Child>,
    is_filled: bool,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Wharfinger => "wharfinger",
            Self::DockerRegistry => "docker-registry",
            Self::Nginx => "nginx",
        }
    }
}

impl Peer {
    /// `program` is a path or a name on PATH; the peer owns a directory in `parent`.
    pub(crate) fn new(kind: Kind, program: &str, parent: &Path) -> Self {
        Self {
            kind,
            port: 0,
            repository: "bench".to_owned(),
            headers: String::new(),
            program: program.to_owned(),
            directory: parent.join(kind.name()),
            child: None,
            is_filled: false,
        }
    }

    /// Every process of the server.
    pub(crate) fn pids(&self) -> Result<Vec<u32>> {
        process::family(self.child.as_ref().context("not started")?.id())
    }

    /// Starts the server on an empty store; the time to its first answer.
    pub(crate) fn start_empty(&mut self) -> Result<Duration> {
        self.stop();
        if self.directory.exists() {
            fs::remove_dir_all(&self.directory)?;
        }
        self.is_filled = false;
        fs::create_dir_all(self.directory.join("data"))?;
        self.port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let mut command = self.command()?;
        let log = File::create(self.directory.join("log"))?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let start = Instant::now();
        self.child = Some(command.spawn().context("setpriv (package util-linux)")?);
        while !self.answers() {
            let child = self.child.as_mut().context("not started")?;
            let ended = child.try_wait()?;
            if ended.is_some() || start.elapsed() > Duration::from_secs(20) {
                let log = fs::read_to_string(self.directory.join("log")).unwrap_or_default();
                let last = log.lines().last().unwrap_or("nothing");
                let state =
                    ended.map_or("runs but does not answer".to_owned(), |status| format!("ended, {status}"));
                bail!("{state}; its log says: {last}");
            }
            sleep(Duration::from_millis(1));
        }
        Ok(start.elapsed())
    }

    /// Ends the server by its own process id, gently at first.
    pub(crate) fn stop(&mut self) {
        let Some(mut child) = self.child.take() else {
            return;
        };
        let _ = Command::new("kill").arg(child.id().to_string()).stderr(Stdio::null()).status();
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(10) {
            if !matches!(child.try_wait(), Ok(None)) {
                return;
            }
            sleep(Duration::from_millis(5));
        }
        let _ = child.kill();
        let _ = child.wait();
    }

    /// 200, or 401 where the server asks for credentials.
    fn answers(&self) -> bool {
        let answer = Client::connect(self.port, "")
            .and_then(|mut client| client.request("GET", "/v2/", "text/plain", &[]));
        answer.is_ok_and(|answer| matches!(answer.status, 200 | 401))
    }

    fn command(&self) -> Result<Command> {
        let data = self.directory.join("data");
        let config = self.directory.join("config");
        let mut command = process::bound_to_us(&self.program);
        match self.kind {
            Kind::Wharfinger => {
                command.arg("serve").arg("--data-dir").arg(&data);
                command.arg("--listen").arg(format!("127.0.0.1:{}", self.port));
            }
            Kind::DockerRegistry => {
                fs::write(&config, docker_config(&data, self.port))?;
                command.arg("serve").arg(&config).env("OTEL_TRACES_EXPORTER", "none");
            }
            Kind::Nginx => {
                fs::write(&config, nginx_config(&self.directory, self.port))?;
                command.arg("-e").arg(self.directory.join("log")).arg("-c").arg(&config);
            }
        }
        Ok(command)
    }

    /// Gets what a request needs to be let in: for wharfinger a token of its first administrator.
    pub(crate) fn authorize(&mut self) -> Result<()> {
        if self.kind != Kind::Wharfinger {
            return Ok(());
        }
        let path = self.directory.join("data/bootstrap.json");
        let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let bootstrap: Value = serde_json::from_str(&text)?;
        let field = |name: &str| {
            bootstrap.get(name).and_then(Value::as_str).with_context(|| format!("bootstrap.json: no {name}"))
        };
        let namespace = field("namespace")?;
        let login = BASE64.encode(format!("{namespace}/{}:{}", field("username")?, field("auth_token")?));
        self.repository = format!("{namespace}/bench");
        let scope = format!("repository:{}:pull,push", self.repository);
        let mut client = Client::connect(self.port, &format!("Authorization: Basic {login}\r\n"))?;
        let path = format!("/20180419/docker/token?service=127.0.0.1&scope={scope}");
        let (_, body) = client.expect(200, "GET", &path, "text/plain", &[])?;
        let answer: Value = serde_json::from_slice(&body)?;
        let token = answer.get("token").and_then(Value::as_str).context("the token answer has no token")?;
        self.headers = format!("Authorization: Bearer {token}\r\n");
        Ok(())
    }

    /// Starts the server with the workload's image in its store, unless it runs so already.
    /// nginx has the image as plain files.
    pub(crate) fn start_filled(&mut self, workload: &Workload) -> Result<()> {
        if self.is_filled {
            return Ok(());
        }
        self.start_empty()?;
        if self.kind == Kind::Nginx {
            let directory = self.directory.join("data/v2").join(&self.repository);
            fs::create_dir_all(directory.join("blobs"))?;
            fs::create_dir_all(directory.join("manifests"))?;
            fs::write(directory.join("blobs").join(&workload.layer.digest), &workload.layer.bytes)?;
            fs::write(directory.join("manifests/latest"), &workload.manifest)?;
        } else {
            self.authorize()?;
            let mut client = Client::connect(self.port, &self.headers)?;
            for Blob { digest, bytes } in [&workload.layer, &workload.config] {
                push(&mut client, &self.repository, digest, &[bytes])?;
            }
            let path = format!("/v2/{}/manifests/latest", self.repository);
            client.expect(201, "PUT", &path, MANIFEST_TYPE, &[workload.manifest.as_bytes()])?;
        }
        self.is_filled = true;
        Ok(())
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.stop();
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// POST, then PUT with the whole blob.
pub(crate) fn push(client: &mut Client, repository: &str, digest: &str, parts: &[&[u8]]) -> Result<()> {
    let (answer, _) =
        client.expect(202, "POST", &format!("/v2/{repository}/blobs/uploads/"), "text/plain", &[])?;
    let separator = if answer.location.contains('?') { '&' } else { '?' };
    let path = format!("{}{separator}digest={digest}", answer.location);
    client.expect(201, "PUT", &path, "application/octet-stream", parts)?;
    Ok(())
}

/// Its best case: no logs, descriptors cached in memory, no authentication.
fn docker_config(data: &Path, port: u16) -> String {
    format!(
        "version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\n\
         storage: {{filesystem: {{rootdirectory: {}}}, cache: {{blobdescriptor: inmemory}}, delete: {{enabled: true}}}}\n\
         http: {{addr: '127.0.0.1:{port}', secret: bench}}\n",
        data.display()
    )
}

fn nginx_config(directory: &Path, port: u16) -> String {
    let own = directory.display();
    format!(
        "daemon off; user root; worker_processes 2; pid {own}/pid; error_log {own}/log error;\n\
         events {{ worker_connections 1024; }}\n\
         http {{\n access_log off; sendfile on; tcp_nopush on; keepalive_requests 100000000;\n\
         open_file_cache max=1000 inactive=600s; open_file_cache_valid 600s;\n default_type {MANIFEST_TYPE};\n\
         client_body_temp_path {own}/t1; proxy_temp_path {own}/t2; fastcgi_temp_path {own}/t3;\n\
         uwsgi_temp_path {own}/t4; scgi_temp_path {own}/t5;\n\
         server {{ listen 127.0.0.1:{port}; root {own}/data; location = /v2/ {{ return 200; }} }}\n}}\n"
    )
}
