//! The control plane of Oracle Cloud, as its command line and SDKs speak it: Identity under `/20160918/` and
//! the namespace of Object Storage at `/n`.
//!
//! One file a resource. Requests are signed with an API key; on the control socket the caller is the local
//! administrator and signs nothing.

mod api_keys;
mod auth_tokens;
mod caller;
mod compartments;
mod dynamic_groups;
mod groups;
mod memberships;
mod network_sources;
mod policies;
mod query;
mod security_tokens;
mod tag_definitions;
mod tag_namespaces;
mod tags;
mod tenancies;
mod users;
mod work_requests;

use axum::extract::Request;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::Router;
use axum::{Extension, Json};
use http::{HeaderName, HeaderValue, StatusCode, header};
use serde_json::Value;
use wharfinger_iam::Iam;
use wharfinger_iam::work_requests::WorkRequest;
use wharfinger_types::Timestamp;

use crate::error::Failure;
use crate::v1::{self, Entry, page_of};

const REQUEST_ID: HeaderName = HeaderName::from_static("opc-request-id");
const WORK_REQUEST: HeaderName = HeaderName::from_static("opc-work-request-id");

type Answer = Result<Response, Failure>;

/// The routes, and the answer to every path that nobody serves.
pub(crate) fn router(iam: Iam) -> Router {
    v1::mount(routes())
        .method_not_allowed_fallback(async || Failure::method_not_allowed())
        .fallback(async || Failure::no_such_path())
        .layer(middleware::from_fn(name_request))
        .with_state(iam)
}

/// Every operation with its path and handler.
pub(crate) fn routes() -> Vec<Entry> {
    let resources = [
        users::routes(),
        groups::routes(),
        memberships::routes(),
        auth_tokens::routes(),
        api_keys::routes(),
        tenancies::routes(),
        compartments::routes(),
        policies::routes(),
        network_sources::routes(),
        dynamic_groups::routes(),
        security_tokens::routes(),
        tag_namespaces::routes(),
        tag_definitions::routes(),
        work_requests::routes(),
    ];
    resources.into_iter().flatten().collect()
}

/// Gives every answer an id: the client's own if it has the form of one, else ours.
async fn name_request(
    Extension(incoming): Extension<wharfinger_iam::Request>,
    request: Request,
    next: Next,
) -> Response {
    let theirs = request.headers().get(REQUEST_ID).filter(|id| is_request_id(id.as_bytes())).cloned();
    let ours = HeaderValue::from_str(&incoming.id.to_ascii_uppercase()).ok();
    let mut response = next.run(request).await;
    if let Some(id) = theirs.or(ours) {
        if !response.status().is_success() {
            tracing::info!(opc_request_id = ?id, status = response.status().as_u16(), "refused");
        }
        response.headers_mut().insert(REQUEST_ID, id);
    }
    response
}

/// Up to three segments of at most 32 characters.
fn is_request_id(id: &[u8]) -> bool {
    let is_allowed = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let mut segments = id.split(|byte| *byte == b'/');
    let is_fit = |segment: &[u8]| (1..=32).contains(&segment.len()) && segment.iter().all(is_allowed);
    segments.by_ref().take(3).all(is_fit) && segments.next().is_none()
}

/// A resource with its entity tag.
fn resource(view: Value, revision: i64) -> Answer {
    let mut response = Json(view).into_response();
    response.headers_mut().insert(header::ETAG, HeaderValue::from(revision));
    Ok(response)
}

/// A page of a list.
fn page(views: Vec<Value>, next: Option<String>) -> Answer {
    Ok(page_of(views, next))
}

/// What a deletion leaves.
fn nothing() -> Answer {
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// What is called asynchronous: done, and where to read how it went.
fn accepted(request: &WorkRequest) -> Answer {
    let mut response = StatusCode::ACCEPTED.into_response();
    if let Ok(id) = HeaderValue::from_str(&request.ocid) {
        response.headers_mut().insert(WORK_REQUEST, id);
    }
    Ok(response)
}

fn time(microseconds: i64) -> String {
    Timestamp(microseconds).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_ids_have_up_to_three_short_segments() {
        let longest = format!("{0}/{0}/{0}", "A".repeat(32));
        for good in ["0123456789ABCDEF", "abc/def", longest.as_str()] {
            assert!(is_request_id(good.as_bytes()), "{good}");
        }
        for bad in ["", "/", "a/", "a/b/c/d", "a b", "a\u{e4}", &"A".repeat(33)] {
            assert!(!is_request_id(bad.as_bytes()), "{bad}");
        }
    }
}
