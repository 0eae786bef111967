//! Text to statements: recursive descent that goes on after a mistake and reports every one.
//!
//! Each clause is found again by its keyword, so that one wrong word is one diagnostic. Work is linear
//! in the text: no clause is read more than twice, nesting and length are bounded.

mod condition;
mod document;
mod rule;
mod subject;

pub(crate) use condition::ESCAPED;
pub use document::parse_document;

use wharfinger_types::Ocid;

use crate::ast::Statement;
use crate::catalog::PermissionSet;
use crate::check::Finding;
use crate::diagnostic::{Diagnostic, Severity, nearest, shown};
use crate::lexer::{Lexer, Token, TokenKind};
use crate::span::{Span, Spanned};

/// The longest statement, in bytes.
pub const MAX_STATEMENT: usize = 16 * 1024;
/// How deep `any` and `all` may stand in one another.
pub const MAX_NESTING: usize = 16;
/// The most errors, and the most warnings, that are reported of one statement.
const MAX_FINDINGS: usize = 20;

/// Words that are names only in quotes.
const RESERVED: [&str; 7] = ["to", "in", "where", "of", "as", "with", "id"];
/// What statements begin with.
const OPENINGS: [&str; 5] = ["Allow", "Deny", "Define", "Endorse", "Admit"];

/// What came of one statement's text.
#[derive(Debug, Clone)]
pub struct Parsed {
    /// The statement; `None` if there is any error.
    pub statement: Option<Statement>,
    /// Its bytes in the text.
    pub span: Span,
    /// Errors and warnings in the order of the text.
    pub diagnostics: Vec<Diagnostic>,
}

impl Parsed {
    /// The first thing that makes it no statement.
    pub fn first_error(&self) -> Option<&Diagnostic> {
        self.diagnostics.iter().find(|diagnostic| diagnostic.is_error())
    }
}

/// Parses a text that is one statement, as the API's lists hold them.
pub fn parse_statement(text: &str) -> Parsed {
    let whole = Span { start: 0, end: text.len() };
    parse_span(text, whole, 1)
}

/// Parses the statement in `span` of `source`, which starts in column 1 of line `line`.
fn parse_span(source: &str, span: Span, line: usize) -> Parsed {
    let text = span.text(source);
    let inner = text.trim();
    let start = span.start + (text.len() - text.trim_start().len());
    let trimmed = Span { start, end: start + inner.len() };
    let (statement, mut findings) = if inner.len() > MAX_STATEMENT {
        let message = format!("expected at most {MAX_STATEMENT} bytes in a statement, found {}", inner.len());
        (None, vec![Finding::error(trimmed, message)])
    } else {
        let mut parser = Parser::new(source, trimmed);
        let statement = parser.statement(trimmed);
        (statement, parser.findings)
    };
    findings.sort_by_key(|finding| finding.span.start);
    let diagnostics: Vec<Diagnostic> =
        findings.into_iter().map(|finding| finding.placed(text, span.start, line)).collect();
    let is_valid = !diagnostics.iter().any(Diagnostic::is_error);
    Parsed { statement: statement.filter(|_| is_valid), span: trimmed, diagnostics }
}

struct Parser<'s> {
    lexer: Lexer<'s>,
    /// The token that is looked at.
    token: Token,
    /// Where the token before it was.
    previous: Span,
    findings: Vec<Finding>,
    /// All permissions of the types that the rule is about; `None` if some are not served.
    scope: Option<PermissionSet>,
    /// Characters without meaning were skipped just before the token looked at.
    is_after_unknown: bool,
    /// A quote was left open, so what follows it is lost.
    has_open_quote: bool,
}

impl<'s> Parser<'s> {
    fn new(source: &'s str, span: Span) -> Parser<'s> {
        let nothing = Span { start: span.start, end: span.start };
        let mut parser = Parser {
            lexer: Lexer::new(source, span),
            token: Token { kind: TokenKind::End, span: nothing },
            previous: nothing,
            findings: Vec::new(),
            scope: None,
            is_after_unknown: false,
            has_open_quote: false,
        };
        parser.bump();
        parser
    }

    /// The text of the token looked at.
    fn text(&self) -> &'s str {
        self.token.span.text(self.lexer.source())
    }

    fn at(&self, kind: TokenKind) -> bool {
        self.token.kind == kind
    }

    fn at_word(&self, word: &str) -> bool {
        self.at(TokenKind::Word) && self.text().eq_ignore_ascii_case(word)
    }

    fn at_reserved(&self) -> bool {
        RESERVED.iter().any(|word| self.at_word(word))
    }

    /// Goes to the next token that the grammar knows, reporting what lies between.
    fn bump(&mut self) {
        self.previous = self.token.span;
        self.is_after_unknown = false;
        loop {
            self.token = self.lexer.next();
            let message = match self.token.kind {
                TokenKind::Unknown => {
                    let found = shown(self.text());
                    format!("expected a word or sign of the language, found `{found}`")
                }
                TokenKind::OpenQuote => {
                    "expected `'` before the end of the line, found a quote left open".to_owned()
                }
                TokenKind::DoubleQuoted => {
                    let found = shown(self.text());
                    format!("expected single quotes around a name or value, found `{found}`")
                }
                _ => return,
            };
            self.report(Finding::error(self.token.span, message));
            if self.token.kind != TokenKind::Unknown {
                self.has_open_quote |= self.token.kind == TokenKind::OpenQuote;
                self.token.kind = TokenKind::Quoted;
                return;
            }
            self.is_after_unknown = true;
        }
    }

    fn eat(&mut self, kind: TokenKind) -> bool {
        let is_there = self.at(kind);
        if is_there {
            self.bump();
        }
        is_there
    }

    fn eat_word(&mut self, word: &str) -> bool {
        let is_there = self.at_word(word);
        if is_there {
            self.bump();
        }
        is_there
    }

    fn report(&mut self, finding: Finding) {
        // A second finding at one place follows from the first. Warnings never push out an error.
        let is_known = |known: &Finding| {
            known.span.start == finding.span.start
                && (known.severity == Severity::Error || known.severity == finding.severity)
        };
        if !self.is_full(finding.severity) && !self.findings.iter().any(is_known) {
            self.findings.push(finding);
        }
    }

    fn is_full(&self, severity: Severity) -> bool {
        self.findings.iter().filter(|known| known.severity == severity).count() >= MAX_FINDINGS
    }

    /// Runs the checks of a piece that was read. Nobody would see another error, and looking for the word
    /// that was meant costs a thousand times what reading the wrong one does.
    fn check(&mut self, check: impl FnOnce(&mut Vec<Finding>)) {
        if self.is_full(Severity::Error) {
            return;
        }
        let mut found = Vec::new();
        check(&mut found);
        for finding in found {
            self.report(finding);
        }
    }

    /// Reports the token looked at, which should have been `expected`. The answer is the one of `words`
    /// that it is a slip for.
    fn unexpected<'w>(&mut self, expected: &str, words: &[&'w str]) -> Option<&'w str> {
        let found = match self.token.kind {
            TokenKind::End => "the end of the statement".to_owned(),
            TokenKind::Quoted => shown(self.text()),
            _ => format!("`{}`", shown(self.text())),
        };
        let may_slip = self.at(TokenKind::Word) && !self.is_full(Severity::Error);
        let slip = if may_slip { nearest(self.text(), words.iter().copied()) } else { None };
        // These follow from a mistake that has been reported.
        let follows = self.is_after_unknown || (self.has_open_quote && self.at(TokenKind::End));
        if !follows {
            let message = format!("expected {expected}, found {found}");
            self.report(Finding::error(self.token.span, message).suggesting(slip));
        }
        slip
    }

    /// Reads one of `words`; a slip for one is reported and taken for it.
    fn choose<'w>(&mut self, expected: &str, words: &[&'w str]) -> Option<&'w str> {
        let word = words.iter().copied().find(|word| self.at_word(word));
        let word = word.or_else(|| self.unexpected(expected, words))?;
        self.bump();
        Some(word)
    }

    /// Goes behind `keyword`. If something else stands there, reports it and goes on behind the keyword
    /// where it comes before any of `stops`, or right here if one of `followers` stands here. False if
    /// the clause cannot be found.
    fn clause(&mut self, keyword: &str, stops: &[&str], followers: &[&str]) -> bool {
        if self.choose(&format!("`{keyword}`"), &[keyword]).is_some() {
            return true;
        }
        let is_word = |lexer: &Lexer<'_>, token: Token, word: &str| {
            token.kind == TokenKind::Word && token.span.text(lexer.source()).eq_ignore_ascii_case(word)
        };
        let (mut ahead, mut token) = (self.lexer, self.token);
        while token.kind != TokenKind::End && !stops.iter().any(|stop| is_word(&ahead, token, stop)) {
            if is_word(&ahead, token, keyword) {
                while !self.at_word(keyword) {
                    self.bump();
                }
                self.bump();
                return true;
            }
            token = ahead.next();
        }
        followers.iter().any(|word| self.at_word(word))
    }

    /// Reads `item { "," item }`; `None` if any of them is wrong.
    fn list<T>(&mut self, item: impl Fn(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let mut items = Vec::new();
        let mut is_whole = true;
        loop {
            match item(self) {
                Some(item) => items.push(item),
                None => is_whole = false,
            }
            if !self.eat(TokenKind::Comma) {
                return is_whole.then_some(items);
            }
        }
    }

    /// Reads a name: a word that is not reserved, or a text in quotes.
    fn name(&mut self, what: &str) -> Option<Spanned<String>> {
        let text = match self.token.kind {
            TokenKind::Word if !self.at_reserved() => self.text(),
            TokenKind::Quoted if !unquoted(self.text()).trim().is_empty() => unquoted(self.text()),
            _ => {
                self.unexpected(&format!("{what} (in single quotes if it is a keyword)"), &[]);
                return None;
            }
        };
        let name = Spanned::new(text.to_owned(), self.token.span);
        self.bump();
        Some(name)
    }

    /// Reads a text in quotes.
    fn quoted(&mut self, what: &str) -> Option<Spanned<String>> {
        if !self.at(TokenKind::Quoted) {
            self.unexpected(what, &[]);
            return None;
        }
        let text = Spanned::new(unquoted(self.text()).to_owned(), self.token.span);
        self.bump();
        Some(text)
    }

    /// Reads an identifier, bare or in quotes.
    fn ocid(&mut self) -> Option<Spanned<Ocid>> {
        let id = match self.token.kind {
            TokenKind::Word => self.text().parse::<Ocid>().ok(),
            TokenKind::Quoted => unquoted(self.text()).parse::<Ocid>().ok(),
            _ => None,
        };
        let Some(id) = id else {
            self.unexpected("an OCID (`ocid1.<kind>.<realm>.<region>.<unique>`)", &[]);
            if self.at(TokenKind::Word) && !self.at_reserved() {
                self.bump();
            }
            return None;
        };
        let id = Spanned::new(id, self.token.span);
        self.bump();
        Some(id)
    }
}

/// The inside of a text in quotes, also of one left open.
fn unquoted(text: &str) -> &str {
    let text = text.strip_prefix(['\'', '"']).unwrap_or(text);
    text.strip_suffix(['\'', '"']).unwrap_or(text)
}

/// Whether a name can stand without quotes.
pub(crate) fn is_bare_name(name: &str) -> bool {
    !name.is_empty()
        && name.chars().all(crate::lexer::is_word_char)
        && !RESERVED.iter().any(|word| word.eq_ignore_ascii_case(name))
}
