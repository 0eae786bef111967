//! Small tenancies, mostly valid policies and requests about them, made of the fuzzer's bytes.

use std::fmt::Write as _;

use arbitrary::Arbitrary;
use wharfinger_policy::{
    Attribute, Compartment, CompartmentTree, DenyStatements, Group, Options, Policy, Principal,
    PrincipalKind, Request, permissions,
};
use wharfinger_types::{Ocid, Timestamp};

const SUBJECTS: [&str; 12] = [
    "any-user",
    "any-group",
    "group A",
    "group Default/A, 'B c'",
    "group D/A",
    "group id ocid1.group.oc1..a",
    "group id ocid1.group.oc1..b, id ocid1.group.oc1..d.a",
    "dynamic-group A",
    "dynamic-group id ocid1.dynamicgroup.oc1..b",
    "service scanner, A",
    "resource instance A",
    "group Nobody",
];
const VERBS: [&str; 4] = ["inspect", "read", "use", "manage"];
const RESOURCES: [&str; 8] =
    ["repos", "users", "groups", "policies", "compartments", "vss-family", "all-resources", "instances"];
const COMPARTMENTS: [&str; 4] = ["X", "Y", "'Z z'", "tenancy"];
const VARIABLES: [&str; 14] = [
    "target.repo.name",
    "request.user.id",
    "request.user.name",
    "request.groups.id",
    "request.permission",
    "request.operation",
    "request.networkSource.name",
    "request.region",
    "request.principal.type",
    "request.principal.id",
    "target.compartment.id",
    "TARGET.compartment.name",
    "target.resource.tag.Ops.Stage",
    "target.resource.compartment.tag.Ops.Stage",
];
const VALUES: [&str; 10] =
    ["", "a", "AB", "ab/c", "X", "*", "user", "REPOSITORY_READ", "ocid1.group.oc1..a", "Ünı"];
const PATTERNS: [&str; 8] = ["a*", "*b", "*", "a*b*c", "ab", "*a*", "a\\/*", "**"];
const TIMES: [&str; 5] = [
    "request.utc-timestamp before '2026-01-01T00:00:00Z'",
    "request.utc-timestamp after '1970-01-01Z'",
    "request.utc-timestamp.month-of-year in ('1', '02', '12')",
    "request.utc-timestamp.day-of-week != 'monday'",
    "request.utc-timestamp.time-of-day between '22:00Z' and '05:00:00Z'",
];
/// Name, domain and identifier's last part of a group.
const GROUPS: [(&str, &str, &str); 4] = [
    ("A", "Default", "a"),
    ("B c", "Default", "b"),
    ("A", "D", "d.a"),
    ("Administrators", "Default", "admin"),
];

/// One of a few.
#[derive(Arbitrary, Debug)]
struct Pick(u8);

impl Pick {
    fn of<T: Copy>(&self, choices: &[T]) -> T {
        choices[usize::from(self.0) % choices.len()]
    }
}

/// A tenancy with its policies, and what is asked of it.
#[derive(Arbitrary, Debug)]
pub struct World {
    /// Parent, name, value of a tag.
    compartments: Vec<(u8, Pick, Option<Pick>)>,
    policies: Vec<Attached>,
    is_deny_enforced: bool,
    has_administrators: bool,
    requests: Vec<Asked>,
    added: Attached,
}

#[derive(Arbitrary, Debug)]
struct Attached {
    compartment: u8,
    statements: Vec<Line>,
}

/// A statement, now and then damaged.
#[derive(Arbitrary, Debug)]
struct Line {
    is_deny: bool,
    subject: Pick,
    action: Action,
    location: Location,
    condition: Option<Condition>,
    damage: u8,
}

#[derive(Arbitrary, Debug)]
enum Action {
    Verb(Pick, Pick),
    Permissions(Pick, Vec<Pick>),
}

#[derive(Arbitrary, Debug)]
enum Location {
    Tenancy,
    Path(Pick, Vec<Pick>),
    Id(u8),
}

#[derive(Arbitrary, Debug)]
enum Condition {
    All(Box<Condition>, Vec<Condition>),
    Any(Box<Condition>, Vec<Condition>),
    Equal(Pick, Operand),
    NotEqual(Pick, Operand),
    In(Operand, Vec<Operand>),
    NotIn(Operand, Vec<Operand>),
    SetsEqual(Pick, Pick, Vec<Pick>),
    Absent(Pick),
    Time(Pick),
}

#[derive(Arbitrary, Debug)]
enum Operand {
    Text(Pick),
    Pattern(Pick),
    Variable(Pick),
    Free(String),
}

/// A request.
#[derive(Arbitrary, Debug)]
pub struct Asked {
    kind: Pick,
    id: Option<Pick>,
    name: Pick,
    groups: Vec<Pick>,
    dynamic_groups: Vec<Pick>,
    permission: Pick,
    compartment: u8,
    time: i64,
    attributes: Vec<(Pick, Vec<Pick>)>,
}

impl World {
    /// The root and the compartments that may stand beside each other.
    pub fn tree(&self) -> CompartmentTree {
        let root = Compartment { id: root(), name: "acme".to_owned(), parent: None, tags: Vec::new() };
        let mut compartments = vec![root];
        for (parent, name, tag) in self.compartments.iter().take(8) {
            let parent = compartments[usize::from(*parent) % compartments.len()].id.clone();
            let name = name.of(&COMPARTMENTS).trim_matches('\'').to_owned();
            let is_taken = |other: &Compartment| other.parent.as_ref() == Some(&parent) && other.name == name;
            if compartments.iter().any(is_taken) {
                continue;
            }
            let tags = tag.iter().map(|value| ("Ops.Stage".to_owned(), value.of(&VALUES).to_owned()));
            let tags = tags.collect();
            compartments.push(Compartment {
                id: compartment(compartments.len()),
                name,
                parent: Some(parent),
                tags,
            });
        }
        CompartmentTree::new(compartments).expect("a tree")
    }

    /// Its policies.
    pub fn policies(&self) -> Vec<Policy> {
        self.policies.iter().take(4).enumerate().map(|(index, attached)| attached.policy(index)).collect()
    }

    /// One policy more, of which only the statements with that effect are taken.
    pub fn added(&self, effect: &str) -> Policy {
        let mut policy = self.added.policy(99);
        policy.statements.retain(|text| text.starts_with(effect));
        policy
    }

    /// What is decided for the tenancy.
    pub fn options(&self) -> Options {
        Options {
            deny: if self.is_deny_enforced { DenyStatements::Enforced } else { DenyStatements::Ignored },
            administrators: self.has_administrators.then(|| id("group", "admin")),
        }
    }

    /// The first few requests.
    pub fn requests(&self) -> &[Asked] {
        &self.requests[..self.requests.len().min(4)]
    }
}

impl Attached {
    fn policy(&self, index: usize) -> Policy {
        Policy {
            id: id("policy", &index.to_string()),
            name: format!("P{index}"),
            compartment: place(self.compartment),
            statements: self.statements.iter().take(6).map(Line::text).collect(),
        }
    }
}

impl Asked {
    /// Asks `question` the request.
    pub fn ask<T>(&self, question: impl FnOnce(&Request<'_>) -> T) -> T {
        let kinds = [
            PrincipalKind::User,
            PrincipalKind::Instance,
            PrincipalKind::Service,
            PrincipalKind::Resource("instance".to_owned()),
        ];
        let groups = |kind: &str, picks: &[Pick]| -> Vec<Group> {
            let chosen = picks.iter().take(3).map(|pick| pick.of(&GROUPS));
            chosen
                .map(|(name, domain, unique)| Group {
                    id: id(kind, unique),
                    domain: domain.to_owned(),
                    name: name.to_owned(),
                })
                .collect()
        };
        let principal = Principal {
            kind: kinds[usize::from(self.kind.0) % kinds.len()].clone(),
            id: self.id.as_ref().map(|pick| id("user", &pick.0.to_string())),
            name: self.name.of(&["scanner", "A", "", "Ünı"]).to_owned(),
            groups: groups("group", &self.groups),
            dynamic_groups: groups("dynamicgroup", &self.dynamic_groups),
        };
        let known: Vec<&str> = permissions().chain(["NO_SUCH_PERMISSION"]).collect();
        let compartment = place(self.compartment);
        let values: Vec<Vec<&str>> = self
            .attributes
            .iter()
            .map(|(_, values)| values.iter().map(|value| value.of(&VALUES)).collect())
            .collect();
        let attributes: Vec<Attribute<'_>> = self
            .attributes
            .iter()
            .zip(&values)
            .map(|((name, _), values)| Attribute { name: name.of(&VARIABLES), values })
            .collect();
        question(&Request {
            principal: &principal,
            permission: self.permission.of(&known),
            compartment: &compartment,
            time: Timestamp(self.time),
            attributes: &attributes,
        })
    }
}

impl Line {
    fn text(&self) -> String {
        let mut text = if self.is_deny { "Deny " } else { "Allow " }.to_owned();
        text += self.subject.of(&SUBJECTS);
        text += " to ";
        match &self.action {
            Action::Verb(verb, resource) => {
                let _ = write!(text, "{} {}", verb.of(&VERBS), resource.of(&RESOURCES));
            }
            Action::Permissions(first, rest) => {
                let known: Vec<&str> = permissions().chain(["INSTANCE_READ"]).collect();
                let names: Vec<&str> = [first].into_iter().chain(rest).map(|pick| pick.of(&known)).collect();
                let _ = write!(text, "{{{}}}", names.join(", "));
            }
        }
        match &self.location {
            Location::Tenancy => text += " in tenancy",
            Location::Path(first, rest) => {
                let path = [first].into_iter().chain(rest.iter().take(3));
                let names: Vec<&str> = path.map(|pick| pick.of(&COMPARTMENTS)).collect();
                let _ = write!(text, " in compartment {}", names.join(":"));
            }
            Location::Id(index) => {
                let _ = write!(text, " in compartment id {}", place(*index));
            }
        }
        if let Some(condition) = &self.condition {
            text += " where ";
            condition.write(&mut text);
        }
        // One in 32 loses its end.
        if self.damage < 8 {
            let length = text.chars().count().saturating_sub(usize::from(self.damage) * 5);
            text = text.chars().take(length).collect();
        }
        text
    }
}

impl Condition {
    fn write(&self, text: &mut String) {
        match self {
            Condition::All(first, rest) => Condition::join("all", first, rest, text),
            Condition::Any(first, rest) => Condition::join("any", first, rest, text),
            Condition::Equal(variable, operand) => {
                let _ = write!(text, "{} = {}", variable.of(&VARIABLES), operand.text());
            }
            Condition::NotEqual(variable, operand) => {
                let _ = write!(text, "{} != {}", variable.of(&VARIABLES), operand.text());
            }
            Condition::In(first, rest) => Condition::list("in", first, rest, text),
            Condition::NotIn(first, rest) => Condition::list("not in", first, rest, text),
            Condition::SetsEqual(variable, first, rest) => {
                let values = [first].into_iter().chain(rest).map(|pick| format!("'{}'", pick.of(&VALUES)));
                let values: Vec<String> = values.collect();
                let _ = write!(text, "sets-equal({}, {})", variable.of(&VARIABLES), values.join(", "));
            }
            Condition::Absent(variable) => {
                let _ = write!(text, "!{}", variable.of(&VARIABLES));
            }
            Condition::Time(time) => text.push_str(time.of(&TIMES)),
        }
    }

    fn join(word: &str, first: &Condition, rest: &[Condition], text: &mut String) {
        let _ = write!(text, "{word} {{");
        first.write(text);
        for condition in rest {
            text.push_str(", ");
            condition.write(text);
        }
        text.push('}');
    }

    fn list(word: &str, first: &Operand, rest: &[Operand], text: &mut String) {
        let operands: Vec<String> = [first].into_iter().chain(rest).map(Operand::text).collect();
        let _ = write!(text, "target.resource.tag.Ops.Stage {word} ({})", operands.join(", "));
    }
}

impl Operand {
    fn text(&self) -> String {
        match self {
            Operand::Text(pick) => format!("'{}'", pick.of(&VALUES)),
            Operand::Pattern(pick) => format!("/{}/", pick.of(&PATTERNS)),
            Operand::Variable(pick) => pick.of(&VARIABLES).to_owned(),
            Operand::Free(text) => format!("'{}'", text.replace(['\'', '\n'], "")),
        }
    }
}

fn root() -> Ocid {
    id("tenancy", "acme")
}

fn compartment(index: usize) -> Ocid {
    id("compartment", &index.to_string())
}

/// The root, or a compartment that may be there.
fn place(index: u8) -> Ocid {
    match index % 8 {
        0 => root(),
        index => compartment(usize::from(index)),
    }
}

fn id(kind: &str, unique: &str) -> Ocid {
    format!("ocid1.{kind}.oc1..{unique}").parse().expect("an OCID")
}
