//! A tenancy's policies made ready for decisions.
//!
//! Rules are found by compartment and subject, so that a decision looks only at those that name a
//! group of the principal and a compartment above the target.

use std::collections::HashMap;

use wharfinger_types::Ocid;

use crate::ast::{Effect, GroupName, Members, Subject};
use crate::catalog::PermissionSet;
use crate::check;
use crate::condition::Condition;
use crate::policy::{Options, Placed, Policy, Problem, read};
use crate::request::{DEFAULT_DOMAIN, Principal, PrincipalKind};
use crate::span::Span;
use crate::tree::{CompartmentTree, Node};

/// The statements of a tenancy, compiled. Make one whenever a policy or a compartment changes.
#[derive(Debug, Clone)]
pub struct PolicySet {
    pub(crate) tree: CompartmentTree,
    pub(crate) administrators: Option<Ocid>,
    pub(crate) rules: Vec<CompiledRule>,
    subjects: Subjects,
    /// One entry a compartment: the rules that name it.
    pub(crate) by_compartment: Vec<CompartmentRules>,
    /// The rules that grant, by whom they name.
    pub(crate) by_subject: HashMap<SubjectId, Vec<usize>>,
    problems: Vec<Problem>,
}

/// Which statement it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatementRef {
    /// The policy.
    pub policy: Ocid,
    /// Its name.
    pub policy_name: String,
    /// The statement's place in the policy, from 0.
    pub index: usize,
    /// Its text.
    pub text: String,
    /// The statement without the blanks around it.
    pub span: Span,
}

#[derive(Debug, Clone)]
pub(crate) struct CompiledRule {
    pub(crate) statement: StatementRef,
    pub(crate) effect: Effect,
    pub(crate) permissions: PermissionSet,
    /// All permissions of the types it is about.
    pub(crate) scope: PermissionSet,
    pub(crate) location: Node,
    pub(crate) condition: Option<Condition>,
    pub(crate) subject_span: Span,
    pub(crate) action_span: Span,
    pub(crate) location_span: Span,
    pub(crate) condition_span: Option<Span>,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct CompartmentRules {
    pub(crate) allow: HashMap<SubjectId, Vec<usize>>,
    pub(crate) deny: HashMap<SubjectId, Vec<usize>>,
    /// The rules of `allow`, each once.
    pub(crate) all_allow: Vec<usize>,
}

/// Somebody whom a statement names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct SubjectId(usize);

const ANY_USER: SubjectId = SubjectId(0);
const ANY_GROUP: SubjectId = SubjectId(1);

/// Everybody whom statements name, so that one look-up a group finds all that concerns a principal.
#[derive(Debug, Clone, Default)]
struct Subjects {
    count: usize,
    groups: NamedGroups,
    dynamic_groups: NamedGroups,
    /// In lower case.
    services: HashMap<String, SubjectId>,
}

#[derive(Debug, Clone, Default)]
struct NamedGroups {
    /// By domain, then name.
    by_name: HashMap<String, HashMap<String, SubjectId>>,
    by_id: HashMap<Ocid, SubjectId>,
}

/// Compiles all policies of a tenancy. Statements with an error, and `Deny` statements where they are
/// not enabled, take no part; `PolicySet::problems` names them.
pub fn compile(policies: &[Policy], tree: CompartmentTree, options: &Options) -> PolicySet {
    let mut set = PolicySet {
        administrators: options.administrators.clone(),
        rules: Vec::new(),
        subjects: Subjects::default(),
        by_compartment: vec![CompartmentRules::default(); tree.len()],
        by_subject: HashMap::new(),
        problems: Vec::new(),
        tree,
    };
    let mut policies: Vec<&Policy> = policies.iter().collect();
    // In one order, so that of several statements that decide alike the same one is named.
    policies.sort_by_key(|policy| (&policy.name, &policy.id));
    for policy in policies {
        let (statements, problems) = read(policy, &set.tree, options);
        set.problems.extend(problems);
        for statement in statements {
            set.add(policy, &statement);
        }
    }
    set
}

impl PolicySet {
    /// The compartments it was compiled for.
    pub fn tree(&self) -> &CompartmentTree {
        &self.tree
    }

    /// What is wrong or doubtful in the statements.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    fn add(&mut self, policy: &Policy, statement: &Placed) {
        let rule = &statement.rule;
        let condition = match rule.condition.as_ref().map(Condition::compile) {
            // The checks before have refused every condition that does not compile.
            Some(None) => return,
            condition => condition.flatten(),
        };
        let index = self.rules.len();
        self.rules.push(CompiledRule {
            statement: StatementRef {
                policy: policy.id.clone(),
                policy_name: policy.name.clone(),
                index: statement.index,
                text: policy.statements.get(statement.index).cloned().unwrap_or_default(),
                span: statement.parsed.span,
            },
            effect: rule.effect,
            permissions: check::permissions(rule),
            scope: check::scope(&rule.action.value).unwrap_or_default(),
            location: statement.location,
            condition,
            subject_span: rule.subject.span,
            action_span: rule.action.span,
            location_span: rule.location.span,
            condition_span: rule.condition.as_ref().map(|condition| condition.span),
        });
        let Some(here) = self.by_compartment.get_mut(statement.location.index()) else {
            return;
        };
        if rule.effect == Effect::Allow {
            here.all_allow.push(index);
        }
        for subject in self.subjects.named(&rule.subject.value) {
            match rule.effect {
                Effect::Deny => here.deny.entry(subject).or_default().push(index),
                Effect::Allow => {
                    here.allow.entry(subject).or_default().push(index);
                    self.by_subject.entry(subject).or_default().push(index);
                }
            }
        }
    }

    /// No `Deny` reaches the members of the tenancy's `Administrators` group.
    pub(crate) fn is_exempt(&self, principal: &Principal) -> bool {
        let administrators = self.administrators.as_ref();
        administrators.is_some_and(|id| principal.groups.iter().any(|group| group.id == *id))
    }

    /// Everybody that statements name and that `principal` is.
    pub(crate) fn subjects_of(&self, principal: &Principal) -> Vec<SubjectId> {
        let mut subjects = vec![ANY_USER];
        if !principal.groups.is_empty() || !principal.dynamic_groups.is_empty() {
            subjects.push(ANY_GROUP);
        }
        let known = &self.subjects;
        let kinds = [(&principal.groups, &known.groups), (&principal.dynamic_groups, &known.dynamic_groups)];
        for (groups, named) in kinds {
            for group in groups {
                let domain = named.by_name.get(&group.domain);
                subjects.extend(domain.and_then(|names| names.get(&group.name)));
                subjects.extend(named.by_id.get(&group.id));
            }
        }
        if principal.kind == PrincipalKind::Service {
            subjects.extend(known.services.get(&principal.name.to_lowercase()));
        }
        subjects
    }
}

impl Subjects {
    /// Everybody that a statement's subject names, each once.
    fn named(&mut self, subject: &Subject) -> Vec<SubjectId> {
        let mut subjects = match subject {
            Subject::AnyUser => vec![ANY_USER],
            Subject::AnyGroup => vec![ANY_GROUP],
            Subject::Resource { .. } => Vec::new(),
            Subject::Group(members) => self.groups.named(members, &mut self.count),
            Subject::DynamicGroup(members) => self.dynamic_groups.named(members, &mut self.count),
            Subject::Service(names) => {
                let names = names.iter().map(|name| name.value.to_lowercase());
                names.map(|name| next(self.services.entry(name), &mut self.count)).collect()
            }
        };
        subjects.sort_unstable_by_key(|subject| subject.0);
        subjects.dedup();
        subjects
    }
}

impl NamedGroups {
    fn named(&mut self, members: &Members, count: &mut usize) -> Vec<SubjectId> {
        match members {
            Members::Ids(ids) => {
                let ids = ids.iter().map(|id| id.value.clone());
                ids.map(|id| next(self.by_id.entry(id), count)).collect()
            }
            Members::Names(names) => {
                let mut named = |GroupName { domain, name }: &GroupName| {
                    let domain = domain.as_deref().unwrap_or(DEFAULT_DOMAIN);
                    let names = self.by_name.entry(domain.to_owned()).or_default();
                    next(names.entry(name.clone()), count)
                };
                names.iter().map(|name| named(&name.value)).collect()
            }
        }
    }
}

fn next<K>(entry: std::collections::hash_map::Entry<'_, K, SubjectId>, count: &mut usize) -> SubjectId {
    *entry.or_insert_with(|| {
        *count += 1;
        SubjectId(ANY_GROUP.0 + *count)
    })
}
