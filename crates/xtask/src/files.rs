//! Which files the workspace has, and what the Rust ones are made of.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// Every file below `directory` with this extension, sorted; not in `target` or hidden directories.
pub(crate) fn with_extension(directory: &Path, extension: &str) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut directories = vec![directory.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory).with_context(|| directory.display().to_string())? {
            let entry = entry?;
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if entry.file_type()?.is_dir() {
                if name != "target" && !name.starts_with('.') {
                    directories.push(entry.path());
                }
            } else if entry.path().extension().is_some_and(|found| found == extension) {
                found.push(entry.path());
            }
        }
    }
    found.sort();
    Ok(found)
}

/// The directories of the workspace's members, as the root manifest lists them.
pub(crate) fn members(root: &Path) -> Result<Vec<PathBuf>> {
    let manifest = fs::read_to_string(root.join("Cargo.toml")).context("Cargo.toml of the workspace")?;
    let (_, list) = manifest.split_once("members = [").context("Cargo.toml: no `members = [`")?;
    let (list, _) = list.split_once(']').context("Cargo.toml: members has no end")?;
    let mut members = Vec::new();
    for entry in list.split(',').map(|entry| entry.trim().trim_matches('"')).filter(|entry| !entry.is_empty())
    {
        let Some(parent) = entry.strip_suffix("/*") else {
            members.push(root.join(entry));
            continue;
        };
        for directory in fs::read_dir(root.join(parent)).with_context(|| parent.to_owned())? {
            let directory = directory?.path();
            if directory.join("Cargo.toml").exists() {
                members.push(directory);
            }
        }
    }
    members.sort();
    Ok(members)
}

/// A path's last component.
pub(crate) fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
