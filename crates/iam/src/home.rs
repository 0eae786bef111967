//! The tenancy that a request is about: the one it names, or the principal's own.

use wharfinger_audit::Subject;
use wharfinger_metastore::{operations, row, statements};
use wharfinger_types::Permission;

use crate::{Ctx, Error, Principal, Target, Tenancy, tags, tenancies};

statements! {
    TENANCY_BY_OCID =
        "SELECT t.id, t.ocid, t.namespace, t.name, t.region, t.region_key, c.id AS root_id, c.ocid AS root_ocid
         FROM tenancy t JOIN compartment c ON c.tenancy_id = t.id AND c.parent_id IS NULL
         WHERE t.ocid = $1";
    ROOT_TAGS = "SELECT tags FROM compartment WHERE id = $1";
    NAMESPACE_METADATA =
        "SELECT COALESCE(s3_compartment, ocid) AS s3_compartment, COALESCE(swift_compartment, ocid) AS swift_compartment
         FROM tenancy WHERE id = $1";
    NAMESPACE_METADATA_SET =
        "UPDATE tenancy SET s3_compartment = COALESCE($1, s3_compartment),
                            swift_compartment = COALESCE($2, swift_compartment) WHERE id = $3";
}

row! {
    /// Where Object Storage would put what names no compartment. It is kept for those who manage it, and means
    /// nothing here.
    pub struct NamespaceMetadata {
        /// OCID of the compartment for what comes by Amazon's protocol.
        pub s3_compartment: String,
        /// OCID of the compartment for what comes by Swift's.
        pub swift_compartment: String,
    }
}

operations! {
    UPDATE_NAMESPACE_METADATA = update_namespace_metadata { Durable, Serializable, audited };
}

/// What to change of it, by the OCIDs of compartments; the rest stays.
#[derive(Debug, Clone, Default)]
pub struct NamespaceChanges {
    /// See [`NamespaceMetadata::s3_compartment`].
    pub s3_compartment: Option<String>,
    /// See [`NamespaceMetadata::swift_compartment`].
    pub swift_compartment: Option<String>,
}

/// The tenancy of an OCID, with a right on it. One that is not there is refused like one without right.
pub async fn tenancy(ctx: &Ctx, ocid: &str, permission: Permission) -> Result<Tenancy, Error> {
    let found: Option<Tenancy> = match ocid.contains('\0') {
        true => None,
        false => ctx.store().opt(&TENANCY_BY_OCID, &[&ocid]).await?,
    };
    let tenancy = found.ok_or_else(|| ctx.refuse(permission))?;
    ctx.require(permission, &Target::tenancy(tenancy.id))?;
    Ok(tenancy)
}

/// The tenancy that a compartment is in, with a right on the compartment. The root of the principal's own
/// tenancy, which everybody in it knows, needs none.
pub async fn tenancy_of_compartment(ctx: &Ctx, ocid: &str, permission: Permission) -> Result<Tenancy, Error> {
    let own = own_tenancy(ctx).await?;
    if own.root_ocid == ocid {
        return Ok(own);
    }
    let compartment = ctx.compartment(ocid, permission).await?;
    tenancies::by_id(ctx.iam(), compartment.tenancy_id).await
}

/// The column of a tenancy's tags, which are those of its root compartment.
pub async fn tags(ctx: &Ctx, tenancy: &Tenancy) -> Result<String, Error> {
    let column: Option<String> = ctx.store().opt(&ROOT_TAGS, &[&tenancy.root_id]).await?;
    Ok(column.unwrap_or_else(|| tags::NO_TAGS.to_owned()))
}

/// The tenancy of the user who asks; for the local administrator the first.
pub async fn own_tenancy(ctx: &Ctx) -> Result<Tenancy, Error> {
    match ctx.principal() {
        Principal::User(user) => tenancies::by_id(ctx.iam(), user.tenancy_id).await,
        Principal::LocalAdministrator => tenancies::first(ctx.iam()).await,
        Principal::Anonymous => Err(Error::Unauthenticated),
    }
}

/// The metadata of a tenancy's namespace.
pub async fn get_namespace_metadata(ctx: &Ctx, tenancy: &Tenancy) -> Result<NamespaceMetadata, Error> {
    ctx.require(Permission::NamespaceRead, &Target::tenancy(tenancy.id))?;
    let found = ctx.store().opt(&NAMESPACE_METADATA, &[&tenancy.id]).await?;
    found.ok_or_else(|| Error::NotFound { what: "tenancy", name: tenancy.name.clone() })
}

/// Changes it. The compartments must be ones of the tenancy.
pub async fn update_namespace_metadata(
    ctx: &Ctx,
    tenancy: &Tenancy,
    changes: &NamespaceChanges,
) -> Result<NamespaceMetadata, Error> {
    ctx.require(Permission::NamespaceUpdate, &Target::tenancy(tenancy.id))?;
    let NamespaceChanges { s3_compartment, swift_compartment } = changes.clone();
    for ocid in [&s3_compartment, &swift_compartment].into_iter().flatten() {
        let compartment = ctx.compartment(ocid, Permission::CompartmentInspect).await?;
        if compartment.tenancy_id != tenancy.id {
            let remedy = "use a compartment of the namespace's tenancy";
            return Err(Error::Invalid { field: "compartmentId", value: compartment.ocid, remedy });
        }
    }
    let (origin, tenancy) = (ctx.origin(), tenancy.clone());
    ctx.store()
        .write(&UPDATE_NAMESPACE_METADATA, move |tx| {
            tx.run(&NAMESPACE_METADATA_SET, &[&s3_compartment, &swift_compartment, &tenancy.id])?;
            let metadata: NamespaceMetadata = tx.one(&NAMESPACE_METADATA, &[&tenancy.id])?;
            let subject = Subject::new(&tenancy.ocid, &tenancy.namespace)
                .with("defaultS3CompartmentId", metadata.s3_compartment.as_str())
                .with("defaultSwiftCompartmentId", metadata.swift_compartment.as_str());
            wharfinger_audit::record(tx, tenancy.id, &origin, &subject)?;
            Ok(metadata)
        })
        .await
}

/// Subscribes a tenancy to a region. An installation is one region, to which every tenancy is subscribed; any other
/// is refused.
pub async fn create_region_subscription(ctx: &Ctx, ocid: &str, region_key: &str) -> Result<Tenancy, Error> {
    let tenancy = tenancy(ctx, ocid, Permission::TenancyUpdate).await?;
    if tenancy.region_key != region_key {
        let remedy = "an installation is one region, which its tenancies are subscribed to already";
        return Err(crate::fields::invalid("regionKey", region_key, remedy));
    }
    Ok(tenancy)
}
