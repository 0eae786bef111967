//! What statements give, listed.

use wharfinger_policy::{DenyStatements, Effect, Grant, Options, Policy, PolicySet, compile};
use wharfinger_types::Ocid;

use crate::laws::small_tree;
use crate::policies::user;
use crate::{group, id};

fn set() -> PolicySet {
    let policy = |name: &str, compartment: Ocid, statements: &[&str]| Policy {
        id: id("policy", name),
        name: name.to_owned(),
        compartment,
        statements: statements.iter().map(|text| (*text).to_owned()).collect(),
    };
    let policies = [
        policy("z", id("tenancy", "acme"), &["Deny group A, B to manage repos in compartment X"]),
        policy(
            "a",
            id("compartment", "x"),
            &[
                "Allow group id ocid1.group.oc1..Default.A, id ocid1.group.oc1..Default.B to read repos in compartment Y  where target.repo.name = /web*/ ",
                "Allow any-user to {REPOSITORY_INSPECT} in compartment Y:Z",
                "Allow group A to read buckets in compartment X",
                "Allow group A to reed repos in compartment X",
            ],
        ),
    ];
    let options =
        Options { deny: DenyStatements::Enforced, administrators: Some(group("Administrators").id) };
    compile(&policies, small_tree(), &options)
}

fn in_short(grant: &Grant<'_>) -> String {
    let effect = if grant.effect == Effect::Allow { "+" } else { "-" };
    let condition = grant.condition.map(|condition| format!(" if {condition}")).unwrap_or_default();
    let statement = grant.statement;
    format!(
        "{effect} {} {}: {} {} {}{condition}",
        statement.policy_name,
        statement.index,
        grant.subject,
        grant.permissions.join(","),
        grant.compartment.as_str().rsplit('.').next().unwrap(),
    )
}

fn all(grants: &[Grant<'_>]) -> Vec<String> {
    grants.iter().map(in_short).collect()
}

const READS: &str = "+ a 0: group id ocid1.group.oc1..Default.A, id ocid1.group.oc1..Default.B \
    REPOSITORY_INSPECT,REPOSITORY_READ y if target.repo.name = /web*/";
const EVERYBODY: &str = "+ a 1: any-user REPOSITORY_INSPECT z";
const BUCKETS: &str = "+ a 2: group A  x";
const DENIED: &str =
    "- z 0: group A, B REPOSITORY_CREATE,REPOSITORY_DELETE,REPOSITORY_UPDATE,REPOSITORY_MANAGE x";

#[test]
fn a_principal_is_given_what_names_it_each_statement_once() {
    let set = set();
    assert_eq!(all(&set.grants_to(&user(vec![]))), [EVERYBODY]);
    assert_eq!(all(&set.grants_to(&user(vec![group("B")]))), [READS, EVERYBODY, DENIED]);
    let both = user(vec![group("A"), group("B")]);
    assert_eq!(all(&set.grants_to(&both)), [READS, EVERYBODY, BUCKETS, DENIED]);
    // No `Deny` reaches an administrator.
    let administrator = user(vec![group("B"), group("Administrators")]);
    assert_eq!(all(&set.grants_to(&administrator)), [READS, EVERYBODY]);
}

#[test]
fn a_compartment_has_what_is_given_there_or_above() {
    let set = set();
    assert_eq!(all(&set.grants_on(&id("compartment", "z"))), [READS, EVERYBODY, BUCKETS, DENIED]);
    assert_eq!(all(&set.grants_on(&id("compartment", "x"))), [BUCKETS, DENIED]);
    assert_eq!(all(&set.grants_on(&id("compartment", "w"))), Vec::<String>::new());
    assert_eq!(all(&set.grants_on(&id("compartment", "gone"))), Vec::<String>::new());
}
