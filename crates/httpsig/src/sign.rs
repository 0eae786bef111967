//! Signing, as Oracle's Python SDK does it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimePrinter;
use sha2::{Digest as _, Sha256};

use crate::authorization::Authorization;
use crate::request::{Line, Request, X_CONTENT_SHA256, X_DATE, signing_string};
use crate::verify::has_content;
use crate::{Error, KeyId, PrivateKey};

/// The headers to add to a request so that it is signed, `authorization` among them. What the request has
/// already stays; `host` it must have. `now` is in seconds since 1970.
///
/// # Errors
/// [`Error::AbsentHeader`], [`Error::RepeatedHeader`], [`Error::UnknownMethod`], [`Error::Clock`],
/// [`Error::KeyIdSyntax`] if the key id fits no header, [`Error::Signing`].
pub fn sign(
    request: &Request<'_>,
    body: &[u8],
    key_id: &KeyId,
    key: &PrivateKey,
    now: i64,
) -> Result<HeaderMap, Error> {
    let date = if request.headers.contains_key(X_DATE) { X_DATE } else { header::DATE };
    let mut defaults = vec![(date.clone(), http_date(now)?)];
    let mut lines = vec![Line::Header(date), Line::RequestTarget, Line::Header(header::HOST)];
    if has_content(request.method)? {
        let sha256 = STANDARD.encode(Sha256::digest(body));
        let content = [
            (header::CONTENT_LENGTH, HeaderValue::from(body.len())),
            (header::CONTENT_TYPE, HeaderValue::from_static("application/json")),
            (X_CONTENT_SHA256, HeaderValue::try_from(sha256).map_err(|_| Error::Signing)?),
        ];
        lines.extend(content.iter().map(|(name, _)| Line::Header(name.clone())));
        defaults.extend(content);
    }

    let is_new = |(name, _): &(HeaderName, HeaderValue)| !request.headers.contains_key(name);
    let mut added: HeaderMap = defaults.into_iter().filter(is_new).collect();
    let mut headers = request.headers.clone();
    headers.extend(added.clone());
    let string = signing_string(&Request { headers: &headers, ..*request }, &lines)?;
    let signature = key.sign(&string)?;
    let authorization = Authorization { key_id: key_id.clone(), lines, signature };
    added.insert(header::AUTHORIZATION, authorization.to_header()?);
    Ok(added)
}

/// As HTTP writes a date (RFC 9110, 5.6.7).
fn http_date(now: i64) -> Result<HeaderValue, Error> {
    let date = Timestamp::from_second(now).ok();
    let text = date.and_then(|date| DateTimePrinter::new().timestamp_to_rfc9110_string(&date).ok());
    text.and_then(|text| text.try_into().ok()).ok_or(Error::Clock(now))
}
