//! Manifests: end-3, end-7 and end-9 of the Distribution spec.

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::request::Parts;
use http::{StatusCode, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use wharfinger_iam::Ctx;
use wharfinger_registry::Error;
use wharfinger_registry::manifests::{MAX_MANIFEST_BYTES, ManifestInfo};
use wharfinger_types::{ImageName, Reference};

use crate::error::Failure;
use crate::{CONTENT_DIGEST, Distribution, empty};

fn found(manifest: &ManifestInfo) -> Result<Response, Failure> {
    let headers = [
        (header::CONTENT_LENGTH, &*manifest.size.to_string()),
        (header::CONTENT_TYPE, manifest.media_type.as_str()),
        (CONTENT_DIGEST, manifest.digest.as_str()),
    ];
    empty(StatusCode::OK, &headers)
}

pub(crate) async fn head(
    state: &Distribution,
    ctx: &Ctx,
    image: &ImageName,
    reference: &Reference,
) -> Result<Response, Failure> {
    found(&state.registry.stat_manifest(ctx, image, reference).await?)
}

pub(crate) async fn get(
    state: &Distribution,
    ctx: &Ctx,
    image: &ImageName,
    reference: &Reference,
) -> Result<Response, Failure> {
    let (manifest, body) = state.registry.get_manifest(ctx, image, reference).await?;
    let mut response = found(&manifest)?;
    *response.body_mut() = Body::from(body);
    Ok(response)
}

pub(crate) async fn put(
    state: &Distribution,
    ctx: &Ctx,
    image: &ImageName,
    reference: &Reference,
    parts: &Parts,
    body: Body,
) -> Result<Response, Failure> {
    let content_type = parts
        .headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .map(str::to_owned);
    let body = read(body).await?;
    let digest = state
        .registry
        .put_manifest(ctx, image, reference, content_type.as_deref(), body)
        .await?;
    let location = format!("/v2/{image}/manifests/{digest}");
    empty(
        StatusCode::CREATED,
        &[
            (header::LOCATION, &location),
            (CONTENT_DIGEST, digest.as_str()),
        ],
    )
}

/// Reads a manifest's body, which has no declared length when it comes chunked.
async fn read(body: Body) -> Result<Bytes, Error> {
    match Limited::new(body, MAX_MANIFEST_BYTES).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(Error::ManifestTooLarge {
            limit: MAX_MANIFEST_BYTES,
        }),
        Err(error) => Err(Error::BodyBroken(error.to_string())),
    }
}

/// By tag only the tag goes; by digest the manifest with all its tags.
pub(crate) async fn delete(
    state: &Distribution,
    ctx: &Ctx,
    image: &ImageName,
    reference: &Reference,
) -> Result<Response, Failure> {
    match reference {
        Reference::Tag(tag) => state.registry.delete_tag(ctx, image, tag).await?,
        Reference::Digest(digest) => state.registry.delete_manifest(ctx, image, digest).await?,
    }
    empty(StatusCode::ACCEPTED, &[])
}
