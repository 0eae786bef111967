//! Tag namespaces: each a set of tag definitions, in a compartment, whose policies say who may set those tags.

use wharfinger_audit::Subject;
use wharfinger_metastore::{Param, operations, row, statements};
use wharfinger_types::{Ocid, Permission, ResourceKind};

use crate::fields::{self, invalid};
use crate::listing::{self, LifecycleState, Listed, Listing};
use crate::tags::{self, MAX_NAME, NO_TAGS, TagChanges};
use crate::work_requests::{self, Kind, WorkRequest};
use crate::{Ctx, Error, Protected, Target, compartments, conditions, rights, secret, tag_definitions};

statements! {
    TAG_NAMESPACE_BY_OCID =
        "SELECT n.id, n.ocid, n.tenancy_id, c.ocid AS compartment, n.name, n.description, n.is_retired, n.tags,
                n.revision, n.created_at
         FROM tag_namespace n JOIN compartment c ON c.id = n.compartment_id WHERE n.ocid = $1";
    TAG_NAMESPACE_NAMED =
        "SELECT n.id, n.ocid, n.tenancy_id, c.ocid AS compartment, n.name, n.description, n.is_retired, n.tags,
                n.revision, n.created_at
         FROM tag_namespace n JOIN compartment c ON c.id = n.compartment_id
         WHERE n.tenancy_id = $1 AND lower(n.name) = $2";
    TAG_NAMESPACES =
        "SELECT n.id, n.ocid, n.tenancy_id, c.ocid AS compartment, n.name, n.description, n.is_retired, n.tags,
                n.revision, n.created_at
         FROM tag_namespace n JOIN compartment c ON c.id = n.compartment_id WHERE n.tenancy_id = $1 ORDER BY n.id";
    TAG_NAMESPACE_COUNT = "SELECT COUNT(*) AS n FROM tag_namespace WHERE tenancy_id = $1";
    TAG_NAMESPACE_INSERT =
        "INSERT INTO tag_namespace (ocid, tenancy_id, compartment_id, name, description, is_retired, tags, revision,
                                    created_at)
         VALUES ($1, $2, $3, $4, $5, FALSE, $6, 1, $7)
         ON CONFLICT (tenancy_id, lower(name)) DO NOTHING RETURNING id";
    TAG_NAMESPACE_SET =
        "UPDATE tag_namespace SET description = $1, is_retired = $2, tags = $3, revision = $4 WHERE id = $5";
    TAG_NAMESPACE_MOVE = "UPDATE tag_namespace SET compartment_id = $1, revision = revision + 1 WHERE id = $2";
    TAG_NAMESPACE_DELETE = "DELETE FROM tag_namespace WHERE id = $1";
}

row! {
    /// A tag namespace.
    pub struct TagNamespace {
        /// Internal id.
        pub id: i64,
        /// OCID.
        pub ocid: String,
        /// Internal id of the tenancy.
        pub tenancy_id: i64,
        /// OCID of the compartment it is in.
        pub compartment: String,
        /// Name, unique in the tenancy in any case of letters.
        pub name: String,
        /// What it is for.
        pub description: String,
        /// Whether its tags can be set no more.
        pub is_retired: bool,
        /// See [`tags::Tags::from_column`].
        pub tags: String,
        /// Counts changes; the entity tag.
        pub revision: i64,
        /// Microseconds since the epoch.
        pub created_at: i64,
    }
}

impl TagNamespace {
    /// Active, or inactive if retired.
    pub fn state(&self) -> LifecycleState {
        if self.is_retired { LifecycleState::Inactive } else { LifecycleState::Active }
    }

    fn gone(&self) -> Error {
        Error::NotFound { what: "tag namespace", name: self.ocid.clone() }
    }
}

impl Protected for TagNamespace {
    fn target(&self) -> Target {
        let name = ("target.tag-namespace.name", self.name.clone());
        Target {
            compartment: self.compartment.parse().ok(),
            tags: tags::conditions(&self.tags),
            variables: vec![name, ("target.tag-namespace.id", self.ocid.clone())],
            ..Target::tenancy(self.tenancy_id)
        }
    }
}

listing::listable!(TagNamespace, TagNamespace::state);

operations! {
    CREATE_TAG_NAMESPACE = create_tag_namespace { Durable, Serializable, audited };
    UPDATE_TAG_NAMESPACE = update_tag_namespace { Durable, Serializable, audited };
    DELETE_TAG_NAMESPACE = delete_tag_namespace { Durable, Serializable, audited };
    CASCADE_DELETE_TAG_NAMESPACE = cascade_delete_tag_namespace { Durable, Serializable, audited };
    CHANGE_TAG_NAMESPACE_COMPARTMENT = change_tag_namespace_compartment { Durable, Serializable, audited };
}

const MAX_PER_TENANCY: i64 = 100;

/// What a tag namespace says besides its name; of an update, what is to change.
#[derive(Debug, Clone, Default)]
pub struct TagNamespaceText {
    /// What it is for.
    pub description: Option<String>,
    /// Whether it is retired, which a new one is not.
    pub is_retired: Option<bool>,
    /// Its own tags.
    pub tags: TagChanges,
}

/// 1 to 100 printable ASCII characters without space and period.
pub(crate) fn check_name(name: &str) -> Result<(), Error> {
    if !is_name(name) {
        let remedy = "use 1 to 100 printable ASCII characters but space and period";
        return Err(invalid("name", name, remedy));
    }
    Ok(())
}

fn is_name(name: &str) -> bool {
    (1..=MAX_NAME).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'.')
}

/// A name as it is compared; none for what can be no name.
pub(crate) fn folded(name: &str) -> Option<String> {
    is_name(name).then(|| name.to_ascii_lowercase())
}

/// The tag namespace of that name, in any case of letters, without any right on it.
pub(crate) async fn named(ctx: &Ctx, tenancy_id: i64, name: &str) -> Result<Option<TagNamespace>, Error> {
    let Some(name) = folded(name) else { return Ok(None) };
    Ok(ctx.store().opt(&TAG_NAMESPACE_NAMED, &[&tenancy_id, &name]).await?)
}

/// The tag namespace of that OCID, with the right asked for.
pub(crate) async fn find(ctx: &Ctx, ocid: &str, permission: Permission) -> Result<TagNamespace, Error> {
    let ocid: Ocid = ocid.parse().map_err(|_| ctx.refuse(permission))?;
    let (absent, what) = (Target::tenancy(0), ("tag namespace", ocid.as_str()));
    ctx.lookup_or(&TAG_NAMESPACE_BY_OCID, &[&ocid.as_str()], permission, &absent, what).await
}

/// Creates a tag namespace without tags.
pub async fn create_tag_namespace(
    ctx: &Ctx,
    compartment: &str,
    name: &str,
    text: TagNamespaceText,
) -> Result<TagNamespace, Error> {
    let compartment = ctx.compartment(compartment, Permission::TagNamespaceCreate).await?;
    check_name(name)?;
    let description = text.description.unwrap_or_default();
    fields::check_description(&description)?;
    let tags = text.tags.check(ctx, compartment.tenancy_id, NO_TAGS).await?;
    let namespace = TagNamespace {
        id: 0,
        ocid: secret::new_ocid(ResourceKind::TagNamespace)?.to_string(),
        tenancy_id: compartment.tenancy_id,
        compartment: compartment.ocid.clone(),
        name: name.to_owned(),
        description,
        is_retired: false,
        tags: NO_TAGS.to_owned(),
        revision: 1,
        created_at: ctx.now().0,
    };
    let (origin, once) = (ctx.origin(), ctx.once());
    let created = ctx.store().write(&CREATE_TAG_NAMESPACE, move |tx| {
        once.check(tx)?;
        compartments::require_live(tx, &compartment)?;
        let TagNamespace { ocid, tenancy_id, name, description, created_at, .. } = &namespace;
        if tx.one::<i64>(&TAG_NAMESPACE_COUNT, &[tenancy_id])? >= MAX_PER_TENANCY {
            return Err(Error::LimitExceeded(format!(
                "a tenancy has {MAX_PER_TENANCY} tag namespaces at most: delete one first"
            )));
        }
        let tags = tags.put(tx, NO_TAGS)?;
        let args: &[&dyn Param] = &[ocid, tenancy_id, &compartment.id, name, description, &tags, created_at];
        let id: Option<i64> = tx.opt(&TAG_NAMESPACE_INSERT, args)?;
        let id = id.ok_or_else(|| Error::NameTaken { what: "tag namespace", name: name.clone() })?;
        once.note(tx, ocid)?;
        let subject = Subject::new(ocid, name).with("tags", tags.as_str());
        wharfinger_audit::record(tx, *tenancy_id, &origin, &subject)?;
        Ok(TagNamespace { id, tags, ..namespace.clone() })
    });
    match created.await {
        Err(Error::Repeated { made }) => {
            find(ctx, &made, Permission::TagNamespaceCreate).await.map_err(conditions::gone_since)
        }
        created => created,
    }
}

/// The tag namespaces in a compartment, or in all below it too. What the principal may not see there is left
/// out.
pub async fn list_tag_namespaces(
    ctx: &Ctx,
    compartment: &str,
    subcompartments: bool,
    listing: &Listing,
) -> Result<Listed<TagNamespace>, Error> {
    let permission = Permission::TagNamespaceInspect;
    let top = ctx.compartment(compartment, permission).await?;
    let mut rows: Vec<TagNamespace> = ctx.store().all(&TAG_NAMESPACES, &[&top.tenancy_id]).await?;
    if subcompartments {
        let below = compartments::subtree(ctx, &top).await?;
        let place = |row: &TagNamespace| Target {
            compartment: row.compartment.parse().ok(),
            ..Target::tenancy(row.tenancy_id)
        };
        rows.retain(|row| below.contains(&row.compartment) && ctx.allows(permission, &place(row)));
    } else {
        rows.retain(|row| row.compartment == top.ocid);
    }
    listing::page_of(rows, listing)
}

/// A tag namespace.
pub async fn get_tag_namespace(ctx: &Ctx, ocid: &str) -> Result<TagNamespace, Error> {
    find(ctx, ocid, Permission::TagNamespaceInspect).await
}

/// Changes a tag namespace. Retiring it retires its tags; bringing it back does not bring them back.
pub async fn update_tag_namespace(
    ctx: &Ctx,
    ocid: &str,
    text: TagNamespaceText,
) -> Result<TagNamespace, Error> {
    let namespace = find(ctx, ocid, Permission::TagNamespaceUpdate).await?;
    text.description.as_deref().map_or(Ok(()), fields::check_description)?;
    let tags = text.tags.check(ctx, namespace.tenancy_id, &namespace.tags).await?;
    let (origin, conditions) = (ctx.origin(), ctx.conditions().clone());
    ctx.store()
        .write(&UPDATE_TAG_NAMESPACE, move |tx| {
            let current: Option<TagNamespace> = tx.opt(&TAG_NAMESPACE_BY_OCID, &[&namespace.ocid])?;
            let mut current = current.ok_or_else(|| namespace.gone())?;
            conditions.check_revision(current.revision)?;
            current.tags = tags.put(tx, &current.tags)?;
            if let Some(description) = &text.description {
                current.description.clone_from(description);
            }
            if text.is_retired == Some(true) && !current.is_retired {
                tx.run(&tag_definitions::TAG_DEFINITIONS_RETIRE, &[&current.id])?;
            }
            current.is_retired = text.is_retired.unwrap_or(current.is_retired);
            current.revision += 1;
            let TagNamespace { id, description, is_retired, tags, revision, .. } = &current;
            tx.run(&TAG_NAMESPACE_SET, &[description, is_retired, tags, revision, id])?;
            let subject = Subject::new(&current.ocid, &current.name);
            let subject = subject.with("isRetired", current.is_retired).with("tags", current.tags.as_str());
            wharfinger_audit::record(tx, current.tenancy_id, &origin, &subject)?;
            Ok(current)
        })
        .await
}

/// Deletes a tag namespace that defines no tags.
pub async fn delete_tag_namespace(ctx: &Ctx, ocid: &str) -> Result<(), Error> {
    let namespace = find(ctx, ocid, Permission::TagNamespaceDelete).await?;
    let (origin, conditions) = (ctx.origin(), ctx.conditions().clone());
    ctx.store()
        .write(&DELETE_TAG_NAMESPACE, move |tx| {
            let current: Option<TagNamespace> = tx.opt(&TAG_NAMESPACE_BY_OCID, &[&namespace.ocid])?;
            let current = current.ok_or_else(|| namespace.gone())?;
            conditions.check_revision(current.revision)?;
            match tx.run(&TAG_NAMESPACE_DELETE, &[&current.id]) {
                Err(wharfinger_metastore::Error::ForeignKey { .. }) => {
                    return Err(Error::Conflict(format!(
                        "tag namespace `{}` defines tags: delete them first, or it with them by `cascadeDelete`",
                        current.name
                    )));
                }
                deleted => deleted?,
            };
            let subject = Subject::new(&current.ocid, &current.name);
            wharfinger_audit::record(tx, current.tenancy_id, &origin, &subject)?;
            Ok(())
        })
        .await
}

/// Deletes a retired tag namespace with all its tags, which no resource has from then on.
pub async fn cascade_delete_tag_namespace(ctx: &Ctx, ocid: &str) -> Result<WorkRequest, Error> {
    let namespace = find(ctx, ocid, Permission::TagNamespaceDelete).await?;
    let TagNamespace { tenancy_id, compartment, .. } = &namespace;
    let request =
        WorkRequest::of(Kind::DeleteTagDefinition, &namespace.ocid, compartment, *tenancy_id, ctx.now())?;
    let (origin, conditions) = (ctx.origin(), ctx.conditions().clone());
    ctx.store()
        .write(&CASCADE_DELETE_TAG_NAMESPACE, move |tx| {
            let current: Option<TagNamespace> = tx.opt(&TAG_NAMESPACE_BY_OCID, &[&namespace.ocid])?;
            let current = current.ok_or_else(|| namespace.gone())?;
            conditions.check_revision(current.revision)?;
            if !current.is_retired {
                let name = &current.name;
                return Err(Error::Conflict(format!("tag namespace `{name}` is in use: retire it first")));
            }
            tags::take_out(tx, current.tenancy_id, &current.name, None)?;
            tx.run(&tag_definitions::TAG_DEFINITIONS_DELETE, &[&current.id])?;
            tx.run(&TAG_NAMESPACE_DELETE, &[&current.id])?;
            work_requests::insert(tx, &request)?;
            rights::changed(tx, current.tenancy_id)?;
            let subject = Subject::new(&current.ocid, &current.name);
            wharfinger_audit::record(tx, current.tenancy_id, &origin, &subject)?;
            Ok(request.clone())
        })
        .await
}

/// Puts a tag namespace into another compartment of its tenancy.
pub async fn change_tag_namespace_compartment(ctx: &Ctx, ocid: &str, compartment: &str) -> Result<(), Error> {
    let permission = Permission::TagNamespaceMove;
    let namespace = find(ctx, ocid, permission).await?;
    let compartment = ctx.compartment(compartment, permission).await?;
    if compartment.tenancy_id != namespace.tenancy_id {
        return Err(ctx.refuse(permission));
    }
    let (origin, conditions, once) = (ctx.origin(), ctx.conditions().clone(), ctx.once());
    let moved = ctx.store().write(&CHANGE_TAG_NAMESPACE_COMPARTMENT, move |tx| {
        once.check(tx)?;
        compartments::require_live(tx, &compartment)?;
        let current: Option<TagNamespace> = tx.opt(&TAG_NAMESPACE_BY_OCID, &[&namespace.ocid])?;
        let current = current.ok_or_else(|| namespace.gone())?;
        conditions.check_revision(current.revision)?;
        tx.run(&TAG_NAMESPACE_MOVE, &[&compartment.id, &current.id])?;
        once.note(tx, &current.ocid)?;
        let subject =
            Subject::new(&current.ocid, &current.name).with("compartment", compartment.ocid.as_str());
        wharfinger_audit::record(tx, current.tenancy_id, &origin, &subject)?;
        Ok(())
    });
    match moved.await {
        Err(Error::Repeated { .. }) => Ok(()),
        moved => moved,
    }
}
