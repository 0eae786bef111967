//! From credentials to a context: password log-in, registry tokens, the control socket, nobody.

use subtle::ConstantTimeEq;
use wharfinger_metastore::{row, statements};
use wharfinger_types::Timestamp;

use crate::ctx::{Principal, UserPrincipal};
use crate::users::DEFAULT_DOMAIN;
use crate::{Cap, Ctx, Error, Iam, LoginFailure, Request, secret};

statements! {
    /// A user with its auth tokens, one row a token, or one row with NULLs for a user without.
    CREDENTIALS_BY_USERNAME =
        "SELECT u.ocid, u.name, u.tenancy_id, u.is_active,
                EXISTS (SELECT 1 FROM membership m JOIN user_group g ON g.id = m.group_id
                        WHERE m.user_id = u.id AND g.is_administrators) AS is_administrator,
                a.ocid AS credential, a.hash
         FROM tenancy t
         JOIN identity_domain d ON d.tenancy_id = t.id
         JOIN user_account u ON u.domain_id = d.id
         LEFT JOIN auth_token a ON a.user_id = u.id
         WHERE t.namespace = $1 AND d.name = $2 AND u.name = $3";
    /// The user behind a credential, as it is now.
    USER_BY_CREDENTIAL =
        "SELECT u.ocid, u.name, u.tenancy_id, u.is_active,
                EXISTS (SELECT 1 FROM membership m JOIN user_group g ON g.id = m.group_id
                        WHERE m.user_id = u.id AND g.is_administrators) AS is_administrator,
                a.ocid AS credential, a.hash
         FROM auth_token a JOIN user_account u ON u.id = a.user_id
         WHERE a.ocid = $1";
}

row! {
    /// A user and one of its credentials.
    struct CredentialRow {
        ocid: String,
        name: String,
        tenancy_id: i64,
        is_active: bool,
        is_administrator: bool,
        credential: Option<String>,
        hash: Option<Vec<u8>>,
    }
}

impl CredentialRow {
    fn into_principal(self, credential: String) -> Principal {
        Principal::User(UserPrincipal {
            ocid: self.ocid,
            name: self.name,
            tenancy_id: self.tenancy_id,
            is_administrator: self.is_administrator,
            credential,
        })
    }
}

/// `<namespace>/<user>` or `<namespace>/<domain>/<user>`.
fn split_username(username: &str) -> Option<(&str, &str, &str)> {
    let (namespace, rest) = username.split_once('/')?;
    let (domain, user) = rest.split_once('/').unwrap_or((DEFAULT_DOMAIN, rest));
    // The word of the old federation still stands in many people's configuration.
    let is_default = domain.eq_ignore_ascii_case("oracleidentitycloudservice")
        || domain.eq_ignore_ascii_case(DEFAULT_DOMAIN);
    Some((namespace, if is_default { DEFAULT_DOMAIN } else { domain }, user))
}

impl Iam {
    /// The context of one who shows no credentials.
    pub fn anonymous(&self, request: Request) -> Ctx {
        Ctx::new(self.clone(), Principal::Anonymous, Cap::None, request)
    }

    /// The context of a request on the control socket.
    pub fn local_administrator(&self, request: Request) -> Ctx {
        Ctx::new(self.clone(), Principal::LocalAdministrator, Cap::None, request)
    }

    /// Logs in with a user name and an auth token.
    pub async fn login(&self, request: Request, username: &str, password: &str) -> Result<Ctx, Error> {
        let principal = self.password_principal(username, password).await?;
        Ok(Ctx::new(self.clone(), principal, Cap::None, request))
    }

    /// Takes a registry token, whose credential must still be there and its user active.
    pub async fn bearer(&self, request: Request, token: &str) -> Result<Ctx, Error> {
        let claims = self.verify_registry_token(token, request.now).await?;
        let cap = claims.cap();
        let Some(credential) = claims.credential else {
            return Ok(Ctx::new(self.clone(), Principal::Anonymous, cap, request));
        };
        let row: Option<CredentialRow> = self.store().opt(&USER_BY_CREDENTIAL, &[&credential]).await?;
        let row = row.ok_or(Error::LoginFailed(LoginFailure::RevokedCredential))?;
        if !row.is_active {
            return Err(Error::LoginFailed(LoginFailure::Inactive));
        }
        Ok(Ctx::new(self.clone(), row.into_principal(credential), cap, request))
    }

    async fn password_principal(&self, username: &str, password: &str) -> Result<Principal, Error> {
        let failed = |cause| Err(Error::LoginFailed(cause));
        let Some((namespace, domain, user)) = split_username(username) else {
            return failed(LoginFailure::UsernameForm);
        };
        if username.contains('\0') {
            return failed(LoginFailure::UnknownUser);
        }
        let hash = secret::hash(password);
        let rows: Vec<CredentialRow> =
            self.store().all(&CREDENTIALS_BY_USERNAME, &[&namespace, &domain, &user]).await?;
        let cause = match rows.first() {
            None => LoginFailure::UnknownUser,
            Some(row) if row.credential.is_none() => LoginFailure::NoAuthToken,
            Some(_) => LoginFailure::WrongPassword,
        };
        let matching = rows.into_iter().find(|row| {
            let stored = row.hash.as_deref().unwrap_or_default();
            bool::from(stored.ct_eq(&hash))
        });
        let Some((row, credential)) =
            matching.and_then(|row| row.credential.clone().map(|credential| (row, credential)))
        else {
            return failed(cause);
        };
        if !row.is_active {
            return failed(LoginFailure::Inactive);
        }
        Ok(row.into_principal(credential))
    }

    /// When a token made at `now` expires.
    pub(crate) fn token_expiry(&self, now: Timestamp) -> Timestamp {
        now.plus_seconds(self.0.token_lifetime_secs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usernames_have_two_or_three_parts() {
        assert_eq!(split_username("ns/jdoe@acme.com"), Some(("ns", "Default", "jdoe@acme.com")));
        assert_eq!(split_username("ns/Partners/jdoe"), Some(("ns", "Partners", "jdoe")));
        assert_eq!(split_username("ns/oracleidentitycloudservice/jdoe"), Some(("ns", "Default", "jdoe")));
        assert_eq!(split_username("jdoe"), None);
    }
}
