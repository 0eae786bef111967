//! The real program, started on a directory of its own, killed, restarted and stopped.
//!
//! It knows nothing of what the program does: only its command line, its files and its signals.

use std::fs::{self, File, OpenOptions};
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use ::postgres::NoTls;
use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
pub use wharfinger_metastore::{EngineKind, Location};
use wharfinger_metastore::{Store, row, statements};

use crate::http::Client;
use crate::{TempDir, postgres};

statements! {
    TOKEN_KEY = "SELECT kid, secret FROM token_key ORDER BY created_at DESC, kid LIMIT 1";
}

row! {
    /// The key that registry tokens are signed with, for tests that sign their own.
    pub struct TokenKey {
        /// What a token's header calls it.
        pub kid: String,
        /// The key of its HMAC.
        pub secret: Vec<u8>,
    }
}

const START_TIMEOUT: Duration = Duration::from_secs(60);
/// Longer than the program itself waits for transfers.
const STOP_TIMEOUT: Duration = Duration::from_secs(75);
const POLL: Duration = Duration::from_millis(10);
/// What of the log is shown when a test fails.
const TAIL_BYTES: usize = 6_000;

/// The binary: `WHARFINGER_BIN`, else the one cargo built beside this test.
///
/// # Panics
/// If there is none.
#[must_use]
pub fn binary() -> PathBuf {
    let path = std::env::var_os("WHARFINGER_BIN").map_or_else(
        || {
            let test = std::env::current_exe().expect("a process knows its program");
            test.ancestors().nth(2).expect("tests are built in target/PROFILE/deps").join("wharfinger")
        },
        PathBuf::from,
    );
    assert!(
        path.is_file(),
        "there is no {}: `cargo build -p wharfinger`, or set WHARFINGER_BIN",
        path.display()
    );
    path
}

/// What the first start wrote to `bootstrap.json`.
#[derive(Debug, Clone)]
pub struct Bootstrap {
    /// The tenancy's namespace.
    pub namespace: String,
    /// The administrator, without namespace.
    pub username: String,
    /// The administrator's auth token.
    pub auth_token: String,
}

impl Bootstrap {
    /// The fields of `bootstrap.json`, or of what `admin tenancy create` prints.
    ///
    /// # Panics
    /// If one is missing.
    #[must_use]
    pub fn read(json: &Value) -> Self {
        let field = |name: &str| {
            let value = json.get(name).and_then(Value::as_str);
            value.unwrap_or_else(|| panic!("no `{name}` in {json}")).to_owned()
        };
        Self { namespace: field("namespace"), username: field("username"), auth_token: field("auth_token") }
    }
}

/// A running server. It ends with the value, and with the thread that started it.
#[derive(Debug)]
pub struct Program {
    directory: TempDir,
    environment: Vec<(String, String)>,
    /// A command that runs another one, such as strace, with its arguments.
    wrapper: Vec<String>,
    child: Option<Child>,
    address: SocketAddr,
    management: SocketAddr,
    /// Its first administrator.
    pub bootstrap: Bootstrap,
}

impl Program {
    /// Starts it on an empty directory and, for PostgreSQL, an empty database, and waits until it is
    /// ready. Call it on the test's own thread.
    ///
    /// # Panics
    /// If it does not start; the message has what it wrote to standard error.
    #[must_use]
    pub fn start(engine: EngineKind) -> Self {
        Self::start_with(engine, &[])
    }

    /// As [`Program::start`], with further environment variables.
    ///
    /// # Panics
    /// If it does not start.
    #[must_use]
    pub fn start_with(engine: EngineKind, environment: &[(&str, &str)]) -> Self {
        Self::start_under(engine, environment, &[])
    }

    /// As [`Program::start_with`], run by a command that leaves it the child of this process, such as
    /// `strace -D`.
    ///
    /// # Panics
    /// If it does not start.
    #[must_use]
    pub fn start_under(engine: EngineKind, environment: &[(&str, &str)], wrapper: &[String]) -> Self {
        let mut environment: Vec<(String, String)> =
            environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let set = |environment: &mut Vec<(String, String)>, name: &str, value: String| {
            environment.push((name.to_owned(), value));
        };
        set(&mut environment, "WHARFINGER__MANAGEMENT__LISTEN", "127.0.0.1:0".to_owned());
        if engine == EngineKind::Postgres {
            set(&mut environment, "WHARFINGER__DATABASE__URL", postgres::database());
        }
        let directory = TempDir::new();
        let data = directory.path().join("data");
        let mut child = spawn(&directory, &environment, wrapper);
        let (address, management) = wait_until_ready(&mut child, &directory)
            .unwrap_or_else(|error| panic!("wharfinger does not start: {error:#}"));
        let bootstrap = fs::read(data.join("bootstrap.json")).expect("bootstrap.json was written");
        let bootstrap = serde_json::from_slice(&bootstrap).expect("bootstrap.json is JSON");
        Self {
            directory,
            environment,
            wrapper: wrapper.to_vec(),
            child: Some(child),
            address,
            management,
            bootstrap: Bootstrap::read(&bootstrap),
        }
    }

    /// Where it listens. Changes with a restart.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where its management listener is. Changes with a restart.
    #[must_use]
    pub fn management(&self) -> SocketAddr {
        self.management
    }

    /// Its data directory.
    #[must_use]
    pub fn data_dir(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// A client without credentials.
    #[must_use]
    pub fn anonymous(&self) -> Client {
        Client::new(self.address)
    }

    /// A client with the administrator's user name and auth token.
    #[must_use]
    pub fn administrator(&self) -> Client {
        let Bootstrap { namespace, username, auth_token } = &self.bootstrap;
        self.anonymous().basic(&format!("{namespace}/{username}"), auth_token)
    }

    /// Makes an active user with an auth token, and gives a client that shows both.
    ///
    /// # Panics
    /// If the user cannot be made.
    #[must_use]
    pub fn new_user(&self, name: &str) -> Client {
        self.admin(&["user", "create", name]);
        let token = self.admin(&["auth-token", "create", "--user", name, "--description", "test"]);
        let secret = token["token"].as_str().expect("a new token is shown");
        self.anonymous().basic(&format!("{}/{name}", self.bootstrap.namespace), secret)
    }

    /// A repository's name with the namespace before it.
    #[must_use]
    pub fn image(&self, repository: &str) -> String {
        format!("{}/{repository}", self.bootstrap.namespace)
    }

    /// Runs `wharfinger --data-dir … --output json admin ARGUMENTS`.
    #[must_use]
    pub fn admin_output(&self, arguments: &[&str]) -> Output {
        let output = Command::new(binary())
            .arg("--data-dir")
            .arg(self.data_dir())
            .args(["--output", "json", "admin"])
            .args(arguments)
            .output();
        output.expect("the program can be run")
    }

    /// Runs an admin command that must succeed, and gives what it printed.
    ///
    /// # Panics
    /// If it fails.
    #[expect(clippy::must_use_candidate, reason = "some commands are run for their effect")]
    pub fn admin(&self, arguments: &[&str]) -> Value {
        let output = self.admin_output(arguments);
        assert!(output.status.success(), "admin {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).expect("admin prints JSON")
    }

    /// Everything it has logged, over all its starts.
    #[must_use]
    pub fn log(&self) -> String {
        log_of(self.directory.path())
    }

    /// Its anonymous memory, in bytes.
    ///
    /// # Panics
    /// If it does not run.
    #[must_use]
    pub fn rss_anon(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid().as_raw_nonzero()));
        let status = status.expect("the server runs");
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
        let kibibytes = line.and_then(|line| line.split_whitespace().next());
        let kibibytes: u64 = kibibytes
            .and_then(|number| number.parse().ok())
            .unwrap_or_else(|| panic!("no RssAnon in {status}"));
        kibibytes << 10
    }

    /// Where its metadata is.
    #[must_use]
    pub fn location(&self) -> Location {
        let url = self.environment.iter().find(|(name, _)| name == "WHARFINGER__DATABASE__URL");
        match url {
            Some((_, url)) => Location::Postgres(url.clone()),
            None => Location::Sqlite(self.data_dir().join("wharfinger.db")),
        }
    }

    /// The key that it signs registry tokens with, out of its database.
    ///
    /// # Panics
    /// If the database cannot be read.
    pub async fn token_key(&self) -> TokenKey {
        let store =
            Store::open(&self.location()).await.expect("the database can be opened beside the server");
        let key = store.opt(&TOKEN_KEY, &[]).await.expect("the database can be read");
        store.close().await;
        key.expect("the installation has a key")
    }

    /// How many sessions of its database are idle within a transaction; none on SQLite.
    ///
    /// # Panics
    /// If PostgreSQL does not answer.
    #[must_use]
    pub fn idle_transactions(&self) -> usize {
        self.sessions("state LIKE 'idle in transaction%'").len()
    }

    /// Processor time that it and the sessions of its database have taken, to 10 ms.
    ///
    /// # Panics
    /// If it does not run.
    #[must_use]
    pub fn cpu_time(&self) -> Duration {
        let sessions = self.sessions("pid <> pg_backend_pid()");
        let pids = sessions.into_iter().chain([self.pid().as_raw_nonzero().get()]);
        pids.map(|pid| {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("the process runs");
            // Behind the name, which may hold blanks: fields 14 and 15 in ticks of 10 ms, proc(5).
            let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
            let ticks = fields.skip(11).take(2).map(|ticks| ticks.parse::<u64>().expect("a number"));
            Duration::from_millis(10 * ticks.sum::<u64>())
        })
        .sum()
    }

    /// Process ids of the sessions of its database that meet a condition; none on SQLite.
    fn sessions(&self, condition: &str) -> Vec<i32> {
        let Location::Postgres(url) = self.location() else {
            return Vec::new();
        };
        // Materialized: a condition that does something must not be asked of other databases' sessions first.
        let statement = format!(
            "WITH own AS MATERIALIZED (SELECT pid, state FROM pg_stat_activity WHERE datname = current_database())
             SELECT pid FROM own WHERE {condition}"
        );
        let ask = move || {
            let mut client = ::postgres::Client::connect(&url, NoTls).expect("PostgreSQL answers");
            let rows = client.query(&statement, &[]).expect("pg_stat_activity can be read");
            rows.iter().map(|row| row.get(0)).collect()
        };
        // The blocking client must not run on a runtime's thread.
        thread::spawn(ask).join().expect("the question is answered")
    }

    /// Ends it as a crash would: SIGKILL.
    ///
    /// # Panics
    /// If it does not run.
    pub fn kill(&mut self) {
        let mut child = self.child.take().expect("the server runs");
        child.kill().expect("a child can be killed");
        let status = child.wait().expect("a child can be waited for");
        assert_eq!(
            status.signal(),
            Some(Signal::KILL.as_raw()),
            "it ended by itself before it was killed: {}",
            tail(&self.log())
        );
    }

    /// Sends SIGKILL and returns at once; [`Program::kill`] then waits for the end.
    pub fn end_at_once(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
        }
    }

    /// Whether it has ended, by itself or by a fault.
    pub fn has_ended(&mut self) -> bool {
        self.child.as_mut().is_none_or(|child| matches!(child.try_wait(), Ok(Some(_))))
    }

    /// Cuts all connections of its database but this one's.
    ///
    /// # Panics
    /// If PostgreSQL does not answer.
    pub fn cut_database_connections(&self) {
        drop(self.sessions("CASE pid WHEN pg_backend_pid() THEN FALSE ELSE pg_terminate_backend(pid) END"));
    }

    /// Starts it again on the same directory and database after [`Program::kill`] or
    /// [`Program::stop`].
    ///
    /// # Panics
    /// If it still runs or does not start.
    pub fn restart(&mut self) {
        assert!(self.child.is_none(), "the server still runs");
        let mut child = spawn(&self.directory, &self.environment, &self.wrapper);
        (self.address, self.management) = wait_until_ready(&mut child, &self.directory)
            .unwrap_or_else(|error| panic!("wharfinger does not start again: {error:#}"));
        self.child = Some(child);
    }

    /// As [`Program::restart`], run by a command as in [`Program::start_under`]; `false` if it ended before it was
    /// ready, as a fault in its way makes it.
    ///
    /// # Panics
    /// If it still runs.
    pub fn restart_under(&mut self, wrapper: &[String]) -> bool {
        assert!(self.child.is_none(), "the server still runs");
        self.wrapper = wrapper.to_vec();
        let mut child = spawn(&self.directory, &self.environment, &self.wrapper);
        let Ok(ready) = wait_until_ready(&mut child, &self.directory) else { return false };
        (self.address, self.management) = ready;
        self.child = Some(child);
        true
    }

    /// As [`Program::restart`], with further environment variables, which take the place of earlier ones.
    ///
    /// # Panics
    /// As [`Program::restart`].
    pub fn restart_with(&mut self, environment: &[(&str, &str)]) {
        self.environment.retain(|(name, _)| environment.iter().all(|(new, _)| new != name));
        let added = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        self.environment.extend(added);
        self.restart();
    }

    /// Sends SIGTERM and returns at once.
    ///
    /// # Panics
    /// If it does not run.
    pub fn terminate(&self) {
        kill_process(self.pid(), Signal::TERM).expect("a child can be signalled");
    }

    /// Sends SIGTERM and waits for a graceful end.
    ///
    /// # Panics
    /// If it does not end in time with exit code 0.
    pub fn stop(&mut self) {
        self.terminate();
        self.wait_for_stop();
    }

    /// Waits for the end that [`Program::terminate`] asked for.
    ///
    /// # Panics
    /// If it does not end in time with exit code 0.
    pub fn wait_for_stop(&mut self) {
        let child = self.child.as_mut().expect("the server runs");
        let status = wait(child, STOP_TIMEOUT)
            .unwrap_or_else(|| panic!("SIGTERM does not end it: {}", log_of(self.directory.path())));
        assert_eq!(status.code(), Some(0), "it must end with 0: {}", tail(&self.log()));
        self.child = None;
    }

    fn pid(&self) -> Pid {
        Pid::from_child(self.child.as_ref().expect("the server runs"))
    }
}

impl Drop for Program {
    #[expect(clippy::print_stderr, reason = "a failing test shows the server's log")]
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
        if thread::panicking() {
            eprintln!("the end of the server's log:\n{}", tail(&self.log()));
        }
    }
}

/// Waits until a child ends; `None` if it does not in time.
pub fn wait(child: &mut Child, timeout: Duration) -> Option<ExitStatus> {
    let deadline = Instant::now() + timeout;
    while Instant::now() < deadline {
        if let Ok(Some(status)) = child.try_wait() {
            return Some(status);
        }
        thread::sleep(POLL);
    }
    None
}

fn spawn(directory: &TempDir, environment: &[(String, String)], wrapper: &[String]) -> Child {
    let path = directory.path();
    // A killed server leaves it behind, with a port that is no longer its own.
    let _ = fs::remove_file(path.join("data/addresses.json"));
    let open = |name: &str| -> File {
        let file = OpenOptions::new().create(true).append(true).open(path.join(name));
        file.expect("a log file can be made")
    };
    // The kernel ends the server with the thread that started it, should that die without a drop.
    let mut command = Command::new("setpriv");
    command
        .args(["--pdeathsig", "KILL"])
        .args(wrapper)
        .arg(binary())
        .arg("--data-dir")
        .arg(path.join("data"))
        .args(["serve", "--listen", "127.0.0.1:0"])
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(open("stdout.log"))
        .stderr(open("stderr.log"));
    command.spawn().expect("setpriv of util-linux is installed")
}

fn wait_until_ready(child: &mut Child, directory: &TempDir) -> Result<(SocketAddr, SocketAddr)> {
    let path = directory.path().join("data/addresses.json");
    let deadline = Instant::now() + START_TIMEOUT;
    loop {
        // It is there a moment before it is whole.
        if let Some(addresses) = read_addresses(&path) {
            return Ok(addresses);
        }
        if let Some(status) = child.try_wait().context("cannot wait for the child")? {
            bail!("it ended with {status}: {}", tail(&log_of(directory.path())));
        }
        if Instant::now() > deadline {
            let _ = child.kill();
            let _ = child.wait();
            bail!("not ready in time: {}", tail(&log_of(directory.path())));
        }
        thread::sleep(POLL);
    }
}

fn read_addresses(path: &Path) -> Option<(SocketAddr, SocketAddr)> {
    let addresses: Value = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
    let address = |name: &str| addresses.get(name)?.as_str()?.parse().ok();
    Some((address("listen")?, address("management")?))
}

fn log_of(directory: &Path) -> String {
    let bytes = fs::read(directory.join("stderr.log")).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

fn tail(log: &str) -> &str {
    let start = log.len().saturating_sub(TAIL_BYTES);
    let start = (start..log.len()).find(|index| log.is_char_boundary(*index)).unwrap_or(log.len());
    log.get(start..).unwrap_or(log)
}
