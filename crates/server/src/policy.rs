//! `wharfinger policy …`: the policy language on files. It needs no server and no database.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::Subcommand;
use serde_json::{Value, json};
use wharfinger_policy::scenario::{Case, Scenario, ScenarioError, in_short};
use wharfinger_policy::{Decision, Diagnostic, NearMiss, Outcome, Parsed, PolicySet, parse_statement};

use crate::{Output, output};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Check statements, one a line; blank lines and lines that begin with `#` are skipped.
    Check {
        /// The file; `-` is standard input.
        file: PathBuf,
    },
    /// Decide requests and say why. docs/policy-command.md describes the files; one may be all three.
    Explain {
        /// The policies.
        #[arg(long, value_name = "FILE")]
        policies: PathBuf,
        /// The compartments.
        #[arg(long, value_name = "FILE")]
        tree: PathBuf,
        /// The requests and who makes them.
        #[arg(long, value_name = "FILE")]
        request: PathBuf,
    },
}

pub(crate) fn run(command: &Command, output: Output) -> anyhow::Result<ExitCode> {
    match command {
        Command::Check { file } => check(file, output),
        Command::Explain { policies, tree, request } => explain(policies, tree, request, output),
    }
}

fn read(file: &Path) -> anyhow::Result<String> {
    if file == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).context("cannot read standard input")?;
        return Ok(text);
    }
    std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))
}

fn check(file: &Path, output: Output) -> anyhow::Result<ExitCode> {
    let text = read(file)?;
    let is_statement = |line: &str| !line.trim().is_empty() && !line.trim_start().starts_with('#');
    let lines = text.lines().enumerate().filter(|(_, line)| is_statement(line));
    let statements: Vec<(usize, &str, Parsed)> =
        lines.map(|(above, line)| (above, line, parse_statement(line))).collect();
    match output {
        Output::Json => {
            let rows = statements.iter().map(|(above, line, parsed)| checked_json(*above, line, parsed));
            output::print(&rows.collect(), output);
        }
        Output::Table => {
            for (above, _, parsed) in &statements {
                output::say(&checked_text(*above, parsed));
            }
        }
    }
    let is_valid = statements.iter().all(|(_, _, parsed)| parsed.first_error().is_none());
    Ok(if is_valid { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What is said of the statement that has `above` lines before its own.
fn checked_text(above: usize, parsed: &Parsed) -> String {
    let said = |found: &Diagnostic| {
        let warning = if found.is_error() { "" } else { "warning: " };
        format!("{warning}{}:{}: {}", above + found.line, found.column, found.text())
    };
    let error = parsed.diagnostics.iter().position(Diagnostic::is_error);
    let verdict = if error.is_some() { "invalid" } else { "valid" };
    let first = error.unwrap_or(0);
    let Some(found) = parsed.diagnostics.get(first) else {
        return verdict.to_owned();
    };
    let others = parsed.diagnostics.iter().enumerate().filter(|(index, _)| *index != first);
    let others = others.map(|(_, found)| format!("\n  {}", said(found)));
    format!("{verdict}: {}{}", said(found), others.collect::<String>())
}

fn checked_json(above: usize, line: &str, parsed: &Parsed) -> Value {
    let problem = |found: &Diagnostic| {
        json!({
            "severity": if found.is_error() { "error" } else { "warning" },
            "line": above + found.line,
            "column": found.column,
            "message": found.text(),
        })
    };
    json!({
        "line": above + 1,
        "statement": line.trim(),
        "valid": parsed.first_error().is_none(),
        "problems": parsed.diagnostics.iter().map(problem).collect::<Vec<_>>(),
    })
}

fn explain(policies: &Path, tree: &Path, request: &Path, output: Output) -> anyhow::Result<ExitCode> {
    let tree = take(tree, Scenario::tree)?;
    let set = take(policies, |scenario| scenario.compile(tree))?;
    refuse_errors(policies, &set)?;
    let cases = take(request, |scenario| scenario.cases(set.tree()))?;
    let mut rows = Vec::new();
    let mut differing = 0;
    for case in &cases {
        case.ask(|request| {
            let decision = set.decide(request);
            let decided = in_short(&decision);
            let is_as_expected = case.expect.as_ref().map(|expected| *expected == decided);
            differing += usize::from(is_as_expected == Some(false));
            match output {
                Output::Json => rows.push(decision_json(case, &decision, is_as_expected)),
                Output::Table => {
                    let allowed = if decision.is_allowed() { "allowed" } else { "denied" };
                    let text = decision.to_string().replace('\n', "\n  ");
                    output::say(&format!("{allowed}: {}: {text}", case.principal.name));
                    if let (Some(false), Some(expected)) = (is_as_expected, &case.expect) {
                        output::say(&format!("  expected: {expected}\n  decided:  {decided}"));
                    }
                }
            }
        });
    }
    if output == Output::Json {
        output::print(&Value::Array(rows), output);
    }
    if differing > 0 {
        bail!(
            "{}: {differing} of {} decisions are not as expected: correct the policies or `expect`",
            request.display(),
            cases.len()
        );
    }
    Ok(ExitCode::SUCCESS)
}

/// Reads what `part` takes from a scenario.
fn take<T>(file: &Path, part: impl FnOnce(&Scenario) -> Result<T, ScenarioError>) -> anyhow::Result<T> {
    let scenario = Scenario::read(&read(file)?);
    scenario.and_then(|scenario| part(&scenario)).with_context(|| file.display().to_string())
}

/// Decisions without a statement that was meant would mislead; one that does nothing is only named.
fn refuse_errors(policies: &Path, set: &PolicySet) -> anyhow::Result<()> {
    for problem in set.problems() {
        let found = &problem.diagnostic;
        let place =
            format!("{}: statement {} of {}", policies.display(), problem.statement + 1, problem.policy);
        if found.is_error() {
            bail!("{place}: {found}");
        }
        output::complain(&anyhow::anyhow!("{place}: {found}"));
    }
    Ok(())
}

fn decision_json(case: &Case, decision: &Decision<'_>, is_as_expected: Option<bool>) -> Value {
    let nearest = |miss: &NearMiss<'_>| {
        json!({
            "policy": miss.statement.policy_name,
            "index": miss.statement.index + 1,
            "statement": miss.statement.text,
            "clause": miss.clause.as_str(),
            "text": miss.text(),
        })
    };
    let misses = match &decision.outcome {
        Outcome::NotGranted(misses) => misses.as_slice(),
        _ => &[],
    };
    let missing = json!({ "permission": decision.permission, "compartment": decision.compartment });
    let statement = decision.statement();
    json!({
        "principal": case.principal.name,
        "permission": decision.permission,
        "allowed": decision.is_allowed(),
        "policy": statement.map(|by| &by.policy_name),
        "index": statement.map(|by| by.index + 1),
        "statement": statement.map(|by| &by.text),
        "missing": if decision.is_allowed() { Value::Null } else { missing },
        "nearest": misses.iter().map(nearest).collect::<Vec<_>>(),
        "as_expected": is_as_expected,
    })
}
