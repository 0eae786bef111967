//! Going on with an upload whose client was cut off.

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use bytes::Bytes;
use http::StatusCode;
use tokio::time::Instant;
use wharfinger_testkit::http::{Client, Refused, digest, expect, text};

/// Whether a session may be gone without its blob being there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// The server ran on: no.
    Impossible,
    /// The server was killed: yes.
    Possible,
}

/// Goes on where the session says it is, as a client does, and checks that the blob is right.
///
/// # Errors
/// If the session says a wrong offset, ends in another blob, or is lost although it may not be.
pub async fn resume(client: &Client, image: &str, location: &str, blob: &Bytes, loss: Loss) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(20);
    // The request that was cut off may still be under way, so an offset may be old when it is used.
    while Instant::now() < deadline {
        let status = client.get(location).await?;
        if status.status() == StatusCode::NOT_FOUND {
            return match blob_matches(client, image, blob).await? {
                true => Ok(()),
                false if loss == Loss::Possible => Ok(()),
                false => bail!("the session {location} is gone, and so is its blob"),
            };
        }
        let status = expect(status, StatusCode::NO_CONTENT)?;
        let range = text(status.headers(), "range");
        let last = range.strip_prefix("0-").and_then(|last| last.parse().ok());
        let last: usize = last.with_context(|| format!("Range `{range}`"))?;
        // `0-0` stands for no byte and for one.
        let offsets = if last == 0 { vec![0, 1] } else { vec![last + 1] };
        for offset in offsets {
            ensure!(offset <= blob.len(), "{location} has {offset} bytes of {}", blob.len());
            match finish(client, image, location, blob, offset).await? {
                Outcome::Finished => return Ok(()),
                Outcome::Lost if loss == Loss::Possible => return Ok(()),
                Outcome::Lost | Outcome::OtherOffset => {}
            }
        }
    }
    bail!("{location} never accepted the offset it gave")
}

enum Outcome {
    Finished,
    OtherOffset,
    Lost,
}

async fn finish(
    client: &Client,
    image: &str,
    location: &str,
    blob: &Bytes,
    offset: usize,
) -> Result<Outcome> {
    if offset < blob.len() {
        let range = format!("{offset}-{}", blob.len() - 1);
        let headers = [("content-range", range.as_str())];
        let rest = blob.slice(offset..);
        let answer = client.send("PATCH", location, &headers, rest).await?;
        match answer.status() {
            StatusCode::RANGE_NOT_SATISFIABLE => return Ok(Outcome::OtherOffset),
            StatusCode::NOT_FOUND => return Ok(Outcome::Lost),
            _ => expect(answer, StatusCode::ACCEPTED)?,
        };
    }
    let closing = format!("{location}?digest={}", digest(blob));
    let answer = client.send("PUT", &closing, &[], Bytes::new()).await?;
    if answer.status() == StatusCode::NOT_FOUND {
        return Ok(Outcome::Lost);
    }
    expect(answer, StatusCode::CREATED)?;
    ensure!(
        blob_matches(client, image, blob).await?,
        "the blob of {location} is not there although its upload was acknowledged"
    );
    Ok(Outcome::Finished)
}

/// Whether the repository has the blob; if so its bytes are compared.
///
/// # Errors
/// If it answers with other bytes, or anything but 200 and 404.
pub async fn blob_matches(client: &Client, image: &str, blob: &Bytes) -> Result<bool> {
    let target = format!("/v2/{image}/blobs/{}", digest(blob));
    let answer = client.get(&target).await?;
    if answer.status() == StatusCode::NOT_FOUND {
        return Ok(false);
    }
    let answer = expect(answer, StatusCode::OK)?;
    ensure!(answer.body() == blob, "{target} has other bytes");
    Ok(true)
}

/// Whether an exchange broke, as it does when the server is killed, rather than being refused.
#[must_use]
pub fn is_broken_off(error: &anyhow::Error) -> bool {
    !error.is::<Refused>()
}
