//! Statements: a text is one or has an error, with its place; what is printed parses to the same; a file's lines
//! all belong to a statement.
#![no_main]

use wharfinger_fuzz::unfold;
use wharfinger_policy::{MAX_STATEMENT, Parsed, Severity, parse_document, parse_statement};

libfuzzer_sys::fuzz_target!(|text: &str| {
    if let Some(long) = unfold(text, MAX_STATEMENT - 200) {
        parse_statement(&long);
        parse_document(&long);
        return;
    }
    check(text, &parse_statement(text));

    let statements = parse_document(text);
    let mut printed = Vec::new();
    let mut behind = 0;
    for parsed in &statements {
        check(text, parsed);
        let between = text.get(behind..parsed.span.start).expect("in order");
        assert!(between.trim().is_empty(), "lost: {between:?}");
        behind = parsed.span.end;
        // Alone it is what it is in the file.
        assert_eq!(parse_statement(parsed.span.text(text)).statement, parsed.statement);
        if let Some(statement) = &parsed.statement {
            printed.push(statement.to_string());
        }
    }
    assert!(text[behind..].trim().is_empty(), "lost: {:?}", &text[behind..]);

    if printed.iter().all(|statement| statement.len() <= MAX_STATEMENT) {
        let valid = statements.iter().filter_map(|parsed| parsed.statement.as_ref());
        let again = parse_document(&printed.join("\n"));
        assert!(again.iter().map(|parsed| parsed.statement.as_ref()).eq(valid.map(Some)), "{printed:?}");
    }
});

fn check(text: &str, parsed: &Parsed) {
    assert_eq!(parsed.statement.is_none(), parsed.first_error().is_some());
    let count = |severity| parsed.diagnostics.iter().filter(|found| found.severity == severity).count();
    assert!(count(Severity::Error) <= 20 && count(Severity::Warning) <= 20);
    for diagnostic in &parsed.diagnostics {
        let span = diagnostic.span;
        let before = text.get(..span.start).expect("inside the text");
        assert!(text.get(span.start..span.end).is_some());
        let (_, line) = before.rsplit_once('\n').unwrap_or(("", before));
        assert_eq!(diagnostic.line, before.matches('\n').count() + 1, "{diagnostic}");
        assert_eq!(diagnostic.column, line.chars().count() + 1, "{diagnostic}");
    }
    let printed = parsed.statement.as_ref().map(ToString::to_string);
    // A blank behind each comma may make it too long.
    let printed = printed.filter(|printed| printed.len() <= MAX_STATEMENT);
    if let (Some(statement), Some(printed)) = (&parsed.statement, printed) {
        let again = parse_statement(&printed).statement.expect("what is printed is a statement");
        assert_eq!(again, *statement, "{printed}");
        assert_eq!(again.to_string(), printed);
    }
}
