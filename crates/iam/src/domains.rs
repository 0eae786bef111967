//! Identity domains: users and groups whose names are taken in no other.

use wharfinger_audit::Subject;
use wharfinger_metastore::{operations, row, statements};
use wharfinger_types::{Permission, ResourceKind};

use crate::listing::{self, Listed, Listing};
use crate::{Ctx, Error, Protected, Target, Tenancy, secret, users};

statements! {
    DOMAIN_INSERT =
        "INSERT INTO identity_domain (ocid, tenancy_id, name, created_at) VALUES ($1, $2, $3, $4)
         ON CONFLICT (tenancy_id, name) DO NOTHING RETURNING id";
    DOMAIN_NAMED =
        "SELECT id, ocid, tenancy_id, name, created_at FROM identity_domain WHERE tenancy_id = $1 AND name = $2";
    DOMAINS =
        "SELECT id, ocid, tenancy_id, name, created_at FROM identity_domain WHERE tenancy_id = $1 ORDER BY name";
    DOMAIN_DELETE = "DELETE FROM identity_domain WHERE id = $1";
}

row! {
    /// A domain.
    pub struct Domain {
        /// Internal id.
        pub id: i64,
        /// OCID.
        pub ocid: String,
        /// Internal id of the tenancy.
        pub tenancy_id: i64,
        /// Name in the tenancy.
        pub name: String,
        /// Microseconds since the epoch.
        pub created_at: i64,
    }
}

impl Protected for Domain {
    fn target(&self) -> Target {
        Target::tenancy(self.tenancy_id)
    }
}

listing::listable!(Domain);

operations! {
    CREATE_DOMAIN = create_domain { Durable, Serializable, audited };
    DELETE_DOMAIN = delete_domain { Durable, Serializable, audited };
}

/// Creates a domain without users and groups. It is named before theirs: `DOMAIN/NAME`.
pub async fn create_domain(ctx: &Ctx, tenancy: &Tenancy, name: &str) -> Result<Domain, Error> {
    ctx.require(Permission::TenancyUpdate, &Target::tenancy(tenancy.id))?;
    users::check_name("domain", name)?;
    let domain = Domain {
        id: 0,
        ocid: secret::new_ocid(ResourceKind::Domain)?.to_string(),
        tenancy_id: tenancy.id,
        name: name.to_owned(),
        created_at: ctx.now().0,
    };
    let origin = ctx.origin();
    ctx.store()
        .write(&CREATE_DOMAIN, move |tx| {
            let Domain { ocid, tenancy_id, name, created_at, .. } = &domain;
            let id: Option<i64> = tx.opt(&DOMAIN_INSERT, &[ocid, tenancy_id, name, created_at])?;
            let id = id.ok_or_else(|| Error::NameTaken { what: "domain", name: name.clone() })?;
            wharfinger_audit::record(tx, *tenancy_id, &origin, &Subject::new(ocid, name))?;
            Ok(Domain { id, ..domain.clone() })
        })
        .await
}

/// A page of the tenancy's domains.
pub async fn list_domains(ctx: &Ctx, tenancy: &Tenancy, listing: &Listing) -> Result<Listed<Domain>, Error> {
    ctx.require(Permission::TenancyInspect, &Target::tenancy(tenancy.id))?;
    listing::page_of(ctx.store().all(&DOMAINS, &[&tenancy.id]).await?, listing)
}

/// Deletes a domain that has neither users nor groups; the default one stays.
pub async fn delete_domain(ctx: &Ctx, tenancy: &Tenancy, name: &str) -> Result<Domain, Error> {
    let clean = name.replace('\0', "");
    let (right, what) = (Permission::TenancyUpdate, ("domain", clean.as_str()));
    let domain: Domain = ctx.lookup(&DOMAIN_NAMED, &[&tenancy.id, &clean], right, tenancy.id, what).await?;
    if domain.name == users::DEFAULT_DOMAIN {
        let name = domain.name;
        return Err(Error::Conflict(format!(
            "domain `{name}` is part of every tenancy and can't be deleted"
        )));
    }
    let origin = ctx.origin();
    ctx.store()
        .write(&DELETE_DOMAIN, move |tx| {
            let name = &domain.name;
            match tx.run(&DOMAIN_DELETE, &[&domain.id]) {
                Err(wharfinger_metastore::Error::ForeignKey { .. }) => {
                    let held = "has users or groups: delete them first";
                    return Err(Error::Conflict(format!("domain `{name}` {held}")));
                }
                Ok(0) => return Err(Error::NotFound { what: "domain", name: name.clone() }),
                deleted => deleted?,
            };
            wharfinger_audit::record(tx, domain.tenancy_id, &origin, &Subject::new(&domain.ocid, name))?;
            Ok(domain.clone())
        })
        .await
}
