//! The cost of a decision: it grows with what concerns the principal and the target, not with the rest.

use wharfinger_policy::{
    Compartment, CompartmentTree, Decision, MAX_NEAR_MISSES, PolicySet, Principal, PrincipalKind, Request,
};
use wharfinger_types::Timestamp;

use crate::laws::world;
use crate::{group, id};

const COMPARTMENTS: usize = 200;
const GROUPS: usize = 100;

/// 20,000 statements: every group may read in every compartment.
fn large() -> PolicySet {
    let root = id("tenancy", "acme");
    let mut compartments =
        vec![Compartment { id: root.clone(), name: "acme".to_owned(), parent: None, tags: Vec::new() }];
    compartments.extend((0..COMPARTMENTS).map(|index| Compartment {
        id: id("compartment", &format!("c{index}")),
        name: format!("C{index}"),
        parent: Some(root.clone()),
        tags: Vec::new(),
    }));
    let statements = |compartment: usize| {
        let statement = |group| format!("Allow group G{group} to read repos in compartment C{compartment}");
        (0..GROUPS).map(statement).collect()
    };
    let names: Vec<String> = (0..COMPARTMENTS).map(|index| format!("p{index}")).collect();
    let policies = names.iter().enumerate().map(|(index, name)| (name.as_str(), "", statements(index)));
    world(policies.collect(), CompartmentTree::new(compartments).unwrap())
}

fn visited(set: &PolicySet, groups: &[&str], permission: &str) -> (bool, usize) {
    let principal = Principal {
        kind: PrincipalKind::User,
        id: None,
        name: String::new(),
        groups: groups.iter().map(|name| group(name)).collect(),
        dynamic_groups: Vec::new(),
    };
    let compartment = id("compartment", "c7");
    let request = Request {
        principal: &principal,
        permission,
        compartment: &compartment,
        time: Timestamp(0),
        attributes: &[],
    };
    let decision: Decision<'_> = set.decide(&request);
    (decision.is_allowed(), decision.visited)
}

#[test]
fn a_decision_looks_only_at_statements_of_the_principal_and_the_compartment() {
    let set = large();
    assert_eq!(visited(&set, &["G3"], "REPOSITORY_READ"), (true, 1));
    assert_eq!(visited(&set, &["Other", "G3"], "REPOSITORY_READ"), (true, 1));
    // A refusal is explained: the one that concerns both is looked at three times (does it give the right,
    // does its condition hold, is it about the same type), then 200 that name the principal and 100 that
    // name the compartment.
    assert_eq!(visited(&set, &["G3"], "REPOSITORY_UPDATE"), (false, 3 + COMPARTMENTS + GROUPS));
    // Enough near misses end the search.
    assert_eq!(visited(&set, &["Other"], "REPOSITORY_READ"), (false, MAX_NEAR_MISSES + 1));
}
