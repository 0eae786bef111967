//! Auth tokens: the passwords that registry clients log in with.

use wharfinger_audit::Subject;
use wharfinger_metastore::{operations, row, statements};
use wharfinger_types::{Permission, ResourceKind};

use crate::capabilities::Capability;
use crate::{Ctx, Error, Secret, Tenancy, fields, secret, users};

/// How many tokens a user may have, as in Oracle Cloud.
const MAX_PER_USER: i64 = 2;

statements! {
    AUTH_TOKEN_INSERT =
        "INSERT INTO auth_token (ocid, user_id, description, hash, revision, created_at)
         VALUES ($1, $2, $3, $4, 1, $5)";
    AUTH_TOKEN_COUNT = "SELECT COUNT(*) AS n FROM auth_token WHERE user_id = $1";
    AUTH_TOKENS_BY_USER =
        "SELECT a.ocid, u.ocid AS user_ocid, a.description, a.revision, a.created_at
         FROM auth_token a JOIN user_account u ON u.id = a.user_id
         WHERE a.user_id = $1 ORDER BY a.created_at, a.ocid";
    AUTH_TOKEN_BY_OCID =
        "SELECT a.ocid, u.ocid AS user_ocid, a.description, a.revision, a.created_at
         FROM auth_token a JOIN user_account u ON u.id = a.user_id
         WHERE a.user_id = $1 AND a.ocid = $2";
    AUTH_TOKEN_SET = "UPDATE auth_token SET description = $1, revision = $2 WHERE ocid = $3";
    AUTH_TOKEN_DELETE = "DELETE FROM auth_token WHERE ocid = $1";
    AUTH_TOKEN_DELETE_BY_USER = "DELETE FROM auth_token WHERE user_id = $1";
}

row! {
    /// An auth token as it can be listed: without its secret.
    pub struct AuthToken {
        /// OCID.
        pub ocid: String,
        /// OCID of the user.
        pub user_ocid: String,
        /// What its owner called it.
        pub description: String,
        /// Counts changes; the entity tag.
        pub revision: i64,
        /// Microseconds since the epoch.
        pub created_at: i64,
    }
}

operations! {
    CREATE_AUTH_TOKEN = create_auth_token { Durable, Serializable, audited };
    UPDATE_AUTH_TOKEN = update_auth_token { Durable, Serializable, audited };
    DELETE_AUTH_TOKEN = delete_auth_token { Durable, Serializable, audited };
}

/// Makes a token for a user. The secret is in this answer and nowhere else: the same request under the same
/// retry token is refused.
pub async fn create_auth_token(
    ctx: &Ctx,
    tenancy: &Tenancy,
    user: &str,
    description: &str,
) -> Result<(AuthToken, Secret), Error> {
    let further = [Permission::UserAuthTokenSet];
    let user = users::find_owner(ctx, tenancy, user, Permission::UserUpdate, further).await?;
    fields::check_description(description)?;
    if !user.capabilities().has(Capability::AuthTokens) {
        let name = &user.name;
        return Err(Error::Conflict(format!(
            "user `{name}` may not use auth tokens: switch `canUseAuthTokens` on"
        )));
    }
    let secret = secret::new_auth_token()?;
    let hash = secret::hash(&secret);
    let token = AuthToken {
        ocid: secret::new_ocid(ResourceKind::AuthToken)?.to_string(),
        user_ocid: user.ocid.clone(),
        description: description.to_owned(),
        revision: 1,
        created_at: ctx.now().0,
    };
    let (origin, once) = (ctx.origin(), ctx.once());
    let row = token.clone();
    let created = ctx.store().write(&CREATE_AUTH_TOKEN, move |tx| {
        once.check(tx)?;
        if tx.one::<i64>(&AUTH_TOKEN_COUNT, &[&user.id])? >= MAX_PER_USER {
            let name = &user.name;
            return Err(Error::LimitExceeded(format!(
                "user `{name}` has {MAX_PER_USER} auth tokens, the most allowed: delete one first"
            )));
        }
        match tx.run(&AUTH_TOKEN_INSERT, &[&row.ocid, &user.id, &row.description, &hash, &row.created_at]) {
            Err(wharfinger_metastore::Error::ForeignKey { .. }) => {
                return Err(Error::NotFound { what: "user", name: user.name.clone() });
            }
            inserted => inserted?,
        };
        once.note(tx, &row.ocid)?;
        let subject = Subject::new(&row.ocid, &row.description).with("user", user.ocid.as_str());
        wharfinger_audit::record(tx, user.tenancy_id, &origin, &subject)?;
        Ok(())
    });
    match created.await {
        Err(Error::Repeated { made }) => Err(Error::RetryTokenInvalidated(format!(
            "auth token `{made}` was made under this opc-retry-token, and its secret is shown once: delete it and create another"
        ))),
        created => created.map(|()| (token, Secret::new(secret))),
    }
}

/// A user's tokens, oldest first.
pub async fn list_auth_tokens(ctx: &Ctx, tenancy: &Tenancy, user: &str) -> Result<Vec<AuthToken>, Error> {
    let user = users::find_owner(ctx, tenancy, user, Permission::UserRead, []).await?;
    Ok(ctx.store().all(&AUTH_TOKENS_BY_USER, &[&user.id]).await?)
}

fn not_found(ocid: &str) -> Error {
    Error::NotFound { what: "auth token", name: ocid.chars().take(255).collect() }
}

/// Changes what a token is called.
pub async fn update_auth_token(
    ctx: &Ctx,
    tenancy: &Tenancy,
    user: &str,
    ocid: &str,
    description: Option<&str>,
) -> Result<AuthToken, Error> {
    let further = [Permission::UserAuthTokenReset];
    let user = users::find_owner(ctx, tenancy, user, Permission::UserUpdate, further).await?;
    description.map_or(Ok(()), fields::check_description)?;
    let (origin, conditions) = (ctx.origin(), ctx.conditions().clone());
    let (ocid, description) = (ocid.replace('\0', ""), description.map(str::to_owned));
    ctx.store()
        .write(&UPDATE_AUTH_TOKEN, move |tx| {
            let current: Option<AuthToken> = tx.opt(&AUTH_TOKEN_BY_OCID, &[&user.id, &ocid])?;
            let current = current.ok_or_else(|| not_found(&ocid))?;
            conditions.check_revision(current.revision)?;
            let changed = AuthToken {
                description: description.clone().unwrap_or(current.description),
                revision: current.revision + 1,
                ..current
            };
            tx.run(&AUTH_TOKEN_SET, &[&changed.description, &changed.revision, &ocid])?;
            let subject = Subject::new(&ocid, &changed.description).with("user", user.ocid.as_str());
            wharfinger_audit::record(tx, user.tenancy_id, &origin, &subject)?;
            Ok(changed)
        })
        .await
}

/// Deletes a token. Registry tokens made with it are refused from the next request on.
pub async fn delete_auth_token(ctx: &Ctx, tenancy: &Tenancy, user: &str, ocid: &str) -> Result<(), Error> {
    let further = [Permission::UserAuthTokenRemove];
    let user = users::find_owner(ctx, tenancy, user, Permission::UserUpdate, further).await?;
    let (origin, conditions) = (ctx.origin(), ctx.conditions().clone());
    let ocid = ocid.replace('\0', "");
    ctx.store()
        .write(&DELETE_AUTH_TOKEN, move |tx| {
            let current: Option<AuthToken> = tx.opt(&AUTH_TOKEN_BY_OCID, &[&user.id, &ocid])?;
            let current = current.ok_or_else(|| not_found(&ocid))?;
            conditions.check_revision(current.revision)?;
            tx.run(&AUTH_TOKEN_DELETE, &[&ocid])?;
            let subject = Subject::new(&ocid, &current.description).with("user", user.ocid.as_str());
            wharfinger_audit::record(tx, user.tenancy_id, &origin, &subject)?;
            Ok(())
        })
        .await
}
