//! Requests byte by byte, where a proper HTTP client would tidy them up.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use wharfinger_testkit::http::Client;

/// An answer that takes longer is none.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);

/// The head of a request, with the client's credentials; the connection ends with its answer.
#[must_use]
pub fn head(client: &Client, method: &str, target: &str, headers: &[(&str, &str)]) -> String {
    let mut head = format!("{method} {target} HTTP/1.1\r\nconnection: close\r\n");
    if !headers.iter().any(|(name, _)| *name == "host") {
        let _ = write!(head, "host: {}\r\n", client.address());
    }
    if let Some(authorization) = client.authorization() {
        let _ = write!(head, "authorization: {authorization}\r\n");
    }
    for (name, value) in headers {
        let _ = write!(head, "{name}: {value}\r\n");
    }
    head.push_str("\r\n");
    head
}

/// A body in chunks of that size (RFC 9112, section 7.1); an empty one is the last chunk alone.
#[must_use]
pub fn chunked(body: &[u8], size: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    for chunk in body.chunks(size) {
        bytes.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        bytes.extend_from_slice(chunk);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"0\r\n\r\n");
    bytes
}

/// Sends a request with these headers as they are, and this body as it is.
pub async fn send(
    client: &Client,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Response<Bytes> {
    let request = [head(client, method, target, headers).as_bytes(), body].concat();
    let bytes = exchange(client.address(), &request).await;
    parse(&bytes)
}

/// Sends bytes and gives what came back until the server closed the connection.
pub async fn exchange(address: SocketAddr, request: &[u8]) -> Vec<u8> {
    let stream = TcpStream::connect(address).await.expect("the server accepts connections");
    exchange_over(stream, request).await
}

/// The same over a connection that is open.
pub async fn exchange_over(mut stream: impl AsyncRead + AsyncWrite + Unpin, request: &[u8]) -> Vec<u8> {
    // The server may answer and close before it has read all.
    let _ = stream.write_all(request).await;
    read(&mut stream).await
}

/// What comes until the server closes the connection, and at most for a while.
pub async fn read(stream: &mut (impl AsyncRead + Unpin)) -> Vec<u8> {
    let mut answer = Vec::new();
    let read = timeout(ANSWER_TIMEOUT, stream.read_to_end(&mut answer)).await;
    // A reset after the answer is as good as an end.
    let _ = read.expect("the server answers and closes");
    answer
}

/// The answer in bytes that a server sent.
#[must_use]
pub fn parse(bytes: &[u8]) -> Response<Bytes> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n");
    let shown = String::from_utf8_lossy(bytes);
    let end = end.unwrap_or_else(|| panic!("no answer: `{shown}`"));
    let head = std::str::from_utf8(&bytes[..end]).expect("a head is text");
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1));
    let status: u16 = status.and_then(|status| status.parse().ok()).expect("a status line");
    let mut response = Response::new(Bytes::copy_from_slice(&bytes[end + 4..]));
    *response.status_mut() = status.try_into().expect("a status");
    for line in lines {
        let (name, value) = line.split_once(':').expect("a header");
        let name = HeaderName::from_bytes(name.as_bytes()).expect("a header's name");
        let value = HeaderValue::from_str(value.trim()).expect("a header's value");
        response.headers_mut().append(name, value);
    }
    response
}
