//! The tenancy that a request is about: the one it names, or the principal's own.

use wharfinger_metastore::statements;
use wharfinger_types::Permission;

use crate::{Ctx, Error, Principal, Target, Tenancy, tenancies};

statements! {
    TENANCY_BY_OCID =
        "SELECT t.id, t.ocid, t.namespace, t.name, t.region, t.region_key, c.id AS root_id, c.ocid AS root_ocid
         FROM tenancy t JOIN compartment c ON c.tenancy_id = t.id AND c.parent_id IS NULL
         WHERE t.ocid = $1";
    TENANCY_OF_COMPARTMENT =
        "SELECT t.id, t.ocid, t.namespace, t.name, t.region, t.region_key, c.id AS root_id, c.ocid AS root_ocid
         FROM compartment any_one JOIN tenancy t ON t.id = any_one.tenancy_id
         JOIN compartment c ON c.tenancy_id = t.id AND c.parent_id IS NULL
         WHERE any_one.ocid = $1";
}

/// The tenancy of an OCID, with a right on it. One that is not there is refused like one without right.
pub async fn tenancy(ctx: &Ctx, ocid: &str, permission: Permission) -> Result<Tenancy, Error> {
    match find(ctx, &TENANCY_BY_OCID, ocid).await? {
        Some(tenancy) => {
            ctx.require(permission, &Target::tenancy(tenancy.id))?;
            Ok(tenancy)
        }
        None => Err(ctx.refuse(permission)),
    }
}

/// The tenancy that a compartment is in. Needs no right within the principal's own tenancy, as everybody in it
/// knows its namespace; any other is refused with the words for `permission`.
pub async fn tenancy_of_compartment(ctx: &Ctx, ocid: &str, permission: Permission) -> Result<Tenancy, Error> {
    let found = find(ctx, &TENANCY_OF_COMPARTMENT, ocid).await?;
    let is_own = |tenancy: &Tenancy| match ctx.principal() {
        Principal::User(user) => user.tenancy_id == tenancy.id,
        Principal::LocalAdministrator => true,
        Principal::Anonymous => false,
    };
    found.filter(is_own).ok_or_else(|| ctx.refuse(permission))
}

/// The tenancy of the user who asks; for the local administrator the first.
pub async fn own_tenancy(ctx: &Ctx) -> Result<Tenancy, Error> {
    match ctx.principal() {
        Principal::User(user) => tenancies::by_id(ctx.iam(), user.tenancy_id).await,
        Principal::LocalAdministrator => tenancies::first(ctx.iam()).await,
        Principal::Anonymous => Err(Error::Unauthenticated),
    }
}

async fn find(
    ctx: &Ctx,
    statement: &'static wharfinger_metastore::Statement,
    ocid: &str,
) -> Result<Option<Tenancy>, Error> {
    if ocid.contains('\0') {
        return Ok(None);
    }
    Ok(ctx.store().opt(statement, &[&ocid]).await?)
}
