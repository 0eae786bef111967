//! What the policies of a tenancy give, compiled once for each version of them.
//!
//! Every change of a policy, a compartment, a network source, a group's tags or a switch that decisions rest on counts the tenancy's rights
//! version up in its own transaction. A request reads the version together with its credential, so it is
//! decided by what was committed before it came in, on every replica.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use ipnet::IpNet;
use wharfinger_metastore::{Tx, row, statements};
use wharfinger_policy::{Compartment, CompartmentTree, DenyStatements, Options, Policy, PolicySet, compile};
use wharfinger_types::Ocid;

use crate::{Error, Iam, network_sources, tags};

statements! {
    /// The tenancy's part of what decisions rest on.
    RIGHTS_HEAD =
        "SELECT t.rights_version, t.has_deny_statements, g.ocid AS administrators
         FROM tenancy t JOIN user_group g ON g.tenancy_id = t.id AND g.is_administrators
         WHERE t.id = $1";
    RIGHTS_BUMP = "UPDATE tenancy SET rights_version = rights_version + 1 WHERE id = $1";
    RIGHTS_COMPARTMENTS =
        "SELECT c.id, c.ocid, p.ocid AS parent, c.name, c.tags
         FROM compartment c LEFT JOIN compartment p ON p.id = c.parent_id
         WHERE c.tenancy_id = $1 AND c.deleted_at IS NULL";
    RIGHTS_POLICIES =
        "SELECT p.ocid, p.name, c.ocid AS compartment, p.statements
         FROM policy p JOIN compartment c ON c.id = p.compartment_id
         WHERE p.tenancy_id = $1";
    RIGHTS_GROUP_TAGS = "SELECT ocid, tags FROM user_group WHERE tenancy_id = $1 AND tags <> '{}'";
    RIGHTS_NETWORK_SOURCES = "SELECT name, public_sources FROM network_source WHERE tenancy_id = $1";
}

row! {
    struct HeadRow { rights_version: i64, has_deny_statements: bool, administrators: String }
}

row! {
    struct CompartmentRow { id: i64, ocid: String, parent: Option<String>, name: String, tags: String }
}

row! {
    struct PolicyRow { ocid: String, name: String, compartment: String, statements: String }
}

row! {
    struct GroupTagsRow { ocid: String, tags: String }
}

row! {
    struct NetworkSourceRow { name: String, public_sources: String }
}

/// Decisions of one tenancy at one version.
#[derive(Debug)]
pub(crate) struct Rights {
    version: i64,
    pub(crate) root: Ocid,
    pub(crate) set: PolicySet,
    pub(crate) options: Options,
    /// Internal ids of the live compartments, with their OCIDs.
    pub(crate) compartments: Vec<(i64, Ocid)>,
    /// Variables that hold the tags of groups, for members, with their values.
    pub(crate) group_tags: HashMap<Ocid, Vec<(String, String)>>,
    /// The same of the root compartment, for everybody: users are in it.
    pub(crate) root_tags: Vec<(String, String)>,
    /// Names of the network sources, with their addresses.
    network_sources: Vec<(String, Vec<IpNet>)>,
}

impl Rights {
    /// The names of all network sources that the address is in.
    pub(crate) fn network_sources_of(&self, address: Option<IpAddr>) -> Vec<&str> {
        let Some(address) = address.map(|address| address.to_canonical()) else { return Vec::new() };
        let is_in = |networks: &[IpNet]| networks.iter().any(|network| network.contains(&address));
        let sources = self.network_sources.iter().filter(|(_, networks)| is_in(networks));
        sources.map(|(name, _)| name.as_str()).collect()
    }
}

/// The newest that this process has compiled, by tenancy.
pub(crate) type Compiled = Mutex<HashMap<i64, Arc<Rights>>>;

/// Makes every request that comes in after the commit be decided anew.
pub(crate) fn changed(tx: &mut Tx, tenancy_id: i64) -> Result<(), Error> {
    tx.run(&RIGHTS_BUMP, &[&tenancy_id])?;
    Ok(())
}

impl Iam {
    /// The rights of a tenancy at `version` or later.
    pub(crate) async fn rights(&self, tenancy_id: i64, version: i64) -> Result<Arc<Rights>, Error> {
        let newest = self.compiled(tenancy_id).filter(|rights| rights.version >= version);
        if let Some(rights) = newest {
            return Ok(rights);
        }
        // The parts are read one after the other, so they fit together only if nothing changed meanwhile.
        loop {
            let head = self.rights_head(tenancy_id).await?;
            let rights = self.compile(tenancy_id, &head).await?;
            if self.rights_head(tenancy_id).await?.rights_version == head.rights_version {
                let rights = Arc::new(rights);
                let mut compiled = self.0.rights.lock().unwrap_or_else(PoisonError::into_inner);
                compiled.insert(tenancy_id, Arc::clone(&rights));
                return Ok(rights);
            }
        }
    }

    /// The rights as they are now, for the one who changes them.
    pub(crate) async fn current_rights(&self, tenancy_id: i64) -> Result<Arc<Rights>, Error> {
        let head = self.rights_head(tenancy_id).await?;
        self.rights(tenancy_id, head.rights_version).await
    }

    fn compiled(&self, tenancy_id: i64) -> Option<Arc<Rights>> {
        self.0.rights.lock().unwrap_or_else(PoisonError::into_inner).get(&tenancy_id).cloned()
    }

    async fn rights_head(&self, tenancy_id: i64) -> Result<HeadRow, Error> {
        let head = self.store().opt(&RIGHTS_HEAD, &[&tenancy_id]).await?;
        head.ok_or_else(|| Error::NotFound { what: "tenancy", name: tenancy_id.to_string() })
    }

    async fn compile(&self, tenancy_id: i64, head: &HeadRow) -> Result<Rights, Error> {
        let rows: Vec<CompartmentRow> = self.store().all(&RIGHTS_COMPARTMENTS, &[&tenancy_id]).await?;
        let mut compartments = Vec::new();
        let mut nodes = Vec::new();
        let mut root_tags = Vec::new();
        for row in rows {
            let id: Ocid = row.ocid.parse()?;
            let parent = row.parent.map(|parent| parent.parse()).transpose()?;
            compartments.push((row.id, id.clone()));
            let tags = tags::conditions(&row.tags);
            if parent.is_none() {
                root_tags = prefixed("request.principal.compartment.tag.", tags.clone());
            }
            nodes.push(Compartment { id, name: row.name, parent, tags });
        }
        let rows: Vec<PolicyRow> = self.store().all(&RIGHTS_POLICIES, &[&tenancy_id]).await?;
        let mut policies = Vec::new();
        for row in rows {
            let statements = serde_json::from_str(&row.statements).unwrap_or_default();
            let (id, compartment) = (row.ocid.parse()?, row.compartment.parse()?);
            policies.push(Policy { id, name: row.name, compartment, statements });
        }
        let deny = if head.has_deny_statements { DenyStatements::Enforced } else { DenyStatements::Ignored };
        let options = Options { deny, administrators: Some(head.administrators.parse()?) };
        let tree = CompartmentTree::new(nodes)?;
        let root = tree.root_id().cloned();
        let root = root.ok_or_else(|| Error::NotFound {
            what: "root compartment of tenancy",
            name: tenancy_id.to_string(),
        })?;
        let set = compile(&policies, tree, &options);
        for problem in set.problems().iter().filter(|problem| problem.diagnostic.is_error()) {
            let (policy, statement) = (&problem.policy, problem.statement + 1);
            tracing::warn!(%policy, statement, problem = problem.diagnostic.text(), "a statement gives nothing");
        }
        let rows: Vec<NetworkSourceRow> = self.store().all(&RIGHTS_NETWORK_SOURCES, &[&tenancy_id]).await?;
        let network_sources =
            rows.into_iter().map(|row| (row.name, network_sources::networks(&row.public_sources))).collect();
        let rows: Vec<GroupTagsRow> = self.store().all(&RIGHTS_GROUP_TAGS, &[&tenancy_id]).await?;
        let mut group_tags = HashMap::new();
        for row in rows {
            let tags = prefixed("request.principal.group.tag.", tags::conditions(&row.tags));
            group_tags.insert(row.ocid.parse()?, tags);
        }
        let version = head.rights_version;
        Ok(Rights { version, root, set, options, compartments, group_tags, root_tags, network_sources })
    }
}

/// The variables that hold the tags.
fn prefixed(prefix: &str, tags: Vec<(String, String)>) -> Vec<(String, String)> {
    tags.into_iter().map(|(tag, value)| (format!("{prefix}{tag}"), value)).collect()
}
