//! Why somebody may do something or not, and what the policies give whom.
//!
//! A decision is explained by making it: with a context of the user as a log-in would have it. Who may read
//! all policies may ask; nobody else sees a statement.

use std::net::IpAddr;
use std::sync::Arc;

use wharfinger_policy::{CompartmentTree, Effect, Grant, NearMiss, Outcome, StatementRef};
use wharfinger_types::{Page, Permission, Timestamp};

use crate::decision::Reason;
use crate::rights::Rights;
use crate::users::{self, User};
use crate::{Capability, Ctx, Error, Listed, Listener, Principal, Request, Target, Tenancy, fields};

/// A question: may this user do that there?
#[derive(Debug)]
pub struct Question<'a> {
    /// `NAME`, `DOMAIN/NAME` or an OCID.
    pub user: &'a str,
    /// What is to be done.
    pub permission: Permission,
    /// On what, in the tenancy.
    pub target: Target,
    /// When; now if not given.
    pub at: Option<Timestamp>,
    /// From where, which only conditions look at.
    pub from: Option<IpAddr>,
}

/// A decision with all that it rests on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// Whether the user may.
    pub is_allowed: bool,
    /// The statement that gives the permission, or the `Deny` that takes it; none if no statement decided.
    pub statement: Option<PlacedStatement>,
    /// The path of the compartment in which the permission is missing; `None` if the policies give it.
    pub missing_in: Option<String>,
    /// Statements that would give it but for one clause, the nearest first.
    pub nearest: Vec<NearStatement>,
    /// What else there is to know, a sentence each.
    pub notes: Vec<String>,
}

/// A statement and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlacedStatement {
    /// Name of the policy.
    pub policy: String,
    /// The statement's place in it, from 1.
    pub index: usize,
    /// Its text.
    pub text: String,
}

/// A statement that would give a permission but for one clause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NearStatement {
    /// The statement.
    pub statement: PlacedStatement,
    /// The kind of clause: `condition`, `action`, `location`, `subject`.
    pub clause: &'static str,
    /// The clause as written; of a condition, the part that failed.
    pub text: String,
}

/// What one statement, or the rule about public repositories, gives or takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Right {
    /// Whom the statement names, as written; `anybody` for a public repository.
    pub subject: String,
    /// Whether it takes instead of giving.
    pub is_denied: bool,
    /// The permissions, of those that an operation asks for.
    pub permissions: Vec<Permission>,
    /// The path of the compartment that it reaches, with those below.
    pub compartment: String,
    /// When it holds, as written; `None` is always.
    pub condition: Option<String>,
    /// The statement; `None` for a public repository.
    pub statement: Option<PlacedStatement>,
}

impl From<&StatementRef> for PlacedStatement {
    fn from(statement: &StatementRef) -> PlacedStatement {
        PlacedStatement {
            policy: statement.policy_name.clone(),
            index: statement.index + 1,
            text: statement.span.text(&statement.text).to_owned(),
        }
    }
}

impl From<&NearMiss<'_>> for NearStatement {
    fn from(miss: &NearMiss<'_>) -> NearStatement {
        NearStatement {
            statement: miss.statement.into(),
            clause: miss.clause.as_str(),
            text: miss.text().to_owned(),
        }
    }
}

/// Decides what a user may do as a request of that user would be decided, and says why.
pub async fn explain_decision(
    ctx: &Ctx,
    tenancy: &Tenancy,
    question: &Question<'_>,
) -> Result<Explanation, Error> {
    let asked = Asked::find(ctx, tenancy, question.user).await?;
    let request = Request {
        operation: None,
        id: ctx.origin().request_id,
        now: question.at.unwrap_or(ctx.now()),
        client_address: question.from,
        listener: Listener::Network,
    };
    let rights = Some(Arc::clone(&asked.rights));
    let as_user = Ctx::new(ctx.iam().clone(), asked.principal.clone(), rights, None, request);
    let explanation = as_user.explain(question.permission, &question.target, explanation);
    Ok(asked.annotate(explanation, &question.target))
}

/// What the policies give a user, a page of it. Whether the user can log in is no part of it.
pub async fn list_rights_of_user(
    ctx: &Ctx,
    tenancy: &Tenancy,
    user: &str,
    page: &Page,
) -> Result<Listed<Right>, Error> {
    let asked = Asked::find(ctx, tenancy, user).await?;
    let (grants, tree) = (asked.grants(), asked.rights.set.tree());
    page_of(grants.iter().map(|grant| Right::of(grant, tree, |_| true)), page)
}

/// What the policies, or its being public, give anybody on a repository, a page of it.
pub async fn list_rights_on_repository(
    ctx: &Ctx,
    tenancy: &Tenancy,
    repository: &Target,
    page: &Page,
) -> Result<Listed<Right>, Error> {
    ctx.require(Permission::PolicyRead, &Target::tenancy(tenancy.id))?;
    let rights = ctx.iam().current_rights(tenancy.id).await?;
    let (set, compartment) = (&rights.set, repository.compartment.as_ref().unwrap_or(&rights.root));
    let public = repository.is_public.then(|| Right {
        subject: "anybody".to_owned(),
        is_denied: false,
        permissions: vec![Permission::RepositoryInspect, Permission::RepositoryRead],
        compartment: set.tree().path(compartment).unwrap_or_default(),
        condition: None,
        statement: None,
    });
    let grants = set.grants_on(compartment);
    let given = grants.iter().map(|grant| Right::of(grant, set.tree(), Permission::is_about_repositories));
    page_of(public.into_iter().chain(given), page)
}

/// A user whom a question is about, as a log-in would have it.
struct Asked {
    user: User,
    principal: Principal,
    has_auth_token: bool,
    rights: Arc<Rights>,
}

impl Asked {
    /// The user, for one who may read all policies of the tenancy.
    async fn find(ctx: &Ctx, tenancy: &Tenancy, user: &str) -> Result<Asked, Error> {
        ctx.require(Permission::PolicyRead, &Target::tenancy(tenancy.id))?;
        let user = users::find(ctx, tenancy, user, Permission::UserInspect).await?;
        let ((principal, rights_version), has_auth_token) = ctx.iam().principal_of(tenancy, &user).await?;
        let rights = ctx.iam().rights(tenancy.id, rights_version).await?;
        Ok(Asked { user, principal, has_auth_token, rights })
    }

    fn grants(&self) -> Vec<Grant<'_>> {
        match &self.principal {
            Principal::User(user) => self.rights.set.grants_to(&user.subject),
            Principal::Anonymous | Principal::LocalAdministrator => Vec::new(),
        }
    }

    /// Adds what no policy decides: what keeps the user from logging in, and why nothing may be given.
    fn annotate(&self, mut explanation: Explanation, target: &Target) -> Explanation {
        let name = &self.user.name;
        let is_in_no_group =
            matches!(&self.principal, Principal::User(user) if user.subject.groups.is_empty());
        let notes = &mut explanation.notes;
        if target.is_public {
            notes.push("the repository is public: anybody may inspect and read it".to_owned());
        }
        if !self.user.is_active {
            let given = explanation.statement.take_if(|_| explanation.is_allowed);
            let given = given.map(|by| {
                format!(", then statement {} of policy `{}` allows it: {}", by.index, by.policy, by.text)
            });
            let given = given.unwrap_or_default();
            notes.push(format!("user `{name}` is inactive: switch it on to let it log in{given}"));
            explanation.is_allowed = false;
        }
        if !self.user.capabilities().has(Capability::AuthTokens) {
            notes.push(format!(
                "user `{name}` may not use auth tokens, so `docker login` fails: switch `canUseAuthTokens` on"
            ));
        } else if !self.has_auth_token {
            notes.push(format!("user `{name}` has no auth token, so `docker login` fails: create one"));
        }
        if is_in_no_group {
            notes.push(format!("user `{name}` is in no group: only statements about `any-user` name it"));
        }
        if self.grants().is_empty() {
            notes.push(format!("no statement of any policy names user `{name}` or one of its groups"));
        }
        explanation
    }
}

fn explanation(reason: Reason<'_>) -> Explanation {
    let mut explanation = Explanation {
        is_allowed: false,
        statement: None,
        missing_in: None,
        nearest: Vec::new(),
        notes: Vec::new(),
    };
    match reason {
        Reason::Rule(_) => explanation.is_allowed = true,
        Reason::NoSay => {
            explanation.notes.push("nobody has rights in another tenancy than its own".to_owned());
        }
        Reason::Policies(decision) => {
            explanation.is_allowed = decision.is_allowed();
            explanation.statement = decision.statement().map(PlacedStatement::from);
            explanation.missing_in = (!decision.is_allowed()).then_some(decision.compartment);
            if let Outcome::NotGranted(misses) = &decision.outcome {
                explanation.nearest = misses.iter().map(NearStatement::from).collect();
            }
        }
    }
    explanation
}

impl Right {
    /// Of the permissions that some operation asks for, those that are `wanted`.
    fn of(grant: &Grant<'_>, tree: &CompartmentTree, wanted: impl Fn(Permission) -> bool) -> Right {
        let permissions = grant.permissions.iter().filter_map(|name| Permission::named(name));
        Right {
            subject: grant.subject.to_owned(),
            is_denied: grant.effect == Effect::Deny,
            permissions: permissions.filter(|permission| wanted(*permission)).collect(),
            compartment: tree.path(grant.compartment).unwrap_or_default(),
            condition: grant.condition.map(str::to_owned),
            statement: Some(grant.statement.into()),
        }
    }

    /// Its place in a list: policy and index. What no statement gives comes first.
    fn place(&self) -> (&str, usize) {
        self.statement.as_ref().map_or(("", 0), |statement| (&statement.policy, statement.index))
    }
}

/// The place that a page's start names.
fn place_in(text: &str) -> Option<(&str, usize)> {
    let (policy, index) = text.rsplit_once('/')?;
    Some((policy, index.parse().ok()?))
}

/// The page of those that give or take anything. The list is in the order of their places.
fn page_of(rights: impl Iterator<Item = Right>, page: &Page) -> Result<Listed<Right>, Error> {
    let last = page.last.as_deref().map(|last| {
        let remedy = "use the `opc-next-page` header of the answer before";
        place_in(last).ok_or_else(|| fields::invalid("page", last, remedy))
    });
    let last = last.transpose()?;
    let is_behind = |right: &Right| last.is_none_or(|last| right.place() > last);
    let rights = rights.filter(|right| !right.permissions.is_empty() && is_behind(right));
    let mut rows: Vec<Right> = rights.take(page.limit.saturating_add(1)).collect();
    let has_more = rows.len() > page.limit;
    rows.truncate(page.limit);
    let place = rows.last().filter(|_| has_more).map(Right::place);
    let next_page = place.map(|(policy, index)| format!("{policy}/{index}"));
    Ok(Listed { rows, next_page })
}
