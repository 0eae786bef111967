//! Manifests: end-3, end-7 and end-9 of the Distribution spec.

use axum::body::{Body, BodyDataStream};
use axum::response::Response;
use http::request::Parts;
use http::{HeaderName, StatusCode, header};
use wharfinger_iam::Ctx;
use wharfinger_registry::manifests::ManifestInfo;
use wharfinger_types::{ImageName, Reference, Tag};

use crate::error::Failure;
use crate::query::Query;
use crate::{CONTENT_DIGEST, Distribution, append, empty, etag, warn};

/// The spec asks for at least ten.
const MAX_TAGS: usize = 64;

const SUBJECT: HeaderName = HeaderName::from_static("oci-subject");
const TAG: HeaderName = HeaderName::from_static("oci-tag");

fn found(manifest: &ManifestInfo) -> Result<Response, Failure> {
    let headers = [
        (header::CONTENT_LENGTH, &*manifest.size.to_string()),
        (header::CONTENT_TYPE, manifest.media_type.as_str()),
        (header::ETAG, &etag::of(&manifest.digest)),
        (CONTENT_DIGEST, manifest.digest.as_str()),
    ];
    empty(StatusCode::OK, &headers)
}

pub(crate) async fn head(
    state: &Distribution,
    ctx: &Ctx,
    image: &ImageName,
    reference: &Reference,
    parts: &Parts,
) -> Result<Response, Failure> {
    let manifest = state.registry.stat_manifest(ctx, image, reference).await?;
    if etag::is_known(parts, &manifest.digest) {
        return etag::not_modified(&manifest.digest, manifest.size);
    }
    found(&manifest)
}

pub(crate) async fn get(
    state: &Distribution,
    ctx: &Ctx,
    image: &ImageName,
    reference: &Reference,
    parts: &Parts,
) -> Result<Response, Failure> {
    let (manifest, body) = state.registry.get_manifest(ctx, image, reference).await?;
    if etag::is_known(parts, &manifest.digest) {
        return etag::not_modified(&manifest.digest, manifest.size);
    }
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
    body: &mut BodyDataStream,
) -> Result<Response, Failure> {
    let content_type =
        parts.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let more_tags = query_tags(parts)?;
    let put =
        state.registry.put_manifest(ctx, image, reference, &more_tags, content_type.as_deref(), body).await?;
    let location = format!("/v2/{image}/manifests/{}", put.digest);
    let headers = [(header::LOCATION, location.as_str()), (CONTENT_DIGEST, put.digest.as_str())];
    let mut response = empty(StatusCode::CREATED, &headers)?;
    if let Some(subject) = &put.subject {
        append(&mut response, SUBJECT, subject.as_str())?;
    }
    for tag in &more_tags {
        append(&mut response, TAG, tag.as_str())?;
    }
    for warning in &put.warnings {
        warn(&mut response, warning)?;
    }
    Ok(response)
}

/// End-7b: a manifest may be put under several tags at once.
fn query_tags(parts: &Parts) -> Result<Vec<Tag>, Failure> {
    let query = Query::of(parts);
    let tags: Vec<&str> = query.all("tag").collect();
    if tags.len() > MAX_TAGS {
        let message = format!("{} tags are more than the {MAX_TAGS} that one request may set", tags.len());
        return Err(Failure::new(StatusCode::URI_TOO_LONG, "TAG_INVALID", message));
    }
    tags.into_iter().map(|tag| tag.parse().map_err(|error| Failure::name(&error))).collect()
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
