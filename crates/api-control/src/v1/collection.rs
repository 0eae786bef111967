//! Garbage collection on demand, and how far it is.

use axum::{Extension, Json};
use serde::Deserialize;
use utoipa::ToSchema;
use wharfinger_registry::Registry;
use wharfinger_registry::collection::{Collected, Progress};

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
) -> Answer<Collected> {
    let Json(CollectGarbageBody { dry_run }) = body?;
    Ok(Json(registry.collect_garbage(&caller.ctx, dry_run).await?))
}

pub(super) async fn get_garbage_collection(
    _caller: Caller,
    Extension(registry): Extension<Registry>,
) -> Answer<Progress> {
    Ok(Json(registry.collection_progress()))
}
