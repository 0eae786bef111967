//! Tag definitions: the keys of a tag namespace, and which values they take. Oracle Cloud's API calls them tags.
//!
//! Rights are those on the namespace: a definition has none of its own.

use wharfinger_audit::Subject;
use wharfinger_metastore::{Param, Tx, operations, row, statements};
use wharfinger_types::{Permission, ResourceKind};

use crate::fields::{self, invalid};
use crate::listing::{self, LifecycleState, Listed, Listing};
use crate::tag_namespaces::{self, TAG_NAMESPACE_BY_OCID, TagNamespace};
use crate::tags::{self, NO_TAGS, TagChanges};
use crate::work_requests::{self, Kind, WorkRequest};
use crate::{Ctx, Error, conditions, rights, secret};

statements! {
    TAG_DEFINITION_NAMED =
        "SELECT d.id, d.ocid, n.tenancy_id, n.ocid AS namespace, n.name AS namespace_name, c.ocid AS compartment,
                d.name, d.description, d.is_retired, d.is_cost_tracking, d.allowed_values, d.tags, d.revision,
                d.created_at
         FROM tag_definition d JOIN tag_namespace n ON n.id = d.namespace_id JOIN compartment c ON c.id = n.compartment_id
         WHERE d.namespace_id = $1 AND lower(d.name) = $2";
    TAG_DEFINITIONS =
        "SELECT d.id, d.ocid, n.tenancy_id, n.ocid AS namespace, n.name AS namespace_name, c.ocid AS compartment,
                d.name, d.description, d.is_retired, d.is_cost_tracking, d.allowed_values, d.tags, d.revision,
                d.created_at
         FROM tag_definition d JOIN tag_namespace n ON n.id = d.namespace_id JOIN compartment c ON c.id = n.compartment_id
         WHERE d.namespace_id = $1 ORDER BY d.id";
    TAG_DEFINITION_COUNT = "SELECT COUNT(*) AS n FROM tag_definition WHERE namespace_id = $1";
    COST_TRACKING_COUNT =
        "SELECT COUNT(*) AS n FROM tag_namespace n JOIN tag_definition d ON d.namespace_id = n.id
         WHERE n.tenancy_id = $1 AND d.is_cost_tracking";
    TAG_DEFINITION_INSERT =
        "INSERT INTO tag_definition (ocid, namespace_id, name, description, is_retired, is_cost_tracking,
                                     allowed_values, tags, revision, created_at)
         VALUES ($1, $2, $3, $4, FALSE, $5, $6, $7, 1, $8)
         ON CONFLICT (namespace_id, lower(name)) DO NOTHING RETURNING id";
    TAG_DEFINITION_SET =
        "UPDATE tag_definition SET description = $1, is_retired = $2, is_cost_tracking = $3, allowed_values = $4,
                                   tags = $5, revision = $6
         WHERE id = $7";
    TAG_DEFINITIONS_RETIRE =
        "UPDATE tag_definition SET is_retired = TRUE, revision = revision + 1
         WHERE namespace_id = $1 AND NOT is_retired";
    TAG_DEFINITION_DELETE = "DELETE FROM tag_definition WHERE id = $1";
    TAG_DEFINITIONS_DELETE = "DELETE FROM tag_definition WHERE namespace_id = $1";
}

row! {
    /// A tag definition.
    pub struct TagDefinition {
        /// Internal id.
        pub id: i64,
        /// OCID.
        pub ocid: String,
        /// Internal id of the tenancy.
        pub tenancy_id: i64,
        /// OCID of the tag namespace.
        pub namespace: String,
        /// Name of the tag namespace.
        pub namespace_name: String,
        /// OCID of the compartment that the namespace is in.
        pub compartment: String,
        /// Name, unique in the namespace in any case of letters: the tag's key.
        pub name: String,
        /// What it is for.
        pub description: String,
        /// Whether it can be set no more.
        pub is_retired: bool,
        /// Whether costs are to be listed by it, which there are none of here.
        pub is_cost_tracking: bool,
        allowed_values: Option<String>,
        /// See [`tags::Tags::from_column`].
        pub tags: String,
        /// Counts changes; the entity tag.
        pub revision: i64,
        /// Microseconds since the epoch.
        pub created_at: i64,
    }
}

impl TagDefinition {
    /// Active, or inactive if retired.
    pub fn state(&self) -> LifecycleState {
        if self.is_retired { LifecycleState::Inactive } else { LifecycleState::Active }
    }

    /// The values that it takes; `None` is any.
    pub fn allowed_values(&self) -> Option<Vec<String>> {
        self.allowed_values.as_deref().map(|list| serde_json::from_str(list).unwrap_or_default())
    }
}

listing::listable!(TagDefinition, TagDefinition::state);

operations! {
    CREATE_TAG_DEFINITION = create_tag_definition { Durable, Serializable, audited };
    UPDATE_TAG_DEFINITION = update_tag_definition { Durable, Serializable, audited };
    DELETE_TAG_DEFINITION = delete_tag_definition { Durable, Serializable, audited };
}

const MAX_PER_NAMESPACE: i64 = 100;
const MAX_COST_TRACKING: i64 = 10;
const MAX_ALLOWED_VALUES: usize = 100;

/// Which values a tag takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Validator {
    /// Any.
    Default,
    /// One of these.
    Enum(Vec<String>),
}

/// What a tag definition says besides its name; of an update, what is to change.
#[derive(Debug, Clone, Default)]
pub struct TagDefinitionText {
    /// What it is for.
    pub description: Option<String>,
    /// Whether it is retired, which a new one is not.
    pub is_retired: Option<bool>,
    /// Whether costs are to be listed by it.
    pub is_cost_tracking: Option<bool>,
    /// Which values it takes. Those that are set stay.
    pub validator: Option<Validator>,
    /// Its own tags.
    pub tags: TagChanges,
}

impl TagDefinitionText {
    fn check(&self) -> Result<(), Error> {
        self.description.as_deref().map_or(Ok(()), fields::check_description)?;
        let Some(Validator::Enum(values)) = &self.validator else { return Ok(()) };
        let field = "validator";
        if values.is_empty() || values.len() > MAX_ALLOWED_VALUES {
            return Err(invalid(field, &values.len().to_string(), "list 1 to 100 values"));
        }
        for (place, value) in values.iter().enumerate() {
            tags::check_value(field, value)?;
            if value.is_empty() || values.iter().take(place).any(|other| other == value) {
                return Err(invalid(field, value, "list values that are not empty, each once"));
            }
        }
        Ok(())
    }

    /// The definition with what the text says.
    fn apply(&self, tag: &mut TagDefinition) {
        if let Some(description) = &self.description {
            tag.description.clone_from(description);
        }
        tag.is_retired = self.is_retired.unwrap_or(tag.is_retired);
        tag.is_cost_tracking = self.is_cost_tracking.unwrap_or(tag.is_cost_tracking);
        match &self.validator {
            None => {}
            Some(Validator::Default) => tag.allowed_values = None,
            // A list of texts always serialises.
            Some(Validator::Enum(values)) => tag.allowed_values = serde_json::to_string(values).ok(),
        }
    }
}

fn not_found(name: &str) -> Error {
    Error::NotFound { what: "tag", name: name.chars().take(120).collect() }
}

/// The definition of that key, in any case of letters.
pub(crate) async fn named(
    ctx: &Ctx,
    namespace: &TagNamespace,
    name: &str,
) -> Result<Option<TagDefinition>, Error> {
    let Some(name) = tag_namespaces::folded(name) else { return Ok(None) };
    Ok(ctx.store().opt(&TAG_DEFINITION_NAMED, &[&namespace.id, &name]).await?)
}

/// The definition and its namespace, with the right on that.
async fn find(
    ctx: &Ctx,
    namespace: &str,
    name: &str,
    permission: Permission,
) -> Result<(TagNamespace, TagDefinition), Error> {
    let namespace = tag_namespaces::find(ctx, namespace, permission).await?;
    let tag = named(ctx, &namespace, name).await?.ok_or_else(|| not_found(name))?;
    Ok((namespace, tag))
}

/// The namespace and the definition as they are now.
fn current(
    tx: &mut Tx,
    namespace: &TagNamespace,
    name: &str,
) -> Result<(TagNamespace, TagDefinition), Error> {
    let tag = tx.opt(&TAG_DEFINITION_NAMED, &[&namespace.id, &name.to_ascii_lowercase()])?;
    let tag = tag.ok_or_else(|| not_found(name))?;
    Ok((tx.one(&TAG_NAMESPACE_BY_OCID, &[&namespace.ocid])?, tag))
}

fn check_cost_tracking(tx: &mut Tx, tenancy_id: i64) -> Result<(), Error> {
    if tx.one::<i64>(&COST_TRACKING_COUNT, &[&tenancy_id])? >= MAX_COST_TRACKING {
        return Err(Error::LimitExceeded(format!(
            "a tenancy has {MAX_COST_TRACKING} cost-tracking tags at most: end it for another one first"
        )));
    }
    Ok(())
}

/// Defines a tag in a namespace.
pub async fn create_tag_definition(
    ctx: &Ctx,
    namespace: &str,
    name: &str,
    text: TagDefinitionText,
) -> Result<TagDefinition, Error> {
    let namespace = tag_namespaces::find(ctx, namespace, Permission::TagNamespaceUse).await?;
    tag_namespaces::check_name(name)?;
    text.check()?;
    let tags = text.tags.check(ctx, namespace.tenancy_id, NO_TAGS).await?;
    let mut tag = TagDefinition {
        id: 0,
        ocid: secret::new_ocid(ResourceKind::TagDefinition)?.to_string(),
        tenancy_id: namespace.tenancy_id,
        namespace: namespace.ocid.clone(),
        namespace_name: namespace.name.clone(),
        compartment: namespace.compartment.clone(),
        name: name.to_owned(),
        description: String::new(),
        is_retired: false,
        is_cost_tracking: false,
        allowed_values: None,
        tags: NO_TAGS.to_owned(),
        revision: 1,
        created_at: ctx.now().0,
    };
    text.apply(&mut tag);
    let (origin, once) = (ctx.origin(), ctx.once());
    let (ocid, key) = (namespace.ocid.clone(), name.to_owned());
    let created = ctx.store().write(&CREATE_TAG_DEFINITION, move |tx| {
        once.check(tx)?;
        let current: Option<TagNamespace> = tx.opt(&TAG_NAMESPACE_BY_OCID, &[&namespace.ocid])?;
        let missing = || Error::NotFound { what: "tag namespace", name: namespace.ocid.clone() };
        let TagNamespace { name: of, is_retired, .. } = current.ok_or_else(missing)?;
        if is_retired {
            return Err(Error::Conflict(format!("tag namespace `{of}` is retired: reactivate it first")));
        }
        if tx.one::<i64>(&TAG_DEFINITION_COUNT, &[&namespace.id])? >= MAX_PER_NAMESPACE {
            return Err(Error::LimitExceeded(format!(
                "a tag namespace defines {MAX_PER_NAMESPACE} tags at most: delete one first"
            )));
        }
        if tag.is_cost_tracking {
            check_cost_tracking(tx, tag.tenancy_id)?;
        }
        let TagDefinition { ocid, name, description, is_cost_tracking, allowed_values, created_at, .. } =
            &tag;
        let tags = tags.put(tx, NO_TAGS)?;
        let args: &[&dyn Param] =
            &[ocid, &namespace.id, name, description, is_cost_tracking, allowed_values, &tags, created_at];
        let id: Option<i64> = tx.opt(&TAG_DEFINITION_INSERT, args)?;
        let id = id.ok_or_else(|| Error::NameTaken { what: "tag", name: name.clone() })?;
        once.note(tx, ocid)?;
        let subject = Subject::new(ocid, format!("{of}.{name}"));
        let subject = subject.with("allowedValues", tag.allowed_values()).with("tags", tags.as_str());
        wharfinger_audit::record(tx, tag.tenancy_id, &origin, &subject)?;
        Ok(TagDefinition { id, tags, ..tag.clone() })
    });
    match created.await {
        Err(Error::Repeated { .. }) => {
            let found = find(ctx, &ocid, &key, Permission::TagNamespaceUse).await;
            found.map(|(_, tag)| tag).map_err(conditions::gone_since)
        }
        created => created,
    }
}

/// The definitions of a namespace.
pub async fn list_tag_definitions(
    ctx: &Ctx,
    namespace: &str,
    listing: &Listing,
) -> Result<Listed<TagDefinition>, Error> {
    let namespace = tag_namespaces::find(ctx, namespace, Permission::TagNamespaceInspect).await?;
    listing::page_of(ctx.store().all(&TAG_DEFINITIONS, &[&namespace.id]).await?, listing)
}

/// A definition by its key.
pub async fn get_tag_definition(ctx: &Ctx, namespace: &str, name: &str) -> Result<TagDefinition, Error> {
    Ok(find(ctx, namespace, name, Permission::TagNamespaceInspect).await?.1)
}

/// Changes a definition. What resources have of it stays as it is.
pub async fn update_tag_definition(
    ctx: &Ctx,
    namespace: &str,
    name: &str,
    text: TagDefinitionText,
) -> Result<TagDefinition, Error> {
    let (namespace, tag) = find(ctx, namespace, name, Permission::TagNamespaceUse).await?;
    text.check()?;
    let tags = text.tags.check(ctx, tag.tenancy_id, &tag.tags).await?;
    let (origin, conditions) = (ctx.origin(), ctx.conditions().clone());
    ctx.store()
        .write(&UPDATE_TAG_DEFINITION, move |tx| {
            let (namespace, mut current) = current(tx, &namespace, &tag.name)?;
            conditions.check_revision(current.revision)?;
            if namespace.is_retired && text.is_retired == Some(false) {
                let name = &namespace.name;
                return Err(Error::Conflict(format!(
                    "tag namespace `{name}` is retired: reactivate it first"
                )));
            }
            if text.is_cost_tracking == Some(true) && !current.is_cost_tracking {
                check_cost_tracking(tx, current.tenancy_id)?;
            }
            text.apply(&mut current);
            current.tags = tags.put(tx, &current.tags)?;
            current.revision += 1;
            let TagDefinition { id, description, is_retired, is_cost_tracking, allowed_values, .. } =
                &current;
            let (tags, revision) = (&current.tags, &current.revision);
            tx.run(
                &TAG_DEFINITION_SET,
                &[description, is_retired, is_cost_tracking, allowed_values, tags, revision, id],
            )?;
            let subject = Subject::new(&current.ocid, format!("{}.{}", namespace.name, current.name));
            let subject = subject
                .with("isRetired", current.is_retired)
                .with("allowedValues", current.allowed_values())
                .with("tags", current.tags.as_str());
            wharfinger_audit::record(tx, current.tenancy_id, &origin, &subject)?;
            Ok(current)
        })
        .await
}

/// Deletes a retired definition. No resource has the tag from then on.
pub async fn delete_tag_definition(ctx: &Ctx, namespace: &str, name: &str) -> Result<WorkRequest, Error> {
    let (namespace, tag) = find(ctx, namespace, name, Permission::TagNamespaceDelete).await?;
    let request =
        WorkRequest::of(Kind::DeleteTagDefinition, &tag.ocid, &tag.compartment, tag.tenancy_id, ctx.now())?;
    let (origin, conditions) = (ctx.origin(), ctx.conditions().clone());
    ctx.store()
        .write(&DELETE_TAG_DEFINITION, move |tx| {
            let (namespace, current) = current(tx, &namespace, &tag.name)?;
            conditions.check_revision(current.revision)?;
            let shown = format!("{}.{}", namespace.name, current.name);
            if !current.is_retired {
                return Err(Error::Conflict(format!("tag `{shown}` is in use: retire it first")));
            }
            tags::take_out(tx, current.tenancy_id, &namespace.name, Some(&current.name))?;
            tx.run(&TAG_DEFINITION_DELETE, &[&current.id])?;
            work_requests::insert(tx, &request)?;
            rights::changed(tx, current.tenancy_id)?;
            let subject = Subject::new(&current.ocid, shown);
            wharfinger_audit::record(tx, current.tenancy_id, &origin, &subject)?;
            Ok(request.clone())
        })
        .await
}
