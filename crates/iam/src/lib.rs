//! Who may do what: tenancies, compartments, domains, users, groups, credentials, policies, and the context
//! of a request.
//!
//! Everything a service does starts from a [`Ctx`]: it knows the principal, and looking a resource up
//! and checking the right on it are one call of it. Deny is the default. This crate knows no routes, no
//! answers and no repository content; of HTTP only what a signature covers.

mod access;
pub mod api_keys;
pub mod auth_tokens;
mod bootstrap;
mod capabilities;
mod compartment_moves;
pub mod compartments;
mod conditions;
mod ctx;
mod decision;
pub mod domains;
pub mod dynamic_groups;
mod error;
pub mod explanations;
mod fields;
pub mod groups;
pub mod home;
mod limits;
mod listing;
mod login;
pub mod memberships;
pub mod network_sources;
pub mod policies;
mod registry_tokens;
mod rights;
mod secret;
pub mod security_tokens;
mod signatures;
pub mod tag_definitions;
pub mod tag_namespaces;
pub mod tags;
pub mod tenancies;
mod user_changes;
pub mod users;
pub mod work_requests;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use wharfinger_metastore::{Operation, Statement, Store};
use wharfinger_types::Namespace;

pub use access::{Access, Cap};
pub use bootstrap::{Founding, FoundingSettings};
pub use capabilities::{Capabilities, Capability};
pub use conditions::Conditions;
pub use ctx::{Ctx, Listener, Principal, Protected, Request, UserPrincipal};
pub use decision::Target;
pub use error::{Error, LoginFailure, SignatureFailure};
pub use limits::Limits;
pub use listing::{LifecycleState, Listed, Listing, SortBy, SortOrder};
pub use registry_tokens::{MAX_TOKEN_LIFETIME_SECS, RegistryToken, SERVICE};
pub use secret::Secret;
pub use tags::{DefinedTags, FreeformTags, TagChanges, Tags};
pub use tenancies::Tenancy;
pub use wharfinger_httpsig::Request as SignedRequest;

/// Every statement of this crate, for the test that prepares them on both engines.
pub const STATEMENTS: &[&[&Statement]] = &[
    api_keys::STATEMENTS,
    auth_tokens::STATEMENTS,
    bootstrap::STATEMENTS,
    compartment_moves::STATEMENTS,
    compartments::STATEMENTS,
    conditions::STATEMENTS,
    domains::STATEMENTS,
    dynamic_groups::STATEMENTS,
    groups::STATEMENTS,
    home::STATEMENTS,
    login::STATEMENTS,
    memberships::STATEMENTS,
    network_sources::STATEMENTS,
    policies::STATEMENTS,
    registry_tokens::STATEMENTS,
    rights::STATEMENTS,
    signatures::STATEMENTS,
    tag_definitions::STATEMENTS,
    tag_namespaces::STATEMENTS,
    tags::STATEMENTS,
    tenancies::STATEMENTS,
    user_changes::STATEMENTS,
    users::STATEMENTS,
    work_requests::STATEMENTS,
];

/// Every operation of this crate, for the test that each leaves its audit record.
pub const OPERATIONS: &[&[&Operation]] = &[
    api_keys::OPERATIONS,
    auth_tokens::OPERATIONS,
    bootstrap::OPERATIONS,
    compartment_moves::OPERATIONS,
    compartments::OPERATIONS,
    domains::OPERATIONS,
    dynamic_groups::OPERATIONS,
    groups::OPERATIONS,
    home::OPERATIONS,
    memberships::OPERATIONS,
    network_sources::OPERATIONS,
    policies::OPERATIONS,
    registry_tokens::OPERATIONS,
    signatures::OPERATIONS,
    tag_definitions::OPERATIONS,
    tag_namespaces::OPERATIONS,
    tenancies::OPERATIONS,
    user_changes::OPERATIONS,
    users::OPERATIONS,
];

/// Identity and access of one installation. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Iam(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    store: Store,
    token_lifetime_secs: i64,
    rates: limits::Rates,
    /// A namespace never changes hands, so what it means is kept for good.
    tenancies: Mutex<HashMap<Namespace, Tenancy>>,
    keys: registry_tokens::Keys,
    rights: rights::Compiled,
}

impl Iam {
    /// Identity over `store`; registry tokens live `token_lifetime_secs`, at most
    /// [`MAX_TOKEN_LIFETIME_SECS`].
    pub fn new(store: Store, token_lifetime_secs: i64, limits: Limits) -> Iam {
        Iam(Arc::new(Inner {
            store,
            token_lifetime_secs: token_lifetime_secs.min(MAX_TOKEN_LIFETIME_SECS),
            rates: limits::Rates::new(limits),
            tenancies: Mutex::default(),
            keys: Default::default(),
            rights: Default::default(),
        }))
    }

    /// The store that everything is kept in.
    pub fn store(&self) -> &Store {
        &self.0.store
    }
}
