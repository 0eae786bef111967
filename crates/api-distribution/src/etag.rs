//! Entity tags: a digest names its content for good (RFC 9110, sections 8.8.3 and 13.1).

use axum::response::Response;
use http::request::Parts;
use http::{StatusCode, header};
use wharfinger_types::Digest;

use crate::error::Failure;
use crate::{CONTENT_DIGEST, empty};

/// The strong entity tag of what has the digest.
pub(crate) fn of(digest: &Digest) -> String {
    format!("\"{digest}\"")
}

/// Whether the client says that it has this content already.
pub(crate) fn is_known(parts: &Parts, digest: &Digest) -> bool {
    let tag = of(digest);
    let values = parts.headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let mut known = values.flat_map(|value| value.split(',')).map(str::trim);
    known.any(|known| known == "*" || known.strip_prefix("W/").unwrap_or(known) == tag)
}

/// Whether the client wants a range only of this very content, or of whatever there is.
pub(crate) fn allows_range(parts: &Parts, digest: &Digest) -> bool {
    parts.headers.get(header::IF_RANGE).is_none_or(|value| value.as_bytes() == of(digest).as_bytes())
}

/// The answer to one who has it. Its length is that of the content (RFC 9110, section 8.6), which it lacks.
pub(crate) fn not_modified(digest: &Digest, size: u64) -> Result<Response, Failure> {
    let headers = [
        (header::CONTENT_LENGTH, &*size.to_string()),
        (header::ETAG, &*of(digest)),
        (CONTENT_DIGEST, digest.as_str()),
    ];
    empty(StatusCode::NOT_MODIFIED, &headers)
}
