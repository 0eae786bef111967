//! Referrers: end-12 of the Distribution spec.

use axum::response::Response;
use http::request::Parts;
use http::{HeaderName, HeaderValue, StatusCode, header};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use serde_json::value::RawValue;
use wharfinger_iam::Ctx;
use wharfinger_types::{Digest, ImageName, media_type};

use crate::error::Failure;
use crate::query::Query;
use crate::{Distribution, json};

const FILTERS_APPLIED: HeaderName = HeaderName::from_static("oci-filters-applied");

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Index<'a> {
    schema_version: u8,
    media_type: &'static str,
    manifests: &'a [Box<RawValue>],
}

pub(crate) async fn list(
    state: &Distribution,
    ctx: &Ctx,
    image: &ImageName,
    digest: &Digest,
    parts: &Parts,
) -> Result<Response, Failure> {
    let query = Query::of(parts);
    let artifact_type = query.get("artifactType");
    if artifact_type.is_some_and(|kind| kind.contains('\0') || kind.len() > 255) {
        return Err(Failure::new(
            StatusCode::BAD_REQUEST,
            "UNSUPPORTED",
            "`artifactType` is not a media type",
        ));
    }
    let after = query.get("after").map_or(Ok(0), str::parse).map_err(|_| {
        Failure::new(
            StatusCode::BAD_REQUEST,
            "PAGINATION_NUMBER_INVALID",
            "`after` is not that of a `Link` header",
        )
    })?;
    let referrers = state.registry.list_referrers(ctx, image, digest, artifact_type, after).await?;
    let index =
        Index { schema_version: 2, media_type: media_type::OCI_INDEX, manifests: &referrers.manifests };
    // Text that was JSON before is JSON again.
    let mut response = json(StatusCode::OK, serde_json::to_string(&index).unwrap_or_default());
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type::OCI_INDEX));
    if artifact_type.is_some() {
        headers.insert(FILTERS_APPLIED, HeaderValue::from_static("artifactType"));
    }
    if let Some(next) = referrers.next {
        let filter = artifact_type.map_or_else(String::new, |kind| {
            format!("&artifactType={}", utf8_percent_encode(kind, NON_ALPHANUMERIC))
        });
        let link = format!(r#"</v2/{image}/referrers/{digest}?after={next}{filter}>; rel="next""#);
        headers
            .insert(header::LINK, HeaderValue::from_str(&link).map_err(|_| Failure::header(&header::LINK))?);
    }
    Ok(response)
}
