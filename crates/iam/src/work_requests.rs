//! Work requests: how an operation that the API calls asynchronous went. Here they have ended when they are
//! made.

use wharfinger_metastore::{Tx, row, statements};
use wharfinger_types::{Permission, ResourceKind, Timestamp};

use crate::{Ctx, Error, Protected, Target, secret};

statements! {
    WORK_REQUEST_INSERT =
        "INSERT INTO work_request (ocid, tenancy_id, operation, compartment, resource, failure, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7)";
    WORK_REQUEST_BY_OCID =
        "SELECT ocid, tenancy_id, operation, compartment, resource, failure, created_at FROM work_request
         WHERE ocid = $1";
    WORK_REQUESTS_BY_COMPARTMENT =
        "SELECT ocid, tenancy_id, operation, compartment, resource, failure, created_at FROM work_request
         WHERE compartment = $1 AND ocid > $2 AND ($3 = '' OR resource = $3) ORDER BY ocid LIMIT $4";
}

row! {
    /// How one went.
    pub struct WorkRequest {
        /// OCID.
        pub ocid: String,
        /// Internal id of the tenancy.
        pub tenancy_id: i64,
        /// What was done, as [`Kind::as_str`].
        pub operation: String,
        /// OCID of the compartment that the resource was in.
        pub compartment: String,
        /// OCID of the resource.
        pub resource: String,
        /// Why it failed; `None` if it did not.
        pub failure: Option<String>,
        /// Microseconds since the epoch.
        pub created_at: i64,
    }
}

/// What there are work requests of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the words say it")]
pub enum Kind {
    DeleteCompartment,
    MoveCompartment,
    DeleteTagDefinition,
}

impl Kind {
    /// As answers name it.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::DeleteCompartment => "DELETE_COMPARTMENT",
            Kind::MoveCompartment => "MOVE_COMPARTMENT",
            // Of a namespace too.
            Kind::DeleteTagDefinition => "DELETE_TAG_DEFINITION",
        }
    }
}

impl WorkRequest {
    /// Of what was done to a resource in a compartment, with success; both are OCIDs.
    pub(crate) fn of(
        kind: Kind,
        resource: &str,
        compartment: &str,
        tenancy_id: i64,
        now: Timestamp,
    ) -> Result<WorkRequest, Error> {
        Ok(WorkRequest {
            ocid: secret::new_ocid(ResourceKind::WorkRequest)?.to_string(),
            tenancy_id,
            operation: kind.as_str().to_owned(),
            compartment: compartment.to_owned(),
            resource: resource.to_owned(),
            failure: None,
            created_at: now.0,
        })
    }

    /// The kind of the resource, as its OCID says.
    pub fn resource_kind(&self) -> &str {
        self.resource.split('.').nth(1).unwrap_or_default()
    }
}

impl Protected for WorkRequest {
    fn target(&self) -> Target {
        Target { compartment: self.compartment.parse().ok(), ..Target::tenancy(self.tenancy_id) }
    }
}

pub(crate) fn insert(tx: &mut Tx, request: &WorkRequest) -> Result<(), Error> {
    let WorkRequest { ocid, tenancy_id, operation, compartment, resource, failure, created_at } = request;
    let args: &[&dyn wharfinger_metastore::Param] =
        &[ocid, tenancy_id, operation, compartment, resource, failure, created_at];
    tx.run(&WORK_REQUEST_INSERT, args)?;
    Ok(())
}

/// A work request, for one who may see compartments where the resource was.
pub async fn get_work_request(ctx: &Ctx, ocid: &str) -> Result<WorkRequest, Error> {
    find(ctx, ocid, Permission::CompartmentInspect).await
}

/// The work request of a tag's or a tag namespace's deletion, for one who may see tags where it was.
pub async fn get_tagging_work_request(ctx: &Ctx, ocid: &str) -> Result<WorkRequest, Error> {
    let permission = Permission::TagNamespaceInspect;
    let request = find(ctx, ocid, permission).await?;
    if request.resource_kind() == ResourceKind::Compartment.as_str() {
        return Err(Error::NotFound { what: "work request", name: request.ocid });
    }
    Ok(request)
}

async fn find(ctx: &Ctx, ocid: &str, permission: Permission) -> Result<WorkRequest, Error> {
    let ocid: wharfinger_types::Ocid = ocid.parse().map_err(|_| ctx.refuse(permission))?;
    let (absent, what) = (Target::tenancy(0), ("work request", ocid.as_str()));
    ctx.lookup_or(&WORK_REQUEST_BY_OCID, &[&ocid.as_str()], permission, &absent, what).await
}

/// Those of a compartment, behind the given OCID; of one resource only, if it is given.
pub async fn list_work_requests(
    ctx: &Ctx,
    compartment: &str,
    resource: Option<&str>,
    after: &str,
    limit: usize,
) -> Result<Vec<WorkRequest>, Error> {
    let compartment = ctx.compartment(compartment, Permission::CompartmentInspect).await?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let (after, resource) = (after.replace('\0', ""), resource.unwrap_or_default().replace('\0', ""));
    let args: &[&dyn wharfinger_metastore::Param] = &[&compartment.ocid, &after, &resource, &limit];
    Ok(ctx.store().all(&WORK_REQUESTS_BY_COMPARTMENT, args).await?)
}
