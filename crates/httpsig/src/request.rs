//! The request as the signature sees it, and the string that is signed.

use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, Method, header};

use crate::Error;

/// SHA-256 of the body in base64.
pub(crate) const X_CONTENT_SHA256: HeaderName = HeaderName::from_static("x-content-sha256");
/// Stands for `date` where a client can't set that.
pub(crate) const X_DATE: HeaderName = HeaderName::from_static("x-date");

/// The parts of a request that a signature covers.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The method.
    pub method: &'a Method,
    /// Path and query exactly as on the wire: neither slashes, escapes nor the order of the query's
    /// parameters may have been touched.
    pub target: &'a str,
    /// All headers, `host` among them: over HTTP/2 the caller adds it from `:authority`.
    pub headers: &'a HeaderMap,
}

impl<'a> From<&'a Parts> for Request<'a> {
    fn from(parts: &'a Parts) -> Self {
        let target = parts.uri.path_and_query().map_or("/", PathAndQuery::as_str);
        Self { method: &parts.method, target, headers: &parts.headers }
    }
}

/// One line of the signing string.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Line {
    /// `(request-target)`: method and target.
    RequestTarget,
    Header(HeaderName),
}

impl Line {
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::RequestTarget => "(request-target)",
            Self::Header(name) => name.as_str(),
        }
    }

    /// Whether a second value would leave it open which one counts.
    fn is_single(name: &HeaderName) -> bool {
        let single = [header::DATE, header::HOST, header::CONTENT_LENGTH, header::CONTENT_TYPE];
        single.contains(name) || *name == X_DATE || *name == X_CONTENT_SHA256
    }
}

/// What the signature is over (draft-cavage-http-signatures-08, 2.3).
pub(crate) fn signing_string(request: &Request<'_>, lines: &[Line]) -> Result<Vec<u8>, Error> {
    let mut string = Vec::new();
    for line in lines {
        if !string.is_empty() {
            string.push(b'\n');
        }
        string.extend_from_slice(line.name().as_bytes());
        string.extend_from_slice(b": ");
        match line {
            Line::RequestTarget => {
                let method = request.method.as_str().to_ascii_lowercase();
                string.extend_from_slice(method.as_bytes());
                string.push(b' ');
                string.extend_from_slice(request.target.as_bytes());
            }
            Line::Header(name) => {
                let mut values = request.headers.get_all(name).iter();
                let first = values.next().ok_or_else(|| Error::AbsentHeader(name.clone()))?;
                string.extend_from_slice(first.as_bytes());
                for value in values {
                    if Line::is_single(name) {
                        return Err(Error::RepeatedHeader(name.clone()));
                    }
                    string.extend_from_slice(b", ");
                    string.extend_from_slice(value.as_bytes());
                }
            }
        }
    }
    Ok(string)
}
