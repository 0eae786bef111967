//! Errors in the Distribution dialect: `{"errors": [{"code", "message", "detail"}]}`.

use axum::response::{IntoResponse, Response};
use http::{HeaderName, HeaderValue, Method, StatusCode, header};
use serde_json::json;
use wharfinger_iam::{Error as IamError, LoginFailure};
use wharfinger_registry::Error;
use wharfinger_types::{ErrorKind, ParseDigestError, ParseNameError};

use crate::authenticate::Challenge;

/// A refusal or fault, ready to be rendered.
#[derive(Debug)]
pub struct Failure {
    pub(crate) status: StatusCode,
    code: &'static str,
    message: String,
    /// The challenge's `error`, when credentials were shown that don't do.
    challenge_error: Option<&'static str>,
    /// A scope that the request needs beside the one that its path tells.
    further_scope: Option<String>,
    headers: Vec<(HeaderName, String)>,
}

impl Failure {
    pub(crate) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Failure {
        Failure {
            status,
            code,
            message: message.into(),
            challenge_error: None,
            further_scope: None,
            headers: Vec::new(),
        }
    }

    pub(crate) fn no_such_route() -> Failure {
        Failure::new(StatusCode::NOT_FOUND, "UNSUPPORTED", "the Distribution API has no such path")
    }

    pub(crate) fn method_not_allowed(method: &Method, allowed: &'static str) -> Failure {
        let message = format!("{method} is not supported here: use {allowed}");
        Failure::new(StatusCode::METHOD_NOT_ALLOWED, "UNSUPPORTED", message).with(header::ALLOW, allowed)
    }

    pub(crate) fn digest(error: &ParseDigestError) -> Failure {
        Failure::new(StatusCode::BAD_REQUEST, "DIGEST_INVALID", error.to_string())
    }

    pub(crate) fn name(error: &ParseNameError) -> Failure {
        let code = match error {
            ParseNameError::Digest(_) => "DIGEST_INVALID",
            ParseNameError::Tag(_) => "TAG_INVALID",
            _ => "NAME_INVALID",
        };
        Failure::new(StatusCode::BAD_REQUEST, code, error.to_string())
    }

    pub(crate) fn header(name: &HeaderName) -> Failure {
        Failure::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "UNKNOWN",
            format!("no valid value for header {name}"),
        )
    }

    pub(crate) fn with(mut self, name: HeaderName, value: impl Into<String>) -> Failure {
        self.headers.push((name, value.into()));
        self
    }

    pub(crate) fn with_challenge_error(mut self, error: &'static str) -> Failure {
        self.challenge_error = Some(error);
        self
    }

    /// The answer. To a HEAD the server sends its head only, with the length that the body has.
    pub(crate) fn render(self, challenge: &Challenge) -> Response {
        let body =
            json!({ "errors": [{ "code": self.code, "message": self.message, "detail": null }] }).to_string();
        let mut response = (self.status, [(header::CONTENT_TYPE, "application/json")], body).into_response();
        if self.status == StatusCode::UNAUTHORIZED
            && let Ok(value) =
                HeaderValue::from_str(&challenge.render(self.challenge_error, self.further_scope.as_deref()))
        {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, value);
        }
        for (name, value) in self.headers {
            if let Ok(value) = HeaderValue::from_str(&value) {
                response.headers_mut().insert(name, value);
            }
        }
        response
    }
}

impl From<IamError> for Failure {
    fn from(error: IamError) -> Failure {
        Error::Iam(error).into()
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        let status = match error.kind() {
            ErrorKind::NotFound => StatusCode::NOT_FOUND,
            ErrorKind::Unauthenticated => StatusCode::UNAUTHORIZED,
            ErrorKind::Denied => StatusCode::FORBIDDEN,
            ErrorKind::Conflict => StatusCode::CONFLICT,
            ErrorKind::Precondition => StatusCode::PRECONDITION_FAILED,
            ErrorKind::Invalid => StatusCode::BAD_REQUEST,
            ErrorKind::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            ErrorKind::RangeNotSatisfiable => StatusCode::RANGE_NOT_SATISFIABLE,
            ErrorKind::Unsupported => StatusCode::METHOD_NOT_ALLOWED,
            ErrorKind::TooManyRequests => StatusCode::TOO_MANY_REQUESTS,
            ErrorKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            ErrorKind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        };
        match &error {
            Error::Iam(IamError::LoginFailed(cause)) => {
                tracing::info!(%cause, "log-in failed");
                let failure = Failure::new(status, "UNAUTHORIZED", error.to_string());
                match cause {
                    LoginFailure::InvalidToken
                    | LoginFailure::ExpiredToken
                    | LoginFailure::RevokedCredential => failure.with_challenge_error("invalid_token"),
                    _ => failure,
                }
            }
            // A wider token helps, so the client is sent for one.
            Error::Iam(IamError::BeyondCap { name, action }) => {
                let mut failure = Failure::new(status, "UNAUTHORIZED", error.to_string())
                    .with_challenge_error("insufficient_scope");
                failure.status = StatusCode::UNAUTHORIZED;
                failure.further_scope = Some(format!("repository:{name}:{action}"));
                failure
            }
            Error::Iam(IamError::TooManyRequests { retry_after_secs }) => {
                Failure::new(status, "TOOMANYREQUESTS", error.to_string())
                    .with(header::RETRY_AFTER, retry_after_secs.to_string())
            }
            _ if matches!(error.kind(), ErrorKind::Internal | ErrorKind::Unavailable) => {
                tracing::error!(error = describe(&error), "request failed");
                let message = if error.kind() == ErrorKind::Unavailable {
                    "the registry cannot do this at the moment: try again later"
                } else {
                    "internal error: the server's log has the cause under this request's id"
                };
                Failure::new(status, "UNKNOWN", message)
            }
            _ => Failure::new(status, code(&error), error.to_string()),
        }
    }
}

fn code(error: &Error) -> &'static str {
    match error {
        Error::Iam(
            IamError::Unauthenticated
            | IamError::LoginFailed(_)
            | IamError::SignatureRefused(_)
            | IamError::BeyondCap { .. },
        ) => "UNAUTHORIZED",
        Error::Iam(IamError::Denied { .. }) => "DENIED",
        Error::Iam(IamError::NotFound { .. }) | Error::NotCreatedOnPush(_) => "NAME_UNKNOWN",
        Error::Iam(IamError::Invalid { .. }) => "NAME_INVALID",
        Error::BlobUnknown(_) | Error::Quarantined(_) => "BLOB_UNKNOWN",
        Error::BlobInUse { .. } => "UNSUPPORTED",
        Error::UploadUnknown(_) => "BLOB_UPLOAD_UNKNOWN",
        Error::UploadOffset { .. } => "RANGE_INVALID",
        Error::ChunkLength { .. } => "SIZE_INVALID",
        Error::BodyBroken(_) => "BLOB_UPLOAD_INVALID",
        Error::DigestMismatch { .. } | Error::Digest(_) => "DIGEST_INVALID",
        Error::ManifestUnknown(_) => "MANIFEST_UNKNOWN",
        Error::ManifestInvalid(_) | Error::ManifestTooLarge { .. } => "MANIFEST_INVALID",
        Error::ManifestBlobUnknown(_) => "MANIFEST_BLOB_UNKNOWN",
        _ => "UNKNOWN",
    }
}

/// The error with its chain of sources, for the log.
fn describe(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
