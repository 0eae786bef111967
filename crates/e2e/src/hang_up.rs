//! Clients that hang up at any byte of a push.

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use http::StatusCode;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use wharfinger_testkit::http::{Client, Dice, IMAGE_MANIFEST, digest, expect, image_manifest};
use wharfinger_testkit::program::{EngineKind, Program};

use crate::upload::{Loss, blob_matches, resume};
use crate::wait_until;

/// Which request of a push is cut.
#[derive(Debug, Clone, Copy)]
enum Stage {
    Start,
    SingleRequest,
    FirstChunk,
    SecondChunk,
    Close,
    CloseWithBody,
    Manifest,
}

const STAGES: [Stage; 7] = [
    Stage::Start,
    Stage::SingleRequest,
    Stage::FirstChunk,
    Stage::SecondChunk,
    Stage::Close,
    Stage::CloseWithBody,
    Stage::Manifest,
];
/// Below one receive buffer, some of them, and beyond one chunk of the server.
const BLOB_BYTES: [usize; 4] = [1, 700, 90_000, 2_500_000];

/// Cuts that many pushes, one after the other, each at a place that the seed decides.
pub async fn cut_pushes(engine: EngineKind, cuts: usize, seed: u64) {
    let program = Program::start(engine);
    let client = program.administrator();
    let image = program.image("cut/app");
    // The repository is there, so that a cut request is not about that.
    client.push_image(&image, "first", &Bytes::from_static(b"layer")).await.unwrap();
    let mut dice = Dice::new(seed);
    for cut in 0..cuts {
        let stage = STAGES[cut % STAGES.len()];
        cut_push(&client, program.address(), &image, stage, cut, &mut dice)
            .await
            .unwrap_or_else(|error| panic!("cut {cut} (seed {seed}) in {stage:?}: {error:#}"));
    }

    let mut pushes = JoinSet::new();
    for push in 0..8 {
        let (client, image, layer) = (client.clone(), image.clone(), dice.bytes(1_500_000));
        pushes.spawn(async move { client.push_image(&image, &format!("after-{push}"), &layer).await });
    }
    while let Some(pushed) = pushes.join_next().await {
        pushed.unwrap().expect("the server takes pushes as before");
    }
    wait_until("no open transaction", async || program.idle_transactions() == 0).await;
    wait_until("no connection but the one that asks", async || connections(&program).await <= 1).await;
    let log = program.log();
    let errors: Vec<&str> = log.lines().filter(|line| line.contains(r#""level":"ERROR""#)).collect();
    assert!(errors.is_empty(), "a client that hangs up is no fault of the server: {errors:?}");
}

async fn cut_push(
    client: &Client,
    address: std::net::SocketAddr,
    image: &str,
    stage: Stage,
    cut: usize,
    dice: &mut Dice,
) -> Result<()> {
    let size = BLOB_BYTES[dice.below(BLOB_BYTES.len())];
    let blob = dice.bytes(size);
    let uploads = format!("/v2/{image}/blobs/uploads/");
    let closing = format!("digest={}", digest(&blob));
    let send = async |method: &str, target: &str, headers: &str, body: &[u8], dice: &mut Dice| {
        let request = raw_request(client, method, target, headers, body, dice);
        let end = cut_at(&request, body.len(), dice);
        send_and_hang_up(address, &request[..end]).await
    };
    match stage {
        Stage::Start => {
            send("POST", &uploads, "", b"", dice).await?;
            client.push_blob(image, &blob).await?;
        }
        Stage::SingleRequest => {
            let target = format!("{uploads}?{closing}");
            send("POST", &target, "", &blob, dice).await?;
            // There whole or not at all; the bytes are compared if it is there.
            blob_matches(client, image, &blob).await?;
            client.push_blob(image, &blob).await?;
        }
        Stage::FirstChunk => {
            let location = client.start_upload(image).await?;
            let part = &blob[..blob.len() / 2 + 1];
            let is_stream = dice.below(3) == 0;
            let headers = content_range(0, part.len(), is_stream);
            send("PATCH", &location, &headers, part, dice).await?;
            go_on(client, image, &location, &blob, is_stream).await?;
        }
        Stage::SecondChunk | Stage::CloseWithBody | Stage::Close => {
            let location = client.start_upload(image).await?;
            let half = match stage {
                Stage::Close => blob.len(),
                _ => blob.len() / 2,
            };
            let first = client.send("PATCH", &location, &[], blob.slice(..half)).await?;
            expect(first, StatusCode::ACCEPTED)?;
            let rest = &blob[half..];
            let is_stream = !rest.is_empty() && dice.below(3) == 0;
            let headers = content_range(half, rest.len(), is_stream);
            match stage {
                Stage::SecondChunk => send("PATCH", &location, &headers, rest, dice).await?,
                _ => {
                    let target = format!("{location}?{closing}");
                    send("PUT", &target, &headers, rest, dice).await?;
                }
            }
            go_on(client, image, &location, &blob, is_stream).await?;
        }
        Stage::Manifest => {
            let config = Bytes::from(format!("{{\"cut\":{cut}}}"));
            client.push_blob(image, &config).await?;
            client.push_blob(image, &blob).await?;
            let manifest = image_manifest(&config, &[&blob]);
            let tag = format!("cut-{cut}");
            let target = format!("/v2/{image}/manifests/{tag}");
            let headers = format!("content-type: {IMAGE_MANIFEST}\r\n");
            send("PUT", &target, &headers, &manifest, dice).await?;
            all_or_nothing(client, image, &tag, &manifest).await?;
            client.put_manifest(image, &tag, IMAGE_MANIFEST, &manifest).await?;
            ensure!(
                shows(client, image, &tag, &manifest).await?,
                "a tag is not there although its push was acknowledged"
            );
        }
    }
    Ok(())
}

/// The tag and the manifest come in one step, so whoever sees the one sees the other.
async fn all_or_nothing(client: &Client, image: &str, tag: &str, manifest: &Bytes) -> Result<()> {
    let digest = digest(manifest);
    let by_tag = shows(client, image, tag, manifest).await?;
    let by_digest = shows(client, image, &digest, manifest).await?;
    ensure!(by_digest || !by_tag, "a tag without its manifest");
    let by_tag = shows(client, image, tag, manifest).await?;
    ensure!(by_tag || !by_digest, "a manifest without its tag");
    Ok(())
}

/// Whether a manifest is there; if so its bytes are compared.
async fn shows(client: &Client, image: &str, reference: &str, manifest: &Bytes) -> Result<bool> {
    let answer = client.get(&format!("/v2/{image}/manifests/{reference}")).await?;
    if answer.status() == StatusCode::NOT_FOUND {
        return Ok(false);
    }
    let answer = expect(answer, StatusCode::OK)?;
    ensure!(answer.body() == manifest, "{reference} has other bytes");
    Ok(true)
}

/// A chunk's header; none for a stream, which is appended wherever the upload is.
fn content_range(start: usize, length: usize, is_stream: bool) -> String {
    if length == 0 || is_stream {
        return String::new();
    }
    format!("content-range: {start}-{}\r\n", start + length - 1)
}

/// Resumes the upload. One that was streamed into is pushed anew: what was cut off may still be under
/// way, and would be appended to what comes now.
async fn go_on(client: &Client, image: &str, location: &str, blob: &Bytes, is_stream: bool) -> Result<()> {
    if !is_stream {
        return resume(client, image, location, blob, Loss::Impossible).await;
    }
    let cancelled = client.delete(location).await?.status();
    let is_gone = matches!(cancelled, StatusCode::NO_CONTENT | StatusCode::NOT_FOUND);
    ensure!(is_gone, "a cancel is answered with {cancelled}");
    blob_matches(client, image, blob).await?;
    client.push_blob(image, blob).await?;
    ensure!(
        blob_matches(client, image, blob).await?,
        "a blob is not there although its push was acknowledged"
    );
    Ok(())
}

/// The bytes of a request, its body with a length or in chunks (RFC 9112, section 7.1).
fn raw_request(
    client: &Client,
    method: &str,
    target: &str,
    headers: &str,
    body: &[u8],
    dice: &mut Dice,
) -> Vec<u8> {
    let authorization = client.authorization().unwrap_or_default();
    let head = format!(
        "{method} {target} HTTP/1.1\r\nhost: registry\r\nauthorization: {authorization}\r\n{headers}"
    );
    if dice.below(2) == 0 || body.is_empty() {
        let length = format!("content-length: {}\r\n\r\n", body.len());
        return [head.as_bytes(), length.as_bytes(), body].concat();
    }
    let mut request = format!("{head}transfer-encoding: chunked\r\n\r\n").into_bytes();
    for chunk in body.chunks(40_000) {
        request.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        request.extend_from_slice(chunk);
        request.extend_from_slice(b"\r\n");
    }
    request.extend_from_slice(b"0\r\n\r\n");
    request
}

/// Anywhere; half of the time at the edges, where a body begins and where the request is whole.
fn cut_at(request: &[u8], body: usize, dice: &mut Dice) -> usize {
    let head = request.len().saturating_sub(body);
    match dice.below(4) {
        0 => (head + dice.below(4)).min(request.len()),
        1 => request.len() - dice.below(3),
        _ => dice.below(request.len() + 1),
    }
}

async fn send_and_hang_up(address: std::net::SocketAddr, bytes: &[u8]) -> Result<()> {
    let mut stream = TcpStream::connect(address).await.context("the server accepts no connection")?;
    // The server may answer and close before it has read all.
    let _ = stream.write_all(bytes).await;
    Ok(())
}

async fn connections(program: &Program) -> u64 {
    let metrics = Client::new(program.management()).get("/metrics").await;
    let metrics = metrics.expect("the management listener answers");
    let text = String::from_utf8_lossy(metrics.body()).into_owned();
    let value = text.lines().find_map(|line| line.strip_prefix("wharfinger_connections "));
    value
        .and_then(|value| value.parse().ok())
        .unwrap_or_else(|| panic!("no wharfinger_connections in {text}"))
}
