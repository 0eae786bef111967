//! What the store promises, on memory and on files.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod chunk;
mod contract;
mod fs;
mod id;
mod property;
mod simulated;

use std::path::{Path, PathBuf};

/// A directory of this test alone, removed at its end.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Scratch {
        let name = format!("objects-{}", wharfinger_blobstore::ObjectId::fresh());
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::create_dir(&path).unwrap();
        Scratch(path)
    }

    /// Where a store goes: not there yet.
    fn root(&self) -> PathBuf {
        self.0.join("objects")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
