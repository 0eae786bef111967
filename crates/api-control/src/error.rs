//! Errors in the control plane's dialect, Oracle Cloud's: `{"code", "message"}`.

use axum::Json;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http_body_util::LengthLimitError;
use serde::Serialize;
use utoipa::ToSchema;
use wharfinger_iam::Error as IamError;
use wharfinger_registry::Error;
use wharfinger_types::{ErrorKind, ParseNameError};

/// Why a request was refused or failed.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Error)]
pub(crate) struct ErrorBody {
    /// Oracle Cloud's word for it.
    code: &'static str,
    /// What is wrong, and what to do about it.
    message: String,
}

/// A refusal or fault, ready to be rendered.
#[derive(Debug)]
pub(crate) struct Failure {
    status: StatusCode,
    code: &'static str,
    message: String,
}

impl Failure {
    pub(crate) fn invalid(message: String) -> Failure {
        Failure { status: StatusCode::BAD_REQUEST, code: "InvalidParameter", message }
    }

    pub(crate) fn no_such_path() -> Failure {
        let message = "there is no such path here: check the endpoint and the service".to_owned();
        Failure { status: StatusCode::NOT_FOUND, code: "NotFound", message }
    }

    pub(crate) fn method_not_allowed() -> Failure {
        let message = "the path does not have this method here".to_owned();
        Failure { status: StatusCode::METHOD_NOT_ALLOWED, code: "MethodNotAllowed", message }
    }

    pub(crate) fn no_such_namespace(namespace: &str) -> Failure {
        let namespace: String = namespace.chars().take(255).collect();
        let message = format!("namespace `{namespace}` is not that of your tenancy, or you may not see it");
        Failure { status: StatusCode::NOT_FOUND, code: "NamespaceNotFound", message }
    }

    /// A body that is longer than it may be, or that broke off.
    pub(crate) fn body(error: &axum::Error) -> Failure {
        let is_too_long = |error: &(dyn std::error::Error + 'static)| error.is::<LengthLimitError>();
        if std::error::Error::source(error).is_some_and(is_too_long) {
            let message = "the body is longer than 256 KiB: send less".to_owned();
            return Failure { status: StatusCode::PAYLOAD_TOO_LARGE, code: "PayloadTooLarge", message };
        }
        Failure {
            status: StatusCode::BAD_REQUEST,
            code: "CannotParseRequest",
            message: format!("the body can't be read to its end: {error}"),
        }
    }

    /// A body that is no JSON, or not of the form that the operation takes.
    pub(crate) fn json(error: &serde_json::Error) -> Failure {
        let code = if error.is_data() { "InvalidParameter" } else { "CannotParseRequest" };
        Failure { status: StatusCode::BAD_REQUEST, code, message: format!("the body is not right: {error}") }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        let (status, code) = match error.kind() {
            ErrorKind::Unauthenticated => (StatusCode::UNAUTHORIZED, "NotAuthenticated"),
            // Not there and not allowed look alike.
            ErrorKind::NotFound | ErrorKind::Denied => (StatusCode::NOT_FOUND, "NotAuthorizedOrNotFound"),
            ErrorKind::Conflict => conflict(&error),
            ErrorKind::Precondition => (StatusCode::PRECONDITION_FAILED, "NoEtagMatch"),
            ErrorKind::TooManyRequests => (StatusCode::TOO_MANY_REQUESTS, "TooManyRequests"),
            ErrorKind::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable"),
            ErrorKind::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "InternalServerError"),
            _ if matches!(error, Error::Iam(IamError::Missing { .. })) => {
                (StatusCode::BAD_REQUEST, "MissingParameter")
            }
            _ if matches!(error, Error::Iam(IamError::Related { .. })) => {
                (StatusCode::BAD_REQUEST, "RelatedResourceNotAuthorizedOrNotFound")
            }
            _ => (StatusCode::BAD_REQUEST, "InvalidParameter"),
        };
        let message = match error.kind() {
            ErrorKind::Unavailable => "the server cannot do this at the moment: try again later".to_owned(),
            ErrorKind::Internal => {
                "internal error: the server's log has the cause under this request's id".to_owned()
            }
            _ => error.to_string(),
        };
        if status.is_server_error() {
            tracing::error!(error = ?error, "request failed");
        }
        Failure { status, code, message }
    }
}

/// Clients repeat what is answered with `IncorrectState` for minutes, so that nothing permanent may be.
fn conflict(error: &Error) -> (StatusCode, &'static str) {
    match error {
        Error::Iam(IamError::NameTaken { .. }) => {
            (StatusCode::CONFLICT, "NotAuthorizedOrResourceAlreadyExists")
        }
        Error::Iam(IamError::LimitExceeded(_)) => (StatusCode::BAD_REQUEST, "LimitExceeded"),
        Error::Iam(IamError::SignatureUsed) => (StatusCode::CONFLICT, "IncorrectState"),
        Error::Iam(IamError::RetryTokenInvalidated(_)) => (StatusCode::CONFLICT, "InvalidatedRetryToken"),
        _ => (StatusCode::CONFLICT, "Conflict"),
    }
}

impl From<IamError> for Failure {
    fn from(error: IamError) -> Failure {
        Error::Iam(error).into()
    }
}

impl From<ParseNameError> for Failure {
    fn from(error: ParseNameError) -> Failure {
        Failure::invalid(error.to_string())
    }
}

impl From<JsonRejection> for Failure {
    fn from(rejection: JsonRejection) -> Failure {
        Failure::invalid(rejection.body_text())
    }
}

impl From<QueryRejection> for Failure {
    fn from(rejection: QueryRejection) -> Failure {
        Failure::invalid(rejection.body_text())
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        (self.status, Json(ErrorBody { code: self.code, message: self.message })).into_response()
    }
}
