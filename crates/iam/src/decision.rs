//! The rule behind every check.
//!
//! For now: administrators may do all in their tenancy, anybody reads public repositories, and
//! nothing else is allowed. Policy statements replace this function without touching a caller.

use wharfinger_types::Permission;

use crate::Principal;

/// What a permission is asked on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target {
    /// The tenancy that owns the resource.
    pub tenancy_id: i64,
    /// Whether the resource is public, so that anybody may read it.
    pub is_public: bool,
}

impl Target {
    /// The tenancy itself, for what belongs to no smaller resource.
    pub fn tenancy(tenancy_id: i64) -> Target {
        Target { tenancy_id, is_public: false }
    }
}

/// The outcome of a check, with its reason for the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Allowed, because of this rule.
    Allowed(&'static str),
    /// No rule allows it.
    Denied,
}

pub(crate) fn decide(principal: &Principal, permission: Permission, target: Target) -> Decision {
    match principal {
        Principal::LocalAdministrator => return Decision::Allowed("local administrator"),
        Principal::User(user) if user.is_administrator && user.tenancy_id == target.tenancy_id => {
            // Founding tenancies is above any tenancy's administrator.
            if permission != Permission::TenancyCreate {
                return Decision::Allowed("administrator of the tenancy");
            }
        }
        Principal::User(_) | Principal::Anonymous => {}
    }
    let reads = matches!(permission, Permission::RepositoryRead | Permission::RepositoryInspect);
    if target.is_public && reads {
        return Decision::Allowed("public repository");
    }
    Decision::Denied
}
