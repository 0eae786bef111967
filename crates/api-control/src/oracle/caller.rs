//! Who asks, with what: the signature is checked over the request as it stood on the wire.

use axum::body::{self, Bytes};
use axum::extract::{FromRequest, Request};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderName, Method, header};
use serde::de::DeserializeOwned;
use wharfinger_iam::{Conditions, Ctx, Error, Iam, Listener, SignedRequest, Tenancy, home};
use wharfinger_types::RequestTarget;

use crate::error::Failure;
use crate::v1;

/// More than any resource takes.
const MAX_BODY_BYTES: usize = 256 << 10;
const RETRY_TOKEN: HeaderName = HeaderName::from_static("opc-retry-token");

/// The caller of an operation and what was sent.
pub(super) struct Caller {
    pub(super) ctx: Ctx,
    /// The caller's own tenancy; on the control socket the one named by `?tenancy=`, else the first.
    pub(super) tenancy: Tenancy,
    body: Bytes,
}

impl FromRequest<Iam> for Caller {
    type Rejection = Failure;

    async fn from_request(request: Request, iam: &Iam) -> Result<Caller, Failure> {
        let (mut parts, body) = request.into_parts();
        let body = body::to_bytes(body, MAX_BODY_BYTES).await.map_err(|error| Failure::body(&error))?;
        let incoming = parts.extensions.get::<wharfinger_iam::Request>().cloned();
        let incoming = incoming.ok_or(Error::Unauthenticated)?;
        let target = target(&parts);
        let is_local = incoming.listener == Listener::ControlSocket;
        let ctx = if is_local {
            iam.local_administrator(incoming)
        } else {
            let signed = SignedRequest { method: &parts.method, target: &target, headers: &parts.headers };
            iam.signed(incoming, &signed, &body).await?
        };
        let text = |name: HeaderName| parts.headers.get(name).and_then(|value| value.to_str().ok());
        let retry_token = text(RETRY_TOKEN).filter(|_| parts.method == Method::POST);
        let ctx = ctx.under(Conditions::new(text(header::IF_MATCH), retry_token, &target, &body)?);
        let tenancy = match is_local {
            true => v1::named_tenancy(&ctx, &mut parts).await?,
            false => home::own_tenancy(&ctx).await?,
        };
        Ok(Caller { ctx, tenancy, body })
    }
}

impl Caller {
    /// The body as what the operation takes.
    pub(super) fn body<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        serde_json::from_slice(&self.body).map_err(|error| Failure::json(&error))
    }
}

/// Path and query as they were signed.
fn target(parts: &Parts) -> String {
    if let Some(RequestTarget(target)) = parts.extensions.get() {
        return target.clone();
    }
    parts.uri.path_and_query().map_or("/", PathAndQuery::as_str).to_owned()
}

/// A field that must be there.
pub(super) fn required<T>(field: &'static str, value: Option<T>) -> Result<T, Failure> {
    value.ok_or_else(|| Error::Missing { field }.into())
}
