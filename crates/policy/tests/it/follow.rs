//! What becomes of statements whose compartment is moved or gets another name.

use wharfinger_policy::{Compartment, CompartmentTree, Policy, follow};
use wharfinger_types::Ocid;

use crate::id;

fn place(name: &str) -> Ocid {
    if name.is_empty() { id("tenancy", "acme") } else { id("compartment", name) }
}

/// A tree of (compartment, name, parent).
fn tree(places: &[(&str, &str, &str)]) -> CompartmentTree {
    let below = places.iter().map(|(id, name, parent)| (place(id), *name, Some(place(parent))));
    let all = below.chain([(place(""), "acme", None)]);
    let all =
        all.map(|(id, name, parent)| Compartment { id, name: name.to_owned(), parent, tags: Vec::new() });
    CompartmentTree::new(all.collect()).unwrap()
}

fn followed(at: &str, statement: &str, before: &CompartmentTree, after: &CompartmentTree) -> Option<String> {
    let policy = Policy {
        id: id("policy", "p"),
        name: "p".to_owned(),
        compartment: place(at),
        statements: vec!["Allow any-user to read repos in compartment None".to_owned(), statement.to_owned()],
    };
    let statements = follow(&policy, before, after)?;
    assert_eq!(statements.len(), 2);
    assert_eq!(statements[0], policy.statements[0], "one that names nothing stays");
    Some(statements[1].clone())
}

const BEFORE: [(&str, &str, &str); 5] =
    [("x", "X", ""), ("y", "Y", "x"), ("z", "Z", "y"), ("w", "W", ""), ("v", "V", "w")];

#[test]
fn a_path_from_a_shared_ancestor_leads_to_the_same_compartment_after_a_move() {
    let before = tree(&BEFORE);
    let after = tree(&[("x", "X", ""), ("y", "Y", "v"), ("z", "Z", "y"), ("w", "W", ""), ("v", "V", "w")]);
    for (at, location, expected) in [
        ("", "compartment X:Y", Some("compartment W:V:Y")),
        ("", "Compartment  X : 'Y':Z", Some("compartment W:V:Y:Z")),
        // What did not move, what is named by its identifier, and what moves along with its policy.
        ("", "compartment X", None),
        ("", "tenancy", None),
        ("", "compartment id ocid1.compartment.oc1..y", None),
        ("y", "compartment Z", None),
        ("y", "compartment Y", None),
        // Out of reach: it names nothing from now on.
        ("x", "compartment Y", None),
        ("x", "compartment Y:Z", None),
        ("", "compartment X:None", None),
    ] {
        let statement = |location: &str| {
            format!(
                " allow group 'A'  to read repos in {location} where target.repo.name = 'compartment X:Y'"
            )
        };
        let got = followed(at, &statement(location), &before, &after);
        assert_eq!(got, expected.map(statement), "{at}: {location}");
    }
}

#[test]
fn a_new_name_is_followed_by_policies_above_and_in_the_compartment() {
    let before = tree(&BEFORE);
    let after = tree(&[("x", "id", ""), ("y", "Y", "x"), ("z", "Z", "y"), ("w", "W", ""), ("v", "V", "w")]);
    let statement = |location: &str| format!("Allow any-user to read repos in {location}");
    for (at, location, expected) in [
        ("", "compartment X", Some("compartment 'id'")),
        ("", "compartment X:Y", Some("compartment 'id':Y")),
        ("x", "compartment X", Some("compartment 'id'")),
        ("x", "compartment Y", None),
    ] {
        let got = followed(at, &statement(location), &before, &after);
        assert_eq!(got, expected.map(statement), "{at}: {location}");
    }
}
