//! The token endpoint: credentials in, a short-lived registry token out.

use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use http::{HeaderValue, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use serde_json::json;
use wharfinger_iam::{Cap, Ctx};
use wharfinger_types::OperationName;

use crate::authenticate::{self, Challenge, Credentials};
use crate::error::Failure;
use crate::query::Query;
use crate::{Distribution, json as json_response};

/// More than user name, password and a few scopes take.
const MAX_FORM_BYTES: usize = 64 << 10;
/// The longest that a form may take.
const FORM_TIMEOUT: Duration = Duration::from_secs(30);

const OPERATION: OperationName = OperationName("issue_registry_token");

/// A token for the holder of Basic credentials, or an anonymous one. Scopes that are too wide are no
/// error: rights are decided when the token is used.
pub(crate) async fn get_token(State(state): State<Distribution>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    finish(by_query(&state, &parts).await, &Challenge::new(&parts, None))
}

async fn by_query(state: &Distribution, parts: &Parts) -> Result<Response, Failure> {
    let incoming = authenticate::incoming(parts)?;
    let ctx = match authenticate::credentials(parts)? {
        Credentials::None => state.iam.anonymous(incoming),
        Credentials::Basic(name, password) => state.iam.login(incoming, &name, &password).await?,
        Credentials::Bearer(_) => {
            let message = "this endpoint takes a user name and an auth token, not a registry token";
            return Err(Failure::new(StatusCode::UNAUTHORIZED, "UNAUTHORIZED", message));
        }
    };
    let cap = Cap::from_scopes(Query::of(parts).all("scope"));
    answer(state, &ctx, cap, None).await
}

/// The OAuth2 form of the same, which containerd and BuildKit try first.
pub(crate) async fn post_token(State(state): State<Distribution>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    finish(by_grant(&state, &parts, body).await, &Challenge::new(&parts, None))
}

async fn by_grant(state: &Distribution, parts: &Parts, body: Body) -> Result<Response, Failure> {
    let incoming = authenticate::incoming(parts)?;
    let body = tokio::time::timeout(FORM_TIMEOUT, Limited::new(body, MAX_FORM_BYTES).collect()).await;
    let body = body.map_err(|_| {
        Failure::new(StatusCode::REQUEST_TIMEOUT, "UNSUPPORTED", "the form did not come in time")
    })?;
    let body = body.map_err(|error| {
        let message = format!("the form can't be read (at most {MAX_FORM_BYTES} bytes): {error}");
        Failure::new(StatusCode::BAD_REQUEST, "UNSUPPORTED", message)
    })?;
    let form = Query::parse(&String::from_utf8_lossy(&body.to_bytes()));
    let field = |name: &str| form.get(name);
    if field("grant_type") != Some("password") {
        let message = "only `grant_type=password` is supported: send `username` and `password`";
        return Err(Failure::new(StatusCode::BAD_REQUEST, "UNSUPPORTED", message));
    }
    let (username, password) = (field("username").unwrap_or_default(), field("password").unwrap_or_default());
    let ctx = state.iam.login(incoming, username, password).await?;
    let cap = Cap::from_scopes(form.all("scope"));
    answer(state, &ctx, cap, field("scope").map(str::to_owned)).await
}

async fn answer(
    state: &Distribution,
    ctx: &Ctx,
    cap: Cap,
    scope: Option<String>,
) -> Result<Response, Failure> {
    let issued = state.iam.issue_registry_token(ctx, cap).await?;
    let token = issued.token.reveal();
    let mut body = json!({
        "token": token,
        "access_token": token,
        "expires_in": issued.expires_in_secs,
        "issued_at": issued.issued_at.to_string(),
    });
    if let (Some(scope), Some(fields)) = (scope, body.as_object_mut()) {
        fields.insert("scope".to_owned(), scope.into());
    }
    let mut response = json_response(StatusCode::OK, body.to_string());
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

fn finish(outcome: Result<Response, Failure>, challenge: &Challenge) -> Response {
    let mut response = outcome.unwrap_or_else(|failure| failure.render(challenge, false)).into_response();
    // Here it is a password that is asked for, not a token.
    if response.status() == StatusCode::UNAUTHORIZED {
        response
            .headers_mut()
            .insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(r#"Basic realm="wharfinger""#));
    }
    response.extensions_mut().insert(OPERATION);
    response
}
