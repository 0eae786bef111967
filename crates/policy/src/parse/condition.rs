//! When a statement holds.

use super::{MAX_NESTING, Parser};
use crate::ast::{Comparison, Condition, Pattern, Test, Value};
use crate::check::{self, Finding};
use crate::lexer::TokenKind;
use crate::span::{Span, Spanned};

/// Characters that stand for themselves in a pattern only behind a backslash.
pub(crate) const ESCAPED: [char; 6] = ['/', '\\', ',', '\'', '{', '}'];

impl Parser<'_> {
    /// Reads a condition that stands in `depth` others.
    pub(super) fn condition(&mut self, depth: usize) -> Option<Spanned<Condition>> {
        let start = self.token.span;
        let joins_any = self.at_word("any");
        if !joins_any && !self.at_word("all") {
            let comparison = self.comparison()?;
            let scope = self.scope;
            self.check(|found| check::comparison(&comparison, scope, found));
            let span = start.to(self.previous);
            return Some(Spanned::new(Condition::Comparison(comparison), span));
        }
        self.bump();
        if !self.at(TokenKind::LeftBrace) {
            self.unexpected("`{`", &[]);
            return None;
        }
        if depth == MAX_NESTING {
            let message = format!("expected at most {MAX_NESTING} conditions in one another, found more");
            self.report(Finding::error(start, message));
            self.bump();
            while !matches!(self.token.kind, TokenKind::RightBrace | TokenKind::End) {
                self.skip_item();
                self.eat(TokenKind::Comma);
            }
            self.eat(TokenKind::RightBrace);
            return None;
        }
        self.bump();
        let parts = self.parts(depth)?;
        let condition = if joins_any { Condition::Any(parts) } else { Condition::All(parts) };
        Some(Spanned::new(condition, start.to(self.previous)))
    }

    /// Reads the conditions between braces and the closing one.
    fn parts(&mut self, depth: usize) -> Option<Vec<Spanned<Condition>>> {
        let mut parts = Vec::new();
        let mut is_whole = true;
        loop {
            match self.condition(depth + 1) {
                Some(part) => parts.push(part),
                None => {
                    is_whole = false;
                    self.skip_item();
                }
            }
            if !matches!(self.token.kind, TokenKind::Comma | TokenKind::RightBrace) {
                self.unexpected("`,` or `}`", &[]);
                is_whole = false;
                self.skip_item();
            }
            if self.eat(TokenKind::RightBrace) {
                return is_whole.then_some(parts);
            }
            if !self.eat(TokenKind::Comma) {
                return None;
            }
        }
    }

    /// Goes to the `,` or `}` that ends the current part of a list, over nested ones.
    fn skip_item(&mut self) {
        let mut depth = 0_usize;
        loop {
            match self.token.kind {
                TokenKind::End => return,
                TokenKind::Comma | TokenKind::RightBrace if depth == 0 => return,
                TokenKind::LeftBrace | TokenKind::LeftParenthesis => depth += 1,
                TokenKind::RightBrace | TokenKind::RightParenthesis => {
                    depth = depth.saturating_sub(1);
                }
                _ => {}
            }
            self.bump();
        }
    }

    fn comparison(&mut self) -> Option<Comparison> {
        if self.eat(TokenKind::Exclamation) {
            return Some(Comparison { variable: self.variable("a variable")?, test: Test::Absent });
        }
        if self.at_word("sets-equal") {
            self.bump();
            return self.sets_equal();
        }
        let variable = self.variable("a condition")?;
        let operators = ["in", "not", "before", "after", "between"];
        let test = match self.token.kind {
            TokenKind::Equals => {
                self.bump();
                Test::Equal(self.value()?)
            }
            TokenKind::NotEquals => {
                self.bump();
                Test::NotEqual(self.value()?)
            }
            _ => match self.choose("`=`, `!=` or another comparison", &operators)? {
                "in" => Test::In(self.values()?),
                "not" => {
                    self.choose("`in`", &["in"])?;
                    Test::NotIn(self.values()?)
                }
                "before" => Test::Before(self.quoted("a time in single quotes")?),
                "after" => Test::After(self.quoted("a time in single quotes")?),
                _ => {
                    let from = self.quoted("a time in single quotes")?;
                    self.choose("`and`", &["and"])?;
                    Test::Between(from, self.quoted("a time in single quotes")?)
                }
            },
        };
        Some(Comparison { variable, test })
    }

    fn sets_equal(&mut self) -> Option<Comparison> {
        if !self.eat(TokenKind::LeftParenthesis) {
            self.unexpected("`(`", &[]);
            return None;
        }
        let variable = self.variable("a variable")?;
        if !self.eat(TokenKind::Comma) {
            self.unexpected("`,`", &[]);
            return None;
        }
        let texts = self.list(|parser| parser.quoted("a text in single quotes"))?;
        self.close_parenthesis()?;
        Some(Comparison { variable, test: Test::SetsEqual(texts) })
    }

    /// Reads a variable's name; a tag's name may hold colons.
    fn variable(&mut self, expected: &str) -> Option<Spanned<String>> {
        if !self.at(TokenKind::Word) {
            self.unexpected(expected, &[]);
            return None;
        }
        let mut span = self.token.span;
        self.bump();
        while self.touches(span, TokenKind::Colon) {
            span = span.to(self.token.span);
            self.bump();
            if self.touches(span, TokenKind::Word) {
                span = span.to(self.token.span);
                self.bump();
            }
        }
        Some(Spanned::new(span.text(self.lexer.source()).to_owned(), span))
    }

    fn touches(&self, before: Span, kind: TokenKind) -> bool {
        self.at(kind) && self.token.span.start == before.end
    }

    fn values(&mut self) -> Option<Vec<Spanned<Value>>> {
        if !self.eat(TokenKind::LeftParenthesis) {
            self.unexpected("`(`", &[]);
            return None;
        }
        let values = self.list(Self::value)?;
        self.close_parenthesis()?;
        Some(values)
    }

    fn close_parenthesis(&mut self) -> Option<()> {
        if self.eat(TokenKind::RightParenthesis) {
            return Some(());
        }
        self.unexpected("`,` or `)`", &[]);
        None
    }

    fn value(&mut self) -> Option<Spanned<Value>> {
        match self.token.kind {
            TokenKind::Quoted => {
                let text = self.quoted("a text in single quotes")?;
                Some(Spanned::new(Value::Text(text.value), text.span))
            }
            TokenKind::Slash => self.pattern(),
            TokenKind::Word => {
                let name = self.variable("a value")?;
                Some(Spanned::new(Value::Variable(name.value), name.span))
            }
            _ => {
                self.unexpected("a text in single quotes, a /pattern/ or a variable", &[]);
                None
            }
        }
    }

    fn pattern(&mut self) -> Option<Spanned<Value>> {
        let opening = self.token.span;
        let Some(span) = self.lexer.pattern(self.token) else {
            let message = "expected `/` at the end of the pattern, found a pattern left open";
            self.report(Finding::error(opening, message));
            self.bump();
            return None;
        };
        let text = span.text(self.lexer.source());
        let inside = text.get(1..text.len().saturating_sub(1)).unwrap_or_default();
        self.bump();
        self.previous = span;
        if inside.is_empty() {
            let message = "expected a pattern such as /team-*/, found an empty one";
            self.report(Finding::error(span, message));
            return None;
        }
        Some(Spanned::new(Value::Pattern(Pattern(unescaped(inside))), span))
    }
}

fn unescaped(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        let escaped = characters.peek().copied().filter(|next| character == '\\' && ESCAPED.contains(next));
        if escaped.is_some() {
            characters.next();
        }
        plain.push(escaped.unwrap_or(character));
    }
    plain
}
