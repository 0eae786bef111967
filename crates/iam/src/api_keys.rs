//! API signing keys: the public halves of the keys that users sign requests with.

use wharfinger_audit::Subject;
use wharfinger_httpsig::{Error as KeyError, PublicKey};
use wharfinger_metastore::{operations, row, statements};
use wharfinger_types::{Permission, ResourceKind};

use crate::capabilities::Capability;
use crate::{Ctx, Error, Tenancy, conditions, fields, secret, users};

/// How many keys a user may have, as in Oracle Cloud.
const MAX_PER_USER: i64 = 3;
/// Four times what the longest key takes.
const MAX_PEM_BYTES: usize = 8 << 10;

statements! {
    API_KEY_INSERT =
        "INSERT INTO api_key (ocid, user_id, fingerprint, pem, created_at) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (user_id, fingerprint) DO NOTHING";
    API_KEY_COUNT = "SELECT COUNT(*) AS n FROM api_key WHERE user_id = $1";
    API_KEYS_BY_USER =
        "SELECT k.ocid, t.ocid AS tenancy_ocid, u.ocid AS user_ocid, k.fingerprint, k.pem, k.created_at
         FROM api_key k JOIN user_account u ON u.id = k.user_id JOIN tenancy t ON t.id = u.tenancy_id
         WHERE k.user_id = $1 ORDER BY k.created_at, k.ocid";
    API_KEY_DELETE = "DELETE FROM api_key WHERE user_id = $1 AND fingerprint = $2 RETURNING ocid";
    API_KEY_DELETE_BY_USER = "DELETE FROM api_key WHERE user_id = $1";
}

row! {
    /// An API signing key.
    pub struct ApiKey {
        /// OCID, which names it as a credential.
        pub ocid: String,
        /// OCID of the user's tenancy.
        pub tenancy_ocid: String,
        /// OCID of the user.
        pub user_ocid: String,
        /// MD5 of the key, as users name it.
        pub fingerprint: String,
        /// The key as a `PUBLIC KEY` block.
        pub pem: String,
        /// Microseconds since the epoch.
        pub created_at: i64,
    }
}

operations! {
    UPLOAD_API_KEY = upload_api_key { Durable, Serializable, audited };
    DELETE_API_KEY = delete_api_key { Durable, Serializable, audited };
}

/// Adds a public key to a user: the `PUBLIC KEY` block of a text, RSA of 2048 bits or more.
pub async fn upload_api_key(ctx: &Ctx, tenancy: &Tenancy, user: &str, pem: &str) -> Result<ApiKey, Error> {
    let further = [Permission::UserApiKeyAdd];
    let user = users::find_owner(ctx, tenancy, user, Permission::UserUpdate, further).await?;
    let public_key = check_key(pem)?;
    if !user.capabilities().has(Capability::ApiKeys) {
        let name = &user.name;
        return Err(Error::Conflict(format!(
            "user `{name}` may not use API keys: switch `canUseApiKeys` on"
        )));
    }
    let key = ApiKey {
        ocid: secret::new_ocid(ResourceKind::ApiKey)?.to_string(),
        tenancy_ocid: user.compartment.clone(),
        user_ocid: user.ocid.clone(),
        fingerprint: public_key.fingerprint().to_string(),
        pem: public_key.to_pem().map_err(|error| refuse(&error))?,
        created_at: ctx.now().0,
    };
    let (origin, once) = (ctx.origin(), ctx.once());
    let (owner, row) = (user.clone(), key.clone());
    let uploaded = ctx.store().write(&UPLOAD_API_KEY, move |tx| {
        once.check(tx)?;
        if tx.one::<i64>(&API_KEY_COUNT, &[&owner.id])? >= MAX_PER_USER {
            let name = &owner.name;
            return Err(Error::LimitExceeded(format!(
                "user `{name}` has {MAX_PER_USER} API keys, the most allowed: delete one first"
            )));
        }
        let args: wharfinger_metastore::Args<'_> =
            &[&row.ocid, &owner.id, &row.fingerprint, &row.pem, &row.created_at];
        let inserted = match tx.run(&API_KEY_INSERT, args) {
            Err(wharfinger_metastore::Error::ForeignKey { .. }) => {
                return Err(Error::NotFound { what: "user", name: owner.name.clone() });
            }
            inserted => inserted?,
        };
        if inserted == 0 {
            return Err(Error::NameTaken { what: "API key", name: row.fingerprint.clone() });
        }
        once.note(tx, &row.ocid)?;
        let subject = Subject::new(&row.ocid, &row.fingerprint).with("user", owner.ocid.as_str());
        wharfinger_audit::record(tx, owner.tenancy_id, &origin, &subject)?;
        Ok(row.clone())
    });
    match uploaded.await {
        Err(Error::Repeated { made }) => {
            let keys: Vec<ApiKey> = ctx.store().all(&API_KEYS_BY_USER, &[&user.id]).await?;
            let key = keys.into_iter().find(|key| key.ocid == made);
            key.ok_or_else(|| conditions::gone_since(not_found(&made)))
        }
        uploaded => uploaded,
    }
}

pub(crate) fn check_key(pem: &str) -> Result<PublicKey, Error> {
    if pem.len() > MAX_PEM_BYTES {
        return Err(fields::invalid("key", &pem.len().to_string(), "use at most 8192 bytes"));
    }
    PublicKey::from_pem(pem).map_err(|error| refuse(&error))
}

/// Without the text itself, which could be a private key.
fn refuse(error: &KeyError) -> Error {
    let remedy = "use the PEM of an RSA public key of 2048 to 8192 bits (`BEGIN PUBLIC KEY`)";
    fields::invalid("key", &error.to_string(), remedy)
}

fn not_found(name: &str) -> Error {
    Error::NotFound { what: "API key", name: name.chars().take(255).collect() }
}

/// A user's keys, oldest first.
pub async fn list_api_keys(ctx: &Ctx, tenancy: &Tenancy, user: &str) -> Result<Vec<ApiKey>, Error> {
    let user = users::find_owner(ctx, tenancy, user, Permission::UserRead, []).await?;
    Ok(ctx.store().all(&API_KEYS_BY_USER, &[&user.id]).await?)
}

/// Deletes a key. What it signs, and registry tokens made with it, are refused from the next request on.
pub async fn delete_api_key(
    ctx: &Ctx,
    tenancy: &Tenancy,
    user: &str,
    fingerprint: &str,
) -> Result<(), Error> {
    let further = [Permission::UserApiKeyRemove];
    let user = users::find_owner(ctx, tenancy, user, Permission::UserUpdate, further).await?;
    // Keys never change, so they have one revision.
    ctx.conditions().check_revision(1)?;
    let origin = ctx.origin();
    let fingerprint = fingerprint.replace('\0', "");
    ctx.store()
        .write(&DELETE_API_KEY, move |tx| {
            let ocid: Option<String> = tx.opt(&API_KEY_DELETE, &[&user.id, &fingerprint])?;
            let ocid = ocid.ok_or_else(|| not_found(&fingerprint))?;
            let subject = Subject::new(ocid, &fingerprint).with("user", user.ocid.as_str());
            wharfinger_audit::record(tx, user.tenancy_id, &origin, &subject)?;
            Ok(())
        })
        .await
}
