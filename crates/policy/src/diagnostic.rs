//! What is wrong or doubtful in a text, with its place and, for a near miss, the word that was meant.

use std::fmt;

use crate::span::Span;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Severity {
    /// The statement is refused.
    Error,
    /// The statement is accepted; a part of it does nothing here.
    Warning,
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// Whether the statement is refused.
    pub severity: Severity,
    /// The bytes it is about.
    pub span: Span,
    /// The line of its first character, from 1.
    pub line: usize,
    /// The place of its first character in that line, in characters, from 1.
    pub column: usize,
    /// What was found and what was expected.
    pub message: String,
    /// A word that was probably meant.
    pub suggestion: Option<String>,
}

impl Diagnostic {
    /// Whether the statement is refused.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }

    /// The message and the suggestion, without the place.
    pub fn text(&self) -> String {
        match &self.suggestion {
            Some(word) => format!("{}; did you mean `{word}`?", self.message),
            None => self.message.clone(),
        }
    }
}

impl fmt::Display for Diagnostic {
    /// `LINE:COLUMN: error: text`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        write!(f, "{}:{}: {severity}: {}", self.line, self.column, self.text())
    }
}

/// Line and column, both from 1, of byte `offset` in `text`, whose first byte stands at the start of
/// line `first_line`.
pub(crate) fn position(text: &str, first_line: usize, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let lines = before.bytes().filter(|byte| *byte == b'\n').count();
    let columns = before.get(line_start..).unwrap_or_default().chars().count();
    (first_line + lines, columns + 1)
}

/// `text` cut to a length that fits in a message.
pub(crate) fn shown(text: &str) -> String {
    const LONGEST: usize = 60;
    if text.chars().count() <= LONGEST {
        return text.to_owned();
    }
    text.chars().take(LONGEST).chain(['…']).collect()
}

/// The candidate nearest to `word`, if one is near enough to be a slip of the hand.
pub(crate) fn nearest<'c>(word: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    // A longer word is no slip; leaving it out also bounds the work an odd text can cause.
    if word.len() > 64 {
        return None;
    }
    let word = word.to_ascii_lowercase();
    let allowed = match word.len() {
        0..=1 => 0,
        2..=4 => 1,
        5..=8 => 2,
        _ => 3,
    };
    candidates
        .into_iter()
        .filter(|candidate| candidate.len().abs_diff(word.len()) <= allowed)
        // Most are told from the word without counting edits.
        .filter(|candidate| (letters(candidate) ^ letters(&word)).count_ones() as usize <= 2 * allowed)
        .map(|candidate| (distance(&word, candidate), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// The letters of a word, whatever their case, a bit each. One edit changes at most two bits.
fn letters(word: &str) -> u32 {
    word.bytes().fold(0, |letters, byte| letters | 1 << (byte % 32))
}

/// Edits (insert, remove, replace, swap two neighbours) that turn a word in lower case into the other, whose
/// case does not count.
fn distance(from: &str, to: &str) -> usize {
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=to.len()).collect();
    let mut current = Vec::new();
    let mut from_previous = None;
    for (row, byte) in from.bytes().enumerate() {
        current.clear();
        current.push(row + 1);
        let mut to_previous = None;
        for (column, other) in to.bytes().map(|other| other.to_ascii_lowercase()).enumerate() {
            let at = |line: &[usize], index: usize| line.get(index).copied().unwrap_or(usize::MAX / 2);
            let mut best = (at(&last, column) + usize::from(byte != other))
                .min(at(&last, column + 1) + 1)
                .min(at(&current, column) + 1);
            if from_previous == Some(other) && to_previous == Some(byte) && column > 0 {
                best = best.min(at(&before_last, column - 1) + 1);
            }
            current.push(best);
            to_previous = Some(other);
        }
        // The oldest row is written over.
        std::mem::swap(&mut before_last, &mut last);
        std::mem::swap(&mut last, &mut current);
        from_previous = Some(byte);
    }
    last.last().copied().unwrap_or_default()
}
