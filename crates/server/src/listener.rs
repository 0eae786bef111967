//! Accept loops: connections in, HTTP/1.1 out, none held by one who sends nothing.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper::body::Incoming as IncomingBody;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use rustix::net::sockopt;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::sync::{Semaphore, watch};

use crate::incoming::Incoming;

/// From the end of one request to the whole head of the next, and from accept to the first head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(60);
/// Open connections at most; more wait in the kernel's queue.
const MAX_CONNECTIONS: usize = 8_192;
/// Open files that are left for the database, objects and the control socket.
const RESERVED_FILES: usize = 256;
/// A peer that is gone without a word is noticed after about two minutes.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(60);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(15);
const KEEPALIVE_PROBES: u32 = 4;
/// How long a peer may leave sent bytes unread.
const UNREAD_TIMEOUT: Duration = Duration::from_secs(300);
/// Memory of one connection for reading.
const READ_BUFFER_BYTES: usize = 32 << 10;
/// How long a failed accept pauses the loop: it fails when file descriptors run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The two kinds of socket that are listened on.
#[derive(Debug)]
pub(crate) enum Socket {
    Network(TcpListener),
    Control(UnixListener),
}

/// How many connections may be open when the process may open so many files.
pub(crate) fn connection_limit(open_files: usize) -> usize {
    // A connection that pulls has its socket and an object.
    (open_files.saturating_sub(RESERVED_FILES) / 2).clamp(16, MAX_CONNECTIONS)
}

/// How many connections each address has open.
#[derive(Debug, Default)]
struct Addresses(Mutex<HashMap<IpAddr, usize>>);

/// One connection in the count of its address.
#[derive(Debug)]
struct Counted {
    addresses: Arc<Addresses>,
    address: IpAddr,
}

impl Addresses {
    /// Counts a connection in, unless its address has `limit` already.
    fn count(self: &Arc<Self>, address: IpAddr, limit: usize) -> Option<Counted> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(address).or_default();
        if *count >= limit {
            return None;
        }
        *count += 1;
        Some(Counted { addresses: Arc::clone(self), address })
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut counts = self.addresses.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.address);
            }
        }
    }
}

/// Serves a socket until `stopping` turns true, then lets open requests end.
pub(crate) async fn serve(
    socket: Socket,
    incoming: Arc<Incoming>,
    limit: usize,
    mut stopping: watch::Receiver<bool>,
) {
    let graceful = GracefulShutdown::new();
    let permits = Arc::new(Semaphore::new(limit));
    let addresses = Arc::new(Addresses::default());
    loop {
        let next = async {
            // The semaphore is never closed.
            let permit = Arc::clone(&permits).acquire_owned().await.map_err(std::io::Error::other)?;
            Ok((permit, accept(&socket).await?))
        };
        let accepted: std::io::Result<_> = tokio::select! {
            accepted = next => accepted,
            _ = stopping.wait_for(|stopping| *stopping) => break,
        };
        let (permit, (stream, peer)) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        // One address leaves half to the others, unless it is a proxy, which speaks for many.
        let counted = match peer.filter(|peer| !incoming.trusts(*peer)) {
            Some(peer) => match addresses.count(peer, limit / 2) {
                Some(counted) => Some(counted),
                None => {
                    tracing::debug!(%peer, "connection refused: its address has as many as one may have");
                    continue;
                }
            },
            None => None,
        };
        let service_incoming = Arc::clone(&incoming);
        let service = service_fn(move |request: hyper::Request<IncomingBody>| {
            let incoming = Arc::clone(&service_incoming);
            async move {
                Ok::<_, std::convert::Infallible>(
                    incoming.answer(peer, request.map(axum::body::Body::new)).await,
                )
            }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .max_buf_size(READ_BUFFER_BYTES)
            .serve_connection(TokioIo::new(stream), service);
        let connection = graceful.watch(connection);
        let metrics = Arc::clone(&incoming.metrics);
        #[expect(clippy::disallowed_methods, reason = "ends with its connection, which `graceful` watches")]
        tokio::spawn(async move {
            metrics.connections.inc();
            if let Err(error) = connection.await {
                tracing::debug!(%error, "connection ended");
            }
            metrics.connections.dec();
            drop((permit, counted));
        });
    }
    drop(socket);
    graceful.shutdown().await;
}

/// A stream of either kind.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

async fn accept(socket: &Socket) -> std::io::Result<(Box<dyn Stream>, Option<IpAddr>)> {
    match socket {
        Socket::Network(listener) => {
            let (stream, peer) = listener.accept().await?;
            stream.set_nodelay(true)?;
            notice_silence(&stream)?;
            Ok((Box::new(stream), Some(peer.ip().to_canonical())))
        }
        Socket::Control(listener) => Ok((Box::new(listener.accept().await?.0), None)),
    }
}

fn notice_silence(stream: &TcpStream) -> std::io::Result<()> {
    sockopt::set_socket_keepalive(stream, true)?;
    sockopt::set_tcp_keepidle(stream, KEEPALIVE_IDLE)?;
    sockopt::set_tcp_keepintvl(stream, KEEPALIVE_INTERVAL)?;
    sockopt::set_tcp_keepcnt(stream, KEEPALIVE_PROBES)?;
    let unread_ms = u32::try_from(UNREAD_TIMEOUT.as_millis()).unwrap_or(u32::MAX);
    sockopt::set_tcp_user_timeout(stream, unread_ms)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::routing::get;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::time::Instant;
    use tokio_util::task::TaskTracker;

    use super::*;
    use crate::telemetry::Metrics;

    struct Server {
        address: std::net::SocketAddr,
        stop: watch::Sender<bool>,
        serving: tokio::task::JoinSet<()>,
    }

    async fn start(limit: usize, trusted: &[&str]) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let trusted = trusted.iter().map(|network| crate::settings::Network(network.parse().unwrap()));
        let incoming = Arc::new(Incoming {
            router: Router::new().route("/", get(async || "here")),
            metrics: Arc::new(Metrics::new()),
            trusted_proxies: trusted.collect(),
            public_url: None,
            is_behind_proxy: false,
            writes: TaskTracker::new(),
        });
        let (stop, stopping) = watch::channel(false);
        let mut serving = tokio::task::JoinSet::new();
        serving.spawn(serve(Socket::Network(listener), incoming, limit, stopping));
        Server { address, stop, serving }
    }

    /// What the server says to one who sends these bytes and then nothing.
    async fn answer(stream: &mut TcpStream, bytes: &[u8]) -> String {
        stream.write_all(bytes).await.unwrap();
        let mut said = Vec::new();
        // A reset is an end too.
        let _ = stream.read_to_end(&mut said).await;
        String::from_utf8(said).unwrap()
    }

    const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n";

    #[tokio::test(start_paused = true)]
    async fn who_sends_no_whole_head_in_a_minute_is_dropped() {
        let server = start(16, &[]).await;
        for begun in [&b""[..], b"G", b"GET / HTTP/1.1\r\nhost: x\r\nx-more: "] {
            let started = Instant::now();
            let mut stream = TcpStream::connect(server.address).await.unwrap();
            let said = answer(&mut stream, begun).await;
            assert!(!said.contains("here"), "{said}");
            assert_eq!(started.elapsed().as_secs(), HEAD_TIMEOUT.as_secs(), "{}", begun.len());
        }
        // A connection that was of use and then falls silent ends as well.
        let started = Instant::now();
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        assert!(answer(&mut stream, REQUEST).await.contains("here"));
        assert_eq!(started.elapsed().as_secs(), HEAD_TIMEOUT.as_secs());
    }

    #[tokio::test]
    async fn one_address_takes_at_most_half_of_the_connections() {
        let mut server = start(16, &["127.0.0.2/32"]).await;
        let from = async |address: &str| {
            let socket = tokio::net::TcpSocket::new_v4().unwrap();
            socket.bind(format!("{address}:0").parse().unwrap()).unwrap();
            socket.connect(server.address).await.unwrap()
        };
        let ask = async |mut stream: TcpStream| {
            let request = b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
            answer(&mut stream, request).await.contains("here")
        };
        let mut held = Vec::new();
        for _ in 0..8 {
            held.push(from("127.0.0.1").await);
        }
        // Closed without a word; it may be before or after the request is written.
        let mut ninth = from("127.0.0.1").await;
        let mut said = Vec::new();
        let _ = ninth.read_to_end(&mut said).await;
        assert!(said.is_empty());
        assert!(ask(from("127.0.0.3").await).await, "another address is served");
        // The trusted proxy may have all that is left, and what ends is free again.
        for _ in 0..7 {
            held.push(from("127.0.0.2").await);
        }
        assert!(ask(from("127.0.0.2").await).await);
        assert!(ask(held.swap_remove(0)).await);
        drop(held);
        server.stop.send(true).unwrap();
        server.serving.join_next().await;
    }
}
