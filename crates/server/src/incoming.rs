//! What every request goes through before a face sees it, and every answer after.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use tokio_util::task::TaskTracker;
use tower::ServiceExt;
use tracing::Instrument;
use wharfinger_api_distribution::BaseUrl;
use wharfinger_iam::Listener;
use wharfinger_types::{OperationName, RequestTarget, Timestamp};

use crate::settings::Network;
use crate::telemetry::Metrics;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Everything that serving a request needs.
#[derive(Debug)]
pub(crate) struct Incoming {
    pub(crate) router: Router,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) trusted_proxies: Vec<Network>,
    pub(crate) public_url: Option<String>,
    /// `public_url` says more than the Host header of a request from a proxy that is not trusted.
    pub(crate) is_behind_proxy: bool,
    /// Writes under way. A client that hangs up ends the connection, not these.
    pub(crate) writes: TaskTracker,
}

/// The wall clock; the only place that reads it.
pub(crate) fn now() -> Timestamp {
    #[expect(clippy::disallowed_methods, reason = "this is the clock that everybody else is handed")]
    let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since_epoch.as_micros()).unwrap_or(i64::MAX))
}

/// A context for what the program does by itself.
pub(crate) fn own_request() -> wharfinger_iam::Request {
    let id = uuid::Uuid::new_v4().simple().to_string();
    let listener = Listener::ControlSocket;
    wharfinger_iam::Request { id, now: now(), client_address: None, listener, operation: None }
}

impl Incoming {
    /// Answers one request that came from `peer`, or through the control socket if there is none.
    /// Reads end with their connection. Anything else runs on a task of its own to its end.
    pub(crate) async fn answer(self: Arc<Self>, peer: Option<IpAddr>, request: Request) -> Response {
        if is_read(request.method()) {
            return self.serve(peer, request).await;
        }
        let writes = self.writes.clone();
        match writes.spawn(self.serve(peer, request)).await {
            Ok(response) => response,
            Err(error) => {
                tracing::error!(%error, "a request ended in a panic");
                StatusCode::INTERNAL_SERVER_ERROR.into_response()
            }
        }
    }

    async fn serve(self: Arc<Self>, peer: Option<IpAddr>, mut request: Request) -> Response {
        let started = Instant::now();
        let id = uuid::Uuid::new_v4().simple().to_string();
        let listener = if peer.is_some() { Listener::Network } else { Listener::ControlSocket };
        let is_proxied = peer.is_some_and(|peer| self.trusts(peer));
        let client_address = peer.map(|peer| self.client_address(peer, request.headers()));
        let base_url = self.base_url(&request, is_proxied);
        let context =
            wharfinger_iam::Request { id: id.clone(), now: now(), client_address, listener, operation: None };
        request.extensions_mut().insert(context);
        request.extensions_mut().insert(BaseUrl(base_url));

        collapse_slashes(&mut request);

        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let span = tracing::info_span!("request", id, %method, path);
        let routed = self.router.clone().oneshot(request).instrument(span.clone());
        let mut response = match routed.await {
            Ok(response) => response,
            Err(never) => match never {},
        };

        let status = response.status().as_u16();
        let operation = response.extensions().get::<OperationName>().map_or("other", |operation| operation.0);
        let took = started.elapsed();
        self.metrics.answered(operation, status, took);
        let took_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let _entered = span.enter();
        let client = client_address.map(tracing::field::display);
        // Pulls come by the thousand; what changes or fails is worth a line each.
        if is_read(&method) && response.status().is_success() {
            tracing::debug!(operation, status, took_us, client, "answered");
        } else {
            tracing::info!(operation, status, took_us, client, "answered");
        }
        if let Ok(id) = HeaderValue::from_str(&id) {
            response.headers_mut().insert(REQUEST_ID, id);
        }
        response
    }

    /// Whether what the address says of its clients counts.
    pub(crate) fn trusts(&self, address: IpAddr) -> bool {
        self.trusted_proxies.iter().any(|network| network.0.contains(&address))
    }

    /// The right-most address of `X-Forwarded-For` that is no proxy of ours: what stands left of it
    /// is the client's own claim.
    fn client_address(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut address = peer;
        let values = headers.get_all("x-forwarded-for").iter().filter_map(|value| value.to_str().ok());
        let hops: Vec<&str> = values.flat_map(|value| value.split(',')).map(str::trim).collect();
        for hop in hops.iter().rev() {
            if !self.trusts(address) {
                break;
            }
            let Ok(next) = hop.parse() else { break };
            address = next;
        }
        address
    }

    /// Scheme and authority that the client used, as far as that can be known.
    fn base_url(&self, request: &Request, is_proxied: bool) -> String {
        let header = |name: &str| {
            request
                .headers()
                .get(name)
                .and_then(|value| value.to_str().ok())
                .filter(|host| is_authority(host))
        };
        let forwarded_host = header("x-forwarded-host").filter(|_| is_proxied);
        let scheme = request.headers().get("x-forwarded-proto").and_then(|value| value.to_str().ok());
        let scheme = scheme.filter(|scheme| is_proxied && matches!(*scheme, "http" | "https"));
        let host = forwarded_host.or_else(|| header(header::HOST.as_str()));
        match (host, &self.public_url) {
            (Some(host), _) if scheme.is_some() => {
                format!("{}://{host}", scheme.unwrap_or("https"))
            }
            (_, Some(public_url)) if self.is_behind_proxy => public_url.clone(),
            (Some(host), _) => format!("{}://{host}", if self.is_behind_proxy { "https" } else { "http" }),
            (None, Some(public_url)) => public_url.clone(),
            (None, None) => String::new(),
        }
    }
}

/// An endpoint written with a slash at its end makes Oracle Cloud's clients ask for `//20160918/…`. That path is
/// served by the one it means; what was asked for is kept, for it is what was signed.
fn collapse_slashes(request: &mut Request) {
    let Some(target) = request.uri().path_and_query() else { return };
    if !target.path().contains("//") || target.path().starts_with("/v2/") {
        return;
    }
    let mut collapsed = String::with_capacity(target.as_str().len());
    for character in target.path().chars() {
        if character != '/' || !collapsed.ends_with('/') {
            collapsed.push(character);
        }
    }
    if let Some(query) = target.query() {
        collapsed.push('?');
        collapsed.push_str(query);
    }
    let target = RequestTarget(target.as_str().to_owned());
    if let Ok(uri) = collapsed.parse() {
        *request.uri_mut() = uri;
        request.extensions_mut().insert(target);
    }
}

fn is_read(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
}

/// What may stand in a URL as host and port; anything else would let a request write our headers.
fn is_authority(text: &str) -> bool {
    let is_allowed =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b':' | b'[' | b']' | b'_');
    !text.is_empty() && text.len() <= 255 && text.bytes().all(is_allowed)
}
