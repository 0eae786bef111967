//! `/20160918/users/{user}/authTokens`.

use axum::Json;
use axum::extract::Path;
use axum::response::IntoResponse;
use axum::routing::{delete, get, post, put};
use serde::Deserialize;
use serde_json::{Value, json};
use wharfinger_iam::LifecycleState;
use wharfinger_iam::auth_tokens::{self, AuthToken};

use super::caller::{Caller, required};
use super::{Answer, nothing, resource, time};
use crate::v1::{Entry, with};

pub(super) fn routes() -> Vec<Entry> {
    vec![
        ("list_auth_tokens", "/20160918/users/{user}/authTokens", get(list_auth_tokens)),
        ("create_auth_token", "/20160918/users/{user}/authTokens", post(create_auth_token)),
        ("update_auth_token", "/20160918/users/{user}/authTokens/{token}", put(update_auth_token)),
        ("delete_auth_token", "/20160918/users/{user}/authTokens/{token}", delete(delete_auth_token)),
    ]
}

/// Without the secret. None expires by itself.
fn view(token: &AuthToken) -> Value {
    json!({
        "id": token.ocid,
        "userId": token.user_ocid,
        "description": token.description,
        "timeCreated": time(token.created_at),
        "timeExpires": null,
        "lifecycleState": LifecycleState::Active.as_str(),
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AuthTokenDetails {
    description: Option<String>,
}

async fn create_auth_token(Path(user): Path<String>, caller: Caller) -> Answer {
    let body: AuthTokenDetails = caller.body()?;
    let description = required("description", body.description)?;
    let (token, secret) =
        auth_tokens::create_auth_token(&caller.ctx, &caller.tenancy, &user, &description).await?;
    resource(with(view(&token), "token", secret.reveal()), token.revision)
}

async fn list_auth_tokens(Path(user): Path<String>, caller: Caller) -> Answer {
    let tokens = auth_tokens::list_auth_tokens(&caller.ctx, &caller.tenancy, &user).await?;
    Ok(Json(tokens.iter().map(view).collect::<Vec<_>>()).into_response())
}

async fn update_auth_token(Path((user, token)): Path<(String, String)>, caller: Caller) -> Answer {
    let body: AuthTokenDetails = caller.body()?;
    let description = body.description.as_deref();
    let token =
        auth_tokens::update_auth_token(&caller.ctx, &caller.tenancy, &user, &token, description).await?;
    resource(view(&token), token.revision)
}

async fn delete_auth_token(Path((user, token)): Path<(String, String)>, caller: Caller) -> Answer {
    auth_tokens::delete_auth_token(&caller.ctx, &caller.tenancy, &user, &token).await?;
    nothing()
}
