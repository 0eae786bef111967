//! The context of a request: who asks, when, from where, within which cap.

use std::net::IpAddr;
use std::sync::Arc;

use wharfinger_audit::Origin;
use wharfinger_metastore::{Args, FromRow, Statement, Store};
use wharfinger_types::{Namespace, Permission, Timestamp};

use crate::decision::{self, Decision, Reason};
use crate::rights::Rights;
use crate::{Cap, Conditions, Error, Iam, Target, Tenancy, tenancies};

/// Which door a request came through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listener {
    /// The address that everybody may reach.
    Network,
    /// The socket in the data directory, which only its owner may open.
    ControlSocket,
}

/// What is known of a request before anybody looked at its credentials.
#[derive(Debug, Clone)]
pub struct Request {
    /// Its id, for log, audit record and answer.
    pub id: String,
    /// When it came in; every time it writes is this one.
    pub now: Timestamp,
    /// Where it came from; `None` for the control socket.
    pub client_address: Option<IpAddr>,
    /// The door it came through.
    pub listener: Listener,
    /// Oracle Cloud's name of what is asked, such as `GetUser`, if it has one; conditions may look at it.
    pub operation: Option<Arc<str>>,
}

/// A logged-in user, as the database had it when the request came in.
#[derive(Debug, Clone)]
pub struct UserPrincipal {
    /// The user's OCID.
    pub ocid: String,
    /// The user's tenancy.
    pub tenancy_id: i64,
    /// OCID of the credential that was shown.
    pub credential: String,
    /// The user as policies see it.
    pub(crate) subject: Arc<wharfinger_policy::Principal>,
}

/// Who asks.
#[derive(Debug, Clone)]
pub enum Principal {
    /// Nobody logged in.
    Anonymous,
    /// A user with a good credential.
    User(UserPrincipal),
    /// Whoever may open the control socket: the owner of the data directory.
    LocalAdministrator,
}

/// A row that can be had only together with a right on it.
pub trait Protected: FromRow + Send {
    /// What the right is checked on.
    fn target(&self) -> Target;
}

/// The first argument of every service function.
#[derive(Debug, Clone)]
pub struct Ctx {
    iam: Iam,
    principal: Principal,
    /// Of the principal's tenancy.
    rights: Option<Arc<Rights>>,
    token: Option<TokenBounds>,
    request: Request,
    /// See `conditions.rs`.
    pub(crate) conditions: Conditions,
}

/// What a registry token that was shown leaves of its principal's rights, and until when.
#[derive(Debug, Clone)]
pub(crate) struct TokenBounds {
    pub(crate) cap: Cap,
    pub(crate) expires_at: Timestamp,
}

impl Ctx {
    pub(crate) fn new(
        iam: Iam,
        principal: Principal,
        rights: Option<Arc<Rights>>,
        token: Option<TokenBounds>,
        request: Request,
    ) -> Ctx {
        Ctx { iam, principal, rights, token, request, conditions: Conditions::default() }
    }

    /// The bounds of the registry token that was shown; `None` if it was another credential or none.
    pub(crate) fn token(&self) -> Option<&TokenBounds> {
        self.token.as_ref()
    }

    /// Who asks.
    pub fn principal(&self) -> &Principal {
        &self.principal
    }

    /// When the request came in.
    pub fn now(&self) -> Timestamp {
        self.request.now
    }

    /// The store, for the writes and reads of services.
    pub fn store(&self) -> &Store {
        self.iam.store()
    }

    /// Identity, for services that act on it.
    pub fn iam(&self) -> &Iam {
        &self.iam
    }

    /// The origin of audit records.
    pub fn origin(&self) -> Origin {
        let (principal_id, principal_name) = match &self.principal {
            Principal::Anonymous => ("anonymous", "anonymous"),
            Principal::LocalAdministrator => ("local-administrator", "local administrator"),
            Principal::User(user) => (user.ocid.as_str(), user.subject.name.as_str()),
        };
        Origin {
            principal_id: principal_id.to_owned(),
            principal_name: principal_name.to_owned(),
            request_id: self.request.id.clone(),
            client_address: self.request.client_address,
            at: self.request.now,
        }
    }

    /// Whether the principal has `permission` on `target`. For lists, which leave out what it can't see;
    /// everything else goes through [`Ctx::require`] or [`Ctx::lookup`].
    pub fn allows(&self, permission: Permission, target: &Target) -> bool {
        tracing::trace!(permission = permission.as_str(), on = target.kind(), "asked");
        decision::permits(&self.principal, self.rights.as_deref(), permission, target, &self.request)
    }

    /// Checks `permission` on `target`, and logs the reason.
    pub fn require(&self, permission: Permission, target: &Target) -> Result<(), Error> {
        let rights = self.rights.as_deref();
        match decision::decide(&self.principal, rights, permission, target, &self.request) {
            Decision::Allowed(reason) => {
                tracing::debug!(permission = permission.as_str(), on = target.kind(), reason, "allowed");
                Ok(())
            }
            Decision::Denied { reason, compartment } => {
                let principal = self.origin().principal_id;
                let on = target.kind();
                tracing::info!(permission = permission.as_str(), on, principal, reason, "denied");
                if matches!(self.principal, Principal::Anonymous) {
                    return Err(Error::Unauthenticated);
                }
                // One who may see the resource may know what is missing.
                let compartment = self.allows(inspect(permission), target).then_some(compartment);
                Err(Error::Denied { permission, compartment })
            }
        }
    }

    /// Checks that the principal may do there all that a policy can give: what `manage all-resources` gives.
    pub(crate) fn require_all(&self, target: &Target) -> Result<(), Error> {
        tracing::debug!(permission = "every permission", on = target.kind(), "asked");
        let is_missing = |permission: &&Permission| {
            **permission != Permission::TenancyCreate
                && !decision::permits(
                    &self.principal,
                    self.rights.as_deref(),
                    **permission,
                    target,
                    &self.request,
                )
        };
        let missing = Permission::ALL.iter().find(is_missing);
        missing.map_or(Ok(()), |permission| self.require(*permission, target))
    }

    /// Decides as [`Ctx::require`] does, and hands what the decision rests on to `answer` instead of the log.
    pub(crate) fn explain<T>(
        &self,
        permission: Permission,
        target: &Target,
        answer: impl Fn(Reason<'_>) -> T,
    ) -> T {
        decision::explain(&self.principal, self.rights.as_deref(), permission, target, &self.request, answer)
    }

    /// Checks that the principal is a member of the tenancy's Administrators, or the local administrator: what
    /// no policy can give anybody.
    pub(crate) fn require_administrator(&self, permission: Permission, tenancy_id: i64) -> Result<(), Error> {
        let is_administrator = match (&self.principal, self.rights.as_deref()) {
            (Principal::LocalAdministrator, _) => true,
            (Principal::User(user), Some(rights)) if user.tenancy_id == tenancy_id => {
                let administrators = rights.options.administrators.as_ref();
                user.subject.groups.iter().any(|group| Some(&group.id) == administrators)
            }
            _ => false,
        };
        self.require(permission, &Target::tenancy(tenancy_id))?;
        if is_administrator { Ok(()) } else { Err(self.refuse(permission)) }
    }

    /// Refuses as for a resource that is not there.
    pub fn refuse(&self, permission: Permission) -> Error {
        tracing::info!(
            permission = permission.as_str(),
            principal = self.origin().principal_id,
            "denied: no such resource"
        );
        match self.principal {
            Principal::Anonymous => Error::Unauthenticated,
            Principal::User(_) | Principal::LocalAdministrator => {
                Error::Denied { permission, compartment: None }
            }
        }
    }

    /// Checks that `action` on the resource stays within what the registry token was asked for.
    pub fn within_cap(
        &self,
        kind: &str,
        name: &impl std::fmt::Display,
        action: &'static str,
    ) -> Result<(), Error> {
        let Some(TokenBounds { cap: cap @ Cap::Only(_), .. }) = &self.token else {
            return Ok(());
        };
        if cap.covers(kind, &name.to_string(), action) {
            return Ok(());
        }
        // With no login at all, more scope would not help: a log-in would.
        match self.principal {
            Principal::Anonymous => Err(Error::Unauthenticated),
            _ => Err(Error::BeyondCap { name: name.to_string(), action }),
        }
    }

    /// The tenancy of `namespace`, without any right on it: what hangs below it is checked.
    /// An unknown namespace is refused like one without right, except to the local administrator.
    pub async fn tenancy(&self, namespace: &Namespace, permission: Permission) -> Result<Tenancy, Error> {
        match tenancies::by_namespace(&self.iam, namespace).await? {
            Some(tenancy) => Ok(tenancy),
            None if matches!(self.principal, Principal::LocalAdministrator) => {
                Err(Error::NotFound { what: "tenancy", name: namespace.to_string() })
            }
            None => Err(self.refuse(permission)),
        }
    }

    /// Looks a resource of `tenancy_id` up and checks `permission` on it. One that is not there is
    /// refused like one without right, unless the principal would have the right anywhere in the
    /// tenancy: then it is [`Error::NotFound`] with the given words.
    pub async fn lookup<R: Protected>(
        &self,
        statement: &'static Statement,
        args: Args<'_>,
        permission: Permission,
        tenancy_id: i64,
        what: (&'static str, &str),
    ) -> Result<R, Error> {
        self.lookup_or(statement, args, permission, &Target::tenancy(tenancy_id), what).await
    }

    /// As [`Ctx::lookup`], with what the right is checked on if there is no such resource.
    pub async fn lookup_or<R: Protected>(
        &self,
        statement: &'static Statement,
        args: Args<'_>,
        permission: Permission,
        absent: &Target,
        what: (&'static str, &str),
    ) -> Result<R, Error> {
        self.lookup_as(statement, args, permission, absent, what, R::target).await
    }

    /// As [`Ctx::lookup_or`], with another target than that of the resource itself.
    pub(crate) async fn lookup_as<R: Protected>(
        &self,
        statement: &'static Statement,
        args: Args<'_>,
        permission: Permission,
        absent: &Target,
        what: (&'static str, &str),
        target: fn(&R) -> Target,
    ) -> Result<R, Error> {
        self.checked(self.store().opt(statement, args).await?, permission, absent, what, target)
    }

    /// What [`Ctx::lookup_as`] makes of the row it found, if it did.
    pub(crate) fn checked<R: Protected>(
        &self,
        found: Option<R>,
        permission: Permission,
        absent: &Target,
        what: (&'static str, &str),
        target: impl Fn(&R) -> Target,
    ) -> Result<R, Error> {
        match found {
            Some(row) => {
                self.require(permission, &target(&row))?;
                Ok(row)
            }
            None if self.allows(permission, absent) => {
                Err(Error::NotFound { what: what.0, name: what.1.to_owned() })
            }
            None => Err(self.refuse(permission)),
        }
    }

    /// Internal ids of the tenancy's compartments in which the principal has `permission` on whatever
    /// is there; `None` is all of them.
    pub fn compartments_with(&self, permission: Permission, tenancy_id: i64) -> Option<Vec<i64>> {
        if matches!(self.principal, Principal::LocalAdministrator) {
            tracing::trace!(permission = permission.as_str(), on = "compartment", "asked");
            return None;
        }
        let all = self.rights.as_deref().map_or(&[][..], |rights| &rights.compartments);
        let allowed = all.iter().filter(|(_, compartment)| {
            let target = Target { compartment: Some(compartment.clone()), ..Target::tenancy(tenancy_id) };
            self.allows(permission, &target)
        });
        let allowed: Vec<i64> = allowed.map(|(id, _)| *id).collect();
        (allowed.is_empty() || allowed.len() < all.len()).then_some(allowed)
    }
}

/// The least that one needs to see a resource of the kind that `permission` is about.
fn inspect(permission: Permission) -> Permission {
    use Permission::*;
    match permission {
        RepositoryInspect | RepositoryRead | RepositoryUpdate | RepositoryCreate | RepositoryDelete
        | RepositoryManage => RepositoryInspect,
        CompartmentInspect | CompartmentCreate | CompartmentUpdate | CompartmentDelete
        | CompartmentRecover => CompartmentInspect,
        PolicyRead | PolicyCreate | PolicyUpdate | PolicyDelete => PolicyRead,
        NetworkSourceInspect | NetworkSourceCreate | NetworkSourceUpdate | NetworkSourceDelete => {
            NetworkSourceInspect
        }
        DynamicGroupInspect | DynamicGroupCreate | DynamicGroupUpdate | DynamicGroupDelete => {
            DynamicGroupInspect
        }
        TagNamespaceInspect | TagNamespaceUse | TagNamespaceCreate | TagNamespaceUpdate
        | TagNamespaceMove | TagNamespaceDelete => TagNamespaceInspect,
        UserInspect | UserRead | UserCreate | UserUpdate | UserDelete | UserUnblock | UserAuthTokenSet
        | UserAuthTokenReset | UserAuthTokenRemove | UserApiKeyAdd | UserApiKeyRemove => UserInspect,
        GroupInspect | GroupCreate | GroupUpdate | GroupDelete => GroupInspect,
        TenancyInspect | TenancyUpdate | TenancyCreate => TenancyInspect,
        NamespaceRead | NamespaceUpdate => NamespaceRead,
    }
}
