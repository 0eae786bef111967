//! Trees, policies and requests as JSON: the form of files that people write.
//!
//! It reads and names what is wrong; it opens no file and decides nothing.

use std::collections::BTreeMap;

use serde::Deserialize;
use wharfinger_types::{Ocid, Timestamp};

use crate::compile::{PolicySet, compile};
use crate::decide::{Decision, Outcome};
use crate::policy::{DenyStatements, Options, Policy};
use crate::request::{Attribute, DEFAULT_DOMAIN, Group, Principal, PrincipalKind, Request};
use crate::tree::{Compartment, CompartmentTree, Error};

/// Why a text is no scenario.
#[derive(Debug, thiserror::Error)]
pub enum ScenarioError {
    /// It is no JSON of this form.
    #[error("expected a JSON object as docs/policy-command.md describes it")]
    Json(#[from] serde_json::Error),
    /// A field that is needed is not there.
    #[error("the field `{0}` is missing: add it")]
    Missing(&'static str),
    /// A field's value is none that it may have.
    #[error("{field}: expected {expected}, found `{found}`")]
    Value {
        /// The field, with its place in lists, from 1.
        field: String,
        /// What may stand there.
        expected: &'static str,
        /// What does.
        found: String,
    },
    /// The compartments form no tree.
    #[error("tree")]
    Tree(#[from] Error),
}

/// A tenancy and requests, or a part of that: each field may be in a text of its own.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    #[serde(rename = "about")]
    _about: Option<String>,
    tree: Option<CompartmentForm>,
    policies: Option<Vec<PolicyForm>>,
    #[serde(default)]
    deny_statements: bool,
    administrators: Option<String>,
    #[serde(default)]
    principals: BTreeMap<String, PrincipalForm>,
    cases: Option<Vec<CaseForm>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CompartmentForm {
    name: String,
    id: Option<String>,
    #[serde(default)]
    tags: BTreeMap<String, String>,
    #[serde(default)]
    children: Vec<CompartmentForm>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PolicyForm {
    name: String,
    #[serde(default)]
    compartment: String,
    statements: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PrincipalForm {
    id: Option<String>,
    #[serde(default)]
    kind: String,
    #[serde(default)]
    groups: Vec<String>,
    #[serde(default)]
    dynamic_groups: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CaseForm {
    principal: String,
    permission: String,
    #[serde(default)]
    compartment: String,
    #[serde(default)]
    attributes: BTreeMap<String, Values>,
    time: Option<String>,
    expect: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Values {
    One(String),
    Many(Vec<String>),
}

/// A request that owns what it asks.
#[derive(Debug)]
pub struct Case {
    /// Who asks.
    pub principal: Principal,
    /// The decision that is expected, as [`in_short`] writes it.
    pub expect: Option<String>,
    permission: String,
    compartment: Ocid,
    time: Timestamp,
    attributes: Vec<(String, Vec<String>)>,
}

impl Scenario {
    /// Reads a JSON object.
    pub fn read(text: &str) -> Result<Scenario, ScenarioError> {
        Ok(serde_json::from_str(text)?)
    }

    /// The compartments.
    pub fn tree(&self) -> Result<CompartmentTree, ScenarioError> {
        let mut compartments = Vec::new();
        let root = self.tree.as_ref().ok_or(ScenarioError::Missing("tree"))?;
        root.add_to(&mut compartments, None, "")?;
        Ok(CompartmentTree::new(compartments)?)
    }

    /// The policies, compiled for `tree`.
    pub fn compile(&self, tree: CompartmentTree) -> Result<PolicySet, ScenarioError> {
        let forms = self.policies.as_ref().ok_or(ScenarioError::Missing("policies"))?;
        let policy = |(index, form): (usize, &PolicyForm)| {
            let field = format!("compartment of policy {}", index + 1);
            Ok(Policy {
                id: id("policy", &[&form.name])?,
                name: form.name.clone(),
                compartment: compartment(&tree, &form.compartment, field)?,
                statements: form.statements.clone(),
            })
        };
        let policies = forms.iter().enumerate().map(policy).collect::<Result<Vec<_>, ScenarioError>>()?;
        let administrators = self.administrators.as_ref().map(|name| group("group", name)).transpose()?;
        let options = Options {
            deny: if self.deny_statements { DenyStatements::Enforced } else { DenyStatements::Ignored },
            administrators: administrators.map(|group| group.id),
        };
        Ok(compile(&policies, tree, &options))
    }

    /// The requests, about compartments of `tree`.
    pub fn cases(&self, tree: &CompartmentTree) -> Result<Vec<Case>, ScenarioError> {
        let forms = self.cases.as_ref().ok_or(ScenarioError::Missing("cases"))?;
        let case = |(index, form): (usize, &CaseForm)| {
            let field = |name: &str| format!("{name} of case {}", index + 1);
            let principal = self.principals.get(&form.principal).ok_or_else(|| ScenarioError::Value {
                field: field("principal"),
                expected: "a name in `principals`",
                found: form.principal.clone(),
            })?;
            let attributes = form.attributes.iter().map(|(name, values)| match values {
                Values::One(value) => (name.clone(), vec![value.clone()]),
                Values::Many(values) => (name.clone(), values.clone()),
            });
            Ok(Case {
                principal: principal.named(&form.principal)?,
                permission: form.permission.clone(),
                compartment: compartment(tree, &form.compartment, field("compartment"))?,
                time: form.time.as_deref().map_or(Ok(Timestamp(0)), |text| time(text, field("time")))?,
                attributes: attributes.collect(),
                expect: form.expect.clone(),
            })
        };
        forms.iter().enumerate().map(case).collect()
    }
}

impl CompartmentForm {
    fn add_to(
        &self,
        compartments: &mut Vec<Compartment>,
        parent: Option<&Ocid>,
        path: &str,
    ) -> Result<(), ScenarioError> {
        let own = match (&self.id, parent) {
            (Some(text), _) => ocid(text, format!("id of compartment {}", self.name))?,
            (None, None) => id("tenancy", &[&self.name])?,
            (None, Some(_)) => id("compartment", &path.split(':').collect::<Vec<_>>())?,
        };
        compartments.push(Compartment {
            id: own.clone(),
            name: self.name.clone(),
            parent: parent.cloned(),
            tags: self.tags.clone().into_iter().collect(),
        });
        self.children.iter().try_for_each(|child| {
            let path = if parent.is_none() { child.name.clone() } else { format!("{path}:{}", child.name) };
            child.add_to(compartments, Some(&own), &path)
        })
    }
}

impl PrincipalForm {
    fn named(&self, name: &str) -> Result<Principal, ScenarioError> {
        let kind = match self.kind.as_str() {
            "" | "user" => PrincipalKind::User,
            "instance" => PrincipalKind::Instance,
            "service" => PrincipalKind::Service,
            other => PrincipalKind::Resource(other.to_owned()),
        };
        let own = match (&self.id, &kind) {
            (Some(text), _) => Some(ocid(text, format!("id of principal {name}"))?),
            (None, PrincipalKind::Service) => None,
            (None, kind) => Some(id(kind.as_str(), &[name])?),
        };
        let groups = |kind: &str, names: &[String]| {
            names.iter().map(|name| group(kind, name)).collect::<Result<Vec<_>, _>>()
        };
        Ok(Principal {
            kind,
            id: own,
            name: name.to_owned(),
            groups: groups("group", &self.groups)?,
            dynamic_groups: groups("dynamicgroup", &self.dynamic_groups)?,
        })
    }
}

impl Case {
    /// Hands the request to `answer`.
    pub fn ask<T>(&self, answer: impl FnOnce(&Request<'_>) -> T) -> T {
        let values: Vec<(&str, Vec<&str>)> = self
            .attributes
            .iter()
            .map(|(name, values)| (name.as_str(), values.iter().map(String::as_str).collect()))
            .collect();
        let attributes: Vec<Attribute<'_>> =
            values.iter().map(|(name, values)| Attribute { name, values }).collect();
        answer(&Request {
            principal: &self.principal,
            permission: &self.permission,
            compartment: &self.compartment,
            time: self.time,
            attributes: &attributes,
        })
    }
}

/// A decision in one line: `allowed by POLICY N`, `denied by POLICY N` or `not granted`, behind that the
/// near misses, each as `; POLICY N: CLAUSE TEXT`. Statements count from 1.
pub fn in_short(decision: &Decision<'_>) -> String {
    match &decision.outcome {
        Outcome::Allowed(by) => format!("allowed by {} {}", by.policy_name, by.index + 1),
        Outcome::Denied(by) => format!("denied by {} {}", by.policy_name, by.index + 1),
        Outcome::NotGranted(misses) => {
            let miss = misses.iter().map(|miss| {
                let by = miss.statement;
                format!("; {} {}: {} {}", by.policy_name, by.index + 1, miss.clause.as_str(), miss.text())
            });
            format!("not granted{}", miss.collect::<String>())
        }
    }
}

/// The group `NAME` of the default domain or `DOMAIN/NAME`; `kind` is `group` or `dynamicgroup`.
pub fn group(kind: &str, name: &str) -> Result<Group, ScenarioError> {
    let (domain, name) = name.split_once('/').unwrap_or((DEFAULT_DOMAIN, name));
    Ok(Group { id: id(kind, &[domain, name])?, domain: domain.to_owned(), name: name.to_owned() })
}

/// The identifier that stands for a name: `ocid1.<kind>.oc1..<names joined by dots>`. No two names have
/// the same one: what is no letter, digit or `-` becomes its number in hexadecimal between two `_`.
pub fn id(kind: &str, names: &[&str]) -> Result<Ocid, ScenarioError> {
    let mut text = format!("ocid1.{kind}.oc1.");
    for name in names {
        text.push('.');
        for character in name.chars() {
            if character.is_ascii_alphanumeric() || character == '-' {
                text.push(character);
            } else {
                text.push_str(&format!("_{:x}_", u32::from(character)));
            }
        }
    }
    ocid(&text, format!("the identifier made from {kind} {}", names.join("/")))
}

fn ocid(text: &str, field: String) -> Result<Ocid, ScenarioError> {
    let expected = "an OCID (`ocid1.<kind>.<realm>.<region>.<unique>`, at most 255 bytes)";
    text.parse().map_err(|_| ScenarioError::Value { field, expected, found: text.to_owned() })
}

/// The compartment at a path below the root, joined by `:`; empty for the root.
fn compartment(tree: &CompartmentTree, path: &str, field: String) -> Result<Ocid, ScenarioError> {
    let mut names = path.split(':').filter(|_| !path.is_empty());
    let node = names.try_fold(tree.root(), |node, name| tree.child(node, name));
    let found = node.and_then(|node| tree.compartment(node));
    let expected = "a path below the root compartment such as `Dev:Web`";
    found.map(|found| found.id.clone()).ok_or_else(|| ScenarioError::Value {
        field,
        expected,
        found: path.to_owned(),
    })
}

fn time(text: &str, field: String) -> Result<Timestamp, ScenarioError> {
    let expected = "a time such as `2026-04-01T15:00:00Z`";
    let time = Timestamp::from_rfc_3339(text);
    time.ok_or_else(|| ScenarioError::Value { field, expected, found: text.to_owned() })
}
