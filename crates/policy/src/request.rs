//! What is asked: who wants which permission where, and all that conditions may look at.

use wharfinger_types::{Ocid, Timestamp};

/// The identity domain that a group's name means when it names none.
pub const DEFAULT_DOMAIN: &str = "Default";

/// One question. A public repository's anonymous readers have no principal and are not asked about.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// Who asks.
    pub principal: &'a Principal,
    /// The permission, by Oracle Cloud's name (`Permission::as_str`).
    pub permission: &'a str,
    /// The compartment of the target.
    pub compartment: &'a Ocid,
    /// When.
    pub time: Timestamp,
    /// What else is known: `target.repo.name`, `request.operation`, `request.networkSource.name`,
    /// `target.resource.tag.<namespace>.<key>` (defined tags; free-form ones do not count) and so on.
    /// What a list or create call has no target for is left out. A variable that is left out makes every
    /// comparison of it false. What the other fields say (`request.user.…`, `request.groups.id`,
    /// `request.principal.type` and `.id`, `request.permission`, `request.utc-timestamp…`,
    /// `target.compartment.…`, `target.resource.compartment.tag.…`) is never looked up here.
    pub attributes: &'a [Attribute<'a>],
}

/// A variable and its values; most have one.
#[derive(Debug, Clone, Copy)]
pub struct Attribute<'a> {
    /// The variable's name; any case.
    pub name: &'a str,
    /// Its values. An empty list is a variable that is there and holds nothing.
    pub values: &'a [&'a str],
}

/// Who asks.
#[derive(Debug, Clone)]
pub struct Principal {
    /// What it is.
    pub kind: PrincipalKind,
    /// Its identifier, if it has one.
    pub id: Option<Ocid>,
    /// The user's or service's name.
    pub name: String,
    /// The groups it is in.
    pub groups: Vec<Group>,
    /// The dynamic groups it is in.
    pub dynamic_groups: Vec<Group>,
}

/// What a principal is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PrincipalKind {
    /// A person or a program with a user's credentials.
    User,
    /// A compute instance.
    Instance,
    /// A resource of that type.
    Resource(String),
    /// A service; its name is the one that `service <name>` means.
    Service,
}

impl PrincipalKind {
    /// What `request.principal.type` holds.
    pub fn as_str(&self) -> &str {
        match self {
            PrincipalKind::User => "user",
            PrincipalKind::Instance => "instance",
            PrincipalKind::Resource(kind) => kind,
            PrincipalKind::Service => "service",
        }
    }
}

/// A group or dynamic group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Its identifier.
    pub id: Ocid,
    /// The name of its identity domain, such as [`DEFAULT_DOMAIN`].
    pub domain: String,
    /// Its name.
    pub name: String,
}
