//! Who a statement is about.

use super::Parser;
use crate::ast::{GroupName, Members, Subject, Tenancy};
use crate::check::Finding;
use crate::lexer::TokenKind;
use crate::span::Spanned;

pub(super) const SUBJECTS: [&str; 6] =
    ["any-user", "any-group", "group", "dynamic-group", "service", "resource"];

impl Parser<'_> {
    pub(super) fn subject(&mut self) -> Option<Spanned<Subject>> {
        let start = self.token.span;
        if self.at_word("user") || self.at_word("users") {
            let message = format!(
                "expected `group`, found `{}`: one user is `any-user … where request.user.id = '<ocid>'`",
                self.text()
            );
            self.report(Finding::error(start, message));
            return None;
        }
        let expected = "`group`, `dynamic-group`, `any-group`, `any-user`, `service` or `resource`";
        let subject = match self.choose(expected, &SUBJECTS)? {
            "any-user" => Subject::AnyUser,
            "any-group" => Subject::AnyGroup,
            "group" => Subject::Group(self.members("a group name")?),
            "dynamic-group" => Subject::DynamicGroup(self.members("a dynamic group name")?),
            "service" => Subject::Service(self.list(|parser| parser.name("a service name"))?),
            _ => Subject::Resource {
                kind: self.name("a resource type")?,
                names: self.list(|parser| parser.name("a resource name"))?,
            },
        };
        Some(Spanned::new(subject, start.to(self.previous)))
    }

    fn members(&mut self, what: &str) -> Option<Members> {
        if !self.at_word("id") {
            return Some(Members::Names(self.list(|parser| parser.group_name(what))?));
        }
        let ids = self.list(|parser| {
            if !parser.eat_word("id") {
                parser.unexpected("`id` before each OCID", &[]);
                // The identifier without its `id`, or a name among identifiers.
                if matches!(parser.token.kind, TokenKind::Word | TokenKind::Quoted) && !parser.at_reserved() {
                    parser.bump();
                }
                return None;
            }
            parser.ocid()
        })?;
        Some(Members::Ids(ids))
    }

    fn group_name(&mut self, what: &str) -> Option<Spanned<GroupName>> {
        let first = self.name(what)?;
        if !self.eat(TokenKind::Slash) {
            let name = GroupName { domain: None, name: first.value };
            return Some(Spanned::new(name, first.span));
        }
        let second = self.name(what)?;
        let name = GroupName { domain: Some(first.value), name: second.value };
        Some(Spanned::new(name, first.span.to(second.span)))
    }

    /// `any-tenancy` or `tenancy <name>`
    pub(super) fn other_tenancy(&mut self) -> Option<Spanned<Tenancy>> {
        let start = self.token.span;
        let tenancy = match self.choose("`tenancy` or `any-tenancy`", &["tenancy", "any-tenancy"])? {
            "any-tenancy" => Tenancy::Any,
            _ => Tenancy::Defined(self.name("the name that a `Define` gave the tenancy")?.value),
        };
        Some(Spanned::new(tenancy, start.to(self.previous)))
    }
}
