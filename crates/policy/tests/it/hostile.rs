//! Texts that nobody means well: no panic, no lost mistake, no work beyond the text's length.

use proptest::prelude::*;
use wharfinger_policy::{
    Attribute, MAX_NESTING, MAX_STATEMENT, Parsed, Principal, PrincipalKind, Request, Severity,
    parse_document, parse_statement,
};
use wharfinger_types::Timestamp;

use crate::generate;
use crate::laws::{small_tree, world};
use crate::{group, id};

/// Parses arbitrary bytes as a statement and as a file.
fn fuzz_parse(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    check(&text, &parse_statement(&text));
    for parsed in parse_document(&text) {
        check(&text, &parsed);
    }
}

fn check(text: &str, parsed: &Parsed) {
    let has_error = parsed.first_error().is_some();
    assert_eq!(parsed.statement.is_none(), has_error, "{text}");
    let count = |severity| parsed.diagnostics.iter().filter(|found| found.severity == severity).count();
    assert!(count(Severity::Error) <= 20 && count(Severity::Warning) <= 20);
    for diagnostic in &parsed.diagnostics {
        let span = diagnostic.span;
        assert!(text.get(span.start..span.end).is_some(), "{diagnostic} outside of {text:?}");
        let before = text.get(..span.start).unwrap();
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        assert_eq!(diagnostic.line, before.matches('\n').count() + 1, "{text:?}");
        assert_eq!(diagnostic.column, before[line_start..].chars().count() + 1, "{text:?}");
    }
    if let Some(statement) = &parsed.statement {
        let printed = statement.to_string();
        assert_eq!(parse_statement(&printed).statement.as_ref(), Some(statement), "{printed}");
    }
}

/// Takes arbitrary bytes as policies, an attribute and a permission, and decides with them.
fn fuzz_decide(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mut lines = text.lines();
    let permission = lines.next().unwrap_or_default();
    let value = lines.next().unwrap_or_default();
    let statements = lines.map(str::to_owned).collect();
    let set = world(vec![("p", "", statements)], small_tree());
    let principal = Principal {
        kind: PrincipalKind::User,
        id: Some(id("user", "a")),
        name: value.to_owned(),
        groups: vec![group("A")],
        dynamic_groups: Vec::new(),
    };
    let compartment = id("compartment", "x");
    for permission in ["REPOSITORY_READ", "POLICY_UPDATE", permission] {
        let request = Request {
            principal: &principal,
            permission,
            compartment: &compartment,
            time: Timestamp(i64::from_le_bytes([data.first().copied().unwrap_or_default(); 8])),
            attributes: &[Attribute { name: "target.repo.name", values: &[value] }],
        };
        let decision = set.decide(&request);
        assert_eq!(decision.is_allowed(), set.permits(&request));
        assert!(!decision.to_string().is_empty());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn any_bytes_are_a_statement_or_have_an_error(data in prop::collection::vec(any::<u8>(), 0..300)) {
        fuzz_parse(&data);
        fuzz_decide(&data);
    }

    #[test]
    fn any_order_of_words_is_a_statement_or_has_an_error(text in generate::word_salad()) {
        fuzz_parse(text.as_bytes());
        fuzz_decide(format!("REPOSITORY_READ\napp\n{text}").as_bytes());
    }

    #[test]
    fn a_damaged_statement_is_a_statement_or_has_an_error(text in generate::damaged_statement()) {
        fuzz_parse(text.as_bytes());
        fuzz_decide(format!("REPOSITORY_READ\napp\n{text}").as_bytes());
    }
}

#[test]
fn a_statement_that_is_too_long_is_refused_by_its_length() {
    let groups = vec!["A"; MAX_STATEMENT / 2].join(",");
    let parsed = parse_statement(&format!("Allow group {groups} to read repos in tenancy"));
    assert!(parsed.statement.is_none());
    assert!(parsed.diagnostics[0].message.contains("16384 bytes"), "{}", parsed.diagnostics[0]);
}

#[test]
fn the_longest_statement_is_accepted() {
    let start = "Allow group A to read repos in tenancy where target.repo.name = '";
    let name = "x".repeat(MAX_STATEMENT - start.len() - 1);
    assert!(parse_statement(&format!("{start}{name}'")).statement.is_some());
    assert!(parse_statement(&format!("{start}{name}x'")).statement.is_none());
}

#[test]
fn conditions_nest_to_their_limit_and_no_deeper() {
    let nested = |depth: usize| {
        let condition = format!("{}request.region = 'x'{}", "any {".repeat(depth), "}".repeat(depth));
        parse_statement(&format!("Allow group A to read repos in tenancy where {condition}"))
    };
    assert!(nested(MAX_NESTING).statement.is_some());
    assert!(nested(MAX_NESTING + 1).statement.is_none());
    assert!(nested(2_000).statement.is_none());
    let open = format!("Allow group A to read repos in tenancy where {}", "all{".repeat(4_000));
    assert!(parse_statement(&open).statement.is_none());
}

#[test]
fn warnings_never_hide_an_error() {
    let foreign = vec!["INSTANCE_READ"; 60].join(", ");
    let parsed = parse_statement(&format!("Allow group A to {{{foreign}, REPOSITORY_REED}} in tenancy"));
    assert_eq!(parsed.statement, None);
    assert!(parsed.first_error().unwrap().message.contains("REPOSITORY_REED"));
}
