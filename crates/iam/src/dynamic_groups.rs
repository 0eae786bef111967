//! Dynamic groups: named rules that say which resources are in a group. No resource has an identity here yet, so
//! that none has a member; the rules are checked as if.

use wharfinger_audit::Subject;
use wharfinger_metastore::{operations, row, statements};
use wharfinger_types::{Permission, ResourceKind};

use crate::fields;
use crate::listing::{self, Listed, Listing};
use crate::tags::{self, NO_TAGS, TagChanges};
use crate::{Ctx, Error, Protected, Target, Tenancy, conditions, secret, users};

statements! {
    DYNAMIC_GROUP_BY_OCID =
        "SELECT g.id, g.ocid, g.tenancy_id, t.ocid AS compartment, g.name, g.description, g.matching_rule,
                g.tags, g.revision, g.created_at
         FROM dynamic_group g JOIN tenancy t ON t.id = g.tenancy_id WHERE g.tenancy_id = $1 AND g.ocid = $2";
    DYNAMIC_GROUPS =
        "SELECT g.id, g.ocid, g.tenancy_id, t.ocid AS compartment, g.name, g.description, g.matching_rule,
                g.tags, g.revision, g.created_at
         FROM dynamic_group g JOIN tenancy t ON t.id = g.tenancy_id WHERE g.tenancy_id = $1 ORDER BY g.name";
    DYNAMIC_GROUP_COUNT = "SELECT COUNT(*) AS n FROM dynamic_group WHERE tenancy_id = $1";
    DYNAMIC_GROUP_INSERT =
        "INSERT INTO dynamic_group (ocid, tenancy_id, name, description, matching_rule, tags, revision,
                                     created_at)
         VALUES ($1, $2, $3, $4, $5, $6, 1, $7) ON CONFLICT (tenancy_id, name) DO NOTHING RETURNING id";
    DYNAMIC_GROUP_SET =
        "UPDATE dynamic_group SET description = $1, matching_rule = $2, tags = $3, revision = $4
         WHERE id = $5";
    DYNAMIC_GROUP_DELETE = "DELETE FROM dynamic_group WHERE id = $1";
}

row! {
    /// A dynamic group.
    pub struct DynamicGroup {
        /// Internal id.
        pub id: i64,
        /// OCID.
        pub ocid: String,
        /// Internal id of the tenancy.
        pub tenancy_id: i64,
        /// OCID of the tenancy, in whose root compartment dynamic groups are.
        pub compartment: String,
        /// Name, unique in the tenancy.
        pub name: String,
        /// What it is for.
        pub description: String,
        /// Which resources are in it.
        pub matching_rule: String,
        /// See [`tags::Tags::from_column`].
        pub tags: String,
        /// Counts changes; the entity tag.
        pub revision: i64,
        /// Microseconds since the epoch.
        pub created_at: i64,
    }
}

impl DynamicGroup {
    fn gone(&self) -> Error {
        Error::NotFound { what: "dynamic group", name: self.name.clone() }
    }
}

impl Protected for DynamicGroup {
    fn target(&self) -> Target {
        let name = ("target.dynamic-group.name", self.name.clone());
        Target {
            tags: tags::conditions(&self.tags),
            variables: vec![name, ("target.dynamic-group.id", self.ocid.clone())],
            ..Target::tenancy(self.tenancy_id)
        }
    }
}

listing::listable!(DynamicGroup);

operations! {
    CREATE_DYNAMIC_GROUP = create_dynamic_group { Durable, Serializable, audited };
    UPDATE_DYNAMIC_GROUP = update_dynamic_group { Durable, Serializable, audited };
    DELETE_DYNAMIC_GROUP = delete_dynamic_group { Durable, Serializable, audited };
}

const MAX_PER_TENANCY: i64 = 300;

/// What a dynamic group says; of an update, what is to change.
#[derive(Debug, Clone, Default)]
pub struct DynamicGroupText {
    /// What it is for.
    pub description: Option<String>,
    /// Which resources are in it.
    pub matching_rule: Option<String>,
    /// Its tags.
    pub tags: TagChanges,
}

/// Creates a dynamic group.
pub async fn create_dynamic_group(
    ctx: &Ctx,
    tenancy: &Tenancy,
    name: &str,
    text: DynamicGroupText,
) -> Result<DynamicGroup, Error> {
    ctx.require(Permission::DynamicGroupCreate, &Target::tenancy(tenancy.id))?;
    users::check_name("name", name)?;
    let group = DynamicGroup {
        id: 0,
        ocid: secret::new_ocid(ResourceKind::DynamicGroup)?.to_string(),
        tenancy_id: tenancy.id,
        compartment: tenancy.ocid.clone(),
        name: name.to_owned(),
        description: String::new(),
        matching_rule: String::new(),
        tags: NO_TAGS.to_owned(),
        revision: 1,
        created_at: ctx.now().0,
    };
    let group = changed(group, &text)?;
    let tags = text.tags.check(ctx, tenancy.id, NO_TAGS).await?;
    let (origin, once) = (ctx.origin(), ctx.once());
    let created = ctx.store().write(&CREATE_DYNAMIC_GROUP, move |tx| {
        once.check(tx)?;
        let DynamicGroup { ocid, tenancy_id, name, description, matching_rule, .. } = &group;
        if tx.one::<i64>(&DYNAMIC_GROUP_COUNT, &[tenancy_id])? >= MAX_PER_TENANCY {
            return Err(Error::LimitExceeded(format!(
                "a tenancy has {MAX_PER_TENANCY} dynamic groups at most: delete one first"
            )));
        }
        let tags = tags.put(tx, NO_TAGS)?;
        let id: Option<i64> = tx.opt(
            &DYNAMIC_GROUP_INSERT,
            &[ocid, tenancy_id, name, description, matching_rule, &tags, &group.created_at],
        )?;
        let id = id.ok_or_else(|| Error::NameTaken { what: "dynamic group", name: name.clone() })?;
        once.note(tx, ocid)?;
        let subject = Subject::new(ocid, name).with("matchingRule", group.matching_rule.as_str());
        wharfinger_audit::record(tx, *tenancy_id, &origin, &subject.with("tags", tags.as_str()))?;
        Ok(DynamicGroup { id, tags, ..group.clone() })
    });
    match created.await {
        Err(Error::Repeated { made }) => {
            find(ctx, tenancy, &made, Permission::DynamicGroupCreate).await.map_err(conditions::gone_since)
        }
        created => created,
    }
}

/// A page of the tenancy's dynamic groups.
pub async fn list_dynamic_groups(
    ctx: &Ctx,
    tenancy: &Tenancy,
    listing: &Listing,
) -> Result<Listed<DynamicGroup>, Error> {
    ctx.require(Permission::DynamicGroupInspect, &Target::tenancy(tenancy.id))?;
    listing::page_of(ctx.store().all(&DYNAMIC_GROUPS, &[&tenancy.id]).await?, listing)
}

/// A dynamic group by its OCID.
pub async fn get_dynamic_group(ctx: &Ctx, tenancy: &Tenancy, ocid: &str) -> Result<DynamicGroup, Error> {
    find(ctx, tenancy, ocid, Permission::DynamicGroupInspect).await
}

/// Changes a dynamic group.
pub async fn update_dynamic_group(
    ctx: &Ctx,
    tenancy: &Tenancy,
    ocid: &str,
    text: DynamicGroupText,
) -> Result<DynamicGroup, Error> {
    let group = find(ctx, tenancy, ocid, Permission::DynamicGroupUpdate).await?;
    let tags = text.tags.check(ctx, tenancy.id, &group.tags).await?;
    let (origin, conditions) = (ctx.origin(), ctx.conditions().clone());
    ctx.store()
        .write(&UPDATE_DYNAMIC_GROUP, move |tx| {
            let current = tx.opt(&DYNAMIC_GROUP_BY_OCID, &[&group.tenancy_id, &group.ocid])?;
            let current: DynamicGroup = current.ok_or_else(|| group.gone())?;
            conditions.check_revision(current.revision)?;
            let revision = current.revision + 1;
            let mut current = changed(DynamicGroup { revision, ..current }, &text)?;
            current.tags = tags.put(tx, &current.tags)?;
            let DynamicGroup { id, description, matching_rule, tags, .. } = &current;
            tx.run(&DYNAMIC_GROUP_SET, &[description, matching_rule, tags, &revision, id])?;
            let subject = Subject::new(&current.ocid, &current.name);
            let subject = subject.with("matchingRule", current.matching_rule.as_str());
            wharfinger_audit::record(
                tx,
                current.tenancy_id,
                &origin,
                &subject.with("tags", current.tags.as_str()),
            )?;
            Ok(current)
        })
        .await
}

/// Deletes a dynamic group, whatever policies name it.
pub async fn delete_dynamic_group(ctx: &Ctx, tenancy: &Tenancy, ocid: &str) -> Result<(), Error> {
    let group = find(ctx, tenancy, ocid, Permission::DynamicGroupDelete).await?;
    let (origin, conditions) = (ctx.origin(), ctx.conditions().clone());
    ctx.store()
        .write(&DELETE_DYNAMIC_GROUP, move |tx| {
            let current = tx.opt(&DYNAMIC_GROUP_BY_OCID, &[&group.tenancy_id, &group.ocid])?;
            let current: DynamicGroup = current.ok_or_else(|| group.gone())?;
            conditions.check_revision(current.revision)?;
            tx.run(&DYNAMIC_GROUP_DELETE, &[&current.id])?;
            let subject = Subject::new(&current.ocid, &current.name);
            wharfinger_audit::record(tx, current.tenancy_id, &origin, &subject)?;
            Ok(())
        })
        .await
}

async fn find(
    ctx: &Ctx,
    tenancy: &Tenancy,
    ocid: &str,
    permission: Permission,
) -> Result<DynamicGroup, Error> {
    let ocid = ocid.replace('\0', "");
    let args: &[&dyn wharfinger_metastore::Param] = &[&tenancy.id, &ocid];
    ctx.lookup(&DYNAMIC_GROUP_BY_OCID, args, permission, tenancy.id, ("dynamic group", &ocid)).await
}

/// The group with what the text says, which is checked.
fn changed(mut group: DynamicGroup, text: &DynamicGroupText) -> Result<DynamicGroup, Error> {
    if let Some(description) = &text.description {
        fields::check_description(description)?;
        group.description.clone_from(description);
    }
    if let Some(rule) = &text.matching_rule {
        if rule.contains('\0') {
            return Err(Error::MatchingRule("use no NUL".to_owned()));
        }
        wharfinger_policy::check_matching_rule(rule)
            .map_err(|wrong| Error::MatchingRule(wrong.to_string()))?;
        group.matching_rule.clone_from(rule);
    }
    Ok(group)
}
