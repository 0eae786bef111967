//! `/v1/token/upst/actions/GenerateUpst`: what `oci session authenticate --no-browser` asks for.

use axum::Json;
use axum::response::IntoResponse;
use axum::routing::post;
use serde::Deserialize;
use serde_json::json;
use wharfinger_iam::security_tokens;

use super::Answer;
use super::caller::{Caller, required};
use crate::v1::Entry;

pub(super) fn routes() -> Vec<Entry> {
    let path = "/v1/token/upst/actions/GenerateUpst";
    vec![("generate_user_security_token", path, post(generate_user_security_token))]
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct GenerateUserSecurityTokenDetails {
    public_key: Option<String>,
    session_expiration_in_minutes: Option<Minutes>,
}

/// SDKs send a number, the command line a text.
#[derive(Deserialize)]
#[serde(untagged)]
enum Minutes {
    Number(i64),
    Text(String),
}

async fn generate_user_security_token(caller: Caller) -> Answer {
    let body: GenerateUserSecurityTokenDetails = caller.body()?;
    let key = required("publicKey", body.public_key)?;
    let minutes = body.session_expiration_in_minutes.map(|minutes| match minutes {
        Minutes::Number(minutes) => minutes,
        // What is no number is none of those allowed.
        Minutes::Text(text) => text.parse().unwrap_or_default(),
    });
    let token = security_tokens::generate_user_security_token(&caller.ctx, &key, minutes).await?;
    Ok(Json(json!({ "token": token.reveal() })).into_response())
}
