//! What a request makes its outcome depend on: the state that it expects (`if-match`), and that it was not
//! done before (`opc-retry-token`).

use sha2::{Digest as _, Sha256};
use wharfinger_metastore::{Tx, row, statements};

use crate::fields::invalid;
use crate::{Ctx, Error};

/// How long a retry token is remembered, as in Oracle Cloud.
const RETRY_SECS: i64 = 86_400;
const MAX_TOKEN: usize = 64;

statements! {
    RETRY_TOKEN_FIND =
        "SELECT request_hash, made, expires_at FROM retry_token
         WHERE principal = $1 AND token = $2 AND operation = $3";
    RETRY_TOKEN_UPSERT =
        "INSERT INTO retry_token (principal, token, operation, request_hash, made, expires_at)
         VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (principal, token, operation) DO UPDATE
         SET request_hash = excluded.request_hash, made = excluded.made, expires_at = excluded.expires_at";
    /// Runs along with the writes of signed requests (`signatures.rs`).
    RETRY_TOKENS_DELETE = "DELETE FROM retry_token WHERE expires_at < $1";
}

row! {
    struct RetryRow { request_hash: Vec<u8>, made: String, expires_at: i64 }
}

/// The conditions of a request; none unless a face adds them with [`Ctx::under`].
#[derive(Debug, Clone, Default)]
pub struct Conditions {
    if_match: Option<String>,
    retry: Option<Retry>,
}

#[derive(Debug, Clone)]
struct Retry {
    token: String,
    request_hash: Vec<u8>,
}

impl Conditions {
    /// From the two headers and what tells the request apart from others: its target and body. No writes are
    /// made for a token that is in use with another request.
    pub fn new(
        if_match: Option<&str>,
        retry_token: Option<&str>,
        target: &str,
        body: &[u8],
    ) -> Result<Conditions, Error> {
        let retry = match retry_token {
            Some(token) if token.is_empty() || token.len() > MAX_TOKEN || token.contains('\0') => {
                return Err(invalid("opc-retry-token", token, "use 1 to 64 characters"));
            }
            Some(token) => {
                let hash = Sha256::new_with_prefix(target).chain_update([0]).chain_update(body).finalize();
                Some(Retry { token: token.to_owned(), request_hash: hash.to_vec() })
            }
            None => None,
        };
        Ok(Conditions { if_match: if_match.map(str::to_owned), retry })
    }

    /// Checks that the resource is in the state that the request names, if it names one. Its entity tag is
    /// its revision, with or without quotes.
    pub(crate) fn check_revision(&self, revision: i64) -> Result<(), Error> {
        let Some(expected) = &self.if_match else { return Ok(()) };
        let expected = expected.trim().trim_matches('"');
        if expected == "*" || expected == revision.to_string() {
            return Ok(());
        }
        Err(Error::NoEtagMatch)
    }
}

impl Ctx {
    /// The same request under conditions.
    #[must_use]
    pub fn under(mut self, conditions: Conditions) -> Ctx {
        self.conditions = conditions;
        self
    }

    pub(crate) fn conditions(&self) -> &Conditions {
        &self.conditions
    }

    /// What a create does about repetition: to be asked in its body before and after it makes something.
    pub(crate) fn once(&self) -> Once {
        let key = self.conditions.retry.clone().map(|retry| (self.origin().principal_id, retry));
        Once { key, now: self.now().0, expires_at: self.now().plus_seconds(RETRY_SECS).0 }
    }
}

/// See [`Ctx::once`].
#[derive(Debug)]
pub(crate) struct Once {
    key: Option<(String, Retry)>,
    now: i64,
    expires_at: i64,
}

impl Once {
    /// [`Error::Repeated`] if the same request was done under the same token; the create then answers with
    /// what that one made. [`Error::RetryTokenInvalidated`] if the token was for another request.
    pub(crate) fn check(&self, tx: &mut Tx) -> Result<(), Error> {
        let Some((principal, retry)) = &self.key else { return Ok(()) };
        let operation = tx.operation().name;
        let earlier: Option<RetryRow> = tx.opt(&RETRY_TOKEN_FIND, &[principal, &retry.token, &operation])?;
        match earlier {
            Some(row) if row.expires_at < self.now => Ok(()),
            Some(row) if row.request_hash == retry.request_hash => Err(Error::Repeated { made: row.made }),
            Some(_) => Err(Error::RetryTokenInvalidated(
                "the opc-retry-token was used with another request: use a new one".to_owned(),
            )),
            None => Ok(()),
        }
    }

    /// Notes what was made.
    pub(crate) fn note(&self, tx: &mut Tx, made: &str) -> Result<(), Error> {
        let Some((principal, retry)) = &self.key else { return Ok(()) };
        let operation = tx.operation().name;
        tx.run(
            &RETRY_TOKEN_UPSERT,
            &[principal, &retry.token, &operation, &retry.request_hash, &made, &self.expires_at],
        )?;
        Ok(())
    }
}

/// Says of a repeated create that what the first one made is gone.
pub(crate) fn gone_since(error: Error) -> Error {
    match error {
        Error::NotFound { what, name } => Error::RetryTokenInvalidated(format!(
            "{what} `{name}`, made under this opc-retry-token, was deleted since: use a new token"
        )),
        error => error,
    }
}
