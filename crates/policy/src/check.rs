//! Whether the words of a statement mean something: types, permissions, variables, values.
//!
//! It knows the tables, not the syntax, and no tenancy: what a statement may name from where it is
//! attached is `compile`'s matter.

use crate::ast::{Action, Comparison, Effect, Form, Rule, Subject, Test, Value};
use crate::catalog::{self, PermissionSet, Word};
use crate::diagnostic::{Diagnostic, Severity, position, shown};
use crate::instant;
use crate::span::{Span, Spanned};
use crate::variables::{self, Kind, Variable};

/// A diagnostic that does not know its line yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) severity: Severity,
    pub(crate) span: Span,
    pub(crate) message: String,
    pub(crate) suggestion: Option<String>,
}

impl Finding {
    pub(crate) fn error(span: Span, message: impl Into<String>) -> Finding {
        Finding { severity: Severity::Error, span, message: message.into(), suggestion: None }
    }

    pub(crate) fn warning(span: Span, message: impl Into<String>) -> Finding {
        Finding { severity: Severity::Warning, ..Finding::error(span, message) }
    }

    pub(crate) fn suggesting(self, suggestion: Option<impl Into<String>>) -> Finding {
        Finding { suggestion: suggestion.map(Into::into), ..self }
    }

    /// With line and column. `text` starts at byte `start` of what spans count in, on line `line`.
    pub(crate) fn placed(self, text: &str, start: usize, line: usize) -> Diagnostic {
        let (line, column) = position(text, line, self.span.start.saturating_sub(start));
        Diagnostic {
            severity: self.severity,
            span: self.span,
            line,
            column,
            message: self.message,
            suggestion: self.suggestion,
        }
    }
}

/// The permissions of the types that an action speaks about; `None` if some are not served.
pub(crate) fn scope(action: &Action) -> Option<PermissionSet> {
    match action {
        Action::Verb(_, resource) => Some(catalog::of_resource(&resource.value))
            .filter(|_| catalog::resource_word(&resource.value) == Word::Served),
        Action::Permissions(names) => {
            let served = |name: &Spanned<String>| catalog::permission(&name.value).is_some();
            let types = names.iter().filter_map(|name| catalog::permission(&name.value));
            let types = types.map(catalog::siblings);
            names.iter().all(served).then(|| types.fold(PermissionSet::default(), PermissionSet::union))
        }
        Action::Associate(_) => None,
    }
}

/// Checks a resource type or family.
pub(crate) fn resource(resource: &Spanned<String>, found: &mut Vec<Finding>) {
    let name = shown(&resource.value);
    match catalog::resource_word(&resource.value) {
        Word::Served => {}
        Word::Foreign => found.push(Finding::warning(
            resource.span,
            format!("`{name}` is a resource type that is not served here: it grants nothing"),
        )),
        Word::Unknown(suggestion) => {
            let message = format!("expected a resource type or family, found `{name}`");
            found.push(Finding::error(resource.span, message).suggesting(suggestion));
        }
    }
}

/// Checks a permission.
pub(crate) fn permission(permission: &Spanned<String>, found: &mut Vec<Finding>) {
    let name = shown(&permission.value);
    match catalog::permission_word(&permission.value) {
        Word::Served => {}
        Word::Foreign => found.push(Finding::warning(
            permission.span,
            format!("`{name}` is a permission that is not served here: it grants nothing"),
        )),
        Word::Unknown(suggestion) => {
            let message = format!("expected a permission, found `{name}`");
            found.push(Finding::error(permission.span, message).suggesting(suggestion));
        }
    }
}

/// Warns of a whole rule, which covers `span`, that does nothing here.
pub(crate) fn rule(rule: &Rule, span: Span, found: &mut Vec<Finding>) {
    let does = match rule.effect {
        Effect::Allow => "grants",
        Effect::Deny => "takes",
    };
    if rule.form != Form::Local {
        let message = format!("no other tenancy can be reached from here: the statement {does} nothing");
        found.push(Finding::warning(span, message));
        return;
    }
    if let Subject::Resource { .. } = rule.subject.value {
        let message = format!("`resource` subjects are not served here: the statement {does} nothing");
        found.push(Finding::warning(rule.subject.span, message));
    }
    if let Subject::DynamicGroup(_) = rule.subject.value {
        let message = format!("dynamic groups have no members here yet: the statement {does} nothing");
        found.push(Finding::warning(rule.subject.span, message));
    }
    if let Action::Verb(_, resource) = &rule.action.value
        && catalog::resource_word(&resource.value) == Word::Served
        && permissions(rule) == PermissionSet::default()
    {
        let action = &rule.action.value;
        let message = format!("`{action}` stands for no permission: the statement {does} nothing");
        found.push(Finding::warning(rule.action.span, message));
    }
}

/// The permissions that a rule gives or takes.
pub(crate) fn permissions(rule: &Rule) -> PermissionSet {
    match (&rule.action.value, rule.effect) {
        (Action::Verb(verb, resource), Effect::Allow) => catalog::granted(*verb, &resource.value),
        (Action::Verb(verb, resource), Effect::Deny) => catalog::denied(*verb, &resource.value),
        (Action::Permissions(names), _) => catalog::named(names.iter().map(|name| name.value.as_str())),
        (Action::Associate(_), _) => PermissionSet::default(),
    }
}

/// Checks a comparison of a rule about `permissions`; `None` if some are not served.
pub(crate) fn comparison(
    comparison: &Comparison,
    permissions: Option<PermissionSet>,
    found: &mut Vec<Finding>,
) {
    let is_absence = comparison.test == Test::Absent;
    let Some(kind) = variable(&comparison.variable, is_absence, permissions, found) else {
        return;
    };
    let wrong_test = |expected: &str| {
        let operator = operator(&comparison.test);
        let message = format!("`{}` knows {expected}, found {operator}", comparison.variable.value);
        Finding::error(comparison.variable.span, message)
    };
    match (kind, &comparison.test) {
        (_, Test::Absent) => {}
        (Kind::Text | Kind::Tag, Test::SetsEqual(_)) => {}
        (Kind::Text | Kind::Tag, Test::Equal(value) | Test::NotEqual(value)) => {
            operand(value, permissions, found);
        }
        (Kind::Tag, Test::In(values) | Test::NotIn(values)) => {
            for value in values {
                operand(value, permissions, found);
            }
        }
        (Kind::Text, Test::In(_) | Test::NotIn(_)) => {
            found.push(wrong_test("`=` and `!=` (join several with `any` or `all`)"));
        }
        (Kind::Text, _) => found.push(wrong_test("`=` and `!=`")),
        (Kind::Tag, _) => found.push(wrong_test("`=`, `!=`, `in` and `not in`")),
        (Kind::Timestamp, Test::Before(time) | Test::After(time)) => timestamp(time, found),
        (Kind::Timestamp, _) => found.push(wrong_test("`before` and `after`")),
        (Kind::TimeOfDay, Test::Between(from, until)) => {
            time_of_day(from, found);
            time_of_day(until, found);
        }
        (Kind::TimeOfDay, _) => found.push(wrong_test("`between … and …`")),
        (_, Test::Equal(value) | Test::NotEqual(value)) => calendar(kind, value, found),
        (_, Test::In(values)) => {
            for value in values {
                calendar(kind, value, found);
            }
        }
        _ => found.push(wrong_test("`=`, `!=` and `in`")),
    }
}

/// The kind of a variable; `None` after reporting when it has none.
fn variable(
    variable: &Spanned<String>,
    is_absence: bool,
    permissions: Option<PermissionSet>,
    found: &mut Vec<Finding>,
) -> Option<Kind> {
    let name = shown(&variable.value);
    let so = if is_absence { "it is always absent" } else { "the comparison is never true" };
    match variables::look_up(&variable.value, permissions) {
        Variable::Known(kind) => return Some(kind),
        Variable::Elsewhere(resource) => found.push(Finding::warning(
            variable.span,
            format!("`{name}` belongs to requests about `{resource}`: {so}"),
        )),
        Variable::Foreign => found.push(Finding::warning(
            variable.span,
            format!("no request here carries `{name}`: {so}"),
        )),
        Variable::BadTag => found.push(Finding::error(
            variable.span,
            format!(
                "expected `<tag namespace>.<tag key>` of letters, digits, `_`, `@`, `-`, `:` at the end, found `{name}`"
            ),
        )),
        Variable::Unknown(suggestion) => {
            let message = format!("expected a variable, found `{name}`");
            found.push(Finding::error(variable.span, message).suggesting(suggestion));
        }
    }
    None
}

fn operand(value: &Spanned<Value>, permissions: Option<PermissionSet>, found: &mut Vec<Finding>) {
    let Value::Variable(name) = &value.value else {
        return;
    };
    if !name.contains('.') {
        let message = format!("expected a text in single quotes, found `{}`", shown(name));
        found.push(Finding::error(value.span, message).suggesting(Some(format!("'{}'", shown(name)))));
        return;
    }
    let right = Spanned::new(name.clone(), value.span);
    let kind = variable(&right, false, permissions, found);
    if kind.is_some_and(|kind| !matches!(kind, Kind::Text | Kind::Tag)) {
        let message = format!("expected a text, found the time `{}`", shown(name));
        found.push(Finding::error(value.span, message));
    }
}

fn operator(test: &Test) -> &'static str {
    match test {
        Test::Equal(_) => "`=`",
        Test::NotEqual(_) => "`!=`",
        Test::In(_) => "`in`",
        Test::NotIn(_) => "`not in`",
        Test::Before(_) => "`before`",
        Test::After(_) => "`after`",
        Test::Between(..) => "`between`",
        Test::SetsEqual(_) => "`sets-equal`",
        Test::Absent => "`!`",
    }
}

fn timestamp(time: &Spanned<String>, found: &mut Vec<Finding>) {
    if instant::parse_timestamp(&time.value).is_none() {
        let message = format!(
            "expected a time such as '2026-04-01T15:00:00Z' or '2026-04-01Z', found '{}'",
            shown(&time.value)
        );
        found.push(Finding::error(time.span, message));
    }
}

fn time_of_day(time: &Spanned<String>, found: &mut Vec<Finding>) {
    if instant::parse_time_of_day(&time.value).is_none() {
        let message =
            format!("expected a time of the day such as '17:00:00Z', found '{}'", shown(&time.value));
        found.push(Finding::error(time.span, message));
    }
}

fn calendar(kind: Kind, value: &Spanned<Value>, found: &mut Vec<Finding>) {
    let (is_valid, expected): (fn(&str) -> bool, _) = match kind {
        Kind::Month => (|text| instant::parse_number(text, 12).is_some(), "a month from '1' to '12'"),
        Kind::DayOfMonth => (|text| instant::parse_number(text, 31).is_some(), "a day from '1' to '31'"),
        _ => (|text| instant::parse_weekday(text).is_some(), "an English day such as 'monday'"),
    };
    let shown = match &value.value {
        Value::Text(text) if is_valid(text) => return,
        Value::Text(text) => format!("'{}'", shown(text)),
        Value::Pattern(pattern) => format!("/{}/", shown(&pattern.0)),
        Value::Variable(name) => format!("`{}`", shown(name)),
    };
    found.push(Finding::error(value.span, format!("expected {expected}, found {shown}")));
}
