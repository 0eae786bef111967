//! The rules of this repository that neither the compiler nor clippy checks.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail};

use crate::files;

const MOST_LINES: usize = 800;
/// Macros that mark unfinished work.
const UNFINISHED: [&str; 3] = ["todo", "unimplemented", "dbg"];

pub(crate) fn run(root: &Path) -> Result<()> {
    let findings = check(root)?;
    for finding in &findings {
        println!("{finding}");
    }
    if !findings.is_empty() {
        bail!("tidy: {} findings", findings.len());
    }
    println!("tidy: nothing to say");
    Ok(())
}

/// Every finding, one line each: `path: what is wrong and what to do`.
fn check(root: &Path) -> Result<Vec<String>> {
    let mut findings = Vec::new();
    check_layers(root, &mut findings)?;
    for path in files::with_extension(root, "rs")? {
        check_rust(path.strip_prefix(root)?, &fs::read_to_string(&path)?, &mut findings);
    }
    for path in files::with_extension(root, "md")? {
        check_links(root, path.strip_prefix(root)?, &fs::read_to_string(&path)?, &mut findings);
    }
    Ok(findings)
}

/// A line of the layer table in ARCHITECTURE.md.
struct Layer<'a> {
    level: &'a str,
    may_use: Vec<&'a str>,
}

fn check_layers(root: &Path, findings: &mut Vec<String>) -> Result<()> {
    let architecture = fs::read_to_string(root.join("ARCHITECTURE.md")).unwrap_or_default();
    let Some((_, table)) = architecture.split_once("```layers\n") else {
        findings
            .push("ARCHITECTURE.md: has no block opened by ```layers; add the table of crates".to_owned());
        return Ok(());
    };
    let layers = parse_layers(table, findings);
    check_arrows(&layers, findings);

    let mut manifests = BTreeMap::new();
    for member in files::members(root)? {
        let path = member.join("Cargo.toml");
        let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        manifests.insert(
            files::name(&member),
            (path.strip_prefix(root)?.display().to_string(), parse_manifest(&text)),
        );
    }
    for name in layers.keys().filter(|name| !manifests.contains_key(**name)) {
        findings.push(format!(
            "ARCHITECTURE.md: the layer table names {name}, which is no crate; remove the line"
        ));
    }
    let directories: BTreeMap<&str, &str> =
        manifests.iter().map(|(name, (_, manifest))| (manifest.package.as_str(), name.as_str())).collect();
    for (name, (path, manifest)) in &manifests {
        let Some(layer) = layers.get(name.as_str()) else {
            findings.push(format!("{path}: {name} is not in the layer table of ARCHITECTURE.md; add a line"));
            continue;
        };
        for dependency in &manifest.dependencies {
            if let Some(used) = directories.get(dependency.package.as_str()) {
                // A crate's own tests may turn on its features by depending on it once more.
                let for_tests = dependency.is_dev && (*used == "testkit" || *used == name);
                if !for_tests && !layer.may_use.contains(used) {
                    findings.push(format!(
                        "{path}: {name} may not depend on {used}; move the code or change the layer table"
                    ));
                }
            } else if let Some(only) = denied(&dependency.package, name) {
                findings.push(format!("{path}: {} is only for {only}; go through them", dependency.package));
            }
        }
    }
    Ok(())
}

fn parse_layers<'a>(table: &'a str, findings: &mut Vec<String>) -> BTreeMap<&'a str, Layer<'a>> {
    let mut layers = BTreeMap::new();
    for line in
        table.lines().take_while(|line| !line.starts_with("```")).filter(|line| !line.trim().is_empty())
    {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [level, name, "->", may_use @ ..] = words.as_slice() else {
            findings.push(format!(
                "ARCHITECTURE.md: layer `{line}` is not `<level> <crate> -> <crates>|-`; write it so"
            ));
            continue;
        };
        let may_use = may_use.iter().copied().filter(|name| *name != "-").collect();
        if layers.insert(*name, Layer { level, may_use }).is_some() {
            findings.push(format!("ARCHITECTURE.md: the layer table names {name} twice; keep one line"));
        }
    }
    layers
}

/// Arrows only point down, or to the side.
fn check_arrows(layers: &BTreeMap<&str, Layer<'_>>, findings: &mut Vec<String>) {
    for (name, layer) in layers {
        for used in &layer.may_use {
            let Some(below) = layers.get(used) else {
                findings
                    .push(format!("ARCHITECTURE.md: layer {name} -> {used} has no line for {used}; add it"));
                continue;
            };
            let levels = (layer.level.parse::<u32>(), below.level.parse::<u32>());
            if let (Ok(level), Ok(below)) = levels
                && below > level
            {
                findings.push(format!(
                    "ARCHITECTURE.md: layer {name} -> {used} points up; only lower levels may be used"
                ));
            }
        }
    }
}

/// For a library that this crate must not use: who may.
fn denied(library: &str, name: &str) -> Option<&'static str> {
    let (allowed, only) = match library {
        "axum" => (
            name.starts_with("api-") || matches!(name, "console" | "server" | "testkit"),
            "the faces, server and testkit",
        ),
        "rusqlite" | "postgres" | "tokio-postgres" | "deadpool-postgres" => {
            (matches!(name, "metastore" | "testkit"), "metastore and testkit")
        }
        "object_store" => (name == "blobstore", "blobstore"),
        _ => return None,
    };
    (!allowed).then_some(only)
}

#[derive(Debug, Default)]
struct Manifest {
    package: String,
    dependencies: Vec<Dependency>,
}

#[derive(Debug)]
struct Dependency {
    package: String,
    is_dev: bool,
}

/// Reads as much TOML as a manifest of this workspace uses.
fn parse_manifest(text: &str) -> Manifest {
    let mut manifest = Manifest::default();
    let mut section = "";
    for line in text.lines().map(str::trim) {
        if let Some(header) = line.strip_prefix('[') {
            section = header.trim_end_matches(']');
            // `[dependencies.name]`
            if let Some((table, package)) = section.rsplit_once('.')
                && table.ends_with("dependencies")
            {
                manifest
                    .dependencies
                    .push(Dependency { package: package.to_owned(), is_dev: table.contains("dev-") });
            }
            continue;
        }
        let Some((key, value)) = line.split_once('=') else {
            continue;
        };
        let key = key.trim();
        if section == "package" && key == "name" {
            value.trim().trim_matches('"').clone_into(&mut manifest.package);
        } else if section.ends_with("dependencies") && !key.starts_with(['"', '#']) {
            let renamed = value.split_once("package = \"").and_then(|(_, rest)| rest.split('"').next());
            let package = renamed.or(key.split('.').next()).unwrap_or(key);
            manifest
                .dependencies
                .push(Dependency { package: package.to_owned(), is_dev: section.contains("dev-") });
        }
    }
    manifest
}

fn check_rust(path: &Path, text: &str, findings: &mut Vec<String>) {
    let shown = path.display();
    let lines = text.lines().count();
    if lines > MOST_LINES {
        findings.push(format!("{shown}: {lines} lines, over {MOST_LINES}; split it by subject"));
    }
    if !opens_with_documentation(text) {
        findings.push(format!("{shown}: does not open with //!; say what it is and what it must not know"));
    }
    let in_src = path.components().any(|component| component.as_os_str() == "src");
    for (number, line) in text.lines().enumerate().map(|(index, line)| (index + 1, line.trim())) {
        let code = line.split("//").next().unwrap_or_default();
        for name in UNFINISHED {
            if in_src && code.contains(&format!("{name}!")) {
                findings.push(format!(
                    "{shown}: line {number}: {name}! is for unfinished work; finish or remove it"
                ));
            }
        }
        if line.starts_with("#[ignore") {
            findings.push(format!(
                "{shown}: line {number}: an ignored test; mend it, delete it, or make it a proof"
            ));
        }
    }
}

/// Attributes of the whole file (`#![…]`) may stand before its documentation.
fn opens_with_documentation(text: &str) -> bool {
    let mut in_attribute = false;
    for line in text.lines().map(str::trim) {
        if in_attribute || line.starts_with("#![") {
            in_attribute = !line.ends_with(']');
        } else if !line.is_empty() {
            return line.starts_with("//!");
        }
    }
    false
}

fn check_links(root: &Path, path: &Path, text: &str, findings: &mut Vec<String>) {
    for link in links(text) {
        let target = link.split('#').next().unwrap_or_default();
        if target.is_empty() || target.contains(':') {
            continue;
        }
        let target = match target.strip_prefix('/') {
            Some(from_root) => root.join(from_root),
            None => root.join(path).with_file_name("").join(target),
        };
        if !target.exists() {
            findings
                .push(format!("{}: the link to {link} points nowhere; mend or remove it", path.display()));
        }
    }
}

/// Targets of inline links and of reference definitions, outside code.
fn links(text: &str) -> Vec<String> {
    let mut links = Vec::new();
    let mut in_block = false;
    for line in text.lines().map(str::trim_start) {
        if line.starts_with("```") {
            in_block = !in_block;
        }
        if in_block {
            continue;
        }
        let line: String = line.split('`').step_by(2).collect();
        let targets = line.split("](").skip(1).map(|rest| rest.split([')', ' ']).next());
        let reference = line.strip_prefix('[').and_then(|line| line.split_once("]: "));
        let reference = reference.map(|(_, target)| target.split_whitespace().next());
        links.extend(targets.chain(reference).flatten().map(str::to_owned));
    }
    links
}

#[cfg(test)]
mod tests;
