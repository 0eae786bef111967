//! Reports of scrub, verification, backup and restore, for people, and how far they are while they wait.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::Value;

use crate::Output;
use crate::output::{self, cell};

/// The counts of a report that are worth a line while it grows.
const COUNTS: &[&str] = &["blobs", "objects", "copied", "manifests", "bytes"];
/// Between two lines of progress.
const EVERY: Duration = Duration::from_secs(2);

/// How far an operation is: its counts in a line.
pub(crate) fn line(operation: &str, upkeep: &Value) -> String {
    let Some(report) = upkeep.get(operation) else {
        return format!("{operation}: beginning, or waiting for another");
    };
    format!("{operation}: so far {}", counts(report))
}

fn counts(report: &Value) -> String {
    let count = |name: &&str| Some(format!("{} {name}", report.get(*name)?));
    COUNTS.iter().filter_map(count).collect::<Vec<_>>().join(", ")
}

/// Says how far something is that this process does itself, now and then.
pub(crate) fn teller<R: Serialize>(operation: &'static str) -> impl FnMut(&R) + Send {
    let mut told = Instant::now();
    move |report| {
        if told.elapsed() >= EVERY {
            told = Instant::now();
            let report = serde_json::to_value(report).unwrap_or_default();
            output::tell(&format!("{operation}: so far {}", counts(&report)));
        }
    }
}

/// Prints a report; the command has failed if anything was wrong.
pub(crate) fn report(report: &Value, output: Output) -> ExitCode {
    let faults = report.get("faults").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    match (output, report) {
        (Output::Table, Value::Object(fields)) => {
            let plain = fields.iter().filter(|(name, _)| !matches!(name.as_str(), "faults" | "rows"));
            let lines = plain.map(|(name, value)| format!("{name:16} {}", cell(value)));
            output::say(&lines.collect::<Vec<_>>().join("\n"));
            for fault in faults {
                let part =
                    |name: &str| fault.get(name).map_or_else(String::new, |part| format!("{} ", cell(part)));
                output::say(&format!(
                    "{}{}{}{}",
                    part("kind"),
                    part("digest"),
                    part("repository"),
                    part("reason")
                ));
            }
        }
        _ => output::print(report, output),
    }
    if faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
