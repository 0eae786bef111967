//! Takes each sync out of a copy of the code, one at a time, and demands that a test fails.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};

use crate::workspace::{Workspace, run};

/// A sync, the file it is in, and the texts that take it out: what to find, once, and what to put there.
struct Sync {
    name: &'static str,
    file: &'static str,
    edits: &'static [(&'static str, &'static str)],
}

const SYNCS: [Sync; 18] = [
    Sync {
        name: "object-bytes",
        file: "crates/blobstore/src/fs/writer.rs",
        edits: &[("file.sync_data().inspect_err(", "Ok(drop(file)).inspect_err(")],
    },
    Sync {
        name: "object-name-created",
        file: "crates/blobstore/src/fs/mod.rs",
        edits: &[(
            "Ok(file) => Ok((writing.adopt(&id_made, file), name_sync.spawn())),",
            "Ok(file) => Ok((writing.adopt(&id_made, file), tokio::task::spawn_blocking(|| Ok(())))),",
        )],
    },
    Sync {
        name: "object-name-resumed",
        file: "crates/blobstore/src/fs/mod.rs",
        edits: &[(
            "Ok((object, turn, name_sync.spawn()))",
            "Ok((object, turn, tokio::task::spawn_blocking(|| { drop(name_sync); Ok(()) })))",
        )],
    },
    Sync {
        name: "object-name-awaited",
        file: "crates/blobstore/src/fs/writer.rs",
        edits: &[("synced.map_err(|source| Error::io(action, source))?;", "drop(synced);")],
    },
    Sync {
        name: "shards",
        file: "crates/blobstore/src/fs/mod.rs",
        edits: &[("disk.sync_directory(\".\")?;", "")],
    },
    Sync {
        name: "object-directory",
        file: "crates/blobstore/src/fs/mod.rs",
        edits: &[("disk.sync_directory(\"..\")", "Ok(())")],
    },
    Sync {
        name: "sqlite-log",
        file: "crates/metastore/src/sqlite.rs",
        edits: &[
            ("\"synchronous\", \"FULL\"", "\"synchronous\", \"NORMAL\""),
            ("Promise::Durable { \"FULL\" }", "Promise::Durable { \"NORMAL\" }"),
        ],
    },
    Sync {
        name: "sqlite-log-anew",
        file: "crates/metastore/src/sqlite.rs",
        edits: &[("log.is_doubtful.store(true, Ordering::Relaxed);", "")],
    },
    Sync {
        name: "postgres-commit",
        file: "crates/metastore/src/postgres.rs",
        edits: &[(
            "Promise::Durable => self.script(begin),",
            "Promise::Durable => self.script(&format!(\"{begin}; SET LOCAL synchronous_commit = off\")),",
        )],
    },
    Sync { name: "bootstrap-bytes", file: DATA_DIR, edits: &[("file.sync_all()?;", "")] },
    Sync {
        name: "bootstrap-name",
        file: DATA_DIR,
        edits: &[(
            "rename(&unfinished, self.join(name))?;\n        File::open(&self.path)?.sync_all()",
            "rename(&unfinished, self.join(name))?;\n        Ok(())",
        )],
    },
    Sync {
        name: "own-directory",
        file: "crates/blobstore/src/fs/directory.rs",
        edits: &[(
            "File::open(ancestor).and_then(|directory| directory.sync_all())",
            "File::open(ancestor).map(drop)",
        )],
    },
    Sync {
        name: "restore-end",
        file: DATA_DIR,
        edits: &[(
            "remove_file(self.join(name))?;\n        File::open(&self.path)?.sync_all()",
            "remove_file(self.join(name))?;\n        Ok(())",
        )],
    },
    Sync { name: "backup-metadata", file: BACKUP, edits: &[("written.sync_all()?;", "")] },
    Sync { name: "backup-description", file: BACKUP, edits: &[("file.sync_all()?;", "")] },
    Sync {
        name: "backup-names",
        file: BACKUP,
        edits: &[("sync(path)?;\n            fs::rename", "fs::rename")],
    },
    Sync {
        name: "backup-switch",
        file: BACKUP,
        edits: &[("path.join(DESCRIPTION))?;\n            sync(path)", "path.join(DESCRIPTION))")],
    },
    Sync {
        name: "backup-end",
        file: BACKUP,
        edits: &[("path.join(UNFINISHED))?;\n            sync(path)", "path.join(UNFINISHED))")],
    },
];

const DATA_DIR: &str = "crates/server/src/data_dir.rs";
const BACKUP: &str = "crates/registry/src/backup/directory.rs";

/// What must fail, the quicker first.
const TESTS: [(&str, &str); 2] = [("wharfinger-e2e", "syscalls"), ("wharfinger-registry", "crashes")];

/// The names of all syncs.
pub(crate) fn names() -> Vec<&'static str> {
    SYNCS.iter().map(|sync| sync.name).collect()
}

/// Runs the tests on the code as it is, which must pass, and without each sync, or without those named.
pub(crate) fn prove(workspace: &Workspace, only: &[&str]) -> Result<()> {
    if let Some(unknown) = only.iter().find(|name| !names().contains(name)) {
        bail!("there is no sync {unknown}; they are {}", names().join(" "));
    }
    let _lock = workspace.lock()?;
    let scratch = Scratch::new(workspace)?;
    if let Some(failure) = scratch.failure()? {
        bail!("a test fails with all syncs in place: {failure}");
    }
    println!("{:<20} test that fails without it, and its message", "sync");
    let mut missed = Vec::new();
    for sync in SYNCS.iter().filter(|sync| only.is_empty() || only.contains(&sync.name)) {
        let source = scratch.take_out(sync)?;
        let failure = scratch.failure();
        fs::write(scratch.tree.join(sync.file), source)?;
        match failure? {
            Some(failure) => println!("{:<20} {failure}", sync.name),
            None => {
                println!("{:<20} none", sync.name);
                missed.push(sync.name);
            }
        }
    }
    ensure!(missed.is_empty(), "no test misses these syncs: {}", missed.join(" "));
    Ok(())
}

/// A copy of the workspace that is built apart.
struct Scratch {
    tree: PathBuf,
    target: PathBuf,
    tools: PathBuf,
}

impl Scratch {
    fn new(workspace: &Workspace) -> Result<Self> {
        let directory = workspace.cache.join("syncs");
        let tree = directory.join("tree");
        let listed = Command::new("git").args(["ls-files", "-z"]).current_dir(&workspace.root).output()?;
        let listed = String::from_utf8(listed.stdout)?;
        let names: BTreeSet<PathBuf> = listed.split_terminator('\0').map(|name| tree.join(name)).collect();
        remove_others(&tree, &names)?;
        for name in listed.split_terminator('\0') {
            copy_if_changed(&workspace.root.join(name), &tree.join(name))?;
        }
        Ok(Self { tree, target: directory.join("target"), tools: workspace.bin() })
    }

    /// Takes a sync out and gives the file as it was.
    fn take_out(&self, sync: &Sync) -> Result<String> {
        let path = self.tree.join(sync.file);
        let whole = fs::read_to_string(&path)?;
        let mut source = whole.clone();
        for (find, replacement) in sync.edits {
            let found = source.matches(find).count();
            ensure!(found == 1, "{}: `{find}` is {found} times in {}, not once", sync.name, sync.file);
            source = source.replace(find, replacement);
        }
        fs::write(path, source)?;
        Ok(whole)
    }

    /// The first test that fails, with the first line of its message.
    fn failure(&self) -> Result<Option<String>> {
        for (package, filter) in TESTS {
            if package == "wharfinger-e2e" {
                run(&mut self.cargo(&["build", "--quiet", "-p", "wharfinger"]))?;
            }
            let arguments = ["test", "--quiet", "-p", package, "--test", "it"];
            run(self.cargo(&arguments).arg("--no-run"))?;
            let output = self.cargo(&arguments).arg(filter).output()?;
            if output.status.success() {
                continue;
            }
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            let (_, after) = text.split_once("---- ").with_context(|| format!("no test failed: {text}"))?;
            let test = after.split_once(' ').map_or(after, |(test, _)| test);
            let (_, message) = after.split_once("panicked at ").context("a test fails by a panic")?;
            let message: String = message.lines().nth(1).unwrap_or_default().chars().take(200).collect();
            return Ok(Some(format!("{test}: {message}")));
        }
        Ok(None)
    }

    fn cargo(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("cargo");
        command.args(arguments).current_dir(&self.tree);
        command
            .env("CARGO_TARGET_DIR", &self.target)
            .env("RUST_BACKTRACE", "0")
            .env("RUSTFLAGS", "-Awarnings");
        command
            .env("WHARFINGER_BIN", self.target.join("debug/wharfinger"))
            .env("WHARFINGER_TOOLS", &self.tools);
        command
    }
}

/// Removes the files of an earlier copy that the workspace has no more.
fn remove_others(directory: &Path, names: &BTreeSet<PathBuf>) -> Result<()> {
    if !directory.exists() {
        return Ok(());
    }
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_others(&entry.path(), names)?;
        } else if !names.contains(&entry.path()) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Files that are the same keep their time, so that they are not built again.
fn copy_if_changed(from: &Path, to: &Path) -> Result<()> {
    let bytes = match fs::read(from) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        read => read.with_context(|| from.display().to_string())?,
    };
    if fs::read(to).is_ok_and(|there| there == bytes) {
        return Ok(());
    }
    fs::create_dir_all(to.parent().context("a file is in a directory")?)?;
    fs::write(to, bytes).with_context(|| to.display().to_string())
}
