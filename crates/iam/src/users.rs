//! Users.

use wharfinger_audit::Subject;
use wharfinger_metastore::{operations, row, statements};
use wharfinger_types::{Permission, ResourceKind};

use crate::capabilities::Capabilities;
use crate::fields;
use crate::listing::{self, LifecycleState, Listed, Listing, Sorted};
use crate::tags::{self, NO_TAGS, TagChanges};
use crate::{
    Ctx, Error, Principal, Protected, Target, Tenancy, api_keys, auth_tokens, conditions, memberships, secret,
};

pub use crate::user_changes::{UserChanges, update_user, update_user_capabilities, update_user_state};

/// The domain that every tenancy has.
pub const DEFAULT_DOMAIN: &str = "Default";
/// The group whose members may do all in their tenancy.
pub const ADMINISTRATORS: &str = "Administrators";
/// The name of the user that is made with a tenancy.
pub(crate) const ADMINISTRATOR: &str = "admin";

statements! {
    USER_BY_NAME =
        "SELECT u.id, u.ocid, u.tenancy_id, t.ocid AS compartment, d.name AS domain, u.name, u.description, u.email,
                u.is_active, u.capabilities, u.tags, u.revision, u.created_at
         FROM tenancy t JOIN identity_domain d ON d.tenancy_id = t.id JOIN user_account u ON u.domain_id = d.id
         WHERE t.id = $1 AND d.name = $2 AND u.name = $3";
    USER_BY_OCID =
        "SELECT u.id, u.ocid, u.tenancy_id, t.ocid AS compartment, d.name AS domain, u.name, u.description, u.email,
                u.is_active, u.capabilities, u.tags, u.revision, u.created_at
         FROM user_account u JOIN identity_domain d ON d.id = u.domain_id JOIN tenancy t ON t.id = u.tenancy_id
         WHERE u.tenancy_id = $1 AND u.ocid = $2";
    USERS_NAMED =
        "SELECT u.id, u.ocid, u.tenancy_id, t.ocid AS compartment, d.name AS domain, u.name, u.description, u.email,
                u.is_active, u.capabilities, u.tags, u.revision, u.created_at
         FROM user_account u JOIN identity_domain d ON d.id = u.domain_id JOIN tenancy t ON t.id = u.tenancy_id
         WHERE u.tenancy_id = $1 AND u.name = $2 ORDER BY u.ocid";
    USERS_BY_NAME =
        "SELECT u.id, u.ocid, u.tenancy_id, t.ocid AS compartment, d.name AS domain, u.name, u.description, u.email,
                u.is_active, u.capabilities, u.tags, u.revision, u.created_at
         FROM user_account u JOIN identity_domain d ON d.id = u.domain_id JOIN tenancy t ON t.id = u.tenancy_id
         WHERE u.tenancy_id = $1 AND (u.name, u.ocid) > ($2, $3) ORDER BY u.name, u.ocid LIMIT $4";
    USERS_BY_NAME_DESCENDING =
        "SELECT u.id, u.ocid, u.tenancy_id, t.ocid AS compartment, d.name AS domain, u.name, u.description, u.email,
                u.is_active, u.capabilities, u.tags, u.revision, u.created_at
         FROM user_account u JOIN identity_domain d ON d.id = u.domain_id JOIN tenancy t ON t.id = u.tenancy_id
         WHERE u.tenancy_id = $1 AND (u.name, u.ocid) < ($2, $3) ORDER BY u.name DESC, u.ocid DESC LIMIT $4";
    USERS_BY_AGE =
        "SELECT u.id, u.ocid, u.tenancy_id, t.ocid AS compartment, d.name AS domain, u.name, u.description, u.email,
                u.is_active, u.capabilities, u.tags, u.revision, u.created_at
         FROM user_account u JOIN identity_domain d ON d.id = u.domain_id JOIN tenancy t ON t.id = u.tenancy_id
         WHERE u.tenancy_id = $1 AND (u.created_at, u.ocid) > ($2, $3) ORDER BY u.created_at, u.ocid LIMIT $4";
    USERS_BY_AGE_DESCENDING =
        "SELECT u.id, u.ocid, u.tenancy_id, t.ocid AS compartment, d.name AS domain, u.name, u.description, u.email,
                u.is_active, u.capabilities, u.tags, u.revision, u.created_at
         FROM user_account u JOIN identity_domain d ON d.id = u.domain_id JOIN tenancy t ON t.id = u.tenancy_id
         WHERE u.tenancy_id = $1 AND (u.created_at, u.ocid) < ($2, $3)
         ORDER BY u.created_at DESC, u.ocid DESC LIMIT $4";
    DOMAIN_BY_NAME = "SELECT id FROM identity_domain WHERE tenancy_id = $1 AND name = $2";
    USER_INSERT =
        "INSERT INTO user_account (ocid, tenancy_id, domain_id, name, description, email, is_active, capabilities,
                                   tags, revision, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, TRUE, $7, $8, 1, $9)
         ON CONFLICT (domain_id, name) DO NOTHING RETURNING id";
    USER_DELETE = "DELETE FROM user_account WHERE id = $1";
}

const SORTED: Sorted = Sorted {
    name_ascending: &USERS_BY_NAME,
    name_descending: &USERS_BY_NAME_DESCENDING,
    age_ascending: &USERS_BY_AGE,
    age_descending: &USERS_BY_AGE_DESCENDING,
    named: &USERS_NAMED,
};

row! {
    /// A user.
    pub struct User {
        /// Internal id.
        pub id: i64,
        /// OCID.
        pub ocid: String,
        /// Internal id of the tenancy.
        pub tenancy_id: i64,
        /// OCID of the tenancy, in whose root compartment users are.
        pub compartment: String,
        /// Name of the identity domain.
        pub domain: String,
        /// Name in the domain.
        pub name: String,
        /// What others wrote about it.
        pub description: String,
        /// Where mail would go.
        pub email: Option<String>,
        /// Whether the user may log in.
        pub is_active: bool,
        pub(crate) capabilities: i64,
        /// See [`tags::Tags::from_column`].
        pub tags: String,
        /// Counts changes; the entity tag.
        pub revision: i64,
        /// Microseconds since the epoch.
        pub created_at: i64,
    }
}

impl User {
    /// What the user may use.
    pub fn capabilities(&self) -> Capabilities {
        Capabilities(self.capabilities)
    }

    /// Active, or inactive if blocked.
    pub fn state(&self) -> LifecycleState {
        if self.is_active { LifecycleState::Active } else { LifecycleState::Inactive }
    }

    pub(crate) fn gone(&self) -> Error {
        Error::NotFound { what: "user", name: self.name.clone() }
    }
}

impl Protected for User {
    fn target(&self) -> Target {
        let name = ("target.user.name", self.name.clone());
        Target {
            tags: tags::conditions(&self.tags),
            variables: vec![name, ("target.user.id", self.ocid.clone())],
            ..Target::tenancy(self.tenancy_id)
        }
    }
}

listing::listable!(User, User::state);

operations! {
    CREATE_USER = create_user { Durable, Serializable, audited };
    DELETE_USER = delete_user { Durable, Serializable, audited };
}

/// What a new user is made of.
#[derive(Debug, Default)]
pub struct NewUser<'a> {
    /// `NAME` or `DOMAIN/NAME`.
    pub name: &'a str,
    /// May be empty.
    pub description: &'a str,
    /// Where mail would go.
    pub email: Option<&'a str>,
    /// Its tags.
    pub tags: TagChanges,
}

impl<'a, S: AsRef<str> + ?Sized> From<&'a S> for NewUser<'a> {
    fn from(name: &'a S) -> NewUser<'a> {
        NewUser { name: name.as_ref(), ..NewUser::default() }
    }
}

/// Splits `NAME` or `DOMAIN/NAME`, the written form of a user or group.
pub(crate) fn split_name(text: &str) -> (&str, &str) {
    text.split_once('/').unwrap_or((DEFAULT_DOMAIN, text))
}

/// Whether a user or group is named by its OCID. No name begins so.
pub(crate) fn is_ocid(text: &str) -> bool {
    text.starts_with("ocid1.")
}

/// Letters, digits and `- . _ + @`, up to 100: what Oracle Cloud takes as a user's name.
pub(crate) fn check_name(field: &'static str, name: &str) -> Result<(), Error> {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || "-._+@".contains(c);
    if name.is_empty() || name.len() > 100 || !name.chars().all(is_allowed) || is_ocid(name) {
        let remedy = "use 1 to 100 letters, digits, `-`, `.`, `_`, `+` or `@`, and not `ocid1.` first";
        return Err(fields::invalid(field, name, remedy));
    }
    Ok(())
}

/// The user of the given name or OCID, if there is one, for a check that is not of the user alone.
pub(crate) async fn unchecked(ctx: &Ctx, tenancy: &Tenancy, user: &str) -> Result<Option<User>, Error> {
    if is_ocid(user) {
        let ocid = user.replace('\0', "");
        return Ok(ctx.store().opt(&USER_BY_OCID, &[&tenancy.id, &ocid]).await?);
    }
    let (domain, name) = split_name(user);
    check_name("user", name)?;
    check_name("domain", domain)?;
    Ok(ctx.store().opt(&USER_BY_NAME, &[&tenancy.id, &domain, &name]).await?)
}

/// The user of the given name or OCID, with the right asked for.
pub(crate) async fn find(
    ctx: &Ctx,
    tenancy: &Tenancy,
    user: &str,
    permission: Permission,
) -> Result<User, Error> {
    let found = unchecked(ctx, tenancy, user).await?;
    ctx.checked(found, permission, &Target::tenancy(tenancy.id), ("user", user), User::target)
}

/// The user whose credentials are to be handled: oneself, or one on whom the principal has all the rights.
pub(crate) async fn find_owner<const N: usize>(
    ctx: &Ctx,
    tenancy: &Tenancy,
    user: &str,
    permission: Permission,
    further: [Permission; N],
) -> Result<User, Error> {
    if let Principal::User(own) = ctx.principal()
        && own.ocid == user
        && let Some(user) = ctx.store().opt(&USER_BY_OCID, &[&own.tenancy_id, &user]).await?
    {
        return Ok(user);
    }
    let user = find(ctx, tenancy, user, permission).await?;
    for permission in further {
        ctx.require(permission, &user.target())?;
    }
    Ok(user)
}

/// Creates an active user without credentials.
pub async fn create_user<'a>(
    ctx: &Ctx,
    tenancy: &Tenancy,
    user: impl Into<NewUser<'a>>,
) -> Result<User, Error> {
    let user = user.into();
    ctx.require(Permission::UserCreate, &Target::tenancy(tenancy.id))?;
    let (domain, name) = split_name(user.name);
    check_name("user", name)?;
    check_name("domain", domain)?;
    fields::check_description(user.description)?;
    user.email.map_or(Ok(()), fields::check_email)?;
    let tags = user.tags.check(ctx, tenancy.id, NO_TAGS).await?;
    let row = User {
        id: 0,
        ocid: secret::new_ocid(ResourceKind::User)?.to_string(),
        tenancy_id: tenancy.id,
        compartment: tenancy.ocid.clone(),
        domain: domain.to_owned(),
        name: name.to_owned(),
        description: user.description.to_owned(),
        email: user.email.map(str::to_owned),
        is_active: true,
        capabilities: Capabilities::ALL.0,
        tags: NO_TAGS.to_owned(),
        revision: 1,
        created_at: ctx.now().0,
    };
    let (origin, once) = (ctx.origin(), ctx.once());
    let created = ctx.store().write(&CREATE_USER, move |tx| {
        once.check(tx)?;
        let domain_id: Option<i64> = tx.opt(&DOMAIN_BY_NAME, &[&row.tenancy_id, &row.domain])?;
        let domain_id =
            domain_id.ok_or_else(|| Error::NotFound { what: "domain", name: row.domain.clone() })?;
        let tags = tags.put(tx, NO_TAGS)?;
        let id: Option<i64> = tx.opt(
            &USER_INSERT,
            &[
                &row.ocid,
                &row.tenancy_id,
                &domain_id,
                &row.name,
                &row.description,
                &row.email,
                &row.capabilities,
                &tags,
                &row.created_at,
            ],
        )?;
        let id = id.ok_or_else(|| Error::NameTaken { what: "user", name: row.name.clone() })?;
        once.note(tx, &row.ocid)?;
        let subject = Subject::new(&row.ocid, &row.name).with("tags", tags.as_str());
        wharfinger_audit::record(tx, row.tenancy_id, &origin, &subject)?;
        Ok(User { id, tags, ..row.clone() })
    });
    match created.await {
        Err(Error::Repeated { made }) => {
            find(ctx, tenancy, &made, Permission::UserCreate).await.map_err(conditions::gone_since)
        }
        created => created,
    }
}

/// A page of the tenancy's users.
pub async fn list_users(ctx: &Ctx, tenancy: &Tenancy, listing: &Listing) -> Result<Listed<User>, Error> {
    ctx.require(Permission::UserInspect, &Target::tenancy(tenancy.id))?;
    listing::list(ctx, &SORTED, tenancy.id, listing).await
}

/// A user.
pub async fn get_user(ctx: &Ctx, tenancy: &Tenancy, user: &str) -> Result<User, Error> {
    find(ctx, tenancy, user, Permission::UserInspect).await
}

/// Deletes a user with its memberships and credentials, but for the last administrator.
pub async fn delete_user(ctx: &Ctx, tenancy: &Tenancy, user: &str) -> Result<User, Error> {
    let user = find(ctx, tenancy, user, Permission::UserDelete).await?;
    let (origin, conditions) = (ctx.origin(), ctx.conditions().clone());
    ctx.store()
        .write(&DELETE_USER, move |tx| {
            let current: Option<User> = tx.opt(&USER_BY_OCID, &[&user.tenancy_id, &user.ocid])?;
            conditions.check_revision(current.ok_or_else(|| user.gone())?.revision)?;
            memberships::keep_an_administrator(tx, &user)?;
            tx.run(&memberships::MEMBERSHIP_DELETE_BY_USER, &[&user.id])?;
            tx.run(&auth_tokens::AUTH_TOKEN_DELETE_BY_USER, &[&user.id])?;
            tx.run(&api_keys::API_KEY_DELETE_BY_USER, &[&user.id])?;
            tx.run(&USER_DELETE, &[&user.id])?;
            wharfinger_audit::record(tx, user.tenancy_id, &origin, &Subject::new(&user.ocid, &user.name))?;
            Ok(user.clone())
        })
        .await
}
