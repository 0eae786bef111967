//! Every decision in `tests/corpus`. The program's tests ask `wharfinger policy explain` the same.

use std::fs;
use std::path::{Path, PathBuf};

use wharfinger_policy::scenario::{Scenario, in_short};

fn corpus() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .collect();
    files.sort();
    files
}

#[test]
fn every_decision_of_the_corpus_is_as_written() {
    let mut differences = String::new();
    let mut count = 0;
    for file in corpus() {
        let name = file.file_name().unwrap().to_string_lossy();
        let scenario = Scenario::read(&fs::read_to_string(&file).unwrap()).unwrap();
        let set = scenario.compile(scenario.tree().unwrap()).unwrap();
        let errors = set.problems().iter().filter(|problem| problem.diagnostic.is_error());
        for problem in errors {
            differences +=
                &format!("{name}: {} {}: {}\n", problem.policy, problem.statement, problem.diagnostic);
        }
        for (index, case) in scenario.cases(set.tree()).unwrap().iter().enumerate() {
            count += 1;
            let decision = case.ask(|request| {
                let decision = set.decide(request);
                assert_eq!(decision.is_allowed(), set.permits(request));
                in_short(&decision)
            });
            if Some(&decision) != case.expect.as_ref() {
                let expected = case.expect.as_deref().unwrap_or_default();
                differences +=
                    &format!("{name}: case {}\n  expected {expected}\n  decided  {decision}\n", index + 1);
            }
        }
    }
    assert!(differences.is_empty(), "{differences}");
    assert!(count >= 200, "{count} cases");
}
