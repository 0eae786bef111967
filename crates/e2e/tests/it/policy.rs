//! `wharfinger policy …`: files in, words and exit codes out.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use wharfinger_testkit::TempDir;
use wharfinger_testkit::program::binary;

/// Exit code, standard output and standard error of `wharfinger policy ARGUMENTS`.
fn policy(arguments: &[&str], input: &str) -> (Option<i32>, String, String) {
    let mut command = Command::new(binary());
    command.arg("policy").args(arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// `policy explain` with one file for everything.
fn explain(file: &Path, more: &[&str]) -> (Option<i32>, String, String) {
    let file = file.to_str().unwrap();
    policy(&[&["explain", "--policies", file, "--tree", file, "--request", file], more].concat(), "")
}

#[test]
fn a_check_says_one_line_a_statement_and_its_place_in_the_file() {
    let text = "# comment\n\nAllow group A to read repos in tenancy\r\n  # another\n\
        \tAllow group A to reed repos in tenancy where target.repo.name == 'x'\n\
        to read repos in tenancy\n\
        Allow group A to {INSTANCE_READ, REPOSITORY_READ, VCN_READ} in tenancy\n\
        Allow group A to {INSTANCE_READ, REPOSITORY_REED} in tenancy\n\
        Allow dynamic-group A to read repos in tenancy";
    let (code, said, complained) = policy(&["check", "-"], text);
    assert_eq!(code, Some(1));
    assert_eq!(complained, "");
    let foreign = |name: &str| format!("`{name}` is a permission that is not served here: it grants nothing");
    assert_eq!(
        said.lines().collect::<Vec<_>>(),
        [
            "valid",
            "invalid: 5:19: expected a verb (`inspect`, `read`, `use`, `manage`), found `reed`; did you mean `read`?",
            "  5:65: expected a text in single quotes, a /pattern/ or a variable, found `=`",
            "invalid: 6:1: expected `Allow`, `Deny`, `Define`, `Endorse` or `Admit`, found `to`",
            &format!("valid: warning: 7:19: {}", foreign("INSTANCE_READ")),
            &format!("  warning: 7:51: {}", foreign("VCN_READ")),
            "invalid: 8:34: expected a permission, found `REPOSITORY_REED`; did you mean `REPOSITORY_READ`?",
            &format!("  warning: 8:19: {}", foreign("INSTANCE_READ")),
            "valid: warning: 9:7: dynamic groups have no members here yet: the statement grants nothing",
        ]
    );

    let (code, said, _) = policy(&["check", "-", "--output", "json"], text);
    assert_eq!(code, Some(1));
    let said: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(said.as_array().unwrap().len(), 6);
    assert_eq!(
        said[0],
        json!({ "line": 3, "statement": "Allow group A to read repos in tenancy", "valid": true, "problems": [] })
    );
    assert_eq!(said[2]["valid"], false);
    assert_eq!(said[2]["problems"][0]["line"], 6);
    assert_eq!(said[3]["problems"][1]["column"], 51);
    assert_eq!(said[3]["problems"][1]["severity"], "warning");
}

#[test]
fn the_exit_code_of_a_check_is_its_verdict() {
    let directory = TempDir::new();
    let file = directory.path().join("statements");
    fs::write(&file, "Allow group A to read repos in tenancy\n").unwrap();
    assert_eq!(policy(&["check", file.to_str().unwrap()], ""), (Some(0), "valid\n".into(), String::new()));
    assert_eq!(policy(&["check", "-"], "# nothing\n"), (Some(0), String::new(), String::new()));
    for usage in [&["check"][..], &["check", "-", "-"], &["chek", "-"], &["explain"], &[]] {
        assert_eq!(policy(usage, "").0, Some(2), "{usage:?}");
    }
    let (code, _, complained) = policy(&["check", "/no/such/file"], "");
    assert_eq!(code, Some(1));
    assert!(complained.contains("/no/such/file") && complained.contains("No such file"), "{complained}");
}

#[test]
fn the_command_decides_the_corpus_as_the_library_does() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../policy/tests/corpus");
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut count = 0;
    for file in files.filter(|path| path.extension().is_some_and(|extension| extension == "json")) {
        let (code, said, complained) = explain(&file, &["--output", "json"]);
        assert_eq!(code, Some(0), "{complained}\n{said}");
        let said: Value = serde_json::from_str(&said).unwrap();
        let decisions = said.as_array().unwrap();
        assert!(decisions.iter().all(|decision| decision["as_expected"] == true), "{}", file.display());
        count += decisions.len();
    }
    assert!(count >= 200, "{count} decisions");
}

const ACME: &str = r#"{
    "tree": {"name": "acme", "children": [{"name": "Dev", "children": [{"name": "Web"}]}]},
    "policies": [{"name": "p", "compartment": "Dev", "statements": [
        "Allow group A to read repos in compartment Web where target.repo.name = 'x'",
        "Deny group B to inspect repos in compartment Web"
    ]}],
    "deny_statements": true,
    "principals": {"ada": {"groups": ["A"]}, "ben": {"groups": ["A", "B"]}},
    "cases": [
        {"principal": "ada", "permission": "REPOSITORY_READ", "compartment": "Dev:Web", "attributes": {"target.repo.name": "x"}, "expect": "allowed by p 1"},
        {"principal": "ada", "permission": "REPOSITORY_READ", "compartment": "Dev:Web", "attributes": {"target.repo.name": ["y"]}},
        {"principal": "ben", "permission": "REPOSITORY_READ", "compartment": "Dev:Web", "time": "2026-04-01T15:00:00Z"}
    ]
}"#;

fn written(directory: &TempDir, text: &str) -> PathBuf {
    let file = directory.path().join("acme.json");
    fs::write(&file, text).unwrap();
    file
}

#[test]
fn every_decision_comes_with_its_reason() {
    let directory = TempDir::new();
    let file = written(&directory, ACME);
    let (code, said, complained) = explain(&file, &["--output", "json"]);
    assert_eq!((code, complained.as_str()), (Some(0), ""));
    let said: Value = serde_json::from_str(&said).unwrap();
    let allow = "Allow group A to read repos in compartment Web where target.repo.name = 'x'";
    let missing = json!({ "permission": "REPOSITORY_READ", "compartment": "Dev:Web" });
    assert_eq!(
        said,
        json!([
            { "principal": "ada", "permission": "REPOSITORY_READ", "allowed": true, "policy": "p", "index": 1,
              "statement": allow, "missing": null, "nearest": [], "as_expected": true },
            { "principal": "ada", "permission": "REPOSITORY_READ", "allowed": false, "policy": null, "index": null,
              "statement": null, "missing": missing, "as_expected": null, "nearest": [
                { "policy": "p", "index": 1, "statement": allow, "clause": "condition", "text": "target.repo.name = 'x'" }
              ] },
            { "principal": "ben", "permission": "REPOSITORY_READ", "allowed": false, "policy": "p", "index": 2,
              "statement": "Deny group B to inspect repos in compartment Web", "missing": missing, "nearest": [],
              "as_expected": null },
        ])
    );
}

#[test]
fn a_decision_that_is_not_as_expected_exits_with_1() {
    let directory = TempDir::new();
    let file = written(&directory, &ACME.replace("allowed by p 1", "allowed by p 2"));
    let (code, said, complained) = explain(&file, &[]);
    assert_eq!(code, Some(1));
    assert!(said.contains("\n  expected: allowed by p 2\n  decided:  allowed by p 1\n"), "{said}");
    assert!(complained.contains("1 of 3 decisions are not as expected"), "{complained}");
}

#[test]
fn what_is_wrong_in_a_file_is_named_with_file_field_value_and_remedy() {
    let directory = TempDir::new();
    for (from, to, parts) in [
        ("\"tree\"", "\"treee\"", &["treee", "line 2", "`tree`"][..]),
        ("\"cases\": [", "\"cases\": [7, ", &["line 9", "integer `7`"]),
        (
            "\"compartment\": \"Dev\"",
            "\"compartment\": \"Dve\"",
            &["compartment of policy 1", "`Dve`", "Dev:Web"],
        ),
        (
            "\"compartment\": \"Dev:Web\", \"time\"",
            "\"compartment\": \"Web\", \"time\"",
            &["compartment of case 3", "`Web`"],
        ),
        (
            "\"principal\": \"ben\"",
            "\"principal\": \"bob\"",
            &["principal of case 3", "`bob`", "`principals`"],
        ),
        ("2026-04-01T15:00:00Z", "yesterday", &["time of case 3", "`yesterday`", "2026-"]),
        ("{\"groups\": [\"A\"]}", "{\"id\": \"ada\"}", &["id of principal ada", "`ada`", "ocid1."]),
        (
            "{\"name\": \"Web\"}",
            "{\"name\": \"Web\", \"id\": \"ocid1\"}",
            &["id of compartment Web", "`ocid1`"],
        ),
        ("{\"name\": \"Web\"}", "{\"name\": \"Web\"}, {\"name\": \"Web\"}", &["tree: ", "Web"]),
        (
            "Allow group A to read",
            "Allow group A to reed",
            &["statement 1 of ocid1.policy.oc1..p", "1:18", "did you mean `read`"],
        ),
    ] {
        let text = ACME.replacen(from, to, 1);
        assert_ne!(text, ACME, "{from}");
        let file = written(&directory, &text);
        let (code, said, complained) = explain(&file, &[]);
        assert_eq!((code, said.as_str()), (Some(1), ""), "{complained}");
        for part in [file.to_str().unwrap()].iter().chain(parts) {
            assert!(complained.contains(part), "no `{part}` in {complained}");
        }
    }
    let file = written(&directory, "{}");
    let (_, _, complained) = explain(&file, &[]);
    assert!(complained.contains("the field `tree` is missing: add it"), "{complained}");
    // A statement that takes nothing is only named.
    let file = written(&directory, &ACME.replace("\"deny_statements\": true", "\"deny_statements\": false"));
    let (code, said, complained) = explain(&file, &[]);
    assert_eq!(code, Some(0));
    assert_eq!(said.lines().count(), 5, "{said}");
    assert!(complained.contains("statement 2 of ocid1.policy.oc1..p: 1:1: warning: deny"), "{complained}");
}

#[test]
fn the_examples_of_the_manual_print_what_it_says() {
    let manual = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/policy-command.md");
    let manual = fs::read_to_string(manual).unwrap();
    let blocks = |language: &str| -> Vec<String> {
        let opening = format!("```{language}\n");
        let blocks = manual.split(&opening).skip(1);
        blocks.map(|rest| rest.split("```").next().unwrap().to_owned()).collect()
    };
    let (scripts, outputs) = (blocks("sh"), blocks("text"));
    assert_eq!((scripts.len(), outputs.len()), (2, 2));
    let directory = TempDir::new();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let program = binary();
    let path = std::env::join_paths(
        [program.parent().unwrap().to_owned()].into_iter().chain(std::env::split_paths(&path)),
    );
    for (script, output) in scripts.iter().zip(outputs) {
        let mut shell = Command::new("sh");
        shell.args(["-c", script]).current_dir(directory.path()).env("PATH", path.as_ref().unwrap());
        let shown = shell.output().unwrap();
        assert_eq!(String::from_utf8_lossy(&shown.stdout), output, "{script}");
    }
}
