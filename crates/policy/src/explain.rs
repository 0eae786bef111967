//! Reasons in words: which statement decided, or which would have but for one clause.

use std::fmt;

use crate::ast::Effect;
use crate::compile::{CompiledRule, StatementRef};
use crate::decide::{Decision, Outcome, Question};
use crate::span::Span;

/// The most near misses that a decision names.
pub const MAX_NEAR_MISSES: usize = 5;

/// A statement that would give the permission but for one clause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NearMiss<'a> {
    /// The statement.
    pub statement: &'a StatementRef,
    /// The clause at which it failed.
    pub clause: Clause,
    /// Its bytes in the statement's text; for a condition, those of the part that failed.
    pub span: Span,
}

impl NearMiss<'_> {
    /// The clause as written.
    pub fn text(&self) -> &str {
        self.span.text(&self.statement.text)
    }
}

/// A clause of a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Clause {
    /// The condition does not hold.
    Condition,
    /// The verb or permission list lacks the permission.
    Action,
    /// It is about a compartment that does not hold the target.
    Location,
    /// It is about somebody else.
    Subject,
}

impl Clause {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Clause::Condition => "condition",
            Clause::Action => "action",
            Clause::Location => "location",
            Clause::Subject => "subject",
        }
    }
}

/// The statements that fail at exactly one clause. Looks only at those that name the principal or a
/// compartment that holds the target.
pub(crate) fn near_misses<'a>(question: &Question<'a>, visited: &mut usize) -> Vec<NearMiss<'a>> {
    let mut misses = Vec::new();
    let set = question.set;
    let gives = |rule: &CompiledRule| rule.permissions.contains(question.permission);
    let holds = |rule: &CompiledRule| question.condition(rule).is_ok();

    let conditions = question.concerning(Effect::Allow).filter_map(|rule| {
        *visited += 1;
        let failed = question.condition(rule).err();
        failed.filter(|_| gives(rule)).map(|span| (rule, Clause::Condition, span))
    });
    add(&mut misses, conditions);

    let actions = question.concerning(Effect::Allow).filter(|rule| {
        *visited += 1;
        rule.scope.contains(question.permission) && !gives(rule) && holds(rule)
    });
    add(&mut misses, actions.map(|rule| (rule, Clause::Action, rule.action_span)));

    let of_principal = question.subjects.iter().filter_map(|subject| set.by_subject.get(subject));
    let rules = of_principal.flatten().filter_map(|index| set.rules.get(*index));
    let locations = rules.filter(|rule| {
        *visited += 1;
        gives(rule) && !set.tree.is_within(question.target, rule.location) && holds(rule)
    });
    add(&mut misses, locations.map(|rule| (rule, Clause::Location, rule.location_span)));

    let of_compartments = question.compartments().flat_map(|rules| &rules.all_allow);
    let rules = of_compartments.filter_map(|index| set.rules.get(*index));
    // Those that name the principal and give the permission have failed at their condition.
    let subjects = rules.filter(|rule| {
        *visited += 1;
        gives(rule) && holds(rule)
    });
    add(&mut misses, subjects.map(|rule| (rule, Clause::Subject, rule.subject_span)));
    misses
}

fn add<'a>(misses: &mut Vec<NearMiss<'a>>, rules: impl Iterator<Item = (&'a CompiledRule, Clause, Span)>) {
    for (rule, clause, span) in rules {
        if misses.len() == MAX_NEAR_MISSES {
            return;
        }
        // A statement that names the principal twice is found twice.
        if !misses.iter().any(|miss| std::ptr::eq(miss.statement, &raw const rule.statement)) {
            misses.push(NearMiss { statement: &rule.statement, clause, span });
        }
    }
}

impl fmt::Display for StatementRef {
    /// `statement 1 of policy `name``, counted from 1.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "statement {} of policy `{}`", self.index + 1, self.policy_name)
    }
}

impl fmt::Display for NearMiss<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} fails at its {} `{}`", self.statement, self.clause.as_str(), self.text())
    }
}

impl fmt::Display for Decision<'_> {
    /// One line, and one more for each near miss.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let permission = self.permission;
        match &self.outcome {
            Outcome::Allowed(statement) => {
                let text = statement.span.text(&statement.text);
                write!(f, "{permission} is granted by {statement}: {text}")
            }
            Outcome::Denied(statement) => {
                let text = statement.span.text(&statement.text);
                write!(f, "{permission} in {} is denied by {statement}: {text}", self.compartment)
            }
            Outcome::NotGranted(misses) => {
                write!(f, "no statement grants {permission} in {}", self.compartment)?;
                misses.iter().try_for_each(|miss| write!(f, "\n{miss}"))
            }
        }
    }
}
