//! The Distribution API under `/v2/`, and the token endpoint that its challenges name.
//!
//! Translates only: a request is parsed, one service function is called, its outcome is rendered.
//! Source: Open Container Initiative Distribution Specification; token authentication
//! specification of the Docker registry.

mod authenticate;
mod blobs;
mod error;
mod etag;
mod extensions;
mod manifests;
mod query;
pub mod range;
mod referrers;
mod route;
mod tags;
mod tokens;
mod uploads;

use std::time::Duration;

use axum::Router;
use axum::body::{Body, BodyDataStream};
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use futures_util::StreamExt;
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, StatusCode, header};
use wharfinger_iam::{Ctx, Iam, Principal};
use wharfinger_registry::Registry;
use wharfinger_types::OperationName;

use authenticate::Credentials;
pub use error::Failure;
pub use query::Query;
pub use route::{OPERATIONS, Route};

/// Where the token endpoint is, as in OCIR.
pub const TOKEN_PATH: &str = "/20180419/docker/token";

/// What the handlers work on.
#[derive(Debug, Clone)]
pub struct Distribution {
    /// Identity.
    pub iam: Iam,
    /// Content.
    pub registry: Registry,
}

/// Scheme and authority by which the client reached the server, such as `https://registry.example`.
/// The server attaches it to every request.
#[derive(Debug, Clone)]
pub struct BaseUrl(pub String);

/// The routes. Requests must carry [`wharfinger_iam::Request`] and [`BaseUrl`] as extensions.
pub fn router(state: Distribution) -> Router {
    Router::new()
        .route("/v2", any(dispatch))
        .route("/v2/", any(dispatch))
        .route("/v2/{*rest}", any(dispatch))
        .route(TOKEN_PATH, get(tokens::get_token).post(tokens::post_token))
        .with_state(state)
}

const API_VERSION: HeaderName = HeaderName::from_static("docker-distribution-api-version");

/// How much of a refused body is read, and for how long.
const DRAIN_BYTES: usize = 1 << 20;
const DRAIN_TIME: Duration = Duration::from_secs(1);

async fn dispatch(State(state): State<Distribution>, request: Request) -> Response {
    let (mut parts, body) = request.into_parts();
    let route = Route::parse(parts.uri.path());
    let scope = route.as_ref().ok().and_then(|route| route.scope(&parts.method));
    let operation = route.as_ref().ok().and_then(|route| route.operation(&parts.method));
    if let Some(incoming) = parts.extensions.get_mut::<wharfinger_iam::Request>() {
        incoming.operation = operation.and_then(route::in_oracle_cloud).map(Into::into);
    }
    let mut body = body.into_data_stream();
    let mut response = match answer(&state, route, &parts, &mut body).await {
        Ok(response) => response,
        Err(failure) => {
            if !waits_for_a_yes(&parts, failure.status) {
                drain(&mut body).await;
            }
            failure.render(&authenticate::Challenge::new(&parts, scope))
        }
    };
    response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response.headers_mut().insert(API_VERSION, HeaderValue::from_static("registry/2.0"));
    response.extensions_mut().insert(OperationName(operation.unwrap_or("unknown")));
    response
}

/// Whether the client sends its body only when told to, and was refused before it was: reading tells it
/// to (RFC 9110, section 10.1.1).
fn waits_for_a_yes(parts: &Parts, status: StatusCode) -> bool {
    let is_before_the_body = matches!(
        status,
        StatusCode::UNAUTHORIZED
            | StatusCode::FORBIDDEN
            | StatusCode::NOT_FOUND
            | StatusCode::METHOD_NOT_ALLOWED
            | StatusCode::RANGE_NOT_SATISFIABLE
            | StatusCode::TOO_MANY_REQUESTS
    );
    is_before_the_body && parts.headers.contains_key(header::EXPECT)
}

/// Reads on for a moment: a connection closed over unread bytes is reset, and a client in the middle
/// of its body would not see why it was refused (RFC 9112, section 9.6).
async fn drain(body: &mut BodyDataStream) {
    let reading = async {
        let mut drained = 0;
        while let Some(Ok(bytes)) = body.next().await {
            drained += bytes.len();
            if drained > DRAIN_BYTES {
                break;
            }
        }
    };
    // Either is as good as can be had.
    let _ = tokio::time::timeout(DRAIN_TIME, reading).await;
}

async fn answer(
    state: &Distribution,
    route: Result<Route, Failure>,
    parts: &Parts,
    body: &mut BodyDataStream,
) -> Result<Response, Failure> {
    let ctx = authenticate::authenticate(&state.iam, parts).await?;
    match (route?, parts.method.clone()) {
        (route, method) if route.operation(&method).is_none() => {
            Err(Failure::method_not_allowed(&method, route.methods()))
        }
        (Route::Base, Method::GET | Method::HEAD) => base(&ctx, parts),
        (Route::Extensions(image), Method::GET) => extensions::list(&ctx, image.as_ref(), parts).await,
        (Route::Catalog, Method::GET) => tags::list_catalog(&ctx, parts).await,
        (Route::Tags(image), Method::GET) => tags::list_tags(state, &ctx, &image, parts).await,
        (Route::Manifest(image, reference), Method::GET) => {
            manifests::get(state, &ctx, &image, &reference, parts).await
        }
        (Route::Manifest(image, reference), Method::HEAD) => {
            manifests::head(state, &ctx, &image, &reference, parts).await
        }
        (Route::Manifest(image, reference), Method::PUT) => {
            manifests::put(state, &ctx, &image, &reference, parts, body).await
        }
        (Route::Manifest(image, reference), Method::DELETE) => {
            manifests::delete(state, &ctx, &image, &reference).await
        }
        (Route::Blob(image, digest), Method::GET) => blobs::get(state, &ctx, &image, &digest, parts).await,
        (Route::Blob(image, digest), Method::HEAD) => blobs::head(state, &ctx, &image, &digest, parts).await,
        (Route::Blob(image, digest), Method::DELETE) => blobs::delete(state, &ctx, &image, &digest).await,
        (Route::Uploads(image), Method::POST) => uploads::start(state, &ctx, &image, parts, body).await,
        (Route::Referrers(image, digest), Method::GET) => {
            referrers::list(state, &ctx, &image, &digest, parts).await
        }
        (Route::Upload(image, uuid), Method::GET) => uploads::status(state, &ctx, &image, &uuid).await,
        (Route::Upload(image, uuid), Method::PATCH) => {
            uploads::append(state, &ctx, &image, &uuid, parts, body).await
        }
        (Route::Upload(image, uuid), Method::PUT) => {
            uploads::finish(state, &ctx, &image, &uuid, parts, body).await
        }
        (Route::Upload(image, uuid), Method::DELETE) => uploads::cancel(state, &ctx, &image, &uuid).await,
        (route, method) => Err(Failure::method_not_allowed(&method, route.methods())),
    }
}

/// End-1: tells a client that the API is here, and one without login how to log in.
fn base(ctx: &Ctx, parts: &Parts) -> Result<Response, Failure> {
    require_credentials(ctx, parts)?;
    Ok(json(StatusCode::OK, "{}".to_owned()))
}

/// What belongs to no repository is for everybody who shows credentials of some kind. An anonymous
/// registry token is one; empty Basic credentials are none.
fn require_credentials(ctx: &Ctx, parts: &Parts) -> Result<(), Failure> {
    let has_token = matches!(authenticate::credentials(parts), Ok(Credentials::Bearer(_)));
    if matches!(ctx.principal(), Principal::Anonymous) && !has_token {
        return Err(wharfinger_iam::Error::Unauthenticated.into());
    }
    Ok(())
}

fn json(status: StatusCode, body: String) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}

/// An answer without a body, with the given headers.
fn empty(status: StatusCode, headers: &[(HeaderName, &str)]) -> Result<Response, Failure> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    for (name, value) in headers {
        append(&mut response, name.clone(), value)?;
    }
    Ok(response)
}

fn append(response: &mut Response, name: HeaderName, value: &str) -> Result<(), Failure> {
    let value = HeaderValue::from_str(value).map_err(|_| Failure::header(&name))?;
    response.headers_mut().append(name, value);
    Ok(())
}

/// In place of what the header said before.
fn insert(response: &mut Response, name: HeaderName, value: &str) -> Result<(), Failure> {
    response.headers_mut().remove(&name);
    append(response, name, value)
}

/// Tells the user of a client something about an answer that is a success: many clients print it
/// (Distribution spec, "Warnings").
fn warn(response: &mut Response, text: &str) -> Result<(), Failure> {
    let quoted = text.replace(['"', '\\'], "'");
    append(response, header::WARNING, &format!(r#"299 - "{quoted}""#))
}

const CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");
const UPLOAD_UUID: HeaderName = HeaderName::from_static("docker-upload-uuid");
