//! Trees back to text, in one form: what is printed parses to the same tree.

use std::fmt::{self, Display, Formatter};

use crate::ast::{
    Action, Comparison, Condition, Define, DefineKind, Effect, Form, GroupName, Location, Members, Pattern,
    Rule, Statement, Subject, Tenancy, Test, Value, Verb,
};
use crate::parse::{ESCAPED, is_bare_name};
use crate::span::Spanned;

impl Display for Statement {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Statement::Rule(rule) => rule.fmt(f),
            Statement::Define(define) => define.fmt(f),
        }
    }
}

impl Display for Define {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            DefineKind::Tenancy => "tenancy",
            DefineKind::Group => "group",
            DefineKind::DynamicGroup => "dynamic-group",
            DefineKind::Compartment => "compartment",
        };
        write!(f, "Define {kind} {} as {}", Name(&self.name.value), self.id.value)
    }
}

impl Display for Rule {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match (self.effect, &self.form) {
            (Effect::Allow, Form::Local) => "Allow ",
            (Effect::Deny, Form::Local) => "Deny ",
            (Effect::Allow, Form::Endorse) => "Endorse ",
            (Effect::Deny, Form::Endorse) => "Deny Endorse ",
            (Effect::Allow, Form::Admit(_)) => "Admit ",
            (Effect::Deny, Form::Admit(_)) => "Deny Admit ",
        })?;
        self.subject.value.fmt(f)?;
        if let Form::Admit(tenancy) = &self.form {
            write!(f, " of {}", tenancy.value)?;
        }
        write!(f, " to {} in {}", self.action.value, self.location.value)?;
        if let Some(with) = &self.with {
            write!(f, " with {} in {}", with.resource.value, with.location.value)?;
        }
        if let Some(condition) = &self.condition {
            write!(f, " where {}", condition.value)?;
        }
        Ok(())
    }
}

impl Display for Subject {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Subject::AnyUser => f.write_str("any-user"),
            Subject::AnyGroup => f.write_str("any-group"),
            Subject::Group(members) => write!(f, "group {members}"),
            Subject::DynamicGroup(members) => write!(f, "dynamic-group {members}"),
            Subject::Service(names) => {
                f.write_str("service ")?;
                separated(f, names, |f, name| Name(name).fmt(f))
            }
            Subject::Resource { kind, names } => {
                write!(f, "resource {} ", Name(&kind.value))?;
                separated(f, names, |f, name| Name(name).fmt(f))
            }
        }
    }
}

impl Display for Members {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Members::Names(names) => separated(f, names, |f, name| name.fmt(f)),
            Members::Ids(ids) => separated(f, ids, |f, id| write!(f, "id {id}")),
        }
    }
}

impl Display for GroupName {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if let Some(domain) = &self.domain {
            write!(f, "{}/", Name(domain))?;
        }
        Name(&self.name).fmt(f)
    }
}

impl Display for Tenancy {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Tenancy::Any => f.write_str("any-tenancy"),
            Tenancy::Defined(name) => write!(f, "tenancy {}", Name(name)),
        }
    }
}

impl Display for Verb {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Display for Action {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Action::Verb(verb, resource) => write!(f, "{verb} {}", resource.value),
            Action::Associate(resource) => write!(f, "associate {}", resource.value),
            Action::Permissions(names) => {
                f.write_str("{")?;
                separated(f, names, |f, name| f.write_str(name))?;
                f.write_str("}")
            }
        }
    }
}

impl Display for Location {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Location::Tenancy => f.write_str("tenancy"),
            Location::Id(id) => write!(f, "compartment id {id}"),
            Location::Foreign(tenancy) => tenancy.fmt(f),
            Location::Path(path) => {
                f.write_str("compartment ")?;
                for (index, name) in path.iter().enumerate() {
                    f.write_str(if index == 0 { "" } else { ":" })?;
                    Name(name).fmt(f)?;
                }
                Ok(())
            }
        }
    }
}

impl Display for Condition {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (word, parts) = match self {
            Condition::Comparison(comparison) => return comparison.fmt(f),
            Condition::All(parts) => ("all", parts),
            Condition::Any(parts) => ("any", parts),
        };
        write!(f, "{word} {{")?;
        separated(f, parts, |f, part| part.fmt(f))?;
        f.write_str("}")
    }
}

impl Display for Comparison {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let variable = &self.variable.value;
        match &self.test {
            Test::Equal(value) => write!(f, "{variable} = {}", value.value),
            Test::NotEqual(value) => write!(f, "{variable} != {}", value.value),
            Test::Before(time) => write!(f, "{variable} before '{}'", time.value),
            Test::After(time) => write!(f, "{variable} after '{}'", time.value),
            Test::Between(from, until) => {
                write!(f, "{variable} between '{}' and '{}'", from.value, until.value)
            }
            Test::Absent => write!(f, "!{variable}"),
            Test::In(values) | Test::NotIn(values) => {
                let not = if matches!(self.test, Test::NotIn(_)) { "not " } else { "" };
                write!(f, "{variable} {not}in (")?;
                separated(f, values, |f, value| value.fmt(f))?;
                f.write_str(")")
            }
            Test::SetsEqual(texts) => {
                write!(f, "sets-equal({variable}, ")?;
                separated(f, texts, |f, text| write!(f, "'{text}'"))?;
                f.write_str(")")
            }
        }
    }
}

impl Display for Value {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Value::Text(text) => write!(f, "'{text}'"),
            Value::Pattern(pattern) => pattern.fmt(f),
            Value::Variable(name) => f.write_str(name),
        }
    }
}

impl Display for Pattern {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("/")?;
        for character in self.0.chars() {
            if ESCAPED.contains(&character) {
                f.write_str("\\")?;
            }
            write!(f, "{character}")?;
        }
        f.write_str("/")
    }
}

/// A name, in quotes where it needs them.
struct Name<'n>(&'n str);

impl Display for Name<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if is_bare_name(self.0) {
            return f.write_str(self.0);
        }
        write!(f, "'{}'", self.0)
    }
}

fn separated<T>(
    f: &mut Formatter<'_>,
    items: &[Spanned<T>],
    item: impl Fn(&mut Formatter<'_>, &T) -> fmt::Result,
) -> fmt::Result {
    for (index, Spanned { value, .. }) in items.iter().enumerate() {
        f.write_str(if index == 0 { "" } else { ", " })?;
        item(f, value)?;
    }
    Ok(())
}
