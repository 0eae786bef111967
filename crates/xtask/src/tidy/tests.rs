//! Each rule seen failing on a small workspace.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use super::*;

const CLEAN: [(&str, &str); 12] = [
    ("Cargo.toml", "[workspace]\nmembers = [\"crates/*\", \"bench\"]\n"),
    (
        "ARCHITECTURE.md",
        "# A\n```layers\n0 types -> -\n1 metastore -> types\n3 api-x -> types\n4 bench -> -\n5 testkit -> types metastore\n```\n\
         [types](crates/types/src/lib.rs#a), [`code`](/bench), [out](other:path)\n\n[ref]: bench\n```\n[no](link)\n```\n`[no](link)`\n",
    ),
    ("bench/Cargo.toml", "[package]\nname = \"wharfinger-bench\"\n"),
    ("bench/src/main.rs", "#![allow(\n    dead_code\n)]\n\n//! Main.\nfn main() {} // dbg! is named here\n"),
    ("crates/types/Cargo.toml", "[package]\nname = \"wharfinger-types\"\n"),
    ("crates/types/src/lib.rs", "//! Types.\n"),
    (
        "crates/metastore/Cargo.toml",
        "[package]\nname = \"wharfinger-metastore\"\n[dependencies]\nrusqlite.workspace = true\n\
         tokio = { workspace = true, features = [\n  \"rt\",\n] }\nwharfinger-types.workspace = true\n\
         [dev-dependencies]\nwharfinger-testkit.workspace = true\n",
    ),
    ("crates/metastore/src/lib.rs", "//! Store.\n"),
    (
        "crates/api-x/Cargo.toml",
        "[package]\nname = \"wharfinger-api-x\"\n[dependencies]\naxum.workspace = true\n",
    ),
    ("crates/api-x/src/lib.rs", "//! Face.\n"),
    (
        "crates/testkit/Cargo.toml",
        "[package]\nname = \"wharfinger-testkit\"\n[dependencies]\npostgres.workspace = true\n",
    ),
    ("crates/testkit/src/lib.rs", "//! Kit.\n"),
];

/// The findings on the clean workspace with these files added or replaced.
fn findings(changes: &[(&str, &str)]) -> Vec<String> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let name = format!("xtask-tidy-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    let root = Removed(std::env::temp_dir().join(name));
    for (path, text) in CLEAN.iter().chain(changes) {
        let path = root.0.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    check(&root.0).unwrap()
}

struct Removed(PathBuf);

impl Drop for Removed {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Exactly one finding, on that path, that says so.
fn assert_finds(path: &str, text: &str, says: &str) {
    let found = findings(&[(path, text)]);
    let [finding] = found.as_slice() else { panic!("not one finding: {found:#?}") };
    assert!(finding.contains(says), "{finding}");
}

#[test]
fn a_clean_workspace_has_no_findings() {
    assert_eq!(findings(&[]), Vec::<String>::new());
}

#[test]
fn a_crate_missing_from_the_table_is_found() {
    let found = findings(&[("crates/iam/Cargo.toml", "[package]\nname = \"wharfinger-iam\"\n")]);
    assert_eq!(
        found,
        ["crates/iam/Cargo.toml: iam is not in the layer table of ARCHITECTURE.md; add a line"]
    );
}

#[test]
fn mistakes_in_the_table_are_found() {
    let table = |lines: &str| {
        format!(
            "```layers\n0 types -> -\n1 metastore -> types\n3 api-x -> types\n4 bench -> -\n{lines}\n```\n"
        )
    };
    let testkit = "5 testkit -> types metastore";
    let cases = [
        ("", "crates/testkit/Cargo.toml: testkit is not in the layer table"),
        (&format!("{testkit}\n2 gone -> -"), "names gone, which is no crate"),
        (&format!("{testkit}\n4 bench -> -"), "names bench twice"),
        ("1 testkit -> types api-x", "testkit -> api-x points up"),
        ("1 testkit -> types gone", "testkit -> gone has no line"),
        (&format!("{testkit}\n5 bench types"), "layer `5 bench types` is not"),
    ];
    for (lines, says) in cases {
        assert_finds("ARCHITECTURE.md", &table(lines), says);
    }
    assert_finds("ARCHITECTURE.md", "# A\n", "has no block opened by ```layers");
}

#[test]
fn a_dependency_outside_the_table_is_found_in_every_notation() {
    for dependency in [
        "[dependencies]\nwharfinger-metastore.workspace = true",
        "[dependencies]\nwharfinger-metastore = { workspace = true }",
        "[dependencies.wharfinger-metastore]\nworkspace = true",
        "[dependencies]\nstore = { package = \"wharfinger-metastore\", path = \"../metastore\" }",
        "[target.'cfg(unix)'.dependencies]\nwharfinger-metastore.workspace = true",
        "[build-dependencies]\nwharfinger-metastore.workspace = true",
        "[dev-dependencies]\nwharfinger-metastore.workspace = true",
    ] {
        let manifest = format!("[package]\nname = \"wharfinger-types\"\n{dependency}\n");
        assert_finds("crates/types/Cargo.toml", &manifest, "types may not depend on metastore");
    }
}

#[test]
fn testkit_is_for_tests_only() {
    let manifest =
        "[package]\nname = \"wharfinger-types\"\n[dependencies]\nwharfinger-testkit.workspace = true\n";
    assert_finds("crates/types/Cargo.toml", manifest, "types may not depend on testkit");
}

#[test]
fn libraries_of_one_layer_are_refused_elsewhere() {
    for library in ["axum", "rusqlite", "postgres", "tokio-postgres", "deadpool-postgres", "object_store"] {
        let manifest =
            format!("[package]\nname = \"wharfinger-types\"\n[dependencies]\n{library}.workspace = true\n");
        assert_finds("crates/types/Cargo.toml", &manifest, &format!("{library} is only for"));
    }
}

#[test]
fn a_file_of_over_800_lines_is_found() {
    assert_finds("crates/types/src/lib.rs", &"//! Types.\n".repeat(801), "801 lines, over 800");
}

#[test]
fn a_file_without_documentation_on_top_is_found() {
    for text in ["", "fn a() {}\n", "// Types.\n//! Late.\n", "#![allow(dead_code)]\nfn a() {}\n"] {
        assert_finds("crates/types/src/lib.rs", text, "does not open with //!");
    }
}

#[test]
fn unfinished_work_is_found_in_src() {
    for name in UNFINISHED {
        let text = format!("//! Types.\nfn a() {{\n    {name}!()\n}}\n");
        assert_finds("crates/types/src/lib.rs", &text, &format!("line 3: {name}! is for unfinished work"));
        assert_eq!(findings(&[("crates/types/tests/it/main.rs", &text)]), Vec::<String>::new());
    }
}

#[test]
fn an_ignored_test_is_found() {
    for attribute in ["#[ignore]", "#[ignore = \"slow\"]"] {
        let text = format!("//! Tests.\n#[test]\n    {attribute}\nfn a() {{}}\n");
        assert_finds("crates/types/tests/it/main.rs", &text, "line 3: an ignored test");
    }
}

#[test]
fn a_link_that_points_nowhere_is_found() {
    for link in
        ["[a](gone.md)", "[a](gone.md#b)", "[`a`](../gone.md)", "[a](/gone.md \"title\")", "[a]: gone.md"]
    {
        assert_finds("docs/a.md", &format!("# A\n{link}\n"), "points nowhere");
    }
}
