//! Which names are durable, and which objects no sync can be trusted with any more.
//!
//! After a sync that failed, the kernel takes what it could not write for written: the next sync says
//! that all is well. So a failure is remembered here until the object is removed.

use std::collections::HashSet;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::task::{JoinHandle, spawn_blocking};

use super::{Disk, shard};
use crate::ObjectId;

pub(super) struct Names {
    disk: Arc<dyn Disk>,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    /// Names that a sync of their directory under way may be about.
    waiting: HashSet<ObjectId>,
    /// Objects that a sync failed on.
    lost: HashSet<ObjectId>,
}

/// A name that waits for a sync of its directory.
pub(super) struct NameSync {
    names: Arc<Names>,
    id: ObjectId,
}

impl Names {
    pub(super) fn new(disk: Arc<dyn Disk>) -> Names {
        Names { disk, known: Mutex::default() }
    }

    /// To be called before the name is made: a sync of the directory that fails from here on may
    /// have been about it.
    pub(super) fn begin(self: &Arc<Names>, id: &ObjectId) -> NameSync {
        self.lock().waiting.insert(id.clone());
        NameSync { names: Arc::clone(self), id: id.clone() }
    }

    /// Fails if a sync of the object or of its name has failed.
    pub(super) fn trust(&self, id: &ObjectId) -> io::Result<()> {
        if self.lock().lost.contains(id) {
            return Err(io::Error::other("an earlier sync of it failed"));
        }
        Ok(())
    }

    /// A sync of the object has failed.
    pub(super) fn lose(&self, id: &ObjectId) {
        self.lock().lost.insert(id.clone());
    }

    /// The object is removed.
    pub(super) fn forget(&self, id: &ObjectId) {
        self.lock().lost.remove(id);
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl NameSync {
    /// Starts the fsync that makes the name durable.
    pub(super) fn spawn(self) -> JoinHandle<io::Result<()>> {
        spawn_blocking(move || {
            let shard = shard(&self.id);
            let synced = self.names.disk.sync_directory(shard);
            if synced.is_err() {
                let known = &mut *self.names.lock();
                known.lost.extend(known.waiting.iter().filter(|id| super::shard(id) == shard).cloned());
            }
            synced.and_then(|()| self.names.trust(&self.id))
        })
    }
}

impl Drop for NameSync {
    fn drop(&mut self) {
        self.names.lock().waiting.remove(&self.id);
    }
}
