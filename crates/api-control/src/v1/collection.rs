//! Garbage collection on demand, and how far it is.

use axum::{Extension, Json};
use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;
use wharfinger_registry::Registry;

use super::{Answer, Body, Caller};

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct CollectGarbageBody {
    #[serde(default)]
    dry_run: bool,
}

pub(super) async fn collect_garbage(
    caller: Caller,
    Extension(registry): Extension<Registry>,
    body: Body<CollectGarbageBody>,
) -> Answer<Value> {
    let Json(CollectGarbageBody { dry_run }) = body?;
    let collected = registry.collect_garbage(&caller.ctx, dry_run).await?;
    // Numbers and texts always serialise.
    Ok(Json(serde_json::to_value(&collected).unwrap_or_default()))
}

pub(super) async fn get_garbage_collection(
    _caller: Caller,
    Extension(registry): Extension<Registry>,
) -> Answer<Value> {
    Ok(Json(serde_json::to_value(registry.collection_progress()).unwrap_or_default()))
}
