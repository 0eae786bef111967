//! Which permissions exist and which of them each verb stands for on each resource type.
//!
//! The names are Oracle Cloud's. A permission belongs to exactly one type, and exactly one verb of
//! that type adds it. The table holds what the registry serves or is about to; `foreign` holds the
//! names of the rest.

use std::collections::HashMap;
use std::sync::LazyLock;

use crate::ast::Verb;
use crate::diagnostic;
use crate::foreign;

/// The name that stands for every type.
pub const ALL_RESOURCES: &str = "all-resources";

/// A type and what its verbs `inspect`, `read`, `use`, `manage` add, each to the one before it.
type Row = (&'static str, [&'static [&'static str]; 4]);

#[rustfmt::skip]
const TYPES: &[Row] = &[
    ("repos", [
        &["REPOSITORY_INSPECT"],
        &["REPOSITORY_READ"],
        &[],
        &["REPOSITORY_CREATE", "REPOSITORY_DELETE", "REPOSITORY_UPDATE", "REPOSITORY_MANAGE"],
    ]),
    ("compartments", [
        &["COMPARTMENT_INSPECT"],
        &[],
        &["COMPARTMENT_UPDATE"],
        &["COMPARTMENT_CREATE", "COMPARTMENT_DELETE", "COMPARTMENT_RECOVER"],
    ]),
    ("users", [
        &["USER_INSPECT"],
        &["USER_READ"],
        &["USER_UPDATE"],
        &[
            "USER_CREATE", "USER_DELETE", "USER_UNBLOCK",
            "USER_APIKEY_ADD", "USER_APIKEY_REMOVE",
            "USER_UIPASS_SET", "USER_UIPASS_RESET",
            "USER_AUTHTOKEN_SET", "USER_AUTHTOKEN_RESET", "USER_AUTHTOKEN_REMOVE",
            "USER_SWIFTPASS_SET", "USER_SWIFTPASS_RESET", "USER_SWIFTPASS_REMOVE",
            "USER_SECRETKEY_ADD", "USER_SECRETKEY_UPDATE", "USER_SECRETKEY_REMOVE",
            "USER_OAUTH2_CLIENT_CRED_CREATE", "USER_OAUTH2_CLIENT_CRED_UPDATE",
            "USER_OAUTH2_CLIENT_CRED_REMOVE",
            "USER_TOTPDEVICE_ADD", "USER_TOTPDEVICE_REMOVE", "USER_TOTPDEVICE_UPDATE",
            "USER_SUPPORT_ACCOUNT_LINK", "USER_SUPPORT_ACCOUNT_UNLINK",
        ],
    ]),
    ("groups", [
        &["GROUP_INSPECT"],
        &[],
        &["GROUP_UPDATE"],
        &["GROUP_CREATE", "GROUP_DELETE"],
    ]),
    ("dynamic-groups", [
        &["DYNAMIC_GROUP_INSPECT"],
        &[],
        &["DYNAMIC_GROUP_UPDATE"],
        &["DYNAMIC_GROUP_CREATE", "DYNAMIC_GROUP_DELETE"],
    ]),
    ("policies", [
        &["POLICY_READ"],
        &[],
        &[],
        &["POLICY_CREATE", "POLICY_UPDATE", "POLICY_DELETE"],
    ]),
    ("network-sources", [
        &["NETWORK_SOURCE_INSPECT"],
        &[],
        &["NETWORK_SOURCE_UPDATE"],
        &["NETWORK_SOURCE_CREATE", "NETWORK_SOURCE_DELETE"],
    ]),
    ("tag-namespaces", [
        &["TAG_NAMESPACE_INSPECT"],
        &[],
        &["TAG_NAMESPACE_USE"],
        &[
            "TAG_NAMESPACE_CREATE", "TAG_NAMESPACE_UPDATE",
            "TAG_NAMESPACE_MOVE", "TAG_NAMESPACE_DELETE",
        ],
    ]),
    ("tag-defaults", [
        &["TAG_DEFAULT_INSPECT"],
        &[],
        &[],
        &["TAG_DEFAULT_CREATE", "TAG_DEFAULT_UPDATE", "TAG_DEFAULT_DELETE"],
    ]),
    ("tenancies", [&["TENANCY_INSPECT"], &[], &["TENANCY_UPDATE"], &[]]),
    ("audit-events", [&[], &["AUDIT_EVENT_READ"], &[], &[]]),
    ("objectstorage-namespaces", [
        &[],
        &["OBJECTSTORAGE_NAMESPACE_READ"],
        &[],
        &["OBJECTSTORAGE_NAMESPACE_UPDATE"],
    ]),
    ("container-scan-recipes", [
        &["VSS_CONTAINERSCANRECIPE_INSPECT"],
        &["VSS_CONTAINERSCANRECIPE_READ"],
        &["VSS_CONTAINERSCANRECIPE_UPDATE"],
        &[
            "VSS_CONTAINERSCANRECIPE_CREATE", "VSS_CONTAINERSCANRECIPE_DELETE",
            "VSS_CONTAINERSCANRECIPE_MOVE",
        ],
    ]),
    ("container-scan-targets", [
        &["VSS_CONTAINERSCANTARGET_INSPECT"],
        &["VSS_CONTAINERSCANTARGET_READ"],
        &["VSS_CONTAINERSCANTARGET_UPDATE"],
        &[
            "VSS_CONTAINERSCANTARGET_CREATE", "VSS_CONTAINERSCANTARGET_DELETE",
            "VSS_CONTAINERSCANTARGET_MOVE",
        ],
    ]),
    ("container-scan-results", [
        &["VSS_CONTAINERSCAN_INSPECT"],
        &["VSS_CONTAINERSCAN_READ"],
        &[],
        &["VSS_CONTAINERSCAN_DELETE", "VSS_CONTAINERSCAN_MOVE"],
    ]),
    ("vss-vulnerabilities", [
        &["VSS_VULN_INSPECT", "VSS_VULN_HOST_INSPECT", "VSS_VULN_CONTAINER_INSPECT"],
        &["VSS_VULN_READ"],
        &[],
        &[],
    ]),
    ("vss-work-requests", [
        &["VSS_WR_INSPECT"],
        &["VSS_WR_READ", "VSS_WR_ERR_READ", "VSS_WR_LOG_READ"],
        &[],
        &[],
    ]),
];

const FAMILIES: &[(&str, &[&str])] = &[(
    "vss-family",
    &[
        "container-scan-recipes",
        "container-scan-targets",
        "container-scan-results",
        "vss-vulnerabilities",
        "vss-work-requests",
    ],
)];

/// A set of permissions of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct PermissionSet(u128);

impl PermissionSet {
    pub(crate) fn contains(self, permission: PermissionId) -> bool {
        self.0 & (1 << permission.0) != 0
    }

    pub(crate) fn intersects(self, other: PermissionSet) -> bool {
        self.0 & other.0 != 0
    }

    pub(crate) fn union(self, other: PermissionSet) -> PermissionSet {
        PermissionSet(self.0 | other.0)
    }

    fn of(permission: PermissionId) -> PermissionSet {
        PermissionSet(1 << permission.0)
    }
}

/// The place of a permission in the table; below 128.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PermissionId(u8);

struct Catalog {
    names: Vec<&'static str>,
    ids: HashMap<&'static str, PermissionId>,
    /// What each verb of a type adds.
    types: HashMap<&'static str, [PermissionSet; 4]>,
}

static CATALOG: LazyLock<Catalog> = LazyLock::new(|| {
    let mut catalog = Catalog { names: Vec::new(), ids: HashMap::new(), types: HashMap::new() };
    // A set has no place for more; a test holds the table to that.
    let mut free = (0..128).map(PermissionId);
    for (resource, verbs) in TYPES {
        let sets = verbs.map(|added| {
            let ids = added.iter().zip(free.by_ref()).map(|(name, id)| {
                catalog.names.push(name);
                catalog.ids.insert(name, id);
                PermissionSet::of(id)
            });
            ids.fold(PermissionSet::default(), PermissionSet::union)
        });
        catalog.types.insert(resource, sets);
    }
    catalog
});

/// The names of a set's permissions, in the order of the table.
pub(crate) fn names(set: PermissionSet) -> impl Iterator<Item = &'static str> {
    permissions().filter(move |name| permission(name).is_some_and(|id| set.contains(id)))
}

/// The permission of that name, which must be in upper case.
pub(crate) fn permission(name: &str) -> Option<PermissionId> {
    CATALOG.ids.get(name).copied()
}

/// The set that holds the named permissions; names that are not in the table are left out.
pub(crate) fn named<'n>(names: impl IntoIterator<Item = &'n str>) -> PermissionSet {
    names
        .into_iter()
        .filter_map(permission)
        .map(PermissionSet::of)
        .fold(PermissionSet::default(), PermissionSet::union)
}

/// What `Allow … to <verb> <resource>` gives: the verb and all lower ones.
pub(crate) fn granted(verb: Verb, resource: &str) -> PermissionSet {
    select(resource, |adding| adding <= verb)
}

/// What `Deny … to <verb> <resource>` takes: the verb and all higher ones.
pub(crate) fn denied(verb: Verb, resource: &str) -> PermissionSet {
    select(resource, |adding| adding >= verb)
}

/// Every permission of a type, family or `all-resources`; empty for a name that is not served.
pub(crate) fn of_resource(resource: &str) -> PermissionSet {
    select(resource, |_| true)
}

/// Every permission of the type that `permission` belongs to.
pub(crate) fn siblings(permission: PermissionId) -> PermissionSet {
    CATALOG
        .types
        .keys()
        .map(|resource| of_resource(resource))
        .find(|set| set.contains(permission))
        .unwrap_or_default()
}

fn select(resource: &str, takes: impl Fn(Verb) -> bool) -> PermissionSet {
    let of_type = |sets: &[PermissionSet; 4]| {
        Verb::ALL
            .into_iter()
            .zip(sets)
            .filter(|(adding, _)| takes(*adding))
            .fold(PermissionSet::default(), |all, (_, set)| all.union(*set))
    };
    if resource == ALL_RESOURCES {
        let all = CATALOG.types.values().map(of_type);
        return all.fold(PermissionSet::default(), PermissionSet::union);
    }
    let types = FAMILIES.iter().find(|(family, _)| *family == resource);
    let types = types.map_or(std::slice::from_ref(&resource), |(_, types)| types);
    types
        .iter()
        .filter_map(|resource| CATALOG.types.get(resource))
        .map(of_type)
        .fold(PermissionSet::default(), PermissionSet::union)
}

/// Every permission in the table, type by type.
pub fn permissions() -> impl Iterator<Item = &'static str> {
    CATALOG.names.iter().copied()
}

/// Every resource type in the table.
pub fn resource_types() -> impl Iterator<Item = &'static str> {
    TYPES.iter().map(|(name, _)| *name)
}

/// The permissions that `Allow … to <verb> <resource>` gives, in the order of the table. `resource` is
/// a type, a family or `all-resources`, in lower case; a name that is not served gives none.
pub fn permissions_of(verb: Verb, resource: &str) -> impl Iterator<Item = &'static str> {
    names(granted(verb, resource))
}

/// Whether a word is known, and if not what was probably meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Word {
    /// In the table.
    Served,
    /// Oracle Cloud has it; it grants nothing here.
    Foreign,
    /// Nobody has it.
    Unknown(Option<&'static str>),
}

/// Looks up a resource type or family, in lower case.
pub(crate) fn resource_word(name: &str) -> Word {
    let is_family = FAMILIES.iter().any(|(family, _)| *family == name);
    if name == ALL_RESOURCES || is_family || CATALOG.types.contains_key(name) {
        return Word::Served;
    }
    if foreign::RESOURCES.contains(&name) {
        return Word::Foreign;
    }
    // Words that people and made-up tables use for `repos`, too far from it to count as a slip.
    const MEANING_REPOS: &[&str] = &["repo", "image", "container-regist", "container-sign", "registr"];
    let means_repos = |start: &&str| name.starts_with(*start) || name.ends_with("images");
    if MEANING_REPOS.iter().any(means_repos) || name.starts_with("container-image") {
        return Word::Unknown(Some("repos"));
    }
    let served = resource_types().chain(FAMILIES.iter().map(|(family, _)| *family));
    let candidates = served.chain([ALL_RESOURCES]).chain(foreign::RESOURCES.iter().copied());
    Word::Unknown(diagnostic::nearest(name, candidates))
}

/// Looks up a permission, in upper case.
pub(crate) fn permission_word(name: &str) -> Word {
    if permission(name).is_some() {
        return Word::Served;
    }
    if foreign::PERMISSION_PREFIXES.iter().any(|prefix| name.starts_with(prefix)) {
        return Word::Foreign;
    }
    // Two names that a table in circulation made up.
    Word::Unknown(match name {
        "REPOSITORY_PULL" => Some("REPOSITORY_READ"),
        "REPOSITORY_PUSH" => Some("REPOSITORY_UPDATE"),
        _ => diagnostic::nearest(name, permissions()),
    })
}
