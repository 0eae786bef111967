//! Security tokens: for an hour at most, a key of the user's own making signs in place of its API key.
//!
//! A token is a JWT that holds the public half, so that nothing is stored. It ends with its time, and at once with
//! the API key or the user that it was made for.

use serde::{Deserialize, Serialize};
use wharfinger_types::Timestamp;

use crate::ctx::TokenBounds;
use crate::fields::invalid;
use crate::{Cap, Ctx, Error, Iam, LoginFailure, Principal, SERVICE, Secret, api_keys, tenancies};

/// No other token of ours has it.
const AUDIENCE: &str = "wharfinger-session";
/// As Oracle Cloud's command line has it.
const MINUTES: std::ops::RangeInclusive<i64> = 5..=60;

/// The claims. Oracle Cloud's clients read who it is for and until when.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct SessionClaims {
    iss: String,
    aud: String,
    sub: String,
    tenant: String,
    iat: i64,
    exp: i64,
    /// OCID of the API key that it was asked for with.
    pub(crate) credential: String,
    /// The public half of the session's key, in PEM.
    pub(crate) key: String,
}

impl SessionClaims {
    /// What is made with the session ends with it.
    pub(crate) fn bounds(&self) -> TokenBounds {
        TokenBounds { cap: Cap::None, expires_at: Timestamp(self.exp.saturating_mul(1_000_000)) }
    }
}

/// Makes a token for the user who asks, good for so many minutes or, if it is asked for with such a token, for what
/// is left of that one's.
pub async fn generate_user_security_token(
    ctx: &Ctx,
    public_key: &str,
    minutes: Option<i64>,
) -> Result<Secret, Error> {
    let Principal::User(user) = ctx.principal() else { return Err(Error::Unauthenticated) };
    api_keys::check_key(public_key)?;
    let minutes = minutes.unwrap_or(*MINUTES.end());
    if !MINUTES.contains(&minutes) {
        return Err(invalid("sessionExpirationInMinutes", &minutes.to_string(), "use 5 to 60"));
    }
    let asked = ctx.now().plus_seconds(minutes * 60);
    let expires_at = ctx.token().map_or(asked, |shown| asked.min(shown.expires_at));
    let claims = SessionClaims {
        iss: SERVICE.to_owned(),
        aud: AUDIENCE.to_owned(),
        sub: user.ocid.clone(),
        tenant: tenancies::by_id(ctx.iam(), user.tenancy_id).await?.ocid,
        iat: ctx.now().unix_seconds(),
        exp: expires_at.unix_seconds(),
        credential: user.credential.clone(),
        key: public_key.to_owned(),
    };
    ctx.iam().sign_claims(ctx, &claims).await
}

impl Iam {
    /// Reads a security token that must be ours, unaltered and not expired at `now`.
    pub(crate) async fn verify_security_token(
        &self,
        token: &str,
        now: Timestamp,
    ) -> Result<SessionClaims, Error> {
        let claims: SessionClaims = self.verify_claims(token, AUDIENCE).await?;
        if claims.exp <= now.unix_seconds() {
            return Err(Error::LoginFailed(LoginFailure::ExpiredToken));
        }
        Ok(claims)
    }
}
