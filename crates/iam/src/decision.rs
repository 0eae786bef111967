//! Decisions: may this principal do that here, and why.
//!
//! Deny is the default. The local administrator may do all; anybody reads public repositories; everything
//! else is decided by the policies of the tenancy that owns the target. Nobody has rights in another
//! tenancy than its own.

use std::borrow::Cow;
use std::slice;

use wharfinger_policy::{Attribute, Outcome};
use wharfinger_types::{Ocid, Permission};

use crate::rights::Rights;
use crate::{Principal, Request};

/// What a permission is asked on.
#[derive(Debug, Clone)]
pub struct Target {
    /// The tenancy that owns the resource.
    pub tenancy_id: i64,
    /// The compartment of the resource; `None` is the tenancy's root.
    pub compartment: Option<Ocid>,
    /// The repository's name, which conditions may look at.
    pub repository: Option<String>,
    /// Whether the resource is public, so that anybody may read it.
    pub is_public: bool,
    /// Of a policy: `ALLOW`, `DENY` or both, as its statements are. Conditions may look at it.
    pub policy_types: &'static [&'static str],
    /// `<namespace>.<key>` and value of the resource's defined tags; of what is about to be made or listed, none.
    pub tags: Vec<(String, String)>,
    /// What else conditions may ask about: names and values.
    pub variables: Vec<(&'static str, String)>,
}

impl Target {
    /// The tenancy itself, for what belongs to no smaller resource.
    pub fn tenancy(tenancy_id: i64) -> Target {
        Target {
            tenancy_id,
            compartment: None,
            repository: None,
            is_public: false,
            policy_types: &[],
            tags: Vec::new(),
            variables: Vec::new(),
        }
    }

    /// What it is, for the log.
    pub(crate) fn kind(&self) -> &'static str {
        match (&self.repository, &self.compartment) {
            (Some(_), _) => "repository",
            (None, Some(_)) => "compartment",
            (None, None) => "tenancy",
        }
    }
}

/// The outcome of a check, with its reason for the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Decision {
    /// Allowed, because of this rule or statement.
    Allowed(String),
    /// Refused, because of this statement or for want of one.
    Denied {
        /// The reason in words.
        reason: String,
        /// The path of the target's compartment.
        compartment: String,
    },
}

/// What a decision rests on.
#[derive(Debug)]
pub(crate) enum Reason<'a> {
    /// This rule stands above all policies and allows it.
    Rule(&'static str),
    /// The policies of the principal's tenancy.
    Policies(wharfinger_policy::Decision<'a>),
    /// No policy has a say: nobody is logged in, or the target is another tenancy's.
    NoSay,
}

/// Whether the rule that stands above all policies allows it, or who has to be asked.
fn rule(principal: &Principal, permission: Permission, target: &Target) -> Option<&'static str> {
    if matches!(principal, Principal::LocalAdministrator) {
        return Some("local administrator");
    }
    let reads = matches!(permission, Permission::RepositoryRead | Permission::RepositoryInspect);
    (target.is_public && reads).then_some("public repository")
}

/// Asks the policies of the principal's own tenancy, and is told the request that they were asked.
fn ask<T>(
    principal: &Principal,
    rights: Option<&Rights>,
    permission: Permission,
    target: &Target,
    asked: &Request,
    answer: impl FnOnce(&wharfinger_policy::PolicySet, &wharfinger_policy::Request<'_>) -> T,
) -> Option<T> {
    let (Principal::User(user), Some(rights)) = (principal, rights) else {
        return None;
    };
    if user.tenancy_id != target.tenancy_id {
        return None;
    }
    let sources = rights.network_sources_of(asked.client_address);
    let mut attributes = vec![Attribute { name: "request.networkSource.name", values: &sources }];
    let known = [
        ("request.region", Some(rights.region_key.as_str())),
        ("request.operation", asked.operation.as_deref()),
        ("target.repo.name", target.repository.as_deref()),
    ];
    for (name, value) in &known {
        if let Some(value) = value {
            attributes.push(Attribute { name, values: slice::from_ref(value) });
        }
    }
    if !target.policy_types.is_empty() {
        attributes.push(Attribute { name: "target.policy.type", values: target.policy_types });
    }
    let variables: Vec<(&str, &str)> =
        target.variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
    for (name, value) in &variables {
        attributes.push(Attribute { name, values: slice::from_ref(value) });
    }
    let tags = tags(rights, &user.subject, target);
    for (name, values) in &tags {
        attributes.push(Attribute { name, values });
    }
    let request = wharfinger_policy::Request {
        principal: &user.subject,
        permission: permission.as_str(),
        compartment: target.compartment.as_ref().unwrap_or(&rights.root),
        time: asked.now,
        attributes: &attributes,
    };
    Some(answer(&rights.set, &request))
}

/// The variables of tags, each with its values: of the target, of the principal's groups and of its compartment,
/// which for a user is the root. Tags of the target's compartments are in the compiled policies.
fn tags<'a>(
    rights: &'a Rights,
    principal: &wharfinger_policy::Principal,
    target: &'a Target,
) -> Vec<(Cow<'a, str>, Vec<&'a str>)> {
    let own =
        target.tags.iter().map(|(tag, value)| (Cow::Owned(format!("target.resource.tag.{tag}")), value));
    let groups = principal.groups.iter().filter_map(|group| rights.group_tags.get(&group.id)).flatten();
    let above = groups.chain(&rights.root_tags).map(|(name, value)| (Cow::Borrowed(name.as_str()), value));
    let mut variables: Vec<(Cow<'a, str>, Vec<&'a str>)> = Vec::new();
    for (name, value) in own.chain(above) {
        match variables.iter_mut().find(|(known, _)| *known == name) {
            Some((_, values)) => values.push(value),
            None => variables.push((name, vec![value])),
        }
    }
    variables
}

/// Whether it is allowed, for lists, which give no reasons.
pub(crate) fn permits(
    principal: &Principal,
    rights: Option<&Rights>,
    permission: Permission,
    target: &Target,
    asked: &Request,
) -> bool {
    rule(principal, permission, target).is_some()
        || ask(principal, rights, permission, target, asked, wharfinger_policy::PolicySet::permits)
            == Some(true)
}

/// The decision with its reason.
pub(crate) fn decide(
    principal: &Principal,
    rights: Option<&Rights>,
    permission: Permission,
    target: &Target,
    asked: &Request,
) -> Decision {
    explain(principal, rights, permission, target, asked, |reason| match reason {
        Reason::Rule(rule) => Decision::Allowed(rule.to_owned()),
        Reason::Policies(decision) => match &decision.outcome {
            Outcome::Allowed(statement) => Decision::Allowed(statement.to_string()),
            Outcome::Denied(_) | Outcome::NotGranted(_) => {
                Decision::Denied { reason: decision.to_string(), compartment: decision.compartment.clone() }
            }
        },
        Reason::NoSay => {
            let reason = match principal {
                Principal::Anonymous => "nobody is logged in, and it is not public",
                _ => "nobody has rights in another tenancy than its own",
            };
            Decision::Denied { reason: reason.to_owned(), compartment: String::new() }
        }
    })
}

/// Decides, and hands all that the decision rests on to `answer`.
pub(crate) fn explain<T>(
    principal: &Principal,
    rights: Option<&Rights>,
    permission: Permission,
    target: &Target,
    asked: &Request,
    answer: impl Fn(Reason<'_>) -> T,
) -> T {
    if let Some(rule) = rule(principal, permission, target) {
        return answer(Reason::Rule(rule));
    }
    let decided = ask(principal, rights, permission, target, asked, |set, request| {
        answer(Reason::Policies(set.decide(request)))
    });
    decided.unwrap_or_else(|| answer(Reason::NoSay))
}
