//! Groups.

use wharfinger_audit::Subject;
use wharfinger_metastore::{operations, row, statements};
use wharfinger_types::{Permission, ResourceKind};

use crate::fields;
use crate::listing::{self, Listed, Listing, Sorted};
use crate::tags::{self, NO_TAGS, TagChanges};
use crate::{Ctx, Error, Protected, Target, Tenancy, conditions, rights, secret, users};

pub use crate::memberships::{add_user_to_group, remove_user_from_group};

statements! {
    GROUP_BY_NAME =
        "SELECT g.id, g.ocid, g.tenancy_id, t.ocid AS compartment, d.name AS domain, g.name, g.description,
                g.is_administrators, g.tags, g.revision, g.created_at
         FROM tenancy t JOIN identity_domain d ON d.tenancy_id = t.id JOIN user_group g ON g.domain_id = d.id
         WHERE t.id = $1 AND d.name = $2 AND g.name = $3";
    GROUP_BY_OCID =
        "SELECT g.id, g.ocid, g.tenancy_id, t.ocid AS compartment, d.name AS domain, g.name, g.description,
                g.is_administrators, g.tags, g.revision, g.created_at
         FROM user_group g JOIN identity_domain d ON d.id = g.domain_id JOIN tenancy t ON t.id = g.tenancy_id
         WHERE g.tenancy_id = $1 AND g.ocid = $2";
    GROUPS_NAMED =
        "SELECT g.id, g.ocid, g.tenancy_id, t.ocid AS compartment, d.name AS domain, g.name, g.description,
                g.is_administrators, g.tags, g.revision, g.created_at
         FROM user_group g JOIN identity_domain d ON d.id = g.domain_id JOIN tenancy t ON t.id = g.tenancy_id
         WHERE g.tenancy_id = $1 AND g.name = $2 ORDER BY g.ocid";
    GROUPS_BY_NAME =
        "SELECT g.id, g.ocid, g.tenancy_id, t.ocid AS compartment, d.name AS domain, g.name, g.description,
                g.is_administrators, g.tags, g.revision, g.created_at
         FROM user_group g JOIN identity_domain d ON d.id = g.domain_id JOIN tenancy t ON t.id = g.tenancy_id
         WHERE g.tenancy_id = $1 AND (g.name, g.ocid) > ($2, $3) ORDER BY g.name, g.ocid LIMIT $4";
    GROUPS_BY_NAME_DESCENDING =
        "SELECT g.id, g.ocid, g.tenancy_id, t.ocid AS compartment, d.name AS domain, g.name, g.description,
                g.is_administrators, g.tags, g.revision, g.created_at
         FROM user_group g JOIN identity_domain d ON d.id = g.domain_id JOIN tenancy t ON t.id = g.tenancy_id
         WHERE g.tenancy_id = $1 AND (g.name, g.ocid) < ($2, $3) ORDER BY g.name DESC, g.ocid DESC LIMIT $4";
    GROUPS_BY_AGE =
        "SELECT g.id, g.ocid, g.tenancy_id, t.ocid AS compartment, d.name AS domain, g.name, g.description,
                g.is_administrators, g.tags, g.revision, g.created_at
         FROM user_group g JOIN identity_domain d ON d.id = g.domain_id JOIN tenancy t ON t.id = g.tenancy_id
         WHERE g.tenancy_id = $1 AND (g.created_at, g.ocid) > ($2, $3) ORDER BY g.created_at, g.ocid LIMIT $4";
    GROUPS_BY_AGE_DESCENDING =
        "SELECT g.id, g.ocid, g.tenancy_id, t.ocid AS compartment, d.name AS domain, g.name, g.description,
                g.is_administrators, g.tags, g.revision, g.created_at
         FROM user_group g JOIN identity_domain d ON d.id = g.domain_id JOIN tenancy t ON t.id = g.tenancy_id
         WHERE g.tenancy_id = $1 AND (g.created_at, g.ocid) < ($2, $3)
         ORDER BY g.created_at DESC, g.ocid DESC LIMIT $4";
    GROUP_INSERT =
        "INSERT INTO user_group (ocid, tenancy_id, domain_id, name, description, is_administrators, tags,
                                 revision, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, 1, $8) ON CONFLICT (domain_id, name) DO NOTHING RETURNING id";
    GROUP_SET = "UPDATE user_group SET description = $1, tags = $2, revision = $3 WHERE id = $4";
    GROUP_DELETE = "DELETE FROM user_group WHERE id = $1";
}

const SORTED: Sorted = Sorted {
    name_ascending: &GROUPS_BY_NAME,
    name_descending: &GROUPS_BY_NAME_DESCENDING,
    age_ascending: &GROUPS_BY_AGE,
    age_descending: &GROUPS_BY_AGE_DESCENDING,
    named: &GROUPS_NAMED,
};

row! {
    /// A group.
    pub struct Group {
        /// Internal id.
        pub id: i64,
        /// OCID.
        pub ocid: String,
        /// Internal id of the tenancy.
        pub tenancy_id: i64,
        /// OCID of the tenancy, in whose root compartment groups are.
        pub compartment: String,
        /// Name of the identity domain.
        pub domain: String,
        /// Name in the domain.
        pub name: String,
        /// What others wrote about it.
        pub description: String,
        /// Whether its members may do all in the tenancy.
        pub is_administrators: bool,
        /// See [`tags::Tags::from_column`].
        pub tags: String,
        /// Counts changes; the entity tag.
        pub revision: i64,
        /// Microseconds since the epoch.
        pub created_at: i64,
    }
}

impl Group {
    fn gone(&self) -> Error {
        Error::NotFound { what: "group", name: self.name.clone() }
    }
}

impl Protected for Group {
    fn target(&self) -> Target {
        let name = ("target.group.name", self.name.clone());
        Target {
            tags: tags::conditions(&self.tags),
            variables: vec![name, ("target.group.id", self.ocid.clone())],
            ..Target::tenancy(self.tenancy_id)
        }
    }
}

listing::listable!(Group);

operations! {
    CREATE_GROUP = create_group { Durable, Serializable, audited };
    UPDATE_GROUP = update_group { Durable, Serializable, audited };
    DELETE_GROUP = delete_group { Durable, Serializable, audited };
}

/// What a new group is made of.
#[derive(Debug, Default)]
pub struct NewGroup<'a> {
    /// `NAME` or `DOMAIN/NAME`.
    pub name: &'a str,
    /// May be empty.
    pub description: &'a str,
    /// Its tags.
    pub tags: TagChanges,
}

impl<'a, S: AsRef<str> + ?Sized> From<&'a S> for NewGroup<'a> {
    fn from(name: &'a S) -> NewGroup<'a> {
        NewGroup { name: name.as_ref(), ..NewGroup::default() }
    }
}

/// What to change of a group; the rest stays.
#[derive(Debug, Default)]
pub struct GroupChanges {
    /// A new description.
    pub description: Option<String>,
    /// New tags.
    pub tags: TagChanges,
}

/// The group of the given name or OCID, if there is one, for a check that is not of the group alone.
pub(crate) async fn unchecked(ctx: &Ctx, tenancy: &Tenancy, group: &str) -> Result<Option<Group>, Error> {
    if users::is_ocid(group) {
        let ocid = group.replace('\0', "");
        return Ok(ctx.store().opt(&GROUP_BY_OCID, &[&tenancy.id, &ocid]).await?);
    }
    let (domain, name) = users::split_name(group);
    users::check_name("group", name)?;
    users::check_name("domain", domain)?;
    Ok(ctx.store().opt(&GROUP_BY_NAME, &[&tenancy.id, &domain, &name]).await?)
}

/// The group of the given name or OCID, with the right asked for.
pub(crate) async fn find(
    ctx: &Ctx,
    tenancy: &Tenancy,
    group: &str,
    permission: Permission,
) -> Result<Group, Error> {
    let found = unchecked(ctx, tenancy, group).await?;
    ctx.checked(found, permission, &Target::tenancy(tenancy.id), ("group", group), Group::target)
}

/// Creates a group without members.
pub async fn create_group<'a>(
    ctx: &Ctx,
    tenancy: &Tenancy,
    group: impl Into<NewGroup<'a>>,
) -> Result<Group, Error> {
    let group = group.into();
    ctx.require(Permission::GroupCreate, &Target::tenancy(tenancy.id))?;
    let (domain, name) = users::split_name(group.name);
    users::check_name("group", name)?;
    users::check_name("domain", domain)?;
    fields::check_description(group.description)?;
    let tags = group.tags.check(ctx, tenancy.id, NO_TAGS).await?;
    let row = Group {
        id: 0,
        ocid: secret::new_ocid(ResourceKind::Group)?.to_string(),
        tenancy_id: tenancy.id,
        compartment: tenancy.ocid.clone(),
        domain: domain.to_owned(),
        name: name.to_owned(),
        description: group.description.to_owned(),
        is_administrators: false,
        tags: NO_TAGS.to_owned(),
        revision: 1,
        created_at: ctx.now().0,
    };
    let (origin, once) = (ctx.origin(), ctx.once());
    let created = ctx.store().write(&CREATE_GROUP, move |tx| {
        once.check(tx)?;
        let domain_id: Option<i64> = tx.opt(&users::DOMAIN_BY_NAME, &[&row.tenancy_id, &row.domain])?;
        let domain_id =
            domain_id.ok_or_else(|| Error::NotFound { what: "domain", name: row.domain.clone() })?;
        let tags = tags.put(tx, NO_TAGS)?;
        let id: Option<i64> = tx.opt(
            &GROUP_INSERT,
            &[
                &row.ocid,
                &row.tenancy_id,
                &domain_id,
                &row.name,
                &row.description,
                &row.is_administrators,
                &tags,
                &row.created_at,
            ],
        )?;
        let id = id.ok_or_else(|| Error::NameTaken { what: "group", name: row.name.clone() })?;
        once.note(tx, &row.ocid)?;
        if tags != NO_TAGS {
            rights::changed(tx, row.tenancy_id)?;
        }
        let subject = Subject::new(&row.ocid, &row.name).with("tags", tags.as_str());
        wharfinger_audit::record(tx, row.tenancy_id, &origin, &subject)?;
        Ok(Group { id, tags, ..row.clone() })
    });
    match created.await {
        Err(Error::Repeated { made }) => {
            find(ctx, tenancy, &made, Permission::GroupCreate).await.map_err(conditions::gone_since)
        }
        created => created,
    }
}

/// A page of the tenancy's groups.
pub async fn list_groups(ctx: &Ctx, tenancy: &Tenancy, listing: &Listing) -> Result<Listed<Group>, Error> {
    ctx.require(Permission::GroupInspect, &Target::tenancy(tenancy.id))?;
    listing::list(ctx, &SORTED, tenancy.id, listing).await
}

/// A group.
pub async fn get_group(ctx: &Ctx, tenancy: &Tenancy, group: &str) -> Result<Group, Error> {
    find(ctx, tenancy, group, Permission::GroupInspect).await
}

/// Changes what describes a group.
pub async fn update_group(
    ctx: &Ctx,
    tenancy: &Tenancy,
    group: &str,
    changes: GroupChanges,
) -> Result<Group, Error> {
    let group = find(ctx, tenancy, group, Permission::GroupUpdate).await?;
    changes.description.as_deref().map_or(Ok(()), fields::check_description)?;
    let tags = changes.tags.check(ctx, tenancy.id, &group.tags).await?;
    let (origin, conditions) = (ctx.origin(), ctx.conditions().clone());
    ctx.store()
        .write(&UPDATE_GROUP, move |tx| {
            let current: Option<Group> = tx.opt(&GROUP_BY_OCID, &[&group.tenancy_id, &group.ocid])?;
            let mut current = current.ok_or_else(|| group.gone())?;
            conditions.check_revision(current.revision)?;
            let mut subject = Subject::new(&group.ocid, &group.name);
            if let Some(description) = &changes.description {
                current.description.clone_from(description);
                subject = subject.with("description", description.as_str());
            }
            if !changes.tags.is_empty() {
                current.tags = tags.put(tx, &current.tags)?;
                subject = subject.with("tags", current.tags.as_str());
                rights::changed(tx, group.tenancy_id)?;
            }
            current.revision += 1;
            let Group { description, tags, revision, id, .. } = &current;
            tx.run(&GROUP_SET, &[description, tags, revision, id])?;
            wharfinger_audit::record(tx, group.tenancy_id, &origin, &subject)?;
            Ok(current)
        })
        .await
}

/// Deletes a group that has no members.
pub async fn delete_group(ctx: &Ctx, tenancy: &Tenancy, group: &str) -> Result<Group, Error> {
    let group = find(ctx, tenancy, group, Permission::GroupDelete).await?;
    if group.is_administrators {
        let name = &group.name;
        return Err(Error::Conflict(format!("group `{name}` is part of every tenancy and can't be deleted")));
    }
    let (origin, conditions) = (ctx.origin(), ctx.conditions().clone());
    ctx.store()
        .write(&DELETE_GROUP, move |tx| {
            let current: Option<Group> = tx.opt(&GROUP_BY_OCID, &[&group.tenancy_id, &group.ocid])?;
            conditions.check_revision(current.ok_or_else(|| group.gone())?.revision)?;
            match tx.run(&GROUP_DELETE, &[&group.id]) {
                Err(wharfinger_metastore::Error::ForeignKey { .. }) => {
                    let name = &group.name;
                    return Err(Error::Conflict(format!("group `{name}` has members: remove them first")));
                }
                deleted => deleted?,
            };
            wharfinger_audit::record(tx, group.tenancy_id, &origin, &Subject::new(&group.ocid, &group.name))?;
            Ok(group.clone())
        })
        .await
}
