//! What can go wrong in identity, and how much of it the caller may know.

use wharfinger_types::{ErrorKind, Permission};

/// Why a log-in failed. For the log only: the caller gets one text for all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LoginFailure {
    /// The user name has not the form `<namespace>/<user>` or `<namespace>/<domain>/<user>`.
    #[error("the user name has no namespace: it must be `<namespace>/<user>`")]
    UsernameForm,
    /// No such user.
    #[error("no such user")]
    UnknownUser,
    /// The user has no auth token.
    #[error("user has no auth token")]
    NoAuthToken,
    /// The password is none of the user's auth tokens.
    #[error("the password is none of the user's auth tokens; a console password is no good here")]
    WrongPassword,
    /// The user is switched off.
    #[error("the user is inactive: switch it on")]
    Inactive,
    /// The registry token is not one of ours, was altered, or is of a key no longer used.
    #[error("registry token is not valid")]
    InvalidToken,
    /// The registry token has expired.
    #[error("registry token has expired")]
    ExpiredToken,
    /// The credential that the registry token was made with is gone.
    #[error("the credential behind the registry token is gone")]
    RevokedCredential,
}

/// What is wrong with a request's signature. For the log only, as with [`LoginFailure`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignatureFailure {
    /// There is none, or it is not in order, or not by that key over that request.
    #[error(transparent)]
    Form(wharfinger_httpsig::Error),
    /// It names a session whose token is not one of ours, was altered, or has expired.
    #[error("signed with a security token that is not good: {0}")]
    SecurityToken(LoginFailure),
    /// The tenancy has no such user, the user no such key, or may not use keys.
    #[error("no such API key, or the user may not use API keys")]
    UnknownKey,
    /// The user is switched off.
    #[error("user is inactive")]
    Inactive,
}

/// An error of identity and access.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody is logged in, and anonymous access does not reach this.
    #[error("log in first: this needs credentials")]
    Unauthenticated,
    /// The credentials are not good.
    #[error(
        "log-in failed: check that the user name is `<namespace>/<user>` or `<namespace>/<domain>/<user>`, that the password is an auth token (not a console password), and that the user is active"
    )]
    LoginFailed(LoginFailure),
    /// The request is not signed as it must be.
    #[error(
        "the request is not signed by an API key of an active user: check tenancy, user, fingerprint and key of the profile, and the clock"
    )]
    SignatureRefused(SignatureFailure),
    /// The signature came with an earlier request. Clients sign anew and try again.
    #[error("this signature was accepted before: sign the request again")]
    SignatureUsed,
    /// The principal has no right to it, or it is not there: the two look alike to such a one.
    #[error("{}", denied(*permission, compartment.as_deref()))]
    Denied {
        /// What was asked for.
        permission: Permission,
        /// The path of the compartment, for one who may see the resource.
        compartment: Option<String>,
    },
    /// The registry token was asked for a narrower scope than this needs.
    #[error("the registry token does not cover `{action}` on `{name}`: ask for a token with that scope")]
    BeyondCap {
        /// The image name or catalog.
        name: String,
        /// The action that the token lacks.
        action: &'static str,
    },
    /// More requests than the settings allow a principal, or an address without one.
    #[error("too many requests: wait {retry_after_secs} s and try again")]
    TooManyRequests {
        /// Seconds until the next one is answered.
        retry_after_secs: u64,
    },
    /// It is not there, told to one who would have the right to it.
    #[error("{what} `{name}` does not exist")]
    NotFound {
        /// The kind of resource.
        what: &'static str,
        /// Its name or id as given.
        name: String,
    },
    /// The name is in use.
    #[error("{what} `{name}` already exists: choose another name")]
    NameTaken {
        /// The kind of resource.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// There are as many as may be.
    #[error("{0}")]
    LimitExceeded(String),
    /// The resource was changed since the caller read it.
    #[error("`if-match` is not the entity tag of the resource as it is now: read it again")]
    NoEtagMatch,
    /// Inside a create: it was done before under the same retry token.
    #[error("`{made}` was made by the same request before")]
    Repeated {
        /// OCID of what was made.
        made: String,
    },
    /// The retry token is of no use for this request.
    #[error("{0}")]
    RetryTokenInvalidated(String),
    /// The change does not fit the state of the resource.
    #[error("{0}")]
    Conflict(String),
    /// A field of the request is missing.
    #[error("`{field}` is missing: give it")]
    Missing {
        /// The field's name.
        field: &'static str,
    },
    /// A field of the request is wrong.
    #[error("{field} `{value}` is not valid: {remedy}")]
    Invalid {
        /// The field's name.
        field: &'static str,
        /// What was given, cut to a bearable length.
        value: String,
        /// What would be right.
        remedy: &'static str,
    },
    /// What a field names is not there, or the principal has no right to it.
    #[error("{field} `{value}`: {why}")]
    Related {
        /// The field's name.
        field: &'static str,
        /// What it names.
        value: String,
        /// What is missing, as far as the principal may know.
        why: String,
    },
    /// A policy's statements can't be used.
    #[error("statements: {0}")]
    Statements(String),
    /// The matching rule of a dynamic group can't be used.
    #[error("matchingRule: {0}")]
    MatchingRule(String),
    /// An identifier in the database is none.
    #[error("the database holds a wrong identifier")]
    Ocid(#[from] wharfinger_types::ParseOcidError),
    /// The compartments in the database form no tree.
    #[error("the database holds no tree of compartments")]
    Tree(#[from] wharfinger_policy::Error),
    /// The operating system gave no random bytes.
    #[error("no randomness from the operating system")]
    Random(#[source] getrandom::Error),
    /// A signing key could not be made.
    #[error("making a signing key failed")]
    Key(#[source] wharfinger_httpsig::Error),
    /// A registry token could not be signed.
    #[error("signing a registry token failed")]
    Signing(#[source] jsonwebtoken::errors::Error),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] wharfinger_metastore::Error),
}

impl Error {
    /// The class of the error, by which a face chooses the status.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Error::Unauthenticated | Error::LoginFailed(_) | Error::SignatureRefused(_) => {
                ErrorKind::Unauthenticated
            }
            Error::Denied { .. } | Error::BeyondCap { .. } => ErrorKind::Denied,
            Error::NotFound { .. } => ErrorKind::NotFound,
            Error::NameTaken { .. }
            | Error::Conflict(_)
            | Error::LimitExceeded(_)
            | Error::SignatureUsed
            | Error::Repeated { .. }
            | Error::RetryTokenInvalidated(_) => ErrorKind::Conflict,
            Error::NoEtagMatch => ErrorKind::Precondition,
            Error::Missing { .. }
            | Error::Invalid { .. }
            | Error::Related { .. }
            | Error::Statements(_)
            | Error::MatchingRule(_) => ErrorKind::Invalid,
            Error::TooManyRequests { .. } => ErrorKind::TooManyRequests,
            Error::Random(_) | Error::Key(_) | Error::Signing(_) | Error::Ocid(_) | Error::Tree(_) => {
                ErrorKind::Internal
            }
            Error::Store(error) => store_kind(error),
        }
    }
}

fn denied(permission: Permission, compartment: Option<&str>) -> String {
    match compartment {
        None => "access denied, or no such resource".to_owned(),
        Some(compartment) => format!("access denied: {permission} in compartment `{compartment}` is missing"),
    }
}

/// The class of a store error that no service has turned into one of its own.
fn store_kind(error: &wharfinger_metastore::Error) -> ErrorKind {
    use wharfinger_metastore::Error as Store;
    match error {
        Store::Unavailable { .. } | Store::Closed | Store::OutcomeUnknown => ErrorKind::Unavailable,
        _ => ErrorKind::Internal,
    }
}
