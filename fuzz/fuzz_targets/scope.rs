//! The token endpoint's input: a query or form, and the scopes in it. A cap made of several scopes allows what one
//! of them allows, one within another what both allow, and no more.
#![no_main]

use wharfinger_api_distribution::Query;
use wharfinger_iam::{Access, Cap};

/// Resources in one cap.
const MOST_RESOURCES: usize = 100;

libfuzzer_sys::fuzz_target!(|text: &str| {
    let query = Query::parse(text);
    // A second reader of the same format, which the URL standard describes.
    let pairs: Vec<_> = form_urlencoded::parse(text.as_bytes()).collect();
    for (name, _) in pairs.iter().take(16) {
        let values = pairs.iter().filter(|(other, _)| other == name).map(|(_, value)| value.as_ref());
        assert!(query.all(name).eq(values), "{name}");
        assert_eq!(query.get(name), query.all(name).next());
    }

    let scopes: Vec<&str> = query.all("scope").flat_map(str::split_ascii_whitespace).collect();
    let cap = Cap::from_scopes(query.all("scope"));
    assert_eq!(cap, Cap::from_scopes(scopes.iter().copied()));
    let Cap::Only(entries) = &cap else {
        assert!(scopes.is_empty());
        return;
    };
    assert!(!scopes.is_empty());
    check_entries(entries);
    check_coverage(&cap, entries, &scopes);
    let (one, other) = scopes.split_at(scopes.len() / 2);
    check_within(&Cap::from_scopes(one.iter().copied()), &Cap::from_scopes(other.iter().copied()), entries);
});

/// A token carries the entries as JSON, in a header.
fn check_entries(entries: &[Access]) {
    assert!(entries.len() <= MOST_RESOURCES);
    for (index, entry) in entries.iter().enumerate() {
        assert!(matches!(entry.kind.as_str(), "repository" | "registry"));
        assert!(entry.name.len() <= 320);
        assert!(
            entries[..index].iter().all(|other| (&other.kind, &other.name) != (&entry.kind, &entry.name))
        );
        for (index, action) in entry.actions.iter().enumerate() {
            assert!(["pull", "push", "delete", "*"].contains(&action.as_str()));
            assert!(!entry.actions[..index].contains(action));
        }
    }
    let json = serde_json::to_string(entries).unwrap();
    assert_eq!(serde_json::from_str::<Vec<Access>>(&json).unwrap(), entries);
}

/// Some of the names asked for, and one that perhaps is not.
fn names(entries: &[Access]) -> Vec<&str> {
    let some = entries.iter().take(2).chain(entries.last());
    some.map(|entry| entry.name.as_str()).chain(["catalog"]).collect()
}

/// A token that is exchanged for another.
fn check_within(inner: &Cap, outer: &Cap, entries: &[Access]) {
    let within = inner.clone().within(outer);
    for name in names(entries) {
        for action in ["pull", "push", "delete", "*", "inspect"] {
            let covers = |cap: &Cap| cap.covers("repository", name, action);
            assert_eq!(covers(&within), covers(inner) && covers(outer), "{name} {action}");
        }
    }
}

fn check_coverage(cap: &Cap, entries: &[Access], scopes: &[&str]) {
    let alone: Vec<(&str, Cap)> =
        scopes.iter().map(|scope| (*scope, Cap::from_scopes([*scope].into_iter()))).collect();
    for kind in ["repository", "registry"] {
        for name in names(entries) {
            for action in ["pull", "push", "delete", "inspect"] {
                let mut asking = alone.iter().filter(|(_, cap)| cap.covers(kind, name, action));
                let asked = asking.next();
                if let Some((scope, _)) = asked {
                    assert!(asks_for(scope, kind, name, action), "{scope} covers {kind} {name} {action}");
                }
                let is_covered = cap.covers(kind, name, action);
                assert!(!is_covered || asked.is_some(), "nobody asked for {kind} {name} {action}");
                // What lies beyond the limit is left out.
                assert!(is_covered || asked.is_none() || entries.len() == MOST_RESOURCES);
            }
        }
    }
}

/// Whether the words for it stand in the scope: the resource between the first and the last colon, the action or
/// `*` behind.
fn asks_for(scope: &str, kind: &str, name: &str, action: &str) -> bool {
    let Some((resource, actions)) = scope.rsplit_once(':') else {
        return false;
    };
    let class_and_name = resource.strip_prefix(kind).unwrap_or_default();
    let is_named = class_and_name.strip_suffix(name).is_some_and(|class| {
        class == ":" || (class.starts_with('(') && class.ends_with(':') && class.matches(':').count() == 1)
    });
    is_named && actions.split(',').any(|word| word == action || word == "*")
}
