//! Every system call of the file-system adapter, and nothing else.
//!
//! Names are relative to the root directory: a shard (`3f`) or an object (`3f/<id>`). All of them
//! may block, but for the two that look only at what the kernel has in memory.

use std::fs::File;
use std::io::{self, IoSliceMut};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Dir, Mode, OFlags, ResolveFlags};
use rustix::io::{Errno, ReadWriteFlags};

const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
const READ: OFlags = OFlags::RDONLY.union(OFlags::CLOEXEC).union(OFlags::NOFOLLOW);
const WRITE: OFlags = OFlags::WRONLY.union(OFlags::CLOEXEC).union(OFlags::NOFOLLOW);
const CREATE: OFlags = WRITE.union(OFlags::CREATE).union(OFlags::EXCL);

pub(super) fn open_directory(path: &Path) -> io::Result<OwnedFd> {
    Ok(rustix::fs::open(path, DIRECTORY, Mode::empty())?)
}

/// Makes a directory that only its owner may enter; one that is there is left as it is.
pub(super) fn make_directory(path: &Path) -> io::Result<()> {
    match rustix::fs::mkdirat(CWD, path, Mode::RWXU) {
        Err(Errno::EXIST) => Ok(()),
        made => Ok(made?),
    }
}

/// Makes the entries of a directory durable. The directory is opened for this one call: 256 that
/// stay open would be a quarter of a common limit.
pub(super) fn sync_directory(root: &OwnedFd, shard: &str) -> io::Result<()> {
    let directory = rustix::fs::openat(root, shard, DIRECTORY, Mode::empty())?;
    Ok(rustix::fs::fsync(directory)?)
}

pub(super) fn create(root: &OwnedFd, name: &str) -> io::Result<File> {
    Ok(rustix::fs::openat(root, name, CREATE, Mode::RUSR | Mode::WUSR)?.into())
}

pub(super) fn open_for_writing(root: &OwnedFd, name: &str) -> io::Result<File> {
    Ok(rustix::fs::openat(root, name, WRITE, Mode::empty())?.into())
}

pub(super) fn open_for_reading(root: &OwnedFd, name: &str) -> io::Result<File> {
    Ok(rustix::fs::openat(root, name, READ, Mode::empty())?.into())
}

/// Opens for reading if that needs no disk. `None` says nothing about the object.
pub(super) fn open_cached(root: &OwnedFd, name: &str) -> Option<File> {
    rustix::fs::openat2(root, name, READ, Mode::empty(), ResolveFlags::CACHED).ok().map(File::from)
}

/// Removes the name; one that is not there is no error.
pub(super) fn remove(root: &OwnedFd, name: &str) -> io::Result<()> {
    match rustix::fs::unlinkat(root, name, AtFlags::empty()) {
        Err(Errno::NOENT) => Ok(()),
        removed => Ok(removed?),
    }
}

/// Opens a shard to read the names in it.
pub(super) fn open_names(root: &OwnedFd, shard: &str) -> io::Result<Dir> {
    Ok(Dir::new(rustix::fs::openat(root, shard, DIRECTORY, Mode::empty())?)?)
}

/// Up to `most` names more, those that are no text left out; none at the end.
pub(super) fn read_names(shard: &mut Dir, most: usize) -> io::Result<Vec<String>> {
    let entries = shard.by_ref().take(most);
    let names = entries.map(|entry| Ok(entry?.file_name().to_str().unwrap_or_default().to_owned()));
    names.collect()
}

pub(super) fn size(file: &File) -> io::Result<u64> {
    Ok(file.metadata()?.len())
}

/// When the file was last written to or otherwise changed, in nanoseconds; nobody can set it back.
pub(super) fn changed_at(file: &File) -> io::Result<i128> {
    let metadata = file.metadata()?;
    Ok(i128::from(metadata.ctime()) * 1_000_000_000 + i128::from(metadata.ctime_nsec()))
}

pub(super) fn truncate(file: &File, size: u64) -> io::Result<()> {
    file.set_len(size)
}

/// Writes all bytes at `offset`, going on after a short write.
pub(super) fn write_at(file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
    file.write_all_at(bytes, offset)
}

/// Makes the bytes and the size of a file durable.
pub(super) fn sync_data(file: &File) -> io::Result<()> {
    file.sync_data()
}

/// Reads from `offset` until the buffer is full or the file ends; returns the bytes read.
pub(super) fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, offset + filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// Reads what the page cache has at `offset`, and does not wait for more. 0 says nothing about the
/// file: not cached, not supported by the file system, an error, or the end.
pub(super) fn read_cached(file: &File, buffer: &mut [u8], offset: u64) -> usize {
    let buffers = &mut [IoSliceMut::new(buffer)];
    rustix::io::preadv2(file, buffers, offset, ReadWriteFlags::NOWAIT).unwrap_or(0)
}
