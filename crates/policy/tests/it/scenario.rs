//! Trees, policies and requests as JSON: the form that `tests/corpus/README.md` describes.

use std::collections::BTreeMap;

use serde::Deserialize;
use wharfinger_policy::{
    Attribute, Compartment, CompartmentTree, Decision, DenyStatements, Group, Options, Outcome, Policy,
    PolicySet, Principal, PrincipalKind, Request, compile,
};
use wharfinger_types::{Ocid, Timestamp};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Scenario {
    #[serde(rename = "about")]
    _about: String,
    tree: CompartmentForm,
    policies: Vec<PolicyForm>,
    #[serde(default)]
    deny_statements: bool,
    /// A group of the default domain that no `Deny` reaches.
    administrators: Option<String>,
    principals: BTreeMap<String, PrincipalForm>,
    pub(crate) cases: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CompartmentForm {
    name: String,
    id: Option<String>,
    #[serde(default)]
    tags: BTreeMap<String, String>,
    #[serde(default)]
    children: Vec<CompartmentForm>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PolicyForm {
    name: String,
    /// A path; the root when left out.
    #[serde(default)]
    compartment: String,
    statements: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PrincipalForm {
    #[serde(default)]
    kind: String,
    #[serde(default)]
    groups: Vec<String>,
    #[serde(default)]
    dynamic_groups: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Case {
    pub(crate) principal: String,
    pub(crate) permission: String,
    /// A path; the root when left out.
    #[serde(default)]
    pub(crate) compartment: String,
    #[serde(default)]
    attributes: BTreeMap<String, Values>,
    time: Option<String>,
    pub(crate) expect: String,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Values {
    One(String),
    Many(Vec<String>),
}

impl Scenario {
    pub(crate) fn read(text: &str) -> Scenario {
        serde_json::from_str(text).expect("a scenario")
    }

    pub(crate) fn compile(&self) -> PolicySet {
        let mut compartments = Vec::new();
        add_compartments(&self.tree, None, "", &mut compartments);
        let tree = CompartmentTree::new(compartments).unwrap();
        let policies: Vec<Policy> = self
            .policies
            .iter()
            .map(|policy| Policy {
                id: id("policy", &policy.name),
                name: policy.name.clone(),
                compartment: self.compartment(&policy.compartment),
                statements: policy.statements.clone(),
            })
            .collect();
        let options = Options {
            deny: if self.deny_statements { DenyStatements::Enforced } else { DenyStatements::Ignored },
            administrators: self.administrators.as_ref().map(|name| group("group", name).id),
        };
        compile(&policies, tree, &options)
    }

    /// The decision in one line: `allowed by POLICY N`, `denied by POLICY N` or `not granted`, with the
    /// near misses and the clauses they fail at behind it. Also asserts that `permits` agrees.
    pub(crate) fn decide(&self, set: &PolicySet, case: &Case) -> String {
        let form = &self.principals[&case.principal];
        let principal = principal(&case.principal, form);
        let compartment = self.compartment(&case.compartment);
        let values: Vec<(&str, Vec<&str>)> = case
            .attributes
            .iter()
            .map(|(name, values)| match values {
                Values::One(value) => (name.as_str(), vec![value.as_str()]),
                Values::Many(values) => (name.as_str(), values.iter().map(String::as_str).collect()),
            })
            .collect();
        let attributes: Vec<Attribute<'_>> =
            values.iter().map(|(name, values)| Attribute { name, values }).collect();
        let time = case.time.as_ref().map(|time| time.parse::<jiff::Timestamp>().unwrap());
        let request = Request {
            principal: &principal,
            permission: &case.permission,
            compartment: &compartment,
            time: Timestamp(time.unwrap_or_default().as_microsecond()),
            attributes: &attributes,
        };
        let decision = set.decide(&request);
        assert_eq!(decision.is_allowed(), set.permits(&request));
        shown(&decision)
    }

    fn compartment(&self, path: &str) -> Ocid {
        let mut here = &self.tree;
        let mut walked = String::new();
        for name in path.split(':').filter(|name| !name.is_empty()) {
            here = here
                .children
                .iter()
                .find(|child| child.name == name)
                .unwrap_or_else(|| panic!("no compartment {path}"));
            walked = join(&walked, name);
        }
        compartment_id(here, &walked)
    }
}

fn shown(decision: &Decision<'_>) -> String {
    match &decision.outcome {
        Outcome::Allowed(by) => format!("allowed by {} {}", by.policy_name, by.index + 1),
        Outcome::Denied(by) => format!("denied by {} {}", by.policy_name, by.index + 1),
        Outcome::NotGranted(misses) => {
            let mut text = "not granted".to_owned();
            for miss in misses {
                let by = miss.statement;
                let clause = miss.clause.as_str();
                text += &format!("; {} {}: {clause} {}", by.policy_name, by.index + 1, miss.text());
            }
            text
        }
    }
}

fn add_compartments(
    form: &CompartmentForm,
    parent: Option<&Ocid>,
    path: &str,
    compartments: &mut Vec<Compartment>,
) {
    let id = compartment_id(form, path);
    compartments.push(Compartment {
        id: id.clone(),
        name: form.name.clone(),
        parent: parent.cloned(),
        tags: form.tags.clone().into_iter().collect(),
    });
    for child in &form.children {
        add_compartments(child, Some(&id), &join(path, &child.name), compartments);
    }
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

fn compartment_id(form: &CompartmentForm, path: &str) -> Ocid {
    match &form.id {
        Some(id) => id.parse().unwrap(),
        None if path.is_empty() => id("tenancy", &form.name),
        None => id("compartment", path),
    }
}

fn principal(name: &str, form: &PrincipalForm) -> Principal {
    let kind = match form.kind.as_str() {
        "" | "user" => PrincipalKind::User,
        "instance" => PrincipalKind::Instance,
        "service" => PrincipalKind::Service,
        other => PrincipalKind::Resource(other.to_owned()),
    };
    let id = match &kind {
        PrincipalKind::Service => None,
        PrincipalKind::User => Some(id("user", name)),
        PrincipalKind::Instance => Some(id("instance", name)),
        PrincipalKind::Resource(kind) => Some(id(kind, name)),
    };
    Principal {
        kind,
        id,
        name: name.to_owned(),
        groups: form.groups.iter().map(|name| group("group", name)).collect(),
        dynamic_groups: form.dynamic_groups.iter().map(|name| group("dynamicgroup", name)).collect(),
    }
}

/// `NAME` of the default domain or `DOMAIN/NAME`.
pub(crate) fn group(kind: &str, name: &str) -> Group {
    let (domain, name) = name.split_once('/').unwrap_or(("Default", name));
    Group { id: id(kind, &format!("{domain}.{name}")), domain: domain.to_owned(), name: name.to_owned() }
}

/// The identifier that stands for a name: `ocid1.<kind>.oc1..<name>` in lower case, blanks as `-`.
pub(crate) fn id(kind: &str, name: &str) -> Ocid {
    let name = name.to_lowercase().replace(' ', "-");
    format!("ocid1.{kind}.oc1..{name}").parse().unwrap()
}
