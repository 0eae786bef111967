//! The reference registry: Debian's `docker-registry`, on an empty directory and a free port.

use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use wharfinger_testkit::TempDir;
use wharfinger_testkit::http::Client;

const START_TIMEOUT: Duration = Duration::from_secs(30);
/// Somebody else may take the port between our look and its start.
const ATTEMPTS: usize = 5;

/// A running `docker-registry`. It ends with the value, and with the thread that started it.
#[derive(Debug)]
pub(crate) struct Peer {
    _directory: TempDir,
    child: Child,
    address: SocketAddr,
}

impl Peer {
    /// Starts it and waits until it answers. Call it on the test's own thread.
    pub(crate) fn start() -> Self {
        (0..ATTEMPTS).find_map(|_| Self::attempt()).expect("docker-registry starts: run `cargo xtask setup`")
    }

    fn attempt() -> Option<Self> {
        let directory = TempDir::new();
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let configuration = directory.path().join("configuration");
        // Without its cache of descriptors, which is known to outlive what it describes.
        let text = format!(
            "version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\n\
             storage: {{filesystem: {{rootdirectory: {}}}, delete: {{enabled: true}}}}\n\
             http: {{addr: '{address}', relativeurls: true, secret: differential}}\n",
            directory.path().join("data").display()
        );
        fs::write(&configuration, text).unwrap();
        let log = File::create(directory.path().join("log")).unwrap();
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "docker-registry", "serve"]).arg(&configuration);
        command.env("OTEL_TRACES_EXPORTER", "none").stdin(Stdio::null());
        command.stdout(log.try_clone().unwrap()).stderr(log);
        let child = command.spawn().expect("setpriv of util-linux is installed");
        let mut peer = Self { _directory: directory, child, address };
        let deadline = Instant::now() + START_TIMEOUT;
        while TcpStream::connect(address).is_err() {
            if peer.child.try_wait().unwrap().is_some() || Instant::now() > deadline {
                return None;
            }
            thread::sleep(Duration::from_millis(10));
        }
        Some(peer)
    }

    /// A client; it asks for no credentials.
    pub(crate) fn client(&self) -> Client {
        Client::new(self.address)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
