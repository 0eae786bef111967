//! What a decision over 500 statements in a tree six deep costs:
//! `cargo run --release -p wharfinger-policy --example cost`.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement")]

use std::hint::black_box;
use std::time::Instant;

use wharfinger_policy::scenario::{group, id};
use wharfinger_policy::{
    Attribute, Compartment, CompartmentTree, DenyStatements, MAX_NEAR_MISSES, Options, Policy, PolicySet,
    Principal, PrincipalKind, Request, compile,
};
use wharfinger_types::Timestamp;

const DEPTH: usize = 6;
const STATEMENTS: usize = 500;
const ROUNDS: u32 = 1_000;
const SAMPLES: usize = 201;

/// 500 statements for the six compartments on the way to the deepest one.
fn set(statement: impl Fn(usize, &str) -> String) -> PolicySet {
    let names: Vec<String> = (1..=DEPTH).map(|depth| format!("C{depth}")).collect();
    let ids: Vec<_> = names.iter().map(|name| id("compartment", &[name]).unwrap()).collect();
    let root = id("tenancy", &["acme"]).unwrap();
    let parents = std::iter::once(&root).chain(&ids);
    let mut compartments =
        vec![Compartment { id: root.clone(), name: "acme".to_owned(), parent: None, tags: Vec::new() }];
    compartments.extend(names.iter().zip(&ids).zip(parents).map(|((name, id), parent)| Compartment {
        id: id.clone(),
        name: name.clone(),
        parent: Some(parent.clone()),
        tags: Vec::new(),
    }));
    let path = |depth: usize| names.iter().take(depth).cloned().collect::<Vec<_>>().join(":");
    let policy = Policy {
        id: id("policy", &["p"]).unwrap(),
        name: "p".to_owned(),
        compartment: root.clone(),
        statements: (0..STATEMENTS).map(|index| statement(index, &path(index % DEPTH + 1))).collect(),
    };
    let options = Options { deny: DenyStatements::Enforced, administrators: None };
    let set = compile(&[policy], CompartmentTree::new(compartments).unwrap(), &options);
    assert_eq!(set.problems(), []);
    set
}

fn measure(what: &str, set: &PolicySet, permission: &str, repository: &str) {
    let groups = ["G3", "G17", "G29", "G41", "G49"].map(|name| group("group", name).unwrap());
    let principal = Principal {
        kind: PrincipalKind::User,
        id: Some(id("user", &["ada"]).unwrap()),
        name: "ada".to_owned(),
        groups: groups.to_vec(),
        dynamic_groups: Vec::new(),
    };
    let compartment = id("compartment", &["C6"]).unwrap();
    let request = Request {
        principal: &principal,
        permission,
        compartment: &compartment,
        time: Timestamp(1_790_000_000_000_000),
        attributes: &[Attribute { name: "target.repo.name", values: &[repository] }],
    };
    let decision = set.decide(&request);
    let outcome = if decision.is_allowed() { "allowed" } else { "refused" };
    let row = |call: &str, visited: &str, decide: &dyn Fn()| {
        let allocations = allocation_counter::measure(decide).count_total;
        let mut samples: Vec<f64> = (0..SAMPLES)
            .map(|_| {
                let start = Instant::now();
                for _ in 0..ROUNDS {
                    decide();
                }
                start.elapsed().as_secs_f64() * 1e9 / f64::from(ROUNDS)
            })
            .collect();
        samples.sort_by(f64::total_cmp);
        let (least, median) = (samples.first().unwrap(), samples.get(SAMPLES / 2).unwrap());
        println!("{what:<36} {outcome} {call:<8} {median:>9.0} {least:>9.0} {allocations:>12} {visited:>11}");
    };
    let visited = decision.visited.to_string();
    row("decide", &visited, &|| drop(black_box(set.decide(black_box(&request)))));
    row("permits", "", &|| {
        black_box(set.permits(black_box(&request)));
    });
}

fn main() {
    println!("{STATEMENTS} statements, a tree {DEPTH} deep. `decide` gives the reason, of a refusal up to");
    println!(
        "{MAX_NEAR_MISSES} near misses; `permits` does not. Nanoseconds: median and least of {SAMPLES} samples.\n"
    );
    println!("{:<53} {:>9} {:>9} {:>12} {:>11}", "", "median", "least", "allocations", "looked at");
    // Each group of 50 has ten statements, every other one with a condition.
    let mixed = set(|index, path| {
        let resource = if index % 4 < 3 { "repos" } else { "users" };
        let condition =
            if index % 2 == 0 { format!(" where target.repo.name = /team-{index}*/") } else { String::new() };
        let condition = if resource == "users" { String::new() } else { condition };
        format!("Allow group G{} to read {resource} in compartment {path}{condition}", index % 50)
    });
    measure("five of 50 groups", &mixed, "REPOSITORY_READ", "team-3/app");
    measure("five of 50 groups", &mixed, "REPOSITORY_UPDATE", "team-3/app");
    // Every statement names the principal and the target, and fails at its condition, but for the last.
    let worst = set(|index, path| {
        format!(
            "Allow any-user to manage repos in compartment {path} where target.repo.name = /team-{index}-*/"
        )
    });
    measure("all statements, each with condition", &worst, "REPOSITORY_UPDATE", "team-495-app");
    measure("all statements, each with condition", &worst, "REPOSITORY_UPDATE", "other/app");
}
