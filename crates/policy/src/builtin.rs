//! The policies that a tenancy has from the start, or gets with deny statements.

use wharfinger_types::Ocid;

/// The group of the default domain whose members administer the tenancy.
pub const ADMINISTRATORS: &str = "Administrators";
/// The policy that gives them everything; nobody can change it.
pub const TENANT_ADMIN_POLICY: &str = "Tenant Admin Policy";
/// Its only statement, for the root compartment.
pub const TENANT_ADMIN_STATEMENT: &str = "Allow group Administrators to manage all-resources in tenancy";

/// The statement, for the root compartment, that comes with switching deny statements on: nobody but
/// the user who did it, and the administrators, writes policies that hold one.
pub fn deny_guard_statement(enabled_by: &Ocid) -> String {
    format!(
        "Deny any-user to manage policies in tenancy where all {{target.policy.type = 'deny', any {{!request.user.id, request.user.id != '{enabled_by}'}}}}"
    )
}
