//! Conditions made ready for evaluation, and their evaluation.
//!
//! A comparison of a variable that the request does not carry is false, whatever the comparison; only
//! `!variable` is then true. Texts compare without regard to case.

use std::borrow::Cow;

use jiff::civil::{DateTime, Time};

use crate::ast::{self, Comparison, Value};
use crate::instant;
use crate::request::{Group, PrincipalKind, Request};
use crate::span::{Span, Spanned};
use crate::tree::{CompartmentTree, Node};
use crate::variables::strip_prefix;

/// A condition; a part is where it was written, to name the one that failed.
#[derive(Debug, Clone)]
pub(crate) enum Condition {
    All(Vec<Condition>),
    Any(Vec<Condition>, Span),
    Test(Test, Span),
}

#[derive(Debug, Clone)]
pub(crate) enum Test {
    Equal(Variable, Matcher),
    NotEqual(Variable, Matcher),
    In(Variable, Vec<Matcher>),
    NotIn(Variable, Vec<Matcher>),
    SetsEqual(Variable, Vec<String>),
    Absent(Variable),
    Before(DateTime),
    After(DateTime),
    /// Both ends belong to it, with all of their second; it runs over midnight when the first is the greater.
    Between(Time, Time),
    Month(Vec<i8>, bool),
    DayOfMonth(Vec<i8>, bool),
    DayOfWeek(Vec<i8>, bool),
}

#[derive(Debug, Clone)]
pub(crate) enum Variable {
    UserId,
    UserName,
    GroupIds,
    Permission,
    PrincipalType,
    PrincipalId,
    CompartmentId,
    CompartmentName,
    /// A tag, `<namespace>.<key>`, of the target's compartment or one above it.
    CompartmentTag(String),
    Time,
    Attribute(String),
}

#[derive(Debug, Clone)]
pub(crate) enum Matcher {
    /// In lower case.
    Text(String),
    /// What stands between the `*`, in lower case.
    Pattern(Vec<String>),
    /// Any value at all.
    Anything,
    Variable(Variable),
}

/// What conditions are evaluated against.
#[derive(Clone, Copy)]
pub(crate) struct Context<'a> {
    pub(crate) request: &'a Request<'a>,
    pub(crate) tree: &'a CompartmentTree,
    pub(crate) compartment: Node,
}

impl Condition {
    /// Makes a checked condition ready; `None` for one that the checks refuse.
    pub(crate) fn compile(condition: &Spanned<ast::Condition>) -> Option<Condition> {
        let parts = |parts: &[Spanned<ast::Condition>]| -> Option<Vec<Condition>> {
            parts.iter().map(Condition::compile).collect()
        };
        Some(match &condition.value {
            ast::Condition::All(all) => Condition::All(parts(all)?),
            ast::Condition::Any(any) => Condition::Any(parts(any)?, condition.span),
            ast::Condition::Comparison(comparison) => {
                Condition::Test(compile_test(comparison)?, condition.span)
            }
        })
    }

    /// Whether the condition holds; if not, the part at which it failed.
    pub(crate) fn holds(&self, context: Context<'_>) -> Result<(), Span> {
        match self {
            Condition::All(parts) => parts.iter().try_for_each(|part| part.holds(context)),
            Condition::Any(parts, span) => {
                let holds = parts.iter().any(|part| part.holds(context).is_ok());
                if holds { Ok(()) } else { Err(*span) }
            }
            Condition::Test(test, span) => {
                if test.holds(context) {
                    Ok(())
                } else {
                    Err(*span)
                }
            }
        }
    }
}

fn compile_test(comparison: &Comparison) -> Option<Test> {
    let name = comparison.variable.value.as_str();
    let is = |part: &str| {
        strip_prefix(name, "request.utc-timestamp").is_some_and(|rest| rest.eq_ignore_ascii_case(part))
    };
    let is_number = is(".month-of-year") || is(".day-of-month") || is(".day-of-week");
    if is_number && !matches!(comparison.test, ast::Test::Absent) {
        let (values, negated) = match &comparison.test {
            ast::Test::Equal(value) => (std::slice::from_ref(value), false),
            ast::Test::NotEqual(value) => (std::slice::from_ref(value), true),
            ast::Test::In(values) => (values.as_slice(), false),
            _ => return None,
        };
        let numbers = |parse: fn(&str) -> Option<i8>| -> Option<Vec<i8>> {
            let number = |value: &Spanned<Value>| match &value.value {
                Value::Text(text) => parse(text),
                _ => None,
            };
            values.iter().map(number).collect()
        };
        return Some(if is(".month-of-year") {
            Test::Month(numbers(|text| instant::parse_number(text, 12))?, negated)
        } else if is(".day-of-month") {
            Test::DayOfMonth(numbers(|text| instant::parse_number(text, 31))?, negated)
        } else {
            Test::DayOfWeek(numbers(instant::parse_weekday)?, negated)
        });
    }
    let variable = Variable::named(name);
    let is_tag = name.to_ascii_lowercase().contains(".tag.");
    let matcher = |value: &Spanned<Value>| Matcher::compile(&value.value, is_tag);
    let matchers = |values: &[Spanned<Value>]| values.iter().map(matcher).collect();
    Some(match &comparison.test {
        ast::Test::Equal(value) => Test::Equal(variable, matcher(value)),
        ast::Test::NotEqual(value) => Test::NotEqual(variable, matcher(value)),
        ast::Test::In(values) => Test::In(variable, matchers(values)),
        ast::Test::NotIn(values) => Test::NotIn(variable, matchers(values)),
        ast::Test::SetsEqual(texts) => {
            let texts = texts.iter().map(|text| fold(&text.value).into_owned());
            Test::SetsEqual(variable, texts.collect())
        }
        ast::Test::Absent => Test::Absent(variable),
        ast::Test::Before(time) => Test::Before(instant::parse_timestamp(&time.value)?),
        ast::Test::After(time) => Test::After(instant::parse_timestamp(&time.value)?),
        ast::Test::Between(from, until) => {
            Test::Between(instant::parse_time_of_day(&from.value)?, instant::parse_time_of_day(&until.value)?)
        }
    })
}

impl Test {
    fn holds(&self, context: Context<'_>) -> bool {
        let now = || instant::utc(context.request.time);
        match self {
            Test::Absent(variable) => variable.values(context).is_none(),
            Test::Equal(variable, matcher) => {
                let values = variable.values(context);
                values.and_then(|values| values.equal(matcher, context)) == Some(true)
            }
            Test::NotEqual(variable, matcher) => {
                let values = variable.values(context);
                values.and_then(|values| values.equal(matcher, context)) == Some(false)
            }
            Test::In(variable, matchers) => variable.values(context).is_some_and(|values| {
                matchers.iter().any(|matcher| values.equal(matcher, context) == Some(true))
            }),
            Test::NotIn(variable, matchers) => variable.values(context).is_some_and(|values| {
                matchers.iter().all(|matcher| values.equal(matcher, context) == Some(false))
            }),
            Test::SetsEqual(variable, texts) => variable.values(context).is_some_and(|values| {
                let is_named = |value: &str| texts.contains(&fold(value).into_owned());
                let is_held = |text: &String| values.any(&mut |value| fold(value) == *text);
                !values.any(&mut |value| !is_named(value)) && texts.iter().all(is_held)
            }),
            Test::Before(time) => now() < *time,
            Test::After(time) => now() > *time,
            Test::Between(from, until) => {
                let now = now().time();
                let now = now.with().subsec_nanosecond(0).build().unwrap_or(now);
                if from <= until { (from..=until).contains(&&now) } else { now >= *from || now <= *until }
            }
            Test::Month(months, negated) => months.contains(&now().month()) != *negated,
            Test::DayOfMonth(days, negated) => days.contains(&now().day()) != *negated,
            Test::DayOfWeek(days, negated) => {
                days.contains(&now().weekday().to_monday_zero_offset()) != *negated
            }
        }
    }
}

impl Variable {
    fn named(name: &str) -> Variable {
        if let Some(tag) = strip_prefix(name, "target.resource.compartment.tag.") {
            return Variable::CompartmentTag(tag.to_owned());
        }
        if strip_prefix(name, "request.utc-timestamp").is_some() {
            return Variable::Time;
        }
        match name.to_ascii_lowercase().as_str() {
            "request.user.id" => Variable::UserId,
            "request.user.name" => Variable::UserName,
            "request.groups.id" => Variable::GroupIds,
            "request.permission" => Variable::Permission,
            "request.principal.type" => Variable::PrincipalType,
            "request.principal.id" => Variable::PrincipalId,
            "target.compartment.id" => Variable::CompartmentId,
            "target.compartment.name" => Variable::CompartmentName,
            _ => Variable::Attribute(name.to_owned()),
        }
    }

    /// The values that the request has for it; `None` if it has no such variable.
    fn values<'a>(&'a self, context: Context<'a>) -> Option<Values<'a>> {
        let request = context.request;
        let principal = request.principal;
        let user = Some(principal).filter(|principal| principal.kind == PrincipalKind::User);
        let id = principal.id.as_ref();
        let compartment = context.tree.compartment(context.compartment);
        match self {
            Variable::UserId => user.and(id).map(|id| Values::One(id.as_str())),
            Variable::UserName => user.map(|user| Values::One(&user.name)),
            Variable::GroupIds => user.map(|user| Values::Groups(&user.groups)),
            Variable::Permission => Some(Values::One(request.permission)),
            Variable::PrincipalType => Some(Values::One(principal.kind.as_str())),
            Variable::PrincipalId => id.map(|id| Values::One(id.as_str())),
            Variable::CompartmentId => Some(Values::One(request.compartment.as_str())),
            Variable::CompartmentName => compartment.map(|compartment| Values::One(&compartment.name)),
            Variable::CompartmentTag(tag) => {
                let values = Values::CompartmentTag(context, tag);
                values.any(&mut |_| true).then_some(values)
            }
            // Compared by tests of its own; here it only counts that every request has it.
            Variable::Time => Some(Values::Many(&[])),
            Variable::Attribute(name) => {
                let is_named = |attribute: &&crate::Attribute<'a>| attribute.name.eq_ignore_ascii_case(name);
                let attribute = request.attributes.iter().find(is_named)?;
                Some(Values::Many(attribute.values))
            }
        }
    }
}

#[derive(Clone, Copy)]
enum Values<'a> {
    One(&'a str),
    Many(&'a [&'a str]),
    Groups(&'a [Group]),
    CompartmentTag(Context<'a>, &'a str),
}

impl Values<'_> {
    /// Whether `test` is true of any value.
    fn any(&self, test: &mut dyn FnMut(&str) -> bool) -> bool {
        match self {
            Values::One(value) => test(value),
            Values::Many(values) => values.iter().any(|value| test(value)),
            Values::Groups(groups) => groups.iter().any(|group| test(group.id.as_str())),
            Values::CompartmentTag(context, wanted) => {
                let path = context.tree.upward(context.compartment);
                let mut tags = path
                    .filter_map(|node| context.tree.compartment(node))
                    .flat_map(|compartment| &compartment.tags);
                tags.any(|(tag, value)| tag.eq_ignore_ascii_case(wanted) && test(value))
            }
        }
    }

    /// Whether any value matches. Against a variable: whether one side holds all values of the other.
    /// `None` if that variable is not in the request.
    fn equal(&self, matcher: &Matcher, context: Context<'_>) -> Option<bool> {
        let Matcher::Variable(variable) = matcher else {
            return Some(self.any(&mut |value| matcher.matches(value)));
        };
        let other = variable.values(context)?;
        Some(self.is_subset(&other) || other.is_subset(self))
    }

    /// Nothing is a subset of anything, so that an empty list never grants.
    fn is_subset(&self, other: &Values<'_>) -> bool {
        let is_empty = !self.any(&mut |_| true);
        let is_held = |value: &str| other.any(&mut |held| fold(held) == fold(value));
        !is_empty && !self.any(&mut |value| !is_held(value))
    }
}

impl Matcher {
    fn compile(value: &Value, is_tag: bool) -> Matcher {
        match value {
            Value::Text(text) if is_tag && text == "*" => Matcher::Anything,
            Value::Text(text) => Matcher::Text(fold(text).into_owned()),
            Value::Pattern(pattern) => {
                Matcher::Pattern(fold(&pattern.0).split('*').map(str::to_owned).collect())
            }
            Value::Variable(name) => Matcher::Variable(Variable::named(name)),
        }
    }

    fn matches(&self, value: &str) -> bool {
        let value = fold(value);
        match self {
            Matcher::Anything => true,
            Matcher::Text(text) => value == *text,
            Matcher::Pattern(parts) => matches_pattern(parts, &value),
            Matcher::Variable(_) => false,
        }
    }
}

/// Whether `value` is the first part, then the others in order with anything between, the last at the
/// end. Taking each part at its first place is enough, so the work is linear in the value.
fn matches_pattern(parts: &[String], value: &str) -> bool {
    let (first, middle, last) = match parts {
        [] => return false,
        [only] => return value == only,
        [first, middle @ .., last] => (first, middle, last),
    };
    let Some(mut rest) = value.strip_prefix(first.as_str()) else {
        return false;
    };
    for part in middle {
        match rest.split_once(part.as_str()) {
            Some((_, behind)) => rest = behind,
            None => return false,
        }
    }
    rest.ends_with(last.as_str())
}

/// `text` in lower case, character by character.
fn fold(text: &str) -> Cow<'_, str> {
    if text.bytes().all(|byte| byte.is_ascii() && !byte.is_ascii_uppercase()) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.chars().flat_map(char::to_lowercase).collect())
}
