//! A directory of one's own.

use std::fs::{DirBuilder, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

const NOT_OURS: [ErrorKind; 3] =
    [ErrorKind::PermissionDenied, ErrorKind::ReadOnlyFilesystem, ErrorKind::InvalidInput];

/// Makes a directory for the owner only, and those that it is in, where absent, and makes their names durable: this
/// start or an earlier one, cut off in between, may have made them all. Gives its canonical path. Blocks.
///
/// # Errors
/// The file system's.
pub fn make_directory(path: &Path) -> io::Result<PathBuf> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    let path = path.canonicalize()?;
    for ancestor in path.ancestors().skip(1) {
        match File::open(ancestor).and_then(|directory| directory.sync_all()) {
            // Where we may not read or write, we have made nothing, nor anywhere above.
            Err(error) if NOT_OURS.contains(&error.kind()) => break,
            synced => synced?,
        }
    }
    Ok(path)
}
