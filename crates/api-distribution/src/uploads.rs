//! Uploads: end-4 to end-6, end-13 and end-14 of the Distribution spec.

use axum::body::BodyDataStream;
use axum::response::Response;
use http::request::Parts;
use http::{StatusCode, header};
use wharfinger_iam::Ctx;
use wharfinger_registry::Error;
use wharfinger_registry::uploads::{ChunkRange, Upload};
use wharfinger_types::{Algorithm, Digest, ImageName, ParseDigestError};

use crate::error::Failure;
use crate::query::Query;
use crate::{CONTENT_DIGEST, Distribution, UPLOAD_UUID, empty, range};

/// Path-absolute and without a query: some clients drop one.
fn location(image: &ImageName, uuid: &str) -> String {
    format!("/v2/{image}/blobs/uploads/{uuid}")
}

/// `0-0` also for an empty upload: clients read a number behind the dash.
fn received(offset: u64) -> String {
    format!("0-{}", offset.saturating_sub(1))
}

fn in_progress(status: StatusCode, image: &ImageName, upload: &Upload) -> Result<Response, Failure> {
    let headers = [
        (header::LOCATION, &*location(image, &upload.uuid)),
        (header::RANGE, &*received(upload.offset)),
        (UPLOAD_UUID, upload.uuid.as_str()),
    ];
    empty(status, &headers)
}

fn created(image: &ImageName, digest: &Digest) -> Result<Response, Failure> {
    let location = format!("/v2/{image}/blobs/{digest}");
    empty(StatusCode::CREATED, &[(header::LOCATION, &location), (CONTENT_DIGEST, digest.as_str())])
}

fn query_digest(query: &Query) -> Result<Option<Digest>, Failure> {
    let parse = |text: &str| text.parse().map_err(|error: ParseDigestError| Failure::digest(&error));
    query.get("digest").map(parse).transpose()
}

fn chunk_range(parts: &Parts) -> Result<Option<ChunkRange>, Failure> {
    let Some(value) = parts.headers.get(header::CONTENT_RANGE) else {
        return Ok(None);
    };
    let range = value.to_str().ok().and_then(range::chunk);
    let message = "Content-Range of a chunk must be `<first>-<last>`, two byte offsets in order";
    range.map(Some).ok_or_else(|| Failure::new(StatusCode::BAD_REQUEST, "BLOB_UPLOAD_INVALID", message))
}

/// A refused chunk says where to go on.
fn refuse(image: &ImageName, uuid: &str, error: Error) -> Failure {
    let offset = match &error {
        Error::UploadOffset { offset, .. } => Some(*offset),
        _ => None,
    };
    let failure = Failure::from(error);
    match offset {
        Some(offset) => {
            failure.with(header::LOCATION, location(image, uuid)).with(header::RANGE, received(offset))
        }
        None => failure,
    }
}

pub(crate) async fn start(
    state: &Distribution,
    ctx: &Ctx,
    image: &ImageName,
    parts: &Parts,
    body: &mut BodyDataStream,
) -> Result<Response, Failure> {
    let query = Query::of(parts);
    if let Some(mount) = query.get("mount") {
        let digest: Digest = mount.parse().map_err(|error: ParseDigestError| Failure::digest(&error))?;
        let from = query.get("from");
        // A source that is no name here, such as another registry's, is a source without the blob.
        let from = from.map(str::parse::<ImageName>).transpose();
        if let Ok(from) = from
            && state.registry.mount_blob(ctx, image, &digest, from.as_ref()).await?
        {
            return created(image, &digest);
        }
    } else if let Some(digest) = query_digest(&query)? {
        state.registry.upload_blob(ctx, image, &digest, body).await?;
        return created(image, &digest);
    }
    let algorithm = match query.get("digest-algorithm") {
        None | Some("sha256") => Algorithm::Sha256,
        Some("sha512") => Algorithm::Sha512,
        Some(other) => {
            let message = format!(
                "unsupported digest-algorithm `{}`: use sha256 or sha512",
                other.chars().take(40).collect::<String>()
            );
            return Err(Failure::new(StatusCode::BAD_REQUEST, "DIGEST_INVALID", message));
        }
    };
    let upload = state.registry.start_upload(ctx, image, algorithm).await?;
    in_progress(StatusCode::ACCEPTED, image, &upload)
}

pub(crate) async fn status(
    state: &Distribution,
    ctx: &Ctx,
    image: &ImageName,
    uuid: &str,
) -> Result<Response, Failure> {
    let upload = state.registry.get_upload(ctx, image, uuid).await?;
    in_progress(StatusCode::NO_CONTENT, image, &upload)
}

pub(crate) async fn append(
    state: &Distribution,
    ctx: &Ctx,
    image: &ImageName,
    uuid: &str,
    parts: &Parts,
    body: &mut BodyDataStream,
) -> Result<Response, Failure> {
    let range = chunk_range(parts)?;
    let appended = state.registry.append_upload(ctx, image, uuid, range, body).await;
    let upload = appended.map_err(|error| refuse(image, uuid, error))?;
    in_progress(StatusCode::ACCEPTED, image, &upload)
}

pub(crate) async fn finish(
    state: &Distribution,
    ctx: &Ctx,
    image: &ImageName,
    uuid: &str,
    parts: &Parts,
    body: &mut BodyDataStream,
) -> Result<Response, Failure> {
    let range = chunk_range(parts)?;
    let digest = query_digest(&Query::of(parts))?.ok_or_else(|| {
        let message = "the closing PUT needs the blob's digest: add `?digest=sha256:…`";
        Failure::new(StatusCode::BAD_REQUEST, "DIGEST_INVALID", message)
    })?;
    let finished = state.registry.finish_upload(ctx, image, uuid, range, &digest, body).await;
    finished.map_err(|error| refuse(image, uuid, error))?;
    created(image, &digest)
}

pub(crate) async fn cancel(
    state: &Distribution,
    ctx: &Ctx,
    image: &ImageName,
    uuid: &str,
) -> Result<Response, Failure> {
    state.registry.cancel_upload(ctx, image, uuid).await?;
    empty(StatusCode::NO_CONTENT, &[])
}
