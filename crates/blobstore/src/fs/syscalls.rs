//! The real file system: every system call of the adapter, and nothing else.

use std::fmt;
use std::fs::File;
use std::io::{self, IoSliceMut};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{AtFlags, CWD, Dir, DirEntry, Mode, OFlags, ResolveFlags};
use rustix::io::{Errno, ReadWriteFlags};

use super::disk::{Disk, DiskFile, NameIter};

const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
const READ: OFlags = OFlags::RDONLY.union(OFlags::CLOEXEC).union(OFlags::NOFOLLOW);
const WRITE: OFlags = OFlags::WRONLY.union(OFlags::CLOEXEC).union(OFlags::NOFOLLOW);
const CREATE: OFlags = WRITE.union(OFlags::CREATE).union(OFlags::EXCL);

/// A directory that is held open.
pub(super) struct Directory {
    path: PathBuf,
    held: OwnedFd,
}

impl fmt::Debug for Directory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.path.fmt(f)
    }
}

impl Directory {
    /// Opens the directory, and makes it if it is not there.
    pub(super) fn open(path: &Path) -> io::Result<Directory> {
        make(rustix::fs::mkdirat(CWD, path, Mode::RWXU))?;
        let held = rustix::fs::open(path, DIRECTORY, Mode::empty())?;
        Ok(Directory { path: path.to_owned(), held })
    }

    fn open_file(&self, name: &str, flags: OFlags, mode: Mode) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(File::from(rustix::fs::openat(&self.held, name, flags, mode)?)))
    }
}

fn make(made: rustix::io::Result<()>) -> io::Result<()> {
    match made {
        Err(Errno::EXIST) => Ok(()),
        made => Ok(made?),
    }
}

impl Disk for Directory {
    fn make_directory(&self, name: &str) -> io::Result<()> {
        make(rustix::fs::mkdirat(&self.held, name, Mode::RWXU))
    }

    /// The directory is opened for this one call: 256 that stay open would be a quarter of a common
    /// limit.
    fn sync_directory(&self, name: &str) -> io::Result<()> {
        let directory = rustix::fs::openat(&self.held, name, DIRECTORY, Mode::empty())?;
        Ok(rustix::fs::fsync(directory)?)
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        self.open_file(name, CREATE, Mode::RUSR | Mode::WUSR)
    }

    fn open_for_writing(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        self.open_file(name, WRITE, Mode::empty())
    }

    fn open_for_reading(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        self.open_file(name, READ, Mode::empty())
    }

    fn open_cached(&self, name: &str) -> Option<Arc<dyn DiskFile>> {
        let opened = rustix::fs::openat2(&self.held, name, READ, Mode::empty(), ResolveFlags::CACHED);
        Some(Arc::new(File::from(opened.ok()?)))
    }

    fn names(&self, shard: &str) -> io::Result<NameIter> {
        let entries = Dir::new(rustix::fs::openat(&self.held, shard, DIRECTORY, Mode::empty())?)?;
        let name = |entry: DirEntry| entry.file_name().to_str().unwrap_or_default().to_owned();
        Ok(Box::new(entries.map(move |entry| Ok(name(entry?)))))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        match rustix::fs::unlinkat(&self.held, name, AtFlags::empty()) {
            Err(Errno::NOENT) => Ok(()),
            removed => Ok(removed?),
        }
    }
}

impl DiskFile for File {
    fn size(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn changed_at(&self) -> io::Result<i128> {
        let metadata = self.metadata()?;
        Ok(i128::from(metadata.ctime()) * 1_000_000_000 + i128::from(metadata.ctime_nsec()))
    }

    fn truncate(&self, size: u64) -> io::Result<()> {
        self.set_len(size)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.write_all_at(bytes, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        File::sync_data(self)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut filled = 0;
        while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match FileExt::read_at(self, rest, offset + filled as u64) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }

    fn read_cached(&self, buffer: &mut [u8], offset: u64) -> usize {
        let buffers = &mut [IoSliceMut::new(buffer)];
        rustix::io::preadv2(self, buffers, offset, ReadWriteFlags::NOWAIT).unwrap_or(0)
    }
}
