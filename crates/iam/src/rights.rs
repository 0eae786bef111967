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
        "SELECT t.rights_version, t.has_deny_statements, t.region_key, g.ocid AS administrators
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
    RIGHTS_POLICY_FOLLOWS = "UPDATE policy SET statements = $1, revision = revision + 1 WHERE ocid = $2";
    RIGHTS_GROUP_TAGS = "SELECT ocid, tags FROM user_group WHERE tenancy_id = $1 AND tags <> '{}'";
    RIGHTS_NETWORK_SOURCES = "SELECT name, public_sources FROM network_source WHERE tenancy_id = $1";
}

row! {
    struct HeadRow { rights_version: i64, has_deny_statements: bool, region_key: String, administrators: String }
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
    /// Three letters.
    pub(crate) region_key: String,
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

fn nodes(rows: Vec<CompartmentRow>) -> Result<Vec<Compartment>, Error> {
    let node = |row: CompartmentRow| {
        let parent = row.parent.map(|parent| parent.parse()).transpose()?;
        let tags = tags::conditions(&row.tags);
        Ok(Compartment { id: row.ocid.parse()?, name: row.name, parent, tags })
    };
    rows.into_iter().map(node).collect()
}

fn policies(rows: Vec<PolicyRow>) -> Result<Vec<Policy>, Error> {
    let policy = |row: PolicyRow| {
        let statements = serde_json::from_str(&row.statements).unwrap_or_default();
        let (id, compartment) = (row.ocid.parse()?, row.compartment.parse()?);
        Ok(Policy { id, name: row.name, compartment, statements })
    };
    rows.into_iter().map(policy).collect()
}

/// Lets the statements of all policies follow a change of one compartment that is about to be made; answers with
/// the OCIDs of the policies that change by it.
pub(crate) fn follow(
    tx: &mut Tx,
    tenancy_id: i64,
    ocid: &str,
    change: impl Fn(&mut Compartment),
) -> Result<Vec<String>, Error> {
    let before = nodes(tx.all(&RIGHTS_COMPARTMENTS, &[&tenancy_id])?)?;
    let mut after = before.clone();
    after.iter_mut().filter(|node| node.id.as_str() == ocid).for_each(change);
    let (before, after) = (CompartmentTree::new(before)?, CompartmentTree::new(after)?);
    let mut changed = Vec::new();
    for policy in policies(tx.all(&RIGHTS_POLICIES, &[&tenancy_id])?)? {
        let Some(statements) = wharfinger_policy::follow(&policy, &before, &after) else { continue };
        let statements = serde_json::to_string(&statements).unwrap_or_default();
        tx.run(&RIGHTS_POLICY_FOLLOWS, &[&statements, &policy.id.as_str()])?;
        changed.push(policy.id.to_string());
    }
    Ok(changed)
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
        let ids: Vec<i64> = rows.iter().map(|row| row.id).collect();
        let nodes = nodes(rows)?;
        let compartments = ids.into_iter().zip(nodes.iter().map(|node| node.id.clone())).collect();
        let root = nodes.iter().find(|node| node.parent.is_none());
        let root_tags = root.map(|root| prefixed("request.principal.compartment.tag.", root.tags.clone()));
        let root_tags = root_tags.unwrap_or_default();
        let policies = policies(self.store().all(&RIGHTS_POLICIES, &[&tenancy_id]).await?)?;
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
        let (version, region_key) = (head.rights_version, head.region_key.clone());
        Ok(Rights {
            version,
            root,
            region_key,
            set,
            options,
            compartments,
            group_tags,
            root_tags,
            network_sources,
        })
    }
}

/// The variables that hold the tags.
fn prefixed(prefix: &str, tags: Vec<(String, String)>) -> Vec<(String, String)> {
    tags.into_iter().map(|(tag, value)| (format!("{prefix}{tag}"), value)).collect()
}
