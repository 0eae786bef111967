//! Blobs: end-2 and end-10 of the Distribution spec.

use std::ops::Range;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::request::Parts;
use http::{StatusCode, header};
use wharfinger_iam::Ctx;
use wharfinger_registry::BlobReader;
use wharfinger_types::{Digest, ImageName};

use crate::error::Failure;
use crate::range::{self, Wanted};
use crate::{CONTENT_DIGEST, Distribution, empty, etag, insert};

const OCTET_STREAM: &str = "application/octet-stream";

/// The answer's head for a blob, or a part of it of `length` bytes.
fn found(status: StatusCode, digest: &Digest, length: u64) -> Result<Response, Failure> {
    let headers = [
        (header::CONTENT_LENGTH, &*length.to_string()),
        (header::CONTENT_TYPE, OCTET_STREAM),
        (header::ACCEPT_RANGES, "bytes"),
        (header::ETAG, &etag::of(digest)),
        (CONTENT_DIGEST, digest.as_str()),
    ];
    empty(status, &headers)
}

pub(crate) async fn head(
    state: &Distribution,
    ctx: &Ctx,
    image: &ImageName,
    digest: &Digest,
    parts: &Parts,
) -> Result<Response, Failure> {
    let size = state.registry.stat_blob(ctx, image, digest).await?;
    if etag::is_known(parts, digest) {
        return etag::not_modified(digest, size);
    }
    found(StatusCode::OK, digest, size)
}

pub(crate) async fn get(
    state: &Distribution,
    ctx: &Ctx,
    image: &ImageName,
    digest: &Digest,
    parts: &Parts,
) -> Result<Response, Failure> {
    let reader = state.registry.open_blob(ctx, image, digest).await?;
    let size = reader.size();
    if etag::is_known(parts, digest) {
        return etag::not_modified(digest, size);
    }
    let range = parts.headers.get(header::RANGE).and_then(|value| value.to_str().ok());
    let range = range.filter(|_| etag::allows_range(parts, digest));
    match range::wanted(range, size) {
        Wanted::Whole => {
            let mut response = found(StatusCode::OK, digest, size)?;
            *response.body_mut() = Body::from_stream(reader.read(0..size).await?);
            Ok(response)
        }
        Wanted::Parts(ranges) => match ranges.as_slice() {
            [range] => {
                let mut response = found(StatusCode::PARTIAL_CONTENT, digest, range.end - range.start)?;
                insert(&mut response, header::CONTENT_RANGE, &content_range(range, size))?;
                *response.body_mut() = Body::from_stream(reader.read(range.clone()).await?);
                Ok(response)
            }
            _ => several(&reader, digest, &ranges).await,
        },
        Wanted::Unsatisfiable => {
            let message = format!("the blob has {size} bytes, and none in the range asked for");
            let failure = Failure::new(StatusCode::RANGE_NOT_SATISFIABLE, "RANGE_INVALID", message);
            Err(failure.with(header::CONTENT_RANGE, format!("bytes */{size}")))
        }
    }
}

fn content_range(range: &Range<u64>, size: u64) -> String {
    format!("bytes {}-{}/{size}", range.start, range.end - 1)
}

/// Several ranges in one answer: `multipart/byteranges` (RFC 9110, section 14.6).
async fn several(reader: &BlobReader, digest: &Digest, ranges: &[Range<u64>]) -> Result<Response, Failure> {
    // No content holds its own digest, so none holds the boundary. It may have 70 characters at most.
    let hex = digest.as_str().rsplit(':').next().unwrap_or_default();
    let boundary = hex.get(..64).unwrap_or_default();
    let size = reader.size();
    let head = |range| {
        let content_range = content_range(range, size);
        format!("\r\n--{boundary}\r\nContent-Type: {OCTET_STREAM}\r\nContent-Range: {content_range}\r\n\r\n")
    };
    let tail = format!("\r\n--{boundary}--\r\n");
    let mut length = tail.len() as u64;
    let mut pieces = Vec::new();
    for range in ranges {
        let head = head(range);
        length += head.len() as u64 + (range.end - range.start);
        let bytes = reader.read(range.clone()).await?;
        pieces.push(stream::once(async { Ok(Bytes::from(head)) }).chain(bytes).boxed());
    }
    pieces.push(stream::once(async { Ok(Bytes::from(tail)) }).boxed());
    let mut response = found(StatusCode::PARTIAL_CONTENT, digest, length)?;
    let content_type = format!("multipart/byteranges; boundary={boundary}");
    insert(&mut response, header::CONTENT_TYPE, &content_type)?;
    *response.body_mut() = Body::from_stream(stream::iter(pieces).flatten());
    Ok(response)
}

pub(crate) async fn delete(
    state: &Distribution,
    ctx: &Ctx,
    image: &ImageName,
    digest: &Digest,
) -> Result<Response, Failure> {
    state.registry.delete_blob(ctx, image, digest).await?;
    empty(StatusCode::ACCEPTED, &[])
}
