//! What holds for all statements and all decisions.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use wharfinger_policy::{
    Attribute, Compartment, CompartmentTree, DenyStatements, Effect, Group, Options, Outcome, Policy,
    PolicySet, Principal, PrincipalKind, Request, Statement, Verb, compile, parse_statement, permissions_of,
    resource_types,
};
use wharfinger_types::{Ocid, Timestamp};

use crate::generate;
use crate::{group, id};

/// `acme` with `X` (with `Y`, with `Z`) and `W`.
pub(crate) fn small_tree() -> CompartmentTree {
    let compartment = |id: Ocid, name: &str, parent: Option<Ocid>| Compartment {
        id,
        name: name.to_owned(),
        parent,
        tags: Vec::new(),
    };
    let root = id("tenancy", "acme");
    let place = |name: &str| id("compartment", name);
    CompartmentTree::new(vec![
        compartment(place("y"), "Y", Some(place("x"))),
        compartment(root.clone(), "acme", None),
        compartment(place("x"), "X", Some(root.clone())),
        compartment(place("w"), "W", Some(root)),
        compartment(place("z"), "Z", Some(place("y"))),
    ])
    .unwrap()
}

/// Policies (name, compartment or nothing for the root, statements), with deny statements.
pub(crate) fn world(policies: Vec<(&str, &str, Vec<String>)>, tree: CompartmentTree) -> PolicySet {
    let policies: Vec<Policy> = policies
        .into_iter()
        .map(|(name, at, statements)| Policy {
            id: id("policy", name),
            name: name.to_owned(),
            compartment: place(at),
            statements,
        })
        .collect();
    let options =
        Options { deny: DenyStatements::Enforced, administrators: Some(group("Administrators").id) };
    compile(&policies, tree, &options)
}

fn place(name: &str) -> Ocid {
    if name.is_empty() { id("tenancy", "acme") } else { id("compartment", name) }
}

/// The compartments that hold a compartment, itself first.
fn path_of(name: &str) -> &'static [&'static str] {
    match name {
        "z" => &["z", "y", "x", ""],
        "y" => &["y", "x", ""],
        "x" => &["x", ""],
        "w" => &["w", ""],
        _ => &[""],
    }
}

/// A statement in parts, so that a slow and plain model can decide it too.
#[derive(Debug, Clone)]
struct Simple {
    effect: &'static str,
    subject: &'static str,
    verb: Verb,
    resource: &'static str,
    location: &'static str,
    condition: &'static str,
}

impl Simple {
    fn text(&self) -> String {
        let Simple { effect, subject, verb, resource, location, condition } = self;
        let location = match *location {
            "" => "tenancy",
            "x" => "compartment X",
            "y" => "compartment X:Y",
            "z" => "compartment id ocid1.compartment.oc1..z",
            _ => "compartment W",
        };
        let condition = if condition.is_empty() { String::new() } else { format!(" where {condition}") };
        format!("{effect} {subject} to {verb} {resource} in {location}{condition}")
    }

    fn applies(&self, asked: &Asked) -> bool {
        let is_subject = match self.subject {
            "any-user" => true,
            "any-group" => !asked.groups.is_empty(),
            "group A, B" => asked.groups.iter().any(|name| ["A", "B"].contains(name)),
            "group D/A" => asked.groups.contains(&"D/A"),
            "group id ocid1.group.oc1..Default.C" => asked.groups.contains(&"C"),
            other => panic!("{other}"),
        };
        let given = |verb| permissions_of(verb, self.resource).any(|name| name == asked.permission);
        let lower = Verb::ALL.into_iter().rfind(|lower| *lower < self.verb);
        let is_action = if self.effect == "Allow" {
            given(self.verb)
        } else {
            given(Verb::Manage) && !lower.is_some_and(given)
        };
        let name = asked.repository;
        let holds = match self.condition {
            "" => true,
            "target.repo.name = /a*/" => name.is_some_and(|name| name.starts_with('a')),
            "target.repo.name != 'ab'" => name.is_some_and(|name| name != "ab"),
            "all {target.repo.name = 'ab', !request.region}" => name == Some("ab"),
            other => panic!("{other}"),
        };
        is_subject && is_action && holds && path_of(asked.compartment).contains(&self.location)
    }
}

#[derive(Debug, Clone)]
struct Asked {
    groups: Vec<&'static str>,
    permission: &'static str,
    compartment: &'static str,
    repository: Option<&'static str>,
}

fn simple(effects: &'static [&'static str]) -> impl Strategy<Value = Simple> {
    (
        select(effects),
        select(
            &["any-user", "any-group", "group A, B", "group D/A", "group id ocid1.group.oc1..Default.C"][..],
        ),
        select(&Verb::ALL[..]),
        select(&["repos", "users", "policies", "all-resources", "vss-family"][..]),
        select(&["", "x", "y", "z", "w"][..]),
        select(
            &[
                "",
                "",
                "target.repo.name = /a*/",
                "target.repo.name != 'ab'",
                "all {target.repo.name = 'ab', !request.region}",
            ][..],
        ),
    )
        .prop_map(|(effect, subject, verb, resource, location, condition)| Simple {
            effect,
            subject,
            verb,
            resource,
            location,
            condition: if ["users", "policies", "vss-family"].contains(&resource) { "" } else { condition },
        })
}

fn asked() -> impl Strategy<Value = Asked> {
    (
        prop::sample::subsequence(vec!["A", "B", "C", "D/A", "E"], 0..4),
        select(
            &[
                "REPOSITORY_INSPECT",
                "REPOSITORY_READ",
                "REPOSITORY_UPDATE",
                "USER_READ",
                "POLICY_READ",
                "VSS_VULN_READ",
            ][..],
        ),
        select(&["", "x", "y", "z", "w"][..]),
        select(&[None, Some("ab"), Some("b")][..]),
    )
        .prop_map(|(groups, permission, compartment, repository)| Asked {
            groups,
            permission,
            compartment,
            repository,
        })
}

/// The decision on what is asked: allowed, denied by a statement, or neither.
fn decide(set: &PolicySet, asked: &Asked) -> &'static str {
    let principal = Principal {
        kind: PrincipalKind::User,
        id: Some(id("user", "u")),
        name: "u".to_owned(),
        groups: asked.groups.iter().map(|name| group(name)).collect::<Vec<Group>>(),
        dynamic_groups: Vec::new(),
    };
    let values: Vec<&str> = asked.repository.into_iter().collect();
    let attributes = [Attribute { name: "target.repo.name", values: &values }];
    let compartment = place(asked.compartment);
    let request = Request {
        principal: &principal,
        permission: asked.permission,
        compartment: &compartment,
        time: Timestamp(0),
        attributes: if values.is_empty() { &[] } else { &attributes },
    };
    let decision = set.decide(&request);
    assert_eq!(set.permits(&request), decision.is_allowed());
    match decision.outcome {
        Outcome::Allowed(_) => "allowed",
        Outcome::Denied(_) => "denied",
        Outcome::NotGranted(_) => "not granted",
    }
}

fn set_of(statements: &[String]) -> PolicySet {
    world(vec![("p", "", statements.to_vec())], small_tree())
}

/// One of the plain statements or any other one of that effect.
fn addition(effect: Effect) -> impl Strategy<Value = String> {
    let effects = if effect == Effect::Allow { &["Allow"][..] } else { &["Deny"][..] };
    let any = generate::statement().prop_filter("of the effect", move |statement| match statement {
        Statement::Rule(rule) => rule.effect == effect,
        Statement::Define(_) => true,
    });
    prop_oneof![simple(effects).prop_map(|simple| simple.text()), any.prop_map(|any| any.to_string())]
}

const BOTH: &[&str] = &["Allow", "Allow", "Deny"];

proptest! {
    // A law is tried that often where it says something; what it says nothing about is not counted.
    #![proptest_config(ProptestConfig { max_global_rejects: 100_000, ..ProptestConfig::with_cases(512) })]

    #[test]
    fn a_printed_statement_parses_to_the_same_tree(statement in generate::statement()) {
        let printed = statement.to_string();
        let parsed = parse_statement(&printed);
        prop_assert!(parsed.first_error().is_none(), "{printed}\n{:?}", parsed.diagnostics);
        prop_assert_eq!(parsed.statement.unwrap(), statement, "{}", printed);
    }

    #[test]
    fn decisions_are_those_of_a_plain_search(statements in vec(simple(BOTH), 0..8), asked in asked()) {
        let applies = |effect: &str| statements.iter().any(|one| one.effect == effect && one.applies(&asked));
        let expected = match (applies("Deny"), applies("Allow")) {
            (true, _) => "denied",
            (false, true) => "allowed",
            (false, false) => "not granted",
        };
        let texts: Vec<String> = statements.iter().map(Simple::text).collect();
        prop_assert_eq!(decide(&set_of(&texts), &asked), expected);
    }

    #[test]
    fn adding_an_allow_never_takes_a_right(
        statements in vec(simple(BOTH), 3..10), more in addition(Effect::Allow), asked in asked(),
    ) {
        let mut texts: Vec<String> = statements.iter().map(Simple::text).collect();
        prop_assume!(decide(&set_of(&texts), &asked) == "allowed");
        texts.push(more);
        prop_assert_eq!(decide(&set_of(&texts), &asked), "allowed");
    }

    #[test]
    fn adding_a_deny_never_gives_a_right(
        statements in vec(simple(BOTH), 0..8), more in addition(Effect::Deny), asked in asked(),
    ) {
        let mut texts: Vec<String> = statements.iter().map(Simple::text).collect();
        prop_assume!(decide(&set_of(&texts), &asked) != "allowed");
        texts.push(more);
        prop_assert_ne!(decide(&set_of(&texts), &asked), "allowed");
    }

    #[test]
    fn the_order_of_statements_and_policies_does_not_matter(
        statements in vec(simple(BOTH), 0..8).prop_flat_map(|all| (Just(all.clone()), Just(all).prop_shuffle())),
        cut in 0..8_usize,
        asked in asked(),
    ) {
        let (statements, shuffled) = statements;
        let texts = |statements: &[Simple]| statements.iter().map(Simple::text).collect::<Vec<String>>();
        let shuffled = texts(&shuffled);
        let (first, second) = shuffled.split_at(cut.min(shuffled.len()));
        let set = world(vec![("z", "", first.to_vec()), ("a", "", second.to_vec())], small_tree());
        prop_assert_eq!(decide(&set, &asked), decide(&set_of(&texts(&statements)), &asked));
    }

    #[test]
    fn a_statement_for_a_compartment_holds_below_it(
        statement in simple(BOTH), asked in asked(), below in select(&["", "x", "y", "z", "w"][..]),
    ) {
        prop_assume!(path_of(below).contains(&asked.compartment));
        let set = set_of(&[statement.text()]);
        let here = decide(&set, &asked);
        prop_assume!(here != "not granted");
        prop_assert_eq!(decide(&set, &Asked { compartment: below, ..asked }), here);
    }

    #[test]
    fn a_condition_never_gives_more_than_none(condition in generate::condition(), asked in asked()) {
        let statement = |condition: String| {
            vec![format!("Allow any-user to manage all-resources in tenancy{condition}")]
        };
        let set = world(vec![("p", "", statement(format!(" where {condition}")))], small_tree());
        let free = world(vec![("p", "", statement(String::new()))], small_tree());
        prop_assert_eq!(decide(&free, &asked), "allowed");
        // Both sides of a negation over the same request cannot hold at once.
        let not = format!(" where all {{{condition}, !request.permission}}");
        let never = world(vec![("p", "", statement(not))], small_tree());
        prop_assert_eq!(decide(&never, &asked), "not granted");
        decide(&set, &asked);
    }

    #[test]
    fn every_part_of_a_time_is_seen(seconds in -3_000_000_000_i64..5_000_000_000) {
        let time = jiff::tz::Offset::UTC.to_datetime(jiff::Timestamp::from_second(seconds).unwrap());
        let day = format!("{:?}", time.weekday());
        let clock = time.strftime("%H:%M:%SZ").to_string();
        let condition = format!(
            "all {{request.utc-timestamp.month-of-year = '{}', request.utc-timestamp.day-of-month = '{}', \
             request.utc-timestamp.day-of-week = '{day}', \
             request.utc-timestamp.time-of-day between '{clock}' and '{clock}'{}}}",
            time.month(), time.day(),
            if time.year() < 0 { String::new() } else {
                format!(", !target.repo.name, any {{request.utc-timestamp after '{0}', request.utc-timestamp before '{0}', request.region != 'x'}}",
                    time.strftime("%Y-%m-%dT%H:%M:%SZ"))
            },
        );
        let text = format!("Allow any-user to read repos in tenancy where {condition}");
        let principal = Principal {
            kind: PrincipalKind::Instance, id: None, name: String::new(), groups: Vec::new(), dynamic_groups: Vec::new(),
        };
        let compartment = place("");
        let set = world(vec![("p", "", vec![text.clone()])], small_tree());
        let ask = |micros: i64| set.permits(&Request {
            principal: &principal,
            permission: "REPOSITORY_READ",
            compartment: &compartment,
            time: Timestamp(seconds * 1_000_000 + micros),
            attributes: &[Attribute { name: "request.region", values: &["x"] }],
        });
        // At the very instant neither `before` nor `after` holds; a microsecond later `after` does.
        prop_assert!(!ask(0), "{}", text);
        prop_assert!(ask(1), "{}", text);
    }
}

#[test]
fn every_verb_gives_at_least_what_the_verb_below_it_gives() {
    for resource in resource_types() {
        for pair in Verb::ALL.windows(2) {
            let lower: Vec<&str> = permissions_of(pair[0], resource).collect();
            let higher: Vec<&str> = permissions_of(pair[1], resource).collect();
            assert!(lower.iter().all(|name| higher.contains(name)), "{resource}");
        }
    }
}
