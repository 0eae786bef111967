//! Tenancies: founding one, and finding one by its namespace.

use std::sync::PoisonError;

use wharfinger_audit::Subject;
use wharfinger_metastore::{Tx, operations, row, statements};
use wharfinger_policy::DenyStatements;
use wharfinger_types::{Namespace, Ocid, Permission, ResourceKind};

use crate::bootstrap::{Founding, FoundingSpec};
use crate::registry_tokens::TOKEN_KEY_INSERT;
use crate::users::DEFAULT_DOMAIN;
use crate::{
    Ctx, Error, Iam, Principal, Protected, Target, bootstrap, domains, policies, rights, secret, users,
};

statements! {
    /// A tenancy and its root compartment.
    TENANCY_BY_NAMESPACE =
        "SELECT t.id, t.ocid, t.namespace, t.name, t.region, t.region_key, c.id AS root_id, c.ocid AS root_ocid
         FROM tenancy t JOIN compartment c ON c.tenancy_id = t.id AND c.parent_id IS NULL
         WHERE t.namespace = $1";
    TENANCY_BY_ID =
        "SELECT t.id, t.ocid, t.namespace, t.name, t.region, t.region_key, c.id AS root_id, c.ocid AS root_ocid
         FROM tenancy t JOIN compartment c ON c.tenancy_id = t.id AND c.parent_id IS NULL
         WHERE t.id = $1";
    /// The tenancy that bootstrap founded.
    TENANCY_FIRST =
        "SELECT t.id, t.ocid, t.namespace, t.name, t.region, t.region_key, c.id AS root_id, c.ocid AS root_ocid
         FROM tenancy t JOIN compartment c ON c.tenancy_id = t.id AND c.parent_id IS NULL
         WHERE t.id = (SELECT MIN(id) FROM tenancy)";
    TENANCY_BY_NAME =
        "SELECT t.id, t.ocid, t.namespace, t.name, t.region, t.region_key, c.id AS root_id, c.ocid AS root_ocid
         FROM tenancy t JOIN compartment c ON c.tenancy_id = t.id AND c.parent_id IS NULL
         WHERE t.name = $1";
    TENANCY_ENFORCE_DENY =
        "UPDATE tenancy SET has_deny_statements = TRUE WHERE id = $1 AND NOT has_deny_statements";
    /// Whether a push may create the repository it names.
    TENANCY_CREATES_ON_PUSH = "SELECT create_on_first_push FROM tenancy WHERE id = $1";
    TENANCY_INSERT =
        "INSERT INTO tenancy (ocid, namespace, name, region, region_key, create_on_first_push, created_at, has_deny_statements, rights_version)
         VALUES ($1, $2, $3, $4, $5, $6, $7, FALSE, 0) ON CONFLICT DO NOTHING RETURNING id";
    ROOT_INSERT =
        "INSERT INTO compartment (ocid, tenancy_id, name, description, tags, created_at, revision)
         VALUES ($1, $2, $3, 'The root of the tenancy', '{}', $4, 0) RETURNING id";
}

row! {
    /// A tenancy and its root compartment, whose OCID is the tenancy's own.
    pub struct Tenancy {
        /// Internal id.
        pub id: i64,
        /// OCID.
        pub ocid: String,
        /// First component of its image names.
        pub namespace: String,
        /// Name as people know it.
        pub name: String,
        /// Region identifier.
        pub region: String,
        /// Three letters for the region.
        pub region_key: String,
        /// Internal id of the root compartment.
        pub root_id: i64,
        /// OCID of the root compartment.
        pub root_ocid: String,
    }
}

operations! {
    /// Founds another tenancy.
    CREATE_TENANCY = create_tenancy { Durable, Serializable, audited };
    UPDATE_TENANCY = update_tenancy { Durable, Serializable, audited };
}

impl Protected for Tenancy {
    fn target(&self) -> Target {
        Target::tenancy(self.id)
    }
}

/// Makes deny statements count in the tenancy of that name, for good. With it comes the policy that says who may
/// write them: Administrators, and the user who does this.
pub async fn update_tenancy(ctx: &Ctx, name: &str) -> Result<Tenancy, Error> {
    let permission = Permission::TenancyUpdate;
    let (absent, clean) = (Target::tenancy(0), name.replace('\0', ""));
    let what = ("tenancy", clean.as_str());
    let tenancy: Tenancy = ctx.lookup_or(&TENANCY_BY_NAME, &[&clean], permission, &absent, what).await?;
    ctx.require_administrator(permission, tenancy.id)?;
    if ctx.iam().current_rights(tenancy.id).await?.options.deny == DenyStatements::Enforced {
        return Ok(tenancy);
    }
    let ocid = secret::new_ocid(ResourceKind::Policy)?.to_string();
    // The local administrator is no user; then the statement names none.
    let enabled_by = match ctx.principal() {
        Principal::User(user) => user.ocid.parse()?,
        _ => tenancy.ocid.parse()?,
    };
    let guard = policies::deny_guard_policy(ocid, &tenancy, &enabled_by, ctx.now().0);
    let origin = ctx.origin();
    ctx.store()
        .write(&UPDATE_TENANCY, move |tx| {
            if tx.run(&TENANCY_ENFORCE_DENY, &[&tenancy.id])? == 0 {
                return Err(Error::Conflict("deny statements were switched on meanwhile".to_owned()));
            }
            policies::insert(tx, &guard, tenancy.root_id)?;
            rights::changed(tx, tenancy.id)?;
            let subject = Subject::new(&tenancy.ocid, &tenancy.name).with("denyPolicies", true);
            wharfinger_audit::record(tx, tenancy.id, &origin, &subject)?;
            Ok(tenancy.clone())
        })
        .await
}

/// Founds another tenancy with an administrator of its own.
pub async fn create_tenancy(ctx: &Ctx, name: &str, namespace: Option<Namespace>) -> Result<Founding, Error> {
    ctx.require(Permission::TenancyCreate, &Target::tenancy(0))?;
    users::check_name("name", name)?;
    let first = first(ctx.iam()).await?;
    let create_on_first_push = creates_on_push(ctx.iam(), first.id).await?;
    let spec = FoundingSpec::new(namespace, None, first.region, first.region_key, create_on_first_push)?;
    let spec = FoundingSpec { name: name.to_owned(), ..spec };
    let origin = ctx.origin();
    let founding = spec.founding();
    ctx.store()
        .write(&CREATE_TENANCY, move |tx| {
            let id = found(tx, &spec, origin.at.0)?;
            wharfinger_audit::record(tx, id, &origin, &Subject::new(&spec.tenancy_ocid, &spec.name))?;
            Ok::<_, Error>(())
        })
        .await?;
    Ok(founding)
}

/// Inserts a tenancy with root compartment, default domain, Administrators group and administrator.
pub(crate) fn found(tx: &mut Tx, spec: &FoundingSpec, now: i64) -> Result<i64, Error> {
    let tenancy_id: Option<i64> = tx.opt(
        &TENANCY_INSERT,
        &[
            &spec.tenancy_ocid,
            &spec.namespace,
            &spec.name,
            &spec.region,
            &spec.region_key,
            &spec.create_on_first_push,
            &now,
        ],
    )?;
    let Some(tenancy_id) = tenancy_id else {
        let name = format!("{} (namespace {})", spec.name, spec.namespace);
        return Err(Error::NameTaken { what: "tenancy", name });
    };
    // A tenancy's OCID is that of its root compartment, as in Oracle Cloud.
    let root_id: i64 = tx.one(&ROOT_INSERT, &[&spec.tenancy_ocid, &tenancy_id, &spec.name, &now])?;
    let (policy, root) = (spec.policy_ocid.clone(), spec.tenancy_ocid.clone());
    policies::insert(tx, &policies::tenant_admin_policy(policy, tenancy_id, root, now), root_id)?;
    let domain_id: i64 =
        tx.one(&domains::DOMAIN_INSERT, &[&spec.domain_ocid, &tenancy_id, &DEFAULT_DOMAIN, &now])?;
    bootstrap::found_administrators(tx, spec, tenancy_id, domain_id, now)?;
    Ok(tenancy_id)
}

/// Inserts the key that signs registry tokens.
pub(crate) fn insert_token_key(tx: &mut Tx, key: &(String, Vec<u8>), now: i64) -> Result<(), Error> {
    tx.run(&TOKEN_KEY_INSERT, &[&key.0, &key.1, &now])?;
    Ok(())
}

/// The tenancy of a namespace.
pub(crate) async fn by_namespace(iam: &Iam, namespace: &Namespace) -> Result<Option<Tenancy>, Error> {
    let cached = iam.0.tenancies.lock().unwrap_or_else(PoisonError::into_inner).get(namespace).cloned();
    if cached.is_some() {
        return Ok(cached);
    }
    let found: Option<Tenancy> = iam.store().opt(&TENANCY_BY_NAMESPACE, &[&namespace.as_str()]).await?;
    if let Some(tenancy) = &found {
        let mut tenancies = iam.0.tenancies.lock().unwrap_or_else(PoisonError::into_inner);
        tenancies.insert(namespace.clone(), tenancy.clone());
    }
    Ok(found)
}

/// The tenancy that bootstrap founded.
pub async fn first(iam: &Iam) -> Result<Tenancy, Error> {
    let first = iam.store().opt(&TENANCY_FIRST, &[]).await?;
    first.ok_or_else(|| Error::NotFound { what: "tenancy", name: "(the first)".to_owned() })
}

/// The tenancy of an id, such as a user's.
pub async fn by_id(iam: &Iam, id: i64) -> Result<Tenancy, Error> {
    let found = iam.store().opt(&TENANCY_BY_ID, &[&id]).await?;
    found.ok_or_else(|| Error::NotFound { what: "tenancy", name: id.to_string() })
}

/// Whether a push into the tenancy may create the repository it names.
pub async fn creates_on_push(iam: &Iam, tenancy_id: i64) -> Result<bool, Error> {
    Ok(iam.store().opt(&TENANCY_CREATES_ON_PUSH, &[&tenancy_id]).await?.unwrap_or(false))
}

impl FoundingSpec {
    /// A tenancy to be founded; what is not given is random.
    pub(crate) fn new(
        namespace: Option<Namespace>,
        tenancy_ocid: Option<Ocid>,
        region: String,
        region_key: String,
        create_on_first_push: bool,
    ) -> Result<FoundingSpec, Error> {
        let namespace = match namespace {
            Some(namespace) => namespace.to_string(),
            None => bootstrap::random_namespace()?,
        };
        let tenancy_ocid = match tenancy_ocid {
            Some(ocid) => ocid,
            None => secret::new_ocid(ResourceKind::Tenancy)?,
        };
        let auth_token = secret::new_auth_token()?;
        Ok(FoundingSpec {
            name: namespace.clone(),
            namespace,
            tenancy_ocid: tenancy_ocid.to_string(),
            region,
            region_key,
            create_on_first_push,
            domain_ocid: secret::new_ocid(ResourceKind::Domain)?.to_string(),
            policy_ocid: secret::new_ocid(ResourceKind::Policy)?.to_string(),
            group_ocid: secret::new_ocid(ResourceKind::Group)?.to_string(),
            user_ocid: secret::new_ocid(ResourceKind::User)?.to_string(),
            auth_token_ocid: secret::new_ocid(ResourceKind::AuthToken)?.to_string(),
            auth_token_hash: secret::hash(&auth_token),
            auth_token: secret::Secret::new(auth_token),
            membership_ocid: secret::new_ocid(ResourceKind::GroupMembership)?.to_string(),
            api_key: bootstrap::NewApiKey::new()?,
        })
    }
}
