//! Decisions: whatever the policies, a `Deny` that holds beats every `Allow`, more statements never turn an answer the
//! wrong way, their order and wording do not matter, and the one that is named as the reason is one.
#![no_main]

use wharfinger_fuzz::world::World;
use wharfinger_policy::{
    CompartmentTree, Decision, Effect, MAX_NEAR_MISSES, Options, Outcome, Policy, PolicySet, Request,
    Statement, check_policy, compile, parse_statement,
};

libfuzzer_sys::fuzz_target!(|world: World| {
    let (tree, policies, options) = (world.tree(), world.policies(), world.options());
    let set = compile(&policies, tree.clone(), &options);
    let with = |added| {
        let policies: Vec<Policy> = policies.iter().cloned().chain([added]).collect();
        compile(&policies, tree.clone(), &options)
    };
    let (more_allowed, more_denied) = (with(world.added("Allow")), with(world.added("Deny")));
    let only = |effect| compile(&with_effect(effect, &policies), tree.clone(), &options);
    let (allows, denies) = (only("Allow"), only("Deny"));
    let reworded = compile(&reworded(&policies, &tree, &options), tree.clone(), &options);
    for asked in world.requests() {
        asked.ask(|request| {
            let decision = set.decide(request);
            let is_allowed = decision.is_allowed();
            assert_eq!(set.permits(request), is_allowed);
            let is_denied = matches!(decision.outcome, Outcome::Denied(_));
            assert_eq!(is_denied, denies.decide(request).statement().is_some(), "a deny was passed over");
            assert_eq!(is_allowed, !is_denied && allows.permits(request), "an allow was passed over");
            assert!(!is_allowed || more_allowed.permits(request), "an allow took a right away");
            assert!(is_allowed || !more_denied.permits(request), "a deny gave a right");
            assert_eq!(reworded.permits(request), is_allowed, "order and wording matter");
            assert!(!decision.to_string().is_empty());
            check_reason(&decision, request, &policies, &set, &options);
        });
    }
});

/// The statements that begin with a word.
fn with_effect(effect: &str, policies: &[Policy]) -> Vec<Policy> {
    let mut policies = policies.to_vec();
    for policy in &mut policies {
        policy.statements.retain(|text| text.starts_with(effect));
    }
    policies
}

/// The same policies the other way round: last first, each statement as it is printed, those with an error left
/// out.
fn reworded(policies: &[Policy], tree: &CompartmentTree, options: &Options) -> Vec<Policy> {
    let reworded = policies.iter().rev().map(|policy| {
        let problems = check_policy(policy, tree, options);
        let has_error = |index: usize| {
            problems.iter().any(|problem| problem.statement == index && problem.diagnostic.is_error())
        };
        let valid = policy.statements.iter().enumerate().filter(|(index, _)| !has_error(*index));
        let printed = valid.filter_map(|(_, text)| parse_statement(text).statement);
        let mut statements: Vec<String> = printed.map(|statement| statement.to_string()).collect();
        statements.reverse();
        Policy { statements, ..policy.clone() }
    });
    reworded.collect()
}

fn check_reason(
    decision: &Decision<'_>,
    request: &Request<'_>,
    policies: &[Policy],
    set: &PolicySet,
    options: &Options,
) {
    if let Outcome::NotGranted(misses) = &decision.outcome {
        assert!(misses.len() <= MAX_NEAR_MISSES);
        for miss in misses {
            assert_eq!(effect(&miss.statement.text), Effect::Allow);
            assert!(!miss.text().is_empty());
        }
    }
    let Some(statement) = decision.statement() else {
        return;
    };
    let policy = policies.iter().find(|policy| policy.id == statement.policy).expect("a policy of the set");
    assert_eq!(policy.statements.get(statement.index), Some(&statement.text));
    assert_eq!(effect(&statement.text) == Effect::Allow, decision.is_allowed());
    // Alone it decides the same. A `Deny` is told from silence by its name.
    let alone = Policy { statements: vec![statement.text.clone()], ..policy.clone() };
    let alone = compile(&[alone], set.tree().clone(), options);
    let again = alone.decide(request);
    assert_eq!(again.is_allowed(), decision.is_allowed());
    assert!(again.statement().is_some(), "{}", statement.text);
}

fn effect(text: &str) -> Effect {
    match parse_statement(text).statement {
        Some(Statement::Rule(rule)) => rule.effect,
        other => panic!("{text}: {other:?}"),
    }
}
