//! Scopes of registry tokens: what a token may be used for at most.
//!
//! The text form is that of the token authentication specification of the Docker registry:
//! `type:name:action,action`. A scope is a cap, never a grant: rights are decided at each request.

use serde::{Deserialize, Serialize};

/// Every action that makes a difference here.
const ACTIONS: [&str; 4] = ["pull", "push", "delete", "*"];
/// Resources that one token may name.
const MAX_ENTRIES: usize = 100;
/// An image name may have 255 characters, and a host in front.
const MAX_NAME: usize = 320;

/// One entry of a token's `access` claim.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Access {
    /// `repository` or `registry`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The image name, or `catalog`.
    pub name: String,
    /// `pull`, `push`, `delete`, or `*` for all.
    pub actions: Vec<String>,
}

/// The most that a request may do, whatever its principal's rights are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cap {
    /// No cap: the principal's rights alone decide.
    None,
    /// Nothing but these.
    Only(Vec<Access>),
}

impl Cap {
    /// The cap that the given `scope` parameters ask for; none asked is no cap. Each may hold
    /// several scopes separated by spaces; entries for one resource are merged. What can't be read
    /// as a scope covers nothing, but still counts as asking for a cap.
    pub fn from_scopes<'a>(scopes: impl Iterator<Item = &'a str>) -> Cap {
        let mut asked = false;
        let mut entries: Vec<Access> = Vec::new();
        // What lies beyond the limits is not covered: a token must fit into a request's head.
        for scope in scopes.flat_map(str::split_ascii_whitespace) {
            asked = true;
            let Some(access) = parse(scope) else { continue };
            let is_same = |entry: &&mut Access| entry.kind == access.kind && entry.name == access.name;
            if let Some(entry) = entries.iter_mut().find(is_same) {
                let missing = |action: &String| !entry.actions.contains(action);
                let missing: Vec<String> = access.actions.into_iter().filter(missing).collect();
                entry.actions.extend(missing);
            } else if entries.len() < MAX_ENTRIES {
                entries.push(access);
            }
        }
        if asked { Cap::Only(entries) } else { Cap::None }
    }

    /// What lies within both caps.
    #[must_use]
    pub fn within(self, outer: &Cap) -> Cap {
        let entries = match (self, outer) {
            (cap, Cap::None) => return cap,
            (Cap::None, outer) => return outer.clone(),
            (Cap::Only(entries), _) => entries,
        };
        let covered = |access: Access| {
            let is_covered = |action: &&str| {
                let asks = access.actions.iter().any(|asked| asked == "*" || asked.as_str() == *action);
                asks && outer.covers(&access.kind, &access.name, action)
            };
            let actions: Vec<String> = ACTIONS.into_iter().filter(is_covered).map(str::to_owned).collect();
            (!actions.is_empty()).then_some(Access { actions, ..access })
        };
        Cap::Only(entries.into_iter().filter_map(covered).collect())
    }

    /// Whether `action` on the resource stays within the cap.
    pub fn covers(&self, kind: &str, name: &str, action: &str) -> bool {
        let Cap::Only(entries) = self else {
            return true;
        };
        entries.iter().any(|entry| {
            let acts = entry.actions.iter().any(|granted| granted == action || granted == "*");
            entry.kind == kind && entry.name == name && acts
        })
    }
}

/// Splits at the first and the last colon: an image name may hold one of its own (a host's port).
fn parse(scope: &str) -> Option<Access> {
    let (kind, rest) = scope.split_once(':')?;
    let (name, actions) = rest.rsplit_once(':')?;
    // `repository(plugin)` names a class that makes no difference here.
    let kind = kind.split_once('(').map_or(kind, |(kind, _)| kind);
    if !matches!(kind, "repository" | "registry") || name.len() > MAX_NAME {
        return None;
    }
    let known = ACTIONS.iter().filter(|known| actions.split(',').any(|action| action == **known));
    let actions = known.map(|action| (*action).to_owned()).collect();
    Some(Access { kind: kind.to_owned(), name: name.to_owned(), actions })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cap(scopes: &[&str]) -> Cap {
        Cap::from_scopes(scopes.iter().copied())
    }

    #[test]
    fn no_scope_is_no_cap_and_an_unreadable_one_covers_nothing() {
        assert_eq!(cap(&[]), Cap::None);
        assert_eq!(cap(&["nonsense"]), Cap::Only(vec![]));
    }

    #[test]
    fn scopes_of_one_resource_are_merged_from_one_value_or_several() {
        let merged = cap(&["repository:a/b:pull repository:a/b:pull,push", "repository:c/d:*"]);
        assert!(merged.covers("repository", "a/b", "push"));
        assert!(!merged.covers("repository", "a/b", "delete"));
        assert!(merged.covers("repository", "c/d", "delete"));
        assert!(!merged.covers("repository", "e/f", "pull"));
        let Cap::Only(entries) = merged else { unreachable!() };
        assert_eq!(entries[0].actions, ["pull", "push"]);
    }

    #[test]
    fn a_cap_within_another_covers_what_both_cover() {
        let both = cap(&["repository:a:*", "repository:b:pull", "repository:c:push"]).within(&cap(&[
            "repository:a:pull",
            "repository:b:*",
            "repository:d:pull",
        ]));
        for (name, action, expected) in [
            ("a", "pull", true),
            ("a", "push", false),
            ("a", "*", false),
            ("b", "pull", true),
            ("b", "push", false),
            ("c", "push", false),
            ("d", "pull", false),
        ] {
            assert_eq!(both.covers("repository", name, action), expected, "{action} on {name}");
        }
        assert_eq!(Cap::None.within(&cap(&["repository:a:pull"])), cap(&["repository:a:pull"]));
        assert_eq!(cap(&["repository:a:pull"]).within(&Cap::None), cap(&["repository:a:pull"]));
    }

    #[test]
    fn a_host_port_in_the_name_and_a_class_in_the_type_are_understood() {
        assert!(cap(&["repository:host:5000/a/b:pull"]).covers("repository", "host:5000/a/b", "pull"));
        assert!(cap(&["repository(plugin):a/b:pull"]).covers("repository", "a/b", "pull"));
    }
}
