//! What each statement gives or takes, laid out for people. Nothing is decided here: a condition is shown.

use wharfinger_types::Ocid;

use crate::ast::Effect;
use crate::catalog;
use crate::compile::{CompartmentRules, PolicySet, StatementRef};
use crate::request::Principal;

/// What one statement gives; what it takes if it is a `Deny`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant<'a> {
    /// The statement.
    pub statement: &'a StatementRef,
    /// Whether it gives or takes.
    pub effect: Effect,
    /// Whom it names, as written.
    pub subject: &'a str,
    /// Oracle Cloud's names of the permissions; none for a statement about types that are not served.
    pub permissions: Vec<&'static str>,
    /// The compartment it names: it reaches this one and those below.
    pub compartment: &'a Ocid,
    /// When it holds, as written behind `where`; `None` is always.
    pub condition: Option<&'a str>,
}

impl PolicySet {
    /// What the statements that name `principal` give it and take from it, in the order of policies and
    /// statements.
    pub fn grants_to(&self, principal: &Principal) -> Vec<Grant<'_>> {
        let subjects = self.subjects_of(principal);
        let is_exempt = self.is_exempt(principal);
        let rules = self.by_compartment.iter().flat_map(|CompartmentRules { allow, deny, .. }| {
            let deny = (!is_exempt).then_some(deny);
            let by_effect = std::iter::once(allow).chain(deny);
            by_effect.flat_map(|rules| subjects.iter().filter_map(|subject| rules.get(subject))).flatten()
        });
        self.laid_out(rules.copied().collect())
    }

    /// What all statements that name somebody and reach `compartment` give and take there, in the order of
    /// policies and statements; nothing in a compartment that the set does not know.
    pub fn grants_on(&self, compartment: &Ocid) -> Vec<Grant<'_>> {
        let above = self.tree.node(compartment).into_iter().flat_map(|node| self.tree.upward(node));
        let rules = above.filter_map(|node| self.by_compartment.get(node.index()));
        let rules =
            rules.flat_map(|CompartmentRules { allow, deny, .. }| allow.values().chain(deny.values()));
        self.laid_out(rules.flatten().copied().collect())
    }

    fn laid_out(&self, mut rules: Vec<usize>) -> Vec<Grant<'_>> {
        // A statement that names several groups is found once for each.
        rules.sort_unstable();
        rules.dedup();
        let grant = |index: usize| {
            let rule = self.rules.get(index)?;
            let text = &rule.statement.text;
            Some(Grant {
                statement: &rule.statement,
                effect: rule.effect,
                subject: rule.subject_span.text(text),
                permissions: catalog::names(rule.permissions).collect(),
                compartment: &self.tree.compartment(rule.location)?.id,
                condition: rule.condition_span.map(|span| span.text(text)),
            })
        };
        rules.into_iter().filter_map(grant).collect()
    }
}
