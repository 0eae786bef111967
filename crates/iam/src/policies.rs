//! Policies: named lists of statements, each attached to a compartment.

use wharfinger_audit::Subject;
use wharfinger_metastore::{Args, operations, row, statements};
use wharfinger_policy::{
    Effect, MAX_STATEMENT, Policy as Statements, Statement, check_policy, parse_statement,
};
use wharfinger_types::{Ocid, Permission, ResourceKind};

use crate::compartments::{self, Compartment};
use crate::listing;
use crate::tags::{self, NO_TAGS, TagChanges};
use crate::{Ctx, Error, Listed, Listing, Protected, Target, Tenancy, conditions, fields, rights, secret};

statements! {
    POLICY_BY_OCID =
        "SELECT p.id, p.ocid, p.tenancy_id, c.ocid AS compartment, p.name, p.description, p.statements, p.version_date,
                p.is_default, p.tags, p.created_at, p.revision
         FROM policy p JOIN compartment c ON c.id = p.compartment_id WHERE p.ocid = $1";
    POLICIES_BY_COMPARTMENT =
        "SELECT p.id, p.ocid, p.tenancy_id, c.ocid AS compartment, p.name, p.description, p.statements, p.version_date,
                p.is_default, p.tags, p.created_at, p.revision
         FROM policy p JOIN compartment c ON c.id = p.compartment_id WHERE p.compartment_id = $1 ORDER BY p.name";
    POLICY_COUNT = "SELECT COUNT(*) AS n FROM policy WHERE tenancy_id = $1";
    POLICY_INSERT =
        "INSERT INTO policy (ocid, tenancy_id, compartment_id, name, description, statements, version_date, is_default, tags,
                             created_at, revision)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 0) ON CONFLICT (tenancy_id, name) DO NOTHING RETURNING id";
    POLICY_UPDATE =
        "UPDATE policy SET description = $1, statements = $2, version_date = $3, tags = $4, revision = revision + 1
         WHERE id = $5 AND revision = $6";
    POLICY_DELETE = "DELETE FROM policy WHERE id = $1 AND revision = $2";
}

row! {
    /// A policy.
    pub struct Policy {
        /// Internal id.
        pub id: i64,
        /// OCID.
        pub ocid: String,
        /// Internal id of the tenancy.
        pub tenancy_id: i64,
        /// OCID of the compartment it is attached to.
        pub compartment: String,
        /// Name, unique in the tenancy.
        pub name: String,
        /// What it is for.
        pub description: String,
        statements: String,
        /// The date whose meaning of the verbs it has, as given.
        pub version_date: Option<String>,
        /// Whether it is the system's own and can't be changed.
        pub is_default: bool,
        /// See [`tags::Tags::from_column`].
        pub tags: String,
        /// Microseconds since the epoch.
        pub created_at: i64,
        /// Counts its changes.
        pub revision: i64,
    }
}

impl Policy {
    /// Its statements, one a text.
    pub fn statements(&self) -> Vec<String> {
        serde_json::from_str(&self.statements).unwrap_or_default()
    }
}

impl Protected for Policy {
    fn target(&self) -> Target {
        let name = ("target.policy.name", self.name.clone());
        Target {
            compartment: self.compartment.parse().ok(),
            policy_types: types(&self.statements()),
            tags: tags::conditions(&self.tags),
            variables: vec![name, ("target.policy.id", self.ocid.clone())],
            ..Target::tenancy(self.tenancy_id)
        }
    }
}

listing::listable!(Policy);

operations! {
    CREATE_POLICY = create_policy { Durable, Serializable, audited };
    UPDATE_POLICY = update_policy { Durable, Serializable, audited };
    DELETE_POLICY = delete_policy { Durable, Serializable, audited };
}

const MAX_STATEMENTS: usize = 50;
const MAX_PER_TENANCY: i64 = 100;

/// What a policy says; of an update, what is to change.
#[derive(Debug, Clone, Default)]
pub struct PolicyText {
    /// What it is for.
    pub description: Option<String>,
    /// Its statements.
    pub statements: Option<Vec<String>>,
    /// The date whose meaning of the verbs it is to have.
    pub version_date: Option<String>,
    /// Its tags.
    pub tags: TagChanges,
}

/// Creates a policy. Statements with a mistake are refused, all mistakes at once.
pub async fn create_policy(
    ctx: &Ctx,
    compartment: &str,
    name: &str,
    text: PolicyText,
) -> Result<Policy, Error> {
    let statements = text.statements.unwrap_or_default();
    let with = Target { policy_types: types(&statements), ..Target::tenancy(0) };
    let compartment = ctx.compartment_for_policy(compartment, with, Permission::PolicyCreate).await?;
    compartments::check_name("name", name)?;
    let ocid = secret::new_ocid(ResourceKind::Policy)?.to_string();
    check(ctx, &compartment, &ocid, name, &statements).await?;
    let policy = Policy {
        id: 0,
        ocid,
        tenancy_id: compartment.tenancy_id,
        compartment: compartment.ocid.clone(),
        name: name.to_owned(),
        description: text.description.unwrap_or_default(),
        statements: serde_json::to_string(&statements).unwrap_or_default(),
        version_date: text.version_date.filter(|date| !date.is_empty()),
        is_default: false,
        tags: NO_TAGS.to_owned(),
        created_at: ctx.now().0,
        revision: 0,
    };
    check_text(&policy)?;
    let tags = text.tags.check(ctx, policy.tenancy_id, NO_TAGS).await?;
    let (origin, once) = (ctx.origin(), ctx.once());
    let created = ctx
        .store()
        .write(&CREATE_POLICY, move |tx| {
            once.check(tx)?;
            compartments::require_live(tx, &compartment)?;
            if tx.one::<i64>(&POLICY_COUNT, &[&policy.tenancy_id])? >= MAX_PER_TENANCY {
                return Err(Error::Conflict(format!("a tenancy has {MAX_PER_TENANCY} policies at most")));
            }
            let policy = Policy { tags: tags.put(tx, NO_TAGS)?, ..policy.clone() };
            let id = insert(tx, &policy, compartment.id)?;
            once.note(tx, &policy.ocid)?;
            rights::changed(tx, policy.tenancy_id)?;
            let subject = Subject::new(&policy.ocid, &policy.name).with("statements", policy.statements());
            let subject = subject.with("tags", policy.tags.as_str());
            wharfinger_audit::record(tx, policy.tenancy_id, &origin, &subject)?;
            Ok(Policy { id, ..policy })
        })
        .await;
    match created {
        Err(Error::Repeated { made }) => {
            find(ctx, &made, Permission::PolicyCreate).await.map_err(conditions::gone_since)
        }
        created => created,
    }
}

/// Inserts the row of a policy.
pub(crate) fn insert(
    tx: &mut wharfinger_metastore::Tx,
    policy: &Policy,
    compartment_id: i64,
) -> Result<i64, Error> {
    let args: &[&dyn wharfinger_metastore::Param] = &[
        &policy.ocid,
        &policy.tenancy_id,
        &compartment_id,
        &policy.name,
        &policy.description,
        &policy.statements,
        &policy.version_date,
        &policy.is_default,
        &policy.tags,
        &policy.created_at,
    ];
    let id = tx.opt(&POLICY_INSERT, args)?;
    id.ok_or_else(|| Error::NameTaken { what: "policy", name: policy.name.clone() })
}

/// The policy that gives the tenancy's administrators everything.
pub(crate) fn tenant_admin_policy(ocid: String, tenancy_id: i64, root: String, created_at: i64) -> Policy {
    Policy {
        id: 0,
        ocid,
        tenancy_id,
        compartment: root,
        name: wharfinger_policy::TENANT_ADMIN_POLICY.to_owned(),
        description: "Gives the Administrators group everything in the tenancy.".to_owned(),
        statements: serde_json::to_string(&[wharfinger_policy::TENANT_ADMIN_STATEMENT]).unwrap_or_default(),
        version_date: None,
        is_default: true,
        tags: NO_TAGS.to_owned(),
        created_at,
        revision: 0,
    }
}

/// The policy that comes with deny statements: who may write more of them. Its name is none that anybody can
/// give.
pub(crate) fn deny_guard_policy(
    ocid: String,
    tenancy: &Tenancy,
    enabled_by: &Ocid,
    created_at: i64,
) -> Policy {
    let statement = wharfinger_policy::deny_guard_statement(enabled_by);
    Policy {
        name: "Deny Policy Guard".to_owned(),
        description: "Says who may write deny statements.".to_owned(),
        statements: serde_json::to_string(&[statement]).unwrap_or_default(),
        is_default: false,
        ..tenant_admin_policy(ocid, tenancy.id, tenancy.root_ocid.clone(), created_at)
    }
}

/// A policy by its OCID.
pub async fn get_policy(ctx: &Ctx, ocid: &str) -> Result<Policy, Error> {
    find(ctx, ocid, Permission::PolicyRead).await
}

async fn find(ctx: &Ctx, ocid: &str, permission: Permission) -> Result<Policy, Error> {
    let ocid: wharfinger_types::Ocid = ocid.parse().map_err(|_| ctx.refuse(permission))?;
    let (absent, what) = (Target::tenancy(0), ("policy", ocid.as_str()));
    ctx.lookup_or(&POLICY_BY_OCID, &[&ocid.as_str()], permission, &absent, what).await
}

/// The policies attached to a compartment.
pub async fn list_policies(ctx: &Ctx, compartment: &str, listing: &Listing) -> Result<Listed<Policy>, Error> {
    let compartment = ctx.compartment(compartment, Permission::PolicyRead).await?;
    listing::page_of(ctx.store().all(&POLICIES_BY_COMPARTMENT, &[&compartment.id]).await?, listing)
}

/// Changes a policy, from the next request on.
pub async fn update_policy(ctx: &Ctx, ocid: &str, text: PolicyText) -> Result<Policy, Error> {
    let old = changeable(find(ctx, ocid, Permission::PolicyUpdate).await?)?;
    ctx.conditions().check_revision(old.revision)?;
    let mut policy = Policy { revision: old.revision + 1, ..old };
    if let Some(statements) = text.statements {
        let with = Target { policy_types: types(&statements), ..policy.target() };
        let at = &policy.compartment;
        let compartment = ctx.compartment_for_policy(at, with, Permission::PolicyUpdate).await?;
        check(ctx, &compartment, &policy.ocid, &policy.name, &statements).await?;
        policy.statements = serde_json::to_string(&statements).unwrap_or_default();
    }
    policy.description = text.description.unwrap_or(policy.description);
    policy.version_date = match text.version_date {
        Some(date) => Some(date).filter(|date| !date.is_empty()),
        None => policy.version_date,
    };
    check_text(&policy)?;
    let tags = text.tags.check(ctx, policy.tenancy_id, &policy.tags).await?;
    let origin = ctx.origin();
    ctx.store()
        .write(&UPDATE_POLICY, move |tx| {
            let policy = Policy { tags: tags.put(tx, &policy.tags)?, ..policy.clone() };
            let Policy { description, statements, version_date, tags, id, revision, .. } = &policy;
            let args: Args<'_> = &[description, statements, version_date, tags, id, &(revision - 1)];
            if tx.run(&POLICY_UPDATE, args)? == 0 {
                return Err(Error::NoEtagMatch);
            }
            rights::changed(tx, policy.tenancy_id)?;
            let subject = Subject::new(&policy.ocid, &policy.name).with("statements", policy.statements());
            let subject = subject.with("tags", policy.tags.as_str());
            wharfinger_audit::record(tx, policy.tenancy_id, &origin, &subject)?;
            Ok(policy)
        })
        .await
}

/// Deletes a policy. What it gave is gone from the next request on.
pub async fn delete_policy(ctx: &Ctx, ocid: &str) -> Result<(), Error> {
    let old = changeable(find(ctx, ocid, Permission::PolicyDelete).await?)?;
    ctx.conditions().check_revision(old.revision)?;
    let origin = ctx.origin();
    ctx.store()
        .write(&DELETE_POLICY, move |tx| {
            if tx.run(&POLICY_DELETE, &[&old.id, &old.revision])? == 0 {
                return Err(Error::NoEtagMatch);
            }
            rights::changed(tx, old.tenancy_id)?;
            wharfinger_audit::record(tx, old.tenancy_id, &origin, &Subject::new(&old.ocid, &old.name))?;
            Ok(())
        })
        .await
}

/// Of which types the statements are: what conditions know as `target.policy.type`.
fn types(statements: &[String]) -> &'static [&'static str] {
    let is_deny = |text: &String| {
        let statement = parse_statement(text).statement;
        matches!(statement, Some(Statement::Rule(rule)) if rule.effect == Effect::Deny)
    };
    let denies =
        statements.iter().take(MAX_STATEMENTS).filter(|text| text.len() <= MAX_STATEMENT && is_deny(text));
    match denies.count() {
        0 => &["ALLOW"],
        count if count == statements.len() => &["DENY"],
        _ => &["ALLOW", "DENY"],
    }
}

fn changeable(policy: Policy) -> Result<Policy, Error> {
    if policy.is_default {
        let remedy = "it is the system's own, which nobody can change";
        return Err(Error::Invalid { field: "policyId", value: policy.ocid, remedy });
    }
    Ok(policy)
}

fn check_text(policy: &Policy) -> Result<(), Error> {
    fields::check_description(&policy.description)?;
    let is_date = |date: &str| date.len() <= 40 && date.bytes().all(|byte| byte.is_ascii_graphic());
    match &policy.version_date {
        Some(date) if !is_date(date) => {
            let value = date.chars().take(40).collect();
            Err(Error::Invalid { field: "versionDate", value, remedy: "use a date such as `2026-01-31`" })
        }
        _ => Ok(()),
    }
}

/// Refuses statements that could not be used in the compartment, naming every mistake.
async fn check(
    ctx: &Ctx,
    compartment: &Compartment,
    ocid: &str,
    name: &str,
    statements: &[String],
) -> Result<(), Error> {
    if statements.is_empty() || statements.len() > MAX_STATEMENTS {
        let found = statements.len();
        return Err(Error::Statements(format!("{found} statements: use 1 to {MAX_STATEMENTS}")));
    }
    if let Some(index) = statements.iter().position(|text| text.len() > MAX_STATEMENT || text.contains('\0'))
    {
        let message = format!("statement {}: use at most {MAX_STATEMENT} bytes and no NUL", index + 1);
        return Err(Error::Statements(message));
    }
    let rights = ctx.iam().current_rights(compartment.tenancy_id).await?;
    let policy = Statements {
        id: ocid.parse()?,
        name: name.to_owned(),
        compartment: compartment.ocid.parse()?,
        statements: statements.to_vec(),
    };
    let problems = check_policy(&policy, rights.set.tree(), &rights.options);
    let errors = problems.iter().filter(|problem| problem.diagnostic.is_error());
    let errors: Vec<String> = errors
        .map(|problem| format!("statement {}: {}", problem.statement + 1, problem.diagnostic.text()))
        .collect();
    if errors.is_empty() { Ok(()) } else { Err(Error::Statements(errors.join("; "))) }
}
