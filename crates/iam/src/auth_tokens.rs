//! Auth tokens: the passwords that registry clients log in with.

use wharfinger_audit::Subject;
use wharfinger_metastore::{operations, row, statements};
use wharfinger_types::{Permission, ResourceKind};

use crate::{Ctx, Error, Secret, Tenancy, secret, users};

/// How many tokens a user may have, as in Oracle Cloud.
const MAX_PER_USER: i64 = 2;

statements! {
    AUTH_TOKEN_INSERT =
        "INSERT INTO auth_token (ocid, user_id, description, hash, created_at) VALUES ($1, $2, $3, $4, $5)";
    AUTH_TOKEN_COUNT = "SELECT COUNT(*) AS n FROM auth_token WHERE user_id = $1";
    AUTH_TOKENS_BY_USER =
        "SELECT ocid, description, created_at FROM auth_token WHERE user_id = $1 ORDER BY created_at, ocid";
    AUTH_TOKEN_DELETE = "DELETE FROM auth_token WHERE user_id = $1 AND ocid = $2";
    AUTH_TOKEN_DELETE_BY_USER = "DELETE FROM auth_token WHERE user_id = $1";
}

row! {
    /// An auth token as it can be listed: without its secret.
    pub struct AuthToken {
        /// OCID.
        pub ocid: String,
        /// What its owner called it.
        pub description: String,
        /// Microseconds since the epoch.
        pub created_at: i64,
    }
}

operations! {
    CREATE_AUTH_TOKEN = create_auth_token { Durable, Serializable, audited };
    DELETE_AUTH_TOKEN = delete_auth_token { Durable, Serializable, audited };
}

/// Makes a token for a user. The secret is in this answer and nowhere else.
pub async fn create_auth_token(
    ctx: &Ctx,
    tenancy: &Tenancy,
    user: &str,
    description: &str,
) -> Result<(AuthToken, Secret), Error> {
    let user = users::find(ctx, tenancy, user, Permission::UserAuthTokenSet).await?;
    if description.chars().count() > 400 || description.contains('\0') {
        let value = description.chars().take(40).collect();
        return Err(Error::Invalid {
            field: "description",
            value,
            remedy: "use at most 400 characters and no NUL",
        });
    }
    let secret = secret::new_auth_token()?;
    let hash = secret::hash(&secret);
    let ocid = secret::new_ocid(ResourceKind::AuthToken)?.to_string();
    let token = AuthToken { ocid, description: description.to_owned(), created_at: ctx.now().0 };
    let origin = ctx.origin();
    let row = token.clone();
    ctx.store()
        .write(&CREATE_AUTH_TOKEN, move |tx| {
            if tx.one::<i64>(&AUTH_TOKEN_COUNT, &[&user.id])? >= MAX_PER_USER {
                let name = &user.name;
                return Err(Error::Conflict(format!(
                    "user `{name}` has {MAX_PER_USER} auth tokens, the most allowed: delete one first"
                )));
            }
            match tx.run(&AUTH_TOKEN_INSERT, &[&row.ocid, &user.id, &row.description, &hash, &row.created_at])
            {
                Err(wharfinger_metastore::Error::ForeignKey { .. }) => {
                    return Err(Error::NotFound { what: "user", name: user.name.clone() });
                }
                inserted => inserted?,
            };
            let subject = Subject::new(&row.ocid, &row.description).with("user", user.ocid.as_str());
            wharfinger_audit::record(tx, user.tenancy_id, &origin, &subject)?;
            Ok(())
        })
        .await?;
    Ok((token, Secret::new(secret)))
}

/// A user's tokens, oldest first.
pub async fn list_auth_tokens(ctx: &Ctx, tenancy: &Tenancy, user: &str) -> Result<Vec<AuthToken>, Error> {
    let user = users::find(ctx, tenancy, user, Permission::UserRead).await?;
    Ok(ctx.store().all(&AUTH_TOKENS_BY_USER, &[&user.id]).await?)
}

/// Deletes a token. Registry tokens made with it are refused from the next request on.
pub async fn delete_auth_token(ctx: &Ctx, tenancy: &Tenancy, user: &str, ocid: &str) -> Result<(), Error> {
    let user = users::find(ctx, tenancy, user, Permission::UserAuthTokenRemove).await?;
    let not_found =
        |ocid: &str| Error::NotFound { what: "auth token", name: ocid.chars().take(255).collect() };
    if ocid.contains('\0') {
        return Err(not_found(ocid));
    }
    let origin = ctx.origin();
    let ocid = ocid.to_owned();
    ctx.store()
        .write(&DELETE_AUTH_TOKEN, move |tx| {
            if tx.run(&AUTH_TOKEN_DELETE, &[&user.id, &ocid])? == 0 {
                return Err(not_found(&ocid));
            }
            let subject = Subject::new(&ocid, "").with("user", user.ocid.as_str());
            wharfinger_audit::record(tx, user.tenancy_id, &origin, &subject)?;
            Ok(())
        })
        .await
}
