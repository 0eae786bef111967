//! One PostgreSQL server for each test process, with a fresh database for each test.
//!
//! The server starts when first asked for and dies with the process, even if that is killed.
//! It gives up durability for speed; nothing that tests a crash of the server can use it.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use ::postgres::{Client, NoTls};
use rustix::process::{Pid, Signal, kill_process};

const DIRECTORY_PREFIX: &str = "wharfinger-postgres-";
const START_TIMEOUT: Duration = Duration::from_secs(60);
/// Sorts unlike bytes do, so that a column without COLLATE "C" fails a test.
const DATABASE_OPTIONS: &str = "TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'en-US' ENCODING 'UTF8'";

/// The URL of a new, empty database.
///
/// # Panics
/// If PostgreSQL is not installed or does not start.
#[must_use]
pub fn database() -> String {
    ask(Request::Database)
}

/// Crashes the server, as a kill does, and waits until it has recovered: only for a test process in which no other
/// test uses it.
///
/// # Panics
/// If PostgreSQL does not come back.
pub fn crash() {
    ask(Request::Crash);
}

enum Request {
    Database(Sender<String>),
    Crash(Sender<String>),
}

fn ask(request: impl FnOnce(Sender<String>) -> Request) -> String {
    static SERVER: OnceLock<Mutex<Sender<Request>>> = OnceLock::new();
    let server = SERVER.get_or_init(|| {
        let (requests, asked) = channel::<Request>();
        // The kernel ends the server with the thread that started it, so the thread never returns.
        // It also keeps the blocking client away from the tests' runtimes.
        thread::Builder::new()
            .name("test-postgres".to_owned())
            .spawn(move || {
                let mut server = Server::start();
                for (count, request) in asked.iter().enumerate() {
                    let _ = match request {
                        Request::Database(answer) => answer.send(server.create_database(count)),
                        Request::Crash(answer) => {
                            server.crash();
                            answer.send(String::new())
                        }
                    };
                }
            })
            .expect("a thread can be started");
        Mutex::new(requests)
    });
    let (answer, url) = channel();
    let requests = server.lock().unwrap_or_else(PoisonError::into_inner).clone();
    requests.send(request(answer)).expect("the PostgreSQL test server runs");
    url.recv().expect("the PostgreSQL test server answers")
}

struct Server {
    data: PathBuf,
    port: u16,
    process: Child,
    admin: Client,
}

impl Server {
    fn start() -> Self {
        remove_leftovers();
        let data = std::env::temp_dir().join(format!("{DIRECTORY_PREFIX}{}", std::process::id()));
        let _ = fs::remove_dir_all(&data);
        initialise(&data);
        // Another process may take the free port before the server does.
        for _ in 0..5 {
            let port = free_port();
            let mut process = spawn(&data, port);
            if let Some(admin) = connect(&mut process, port) {
                return Self { data, port, process, admin };
            }
        }
        let log = fs::read_to_string(log_of(&data)).unwrap_or_default();
        panic!("PostgreSQL does not start: {log}");
    }

    /// SIGQUIT is a crash: nothing is written any more, and the next start recovers.
    fn crash(&mut self) {
        kill_process(Pid::from_child(&self.process), Signal::QUIT).expect("a child can be signalled");
        self.process.wait().expect("a child can be waited for");
        self.process = spawn(&self.data, self.port);
        self.admin = connect(&mut self.process, self.port).expect("PostgreSQL starts after a crash");
    }

    fn create_database(&mut self, count: usize) -> String {
        let name = format!("test_{count}");
        self.admin
            .batch_execute(&format!("CREATE DATABASE {name} {DATABASE_OPTIONS}"))
            .unwrap_or_else(|error| panic!("cannot create database {name}: {error:?}"));
        format!("postgres://postgres@127.0.0.1:{}/{name}", self.port)
    }
}

fn initialise(data: &Path) {
    let output = as_postgres(&program("initdb"))
        .arg("-D")
        .arg(data)
        .args(["-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"])
        .output()
        .expect("setpriv of util-linux is installed");
    assert!(output.status.success(), "initdb failed: {}", String::from_utf8_lossy(&output.stderr));
}

fn spawn(data: &Path, port: u16) -> Child {
    let log = fs::File::create(log_of(data)).expect("the server's log can be made");
    let mut command = as_postgres(&program("postgres"));
    command.arg("-D").arg(data).arg("-p").arg(port.to_string());
    for setting in [
        "listen_addresses=127.0.0.1",
        "unix_socket_directories=",
        "max_connections=300",
        "fsync=off",
        "full_page_writes=off",
        "autovacuum=off",
    ] {
        command.args(["-c", setting]);
    }
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .expect("setpriv of util-linux is installed")
}

/// Waits until the server answers; `None` if it ends before.
fn connect(process: &mut Child, port: u16) -> Option<Client> {
    let url = format!("postgres://postgres@127.0.0.1:{port}/postgres");
    let deadline = Instant::now() + START_TIMEOUT;
    loop {
        match Client::connect(&url, NoTls) {
            Ok(client) => return Some(client),
            Err(error) => assert!(Instant::now() < deadline, "no answer: {error}"),
        }
        if process.try_wait().expect("a child can be waited for").is_some() {
            return None;
        }
        thread::sleep(Duration::from_millis(20));
    }
}

/// A command that runs as user postgres if we are root, because the server refuses to run as root.
/// It gets the signal for an immediate shutdown when the thread that spawns it ends.
fn as_postgres(program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "QUIT"]);
    if rustix::process::geteuid().is_root() {
        command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]);
    }
    command.arg(program);
    command
}

fn program(name: &str) -> PathBuf {
    let installed = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = installed
        .map(|version| version.path().join("bin").join(name))
        .filter(|path| path.is_file())
        .collect();
    found.sort();
    found.pop().unwrap_or_else(|| panic!("no /usr/lib/postgresql/*/bin/{name}: install postgresql"))
}

fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("loopback can be bound");
    listener.local_addr().expect("it is bound").port()
}

fn log_of(data: &Path) -> PathBuf {
    data.with_extension("log")
}

/// Removes the directories of test processes that are gone, each of whose servers is going too.
fn remove_leftovers() {
    for entry in fs::read_dir(std::env::temp_dir()).into_iter().flatten().flatten() {
        let path = entry.path();
        let owner = path
            .file_stem()
            .and_then(|name| name.to_str())
            .and_then(|name| name.strip_prefix(DIRECTORY_PREFIX))
            .and_then(|pid| pid.parse::<u32>().ok());
        let Some(owner) = owner else { continue };
        // While the file with its id is there the server still runs or was killed; either way it
        // has no use for the data.
        if Path::new(&format!("/proc/{owner}")).exists() {
            continue;
        }
        let _ = fs::remove_dir_all(&path);
        let _ = fs::remove_file(log_of(&path));
    }
}
