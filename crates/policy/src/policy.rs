//! Policies: lists of statements in a compartment, and whether each of them can be used there.
//!
//! It knows the compartments and nothing of groups: a statement may name a group that does not exist
//! yet.

use wharfinger_types::Ocid;

use crate::ast::{DefineKind, Effect, Form, Location, Members, Rule, Statement, Subject, Tenancy};
use crate::check::Finding;
use crate::diagnostic::{Diagnostic, nearest, shown};
use crate::parse::{Parsed, parse_statement};
use crate::span::Spanned;
use crate::tree::{CompartmentTree, Node};

/// A named list of statements.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Its identifier.
    pub id: Ocid,
    /// Its name.
    pub name: String,
    /// The compartment it is attached to: its statements reach this one and those below.
    pub compartment: Ocid,
    /// Its statements, one a text.
    pub statements: Vec<String>,
}

/// What is decided for a whole tenancy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Whether `Deny` statements count.
    pub deny: DenyStatements,
    /// The `Administrators` group of the default domain, whom no `Deny` reaches; by identifier, since a
    /// right is never derived from a name.
    pub administrators: Option<Ocid>,
}

/// Whether a tenancy has switched `Deny` statements on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DenyStatements {
    /// They take nothing.
    Ignored,
    /// They count.
    Enforced,
}

/// A finding about one statement of a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The policy.
    pub policy: Ocid,
    /// The statement's place in the policy, from 0.
    pub statement: usize,
    /// What is wrong, with line and column in the statement.
    pub diagnostic: Diagnostic,
}

/// Checks a policy as it would be attached: every finding of every statement, errors and warnings. A
/// policy with an error should be refused; `compile` leaves out the statements that have one.
pub fn check_policy(policy: &Policy, tree: &CompartmentTree, options: &Options) -> Vec<Problem> {
    read(policy, tree, options).1
}

/// A statement that grants or takes something, and the compartment it names.
pub(crate) struct Placed {
    pub(crate) index: usize,
    pub(crate) parsed: Parsed,
    pub(crate) rule: Rule,
    pub(crate) location: Node,
}

/// The statements of a policy that count, and what is wrong with them and the others.
pub(crate) fn read(
    policy: &Policy,
    tree: &CompartmentTree,
    options: &Options,
) -> (Vec<Placed>, Vec<Problem>) {
    let mut placed = Vec::new();
    let mut problems = Vec::new();
    let mut defined = Vec::new();
    for (index, text) in policy.statements.iter().enumerate() {
        let mut parsed = parse_statement(text);
        let mut found = Vec::new();
        let location = match parsed.statement.take() {
            None => None,
            Some(Statement::Define(define)) => {
                let entry = (define.kind, define.name.value);
                if defined.contains(&entry) {
                    let message = format!("expected a new name, found `{}` again", shown(&entry.1));
                    found.push(Finding::error(define.name.span, message));
                }
                defined.push(entry);
                None
            }
            Some(Statement::Rule(rule)) if rule.form == Form::Local => {
                if rule.effect == Effect::Deny && options.deny == DenyStatements::Ignored {
                    let message = "deny statements are not enabled in this tenancy: it takes nothing";
                    found.push(Finding::warning(parsed.span, message));
                }
                match resolve(&rule.location, &policy.compartment, tree) {
                    Ok(node) => Some((*rule, node)),
                    Err(finding) => {
                        found.push(finding);
                        None
                    }
                }
            }
            Some(Statement::Rule(rule)) => {
                undefined_names(&rule, &defined, &mut found);
                None
            }
        };
        let found = found.into_iter().map(|finding| finding.placed(text, 0, 1));
        let diagnostics = std::mem::take(&mut parsed.diagnostics);
        problems.extend(diagnostics.into_iter().chain(found).map(|diagnostic| Problem {
            policy: policy.id.clone(),
            statement: index,
            diagnostic,
        }));
        let takes_nothing =
            |rule: &Rule| rule.effect == Effect::Deny && options.deny == DenyStatements::Ignored;
        if let Some((rule, location)) = location.filter(|(rule, _)| !takes_nothing(rule)) {
            placed.push(Placed { index, parsed, rule, location });
        }
    }
    (placed, problems)
}

/// The compartment that a statement attached to `attached` names. A name alone is the compartment
/// itself (unless that is the root) or a child; a path starts at a child. The compartment itself comes
/// first: else whoever may create a child of the same name would turn the statement to that child.
pub(crate) fn resolve(
    location: &Spanned<Location>,
    attached: &Ocid,
    tree: &CompartmentTree,
) -> Result<Node, Finding> {
    let error = |message| Finding::error(location.span, message);
    let Some(at) = tree.node(attached) else {
        return Err(error(format!("the policy's own compartment `{attached}` does not exist")));
    };
    let path = match &location.value {
        Location::Tenancy if at == tree.root() => return Ok(at),
        Location::Tenancy => {
            let message = "expected this compartment or one below it, found `tenancy`: only policies of the root compartment reach the tenancy";
            return Err(error(message.to_owned()));
        }
        Location::Id(id) => {
            let node = tree.node(id).filter(|node| tree.is_within(*node, at));
            let message = format!(
                "expected this compartment or one below it, found `{id}`: attach the policy to a compartment above that one"
            );
            return node.ok_or_else(|| error(message));
        }
        Location::Foreign(_) => return Err(error("another tenancy cannot be reached".to_owned())),
        Location::Path(path) => path,
    };
    let own_name = tree.compartment(at).map(|own| own.name.as_str());
    if let [name] = path.as_slice()
        && at != tree.root()
        && own_name == Some(name)
    {
        return Ok(at);
    }
    let mut node = at;
    for (depth, name) in path.iter().enumerate() {
        let Some(child) = tree.child(node, name) else {
            let place = tree.compartment(node).map_or("", |compartment| &compartment.name);
            let mut message = format!("expected a compartment in `{place}`, found `{}`", shown(name));
            if depth == 0 && path.len() > 1 && own_name == Some(name) {
                message.push_str(": a path starts below the policy's own compartment");
            }
            let suggestion = nearest(name, tree.child_names(node));
            return Err(error(message).suggesting(suggestion));
        };
        node = child;
    }
    Ok(node)
}

/// Reports names of other tenancies and their groups that no `Define` before gave.
fn undefined_names(rule: &Rule, defined: &[(DefineKind, String)], found: &mut Vec<Finding>) {
    let mut names = Vec::new();
    if let Form::Admit(tenancy) = &rule.form {
        if let Tenancy::Defined(name) = &tenancy.value {
            names.push((DefineKind::Tenancy, name, tenancy.span));
        }
        let (kind, members) = match &rule.subject.value {
            Subject::Group(Members::Names(members)) => (DefineKind::Group, members.as_slice()),
            Subject::DynamicGroup(Members::Names(members)) => (DefineKind::DynamicGroup, members.as_slice()),
            _ => (DefineKind::Group, [].as_slice()),
        };
        names.extend(members.iter().map(|member| (kind, &member.value.name, member.span)));
    }
    let locations = rule.with.iter().map(|with| &with.location);
    for location in locations.chain([&rule.location]) {
        if let Location::Foreign(Tenancy::Defined(name)) = &location.value {
            names.push((DefineKind::Tenancy, name, location.span));
        }
    }
    for (kind, name, span) in names {
        if !defined.contains(&(kind, name.clone())) {
            let message = format!("expected a name that a `Define` before gave, found `{}`", shown(name));
            let known = defined.iter().filter(|(known, _)| *known == kind);
            let suggestion = nearest(name, known.map(|(_, name)| name.as_str()));
            found.push(Finding::error(span, message).suggesting(suggestion));
        }
    }
}
