//! The extensions that this registry has (Distribution spec, "Extensions", `_oci`).

use axum::response::Response;
use http::StatusCode;
use http::request::Parts;
use serde_json::json;
use wharfinger_iam::Ctx;
use wharfinger_registry::repositories;
use wharfinger_types::ImageName;

use crate::error::Failure;
use crate::{json as json_response, require_credentials};

const SPEC: &str = "https://github.com/opencontainers/distribution-spec/tree/main/extensions";

/// Those of the whole registry, or of a repository that the principal may read.
pub(crate) async fn list(ctx: &Ctx, image: Option<&ImageName>, parts: &Parts) -> Result<Response, Failure> {
    let extension = |name: &str, description: &str, endpoint: &str| json!({ "name": name, "description": description, "url": SPEC, "endpoints": [endpoint] });
    let mut extensions = vec![extension("_oci", "the extensions that there are", "_oci/ext/discover")];
    match image {
        Some(image) => drop(repositories::get_repository(ctx, image).await?),
        None => {
            require_credentials(ctx, parts)?;
            extensions.push(extension("_catalog", "the repositories that you may read", "_catalog"));
        }
    }
    Ok(json_response(StatusCode::OK, json!({ "extensions": extensions }).to_string()))
}
