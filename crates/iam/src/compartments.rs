//! Compartments: the tree in which resources are kept and rights are given.

use std::collections::HashSet;

use wharfinger_audit::Subject;
use wharfinger_metastore::{Tx, operations, row, statements};
use wharfinger_types::{Ocid, Permission, ResourceKind};

use crate::listing;
use crate::tags::{self, NO_TAGS, TagChanges};
use crate::work_requests::{self, Kind, WorkRequest};
use crate::{
    Ctx, Error, LifecycleState, Listed, Listing, Protected, Target, Tenancy, conditions, fields, rights,
    secret,
};

pub use crate::compartment_moves::move_compartment;

statements! {
    COMPARTMENT_BY_OCID =
        "SELECT c.id, c.ocid, c.tenancy_id, p.ocid AS parent, c.name, c.description, c.tags, c.created_at, c.revision, c.deleted_at
         FROM compartment c LEFT JOIN compartment p ON p.id = c.parent_id WHERE c.ocid = $1";
    COMPARTMENTS_BY_TENANCY =
        "SELECT c.id, c.ocid, c.tenancy_id, p.ocid AS parent, c.name, c.description, c.tags, c.created_at, c.revision, c.deleted_at
         FROM compartment c LEFT JOIN compartment p ON p.id = c.parent_id WHERE c.tenancy_id = $1 ORDER BY c.id";
    COMPARTMENT_COUNT = "SELECT COUNT(*) AS n FROM compartment WHERE tenancy_id = $1";
    COMPARTMENT_LIVE = "SELECT id FROM compartment WHERE id = $1 AND deleted_at IS NULL";
    COMPARTMENT_PARENT = "SELECT parent_id FROM compartment WHERE id = $1";
    COMPARTMENT_INSERT =
        "INSERT INTO compartment (ocid, tenancy_id, parent_id, name, description, tags, created_at, revision)
         VALUES ($1, $2, $3, $4, $5, $6, $7, 0)
         ON CONFLICT (parent_id, name) DO NOTHING RETURNING id";
    COMPARTMENT_NAMED = "SELECT id FROM compartment WHERE parent_id = $1 AND name = $2";
    COMPARTMENT_UPDATE =
        "UPDATE compartment SET name = $1, description = $2, tags = $3, revision = revision + 1
         WHERE id = $4 AND revision = $5 AND deleted_at IS NULL";
    COMPARTMENT_DELETE =
        "UPDATE compartment SET deleted_at = $1, name = $2, revision = revision + 1
         WHERE id = $3 AND revision = $4 AND deleted_at IS NULL";
    COMPARTMENT_RECOVER =
        "UPDATE compartment SET deleted_at = NULL, revision = revision + 1 WHERE id = $1 AND deleted_at IS NOT NULL";
    /// What a compartment holds, in words for the one who wants to delete it.
    COMPARTMENT_CONTENT =
        "SELECT 'compartment ' || name AS held FROM compartment WHERE parent_id = $1 AND deleted_at IS NULL
         UNION ALL SELECT 'policy ' || name FROM policy WHERE compartment_id = $1
         UNION ALL SELECT 'tag namespace ' || name FROM tag_namespace WHERE compartment_id = $1
         UNION ALL SELECT 'repository ' || name FROM repository WHERE compartment_id = $1 AND deleted_at IS NULL
         LIMIT 1";
}

row! {
    /// A compartment; the root's OCID is the tenancy's.
    pub struct Compartment {
        /// Internal id.
        pub id: i64,
        /// OCID.
        pub ocid: String,
        /// Internal id of the tenancy.
        pub tenancy_id: i64,
        /// OCID of the compartment it is in; `None` for the root.
        pub parent: Option<String>,
        /// Name, unique in its parent.
        pub name: String,
        /// What it is for.
        pub description: String,
        /// See [`tags::Tags::from_column`].
        pub tags: String,
        /// Microseconds since the epoch.
        pub created_at: i64,
        /// Counts its changes.
        pub revision: i64,
        /// Microseconds since the epoch, if it is deleted.
        pub deleted_at: Option<i64>,
    }
}

impl Protected for Compartment {
    /// The compartment itself.
    fn target(&self) -> Target {
        Target { tags: tags::conditions(&self.tags), ..self.place() }
    }
}

listing::listable!(Compartment, Compartment::lifecycle_state);

impl Compartment {
    /// The compartment as the place of something that is made or listed there.
    fn place(&self) -> Target {
        // A deleted one is no place for a policy any more: who may act on it is decided at the root.
        let compartment = self.ocid.parse().ok().filter(|_| self.deleted_at.is_none());
        Target { compartment, ..Target::tenancy(self.tenancy_id) }
    }

    /// Active, or deleted while it can be recovered.
    pub fn lifecycle_state(&self) -> LifecycleState {
        if self.deleted_at.is_some() { LifecycleState::Deleted } else { LifecycleState::Active }
    }
}

operations! {
    CREATE_COMPARTMENT = create_compartment { Durable, Serializable, audited };
    UPDATE_COMPARTMENT = update_compartment { Durable, Serializable, audited };
    DELETE_COMPARTMENT = delete_compartment { Durable, Serializable, audited };
    RECOVER_COMPARTMENT = recover_compartment { Durable, Serializable, audited };
}

/// What a compartment says besides its name; of an update, what is to change.
#[derive(Debug, Clone, Default)]
pub struct CompartmentText {
    /// What it is for.
    pub description: Option<String>,
    /// Its tags.
    pub tags: TagChanges,
}

impl<S: AsRef<str> + ?Sized> From<&S> for CompartmentText {
    fn from(description: &S) -> CompartmentText {
        CompartmentText { description: Some(description.as_ref().to_owned()), ..CompartmentText::default() }
    }
}

/// Levels below the root.
pub(crate) const MAX_DEPTH: usize = 6;
/// Deleted ones count for as long as they can be recovered.
const MAX_PER_TENANCY: i64 = 1_000;
/// How long a deleted compartment can be recovered: 90 days.
pub const RECOVERABLE_SECS: i64 = 90 * 86_400;

/// 1 to 100 letters, digits and `. - _`.
pub(crate) fn check_name(field: &'static str, name: &str) -> Result<(), Error> {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || ".-_".contains(c);
    if name.is_empty() || name.len() > 100 || !name.chars().all(is_allowed) {
        let value = name.chars().take(120).collect();
        return Err(Error::Invalid { field, value, remedy: "use 1 to 100 letters, digits, `.`, `-` or `_`" });
    }
    Ok(())
}

/// Fails if the compartment was deleted meanwhile. Every body that puts something into one asks this, and
/// the deletion asks what is in it: serializable transactions can't both go through.
pub fn require_live(tx: &mut Tx, compartment: &Compartment) -> Result<(), Error> {
    match tx.opt::<i64>(&COMPARTMENT_LIVE, &[&compartment.id])? {
        Some(_) => Ok(()),
        None => Err(not_found(&compartment.ocid)),
    }
}

fn not_found(ocid: &str) -> Error {
    Error::NotFound { what: "compartment", name: ocid.chars().take(255).collect() }
}

impl Ctx {
    /// A compartment that is not deleted, with the right asked for on what is in it.
    pub async fn compartment(&self, ocid: &str, permission: Permission) -> Result<Compartment, Error> {
        self.live_compartment(ocid, permission, Compartment::place).await
    }

    pub(crate) async fn live_compartment(
        &self,
        ocid: &str,
        permission: Permission,
        target: fn(&Compartment) -> Target,
    ) -> Result<Compartment, Error> {
        let compartment = self.any_compartment(ocid, permission, target).await?;
        if compartment.deleted_at.is_some() {
            return Err(not_found(ocid));
        }
        Ok(compartment)
    }

    /// A compartment that is not deleted, with the rights that an operation on a repository of that name
    /// in it needs; there need not be such a repository.
    pub async fn compartment_for_repository(
        &self,
        ocid: &str,
        repository: &str,
        permissions: &[Permission],
    ) -> Result<Compartment, Error> {
        let with = Target { repository: Some(repository.to_owned()), ..Target::tenancy(0) };
        self.compartment_for(ocid, with, permissions).await
    }

    /// As [`Ctx::compartment_for_repository`], for a policy; of `with`, what conditions see of it counts.
    pub(crate) async fn compartment_for_policy(
        &self,
        ocid: &str,
        with: Target,
        permission: Permission,
    ) -> Result<Compartment, Error> {
        let ocid: Ocid = ocid.parse().map_err(|_| self.refuse(permission))?;
        self.compartment_for(ocid.as_str(), with, &[permission]).await
    }

    async fn compartment_for(
        &self,
        ocid: &str,
        with: Target,
        permissions: &[Permission],
    ) -> Result<Compartment, Error> {
        let first = permissions.first().copied().unwrap_or(Permission::CompartmentInspect);
        let found: Option<Compartment> = self.store().opt(&COMPARTMENT_BY_OCID, &[&ocid]).await?;
        let found = found.filter(|compartment| compartment.deleted_at.is_none());
        let compartment = found.ok_or_else(|| self.refuse(first))?;
        let Target { tenancy_id, compartment: id, .. } = compartment.place();
        let target = Target { tenancy_id, compartment: id, ..with };
        for permission in permissions {
            self.require(*permission, &target)?;
        }
        Ok(compartment)
    }

    async fn any_compartment(
        &self,
        ocid: &str,
        permission: Permission,
        target: fn(&Compartment) -> Target,
    ) -> Result<Compartment, Error> {
        let ocid: Ocid = ocid.parse().map_err(|_| self.refuse(permission))?;
        // No tenancy is known for an identifier that is not there.
        let absent = Target::tenancy(0);
        let what = ("compartment", ocid.as_str());
        self.lookup_as(&COMPARTMENT_BY_OCID, &[&ocid.as_str()], permission, &absent, what, target).await
    }
}

/// Creates a compartment in another one.
pub async fn create_compartment(
    ctx: &Ctx,
    parent: &str,
    name: &str,
    text: impl Into<CompartmentText>,
) -> Result<Compartment, Error> {
    let CompartmentText { description, tags } = text.into();
    let parent = ctx.compartment(parent, Permission::CompartmentCreate).await?;
    check_name("name", name)?;
    let description = description.unwrap_or_default();
    fields::check_description(&description)?;
    let tags = tags.check(ctx, parent.tenancy_id, NO_TAGS).await?;
    let ocid = secret::new_ocid(ResourceKind::Compartment)?.to_string();
    let name = name.to_owned();
    let (origin, once) = (ctx.origin(), ctx.once());
    let created = ctx
        .store()
        .write(&CREATE_COMPARTMENT, move |tx| {
            once.check(tx)?;
            require_live(tx, &parent)?;
            if depth(tx, parent.id)? >= MAX_DEPTH {
                return Err(Error::Conflict(format!(
                    "compartments are nested {MAX_DEPTH} levels deep at most"
                )));
            }
            if tx.one::<i64>(&COMPARTMENT_COUNT, &[&parent.tenancy_id])? >= MAX_PER_TENANCY {
                return Err(Error::Conflict(format!("a tenancy has {MAX_PER_TENANCY} compartments at most")));
            }
            let tags = tags.put(tx, NO_TAGS)?;
            let args: &[&dyn wharfinger_metastore::Param] =
                &[&ocid, &parent.tenancy_id, &parent.id, &name, &description, &tags, &origin.at.0];
            let id = tx.opt(&COMPARTMENT_INSERT, args)?;
            let id: i64 = id.ok_or_else(|| Error::NameTaken { what: "compartment", name: name.clone() })?;
            once.note(tx, &ocid)?;
            rights::changed(tx, parent.tenancy_id)?;
            let subject = Subject::new(&ocid, &name).with("tags", tags.as_str());
            wharfinger_audit::record(tx, parent.tenancy_id, &origin, &subject)?;
            Ok(Compartment {
                id,
                ocid: ocid.clone(),
                tenancy_id: parent.tenancy_id,
                parent: Some(parent.ocid.clone()),
                name: name.clone(),
                description: description.clone(),
                tags,
                created_at: origin.at.0,
                revision: 0,
                deleted_at: None,
            })
        })
        .await;
    match created {
        Err(Error::Repeated { made }) => {
            ctx.compartment(&made, Permission::CompartmentCreate).await.map_err(conditions::gone_since)
        }
        created => created,
    }
}

/// How many levels below the root a compartment is.
fn depth(tx: &mut Tx, id: i64) -> Result<usize, Error> {
    let mut depth = 0;
    let mut at = id;
    while let Some(parent) = tx.one::<Option<i64>>(&COMPARTMENT_PARENT, &[&at])? {
        depth += 1;
        at = parent;
    }
    Ok(depth)
}

/// A compartment, deleted ones included while they can be recovered.
pub async fn get_compartment(ctx: &Ctx, ocid: &str) -> Result<Compartment, Error> {
    let permission = Permission::CompartmentInspect;
    let compartment = ctx.any_compartment(ocid, permission, Compartment::target).await?;
    if is_gone(&compartment, ctx.now().0) {
        return Err(not_found(ocid));
    }
    Ok(compartment)
}

pub(crate) fn is_gone(compartment: &Compartment, now: i64) -> bool {
    compartment.deleted_at.is_some_and(|at| at.saturating_add(RECOVERABLE_SECS * 1_000_000) < now)
}

/// Which compartments a list has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccessLevel {
    /// Those that the principal may inspect, for one who may inspect the compartment whose list it is.
    Any,
    /// Those that the principal may inspect or has repositories in that it may, and those above them; of the
    /// latter no more than the name.
    Accessible,
}

/// The children of a compartment, or of the root all that is below it. What the principal may not see is
/// left out.
pub async fn list_compartments(
    ctx: &Ctx,
    parent: &str,
    subtree: bool,
    access: AccessLevel,
    listing: &Listing,
) -> Result<Listed<Compartment>, Error> {
    if access == AccessLevel::Accessible {
        return list_accessible(ctx, parent, subtree, listing).await;
    }
    let parent = ctx.compartment(parent, Permission::CompartmentInspect).await?;
    check_subtree(&parent, subtree)?;
    let all: Vec<Compartment> = ctx.store().all(&COMPARTMENTS_BY_TENANCY, &[&parent.tenancy_id]).await?;
    let is_wanted = |row: &Compartment| {
        is_below(row, &parent, subtree)
            && !is_gone(row, ctx.now().0)
            && ctx.allows(Permission::CompartmentInspect, &row.place())
    };
    listing::page_of(all.into_iter().filter(is_wanted).collect(), listing)
}

/// As [`list_compartments`], for one who need not have a right on the parent itself.
async fn list_accessible(
    ctx: &Ctx,
    parent: &str,
    subtree: bool,
    listing: &Listing,
) -> Result<Listed<Compartment>, Error> {
    let refuse = || ctx.refuse(Permission::CompartmentInspect);
    let ocid: Ocid = parent.parse().map_err(|_| refuse())?;
    let found: Option<Compartment> = ctx.store().opt(&COMPARTMENT_BY_OCID, &[&ocid.as_str()]).await?;
    let parent = found.filter(|parent| parent.deleted_at.is_none()).ok_or_else(refuse)?;
    let all: Vec<Compartment> = ctx.store().all(&COMPARTMENTS_BY_TENANCY, &[&parent.tenancy_id]).await?;
    let live = all.into_iter().filter(|row| row.deleted_at.is_none());
    let may = |row: &Compartment, right| ctx.allows(right, &row.place());
    let inspected = |row: Compartment| {
        let is_seen = may(&row, Permission::CompartmentInspect);
        (row, is_seen)
    };
    let seen: Vec<(Compartment, bool)> = live.map(inspected).collect();
    let has = |row: &Compartment, is_seen: bool| is_seen || may(row, Permission::RepositoryInspect);
    let mut accessible: HashSet<&str> = HashSet::new();
    for (row, is_seen) in &seen {
        let mut at = has(row, *is_seen).then_some(row);
        while let Some(row) = at.filter(|row| accessible.insert(&row.ocid)) {
            at = seen.iter().map(|(above, _)| above).find(|above| Some(&above.ocid) == row.parent.as_ref());
        }
    }
    if !accessible.contains(parent.ocid.as_str()) {
        return Err(refuse());
    }
    check_subtree(&parent, subtree)?;
    let rows = seen
        .iter()
        .filter(|(row, _)| is_below(row, &parent, subtree) && accessible.contains(row.ocid.as_str()));
    let shown = |(row, is_seen): &(Compartment, bool)| match is_seen {
        true => row.clone(),
        false => Compartment { description: String::new(), tags: NO_TAGS.to_owned(), ..row.clone() },
    };
    listing::page_of(rows.map(shown).collect(), listing)
}

fn check_subtree(parent: &Compartment, subtree: bool) -> Result<(), Error> {
    if subtree && parent.parent.is_some() {
        let remedy = "list the subtree of the tenancy's root only";
        return Err(Error::Invalid { field: "compartmentIdInSubtree", value: "true".to_owned(), remedy });
    }
    Ok(())
}

fn is_below(row: &Compartment, parent: &Compartment, subtree: bool) -> bool {
    if subtree { row.parent.is_some() } else { row.parent.as_deref() == Some(&parent.ocid) }
}

/// Renames a compartment or describes it anew. Statements that name it by its old name give nothing
/// any more.
pub async fn update_compartment(
    ctx: &Ctx,
    ocid: &str,
    name: Option<&str>,
    text: CompartmentText,
) -> Result<Compartment, Error> {
    let old = ctx.live_compartment(ocid, Permission::CompartmentUpdate, Compartment::target).await?;
    let name = name.unwrap_or(&old.name).to_owned();
    let description = text.description.unwrap_or_else(|| old.description.clone());
    check_name("name", &name)?;
    fields::check_description(&description)?;
    if old.parent.is_none() && name != old.name {
        let remedy = "the tenancy's root can't be renamed";
        return Err(Error::Invalid { field: "name", value: name, remedy });
    }
    ctx.conditions().check_revision(old.revision)?;
    let tags = text.tags.check(ctx, old.tenancy_id, &old.tags).await?;
    let origin = ctx.origin();
    ctx.store()
        .write(&UPDATE_COMPARTMENT, move |tx| {
            let is_renamed = name != old.name;
            if is_renamed && is_taken(tx, old.id, &name)? {
                return Err(Error::NameTaken { what: "compartment", name: name.clone() });
            }
            let tags = tags.put(tx, &old.tags)?;
            if tx.run(&COMPARTMENT_UPDATE, &[&name, &description, &tags, &old.id, &old.revision])? == 0 {
                return Err(Error::NoEtagMatch);
            }
            rights::changed(tx, old.tenancy_id)?;
            let subject = Subject::new(&old.ocid, &name).with("tags", tags.as_str());
            wharfinger_audit::record(tx, old.tenancy_id, &origin, &subject)?;
            let (name, description) = (name.clone(), description.clone());
            Ok(Compartment { name, description, tags, revision: old.revision + 1, ..old.clone() })
        })
        .await
}

fn is_taken(tx: &mut Tx, id: i64, name: &str) -> Result<bool, Error> {
    let parent = tx.one::<Option<i64>>(&COMPARTMENT_PARENT, &[&id])?;
    Ok(tx.opt::<i64>(&COMPARTMENT_NAMED, &[&parent, &name])?.is_some())
}

/// Deletes a compartment that holds nothing. Its name is free at once: the deleted one gets a suffix. One
/// that holds something stays as it is, and the work request says what it holds.
pub async fn delete_compartment(ctx: &Ctx, ocid: &str) -> Result<WorkRequest, Error> {
    let old = ctx.live_compartment(ocid, Permission::CompartmentDelete, Compartment::target).await?;
    if old.parent.is_none() {
        let remedy = "the tenancy's root can't be deleted";
        return Err(Error::Invalid { field: "compartmentId", value: old.ocid, remedy });
    }
    ctx.conditions().check_revision(old.revision)?;
    let suffix: String = secret::random::<4>()?.iter().map(|byte| format!("{byte:02x}")).collect();
    let name = format!("{}.{suffix}", old.name.get(..91).unwrap_or(&old.name));
    let parent = old.parent.as_ref().unwrap_or(&old.ocid);
    let kind = Kind::DeleteCompartment;
    let request = WorkRequest::of(kind, &old.ocid, parent, old.tenancy_id, ctx.now())?;
    let origin = ctx.origin();
    ctx.store()
        .write(&DELETE_COMPARTMENT, move |tx| {
            let subject = Subject::new(&old.ocid, &old.name);
            if let Some(held) = tx.opt::<String>(&COMPARTMENT_CONTENT, &[&old.id])? {
                let failure = format!("compartment `{}` still holds {held}", old.name);
                let subject = subject.with("failure", failure.as_str());
                let request = WorkRequest { failure: Some(failure), ..request.clone() };
                work_requests::insert(tx, &request)?;
                wharfinger_audit::record(tx, old.tenancy_id, &origin, &subject)?;
                return Ok(request);
            }
            // A new compartment of that name gets none of its statements, and it has them again if it is recovered.
            let policies =
                rights::follow(tx, old.tenancy_id, &old.ocid, |place| place.name.clone_from(&name))?;
            let subject = subject.with("changedPolicies", policies);
            if tx.run(&COMPARTMENT_DELETE, &[&origin.at.0, &name, &old.id, &old.revision])? == 0 {
                return Err(Error::NoEtagMatch);
            }
            work_requests::insert(tx, &request)?;
            rights::changed(tx, old.tenancy_id)?;
            wharfinger_audit::record(tx, old.tenancy_id, &origin, &subject)?;
            Ok(request.clone())
        })
        .await
}

/// Brings a deleted compartment back, under the name it got when it was deleted.
pub async fn recover_compartment(ctx: &Ctx, ocid: &str) -> Result<Compartment, Error> {
    let permission = Permission::CompartmentRecover;
    let old = ctx.any_compartment(ocid, permission, Compartment::target).await?;
    if old.deleted_at.is_none() || is_gone(&old, ctx.now().0) {
        return Err(not_found(ocid));
    }
    ctx.conditions().check_revision(old.revision)?;
    let origin = ctx.origin();
    ctx.store()
        .write(&RECOVER_COMPARTMENT, move |tx| {
            let parent = tx.one::<Option<i64>>(&COMPARTMENT_PARENT, &[&old.id])?;
            if tx.opt::<i64>(&COMPARTMENT_LIVE, &[&parent])?.is_none() {
                return Err(Error::Conflict("its parent is deleted: recover that first".to_owned()));
            }
            if tx.run(&COMPARTMENT_RECOVER, &[&old.id])? == 0 {
                return Err(Error::NoEtagMatch);
            }
            rights::changed(tx, old.tenancy_id)?;
            wharfinger_audit::record(tx, old.tenancy_id, &origin, &Subject::new(&old.ocid, &old.name))?;
            Ok(Compartment { deleted_at: None, revision: old.revision + 1, ..old.clone() })
        })
        .await
}

/// OCIDs of a compartment and of all that are below it.
pub(crate) async fn subtree(ctx: &Ctx, top: &Compartment) -> Result<HashSet<String>, Error> {
    let all: Vec<Compartment> = ctx.store().all(&COMPARTMENTS_BY_TENANCY, &[&top.tenancy_id]).await?;
    let mut within = HashSet::from([top.ocid.clone()]);
    // Each round reaches one level more.
    for _ in 0..MAX_DEPTH {
        let is_below = |row: &&Compartment| row.parent.as_ref().is_some_and(|parent| within.contains(parent));
        let below: Vec<String> = all.iter().filter(is_below).map(|row| row.ocid.clone()).collect();
        within.extend(below);
    }
    Ok(within)
}

/// A compartment by its path below the root, such as `dev:team`; empty is the root.
pub async fn by_path(
    ctx: &Ctx,
    tenancy: &Tenancy,
    path: &str,
    permission: Permission,
) -> Result<Compartment, Error> {
    let all: Vec<Compartment> = ctx.store().all(&COMPARTMENTS_BY_TENANCY, &[&tenancy.id]).await?;
    let mut at = tenancy.root_ocid.as_str();
    for name in path.split(':').filter(|name| !name.is_empty()) {
        let child = all.iter().find(|compartment| {
            compartment.parent.as_deref() == Some(at)
                && compartment.name == name
                && compartment.deleted_at.is_none()
        });
        let Some(child) = child else {
            let absent = Target::tenancy(tenancy.id);
            let is_known = ctx.allows(Permission::CompartmentInspect, &absent);
            return Err(if is_known { not_found(path) } else { ctx.refuse(permission) });
        };
        at = &child.ocid;
    }
    ctx.compartment(at, permission).await
}
