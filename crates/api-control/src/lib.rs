//! The control plane's faces. For now `/api/v1/`, our own REST, which the commands speak over the
//! control socket. Translates only: parse, one service call, render.

mod error;
mod v1;

use axum::Router;
use wharfinger_iam::Iam;

/// The routes. Requests must carry [`wharfinger_iam::Request`] as an extension.
pub fn router(iam: Iam) -> Router {
    v1::router(iam)
}

/// The names of all operations, for tests that try each of them.
pub fn operations() -> Vec<&'static str> {
    v1::operations()
}
