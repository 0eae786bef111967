//! What commands print: objects and lists, as JSON or in columns.

use std::io::Write;

use serde_json::Value;

use crate::Output;

/// Prints a command's result. A closed pipe is nobody's error.
pub(crate) fn print(value: &Value, output: Output) {
    let text = match (output, value) {
        (Output::Json, _) => serde_json::to_string_pretty(value).unwrap_or_default(),
        (Output::Table, Value::Array(rows)) => columns(rows),
        (Output::Table, Value::Object(fields)) => {
            let width = fields.keys().map(String::len).max().unwrap_or(0);
            let lines = fields.iter().map(|(name, value)| format!("{name:width$}  {}", cell(value)));
            lines.collect::<Vec<_>>().join("\n")
        }
        (Output::Table, value) => cell(value),
    };
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}

/// Prints a line for people on standard output.
pub(crate) fn say(line: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}

/// Prints how far something is on standard error.
pub(crate) fn tell(line: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}

/// Prints an error with its causes on standard error.
pub(crate) fn complain(error: &anyhow::Error) {
    let _ = writeln!(std::io::stderr().lock(), "wharfinger: {error:#}");
}

fn columns(rows: &[Value]) -> String {
    let Some(Value::Object(first)) = rows.first() else {
        return "(none)".to_owned();
    };
    let names: Vec<&String> = first.keys().collect();
    let line = |row: &Value| {
        names.iter().map(|name| row.get(name.as_str()).map_or_else(String::new, cell)).collect()
    };
    let mut table: Vec<Vec<String>> = vec![names.iter().map(|name| (*name).clone()).collect()];
    table.extend(rows.iter().map(line));
    let width =
        |column: usize| table.iter().filter_map(|row| row.get(column)).map(String::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..names.len()).map(width).collect();
    let lines = table.iter().map(|row| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// A value without quotes around a text; nothing for null.
pub(crate) fn cell(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}
