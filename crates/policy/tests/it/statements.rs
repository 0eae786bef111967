//! Texts and what the parser says of them, from the files in `tests/statements`.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use wharfinger_policy::{Parsed, Severity, parse_document, parse_statement};

/// Compares a file of blocks with what `answer` makes of each. A block is a text and, in lines that
/// begin with `> `, the answer; a blank line ends it. The file as it should be is left in the target
/// directory, to be looked at and copied.
fn check(file: &str, answer: fn(&str) -> String) -> Vec<(String, String)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/statements").join(file);
    let written = fs::read_to_string(path).unwrap();
    let mut actual = String::new();
    let mut answers = Vec::new();
    for block in written.split("\n\n") {
        let is_answer = |line: &&str| line.starts_with("> ");
        let text: Vec<&str> = block.lines().filter(|line| !is_answer(line)).collect();
        let text = text.join("\n");
        let text = text.trim_matches('\n');
        if text.is_empty() {
            continue;
        }
        let answer = answer(text);
        actual.push_str(text);
        for line in answer.lines() {
            write!(actual, "\n> {line}").unwrap();
        }
        actual.push_str("\n\n");
        answers.push((text.to_owned(), answer));
    }
    let actual = format!("{}\n", actual.trim_end());
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join(file);
    fs::write(&target, &actual).unwrap();
    assert!(actual == written, "{file} differs from {}", target.display());
    answers
}

fn diagnostics(parsed: &Parsed) -> String {
    parsed.diagnostics.iter().map(|diagnostic| format!("{diagnostic}\n")).collect()
}

#[test]
fn valid_statements_print_in_one_form() {
    let answers = check("valid.txt", |text| {
        let parsed = parse_statement(text);
        let printed = parsed.statement.as_ref().map(ToString::to_string).unwrap_or_default();
        format!("{printed}\n{}", diagnostics(&parsed))
    });
    for (text, answer) in answers {
        assert!(!answer.contains(": error: "), "{text}");
        let first = parse_statement(&text).statement.unwrap();
        let again = parse_statement(&first.to_string()).statement.unwrap();
        assert_eq!(first, again, "{text}");
    }
}

#[test]
fn invalid_statements_are_told_every_mistake() {
    let answers = check("invalid.txt", |text| diagnostics(&parse_statement(text)));
    for (text, answer) in answers {
        assert!(answer.contains(": error: "), "{text}");
        assert_eq!(parse_statement(&text).statement, None);
    }
}

#[test]
fn a_file_is_taken_apart_into_statements() {
    check("document.txt", |text| {
        // A `|` alone stands for a blank line, which would end the block.
        let text = text.replace("\n|\n", "\n\n");
        let mut answer = String::new();
        for parsed in parse_document(&text) {
            match parsed.statement {
                Some(statement) => writeln!(answer, "valid: {statement}").unwrap(),
                None => writeln!(answer, "invalid: {}", parsed.first_error().unwrap()).unwrap(),
            }
            for warning in parsed.diagnostics {
                if warning.severity == Severity::Warning {
                    writeln!(answer, "  {warning}").unwrap();
                }
            }
        }
        answer
    });
}
