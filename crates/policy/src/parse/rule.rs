//! A whole statement, clause by clause.

use super::subject::SUBJECTS;
use super::{OPENINGS, Parser};
use crate::ast::{Action, Define, DefineKind, Effect, Form, Location, Rule, Statement, Tenancy, Verb, With};
use crate::check::{self, Finding};
use crate::diagnostic::shown;
use crate::lexer::TokenKind;
use crate::span::{Span, Spanned};

const VERBS: [&str; 5] = ["inspect", "read", "use", "manage", "associate"];
const LOCATIONS: [&str; 3] = ["tenancy", "compartment", "any-tenancy"];

impl Parser<'_> {
    /// Reads the statement, which covers `span`.
    pub(super) fn statement(&mut self, span: Span) -> Option<Statement> {
        let expected = "`Allow`, `Deny`, `Define`, `Endorse` or `Admit`";
        let opening = self.choose(expected, &OPENINGS).or_else(|| {
            // Another word in its place: the rest is read as what it is most likely meant to be.
            self.bump();
            let is_rule = SUBJECTS.iter().any(|word| self.at_word(word));
            is_rule.then_some("Allow")
        })?;
        let (effect, opening) = match opening {
            "Deny" if self.eat_word("endorse") => (Effect::Deny, "Endorse"),
            "Deny" if self.eat_word("admit") => (Effect::Deny, "Admit"),
            "Deny" => (Effect::Deny, "Allow"),
            opening => (Effect::Allow, opening),
        };
        if opening == "Define" {
            let define = self.define();
            self.end("the end of the statement", &[]);
            return define.map(Statement::Define);
        }
        let rule = self.rule(effect, opening)?;
        self.check(|found| check::rule(&rule, span, found));
        Some(Statement::Rule(Box::new(rule)))
    }

    fn define(&mut self) -> Option<Define> {
        let kinds = ["tenancy", "group", "dynamic-group", "compartment"];
        let kind = self.choose("`tenancy`, `group`, `dynamic-group` or `compartment`", &kinds);
        let name = kind.and_then(|_| self.name("a name"));
        if !self.clause("as", &[], &[]) {
            return None;
        }
        let id = self.ocid();
        let kind = match kind? {
            "tenancy" => DefineKind::Tenancy,
            "group" => DefineKind::Group,
            "dynamic-group" => DefineKind::DynamicGroup,
            _ => DefineKind::Compartment,
        };
        Some(Define { kind, name: name?, id: id? })
    }

    /// Reads what follows the opening. Every clause is read, whatever became of the one before it.
    fn rule(&mut self, effect: Effect, opening: &str) -> Option<Rule> {
        let crosses_border = opening != "Allow";
        let subject = self.subject();
        let form = match opening {
            "Allow" => Some(Form::Local),
            "Endorse" => Some(Form::Endorse),
            _ => {
                if !self.clause("of", &["to", "in", "where"], &["tenancy", "any-tenancy"]) {
                    return None;
                }
                self.other_tenancy().map(Form::Admit)
            }
        };
        // Oracle Cloud takes `Endorse <subject> {PERMISSION, …}` without `to`.
        let goes_without_to = opening == "Endorse" && self.at(TokenKind::LeftBrace);
        if !goes_without_to && !self.clause("to", &["in", "where"], &VERBS) {
            return None;
        }
        let action = self.action(crosses_border);
        if !self.clause("in", &["where"], &LOCATIONS) {
            return None;
        }
        let associates = matches!(&action, Some(Spanned { value: Action::Associate(_), .. }));
        let may_leave = opening == "Endorse" || associates;
        let location = self.location(may_leave);
        if let (Some(place), "Endorse", false) = (&location, opening, associates)
            && !matches!(place.value, Location::Foreign(_))
        {
            let found = shown(place.span.text(self.lexer.source()));
            let message =
                format!("expected another tenancy (`any-tenancy` or `tenancy <name>`), found `{found}`");
            self.report(Finding::error(place.span, message));
        }
        let with = if associates { Some(self.with()) } else { None };
        let condition = if self.at(TokenKind::End) {
            None
        } else if self.end("`where` or the end of the statement", &["where"]) {
            self.scope = action.as_ref().and_then(|action| check::scope(&action.value));
            let condition = self.condition(0);
            self.end("the end of the statement", &[]);
            Some(condition)
        } else {
            None
        };
        Some(Rule {
            effect,
            form: form?,
            subject: subject?,
            action: action?,
            location: location?,
            with: with.map_or(Some(None), |with| with.map(Some))?,
            condition: condition.map_or(Some(None), |condition| condition.map(Some))?,
        })
    }

    /// Reports what is left of the statement, unless it is one of `words`, which is read: then true.
    fn end(&mut self, expected: &str, words: &[&str]) -> bool {
        if self.at(TokenKind::End) {
            return false;
        }
        if OPENINGS.iter().any(|opening| self.at_word(opening)) {
            let message = format!(
                "expected {expected}, found `{}`: the next statement starts on a line of its own",
                self.text()
            );
            self.report(Finding::error(self.token.span, message));
            return false;
        }
        if words.iter().any(|word| self.eat_word(word)) {
            return true;
        }
        let is_slip = self.unexpected(expected, words).is_some();
        if is_slip {
            self.bump();
        }
        is_slip
    }

    fn action(&mut self, crosses_border: bool) -> Option<Spanned<Action>> {
        let start = self.token.span;
        if self.eat(TokenKind::LeftBrace) {
            let names = self.list(Self::permission);
            if !self.eat(TokenKind::RightBrace) {
                self.unexpected("`,` or `}`", &[]);
                return None;
            }
            return Some(Spanned::new(Action::Permissions(names?), start.to(self.previous)));
        }
        let (expected, verbs) = if crosses_border {
            ("a verb (`inspect`, `read`, `use`, `manage`, `associate`)", VERBS.as_slice())
        } else {
            let local = VERBS.get(..4).unwrap_or_default();
            ("a verb (`inspect`, `read`, `use`, `manage`)", local)
        };
        let verb = self.choose(expected, verbs);
        if verb.is_none() && self.at(TokenKind::Word) && !self.at_reserved() {
            self.bump();
        }
        if verb.is_none() && self.at_word("in") {
            return None;
        }
        let resource = self.resource()?;
        let action = match verb? {
            "inspect" => Action::Verb(Verb::Inspect, resource),
            "read" => Action::Verb(Verb::Read, resource),
            "use" => Action::Verb(Verb::Use, resource),
            "manage" => Action::Verb(Verb::Manage, resource),
            _ => Action::Associate(resource),
        };
        Some(Spanned::new(action, start.to(self.previous)))
    }

    fn permission(&mut self) -> Option<Spanned<String>> {
        if !self.at(TokenKind::Word) {
            self.unexpected("a permission", &[]);
            return None;
        }
        let name = Spanned::new(self.text().to_ascii_uppercase(), self.token.span);
        self.check(|found| check::permission(&name, found));
        self.bump();
        Some(name)
    }

    fn resource(&mut self) -> Option<Spanned<String>> {
        if !self.at(TokenKind::Word) || self.at_reserved() {
            self.unexpected("a resource type or family", &[]);
            return None;
        }
        let resource = Spanned::new(self.text().to_ascii_lowercase(), self.token.span);
        self.check(|found| check::resource(&resource, found));
        self.bump();
        Some(resource)
    }

    /// Reads a location; one outside the tenancy only if the rule `may_leave` it.
    fn location(&mut self, may_leave: bool) -> Option<Spanned<Location>> {
        let start = self.token.span;
        let word = if may_leave {
            self.choose("`tenancy`, `any-tenancy` or `compartment`", &LOCATIONS)?
        } else {
            self.choose("`tenancy` or `compartment`", &["tenancy", "compartment"])?
        };
        let location = match word {
            "any-tenancy" => Location::Foreign(Tenancy::Any),
            "compartment" if self.eat_word("id") => Location::Id(self.ocid()?.value),
            "compartment" => Location::Path(self.path()?),
            _ => {
                let is_named = matches!(self.token.kind, TokenKind::Word | TokenKind::Quoted);
                if may_leave && is_named && !self.at_reserved() {
                    let name = self.name("the name that a `Define` gave the tenancy")?;
                    Location::Foreign(Tenancy::Defined(name.value))
                } else {
                    Location::Tenancy
                }
            }
        };
        Some(Spanned::new(location, start.to(self.previous)))
    }

    fn path(&mut self) -> Option<Vec<String>> {
        let mut path = Vec::new();
        loop {
            path.push(self.name("a compartment name")?.value);
            if !self.eat(TokenKind::Colon) {
                return Some(path);
            }
        }
    }

    fn with(&mut self) -> Option<With> {
        if !self.clause("with", &["where"], &[]) {
            return None;
        }
        let resource = self.resource();
        if !self.clause("in", &["where"], &LOCATIONS) {
            return None;
        }
        let location = self.location(true);
        Some(With { resource: resource?, location: location? })
    }
}
