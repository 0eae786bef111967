//! The variables a condition may ask about, and which comparisons each of them knows.

use crate::catalog::{self, PermissionSet};
use crate::diagnostic;

/// What a variable holds, which decides the comparisons it knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A text or a list of texts: `=`, `!=`.
    Text,
    /// The values of a tag: `=`, `!=`, `in`, `not in`; `'*'` is any value.
    Tag,
    /// A point in time: `before`, `after`.
    Timestamp,
    /// `1` to `12`: `=`, `!=`, `in`.
    Month,
    /// `1` to `31`: `=`, `!=`, `in`.
    DayOfMonth,
    /// An English name: `=`, `!=`, `in`.
    DayOfWeek,
    /// A time of the day: `between`.
    TimeOfDay,
}

/// What is known of a variable's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Variable {
    /// Requests may carry it.
    Known(Kind),
    /// Requests about other types than the rule's carry it.
    Elsewhere(&'static str),
    /// Oracle Cloud has it or may have it; no request here carries it.
    Foreign,
    /// The name of a tag is not `<namespace>.<key>` in the characters that a condition can hold.
    BadTag,
    /// Nobody has it; perhaps the other one was meant.
    Unknown(Option<&'static str>),
}

/// Name, kind, and the resource types whose requests carry it (none named: all of them).
const VARIABLES: &[(&str, Kind, &[&str])] = &[
    ("request.user.id", Kind::Text, &[]),
    ("request.user.name", Kind::Text, &[]),
    ("request.groups.id", Kind::Text, &[]),
    ("request.permission", Kind::Text, &[]),
    ("request.operation", Kind::Text, &[]),
    ("request.networkSource.name", Kind::Text, &[]),
    ("request.region", Kind::Text, &[]),
    ("request.ad", Kind::Text, &[]),
    ("request.principal.type", Kind::Text, &[]),
    ("request.principal.id", Kind::Text, &[]),
    ("request.utc-timestamp", Kind::Timestamp, &[]),
    ("request.utc-timestamp.month-of-year", Kind::Month, &[]),
    ("request.utc-timestamp.day-of-month", Kind::DayOfMonth, &[]),
    ("request.utc-timestamp.day-of-week", Kind::DayOfWeek, &[]),
    ("request.utc-timestamp.time-of-day", Kind::TimeOfDay, &[]),
    ("target.compartment.id", Kind::Text, &[]),
    ("target.compartment.name", Kind::Text, &[]),
    ("target.repo.name", Kind::Text, &["repos"]),
    ("target.user.id", Kind::Text, &["users", "groups"]),
    ("target.user.name", Kind::Text, &["users", "groups"]),
    ("target.group.id", Kind::Text, &["groups", "users"]),
    ("target.group.name", Kind::Text, &["groups", "users"]),
    ("target.dynamic-group.id", Kind::Text, &["dynamic-groups"]),
    ("target.dynamic-group.name", Kind::Text, &["dynamic-groups"]),
    ("target.network-source.id", Kind::Text, &["network-sources"]),
    ("target.network-source.name", Kind::Text, &["network-sources"]),
    ("target.policy.id", Kind::Text, &["policies"]),
    ("target.policy.name", Kind::Text, &["policies"]),
    ("target.policy.type", Kind::Text, &["policies"]),
    ("target.tag-namespace.id", Kind::Text, &["tag-namespaces"]),
    ("target.tag-namespace.name", Kind::Text, &["tag-namespaces"]),
];

/// What the name of a tag variable begins with.
const TAG_PREFIXES: &[&str] = &[
    "target.resource.tag.",
    "target.resource.compartment.tag.",
    "request.principal.group.tag.",
    "request.principal.compartment.tag.",
];

/// Names of Oracle Cloud that no request here carries.
const FOREIGN_PREFIXES: &[&str] =
    &["request.principal.", "request.resource.", "request.user.mfaTotpVerified"];

/// `name` behind `prefix`, in any case.
pub(crate) fn strip_prefix<'n>(name: &'n str, prefix: &str) -> Option<&'n str> {
    let start = name.get(..prefix.len())?;
    let rest = name.get(prefix.len()..)?;
    start.eq_ignore_ascii_case(prefix).then_some(rest)
}

/// Looks a variable up for a rule about `permissions`; `None` when the rule is about types that are
/// not served.
pub(crate) fn look_up(name: &str, permissions: Option<PermissionSet>) -> Variable {
    if let Some((_, kind, types)) = VARIABLES.iter().find(|(known, ..)| known.eq_ignore_ascii_case(name)) {
        let carries =
            |resource: &&str| permissions.is_none_or(|set| set.intersects(catalog::of_resource(resource)));
        return match types.first() {
            Some(first) if !types.iter().any(carries) => Variable::Elsewhere(first),
            _ => Variable::Known(*kind),
        };
    }
    if let Some(tag) = TAG_PREFIXES.iter().find_map(|prefix| strip_prefix(name, prefix)) {
        let is_part = |part: &str| {
            !part.is_empty()
                && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_@-:".contains(&byte))
        };
        let is_tag = tag.split('.').count() == 2 && tag.split('.').all(is_part);
        return if is_tag { Variable::Known(Kind::Tag) } else { Variable::BadTag };
    }
    if FOREIGN_PREFIXES.iter().any(|prefix| strip_prefix(name, prefix).is_some()) {
        return Variable::Foreign;
    }
    let suggestion = diagnostic::nearest(name, VARIABLES.iter().map(|(known, ..)| *known));
    let everything = catalog::of_resource(catalog::ALL_RESOURCES);
    let may_be_foreign = permissions.is_none_or(|set| set == everything);
    if suggestion.is_none() && may_be_foreign && strip_prefix(name, "target.").is_some() {
        return Variable::Foreign;
    }
    Variable::Unknown(suggestion)
}
