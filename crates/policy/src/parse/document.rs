//! A file of statements, told apart by lines.

use super::{OPENINGS, Parsed, parse_span};
use crate::span::Span;

/// Words that carry a statement on at the start of a line.
const CONTINUING: [&str; 11] =
    ["to", "in", "where", "of", "as", "with", "id", "and", "group", "dynamic-group", "not"];
/// Words after which a statement cannot end.
const UNFINISHED: [&str; 26] = [
    "allow",
    "deny",
    "define",
    "endorse",
    "admit",
    "to",
    "in",
    "where",
    "of",
    "as",
    "with",
    "id",
    "and",
    "group",
    "dynamic-group",
    "service",
    "compartment",
    "inspect",
    "read",
    "use",
    "manage",
    "associate",
    "before",
    "after",
    "between",
    "not",
];

/// Parses a text of any number of statements. A statement begins on a line of its own and may run over
/// several lines: a line carries the statement before it on when it is indented, when it starts with a
/// word or sign that only stands inside a statement, or when the line before it cannot be an end. A
/// line that starts with `Allow`, `Deny`, `Define`, `Endorse` or `Admit` always begins one.
pub fn parse_document(text: &str) -> Vec<Parsed> {
    let mut statements = Vec::new();
    // Start and line of the statement being collected, and its last line that is not blank.
    let mut open: Option<(usize, usize)> = None;
    let mut last_line = "";
    let mut offset = 0;
    for (index, line) in text.split_inclusive('\n').enumerate() {
        if !line.trim().is_empty() {
            match open {
                Some(_) if continues(last_line, line) => {}
                Some((start, first_line)) => {
                    statements.push(parse_span(text, Span { start, end: offset }, first_line));
                    open = Some((offset, index + 1));
                }
                None => open = Some((offset, index + 1)),
            }
            last_line = line.trim();
        }
        offset += line.len();
    }
    if let Some((start, line)) = open {
        let span = Span { start, end: text.len() };
        statements.push(parse_span(text, span, line));
    }
    statements
}

fn continues(last: &str, line: &str) -> bool {
    let is_one_of = |word: &str, words: &[&str]| words.iter().any(|known| known.eq_ignore_ascii_case(word));
    let first_word = line.split_whitespace().next().unwrap_or_default();
    let last_word = last.split_whitespace().next_back().unwrap_or_default();
    if is_one_of(first_word, &OPENINGS) {
        let crosses_border = is_one_of(first_word, &["Endorse", "Admit"]);
        return crosses_border && last.eq_ignore_ascii_case("deny");
    }
    line.starts_with(char::is_whitespace)
        || is_one_of(first_word, &CONTINUING)
        || line.starts_with(['{', '}', '(', ')', ',', ':', '=', '!', '/', '\''])
        || last.ends_with(['{', '(', ',', ':', '=', '/'])
        || is_one_of(last_word, &UNFINISHED)
}
