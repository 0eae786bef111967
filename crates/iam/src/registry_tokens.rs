//! Registry tokens: short-lived HS256 JWTs (RFC 7519) that only this installation makes and reads.
//!
//! A token says who, until when, and within which cap. It grants nothing: rights are decided at each
//! request, and the credential it was made with must still be there.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use wharfinger_audit::Subject;
use wharfinger_metastore::{operations, row, statements};
use wharfinger_types::Timestamp;

use crate::ctx::TokenBounds;
use crate::secret::{self, Secret};
use crate::{Access, Cap, Ctx, Error, Iam, LoginFailure, Principal, tenancies};

statements! {
    /// The key that signs new tokens.
    TOKEN_KEY_NEWEST = "SELECT kid, secret, created_at FROM token_key ORDER BY created_at DESC, kid LIMIT 1";
    /// A key by the id that a token names.
    TOKEN_KEY_BY_ID = "SELECT kid, secret, created_at FROM token_key WHERE kid = $1";
    /// A new key.
    TOKEN_KEY_INSERT = "INSERT INTO token_key (kid, secret, created_at) VALUES ($1, $2, $3)";
    /// Keys that no token in use was signed with.
    TOKEN_KEYS_DELETE = "DELETE FROM token_key WHERE created_at < $1";
}

operations! {
    /// A new signing key takes over from one that has served its time.
    ROTATE_TOKEN_KEY = rotate_token_key { Durable, Serializable, audited };
}

row! {
    /// A signing key.
    struct TokenKeyRow { kid: String, secret: Vec<u8>, created_at: i64 }
}

/// What the challenge names as `service`, and what tokens name as their audience.
pub const SERVICE: &str = "wharfinger";

/// The longest that a registry token may live: 30 days.
pub const MAX_TOKEN_LIFETIME_SECS: i64 = 30 * 86_400;
/// How long a key signs. It verifies for as long again as the last token that it signed may live.
const KEY_SIGNS_SECS: i64 = 30 * 86_400;

/// The audience of refresh tokens, so that none passes for a registry token.
const REFRESH_AUDIENCE: &str = "wharfinger-refresh";

/// A key that signs, its id, and since when it does.
type SigningKey = (String, EncodingKey, Timestamp);

/// Keys seen so far. They never change, so an entry is good for as long as the key is in use.
#[derive(Default)]
pub(crate) struct Keys {
    signing: RwLock<Option<SigningKey>>,
    verifying: RwLock<HashMap<String, DecodingKey>>,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Keys(***)")
    }
}

/// The claims of a registry token.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Claims {
    iss: String,
    aud: String,
    sub: String,
    iat: i64,
    nbf: i64,
    exp: i64,
    jti: String,
    /// OCID of the credential it was made with; absent for an anonymous token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) credential: Option<String>,
    /// The cap; absent is no cap.
    #[serde(skip_serializing_if = "Option::is_none")]
    access: Option<Vec<Access>>,
}

impl Claims {
    pub(crate) fn bounds(&self) -> TokenBounds {
        let cap = self.access.clone().map_or(Cap::None, Cap::Only);
        TokenBounds { cap, expires_at: Timestamp(self.exp.saturating_mul(1_000_000)) }
    }
}

/// A new token and how long it lives.
#[derive(Debug)]
pub struct RegistryToken {
    /// The JWT.
    pub token: Secret,
    /// Seconds from `issued_at` until it is refused.
    pub expires_in_secs: i64,
    /// When it was made.
    pub issued_at: Timestamp,
}

/// The claims of a refresh token. It is signed with the hash of the auth token that it stands for, so
/// it lives exactly as long: no expiry, and no key of its own to be kept.
#[derive(Debug, Serialize, Deserialize)]
struct RefreshClaims {
    iss: String,
    aud: String,
    sub: String,
    iat: i64,
}

/// The credential that a refresh token says it stands for.
pub(crate) fn refresh_credential(token: &str) -> Option<String> {
    let header = jsonwebtoken::decode_header(token).ok()?;
    header.kid.filter(|credential| !credential.contains('\0'))
}

/// Checks a refresh token against the hash of its credential.
pub(crate) fn verify_refresh_token(token: &str, hash: &[u8]) -> Result<(), Error> {
    let mut validation = Validation::new(Algorithm::HS256);
    validation.set_audience(&[REFRESH_AUDIENCE]);
    validation.set_issuer(&[SERVICE]);
    validation.set_required_spec_claims(&["iss", "aud"]);
    validation.validate_exp = false;
    jsonwebtoken::decode::<RefreshClaims>(token, &DecodingKey::from_secret(hash), &validation)
        .map(drop)
        .map_err(|_| Error::LoginFailed(LoginFailure::InvalidToken))
}

/// A random id and key, for [`TOKEN_KEY_INSERT`].
pub(crate) fn new_key() -> Result<(String, Vec<u8>), Error> {
    let kid: String = secret::random::<8>()?.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok((kid, secret::random::<32>()?.to_vec()))
}

impl Iam {
    /// Makes a token for the principal of `ctx`, capped to `cap`. One made for a token that was shown
    /// covers no more than that one did and expires no later.
    pub async fn issue_registry_token(&self, ctx: &Ctx, cap: Cap) -> Result<RegistryToken, Error> {
        let issued_at = ctx.now();
        let mut expires_at = issued_at.plus_seconds(self.0.token_lifetime_secs);
        let mut cap = cap;
        if let Some(shown) = ctx.token() {
            expires_at = expires_at.min(shown.expires_at);
            cap = cap.within(&shown.cap);
        }
        let (subject, credential) = match ctx.principal() {
            Principal::User(user) => (user.ocid.clone(), Some(user.credential.clone())),
            Principal::Anonymous | Principal::LocalAdministrator => (String::new(), None),
        };
        let jti = secret::random::<16>()?.iter().map(|byte| format!("{byte:02x}")).collect();
        let claims = Claims {
            iss: SERVICE.to_owned(),
            aud: SERVICE.to_owned(),
            sub: subject,
            iat: issued_at.unix_seconds(),
            nbf: issued_at.unix_seconds(),
            exp: expires_at.unix_seconds(),
            jti,
            credential,
            access: match cap {
                Cap::None => None,
                Cap::Only(entries) => Some(entries),
            },
        };
        let token = self.sign_claims(ctx, &claims).await?;
        let expires_in_secs = expires_at.unix_seconds() - issued_at.unix_seconds();
        Ok(RegistryToken { token, expires_in_secs, issued_at })
    }

    /// A JWT of ours.
    pub(crate) async fn sign_claims(&self, ctx: &Ctx, claims: &impl Serialize) -> Result<Secret, Error> {
        let (kid, key, _) = self.signing_key(ctx).await?;
        let header = Header { kid: Some(kid), ..Header::new(Algorithm::HS256) };
        Ok(Secret::new(jsonwebtoken::encode(&header, claims, &key).map_err(Error::Signing)?))
    }

    /// Makes a refresh token for a user who logged in with an auth token. `None` for anybody else: one
    /// who shows a registry token gets nothing that outlives it.
    pub async fn issue_refresh_token(&self, ctx: &Ctx) -> Result<Option<Secret>, Error> {
        let (Principal::User(user), None) = (ctx.principal(), ctx.token()) else {
            return Ok(None);
        };
        let row = self.credential(&user.credential).await?;
        let hash = row.and_then(|row| row.hash).ok_or(Error::LoginFailed(LoginFailure::RevokedCredential))?;
        let claims = RefreshClaims {
            iss: SERVICE.to_owned(),
            aud: REFRESH_AUDIENCE.to_owned(),
            sub: user.ocid.clone(),
            iat: ctx.now().unix_seconds(),
        };
        let header = Header { kid: Some(user.credential.clone()), ..Header::new(Algorithm::HS256) };
        let token = jsonwebtoken::encode(&header, &claims, &EncodingKey::from_secret(&hash));
        Ok(Some(Secret::new(token.map_err(Error::Signing)?)))
    }

    /// Reads a token that must be ours, unaltered and not expired at `now`.
    pub(crate) async fn verify_registry_token(&self, token: &str, now: Timestamp) -> Result<Claims, Error> {
        let claims: Claims = self.verify_claims(token, SERVICE).await?;
        if claims.exp <= now.unix_seconds() {
            return Err(Error::LoginFailed(LoginFailure::ExpiredToken));
        }
        Ok(claims)
    }

    /// Reads a JWT of ours for that audience. Whether it has expired is the caller's to check, by the request's
    /// clock.
    pub(crate) async fn verify_claims<T: DeserializeOwned>(
        &self,
        token: &str,
        audience: &str,
    ) -> Result<T, Error> {
        let invalid = || Error::LoginFailed(LoginFailure::InvalidToken);
        let header = jsonwebtoken::decode_header(token).map_err(|_| invalid())?;
        let kid = header.kid.filter(|kid| !kid.contains('\0')).ok_or_else(invalid)?;
        let key = self.verifying_key(&kid).await?.ok_or_else(invalid)?;
        let mut validation = Validation::new(Algorithm::HS256);
        validation.set_audience(&[audience]);
        validation.set_issuer(&[SERVICE]);
        validation.validate_exp = false;
        Ok(jsonwebtoken::decode(token, &key, &validation).map_err(|_| invalid())?.claims)
    }

    async fn signing_key(&self, ctx: &Ctx) -> Result<SigningKey, Error> {
        let is_due = |since: Timestamp| since.plus_seconds(KEY_SIGNS_SECS) <= ctx.now();
        let cached = self.0.keys.signing.read().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(key) = cached.filter(|(_, _, since)| !is_due(*since)) {
            return Ok(key);
        }
        let mut row = self.newest_key().await?;
        if is_due(Timestamp(row.created_at)) {
            match self.rotate_token_key(ctx).await {
                Ok(()) => row = self.newest_key().await?,
                // The old key still does, and the next request tries again.
                Err(error) => tracing::warn!(%error, "cannot make a new token key"),
            }
        }
        let key = (row.kid, EncodingKey::from_secret(&row.secret), Timestamp(row.created_at));
        *self.0.keys.signing.write().unwrap_or_else(PoisonError::into_inner) = Some(key.clone());
        Ok(key)
    }

    async fn newest_key(&self) -> Result<TokenKeyRow, Error> {
        let row = self.store().opt(&TOKEN_KEY_NEWEST, &[]).await?;
        row.ok_or_else(|| {
            Error::Conflict("the installation has no token key: it was never bootstrapped".into())
        })
    }

    /// Makes a new key, unless another process just did, and forgets those that verify nothing any more.
    async fn rotate_token_key(&self, ctx: &Ctx) -> Result<(), Error> {
        let tenancy = tenancies::first(self).await?;
        let key = new_key()?;
        let origin = ctx.origin();
        let due = origin.at.plus_seconds(-KEY_SIGNS_SECS);
        let rotated = self.store().write(&ROTATE_TOKEN_KEY, move |tx| {
            let newest: TokenKeyRow = tx.one(&TOKEN_KEY_NEWEST, &[])?;
            if newest.created_at > due.0 {
                return Err(Error::NameTaken { what: "token key", name: newest.kid });
            }
            tx.run(&TOKEN_KEY_INSERT, &[&key.0, &key.1, &origin.at.0])?;
            tx.run(&TOKEN_KEYS_DELETE, &[&due.plus_seconds(-MAX_TOKEN_LIFETIME_SECS).0])?;
            let subject = Subject::new(key.0.as_str(), "registry token key");
            wharfinger_audit::record(tx, tenancy.id, &origin, &subject)?;
            Ok(())
        });
        match rotated.await {
            Err(Error::NameTaken { .. }) => Ok(()),
            rotated => rotated,
        }
    }

    async fn verifying_key(&self, kid: &str) -> Result<Option<DecodingKey>, Error> {
        let cached = self.0.keys.verifying.read().unwrap_or_else(PoisonError::into_inner).get(kid).cloned();
        if cached.is_some() {
            return Ok(cached);
        }
        let Some(row) = self.store().opt::<TokenKeyRow>(&TOKEN_KEY_BY_ID, &[&kid]).await? else {
            return Ok(None);
        };
        let key = DecodingKey::from_secret(&row.secret);
        let mut verifying = self.0.keys.verifying.write().unwrap_or_else(PoisonError::into_inner);
        verifying.insert(row.kid, key.clone());
        Ok(Some(key))
    }
}
