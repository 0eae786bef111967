//! From a signed request to a context: API signing keys, or those of a session, in place of a log-in.
//!
//! Whatever is wrong with a signature, the caller gets one answer and the log has the cause.

use sha2::{Digest as _, Sha256};
use wharfinger_httpsig::{ContentHeaders, KeyId, PublicKey, Request as SignedRequest, Unverified, Verified};
use wharfinger_metastore::{operations, row, statements};

use crate::ctx::TokenBounds;
use crate::login::Found;
use crate::{Ctx, Error, Iam, Request, SignatureFailure, conditions};

/// As long as a signature's date is accepted: five minutes from both sides of the clock.
const REMEMBER_SECS: i64 = 2 * 300;

statements! {
    API_KEY_BY_KEY_ID =
        "SELECT k.ocid, k.pem
         FROM tenancy t JOIN user_account u ON u.tenancy_id = t.id JOIN api_key k ON k.user_id = u.id
         WHERE t.ocid = $1 AND u.ocid = $2 AND k.fingerprint = $3";
    ACCEPTED_SIGNATURE_INSERT =
        "INSERT INTO accepted_signature (hash, expires_at) VALUES ($1, $2) ON CONFLICT (hash) DO NOTHING";
    ACCEPTED_SIGNATURES_DELETE = "DELETE FROM accepted_signature WHERE expires_at < $1";
}

row! {
    struct KeyRow { ocid: String, pem: String }
}

operations! {
    /// Relaxed: what the request itself writes comes later in the same log, so it never outlives this.
    ACCEPT_SIGNATURE = accept_signature { Relaxed, Guarded, unaudited "the request that it belongs to is" };
}

impl Iam {
    /// Takes a request signed with an API key of an active user, or with the key of a security token. `body` is the whole body. The signature of
    /// anything but a GET or HEAD is good for one request.
    ///
    /// # Errors
    /// [`Error::SignatureRefused`], [`Error::SignatureUsed`], [`Error::TooManyRequests`].
    pub async fn signed(
        &self,
        request: Request,
        signed: &SignedRequest<'_>,
        body: &[u8],
    ) -> Result<Ctx, Error> {
        let (found, verified) = match self.signer(&request, signed, body).await {
            Ok((found, bounds, verified)) => (Ok((found, bounds)), Some(verified)),
            Err(error) => (Err(error), None),
        };
        let ctx = self.admit(found, request).await?;
        if let Some(verified) = verified.filter(|_| !signed.method.is_safe()) {
            self.accept_once(&ctx, &verified).await?;
        }
        Ok(ctx)
    }

    async fn signer(
        &self,
        request: &Request,
        signed: &SignedRequest<'_>,
        body: &[u8],
    ) -> Result<(Found, Option<TokenBounds>, Verified), Error> {
        let refused = |cause: SignatureFailure| {
            tracing::info!(%cause, "signature refused");
            Error::SignatureRefused(cause)
        };
        let malformed = |error| refused(SignatureFailure::Form(error));
        let unverified = Unverified::read(signed, ContentHeaders::Required, request.now.unix_seconds());
        let unverified = unverified.map_err(malformed)?;
        let (key, bounds) = match unverified.key_id() {
            KeyId::ApiKey { tenancy, user, fingerprint } => {
                let fingerprint = fingerprint.to_string();
                let key = self.store().opt(&API_KEY_BY_KEY_ID, &[tenancy, user, &fingerprint]).await?;
                (key.ok_or_else(|| refused(SignatureFailure::UnknownKey))?, None)
            }
            KeyId::SecurityToken(token) => {
                let claims =
                    self.verify_security_token(token, request.now).await.map_err(|error| match error {
                        Error::LoginFailed(cause) => refused(SignatureFailure::SecurityToken(cause)),
                        error => error,
                    })?;
                let bounds = claims.bounds();
                (KeyRow { ocid: claims.credential, pem: claims.key }, Some(bounds))
            }
        };
        let public_key = PublicKey::from_pem(&key.pem).map_err(malformed)?;
        let verified = unverified.verify(&public_key).map_err(malformed)?;
        verified.check_body(body).map_err(malformed)?;
        let row = self.credential(&key.ocid).await?.ok_or_else(|| refused(SignatureFailure::UnknownKey))?;
        match row.into_active_principal(key.ocid) {
            Err(Error::LoginFailed(_)) => Err(refused(SignatureFailure::Inactive)),
            found => Ok((found?, bounds, verified)),
        }
    }

    /// Before the request is done: a copy of it that comes later, to whichever replica, is refused.
    async fn accept_once(&self, ctx: &Ctx, verified: &Verified) -> Result<(), Error> {
        let hash = Sha256::digest(verified.signature()).to_vec();
        let (now, expires_at) = (ctx.now().0, ctx.now().plus_seconds(REMEMBER_SECS).0);
        self.store()
            .write(&ACCEPT_SIGNATURE, move |tx| {
                if tx.run(&ACCEPTED_SIGNATURE_INSERT, &[&hash, &expires_at])? == 0 {
                    return Err(Error::SignatureUsed);
                }
                tx.run(&ACCEPTED_SIGNATURES_DELETE, &[&now])?;
                tx.run(&conditions::RETRY_TOKENS_DELETE, &[&now])?;
                Ok(())
            })
            .await
    }
}
