//! Credentials of a request, and the challenge to one that lacks them (RFC 6750, RFC 7617).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::request::Parts;
use http::{StatusCode, header};
use wharfinger_iam::{Ctx, Iam, Listener, SERVICE, SignedRequest};
use wharfinger_types::RequestTarget;

use crate::error::Failure;
use crate::{BaseUrl, TOKEN_PATH};

/// What a request shows of itself.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Credentials {
    /// Nothing, or an empty name and password, as some clients send.
    None,
    /// A user name and a password.
    Basic(String, String),
    /// A registry token.
    Bearer(String),
    /// A signature with an API key, as Oracle Cloud's clients make it.
    Signature,
}

/// Reads the `Authorization` header. Two of them are refused: which one counts would be a guess.
pub(crate) fn credentials(parts: &Parts) -> Result<Credentials, Failure> {
    let mut values = parts.headers.get_all(header::AUTHORIZATION).iter();
    let Some(value) = values.next() else {
        return Ok(Credentials::None);
    };
    if values.next().is_some() {
        return Err(Failure::new(
            StatusCode::BAD_REQUEST,
            "UNAUTHORIZED",
            "more than one Authorization header: send one",
        ));
    }
    let malformed = || {
        let message = "the Authorization header is malformed: expected `Basic <base64 of name:password>` or `Bearer <token>`";
        Failure::new(StatusCode::UNAUTHORIZED, "UNAUTHORIZED", message)
    };
    let (scheme, rest) = value.to_str().ok().and_then(|value| value.split_once(' ')).ok_or_else(malformed)?;
    let rest = rest.trim();
    if scheme.eq_ignore_ascii_case("bearer") {
        return Ok(Credentials::Bearer(rest.to_owned()));
    }
    if scheme.eq_ignore_ascii_case("signature") {
        return Ok(Credentials::Signature);
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return Err(malformed());
    }
    let decoded =
        STANDARD.decode(rest).ok().and_then(|bytes| String::from_utf8(bytes).ok()).ok_or_else(malformed)?;
    let (name, password) = decoded.split_once(':').ok_or_else(malformed)?;
    if name.is_empty() && password.is_empty() {
        return Ok(Credentials::None);
    }
    Ok(Credentials::Basic(name.to_owned(), password.to_owned()))
}

/// What the server attached to the request when it came in.
pub(crate) fn incoming(parts: &Parts) -> Result<wharfinger_iam::Request, Failure> {
    let incoming = parts.extensions.get::<wharfinger_iam::Request>().cloned();
    incoming
        .ok_or_else(|| Failure::new(StatusCode::INTERNAL_SERVER_ERROR, "UNKNOWN", "request without context"))
}

/// The context of a request, by its credentials.
pub(crate) async fn authenticate(iam: &Iam, parts: &Parts) -> Result<Ctx, Failure> {
    let incoming = incoming(parts)?;
    if incoming.listener == Listener::ControlSocket {
        return Ok(iam.local_administrator(incoming));
    }
    match credentials(parts)? {
        Credentials::None => Ok(iam.anonymous(incoming)?),
        Credentials::Basic(name, password) => Ok(iam.login(incoming, &name, &password).await?),
        Credentials::Bearer(token) => Ok(iam.bearer(incoming, &token).await?),
        // Bodies are not read here, so a signature is good for nothing that has one.
        Credentials::Signature if parts.uri.path() == TOKEN_PATH => {
            let target = parts.extensions.get::<RequestTarget>().map(|target| target.0.as_str());
            let signed = SignedRequest::from(parts);
            let signed = SignedRequest { target: target.unwrap_or(signed.target), ..signed };
            Ok(iam.signed(incoming, &signed, b"").await?)
        }
        Credentials::Signature => {
            let message =
                format!("a signature is for {TOKEN_PATH} only: show the token that it answers with");
            Err(Failure::new(StatusCode::UNAUTHORIZED, "UNAUTHORIZED", message))
        }
    }
}

/// How to get in: exactly one challenge, every value quoted, none empty. Some clients read no other form.
#[derive(Debug)]
pub(crate) struct Challenge {
    base_url: String,
    scope: Option<String>,
}

impl Challenge {
    pub(crate) fn new(parts: &Parts, scope: Option<String>) -> Challenge {
        let base_url = parts.extensions.get::<BaseUrl>().map(|url| url.0.clone()).unwrap_or_default();
        Challenge { base_url, scope }
    }

    /// `further_scope` is named too, unless it is of the repository that the path names anyway.
    pub(crate) fn render(&self, error: Option<&str>, further_scope: Option<&str>) -> String {
        let mut text = format!(r#"Bearer realm="{}{TOKEN_PATH}",service="{SERVICE}""#, self.base_url);
        if let Some(scope) = &self.scope {
            let resource = |scope: &str| scope.rsplit_once(':').map(|(resource, _)| resource.to_owned());
            let further = further_scope
                .filter(|further| !scope.starts_with("registry:") && resource(further) != resource(scope));
            let further = further.map_or_else(String::new, |further| format!(" {further}"));
            text.push_str(&format!(r#",scope="{scope}{further}""#));
        }
        if let Some(error) = error {
            text.push_str(&format!(r#",error="{error}""#));
        }
        text
    }
}
