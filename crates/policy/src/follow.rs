//! Statements that follow a compartment which is moved or gets another name.

use crate::ast::{Form, Location, Statement};
use crate::parse::{MAX_STATEMENT, parse_statement};
use crate::policy::{Policy, resolve};
use crate::span::Spanned;
use crate::tree::{CompartmentTree, Node};

/// The statements of a policy after `before` became `after`: a path that led to a compartment leads to the same
/// one again. A statement that the policy's own compartment no longer reaches stays as it is, and so names
/// nothing. `None` if all stay.
pub fn follow(policy: &Policy, before: &CompartmentTree, after: &CompartmentTree) -> Option<Vec<String>> {
    let followed: Vec<Option<String>> =
        policy.statements.iter().map(|text| follow_one(text, policy, before, after)).collect();
    followed.iter().any(Option::is_some).then(|| {
        let all = followed.into_iter().zip(&policy.statements);
        all.map(|(new, old)| new.unwrap_or_else(|| old.clone())).collect()
    })
}

fn follow_one(
    text: &str,
    policy: &Policy,
    before: &CompartmentTree,
    after: &CompartmentTree,
) -> Option<String> {
    let Some(Statement::Rule(rule)) = parse_statement(text).statement else { return None };
    let Spanned { value: Location::Path(_), span } = &rule.location else { return None };
    if rule.form != Form::Local {
        return None;
    }
    let named = resolve(&rule.location, &policy.compartment, before).ok()?;
    let named = &before.compartment(named)?.id;
    let is_same = |location: &Location| {
        let location = Spanned::new(location.clone(), *span);
        let found = resolve(&location, &policy.compartment, after).ok();
        found == after.node(named)
    };
    let (place, at) = (after.node(named)?, after.node(&policy.compartment)?);
    if is_same(&rule.location.value) || !after.is_within(place, at) {
        return None;
    }
    let new = Location::Path(path(after, place, at));
    let statement = format!("{}{new}{}", text.get(..span.start)?, text.get(span.end..)?);
    (is_same(&new) && statement.len() <= MAX_STATEMENT).then_some(statement)
}

/// The names from below `at` to `place`; of `at` itself its own.
fn path(tree: &CompartmentTree, place: Node, at: Node) -> Vec<String> {
    let name = |node: Node| tree.compartment(node).map(|compartment| compartment.name.clone());
    if place == at {
        return name(at).into_iter().collect();
    }
    let mut names: Vec<String> = tree.upward(place).take_while(|node| *node != at).filter_map(name).collect();
    names.reverse();
    names
}
