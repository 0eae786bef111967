//! `/20160918/users/{user}/apiKeys`.

use axum::Json;
use axum::extract::Path;
use axum::response::IntoResponse;
use axum::routing::{delete, get, post};
use serde::Deserialize;
use serde_json::{Value, json};
use wharfinger_iam::LifecycleState;
use wharfinger_iam::api_keys::{self, ApiKey};

use super::caller::{Caller, required};
use super::{Answer, nothing, resource, time};
use crate::v1::Entry;

pub(super) fn routes() -> Vec<Entry> {
    vec![
        ("list_api_keys", "/20160918/users/{user}/apiKeys", get(list_api_keys)),
        ("upload_api_key", "/20160918/users/{user}/apiKeys", post(upload_api_key)),
        ("delete_api_key", "/20160918/users/{user}/apiKeys/{fingerprint}", delete(delete_api_key)),
    ]
}

fn view(key: &ApiKey) -> Value {
    json!({
        "keyId": format!("{}/{}/{}", key.tenancy_ocid, key.user_ocid, key.fingerprint),
        "keyValue": key.pem,
        "fingerprint": key.fingerprint,
        "userId": key.user_ocid,
        "timeCreated": time(key.created_at),
        "lifecycleState": LifecycleState::Active.as_str(),
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CreateApiKeyDetails {
    key: Option<String>,
}

async fn upload_api_key(Path(user): Path<String>, caller: Caller) -> Answer {
    let body: CreateApiKeyDetails = caller.body()?;
    let key = required("key", body.key)?;
    let key = api_keys::upload_api_key(&caller.ctx, &caller.tenancy, &user, &key).await?;
    resource(view(&key), 1)
}

async fn list_api_keys(Path(user): Path<String>, caller: Caller) -> Answer {
    let keys = api_keys::list_api_keys(&caller.ctx, &caller.tenancy, &user).await?;
    Ok(Json(keys.iter().map(view).collect::<Vec<_>>()).into_response())
}

async fn delete_api_key(Path((user, fingerprint)): Path<(String, String)>, caller: Caller) -> Answer {
    api_keys::delete_api_key(&caller.ctx, &caller.tenancy, &user, &fingerprint).await?;
    nothing()
}
