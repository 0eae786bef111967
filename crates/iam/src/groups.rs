//! Groups and their members.

use wharfinger_audit::Subject;
use wharfinger_metastore::{operations, row, statements};
use wharfinger_types::{Permission, ResourceKind};

use crate::users::{self, User};
use crate::{Ctx, Error, Protected, Target, Tenancy, secret};

statements! {
    GROUP_BY_NAME =
        "SELECT g.id, g.ocid, g.tenancy_id, d.name AS domain, g.name, g.created_at
         FROM identity_domain d JOIN user_group g ON g.domain_id = d.id
         WHERE d.tenancy_id = $1 AND d.name = $2 AND g.name = $3";
    GROUP_INSERT =
        "INSERT INTO user_group (ocid, tenancy_id, domain_id, name, is_administrators, created_at)
         VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (domain_id, name) DO NOTHING RETURNING id";
    MEMBERSHIP_INSERT =
        "INSERT INTO membership (group_id, user_id, created_at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";
    MEMBERSHIP_DELETE = "DELETE FROM membership WHERE group_id = $1 AND user_id = $2";
    MEMBERSHIP_DELETE_BY_USER = "DELETE FROM membership WHERE user_id = $1";
}

row! {
    /// A group.
    pub struct Group {
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
        /// Microseconds since the epoch.
        pub created_at: i64,
    }
}

impl Protected for Group {
    fn target(&self) -> Target {
        Target::tenancy(self.tenancy_id)
    }
}

operations! {
    CREATE_GROUP = create_group { Durable, Serializable, audited };
    ADD_USER_TO_GROUP = add_user_to_group { Durable, Serializable, audited };
    REMOVE_USER_FROM_GROUP = remove_user_from_group { Durable, Serializable, audited };
}

/// Creates a group without members.
pub async fn create_group(ctx: &Ctx, tenancy: &Tenancy, group: &str) -> Result<Group, Error> {
    ctx.require(Permission::GroupCreate, &Target::tenancy(tenancy.id))?;
    let (domain, name) = users::split_name(group);
    users::check_name("group", name)?;
    users::check_name("domain", domain)?;
    let (tenancy_id, domain, name) = (tenancy.id, domain.to_owned(), name.to_owned());
    let ocid = secret::new_ocid(ResourceKind::Group)?.to_string();
    let origin = ctx.origin();
    ctx.store()
        .write(&CREATE_GROUP, move |tx| {
            let domain_id: Option<i64> = tx.opt(&users::DOMAIN_BY_NAME, &[&tenancy_id, &domain])?;
            let domain_id =
                domain_id.ok_or_else(|| Error::NotFound { what: "domain", name: domain.clone() })?;
            let id = tx.opt(&GROUP_INSERT, &[&ocid, &tenancy_id, &domain_id, &name, &false, &origin.at.0])?;
            let id: i64 = id.ok_or_else(|| Error::NameTaken { what: "group", name: name.clone() })?;
            wharfinger_audit::record(tx, tenancy_id, &origin, &Subject::new(&ocid, &name))?;
            Ok(Group {
                id,
                ocid: ocid.clone(),
                tenancy_id,
                domain: domain.clone(),
                name: name.clone(),
                created_at: origin.at.0,
            })
        })
        .await
}

/// Adds a user to a group; one who is in it already stays in it.
pub async fn add_user_to_group(
    ctx: &Ctx,
    tenancy: &Tenancy,
    group: &str,
    user: &str,
) -> Result<(Group, User), Error> {
    let (group, user) = find_both(ctx, tenancy, group, user).await?;
    let origin = ctx.origin();
    ctx.store()
        .write(&ADD_USER_TO_GROUP, move |tx| {
            match tx.run(&MEMBERSHIP_INSERT, &[&group.id, &user.id, &origin.at.0]) {
                // Group or user was deleted since it was looked up.
                Err(wharfinger_metastore::Error::ForeignKey { .. }) => {
                    return Err(Error::NotFound {
                        what: "group or user",
                        name: format!("{}, {}", group.name, user.name),
                    });
                }
                inserted => inserted?,
            };
            let subject = Subject::new(&group.ocid, &group.name).with("user", user.ocid.as_str());
            wharfinger_audit::record(tx, group.tenancy_id, &origin, &subject)?;
            Ok((group.clone(), user.clone()))
        })
        .await
}

/// Removes a user from a group, from the user's next request on.
pub async fn remove_user_from_group(
    ctx: &Ctx,
    tenancy: &Tenancy,
    group: &str,
    user: &str,
) -> Result<(Group, User), Error> {
    let (group, user) = find_both(ctx, tenancy, group, user).await?;
    let origin = ctx.origin();
    ctx.store()
        .write(&REMOVE_USER_FROM_GROUP, move |tx| {
            if tx.run(&MEMBERSHIP_DELETE, &[&group.id, &user.id])? == 0 {
                return Err(Error::NotFound {
                    what: "member",
                    name: format!("{} of {}", user.name, group.name),
                });
            }
            let subject = Subject::new(&group.ocid, &group.name).with("user", user.ocid.as_str());
            wharfinger_audit::record(tx, group.tenancy_id, &origin, &subject)?;
            Ok((group.clone(), user.clone()))
        })
        .await
}

async fn find_both(ctx: &Ctx, tenancy: &Tenancy, group: &str, user: &str) -> Result<(Group, User), Error> {
    let (domain, name) = users::split_name(group);
    users::check_name("group", name)?;
    users::check_name("domain", domain)?;
    let args: &[&dyn wharfinger_metastore::Param] = &[&tenancy.id, &domain, &name];
    let group: Group =
        ctx.lookup(&GROUP_BY_NAME, args, Permission::GroupUpdate, tenancy.id, ("group", group)).await?;
    let user = users::find(ctx, tenancy, user, Permission::UserUpdate).await?;
    Ok((group, user))
}
