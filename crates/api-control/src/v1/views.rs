//! What answers of `/api/v1/` are made of.

use serde::Serialize;
use utoipa::ToSchema;
use wharfinger_iam::explanations::{Explanation, NearStatement};
use wharfinger_iam::{Tenancy as IamTenancy, auth_tokens, domains, explanations, groups, memberships, users};
use wharfinger_registry::{images, repositories};
use wharfinger_types::{Permission, RepositoryName};

use super::time;

const ACTIVE: &str = "ACTIVE";
const INACTIVE: &str = "INACTIVE";
const AVAILABLE: &str = "AVAILABLE";
const DELETED: &str = "DELETED";

/// A user.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct User {
    id: String,
    name: String,
    domain: String,
    /// `ACTIVE`, `INACTIVE` or, in the answer to a deletion, `DELETED`.
    lifecycle_state: &'static str,
    #[schema(format = DateTime)]
    time_created: String,
}

impl From<&users::User> for User {
    fn from(user: &users::User) -> User {
        User {
            id: user.ocid.clone(),
            name: user.name.clone(),
            domain: user.domain.clone(),
            lifecycle_state: if user.is_active { ACTIVE } else { INACTIVE },
            time_created: time(user.created_at),
        }
    }
}

impl User {
    /// As its deletion shows it.
    pub(crate) fn deleted(self) -> Self {
        Self { lifecycle_state: DELETED, ..self }
    }
}

/// A group.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Group {
    id: String,
    name: String,
    domain: String,
    #[schema(format = DateTime)]
    time_created: String,
}

impl From<&groups::Group> for Group {
    fn from(group: &groups::Group) -> Group {
        Group {
            id: group.ocid.clone(),
            name: group.name.clone(),
            domain: group.domain.clone(),
            time_created: time(group.created_at),
        }
    }
}

/// That a user is in a group.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Membership {
    group_id: String,
    group_name: String,
    user_id: String,
    user_name: String,
    /// `DELETED` in the answer to a removal, else absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    lifecycle_state: Option<&'static str>,
}

impl From<&memberships::Membership> for Membership {
    fn from(membership: &memberships::Membership) -> Membership {
        Membership {
            group_id: membership.group_ocid.clone(),
            group_name: membership.group_name.clone(),
            user_id: membership.user_ocid.clone(),
            user_name: membership.user_name.clone(),
            lifecycle_state: None,
        }
    }
}

impl Membership {
    /// As its deletion shows it.
    pub(crate) fn deleted(self) -> Self {
        Self { lifecycle_state: Some(DELETED), ..self }
    }
}

/// A password for registry clients.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AuthToken {
    id: String,
    description: String,
    #[schema(format = DateTime)]
    time_created: String,
    /// The secret, in the answer to the creation only.
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<String>,
}

impl From<&auth_tokens::AuthToken> for AuthToken {
    fn from(token: &auth_tokens::AuthToken) -> AuthToken {
        AuthToken {
            id: token.ocid.clone(),
            description: token.description.clone(),
            time_created: time(token.created_at),
            token: None,
        }
    }
}

impl AuthToken {
    /// With its secret.
    pub(crate) fn with(self, secret: &str) -> Self {
        Self { token: Some(secret.to_owned()), ..self }
    }
}

/// Something that is gone now.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Deleted {
    id: String,
    /// `DELETED`.
    lifecycle_state: &'static str,
}

impl Deleted {
    pub(crate) fn new(id: String) -> Deleted {
        Deleted { id, lifecycle_state: DELETED }
    }
}

/// A repository.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Repository {
    id: String,
    /// The name, without the namespace.
    display_name: String,
    namespace: String,
    compartment_id: String,
    is_public: bool,
    created_by: String,
    /// `AVAILABLE` or, in the answer to a deletion, `DELETED`.
    lifecycle_state: &'static str,
    #[schema(format = DateTime)]
    time_created: String,
}

impl Repository {
    pub(crate) fn new(tenancy: &IamTenancy, repository: &repositories::Repository) -> Repository {
        Repository {
            id: repository.ocid.clone(),
            display_name: repository.name.clone(),
            namespace: tenancy.namespace.clone(),
            compartment_id: repository.compartment.clone(),
            is_public: repository.is_public,
            created_by: repository.created_by.clone(),
            lifecycle_state: AVAILABLE,
            time_created: time(repository.created_at),
        }
    }

    /// As its deletion shows it.
    pub(crate) fn deleted(self) -> Self {
        Self { lifecycle_state: DELETED, ..self }
    }
}

/// An image: a manifest, and what it names.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Image {
    /// The name of its repository, without the namespace.
    repository_name: String,
    digest: String,
    media_type: String,
    /// The tags that point to it.
    versions: Vec<String>,
    /// Of the manifest and the blobs that it names.
    size_in_bytes: i64,
    manifest_size_in_bytes: i64,
    created_by: String,
    /// `AVAILABLE` or `DELETED`.
    lifecycle_state: &'static str,
    #[schema(format = DateTime)]
    time_created: String,
    #[schema(format = DateTime)]
    time_deleted: Option<String>,
}

impl Image {
    pub(crate) fn new(repository: &RepositoryName, image: &images::Image) -> Image {
        Image {
            repository_name: repository.to_string(),
            digest: image.digest.clone(),
            media_type: image.media_type.clone(),
            versions: image.versions.clone(),
            size_in_bytes: image.manifest_bytes.saturating_add(image.blob_bytes),
            manifest_size_in_bytes: image.manifest_bytes,
            created_by: image.created_by.clone(),
            lifecycle_state: if image.deleted_at.is_some() { DELETED } else { AVAILABLE },
            time_created: time(image.created_at),
            time_deleted: image.deleted_at.map(time),
        }
    }
}

/// A tenancy whose deny statements count.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Tenancy {
    id: String,
    name: String,
    namespace: String,
    region: String,
    deny_policies: bool,
}

impl From<&IamTenancy> for Tenancy {
    fn from(tenancy: &IamTenancy) -> Tenancy {
        Tenancy {
            id: tenancy.ocid.clone(),
            name: tenancy.name.clone(),
            namespace: tenancy.namespace.clone(),
            region: tenancy.region.clone(),
            deny_policies: true,
        }
    }
}

/// What the administrator of a new tenancy needs to know. The secrets are shown here and never again.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Founding {
    namespace: String,
    tenancy_id: String,
    region: String,
    username: String,
    user_id: String,
    auth_token: String,
    fingerprint: String,
    /// An API signing key in PEM.
    private_key: String,
}

impl From<wharfinger_iam::Founding> for Founding {
    fn from(founding: wharfinger_iam::Founding) -> Founding {
        Founding {
            auth_token: founding.auth_token.reveal().to_owned(),
            private_key: founding.private_key.reveal().to_owned(),
            namespace: founding.namespace,
            tenancy_id: founding.tenancy_id,
            region: founding.region,
            username: founding.username,
            user_id: founding.user_id,
            fingerprint: founding.fingerprint,
        }
    }
}

/// An identity domain.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Domain {
    id: String,
    name: String,
    #[schema(format = DateTime)]
    time_created: String,
    /// `DELETED` in the answer to a deletion, else absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    lifecycle_state: Option<&'static str>,
}

impl From<&domains::Domain> for Domain {
    fn from(domain: &domains::Domain) -> Domain {
        Domain {
            id: domain.ocid.clone(),
            name: domain.name.clone(),
            time_created: time(domain.created_at),
            lifecycle_state: None,
        }
    }
}

impl Domain {
    /// As its deletion shows it.
    pub(crate) fn deleted(self) -> Self {
        Self { lifecycle_state: Some(DELETED), ..self }
    }
}

/// Whether a user may do something, and why.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Decision {
    allowed: bool,
    /// The statement that decided, if one did.
    statement: Option<String>,
    /// The policy that it is in.
    policy: Option<String>,
    missing: Option<Missing>,
    /// Statements that nearly gave it.
    nearest: Vec<Near>,
    notes: Vec<String>,
}

/// What would have to be given, and where.
#[derive(Debug, Serialize, ToSchema)]
struct Missing {
    permission: &'static str,
    /// Names from below the root, or `tenancy`.
    compartment: String,
}

/// A statement that nearly gave it, and the clause that kept it from doing so.
#[derive(Debug, Serialize, ToSchema)]
struct Near {
    policy: String,
    /// The statement's place in the policy, from 0.
    index: usize,
    statement: String,
    clause: &'static str,
    text: String,
}

impl Decision {
    pub(crate) fn new(permission: Permission, explanation: Explanation) -> Decision {
        let (statement, policy) =
            explanation.statement.map(|statement| (statement.text, statement.policy)).unzip();
        Decision {
            allowed: explanation.is_allowed,
            statement,
            policy,
            missing: explanation
                .missing_in
                .map(|compartment| Missing { permission: permission.as_str(), compartment }),
            nearest: explanation.nearest.into_iter().map(Near::from).collect(),
            notes: explanation.notes,
        }
    }
}

impl From<NearStatement> for Near {
    fn from(near: NearStatement) -> Near {
        Near {
            policy: near.statement.policy,
            index: near.statement.index,
            statement: near.statement.text,
            clause: near.clause,
            text: near.text,
        }
    }
}

/// What a statement gives or takes.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Right {
    /// Whom it is about.
    subject: String,
    /// `allow` or `deny`.
    effect: &'static str,
    permissions: Vec<&'static str>,
    compartment: String,
    /// When it holds, if not always.
    condition: Option<String>,
    policy: Option<String>,
    /// The statement's place in the policy, from 0.
    index: Option<usize>,
    statement: Option<String>,
}

impl From<&explanations::Right> for Right {
    fn from(right: &explanations::Right) -> Right {
        let statement = right.statement.as_ref();
        Right {
            subject: right.subject.clone(),
            effect: if right.is_denied { "deny" } else { "allow" },
            permissions: right.permissions.iter().map(|permission| permission.as_str()).collect(),
            compartment: right.compartment.clone(),
            condition: right.condition.clone(),
            policy: statement.map(|statement| statement.policy.clone()),
            index: statement.map(|statement| statement.index),
            statement: statement.map(|statement| statement.text.clone()),
        }
    }
}
