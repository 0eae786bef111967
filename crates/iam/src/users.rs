//! Users.

use wharfinger_audit::Subject;
use wharfinger_metastore::{operations, row, statements};
use wharfinger_types::{Page, Permission, ResourceKind};

use crate::{Ctx, Error, Protected, Target, Tenancy, auth_tokens, groups, secret};

/// The domain that every tenancy has.
pub const DEFAULT_DOMAIN: &str = "Default";
/// The group whose members may do all in their tenancy.
pub const ADMINISTRATORS: &str = "Administrators";
/// The name of the user that is made with a tenancy.
pub(crate) const ADMINISTRATOR: &str = "admin";

statements! {
    USER_BY_NAME =
        "SELECT u.id, u.ocid, u.tenancy_id, d.name AS domain, u.name, u.is_active, u.created_at
         FROM identity_domain d JOIN user_account u ON u.domain_id = d.id
         WHERE d.tenancy_id = $1 AND d.name = $2 AND u.name = $3";
    /// A page of users behind the domain and name given.
    USERS_AFTER =
        "SELECT u.id, u.ocid, u.tenancy_id, d.name AS domain, u.name, u.is_active, u.created_at
         FROM identity_domain d JOIN user_account u ON u.domain_id = d.id
         WHERE d.tenancy_id = $1 AND (d.name, u.name) > ($2, $3)
         ORDER BY d.name, u.name LIMIT $4";
    DOMAIN_BY_NAME = "SELECT id FROM identity_domain WHERE tenancy_id = $1 AND name = $2";
    USER_INSERT =
        "INSERT INTO user_account (ocid, tenancy_id, domain_id, name, is_active, created_at)
         VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (domain_id, name) DO NOTHING RETURNING id";
    USER_SET_ACTIVE = "UPDATE user_account SET is_active = $1 WHERE id = $2";
    USER_DELETE = "DELETE FROM user_account WHERE id = $1";
}

row! {
    /// A user.
    pub struct User {
        /// Internal id.
        pub id: i64,
        /// OCID.
        pub ocid: String,
        /// Internal id of the tenancy.
        pub tenancy_id: i64,
        /// Name of the identity domain.
        pub domain: String,
        /// Name in the domain.
        pub name: String,
        /// Whether the user may log in.
        pub is_active: bool,
        /// Microseconds since the epoch.
        pub created_at: i64,
    }
}

impl Protected for User {
    fn target(&self) -> Target {
        Target::tenancy(self.tenancy_id)
    }
}

operations! {
    CREATE_USER = create_user { Durable, Serializable, audited };
    UPDATE_USER = update_user { Durable, Serializable, audited };
    DELETE_USER = delete_user { Durable, Serializable, audited };
}

/// Splits `NAME` or `DOMAIN/NAME`, the written form of a user or group.
pub(crate) fn split_name(text: &str) -> (&str, &str) {
    text.split_once('/').unwrap_or((DEFAULT_DOMAIN, text))
}

/// Letters, digits and `- . _ + @`, up to 100: what Oracle Cloud takes as a user's name.
pub(crate) fn check_name(field: &'static str, name: &str) -> Result<(), Error> {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || "-._+@".contains(c);
    if name.is_empty() || name.len() > 100 || !name.chars().all(is_allowed) {
        let value = name.chars().take(120).collect();
        let remedy = "use 1 to 100 letters, digits, `-`, `.`, `_`, `+` or `@`";
        return Err(Error::Invalid { field, value, remedy });
    }
    Ok(())
}

/// The user of the given name, with the right asked for.
pub(crate) async fn find(
    ctx: &Ctx,
    tenancy: &Tenancy,
    user: &str,
    permission: Permission,
) -> Result<User, Error> {
    let (domain, name) = split_name(user);
    check_name("user", name)?;
    check_name("domain", domain)?;
    ctx.lookup(&USER_BY_NAME, &[&tenancy.id, &domain, &name], permission, tenancy.id, ("user", user)).await
}

/// Creates an active user without credentials.
pub async fn create_user(ctx: &Ctx, tenancy: &Tenancy, user: &str) -> Result<User, Error> {
    ctx.require(Permission::UserCreate, &Target::tenancy(tenancy.id))?;
    let (domain, name) = split_name(user);
    check_name("user", name)?;
    check_name("domain", domain)?;
    let (tenancy_id, domain, name) = (tenancy.id, domain.to_owned(), name.to_owned());
    let ocid = secret::new_ocid(ResourceKind::User)?.to_string();
    let origin = ctx.origin();
    ctx.store()
        .write(&CREATE_USER, move |tx| {
            let domain_id: Option<i64> = tx.opt(&DOMAIN_BY_NAME, &[&tenancy_id, &domain])?;
            let domain_id =
                domain_id.ok_or_else(|| Error::NotFound { what: "domain", name: domain.clone() })?;
            let id = tx.opt(&USER_INSERT, &[&ocid, &tenancy_id, &domain_id, &name, &true, &origin.at.0])?;
            let id: i64 = id.ok_or_else(|| Error::NameTaken { what: "user", name: name.clone() })?;
            wharfinger_audit::record(tx, tenancy_id, &origin, &Subject::new(&ocid, &name))?;
            Ok(User {
                id,
                ocid: ocid.clone(),
                tenancy_id,
                domain: domain.clone(),
                name: name.clone(),
                is_active: true,
                created_at: origin.at.0,
            })
        })
        .await
}

/// A page of the tenancy's users, by domain and name; `page.last` is a `DOMAIN/NAME`.
pub async fn list_users(ctx: &Ctx, tenancy: &Tenancy, page: &Page) -> Result<Vec<User>, Error> {
    ctx.require(Permission::UserInspect, &Target::tenancy(tenancy.id))?;
    let (domain, name) = page.last.as_deref().map_or(("", ""), split_name);
    let limit = i64::try_from(page.limit).unwrap_or(i64::MAX);
    Ok(ctx.store().all(&USERS_AFTER, &[&tenancy.id, &domain, &name, &limit]).await?)
}

/// Switches a user on or off. An inactive user is refused from its next request on.
pub async fn update_user(ctx: &Ctx, tenancy: &Tenancy, user: &str, is_active: bool) -> Result<User, Error> {
    let user = find(ctx, tenancy, user, Permission::UserUpdate).await?;
    let origin = ctx.origin();
    ctx.store()
        .write(&UPDATE_USER, move |tx| {
            if tx.run(&USER_SET_ACTIVE, &[&is_active, &user.id])? == 0 {
                return Err(Error::NotFound { what: "user", name: user.name.clone() });
            }
            let subject = Subject::new(&user.ocid, &user.name).with("isActive", is_active);
            wharfinger_audit::record(tx, user.tenancy_id, &origin, &subject)?;
            Ok(User { is_active, ..user.clone() })
        })
        .await
}

/// Deletes a user with its memberships and credentials.
pub async fn delete_user(ctx: &Ctx, tenancy: &Tenancy, user: &str) -> Result<User, Error> {
    let user = find(ctx, tenancy, user, Permission::UserDelete).await?;
    let origin = ctx.origin();
    ctx.store()
        .write(&DELETE_USER, move |tx| {
            tx.run(&groups::MEMBERSHIP_DELETE_BY_USER, &[&user.id])?;
            tx.run(&auth_tokens::AUTH_TOKEN_DELETE_BY_USER, &[&user.id])?;
            if tx.run(&USER_DELETE, &[&user.id])? == 0 {
                return Err(Error::NotFound { what: "user", name: user.name.clone() });
            }
            wharfinger_audit::record(tx, user.tenancy_id, &origin, &Subject::new(&user.ocid, &user.name))?;
            Ok(user.clone())
        })
        .await
}
