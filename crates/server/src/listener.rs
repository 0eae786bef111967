//! Accept loops: connections in, HTTP/1.1 out, none held by one who sends nothing.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming as IncomingBody;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{Semaphore, watch};

use crate::incoming::Incoming;

/// From the end of one request to the whole head of the next, and from accept to the first head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(60);
/// Open connections at most; more wait in the kernel's queue.
const MAX_CONNECTIONS: usize = 8_192;
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

/// Serves a socket until `stopping` turns true, then lets open requests end.
pub(crate) async fn serve(
    socket: Socket,
    incoming: Arc<Incoming>,
    mut stopping: watch::Receiver<bool>,
) {
    let graceful = GracefulShutdown::new();
    let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let Ok(permit) = Arc::clone(&permits).acquire_owned().await else {
            break;
        };
        let connection = tokio::select! {
            accepted = accept(&socket) => accepted,
            _ = stopping.wait_for(|stopping| *stopping) => break,
        };
        let (stream, peer) = match connection {
            Ok(connection) => connection,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let service_incoming = Arc::clone(&incoming);
        let service = service_fn(move |request: hyper::Request<IncomingBody>| {
            let incoming = Arc::clone(&service_incoming);
            async move {
                Ok::<_, std::convert::Infallible>(
                    incoming
                        .answer(peer, request.map(axum::body::Body::new))
                        .await,
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
        #[expect(
            clippy::disallowed_methods,
            reason = "ends with its connection, which `graceful` watches"
        )]
        tokio::spawn(async move {
            metrics.connections.inc();
            if let Err(error) = connection.await {
                tracing::debug!(%error, "connection ended");
            }
            metrics.connections.dec();
            drop(permit);
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
            Ok((Box::new(stream), Some(peer.ip().to_canonical())))
        }
        Socket::Control(listener) => Ok((Box::new(listener.accept().await?.0), None)),
    }
}
