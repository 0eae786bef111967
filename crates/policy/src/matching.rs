//! Matching rules of dynamic groups: `resource.type = 'instance'`, `any {…}`, `all {…}`.
//!
//! They are read and checked only: nothing that could match has an identity here.

use crate::check::Finding;
use crate::diagnostic::{Diagnostic, nearest, shown};
use crate::lexer::{Lexer, Token, TokenKind};
use crate::parse::{MAX_NESTING, MAX_STATEMENT};
use crate::span::Span;

/// What a rule may look at, besides `tag.<namespace>.<key>.value`.
const VARIABLES: [&str; 5] =
    ["instance.id", "instance.compartment.id", "resource.id", "resource.type", "resource.compartment.id"];

/// Checks the matching rule of a dynamic group; the first mistake, with its place.
pub fn check_matching_rule(text: &str) -> Result<(), Diagnostic> {
    let whole = Span { start: 0, end: text.len() };
    let lexer = Lexer::new(text, whole);
    let placed = |finding: Finding| finding.placed(text, 0, 1);
    if text.len() > MAX_STATEMENT {
        let message = format!("expected at most {MAX_STATEMENT} bytes in a rule, found {}", text.len());
        return Err(placed(Finding::error(whole, message)));
    }
    let mut rule = Rule { lexer };
    let first = rule.lexer.next();
    rule.read(first, 0).and_then(|()| rule.expect(TokenKind::End, "the end of the rule")).map_err(placed)
}

struct Rule<'s> {
    lexer: Lexer<'s>,
}

impl Rule<'_> {
    fn read(&mut self, token: Token, depth: usize) -> Result<(), Finding> {
        let expected = "a comparison such as `resource.type = 'instance'`, `any {…}` or `all {…}`";
        if token.kind != TokenKind::Word {
            return Err(self.unexpected(token, expected));
        }
        let word = token.span.text(self.lexer.source());
        if word.eq_ignore_ascii_case("any") || word.eq_ignore_ascii_case("all") {
            if depth == MAX_NESTING {
                let message = format!("expected at most {MAX_NESTING} sets within one another");
                return Err(Finding::error(token.span, message));
            }
            return self.set(depth + 1);
        }
        self.comparison(token, &word.to_ascii_lowercase())
    }

    fn set(&mut self, depth: usize) -> Result<(), Finding> {
        self.expect(TokenKind::LeftBrace, "`{`")?;
        loop {
            let first = self.lexer.next();
            self.read(first, depth)?;
            let next = self.lexer.next();
            match next.kind {
                TokenKind::Comma => {}
                TokenKind::RightBrace => return Ok(()),
                _ => return Err(self.unexpected(next, "`,` or `}`")),
            }
        }
    }

    fn comparison(&mut self, token: Token, variable: &str) -> Result<(), Finding> {
        let is_tag = is_tag(variable);
        if !is_tag && !VARIABLES.contains(&variable) {
            let message = format!(
                "expected {} or `tag.<namespace>.<key>.value`, found `{}`",
                VARIABLES.map(|known| format!("`{known}`")).join(", "),
                shown(variable)
            );
            let suggestion = nearest(variable, VARIABLES);
            return Err(Finding::error(token.span, message).suggesting(suggestion));
        }
        let mut ahead = self.lexer;
        let operator = ahead.next();
        match operator.kind {
            TokenKind::Equals | TokenKind::NotEquals => {}
            // A tag alone is there with any value.
            TokenKind::Comma | TokenKind::RightBrace | TokenKind::End if is_tag => return Ok(()),
            _ => return Err(self.unexpected(operator, "`=` or `!=`")),
        }
        self.lexer = ahead;
        self.expect(TokenKind::Quoted, "a value in single quotes")
    }

    fn expect(&mut self, kind: TokenKind, expected: &str) -> Result<(), Finding> {
        let token = self.lexer.next();
        if token.kind == kind { Ok(()) } else { Err(self.unexpected(token, expected)) }
    }

    fn unexpected(&self, token: Token, expected: &str) -> Finding {
        let found = match token.kind {
            TokenKind::End => "the end".to_owned(),
            _ => format!("`{}`", shown(token.span.text(self.lexer.source()))),
        };
        Finding::error(token.span, format!("expected {expected}, found {found}"))
    }
}

fn is_tag(variable: &str) -> bool {
    let inner = variable.strip_prefix("tag.").and_then(|rest| rest.strip_suffix(".value"));
    let parts = inner.and_then(|inner| inner.split_once('.'));
    parts.is_some_and(|(namespace, key)| !namespace.is_empty() && !key.is_empty() && !key.contains('.'))
}
