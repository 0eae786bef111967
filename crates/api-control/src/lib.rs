//! The control plane's faces: Oracle Cloud's REST for its command line and SDKs, and `/api/v1/`, our own, which
//! the commands speak over the control socket. Translates only: parse, one service call, render.

mod error;
mod oracle;
mod v1;

use axum::Router;
use wharfinger_iam::Iam;
use wharfinger_registry::Registry;

/// The routes, and the answer to every path that nobody serves. Requests must carry
/// [`wharfinger_iam::Request`] as an extension, and [`wharfinger_types::RequestTarget`] if their path was changed.
pub fn router(iam: Iam, registry: Registry) -> Router {
    v1::router(iam.clone(), registry).merge(oracle::router(iam))
}

/// The names of all operations of `/api/v1/`, for tests that try each of them.
pub fn operations() -> Vec<&'static str> {
    v1::routes().into_iter().map(|(operation, ..)| operation).collect()
}

/// The OpenAPI document of `/api/v1/`.
pub fn document() -> serde_json::Value {
    v1::document()
}

/// The names of those that Oracle Cloud's clients know; some are those of their like in `/api/v1/`.
pub fn oracle_operations() -> Vec<&'static str> {
    oracle::routes().into_iter().map(|(operation, ..)| operation).collect()
}
