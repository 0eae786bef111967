//! Splits a statement into tokens. It knows characters, not words: keywords are the parser's matter.

use crate::span::Span;

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TokenKind {
    /// A keyword, name, identifier or variable: letters, digits and `_ - . @ +`.
    Word,
    /// A text in single quotes; its span holds the quotes.
    Quoted,
    /// A quote that the line leaves open.
    OpenQuote,
    /// A text in double quotes.
    DoubleQuoted,
    Comma,
    Colon,
    Slash,
    LeftBrace,
    RightBrace,
    LeftParenthesis,
    RightParenthesis,
    Equals,
    NotEquals,
    Exclamation,
    /// Characters that have no meaning here.
    Unknown,
    /// Behind the last token.
    End,
}

/// One token.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Token {
    pub(crate) kind: TokenKind,
    pub(crate) span: Span,
}

/// A place in a text, and the tokens from there on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lexer<'s> {
    source: &'s str,
    /// The byte where the next token is looked for.
    at: usize,
    /// The byte behind the last one that belongs to the statement.
    end: usize,
}

pub(crate) fn is_word_char(character: char) -> bool {
    character.is_alphanumeric() || matches!(character, '_' | '-' | '.' | '@' | '+')
}

impl<'s> Lexer<'s> {
    /// The tokens of `source` within `span`.
    pub(crate) fn new(source: &'s str, span: Span) -> Lexer<'s> {
        Lexer { source, at: span.start, end: span.end }
    }

    /// The text that tokens point into.
    pub(crate) fn source(&self) -> &'s str {
        self.source
    }

    fn rest(&self, from: usize) -> &'s str {
        self.source.get(from..self.end).unwrap_or_default()
    }

    /// The next token.
    pub(crate) fn next(&mut self) -> Token {
        let rest = self.rest(self.at);
        let start = self.at + (rest.len() - rest.trim_start().len());
        let rest = self.rest(start);
        let Some(first) = rest.chars().next() else {
            self.at = self.end;
            return self.token(TokenKind::End, start, 0);
        };
        let length_while =
            |belongs: fn(char) -> bool| rest.find(|character| !belongs(character)).unwrap_or(rest.len());
        let (kind, length) = match first {
            ',' => (TokenKind::Comma, 1),
            ':' => (TokenKind::Colon, 1),
            '/' => (TokenKind::Slash, 1),
            '{' => (TokenKind::LeftBrace, 1),
            '}' => (TokenKind::RightBrace, 1),
            '(' => (TokenKind::LeftParenthesis, 1),
            ')' => (TokenKind::RightParenthesis, 1),
            '=' => (TokenKind::Equals, 1),
            '!' if rest.starts_with("!=") => (TokenKind::NotEquals, 2),
            '!' => (TokenKind::Exclamation, 1),
            '\'' => match closing(rest, '\'') {
                Some(length) => (TokenKind::Quoted, length),
                None => (TokenKind::OpenQuote, rest.find('\n').unwrap_or(rest.len())),
            },
            '"' if closing(rest, '"').is_some() => {
                (TokenKind::DoubleQuoted, closing(rest, '"').unwrap_or_default())
            }
            _ if is_word_char(first) => (TokenKind::Word, length_while(is_word_char)),
            _ => (
                TokenKind::Unknown,
                length_while(|character| {
                    !is_word_char(character)
                        && !character.is_whitespace()
                        && !",:/{}()=!'".contains(character)
                }),
            ),
        };
        self.token(kind, start, length)
    }

    fn token(&mut self, kind: TokenKind, start: usize, length: usize) -> Token {
        self.at = start + length;
        Token { kind, span: Span { start, end: start + length } }
    }

    /// Reads the pattern that `slash` opens, to the slash that closes it: the first one without a
    /// backslash that a blank, `,`, `)`, `}` or the end follows, so that a bare slash inside
    /// (`/team/app*/`) belongs to the pattern. The answer's span holds both slashes; `None` if the
    /// pattern never ends, or holds a `,`, `'`, `{` or `}` without a backslash, or a line
    /// break; then its first word has been read.
    pub(crate) fn pattern(&mut self, slash: Token) -> Option<Span> {
        let inside = self.rest(slash.span.end);
        let mut characters = inside.char_indices().peekable();
        while let Some((index, character)) = characters.next() {
            if character == '\\' {
                characters.next_if(|(_, next)| *next != '\n');
                continue;
            }
            // These are signs of a pattern that was left open before them.
            if matches!(character, ',' | '\'' | '{' | '}' | '\n') {
                break;
            }
            if character != '/' {
                continue;
            }
            let closes = match characters.peek() {
                None => true,
                Some((_, next)) => next.is_whitespace() || matches!(next, ',' | ')' | '}'),
            };
            if closes {
                self.at = slash.span.end + index + 1;
                return Some(Span { start: slash.span.start, end: self.at });
            }
        }
        let is_outside = |character: char| character.is_whitespace() || ",)}".contains(character);
        self.at = slash.span.end + inside.find(is_outside).unwrap_or(inside.len());
        None
    }
}

/// The length of the text that begins with a quote, to the next such quote in the line.
fn closing(rest: &str, quote: char) -> Option<usize> {
    let inside = rest.get(1..).unwrap_or_default();
    let end = inside.find([quote, '\n'])?;
    let closes = inside.get(end..).is_some_and(|end| end.starts_with(quote));
    closes.then_some(end + 2)
}
