//! From credentials to a context: password log-in, registry tokens, the control socket, nobody.

use std::sync::Arc;

use serde::Deserialize;
use subtle::ConstantTimeEq;
use wharfinger_metastore::{Args, row, statements};
use wharfinger_policy::PrincipalKind;
use wharfinger_types::ParseOcidError;

use crate::ctx::{Principal, TokenBounds, UserPrincipal};
use crate::users::{DEFAULT_DOMAIN, User};
use crate::{Ctx, Error, Iam, LoginFailure, Request, Tenancy, registry_tokens, secret};

statements! {
    /// A user with its auth tokens, one row a token, or one row with NULLs for a user without.
    CREDENTIALS_BY_USERNAME =
        sqlite "SELECT u.ocid, u.name, u.tenancy_id, u.is_active, t.rights_version, a.ocid AS credential, a.hash,
                (SELECT json_group_array(json_object('id', g.ocid, 'domain', gd.name, 'name', g.name))
                 FROM membership m JOIN user_group g ON g.id = m.group_id
                 JOIN identity_domain gd ON gd.id = g.domain_id WHERE m.user_id = u.id) AS member_of
                FROM tenancy t
                JOIN identity_domain d ON d.tenancy_id = t.id
                JOIN user_account u ON u.domain_id = d.id
                LEFT JOIN auth_token a ON a.user_id = u.id AND (u.capabilities & 2) <> 0
                WHERE t.namespace = $1 AND d.name = $2 AND u.name = $3",
        postgres "SELECT u.ocid, u.name, u.tenancy_id, u.is_active, t.rights_version, a.ocid AS credential, a.hash,
                (SELECT json_agg(json_build_object('id', g.ocid, 'domain', gd.name, 'name', g.name))::text
                 FROM membership m JOIN user_group g ON g.id = m.group_id
                 JOIN identity_domain gd ON gd.id = g.domain_id WHERE m.user_id = u.id) AS member_of
                FROM tenancy t
                JOIN identity_domain d ON d.tenancy_id = t.id
                JOIN user_account u ON u.domain_id = d.id
                LEFT JOIN auth_token a ON a.user_id = u.id AND (u.capabilities & 2) <> 0
                WHERE t.namespace = $1 AND d.name = $2 AND u.name = $3";
    /// The user behind a credential, as it is now. An API key has no hash; `capabilities.rs` has the bits.
    USER_BY_CREDENTIAL =
        sqlite "SELECT u.ocid, u.name, u.tenancy_id, u.is_active, t.rights_version, c.ocid AS credential, c.hash,
                (SELECT json_group_array(json_object('id', g.ocid, 'domain', gd.name, 'name', g.name))
                 FROM membership m JOIN user_group g ON g.id = m.group_id
                 JOIN identity_domain gd ON gd.id = g.domain_id WHERE m.user_id = u.id) AS member_of
                FROM (SELECT ocid, user_id, hash, 2 AS capability FROM auth_token WHERE ocid = $1
                      UNION ALL SELECT ocid, user_id, NULL, 1 FROM api_key WHERE ocid = $1) c
                JOIN user_account u ON u.id = c.user_id AND (u.capabilities & c.capability) <> 0
                JOIN tenancy t ON t.id = u.tenancy_id",
        postgres "SELECT u.ocid, u.name, u.tenancy_id, u.is_active, t.rights_version, c.ocid AS credential, c.hash,
                (SELECT json_agg(json_build_object('id', g.ocid, 'domain', gd.name, 'name', g.name))::text
                 FROM membership m JOIN user_group g ON g.id = m.group_id
                 JOIN identity_domain gd ON gd.id = g.domain_id WHERE m.user_id = u.id) AS member_of
                FROM (SELECT ocid, user_id, hash, 2 AS capability FROM auth_token WHERE ocid = $1
                      UNION ALL SELECT ocid, user_id, NULL, 1 FROM api_key WHERE ocid = $1) c
                JOIN user_account u ON u.id = c.user_id AND (u.capabilities & c.capability) <> 0
                JOIN tenancy t ON t.id = u.tenancy_id";
}

row! {
    /// A user and one of its credentials.
    pub(crate) struct CredentialRow {
        ocid: String,
        name: String,
        tenancy_id: i64,
        is_active: bool,
        rights_version: i64,
        credential: Option<String>,
        pub(crate) hash: Option<Vec<u8>>,
        member_of: Option<String>,
    }
}

impl CredentialRow {
    pub(crate) fn into_active_principal(self, credential: String) -> Result<Found, Error> {
        if !self.is_active {
            return Err(Error::LoginFailed(LoginFailure::Inactive));
        }
        self.into_principal(credential)
    }

    fn into_principal(self, credential: String) -> Result<Found, Error> {
        let groups: Vec<GroupRef> =
            serde_json::from_str(self.member_of.as_deref().unwrap_or("[]")).unwrap_or_default();
        let groups = groups.into_iter().map(|group| {
            Ok(wharfinger_policy::Group { id: group.id.parse()?, domain: group.domain, name: group.name })
        });
        let subject = wharfinger_policy::Principal {
            kind: PrincipalKind::User,
            id: Some(self.ocid.parse()?),
            name: self.name,
            groups: groups.collect::<Result<_, ParseOcidError>>()?,
            dynamic_groups: Vec::new(),
        };
        let user = UserPrincipal {
            ocid: self.ocid,
            tenancy_id: self.tenancy_id,
            credential,
            subject: Arc::new(subject),
        };
        Ok((Principal::User(user), self.rights_version))
    }
}

/// A group as the statements above write it.
#[derive(Deserialize)]
struct GroupRef {
    id: String,
    domain: String,
    name: String,
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

/// Somebody, and the version of the rights in its tenancy.
pub(crate) type Found = (Principal, i64);

/// The user name of a log-in whose password is a registry token, as in OCIR.
const BEARER_TOKEN: &str = "BEARER_TOKEN";

impl Iam {
    /// The context of one who shows no credentials.
    pub fn anonymous(&self, request: Request) -> Result<Ctx, Error> {
        self.0.rates.count_request(&Principal::Anonymous, request.client_address)?;
        Ok(Ctx::new(self.clone(), Principal::Anonymous, None, None, request))
    }

    /// The context of a request on the control socket.
    pub fn local_administrator(&self, request: Request) -> Ctx {
        Ctx::new(self.clone(), Principal::LocalAdministrator, None, None, request)
    }

    /// Logs in with a user name and an auth token, or with the name `BEARER_TOKEN` and a registry
    /// token. After many failures the answer to a further one takes a while; a good log-in never
    /// waits, so that nobody can lock others out.
    pub async fn login(&self, request: Request, username: &str, password: &str) -> Result<Ctx, Error> {
        let address = request.client_address;
        let outcome = if username == BEARER_TOKEN {
            self.bearer(request, password).await
        } else {
            let found = self.password_principal(username, password).await;
            self.admit(found.map(|found| (found, None)), request).await
        };
        if let Err(Error::LoginFailed(cause)) = &outcome {
            use LoginFailure::{Inactive, NoAuthToken, WrongPassword};
            // A name that no user has may be a password in the wrong place.
            let is_known =
                username != BEARER_TOKEN && matches!(cause, NoAuthToken | WrongPassword | Inactive);
            let user = is_known.then_some(username);
            tracing::info!(user, %cause, "log-in failed");
            tokio::time::sleep(self.0.rates.count_failed_login(address, username)).await;
        }
        outcome
    }

    /// Takes a registry token, whose credential must still be there and its user active.
    pub async fn bearer(&self, request: Request, token: &str) -> Result<Ctx, Error> {
        let found = self.token_principal(token, &request).await;
        if let Err(Error::LoginFailed(cause)) = &found {
            tracing::info!(%cause, "token refused");
        }
        self.admit(found.map(|(found, bounds)| (found, Some(bounds))), request).await
    }

    /// Takes a refresh token, in place of the auth token that it was issued for.
    pub async fn refresh(&self, request: Request, token: &str) -> Result<Ctx, Error> {
        let found = self.refresh_principal(token).await;
        if let Err(Error::LoginFailed(cause)) = &found {
            tracing::info!(%cause, "refresh token refused");
        }
        self.admit(found.map(|found| (found, None)), request).await
    }

    /// Everybody who shows a credential comes through here: counted, and with the rights that hold now.
    pub(crate) async fn admit(
        &self,
        found: Result<(Found, Option<TokenBounds>), Error>,
        request: Request,
    ) -> Result<Ctx, Error> {
        let address = request.client_address;
        let ((principal, rights_version), bounds) = match found {
            Ok(found) => found,
            // A bad credential proves nobody's name, so it counts for the address.
            Err(error) => {
                self.0.rates.count_request(&Principal::Anonymous, address)?;
                return Err(error);
            }
        };
        self.0.rates.count_request(&principal, address)?;
        let rights = match &principal {
            Principal::User(user) => Some(self.rights(user.tenancy_id, rights_version).await?),
            Principal::Anonymous | Principal::LocalAdministrator => None,
        };
        Ok(Ctx::new(self.clone(), principal, rights, bounds, request))
    }

    async fn token_principal(&self, token: &str, request: &Request) -> Result<(Found, TokenBounds), Error> {
        let claims = self.verify_registry_token(token, request.now).await?;
        let bounds = claims.bounds();
        let Some(credential) = claims.credential else {
            return Ok(((Principal::Anonymous, 0), bounds));
        };
        let row = self.credential(&credential).await?;
        let row = row.ok_or(Error::LoginFailed(LoginFailure::RevokedCredential))?;
        Ok((row.into_active_principal(credential)?, bounds))
    }

    async fn refresh_principal(&self, token: &str) -> Result<Found, Error> {
        let invalid = || Error::LoginFailed(LoginFailure::InvalidToken);
        let credential = registry_tokens::refresh_credential(token).ok_or_else(invalid)?;
        let row = self.credential(&credential).await?;
        let row = row.ok_or(Error::LoginFailed(LoginFailure::RevokedCredential))?;
        // An API key has no hash, and no refresh token stands for one.
        registry_tokens::verify_refresh_token(token, row.hash.as_deref().ok_or_else(invalid)?)?;
        row.into_active_principal(credential)
    }

    /// A user by one of its credentials.
    pub(crate) async fn credential(&self, ocid: &str) -> Result<Option<CredentialRow>, Error> {
        Ok(self.store().opt(&USER_BY_CREDENTIAL, &[&ocid]).await?)
    }

    /// The principal that a log-in of the user would give, were it active, and whether it has an auth token
    /// to log in with.
    pub(crate) async fn principal_of(&self, tenancy: &Tenancy, user: &User) -> Result<(Found, bool), Error> {
        let args: Args<'_> = &[&tenancy.namespace, &user.domain, &user.name];
        let row: Option<CredentialRow> =
            self.store().all(&CREDENTIALS_BY_USERNAME, args).await?.into_iter().next();
        let row = row.ok_or_else(|| Error::NotFound { what: "user", name: user.name.clone() })?;
        let has_auth_token = row.credential.is_some();
        Ok((row.into_principal(String::new())?, has_auth_token))
    }

    async fn password_principal(&self, username: &str, password: &str) -> Result<Found, Error> {
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
        row.into_active_principal(credential)
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
