//! The tenancy that a request is about: the one it names, or the principal's own.

use wharfinger_metastore::statements;
use wharfinger_types::Permission;

use crate::{Ctx, Error, Principal, Target, Tenancy, tags, tenancies};

statements! {
    TENANCY_BY_OCID =
        "SELECT t.id, t.ocid, t.namespace, t.name, t.region, t.region_key, c.id AS root_id, c.ocid AS root_ocid
         FROM tenancy t JOIN compartment c ON c.tenancy_id = t.id AND c.parent_id IS NULL
         WHERE t.ocid = $1";
    ROOT_TAGS = "SELECT tags FROM compartment WHERE id = $1";
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
