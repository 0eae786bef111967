//! Every decision in `tests/corpus`.

use std::fs;
use std::path::{Path, PathBuf};

use crate::scenario::Scenario;

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
        let scenario = Scenario::read(&fs::read_to_string(&file).unwrap());
        let set = scenario.compile();
        let name = file.file_name().unwrap().to_string_lossy();
        let errors = set.problems().iter().filter(|problem| problem.diagnostic.is_error());
        for problem in errors {
            differences +=
                &format!("{name}: {} {}: {}\n", problem.policy, problem.statement, problem.diagnostic);
        }
        for (index, case) in scenario.cases.iter().enumerate() {
            count += 1;
            let decision = scenario.decide(&set, case);
            if decision != case.expect {
                differences += &format!(
                    "{name}: case {}: {} {} {}\n  expected {}\n  decided  {decision}\n",
                    index + 1,
                    case.principal,
                    case.permission,
                    case.compartment,
                    case.expect
                );
            }
        }
    }
    assert!(differences.is_empty(), "{differences}");
    assert!(count >= 200, "{count} cases");
}
