//! Network sources: named lists of addresses, which conditions of policies ask about.
//!
//! A request is in every source that its client's address is in; what a proxy says of its clients counts only
//! if the settings trust it, which is decided before a request gets here.

use std::net::IpAddr;

use ipnet::IpNet;
use wharfinger_audit::Subject;
use wharfinger_metastore::{operations, row, statements};
use wharfinger_types::{Permission, ResourceKind};

use crate::fields::{self, invalid};
use crate::listing::{self, Listed, Listing};
use crate::tags::{self, NO_TAGS, TagChanges};
use crate::{Ctx, Error, Protected, Target, Tenancy, conditions, rights, secret, users};

statements! {
    NETWORK_SOURCE_BY_OCID =
        "SELECT s.id, s.ocid, s.tenancy_id, t.ocid AS compartment, s.name, s.description, s.public_sources,
                s.tags, s.revision, s.created_at
         FROM network_source s JOIN tenancy t ON t.id = s.tenancy_id WHERE s.tenancy_id = $1 AND s.ocid = $2";
    NETWORK_SOURCES =
        "SELECT s.id, s.ocid, s.tenancy_id, t.ocid AS compartment, s.name, s.description, s.public_sources,
                s.tags, s.revision, s.created_at
         FROM network_source s JOIN tenancy t ON t.id = s.tenancy_id WHERE s.tenancy_id = $1 ORDER BY s.name";
    NETWORK_SOURCE_COUNT = "SELECT COUNT(*) AS n FROM network_source WHERE tenancy_id = $1";
    NETWORK_SOURCE_INSERT =
        "INSERT INTO network_source (ocid, tenancy_id, name, description, public_sources, tags, revision,
                                     created_at)
         VALUES ($1, $2, $3, $4, $5, $6, 1, $7) ON CONFLICT (tenancy_id, name) DO NOTHING RETURNING id";
    NETWORK_SOURCE_SET =
        "UPDATE network_source SET description = $1, public_sources = $2, tags = $3, revision = $4
         WHERE id = $5";
    NETWORK_SOURCE_DELETE = "DELETE FROM network_source WHERE id = $1";
}

row! {
    /// A network source.
    pub struct NetworkSource {
        /// Internal id.
        pub id: i64,
        /// OCID.
        pub ocid: String,
        /// Internal id of the tenancy.
        pub tenancy_id: i64,
        /// OCID of the tenancy, in whose root compartment network sources are.
        pub compartment: String,
        /// Name, unique in the tenancy.
        pub name: String,
        /// What it is for.
        pub description: String,
        public_sources: String,
        /// See [`tags::Tags::from_column`].
        pub tags: String,
        /// Counts changes; the entity tag.
        pub revision: i64,
        /// Microseconds since the epoch.
        pub created_at: i64,
    }
}

impl NetworkSource {
    /// Its addresses and CIDRs, as they were given.
    pub fn public_sources(&self) -> Vec<String> {
        serde_json::from_str(&self.public_sources).unwrap_or_default()
    }

    fn gone(&self) -> Error {
        Error::NotFound { what: "network source", name: self.name.clone() }
    }
}

impl Protected for NetworkSource {
    fn target(&self) -> Target {
        let name = ("target.network-source.name", self.name.clone());
        Target {
            tags: tags::conditions(&self.tags),
            variables: vec![name, ("target.network-source.id", self.ocid.clone())],
            ..Target::tenancy(self.tenancy_id)
        }
    }
}

listing::listable!(NetworkSource);

operations! {
    CREATE_NETWORK_SOURCE = create_network_source { Durable, Serializable, audited };
    UPDATE_NETWORK_SOURCE = update_network_source { Durable, Serializable, audited };
    DELETE_NETWORK_SOURCE = delete_network_source { Durable, Serializable, audited };
}

/// Every decision looks at all of them.
const MAX_PER_TENANCY: i64 = 50;
const MAX_NETWORKS: usize = 50;

/// What a network source says; of an update, what is to change.
#[derive(Debug, Clone, Default)]
pub struct NetworkSourceText {
    /// What it is for.
    pub description: Option<String>,
    /// Addresses and CIDRs.
    pub public_sources: Option<Vec<String>>,
    /// Its tags.
    pub tags: TagChanges,
}

/// Creates a network source.
pub async fn create_network_source(
    ctx: &Ctx,
    tenancy: &Tenancy,
    name: &str,
    text: NetworkSourceText,
) -> Result<NetworkSource, Error> {
    ctx.require(Permission::NetworkSourceCreate, &Target::tenancy(tenancy.id))?;
    users::check_name("name", name)?;
    let source = NetworkSource {
        id: 0,
        ocid: secret::new_ocid(ResourceKind::NetworkSource)?.to_string(),
        tenancy_id: tenancy.id,
        compartment: tenancy.ocid.clone(),
        name: name.to_owned(),
        description: String::new(),
        public_sources: "[]".to_owned(),
        tags: NO_TAGS.to_owned(),
        revision: 1,
        created_at: ctx.now().0,
    };
    let source = changed(source, &text)?;
    let tags = text.tags.check(ctx, tenancy.id, NO_TAGS).await?;
    let (origin, once) = (ctx.origin(), ctx.once());
    let created = ctx.store().write(&CREATE_NETWORK_SOURCE, move |tx| {
        once.check(tx)?;
        let NetworkSource { ocid, tenancy_id, name, description, public_sources, .. } = &source;
        if tx.one::<i64>(&NETWORK_SOURCE_COUNT, &[tenancy_id])? >= MAX_PER_TENANCY {
            return Err(Error::LimitExceeded(format!(
                "a tenancy has {MAX_PER_TENANCY} network sources at most: delete one first"
            )));
        }
        let tags = tags.put(tx, NO_TAGS)?;
        let id: Option<i64> = tx.opt(
            &NETWORK_SOURCE_INSERT,
            &[ocid, tenancy_id, name, description, public_sources, &tags, &source.created_at],
        )?;
        let id = id.ok_or_else(|| Error::NameTaken { what: "network source", name: name.clone() })?;
        once.note(tx, ocid)?;
        rights::changed(tx, *tenancy_id)?;
        let subject = Subject::new(ocid, name).with("publicSourceList", source.public_sources());
        wharfinger_audit::record(tx, *tenancy_id, &origin, &subject.with("tags", tags.as_str()))?;
        Ok(NetworkSource { id, tags, ..source.clone() })
    });
    match created.await {
        Err(Error::Repeated { made }) => {
            find(ctx, tenancy, &made, Permission::NetworkSourceCreate).await.map_err(conditions::gone_since)
        }
        created => created,
    }
}

/// A page of the tenancy's network sources.
pub async fn list_network_sources(
    ctx: &Ctx,
    tenancy: &Tenancy,
    listing: &Listing,
) -> Result<Listed<NetworkSource>, Error> {
    ctx.require(Permission::NetworkSourceInspect, &Target::tenancy(tenancy.id))?;
    listing::page_of(ctx.store().all(&NETWORK_SOURCES, &[&tenancy.id]).await?, listing)
}

/// A network source by its OCID.
pub async fn get_network_source(ctx: &Ctx, tenancy: &Tenancy, ocid: &str) -> Result<NetworkSource, Error> {
    find(ctx, tenancy, ocid, Permission::NetworkSourceInspect).await
}

/// Changes a network source, from the next request on.
pub async fn update_network_source(
    ctx: &Ctx,
    tenancy: &Tenancy,
    ocid: &str,
    text: NetworkSourceText,
) -> Result<NetworkSource, Error> {
    let source = find(ctx, tenancy, ocid, Permission::NetworkSourceUpdate).await?;
    let tags = text.tags.check(ctx, tenancy.id, &source.tags).await?;
    let (origin, conditions) = (ctx.origin(), ctx.conditions().clone());
    ctx.store()
        .write(&UPDATE_NETWORK_SOURCE, move |tx| {
            let current = tx.opt(&NETWORK_SOURCE_BY_OCID, &[&source.tenancy_id, &source.ocid])?;
            let current: NetworkSource = current.ok_or_else(|| source.gone())?;
            conditions.check_revision(current.revision)?;
            let revision = current.revision + 1;
            let mut current = changed(NetworkSource { revision, ..current }, &text)?;
            current.tags = tags.put(tx, &current.tags)?;
            let NetworkSource { id, description, public_sources, tags, .. } = &current;
            tx.run(&NETWORK_SOURCE_SET, &[description, public_sources, tags, &revision, id])?;
            rights::changed(tx, current.tenancy_id)?;
            let subject = Subject::new(&current.ocid, &current.name);
            let subject = subject.with("publicSourceList", current.public_sources());
            wharfinger_audit::record(
                tx,
                current.tenancy_id,
                &origin,
                &subject.with("tags", current.tags.as_str()),
            )?;
            Ok(current)
        })
        .await
}

/// Deletes a network source. No request is in it from then on, whatever policies name it.
pub async fn delete_network_source(ctx: &Ctx, tenancy: &Tenancy, ocid: &str) -> Result<(), Error> {
    let source = find(ctx, tenancy, ocid, Permission::NetworkSourceDelete).await?;
    let (origin, conditions) = (ctx.origin(), ctx.conditions().clone());
    ctx.store()
        .write(&DELETE_NETWORK_SOURCE, move |tx| {
            let current = tx.opt(&NETWORK_SOURCE_BY_OCID, &[&source.tenancy_id, &source.ocid])?;
            let current: NetworkSource = current.ok_or_else(|| source.gone())?;
            conditions.check_revision(current.revision)?;
            tx.run(&NETWORK_SOURCE_DELETE, &[&current.id])?;
            rights::changed(tx, current.tenancy_id)?;
            let subject = Subject::new(&current.ocid, &current.name);
            wharfinger_audit::record(tx, current.tenancy_id, &origin, &subject)?;
            Ok(())
        })
        .await
}

async fn find(
    ctx: &Ctx,
    tenancy: &Tenancy,
    ocid: &str,
    permission: Permission,
) -> Result<NetworkSource, Error> {
    let ocid = ocid.replace('\0', "");
    let args: &[&dyn wharfinger_metastore::Param] = &[&tenancy.id, &ocid];
    ctx.lookup(&NETWORK_SOURCE_BY_OCID, args, permission, tenancy.id, ("network source", &ocid)).await
}

/// The source with what the text says, which is checked.
fn changed(mut source: NetworkSource, text: &NetworkSourceText) -> Result<NetworkSource, Error> {
    if let Some(description) = &text.description {
        fields::check_description(description)?;
        source.description.clone_from(description);
    }
    if let Some(networks) = &text.public_sources {
        let field = "publicSourceList";
        if networks.len() > MAX_NETWORKS {
            return Err(invalid(field, &networks.len().to_string(), "use at most 50 addresses and CIDRs"));
        }
        if let Some(wrong) = networks.iter().find(|text| network(text).is_none()) {
            return Err(invalid(field, wrong, "use addresses and CIDRs such as `192.0.2.0/24`"));
        }
        source.public_sources = serde_json::to_string(networks).unwrap_or_default();
    }
    Ok(source)
}

/// The networks of a stored list.
pub(crate) fn networks(public_sources: &str) -> Vec<IpNet> {
    let texts: Vec<String> = serde_json::from_str(public_sources).unwrap_or_default();
    texts.iter().filter_map(|text| network(text)).collect()
}

fn network(text: &str) -> Option<IpNet> {
    text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from)).ok()
}
