//! Policies where they are attached: what they may name, and what else is checked of them.

use wharfinger_policy::{
    Attribute, Compartment, CompartmentTree, DenyStatements, Error, Group, Options, Policy, Principal,
    PrincipalKind, Request, Severity, TENANT_ADMIN_STATEMENT, check_policy, compile, deny_guard_statement,
    parse_statement,
};
use wharfinger_types::{Ocid, Timestamp};

use crate::laws::small_tree;
use crate::{group, id};

fn problems(at: &Ocid, deny: DenyStatements, statements: &[&str]) -> Vec<String> {
    let policy = Policy {
        id: id("policy", "p"),
        name: "p".to_owned(),
        compartment: at.clone(),
        statements: statements.iter().map(|text| (*text).to_owned()).collect(),
    };
    let options = Options { deny, administrators: Some(group("Administrators").id) };
    check_policy(&policy, &small_tree(), &options)
        .into_iter()
        .map(|problem| format!("{} {}", problem.statement, problem.diagnostic))
        .collect()
}

fn location_error(at: &str, location: &str) -> Option<String> {
    let at = if at.is_empty() { id("tenancy", "acme") } else { id("compartment", at) };
    let text = format!("Allow group A to read repos in {location}");
    let found = problems(&at, DenyStatements::Ignored, &[&text]);
    assert!(found.len() <= 1, "{found:?}");
    found.into_iter().next()
}

#[test]
fn a_policy_names_its_own_compartment_and_those_below() {
    let accepted = [
        ("", "tenancy"),
        ("", "compartment X"),
        ("", "compartment X:Y:Z"),
        ("", "compartment id ocid1.tenancy.oc1..acme"),
        ("", "compartment id ocid1.compartment.oc1..z"),
        ("x", "compartment X"),
        ("x", "compartment Y"),
        ("x", "compartment Y:Z"),
        ("x", "compartment id ocid1.compartment.oc1..x"),
        ("z", "compartment Z"),
    ];
    for (at, location) in accepted {
        assert_eq!(location_error(at, location), None, "{at}: {location}");
    }
}

#[test]
fn a_policy_names_no_compartment_above_or_beside_its_own() {
    let refused = [
        ("x", "tenancy", "only policies of the root compartment reach the tenancy"),
        ("x", "compartment W", "expected a compartment in `X`, found `W`"),
        ("x", "compartment id ocid1.compartment.oc1..w", "attach the policy to a compartment above that one"),
        ("x", "compartment id ocid1.tenancy.oc1..acme", "attach the policy to a compartment above that one"),
        ("y", "compartment X", "expected a compartment in `Y`, found `X`"),
        ("", "compartment Y", "expected a compartment in `acme`, found `Y`"),
        ("", "compartment acme", "expected a compartment in `acme`, found `acme`"),
        ("", "compartment x", "expected a compartment in `acme`, found `x`; did you mean `X`?"),
        ("", "compartment X:Why", "expected a compartment in `X`, found `Why`"),
        ("x", "compartment X:Y", "a path starts below the policy's own compartment"),
        ("gone", "compartment X", "own compartment `ocid1.compartment.oc1..gone` does not exist"),
        (
            "",
            "compartment id ocid1.compartment.oc1..gone",
            "found `ocid1.compartment.oc1..gone`: attach the policy to a compartment above that one",
        ),
    ];
    for (at, location, expected) in refused {
        let found = location_error(at, location).unwrap_or_default();
        assert!(found.contains("1:32: error: "), "{at}: {location}: {found}");
        assert!(found.ends_with(expected), "{at}: {location}: {found}");
    }
}

#[test]
fn a_child_with_its_parents_name_does_not_turn_statements_to_itself() {
    let root = id("tenancy", "acme");
    let compartment = |id: &str, parent: Ocid| Compartment {
        id: crate::id("compartment", id),
        name: "X".to_owned(),
        parent: Some(parent),
        tags: Vec::new(),
    };
    let tree = CompartmentTree::new(vec![
        Compartment { id: root.clone(), name: "acme".to_owned(), parent: None, tags: Vec::new() },
        compartment("x", root),
        compartment("xx", id("compartment", "x")),
    ])
    .unwrap();
    let policy = Policy {
        id: id("policy", "p"),
        name: "p".to_owned(),
        compartment: id("compartment", "x"),
        statements: vec!["Allow any-user to read repos in compartment X".to_owned()],
    };
    let options = Options { deny: DenyStatements::Ignored, administrators: None };
    let set = compile(&[policy], tree, &options);
    let principal = Principal {
        kind: PrincipalKind::User,
        id: None,
        name: String::new(),
        groups: Vec::new(),
        dynamic_groups: Vec::new(),
    };
    let allowed = set.permits(&Request {
        principal: &principal,
        permission: "REPOSITORY_READ",
        compartment: &id("compartment", "x"),
        time: Timestamp(0),
        attributes: &[],
    });
    assert!(allowed);
}

#[test]
fn names_of_other_tenancies_are_defined_before_their_use() {
    let root = id("tenancy", "acme");
    let found = problems(
        &root,
        DenyStatements::Enforced,
        &[
            "Endorse group A to manage repos in tenancy Partner",
            "Define tenancy Partner as ocid1.tenancy.oc1..p",
            "Define group Theirs as ocid1.group.oc1..t",
            "Define tenancy Partner as ocid1.tenancy.oc1..q",
            "Endorse group A to manage repos in tenancy Partner",
            "Admit group Their of tenancy Partners to read repos in tenancy",
            "Admit group Theirs of tenancy Partner to read repos in tenancy",
            "Admit dynamic-group Theirs of tenancy Partner to read repos in tenancy",
            "Admit any-user of tenancy Partner to read repos in tenancy",
        ],
    );
    let errors: Vec<&String> = found.iter().filter(|text| text.contains(": error: ")).collect();
    assert_eq!(
        errors,
        [
            "0 1:36: error: expected a name that a `Define` before gave, found `Partner`",
            "3 1:16: error: expected a new name, found `Partner` again",
            "5 1:22: error: expected a name that a `Define` before gave, found `Partners`; did you mean `Partner`?",
            "5 1:13: error: expected a name that a `Define` before gave, found `Their`; did you mean `Theirs`?",
            "7 1:21: error: expected a name that a `Define` before gave, found `Theirs`",
        ]
    );
}

#[test]
fn deny_statements_are_doubted_until_they_are_enabled() {
    let root = id("tenancy", "acme");
    let statement = ["Deny group A to read repos in tenancy"];
    let off = problems(&root, DenyStatements::Ignored, &statement);
    assert_eq!(off, ["0 1:1: warning: deny statements are not enabled in this tenancy: it takes nothing"]);
    assert!(problems(&root, DenyStatements::Enforced, &statement).is_empty());
}

#[test]
fn an_error_in_one_statement_leaves_the_others() {
    let statements = [
        "Allow group A to read repos in tenancy",
        "Allow group A to reed repos in tenancy",
        "",
        "Allow group A to read repos in tenancy\nAllow group B to read repos in tenancy",
    ];
    let policy = Policy {
        id: id("policy", "p"),
        name: "p".to_owned(),
        compartment: id("tenancy", "acme"),
        statements: statements.map(str::to_owned).to_vec(),
    };
    let options = Options { deny: DenyStatements::Enforced, administrators: None };
    let set = compile(std::slice::from_ref(&policy), small_tree(), &options);
    assert_eq!(set.problems(), check_policy(&policy, &small_tree(), &options));
    let found: Vec<(usize, usize, usize)> = set
        .problems()
        .iter()
        .map(|problem| (problem.statement, problem.diagnostic.line, problem.diagnostic.column))
        .collect();
    assert_eq!(found, [(1, 1, 18), (2, 1, 1), (3, 2, 1)]);
    assert!(
        set.problems().iter().all(|problem| problem.policy == policy.id && problem.diagnostic.is_error())
    );
    let allowed = |name: &str| {
        let principal = user(vec![group(name)]);
        set.permits(&asked(&principal, &id("compartment", "x")))
    };
    assert!(allowed("A"));
    assert!(!allowed("B"));
}

pub(crate) fn user(groups: Vec<Group>) -> Principal {
    let name = "u".to_owned();
    Principal {
        kind: PrincipalKind::User,
        id: Some(id("user", "u")),
        name,
        groups,
        dynamic_groups: Vec::new(),
    }
}

fn asked<'a>(principal: &'a Principal, compartment: &'a Ocid) -> Request<'a> {
    Request { principal, permission: "REPOSITORY_READ", compartment, time: Timestamp(0), attributes: &[] }
}

#[test]
fn a_decision_names_what_it_rests_on_and_what_is_missing() {
    let policy = Policy {
        id: id("policy", "p"),
        name: "p".to_owned(),
        compartment: id("compartment", "x"),
        statements: vec![
            "Allow group A to read repos in compartment X".to_owned(),
            " Deny group B to read repos in compartment Y\n".to_owned(),
        ],
    };
    let options = Options { deny: DenyStatements::Enforced, administrators: None };
    let set = compile(std::slice::from_ref(&policy), small_tree(), &options);
    let (y, root, gone) = (id("compartment", "y"), id("tenancy", "acme"), id("compartment", "gone"));
    let (a, both, none) = (user(vec![group("A")]), user(vec![group("A"), group("B")]), user(vec![]));
    for (principal, compartment, index, missing_in, text) in [
        (
            &a,
            &y,
            Some(0),
            "",
            "REPOSITORY_READ is granted by statement 1 of policy `p`: Allow group A to read repos in compartment X",
        ),
        (
            &both,
            &y,
            Some(1),
            "X:Y",
            "REPOSITORY_READ in X:Y is denied by statement 2 of policy `p`: Deny group B to read repos in compartment Y",
        ),
        (
            &none,
            &y,
            None,
            "X:Y",
            "no statement grants REPOSITORY_READ in X:Y\nstatement 1 of policy `p` fails at its subject `group A`",
        ),
        (
            &a,
            &root,
            None,
            "tenancy",
            "no statement grants REPOSITORY_READ in tenancy\nstatement 1 of policy `p` fails at its location `compartment X`",
        ),
        (
            &a,
            &gone,
            None,
            "ocid1.compartment.oc1..gone",
            "no statement grants REPOSITORY_READ in ocid1.compartment.oc1..gone",
        ),
    ] {
        let request = asked(principal, compartment);
        let decision = set.decide(&request);
        let statement = decision.statement();
        assert_eq!(statement.map(|by| by.index), index);
        assert!(statement.is_none_or(|by| by.policy == policy.id && by.text == policy.statements[by.index]));
        assert_eq!(decision.permission, "REPOSITORY_READ");
        assert_eq!(decision.compartment, missing_in);
        assert_eq!(decision.to_string(), text);
    }
}

#[test]
fn the_built_in_statements_are_statements() {
    let guard = deny_guard_statement(&id("user", "ada"));
    for text in [TENANT_ADMIN_STATEMENT, &guard] {
        let parsed = parse_statement(text);
        assert!(parsed.diagnostics.iter().all(|found| found.severity == Severity::Warning));
        assert_eq!(parsed.statement.unwrap().to_string(), text);
    }
}

#[test]
fn only_the_enabler_and_administrators_write_deny_statements() {
    let policy = Policy {
        id: id("policy", "p"),
        name: "p".to_owned(),
        compartment: id("tenancy", "acme"),
        statements: vec![
            deny_guard_statement(&id("user", "ada")),
            "Allow any-user to manage policies in tenancy".to_owned(),
        ],
    };
    let administrators = group("Administrators");
    let options = Options { deny: DenyStatements::Enforced, administrators: Some(administrators.id.clone()) };
    let set = compile(&[policy], small_tree(), &options);
    assert!(set.problems().is_empty(), "{:?}", set.problems());
    let may_write = |kind: PrincipalKind, name: &str, groups: Vec<Group>, statements: &[&str]| {
        let principal = Principal {
            id: (kind == PrincipalKind::User).then(|| id("user", name)),
            kind,
            name: name.to_owned(),
            groups,
            dynamic_groups: Vec::new(),
        };
        set.permits(&Request {
            principal: &principal,
            permission: "POLICY_CREATE",
            compartment: &id("compartment", "x"),
            time: Timestamp(0),
            attributes: &[Attribute { name: "target.policy.type", values: statements }],
        })
    };
    let user = || PrincipalKind::User;
    assert!(may_write(user(), "ada", vec![], &["ALLOW", "DENY"]));
    assert!(may_write(user(), "bob", vec![administrators], &["DENY"]));
    assert!(may_write(user(), "bob", vec![], &["ALLOW"]));
    assert!(!may_write(user(), "bob", vec![], &["ALLOW", "DENY"]));
    assert!(!may_write(PrincipalKind::Instance, "host", vec![], &["DENY"]));
}

#[test]
fn a_time_beyond_the_calendar_is_before_or_after_every_other() {
    let policy = Policy {
        id: id("policy", "p"),
        name: "p".to_owned(),
        compartment: id("tenancy", "acme"),
        statements: vec![
            "Allow group Early to read repos in tenancy where request.utc-timestamp before '0000-01-01Z'"
                .to_owned(),
            "Allow group Late to read repos in tenancy where request.utc-timestamp after '9999-12-30Z'"
                .to_owned(),
        ],
    };
    let options = Options { deny: DenyStatements::Enforced, administrators: None };
    let set = compile(&[policy], small_tree(), &options);
    let allowed = |name: &str, time: i64| {
        let principal = user(vec![group(name)]);
        set.permits(&Request { time: Timestamp(time), ..asked(&principal, &id("tenancy", "acme")) })
    };
    let answers = ["Early", "Late"].map(|name| [i64::MIN, i64::MAX].map(|time| allowed(name, time)));
    assert_eq!(answers, [[true, false], [false, true]]);
}

#[test]
fn a_tree_knows_its_root_and_its_paths() {
    let tree = small_tree();
    assert_eq!(tree.root_id(), Some(&id("tenancy", "acme")));
    assert_eq!(tree.path(&id("compartment", "z")).unwrap(), "X:Y:Z");
    assert_eq!(tree.path(&id("tenancy", "acme")).unwrap(), "tenancy");
    assert_eq!(tree.path(&id("compartment", "gone")), None);
}

#[test]
fn a_tree_that_is_none_is_refused() {
    let compartment = |name: &str, parent: Option<&str>| Compartment {
        id: id("compartment", name),
        name: name.split('-').next().unwrap().to_owned(),
        parent: parent.map(|parent| id("compartment", parent)),
        tags: Vec::new(),
    };
    let error = |compartments: Vec<Compartment>| CompartmentTree::new(compartments).unwrap_err();
    assert_eq!(error(vec![]), Error::Roots(0));
    assert_eq!(error(vec![compartment("a", None), compartment("b", None)]), Error::Roots(2));
    let a = || compartment("a", None);
    assert_eq!(error(vec![a(), a()]), Error::Repeated(id("compartment", "a")));
    assert!(matches!(error(vec![a(), compartment("b", Some("c"))]), Error::NoParent { .. }));
    let twins = vec![a(), compartment("b-1", Some("a")), compartment("b-2", Some("a"))];
    assert!(matches!(error(twins), Error::SameName { .. }));
    let circle = vec![a(), compartment("b", Some("c")), compartment("c", Some("b"))];
    assert!(matches!(error(circle), Error::Circle(_)));
}
