//! Decisions: deny by default, a matching `Deny` beats every `Allow`, rights add up.

use crate::ast::Effect;
use crate::catalog::{self, PermissionId};
use crate::compile::{CompartmentRules, CompiledRule, PolicySet, StatementRef, SubjectId};
use crate::condition::{Condition, Context};
use crate::explain::{self, NearMiss};
use crate::request::Request;
use crate::span::Span;
use crate::tree::Node;

/// The answer to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision<'a> {
    /// Whether the principal has the permission, and why.
    pub outcome: Outcome<'a>,
    /// The permission that was asked for.
    pub permission: &'a str,
    /// The path of the compartment it was asked for in; filled when it is not allowed.
    pub compartment: String,
    /// How many statements were looked at; the cost of the decision.
    pub visited: usize,
}

/// What a decision rests on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome<'a> {
    /// This statement gives the permission.
    Allowed(&'a StatementRef),
    /// This `Deny` takes it.
    Denied(&'a StatementRef),
    /// No statement gives it. These would but for one clause; the nearest first, at most
    /// [`explain::MAX_NEAR_MISSES`].
    NotGranted(Vec<NearMiss<'a>>),
}

impl Decision<'_> {
    /// Whether the principal has the permission.
    pub fn is_allowed(&self) -> bool {
        matches!(self.outcome, Outcome::Allowed(_))
    }

    /// The statement that decided; none when no statement gives the permission.
    pub fn statement(&self) -> Option<&StatementRef> {
        match self.outcome {
            Outcome::Allowed(statement) | Outcome::Denied(statement) => Some(statement),
            Outcome::NotGranted(_) => None,
        }
    }
}

/// A request, looked up in a set.
pub(crate) struct Question<'a> {
    pub(crate) set: &'a PolicySet,
    pub(crate) permission: PermissionId,
    pub(crate) target: Node,
    pub(crate) subjects: Vec<SubjectId>,
    pub(crate) context: Context<'a>,
}

impl PolicySet {
    /// Decides a request and says why. A permission or compartment that the set does not know is given
    /// to nobody.
    pub fn decide<'a>(&'a self, request: &'a Request<'a>) -> Decision<'a> {
        let mut visited = 0;
        let question = self.question(request);
        let decided = question.as_ref().and_then(|question| question.decide(&mut visited));
        let outcome = match decided {
            Some(rule) if rule.effect == Effect::Allow => Outcome::Allowed(&rule.statement),
            Some(rule) => Outcome::Denied(&rule.statement),
            None => {
                let near = question.map(|question| explain::near_misses(&question, &mut visited));
                Outcome::NotGranted(near.unwrap_or_default())
            }
        };
        let compartment = match outcome {
            Outcome::Allowed(_) => String::new(),
            _ => self.tree.path(request.compartment).unwrap_or_else(|| request.compartment.to_string()),
        };
        Decision { outcome, permission: request.permission, compartment, visited }
    }

    /// The same decision without its reasons, for filtering lists.
    pub fn permits(&self, request: &Request<'_>) -> bool {
        let decided = |question: Question<'_>| {
            let rule = question.decide(&mut 0);
            rule.is_some_and(|rule| rule.effect == Effect::Allow)
        };
        self.question(request).is_some_and(decided)
    }

    fn question<'a>(&'a self, request: &'a Request<'a>) -> Option<Question<'a>> {
        let target = self.tree.node(request.compartment)?;
        Some(Question {
            set: self,
            permission: catalog::permission(request.permission)?,
            target,
            subjects: self.subjects_of(request.principal),
            context: Context { request, tree: &self.tree, compartment: target },
        })
    }
}

impl<'a> Question<'a> {
    /// The rule that takes the permission, else one that gives it.
    fn decide(&self, visited: &mut usize) -> Option<&'a CompiledRule> {
        let is_exempt = self.set.is_exempt(self.context.request.principal);
        let denied = if is_exempt { None } else { self.first(Effect::Deny, visited) };
        denied.or_else(|| self.first(Effect::Allow, visited))
    }

    fn first(&self, effect: Effect, visited: &mut usize) -> Option<&'a CompiledRule> {
        self.concerning(effect).find(|rule| {
            *visited += 1;
            rule.permissions.contains(self.permission) && self.condition(rule).is_ok()
        })
    }

    /// The rules of an effect that name the principal and a compartment that holds the target.
    pub(crate) fn concerning(&self, effect: Effect) -> impl Iterator<Item = &'a CompiledRule> {
        self.compartments()
            .map(move |rules| if effect == Effect::Deny { &rules.deny } else { &rules.allow })
            .filter(|by_subject| !by_subject.is_empty())
            .flat_map(|by_subject| self.subjects.iter().filter_map(|subject| by_subject.get(subject)))
            .flatten()
            .filter_map(|index| self.set.rules.get(*index))
    }

    /// The rules of the target's compartment and of those above it.
    pub(crate) fn compartments(&self) -> impl Iterator<Item = &'a CompartmentRules> {
        let set = self.set;
        set.tree.upward(self.target).filter_map(|node| set.by_compartment.get(node.index()))
    }

    /// Whether a rule's condition holds; if not, the part at which it failed.
    pub(crate) fn condition(&self, rule: &CompiledRule) -> Result<(), Span> {
        rule.condition.as_ref().map_or(Ok(()), |condition: &Condition| condition.holds(self.context))
    }
}
