//! Clients that send nothing, or a little now and then, hold up nobody but themselves.
//!
//! How long each of them is borne is not waited for here: those times are the server's own.

use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use wharfinger_e2e::raw;
use wharfinger_testkit::http::{Client, IMAGE_MANIFEST, digest, image_manifest};
use wharfinger_testkit::program::{EngineKind, Program};

use crate::answers::{is, send};

/// What an undisturbed push takes many times over; less than any time that a stalled client is borne.
const AT_ONCE: Duration = Duration::from_secs(15);

/// A connection that has sent these bytes and stays open.
async fn stalled(program: &Program, bytes: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(program.address()).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    stream
}

/// A request whose body is announced and does not come to its end.
async fn stalled_request(
    program: &Program,
    client: &Client,
    method: &str,
    target: &str,
    body: &[u8],
) -> TcpStream {
    let headers = [("content-length", "1000000"), ("content-type", IMAGE_MANIFEST)];
    let head = raw::head(client, method, target, &headers);
    stalled(program, &[head.as_bytes(), body].concat()).await
}

async fn works(program: &Program, name: &str) {
    let client = program.administrator();
    let image = program.image(name);
    let work = async {
        let layer = Bytes::from(vec![7; 3 << 20]);
        let manifest = client.push_image(&image, "1", &layer).await.unwrap();
        assert_eq!(send(&client, "GET", &format!("/v2/{image}/manifests/1")).await.body(), &manifest);
        assert_eq!(
            send(&client, "GET", &format!("/v2/{image}/blobs/{}", digest(&layer))).await.body(),
            &layer
        );
        assert_eq!(send(&client, "GET", "/readyz").await.status(), StatusCode::OK);
        program.admin(&["user", "list"]);
    };
    timeout(AT_ONCE, work).await.expect("others are served as if nothing were");
}

#[tokio::test(flavor = "multi_thread")]
async fn silent_and_slow_clients_hold_up_nobody_else() {
    let program = Program::start(EngineKind::Sqlite);
    let client = program.administrator();
    works(&program, "before").await;
    let memory = program.rss_anon();
    let image = program.image("stalled");
    let uploads = format!("/v2/{image}/blobs/uploads/");
    let single = format!("{uploads}?digest={}", digest(b"never whole"));
    let mut open = Vec::new();
    for _ in 0..40 {
        open.push(stalled(&program, b"").await);
        open.push(stalled(&program, b"GET /v2/ HT").await);
        open.push(stalled(&program, b"GET /v2/ HTTP/1.1\r\nhost: x\r\nx-slow: ").await);
        // More of them than there are chunks to receive into, each with a part of one.
        let location = client.start_upload(&image).await.unwrap();
        open.push(stalled_request(&program, &client, "PATCH", &location, &[0; 5_000]).await);
        open.push(stalled_request(&program, &client, "POST", &single, &[0; 5_000]).await);
        open.push(
            stalled_request(&program, &program.anonymous(), "POST", "/20180419/docker/token", b"grant").await,
        );
        let idle = raw::head(&client, "GET", "/v2/", &[]).replace("connection: close\r\n", "");
        open.push(stalled(&program, idle.as_bytes()).await);
    }
    works(&program, "amid").await;
    // A head that trickles is no nearer to an answer.
    for stream in &mut open {
        let _ = stream.write_all(b"x").await;
    }
    works(&program, "after").await;
    let grown = program.rss_anon().saturating_sub(memory);
    assert!(grown < 96 << 20, "{grown} bytes for {} clients", open.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn unfinished_manifests_hold_up_nobody_else() {
    let program = Program::start(EngineKind::Sqlite);
    let client = program.administrator();
    let image = program.image("app");
    client.push_image(&image, "1", &Bytes::from_static(b"layer")).await.unwrap();
    let target = format!("/v2/{image}/manifests/stalled");
    let mut open = Vec::new();
    for _ in 0..60 {
        open.push(stalled_request(&program, &client, "PUT", &target, b"{\"schemaVersion\":2,").await);
    }
    let manifest = image_manifest(b"{}", &[&Bytes::from_static(b"layer")]);
    let put = timeout(AT_ONCE, client.put_manifest(&image, "2", IMAGE_MANIFEST, &manifest)).await;
    put.expect("at once").unwrap();
    works(&program, "amid").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_body_is_not_waited_for() {
    let program = Program::start(EngineKind::Sqlite);
    let image = program.image("app");
    for (method, target) in [
        ("PUT", format!("/v2/{image}/manifests/1")),
        ("POST", format!("/v2/{image}/blobs/uploads/?digest={}", digest(b"never"))),
        ("PATCH", format!("/v2/{image}/blobs/uploads/none")),
        ("PATCH", "/v2/no/such/path".to_owned()),
    ] {
        let started = Instant::now();
        let mut stream = stalled_request(&program, &program.anonymous(), method, &target, b"a part").await;
        let answer = raw::parse(&raw::read(&mut stream).await);
        assert!(answer.status().is_client_error(), "{method} {target}");
        assert!(started.elapsed() < AT_ONCE, "{method} {target}: {:?}", started.elapsed());
    }
    // One that asks first whether to send its body is not told to.
    let headers = [("content-length", "1000000"), ("expect", "100-continue")];
    let target = format!("/v2/{image}/manifests/1");
    let answer = raw::send(&program.anonymous(), "PUT", &target, &headers, b"").await;
    is(&answer, StatusCode::UNAUTHORIZED, "UNAUTHORIZED");
    // A head that is longer than any head is refused, not read to its end.
    let long = [("x-long", "x".repeat(200_000))].map(|(name, value)| format!("{name}: {value}\r\n")).concat();
    let head = format!("GET /v2/ HTTP/1.1\r\nhost: x\r\n{long}");
    let answer = raw::parse(&raw::exchange(program.address(), head.as_bytes()).await);
    assert_eq!(answer.status(), StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
    let many = "x: y\r\n".repeat(2_000);
    let head = format!("GET /v2/ HTTP/1.1\r\nhost: x\r\n{many}\r\n");
    let answer = raw::parse(&raw::exchange(program.address(), head.as_bytes()).await);
    assert!(answer.status().is_client_error(), "{answer:?}");
    is(&send(&program.anonymous(), "GET", "/v2/").await, StatusCode::UNAUTHORIZED, "UNAUTHORIZED");
}
