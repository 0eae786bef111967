//! The statements that another parser is asked about too (`tests/comparison`), and what this one says.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use proptest::strategy::{BoxedStrategy, Strategy as _, ValueTree as _};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use wharfinger_policy::parse_statement;

use crate::generate;

const SEED: [u8; 32] = *b"the statements that are compared";
const EACH: usize = 100;

/// Whether names and values hold no letter or sign that is rare, so that the grammar is compared and not
/// the alphabet.
fn is_plain(text: &str) -> bool {
    text.chars().all(|character| character.is_ascii_alphanumeric() || " '.,:{}()=!/*_-".contains(character))
}

#[test]
fn the_compared_statements_are_those_of_the_seed() {
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &SEED);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let mut generated = |strategy: BoxedStrategy<String>| -> Vec<String> {
        (0..EACH).map(|_| strategy.new_tree(&mut runner).unwrap().current()).collect()
    };
    let any = generate::statement().prop_map(|statement| statement.to_string()).boxed();
    let plain = any.clone().prop_filter("plain", |text| is_plain(text)).boxed();
    let damaged = generate::damaged_statement().prop_map(|text| text.replace('\n', " "));
    let damaged = damaged.prop_filter("plain", |text| is_plain(text)).boxed();
    let texts = [generated(any), generated(plain), generated(damaged)].concat();
    let mut lines = String::new();
    for (index, text) in texts.iter().enumerate() {
        let parsed = parse_statement(text);
        let answer = match parsed.statement {
            Some(statement) => format!("valid: {statement}"),
            None => format!("invalid: {}", parsed.first_error().unwrap()),
        };
        writeln!(lines, "{} {text}\n  {answer}", index + 1).unwrap();
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/comparison/statements.txt");
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("compared.txt");
    fs::write(&target, &lines).unwrap();
    let written = fs::read_to_string(path).unwrap_or_default();
    assert!(lines == written, "comparison/statements.txt differs from {}", target.display());
}
