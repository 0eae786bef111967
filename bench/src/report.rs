//! Medians, quartiles and paired ratios, as Markdown.

use crate::operation::{Operation, Sample};
use crate::peer::Kind;

/// With fewer quiet runs than this, noisy ones are quoted too, marked `*`.
const QUIET_RUNS: usize = 3;

pub(crate) fn print_legend(rounds: usize) {
    println!(
        "Median (first quartile–third quartile) of {rounds} rounds; ratios are of runs in the same round. \
         Only wharfinger asks for credentials. A run is noisy if other work took over 0.3 of a core; \
         figures marked `*` include noisy runs, and CPU figures always do.\n"
    );
}

pub(crate) fn print(operation: Operation, results: &[(Kind, Vec<Sample>)]) {
    let (title, unit, cpu_unit) = operation.describe();
    let has_cpu = !cpu_unit.is_empty();
    let bases: Vec<_> = results.iter().filter(|(kind, _)| *kind != Kind::Wharfinger).collect();
    let mut columns = vec!["server".to_owned(), unit.to_owned()];
    if has_cpu {
        columns.push(cpu_unit.to_owned());
    }
    for (kind, _) in &bases {
        columns.push(format!("÷ {}", kind.name()));
        if has_cpu {
            columns.push(format!("CPU ÷ {}", kind.name()));
        }
    }
    columns.push("noisy runs".to_owned());
    println!("### {title}\n\n| {} |\n|{}", columns.join(" | "), "---|".repeat(columns.len()));

    for (kind, samples) in results {
        let mut row = vec![
            kind.name().to_owned(),
            figures(samples.iter().map(|sample| (sample.figure, sample.is_noisy()))),
        ];
        if has_cpu {
            row.push(quartiles(samples.iter().filter_map(|sample| sample.cpu).collect()));
        }
        for (base, others) in &bases {
            let pairs = || samples.iter().zip(others).filter(|_| kind != base);
            row.push(figures(pairs().map(|(sample, other)| {
                (sample.figure / other.figure, sample.is_noisy() || other.is_noisy())
            })));
            if has_cpu {
                row.push(quartiles(
                    pairs().filter_map(|(sample, other)| Some(sample.cpu? / other.cpu?)).collect(),
                ));
            }
        }
        let noisy = samples.iter().filter(|sample| sample.is_noisy()).count();
        row.push(format!("{noisy} of {}", samples.len()));
        println!("| {} |", row.join(" | "));
    }
    println!();
}

/// Of figures that noise falsifies: each with whether it is noisy.
fn figures(all: impl Iterator<Item = (f64, bool)> + Clone) -> String {
    let quiet: Vec<f64> = all.clone().filter(|(_, is_noisy)| !is_noisy).map(|(figure, _)| figure).collect();
    if quiet.len() >= QUIET_RUNS || quiet.len() == all.clone().count() {
        return quartiles(quiet);
    }
    format!("{} *", quartiles(all.map(|(figure, _)| figure).collect()))
}

/// `median (first quartile–third quartile)`.
fn quartiles(mut values: Vec<f64>) -> String {
    values.sort_by(f64::total_cmp);
    let at = |quarter: usize| {
        let position = (values.len().saturating_sub(1) * quarter) as f64 / 4.0;
        let low = values.get(position.floor() as usize)?;
        let high = values.get(position.ceil() as usize)?;
        Some(rounded(low + (high - low) * position.fract()))
    };
    match (at(1), at(2), at(3)) {
        (Some(first), Some(median), Some(third)) => format!("{median} ({first}–{third})"),
        _ => "-".to_owned(),
    }
}

fn rounded(value: f64) -> String {
    match value {
        100.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        0.1.. => format!("{value:.2}"),
        _ => format!("{value:.4}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quartiles_lie_between_the_values() {
        assert_eq!(quartiles(vec![4.0, 1.0, 2.0, 3.0]), "2.50 (1.75–3.25)");
        assert_eq!(quartiles(vec![]), "-");
    }

    #[test]
    fn noisy_figures_count_only_when_quiet_ones_are_few() {
        let quiet = [(1.0, false), (1.0, false), (1.0, false), (9.0, true)];
        assert_eq!(figures(quiet.into_iter()), "1.00 (1.00–1.00)");
        assert_eq!(figures(quiet.into_iter().skip(2)), "5.00 (3.00–7.00) *");
    }
}
