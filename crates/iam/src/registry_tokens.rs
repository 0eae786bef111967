//! Registry tokens: short-lived HS256 JWTs (RFC 7519) that only this installation makes and reads.
//!
//! A token says who, until when, and within which cap. It grants nothing: rights are decided at each
//! request, and the credential it was made with must still be there.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use wharfinger_metastore::{row, statements};
use wharfinger_types::Timestamp;

use crate::secret::{self, Secret};
use crate::{Access, Cap, Ctx, Error, Iam, LoginFailure, Principal};

statements! {
    /// The key that signs new tokens.
    TOKEN_KEY_NEWEST = "SELECT kid, secret FROM token_key ORDER BY created_at DESC, kid LIMIT 1";
    /// A key by the id that a token names.
    TOKEN_KEY_BY_ID = "SELECT kid, secret FROM token_key WHERE kid = $1";
    /// A new key.
    TOKEN_KEY_INSERT = "INSERT INTO token_key (kid, secret, created_at) VALUES ($1, $2, $3)";
}

row! {
    /// A signing key.
    struct TokenKeyRow { kid: String, secret: Vec<u8> }
}

/// What the challenge names as `service`, and what tokens name as their audience.
pub const SERVICE: &str = "wharfinger";

/// Keys seen so far. They never change, so an entry is good for as long as the key is in use.
#[derive(Default)]
pub(crate) struct Keys {
    signing: RwLock<Option<(String, EncodingKey)>>,
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
    pub(crate) fn cap(&self) -> Cap {
        self.access.clone().map_or(Cap::None, Cap::Only)
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

/// A random id and key, for [`TOKEN_KEY_INSERT`].
pub(crate) fn new_key() -> Result<(String, Vec<u8>), Error> {
    let kid: String = secret::random::<8>()?.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok((kid, secret::random::<32>()?.to_vec()))
}

impl Iam {
    /// Makes a token for the principal of `ctx`, capped to `cap`.
    pub async fn issue_registry_token(&self, ctx: &Ctx, cap: Cap) -> Result<RegistryToken, Error> {
        let issued_at = ctx.now();
        let expires_at = self.token_expiry(issued_at);
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
        let (kid, key) = self.signing_key().await?;
        let header = Header { kid: Some(kid), ..Header::new(Algorithm::HS256) };
        let token = jsonwebtoken::encode(&header, &claims, &key).map_err(Error::Signing)?;
        let expires_in_secs = expires_at.unix_seconds() - issued_at.unix_seconds();
        Ok(RegistryToken { token: Secret::new(token), expires_in_secs, issued_at })
    }

    /// Reads a token that must be ours, unaltered and not expired at `now`.
    pub(crate) async fn verify_registry_token(&self, token: &str, now: Timestamp) -> Result<Claims, Error> {
        let invalid = || Error::LoginFailed(LoginFailure::InvalidToken);
        let header = jsonwebtoken::decode_header(token).map_err(|_| invalid())?;
        let kid = header.kid.filter(|kid| !kid.contains('\0')).ok_or_else(invalid)?;
        let key = self.verifying_key(&kid).await?.ok_or_else(invalid)?;
        let mut validation = Validation::new(Algorithm::HS256);
        validation.set_audience(&[SERVICE]);
        validation.set_issuer(&[SERVICE]);
        // Expiry is checked below, by the request's clock.
        validation.validate_exp = false;
        let claims = jsonwebtoken::decode::<Claims>(token, &key, &validation).map_err(|_| invalid())?.claims;
        if claims.exp <= now.unix_seconds() {
            return Err(Error::LoginFailed(LoginFailure::ExpiredToken));
        }
        Ok(claims)
    }

    async fn signing_key(&self) -> Result<(String, EncodingKey), Error> {
        let cached = self.0.keys.signing.read().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(key) = cached {
            return Ok(key);
        }
        let row: Option<TokenKeyRow> = self.store().opt(&TOKEN_KEY_NEWEST, &[]).await?;
        let row = row.ok_or_else(|| {
            Error::Conflict("the installation has no token key: it was never bootstrapped".into())
        })?;
        let key = (row.kid, EncodingKey::from_secret(&row.secret));
        *self.0.keys.signing.write().unwrap_or_else(PoisonError::into_inner) = Some(key.clone());
        Ok(key)
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
