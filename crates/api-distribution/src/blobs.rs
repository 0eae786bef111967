//! Blobs: end-2 and end-10 of the Distribution spec.

use axum::body::Body;
use axum::response::Response;
use http::request::Parts;
use http::{HeaderValue, StatusCode, header};
use wharfinger_iam::Ctx;
use wharfinger_types::{Digest, ImageName};

use crate::error::Failure;
use crate::range::{self, Wanted};
use crate::{CONTENT_DIGEST, Distribution, empty};

const OCTET_STREAM: &str = "application/octet-stream";

pub(crate) async fn head(
    state: &Distribution,
    ctx: &Ctx,
    image: &ImageName,
    digest: &Digest,
) -> Result<Response, Failure> {
    let size = state.registry.stat_blob(ctx, image, digest).await?;
    let headers = [
        (header::CONTENT_LENGTH, &*size.to_string()),
        (header::CONTENT_TYPE, OCTET_STREAM),
        (header::ACCEPT_RANGES, "bytes"),
        (CONTENT_DIGEST, digest.as_str()),
    ];
    empty(StatusCode::OK, &headers)
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
    let range = parts.headers.get(header::RANGE).and_then(|value| value.to_str().ok());
    let (status, part) = match range::wanted(range, size) {
        Wanted::Whole => (StatusCode::OK, 0..size),
        Wanted::Part(part) => (StatusCode::PARTIAL_CONTENT, part),
        Wanted::Unsatisfiable => {
            let message = format!("the blob has {size} bytes, and none in the range asked for");
            let failure = Failure::new(StatusCode::RANGE_NOT_SATISFIABLE, "RANGE_INVALID", message);
            return Err(failure.with(header::CONTENT_RANGE, format!("bytes */{size}")));
        }
    };
    let headers = [
        (header::CONTENT_LENGTH, &*(part.end - part.start).to_string()),
        (header::CONTENT_TYPE, OCTET_STREAM),
        (header::ACCEPT_RANGES, "bytes"),
        (CONTENT_DIGEST, digest.as_str()),
    ];
    let mut response = empty(status, &headers)?;
    if status == StatusCode::PARTIAL_CONTENT {
        let content_range = format!("bytes {}-{}/{size}", part.start, part.end - 1);
        let value =
            HeaderValue::from_str(&content_range).map_err(|_| Failure::header(&header::CONTENT_RANGE))?;
        response.headers_mut().insert(header::CONTENT_RANGE, value);
    }
    *response.body_mut() = Body::from_stream(reader.read(part));
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
