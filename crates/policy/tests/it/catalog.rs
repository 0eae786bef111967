//! The table of verbs and permissions.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use wharfinger_policy::{Verb, permissions, permissions_of, resource_types};
use wharfinger_types::Permission;

#[test]
fn every_permission_the_product_asks_for_is_in_the_table() {
    let known: HashSet<&str> = permissions().collect();
    for permission in Permission::ALL {
        // No policy gives this one: only the local administrator founds tenancies.
        let is_known = *permission != Permission::TenancyCreate;
        assert_eq!(known.contains(permission.as_str()), is_known, "{permission}");
    }
}

#[test]
fn every_permission_belongs_to_one_verb_of_one_type() {
    let names: Vec<&str> = permissions().collect();
    let distinct: HashSet<&str> = names.iter().copied().collect();
    assert_eq!(names.len(), distinct.len());
    assert!(names.len() <= 128, "a set of permissions has 128 places, the table {} names", names.len());
    let of_types: usize = resource_types().map(|name| permissions_of(Verb::Manage, name).count()).sum();
    assert_eq!(of_types, names.len());
    assert_eq!(permissions_of(Verb::Manage, "all-resources").count(), names.len());
}

#[test]
fn the_table_of_verbs_is_as_written() {
    let mut table = String::new();
    for resource in resource_types() {
        writeln!(table, "{resource}").unwrap();
        let mut below: Vec<&str> = Vec::new();
        for verb in Verb::ALL {
            let given: Vec<&str> = permissions_of(verb, resource).collect();
            let added: Vec<&str> = given.iter().copied().filter(|name| !below.contains(name)).collect();
            let added = if added.is_empty() { "-".to_owned() } else { added.join(" ") };
            writeln!(table, "  {verb:<8}{added}").unwrap();
            below = given;
        }
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/verbs.txt");
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("verbs.txt");
    fs::write(&target, &table).unwrap();
    let written = fs::read_to_string(path).unwrap_or_default();
    assert!(table == written, "verbs.txt differs from {}", target.display());
}
