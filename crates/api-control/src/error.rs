//! Errors in the control plane's dialect, Oracle Cloud's: `{"code", "message"}`.

use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};
use serde_json::json;
use wharfinger_iam::Error as IamError;
use wharfinger_registry::Error;
use wharfinger_types::{ErrorKind, ParseNameError};

/// A refusal or fault, ready to be rendered.
#[derive(Debug)]
pub(crate) struct Failure {
    status: StatusCode,
    code: &'static str,
    message: String,
}

impl Failure {
    fn invalid(message: String) -> Failure {
        Failure { status: StatusCode::BAD_REQUEST, code: "InvalidParameter", message }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        let (status, code) = match error.kind() {
            ErrorKind::Unauthenticated => (StatusCode::UNAUTHORIZED, "NotAuthenticated"),
            // Not there and not allowed look alike.
            ErrorKind::NotFound | ErrorKind::Denied => (StatusCode::NOT_FOUND, "NotAuthorizedOrNotFound"),
            ErrorKind::Conflict if matches!(error, Error::Iam(IamError::NameTaken { .. })) => {
                (StatusCode::CONFLICT, "NotAuthorizedOrResourceAlreadyExists")
            }
            ErrorKind::Conflict => (StatusCode::CONFLICT, "IncorrectState"),
            ErrorKind::Changed => (StatusCode::PRECONDITION_FAILED, "NoEtagMatch"),
            ErrorKind::TooManyRequests => (StatusCode::TOO_MANY_REQUESTS, "TooManyRequests"),
            ErrorKind::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable"),
            ErrorKind::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "InternalServerError"),
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
        let body = json!({ "code": self.code, "message": self.message }).to_string();
        (self.status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
    }
}
