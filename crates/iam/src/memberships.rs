//! Who is in which group.

use wharfinger_audit::Subject;
use wharfinger_metastore::{Tx, operations, row, statements};
use wharfinger_types::{Permission, ResourceKind};

use crate::groups::{self, Group};
use crate::listing::{self, Listed};
use crate::users::{self, User};
use crate::{Ctx, Error, Protected, Target, Tenancy, conditions, secret};

statements! {
    MEMBERSHIP_BY_OCID =
        "SELECT m.ocid, g.tenancy_id, t.ocid AS compartment, g.ocid AS group_ocid, g.name AS group_name,
                u.ocid AS user_ocid, u.name AS user_name, m.created_at
         FROM membership m JOIN user_group g ON g.id = m.group_id JOIN user_account u ON u.id = m.user_id
         JOIN tenancy t ON t.id = g.tenancy_id
         WHERE t.id = $1 AND m.ocid = $2";
    MEMBERSHIP_OF =
        "SELECT m.ocid, g.tenancy_id, t.ocid AS compartment, g.ocid AS group_ocid, g.name AS group_name,
                u.ocid AS user_ocid, u.name AS user_name, m.created_at
         FROM membership m JOIN user_group g ON g.id = m.group_id JOIN user_account u ON u.id = m.user_id
         JOIN tenancy t ON t.id = g.tenancy_id
         WHERE m.user_id = $1 AND m.group_id = $2";
    MEMBERSHIPS_OF_USER =
        "SELECT m.ocid, g.tenancy_id, t.ocid AS compartment, g.ocid AS group_ocid, g.name AS group_name,
                u.ocid AS user_ocid, u.name AS user_name, m.created_at
         FROM membership m JOIN user_group g ON g.id = m.group_id JOIN user_account u ON u.id = m.user_id
         JOIN tenancy t ON t.id = g.tenancy_id
         WHERE m.user_id = $1 AND m.ocid > $2 ORDER BY m.ocid LIMIT $3";
    MEMBERSHIPS_OF_GROUP =
        "SELECT m.ocid, g.tenancy_id, t.ocid AS compartment, g.ocid AS group_ocid, g.name AS group_name,
                u.ocid AS user_ocid, u.name AS user_name, m.created_at
         FROM membership m JOIN user_group g ON g.id = m.group_id JOIN user_account u ON u.id = m.user_id
         JOIN tenancy t ON t.id = g.tenancy_id
         WHERE m.group_id = $1 AND m.ocid > $2 ORDER BY m.ocid LIMIT $3";
    MEMBERSHIP_INSERT =
        "INSERT INTO membership (ocid, group_id, user_id, created_at) VALUES ($1, $2, $3, $4)
         ON CONFLICT (user_id, group_id) DO NOTHING";
    MEMBERSHIP_DELETE = "DELETE FROM membership WHERE ocid = $1";
    MEMBERSHIP_DELETE_BY_USER = "DELETE FROM membership WHERE user_id = $1";
    /// How many administrators the tenancy has, if the user is one.
    ADMINISTRATORS_BESIDE =
        "SELECT COUNT(*) AS n
         FROM membership own JOIN user_group g ON g.id = own.group_id JOIN membership m ON m.group_id = g.id
         WHERE own.user_id = $1 AND g.is_administrators";
}

row! {
    /// One user's place in one group.
    pub struct Membership {
        /// OCID.
        pub ocid: String,
        /// Internal id of the tenancy.
        pub tenancy_id: i64,
        /// OCID of the tenancy.
        pub compartment: String,
        /// OCID of the group.
        pub group_ocid: String,
        /// Name of the group.
        pub group_name: String,
        /// OCID of the user.
        pub user_ocid: String,
        /// Name of the user.
        pub user_name: String,
        /// Microseconds since the epoch.
        pub created_at: i64,
    }
}

impl Protected for Membership {
    fn target(&self) -> Target {
        let variables = vec![
            ("target.group.name", self.group_name.clone()),
            ("target.group.id", self.group_ocid.clone()),
            ("target.user.name", self.user_name.clone()),
            ("target.user.id", self.user_ocid.clone()),
        ];
        Target { variables, ..Target::tenancy(self.tenancy_id) }
    }
}

operations! {
    ADD_USER_TO_GROUP = add_user_to_group { Durable, Serializable, audited };
    REMOVE_USER_FROM_GROUP = remove_user_from_group { Durable, Serializable, audited };
}

/// Adds a user to a group; one who is in it already stays in it.
pub async fn add_user_to_group(
    ctx: &Ctx,
    tenancy: &Tenancy,
    group: &str,
    user: &str,
) -> Result<Membership, Error> {
    let (group, user) = find_both(ctx, tenancy, group, user, Rights::Change).await?;
    let ocid = secret::new_ocid(ResourceKind::GroupMembership)?.to_string();
    let (origin, once) = (ctx.origin(), ctx.once());
    let added = ctx.store().write(&ADD_USER_TO_GROUP, move |tx| {
        once.check(tx)?;
        match tx.run(&MEMBERSHIP_INSERT, &[&ocid, &group.id, &user.id, &origin.at.0]) {
            // Group or user was deleted since it was looked up.
            Err(wharfinger_metastore::Error::ForeignKey { .. }) => {
                return Err(Error::NotFound {
                    what: "group or user",
                    name: format!("{}, {}", group.name, user.name),
                });
            }
            inserted => inserted?,
        };
        let membership: Membership = tx.one(&MEMBERSHIP_OF, &[&user.id, &group.id])?;
        once.note(tx, &membership.ocid)?;
        let subject = Subject::new(&group.ocid, &group.name).with("user", user.ocid.as_str());
        wharfinger_audit::record(tx, group.tenancy_id, &origin, &subject)?;
        Ok(membership)
    });
    match added.await {
        Err(Error::Repeated { made }) => {
            find(ctx, tenancy, &made, Rights::Change).await.map_err(conditions::gone_since)
        }
        added => added,
    }
}

/// Removes a user from a group, from the user's next request on. The last administrator stays.
pub async fn remove_user_from_group(
    ctx: &Ctx,
    tenancy: &Tenancy,
    group: &str,
    user: &str,
) -> Result<Membership, Error> {
    let (group, user) = find_both(ctx, tenancy, group, user, Rights::Change).await?;
    let membership: Option<Membership> = ctx.store().opt(&MEMBERSHIP_OF, &[&user.id, &group.id]).await?;
    let membership = membership.ok_or_else(|| Error::NotFound {
        what: "member",
        name: format!("{} of {}", user.name, group.name),
    })?;
    remove(ctx, membership, group, user).await
}

/// As [`remove_user_from_group`], by the membership's OCID.
pub async fn remove_membership(ctx: &Ctx, tenancy: &Tenancy, ocid: &str) -> Result<Membership, Error> {
    let membership = find(ctx, tenancy, ocid, Rights::Change).await?;
    // They never change, so they have one revision.
    ctx.conditions().check_revision(1)?;
    let (group, user) =
        find_both(ctx, tenancy, &membership.group_ocid, &membership.user_ocid, Rights::Change).await?;
    remove(ctx, membership, group, user).await
}

async fn remove(ctx: &Ctx, membership: Membership, group: Group, user: User) -> Result<Membership, Error> {
    let origin = ctx.origin();
    ctx.store()
        .write(&REMOVE_USER_FROM_GROUP, move |tx| {
            if group.is_administrators {
                keep_an_administrator(tx, &user)?;
            }
            if tx.run(&MEMBERSHIP_DELETE, &[&membership.ocid])? == 0 {
                return Err(Error::NotFound { what: "membership", name: membership.ocid.clone() });
            }
            let subject = Subject::new(&group.ocid, &group.name).with("user", user.ocid.as_str());
            wharfinger_audit::record(tx, group.tenancy_id, &origin, &subject)?;
            Ok(membership.clone())
        })
        .await
}

/// Refuses if the user is the tenancy's last administrator.
pub(crate) fn keep_an_administrator(tx: &mut Tx, user: &User) -> Result<(), Error> {
    if tx.one::<i64>(&ADMINISTRATORS_BESIDE, &[&user.id])? == 1 {
        let name = &user.name;
        return Err(Error::Conflict(format!(
            "user `{name}` is the tenancy's last administrator: add another to the group first"
        )));
    }
    Ok(())
}

/// A page of the memberships of a user, of a group, or the one of a user in a group.
pub async fn list_memberships(
    ctx: &Ctx,
    tenancy: &Tenancy,
    user: Option<&str>,
    group: Option<&str>,
    page: (usize, Option<String>),
) -> Result<Listed<Membership>, Error> {
    let (limit, after) = (page.0, page.1.unwrap_or_default());
    listing::check_page(&after)?;
    let one_more = i64::try_from(limit.saturating_add(1)).unwrap_or(i64::MAX);
    let mut rows: Vec<Membership> = match (user, group) {
        (Some(user), Some(group)) => {
            let (group, user) = find_both(ctx, tenancy, group, user, Rights::Inspect).await?;
            ctx.store().all(&MEMBERSHIP_OF, &[&user.id, &group.id]).await?
        }
        (Some(user), None) => {
            ctx.require(Permission::GroupInspect, &Target::tenancy(tenancy.id))?;
            let user = users::find(ctx, tenancy, user, Permission::UserInspect).await?;
            ctx.store().all(&MEMBERSHIPS_OF_USER, &[&user.id, &after, &one_more]).await?
        }
        (None, Some(group)) => {
            ctx.require(Permission::UserInspect, &Target::tenancy(tenancy.id))?;
            let group = groups::find(ctx, tenancy, group, Permission::GroupInspect).await?;
            ctx.store().all(&MEMBERSHIPS_OF_GROUP, &[&group.id, &after, &one_more]).await?
        }
        (None, None) => return Err(Error::Missing { field: "userId or groupId" }),
    };
    let next_page = listing::end_page(&mut rows, limit, |row| row.ocid.clone());
    Ok(Listed { rows, next_page })
}

/// A membership.
pub async fn get_membership(ctx: &Ctx, tenancy: &Tenancy, ocid: &str) -> Result<Membership, Error> {
    find(ctx, tenancy, ocid, Rights::Inspect).await
}

/// The rights on group and user that an operation on memberships needs.
#[derive(Clone, Copy)]
enum Rights {
    Inspect,
    Change,
}

impl Rights {
    fn on_group_and_user(self) -> (Permission, Permission) {
        match self {
            Rights::Inspect => (Permission::GroupInspect, Permission::UserInspect),
            Rights::Change => (Permission::GroupUpdate, Permission::UserUpdate),
        }
    }
}

async fn find(ctx: &Ctx, tenancy: &Tenancy, ocid: &str, rights: Rights) -> Result<Membership, Error> {
    let (on_group, on_user) = rights.on_group_and_user();
    let ocid = ocid.replace('\0', "");
    let args: &[&dyn wharfinger_metastore::Param] = &[&tenancy.id, &ocid];
    let what = ("membership", ocid.as_str());
    let membership: Membership = ctx.lookup(&MEMBERSHIP_BY_OCID, args, on_group, tenancy.id, what).await?;
    ctx.require(on_user, &membership.target())?;
    Ok(membership)
}

/// Group and user, with the rights on both. Conditions see both in either check, so the user is read first; of
/// what is wrong with the two, the group's is told first.
async fn find_both(
    ctx: &Ctx,
    tenancy: &Tenancy,
    group: &str,
    user: &str,
    rights: Rights,
) -> Result<(Group, User), Error> {
    let (on_group, on_user) = rights.on_group_and_user();
    let absent = Target::tenancy(tenancy.id);
    let found = groups::unchecked(ctx, tenancy, group).await?;
    let member = users::unchecked(ctx, tenancy, user).await;
    let beside = member.as_ref().ok().and_then(Option::as_ref);
    let group =
        ctx.checked(found, on_group, &absent, ("group", group), |group| with_variables(group, beside))?;
    let user =
        ctx.checked(member?, on_user, &absent, ("user", user), |user| with_variables(user, Some(&group)))?;
    Ok((group, user))
}

/// What the right on one is checked on, with the variables of the other beside its own.
fn with_variables(one: &impl Protected, other: Option<&impl Protected>) -> Target {
    let mut target = one.target();
    target.variables.extend(other.into_iter().flat_map(|other| other.target().variables));
    target
}
