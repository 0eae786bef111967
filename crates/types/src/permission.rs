//! The permissions that operations ask for, by Oracle Cloud's names.

use std::fmt;

macro_rules! permissions {
    ($($(#[$doc:meta])* $name:ident = $text:literal),+ $(,)?) => {
        /// One permission. Policies grant verbs; verbs stand for permissions; operations ask for permissions.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Permission { $($(#[$doc])* $name),+ }

        impl Permission {
            /// Every permission.
            pub const ALL: &'static [Permission] = &[$(Permission::$name),+];

            /// Oracle Cloud's name of it.
            pub fn as_str(self) -> &'static str {
                match self { $(Permission::$name => $text),+ }
            }
        }
    };
}

permissions! {
    /// See that a repository exists.
    RepositoryInspect = "REPOSITORY_INSPECT",
    /// Pull: manifests, blobs, tags.
    RepositoryRead = "REPOSITORY_READ",
    /// Push into an existing repository, delete images from it.
    RepositoryUpdate = "REPOSITORY_UPDATE",
    /// Create a repository.
    RepositoryCreate = "REPOSITORY_CREATE",
    /// Delete a repository.
    RepositoryDelete = "REPOSITORY_DELETE",
    /// Change a repository's settings, such as its visibility.
    RepositoryManage = "REPOSITORY_MANAGE",
    /// See users.
    UserInspect = "USER_INSPECT",
    /// Create a user.
    UserCreate = "USER_CREATE",
    /// Change a user, its state, its memberships.
    UserUpdate = "USER_UPDATE",
    /// Delete a user.
    UserDelete = "USER_DELETE",
    /// Let a user in again that was blocked.
    UserUnblock = "USER_UNBLOCK",
    /// See a user's credentials (never their secrets).
    UserRead = "USER_READ",
    /// Make an auth token for a user.
    UserAuthTokenSet = "USER_AUTHTOKEN_SET",
    /// Change what a user's auth token is called.
    UserAuthTokenReset = "USER_AUTHTOKEN_RESET",
    /// Delete a user's auth token.
    UserAuthTokenRemove = "USER_AUTHTOKEN_REMOVE",
    /// Add an API signing key to a user.
    UserApiKeyAdd = "USER_APIKEY_ADD",
    /// Delete a user's API signing key.
    UserApiKeyRemove = "USER_APIKEY_REMOVE",
    /// See groups.
    GroupInspect = "GROUP_INSPECT",
    /// Create a group.
    GroupCreate = "GROUP_CREATE",
    /// Change a group and its members.
    GroupUpdate = "GROUP_UPDATE",
    /// Delete a group.
    GroupDelete = "GROUP_DELETE",
    /// See the tenancy and its regions.
    TenancyInspect = "TENANCY_INSPECT",
    /// Change the tenancy: make domains in it, switch deny statements on.
    TenancyUpdate = "TENANCY_UPDATE",
    /// See where Object Storage would put what names no compartment.
    NamespaceRead = "OBJECTSTORAGE_NAMESPACE_READ",
    /// Change where Object Storage would put it.
    NamespaceUpdate = "OBJECTSTORAGE_NAMESPACE_UPDATE",
    /// See compartments and what is listed of them, such as availability domains.
    CompartmentInspect = "COMPARTMENT_INSPECT",
    /// Create a compartment.
    CompartmentCreate = "COMPARTMENT_CREATE",
    /// Rename a compartment or describe it anew.
    CompartmentUpdate = "COMPARTMENT_UPDATE",
    /// Delete a compartment.
    CompartmentDelete = "COMPARTMENT_DELETE",
    /// Bring a deleted compartment back.
    CompartmentRecover = "COMPARTMENT_RECOVER",
    /// See policies with all their statements.
    PolicyRead = "POLICY_READ",
    /// Create a policy.
    PolicyCreate = "POLICY_CREATE",
    /// Change a policy.
    PolicyUpdate = "POLICY_UPDATE",
    /// Delete a policy.
    PolicyDelete = "POLICY_DELETE",
    /// See network sources.
    NetworkSourceInspect = "NETWORK_SOURCE_INSPECT",
    /// Create a network source.
    NetworkSourceCreate = "NETWORK_SOURCE_CREATE",
    /// Change the addresses of a network source.
    NetworkSourceUpdate = "NETWORK_SOURCE_UPDATE",
    /// Delete a network source.
    NetworkSourceDelete = "NETWORK_SOURCE_DELETE",
    /// See dynamic groups.
    DynamicGroupInspect = "DYNAMIC_GROUP_INSPECT",
    /// Create a dynamic group.
    DynamicGroupCreate = "DYNAMIC_GROUP_CREATE",
    /// Change the matching rule of a dynamic group.
    DynamicGroupUpdate = "DYNAMIC_GROUP_UPDATE",
    /// Delete a dynamic group.
    DynamicGroupDelete = "DYNAMIC_GROUP_DELETE",
    /// See tag namespaces and the tags that they define.
    TagNamespaceInspect = "TAG_NAMESPACE_INSPECT",
    /// Set, change or remove tags of a namespace on resources; define tags in it.
    TagNamespaceUse = "TAG_NAMESPACE_USE",
    /// Create a tag namespace.
    TagNamespaceCreate = "TAG_NAMESPACE_CREATE",
    /// Describe a tag namespace anew, retire it, bring it back.
    TagNamespaceUpdate = "TAG_NAMESPACE_UPDATE",
    /// Put a tag namespace into another compartment.
    TagNamespaceMove = "TAG_NAMESPACE_MOVE",
    /// Delete a tag namespace or a tag.
    TagNamespaceDelete = "TAG_NAMESPACE_DELETE",
    /// Found another tenancy: ours, not Oracle Cloud's; the local administrator alone has it.
    TenancyCreate = "TENANCY_CREATE",
}

impl Permission {
    /// The permission that Oracle Cloud calls `name`, in any case of letters.
    pub fn named(name: &str) -> Option<Permission> {
        Permission::ALL.iter().copied().find(|permission| permission.as_str().eq_ignore_ascii_case(name))
    }

    /// Whether it is one on a repository.
    pub fn is_about_repositories(self) -> bool {
        use Permission::*;
        matches!(
            self,
            RepositoryInspect
                | RepositoryRead
                | RepositoryUpdate
                | RepositoryCreate
                | RepositoryDelete
                | RepositoryManage
        )
    }
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
