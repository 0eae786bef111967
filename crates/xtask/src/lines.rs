//! Lines of Rust per crate, with tests apart. Relies on the workspace being formatted.

use std::fs;
use std::path::Path;

use anyhow::Result;

use crate::files;

#[derive(Default, Debug, PartialEq)]
struct Count {
    code: usize,
    comment: usize,
    blank: usize,
    test: usize,
}

pub(crate) fn run(root: &Path) -> Result<()> {
    println!("{:<18} {:>7} {:>8} {:>7} {:>7}", "crate", "code", "comments", "blank", "tests");
    let mut total = Count::default();
    for member in files::members(root)? {
        let mut sum = Count::default();
        for path in files::with_extension(&member, "rs")? {
            let relative = path.strip_prefix(&member)?;
            let is_test = !relative.starts_with("src") || path.ends_with("tests.rs");
            add(&mut sum, &count(&fs::read_to_string(&path)?, is_test));
        }
        print_row(&files::name(&member), &sum);
        add(&mut total, &sum);
    }
    print_row("total", &total);
    Ok(())
}

fn add(sum: &mut Count, count: &Count) {
    sum.code += count.code;
    sum.comment += count.comment;
    sum.blank += count.blank;
    sum.test += count.test;
}

fn print_row(name: &str, count: &Count) {
    println!("{name:<18} {:>7} {:>8} {:>7} {:>7}", count.code, count.comment, count.blank, count.test);
}

/// Test lines count whole, blank and comment lines included.
fn count(text: &str, is_test: bool) -> Count {
    let mut count = Count::default();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let code = line.trim();
        if is_test {
            count.test += 1;
        } else if code == "#[cfg(test)]" {
            // The item ends where a line closes it at the attribute's own indent.
            let indent = line.len() - line.trim_start().len();
            count.test += 1;
            for line in lines.by_ref() {
                count.test += 1;
                let code = line.trim_start();
                if line.len() - code.len() == indent && (code.ends_with(';') || code.ends_with('}')) {
                    break;
                }
            }
        } else if code.is_empty() {
            count.blank += 1;
        } else if code.starts_with("//") {
            count.comment += 1;
        } else {
            count.code += 1;
        }
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_module_counts_as_test_and_what_follows_it_as_code() {
        let text =
            "//! A.\n\nfn a() {}\n#[cfg(test)]\nmod tests {\n    // b\n\n    fn b() {}\n}\nfn c() {}\n";
        assert_eq!(count(text, false), Count { code: 2, comment: 1, blank: 1, test: 6 });
    }

    #[test]
    fn a_test_module_in_its_own_file_ends_at_its_semicolon() {
        let text = "#[cfg(test)]\nmod tests;\nfn c() {}\n";
        assert_eq!(count(text, false), Count { code: 1, test: 2, ..Count::default() });
    }
}
