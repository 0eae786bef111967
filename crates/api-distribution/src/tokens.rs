//! The token endpoint: credentials in, a short-lived registry token out.

use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use http::{HeaderValue, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use serde::Serialize;
use wharfinger_iam::{Cap, Ctx, Secret};
use wharfinger_types::OperationName;

use crate::authenticate::{self, Challenge};
use crate::error::Failure;
use crate::query::Query;
use crate::{Distribution, json};

/// More than user name, password and a few scopes take.
const MAX_FORM_BYTES: usize = 64 << 10;
/// The longest that a form may take.
const FORM_TIMEOUT: Duration = Duration::from_secs(30);

const OPERATION: OperationName = OperationName("issue_registry_token");

/// What a request for a token asks for, beside who asks.
struct Asked<'a> {
    scopes: Vec<&'a str>,
    refresh_token: bool,
}

/// Both names of the token are in use; no field is ever empty, which some clients would not read.
#[derive(Serialize)]
struct Answer<'a> {
    token: &'a str,
    access_token: &'a str,
    expires_in: i64,
    issued_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<&'a str>,
}

/// A token for the holder of the credentials in the header, or an anonymous one. Scopes that are too
/// wide are no error: rights are decided when the token is used.
pub(crate) async fn get_token(State(state): State<Distribution>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    finish(by_query(&state, &parts).await, &Challenge::new(&parts, None))
}

async fn by_query(state: &Distribution, parts: &Parts) -> Result<Response, Failure> {
    let ctx = authenticate::authenticate(&state.iam, parts).await?;
    let query = Query::of(parts);
    // `offline_token=true` is left unanswered: ADR 003.
    answer(state, &ctx, Asked { scopes: query.all("scope").collect(), refresh_token: false }).await
}

/// The OAuth2 form of the same, which containerd and BuildKit try first.
pub(crate) async fn post_token(State(state): State<Distribution>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    finish(by_grant(&state, &parts, body).await, &Challenge::new(&parts, None))
}

async fn by_grant(state: &Distribution, parts: &Parts, body: Body) -> Result<Response, Failure> {
    let incoming = authenticate::incoming(parts)?;
    // The form counts here; what can't be read is refused as everywhere.
    authenticate::credentials(parts)?;
    let body = tokio::time::timeout(FORM_TIMEOUT, Limited::new(body, MAX_FORM_BYTES).collect()).await;
    let body = body.map_err(|_| {
        Failure::new(StatusCode::REQUEST_TIMEOUT, "UNSUPPORTED", "the form did not come in time")
    })?;
    let body = body.map_err(|error| {
        let message = format!("the form can't be read (at most {MAX_FORM_BYTES} bytes): {error}");
        Failure::new(StatusCode::BAD_REQUEST, "UNSUPPORTED", message)
    })?;
    let form = Query::parse(&String::from_utf8_lossy(&body.to_bytes()));
    let field = |name: &str| form.get(name).unwrap_or_default();
    let ctx = match field("grant_type") {
        "password" => state.iam.login(incoming, field("username"), field("password")).await?,
        "refresh_token" => state.iam.refresh(incoming, field("refresh_token")).await?,
        _ => {
            let message = "`grant_type` must be `password`, with `username` and `password`, or `refresh_token`, with one";
            return Err(Failure::new(StatusCode::BAD_REQUEST, "UNSUPPORTED", message));
        }
    };
    let refresh_token = field("access_type") == "offline";
    answer(state, &ctx, Asked { scopes: form.all("scope").collect(), refresh_token }).await
}

async fn answer(state: &Distribution, ctx: &Ctx, asked: Asked<'_>) -> Result<Response, Failure> {
    let cap = Cap::from_scopes(asked.scopes.iter().copied());
    let issued = state.iam.issue_registry_token(ctx, cap).await?;
    let refresh_token = match asked.refresh_token {
        true => state.iam.issue_refresh_token(ctx).await?,
        false => None,
    };
    let token = issued.token.reveal();
    let body = Answer {
        token,
        access_token: token,
        expires_in: issued.expires_in_secs,
        issued_at: issued.issued_at.to_string(),
        scope: (!asked.scopes.is_empty()).then(|| asked.scopes.join(" ")),
        refresh_token: refresh_token.as_ref().map(Secret::reveal),
    };
    // A few strings and a number always serialise.
    let body = serde_json::to_string(&body).unwrap_or_default();
    let mut response = json(StatusCode::OK, body);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

fn finish(outcome: Result<Response, Failure>, challenge: &Challenge) -> Response {
    let mut response = outcome.unwrap_or_else(|failure| failure.render(challenge)).into_response();
    // Here it is a password that is asked for, not a token.
    if response.status() == StatusCode::UNAUTHORIZED {
        response
            .headers_mut()
            .insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(r#"Basic realm="wharfinger""#));
    }
    response.extensions_mut().insert(OPERATION);
    response
}
