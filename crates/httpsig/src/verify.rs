//! Verifying: first what needs no key, then the signature, then the body.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use jiff::fmt::rfc2822::DateTimeParser;
use sha2::{Digest as _, Sha256};

use crate::authorization::Authorization;
use crate::request::{Request, X_CONTENT_SHA256, X_DATE, signing_string};
use crate::{Error, KeyId, PublicKey};

/// How far `date` may be from the server's clock, either way.
pub const MAX_SKEW_SECONDS: u64 = 300;

/// Whether `content-length`, `content-type` and `x-content-sha256` of a POST, PUT or PATCH must be signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContentHeaders {
    /// They must: the rule.
    Required,
    /// They need not. Only for routes that take uploads (Object Storage, generic artifacts): Oracle's
    /// clients stream those without reading them first. Such a body is not authenticated.
    Optional,
}

/// A well-formed signature whose key has not been looked up yet: nothing in it is to be trusted.
#[derive(Debug)]
pub struct Unverified {
    authorization: Authorization,
    signing_string: Vec<u8>,
    body_sha256: Option<[u8; 32]>,
}

impl Unverified {
    /// Reads a request's signature and checks all that needs no key: form, what must be signed, and the
    /// date against `now` in seconds since 1970.
    ///
    /// # Errors
    /// What is wrong with the request; [`Error::NoAuthorization`] and [`Error::OtherScheme`] if it is not
    /// signed at all.
    pub fn read(request: &Request<'_>, content: ContentHeaders, now: i64) -> Result<Self, Error> {
        let authorization = Authorization::read(request.headers)?;
        check_signs_enough(&authorization, request.method, content)?;
        let signing_string = signing_string(request, &authorization.lines)?;
        for name in [header::DATE, X_DATE] {
            if authorization.signs(name.as_str()) {
                check_date(request.headers, name, now)?;
            }
        }
        let signs_body = authorization.signs(X_CONTENT_SHA256.as_str());
        let body_sha256 = if signs_body { Some(body_sha256(request.headers)?) } else { None };
        Ok(Self { authorization, signing_string, body_sha256 })
    }

    /// Whose key is to be looked up.
    pub fn key_id(&self) -> &KeyId {
        &self.authorization.key_id
    }

    /// Checks the signature with the key that the key id names.
    ///
    /// # Errors
    /// [`Error::WrongSignature`].
    pub fn verify(self, key: &PublicKey) -> Result<Verified, Error> {
        key.verify(&self.signing_string, &self.authorization.signature)?;
        Ok(Verified { authorization: self.authorization, body_sha256: self.body_sha256 })
    }
}

/// A request whose signature is right. The body is to be checked when it has been read.
#[derive(Debug)]
pub struct Verified {
    authorization: Authorization,
    body_sha256: Option<[u8; 32]>,
}

impl Verified {
    /// Whose key signed.
    pub fn key_id(&self) -> &KeyId {
        &self.authorization.key_id
    }

    /// The signature's bytes. A key has one signature for one request, so they tell a repeated request.
    pub fn signature(&self) -> &[u8] {
        &self.authorization.signature
    }

    /// Checks that the body is the signed one; one that is not signed must be empty.
    ///
    /// # Errors
    /// [`Error::WrongBody`], [`Error::UnsignedBody`].
    pub fn check_body(&self, body: &[u8]) -> Result<(), Error> {
        self.check_body_sha256(&Sha256::digest(body).into())
    }

    /// As [`Verified::check_body`], for a body that was hashed while it was read.
    ///
    /// # Errors
    /// [`Error::WrongBody`], [`Error::UnsignedBody`].
    pub fn check_body_sha256(&self, found: &[u8; 32]) -> Result<(), Error> {
        match &self.body_sha256 {
            Some(signed) if signed == found => Ok(()),
            Some(_) => Err(Error::WrongBody),
            None if Sha256::digest([]).as_slice() == found => Ok(()),
            None => Err(Error::UnsignedBody),
        }
    }
}

/// The list of signed headers is the client's; what it must hold at least is not.
fn check_signs_enough(
    authorization: &Authorization,
    method: &Method,
    content: ContentHeaders,
) -> Result<(), Error> {
    let mut required = vec!["(request-target)", "host"];
    if !authorization.signs(X_DATE.as_str()) {
        required.push("date");
    }
    if has_content(method)? && content == ContentHeaders::Required {
        required.extend(["content-length", "content-type", "x-content-sha256"]);
    }
    let missing = required.into_iter().find(|name| !authorization.signs(name));
    missing.map_or(Ok(()), |name| Err(Error::NotSigned(name)))
}

/// Whether requests of the method have a body to sign, if only an empty one.
pub(crate) fn has_content(method: &Method) -> Result<bool, Error> {
    match *method {
        Method::GET | Method::HEAD | Method::DELETE => Ok(false),
        Method::POST | Method::PUT | Method::PATCH => Ok(true),
        _ => Err(Error::UnknownMethod(method.clone())),
    }
}

fn check_date(headers: &HeaderMap, name: HeaderName, now: i64) -> Result<(), Error> {
    let value = headers.get(&name).map(HeaderValue::as_bytes);
    let date = value.and_then(|value| DateTimeParser::new().parse_timestamp(value).ok());
    let Some(date) = date else {
        return Err(Error::DateSyntax(name));
    };
    let seconds = date.as_second().abs_diff(now);
    if seconds > MAX_SKEW_SECONDS {
        return Err(Error::Skew { header: name, seconds });
    }
    Ok(())
}

fn body_sha256(headers: &HeaderMap) -> Result<[u8; 32], Error> {
    let value = headers.get(X_CONTENT_SHA256).and_then(|value| STANDARD.decode(value).ok());
    value.and_then(|bytes| bytes.try_into().ok()).ok_or(Error::BodyHashSyntax)
}
