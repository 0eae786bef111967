//! Decisions and rights, as `admin explain` and `admin rights` say them to people.

use serde_json::Value;

use crate::output;

fn word(value: &Value, field: &str) -> String {
    value.get(field).map_or_else(String::new, output::cell)
}

fn list<'a>(value: &'a Value, field: &str) -> impl Iterator<Item = &'a Value> {
    value.get(field).and_then(Value::as_array).into_iter().flatten()
}

/// A decision on one line; below it, indented, what nearly gave the permission and the notes.
pub(crate) fn decision(user: &str, permission: &str, explained: &Value) -> String {
    let permission = permission.to_ascii_uppercase();
    let is_allowed = explained.get("allowed") == Some(&Value::Bool(true));
    let (policy, statement) = (word(explained, "policy"), word(explained, "statement"));
    let missing = explained.get("missing").filter(|missing| !missing.is_null());
    let place = missing.map(|missing| format!(" in {}", word(missing, "compartment"))).unwrap_or_default();
    let reason = match (is_allowed, policy.is_empty()) {
        (true, true) => format!("{permission} needs no statement"),
        (true, false) => format!("{permission} is granted by policy `{policy}`: {statement}"),
        (false, false) => format!("{permission}{place} is denied by policy `{policy}`: {statement}"),
        (false, true) if missing.is_some() => format!("no statement grants {permission}{place}"),
        (false, true) => format!("{permission} is refused"),
    };
    let mut lines = vec![format!("{}: {user}: {reason}", if is_allowed { "allowed" } else { "denied" })];
    lines.extend(list(explained, "nearest").map(|near| {
        let [index, policy, clause, text] =
            ["index", "policy", "clause", "text"].map(|field| word(near, field));
        format!("  statement {index} of policy `{policy}` fails at its {clause} `{text}`")
    }));
    lines.extend(list(explained, "notes").map(|note| format!("  note: {}", output::cell(note))));
    lines.join("\n")
}

/// A line for each right, and below it, indented, when it holds and the statement it comes from.
pub(crate) fn rights(rights: &Value) -> String {
    let lines: Vec<String> = rights.as_array().into_iter().flatten().flat_map(right).collect();
    if lines.is_empty() { "(none)".to_owned() } else { lines.join("\n") }
}

fn right(right: &Value) -> Vec<String> {
    let [effect, subject, compartment, condition, policy, index, statement] =
        ["effect", "subject", "compartment", "condition", "policy", "index", "statement"]
            .map(|field| word(right, field));
    let permissions: Vec<String> = list(right, "permissions").map(output::cell).collect();
    let mut lines = vec![format!("{effect} {subject} in {compartment}: {}", permissions.join(" "))];
    if !condition.is_empty() {
        lines.push(format!("  where {condition}"));
    }
    lines.push(match policy.is_empty() {
        true => "  because the repository is public".to_owned(),
        false => format!("  statement {index} of policy `{policy}`: {statement}"),
    });
    lines
}
