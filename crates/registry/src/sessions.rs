//! One writer at a time for each upload session, and how many uploads run.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::OwnedMutexGuard;

/// The sessions that requests of this process work on at the moment.
///
/// A lock in memory is enough: one process owns the data directory of a file store.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    busy: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
    receiving: AtomicUsize,
}

/// Holds a session until dropped.
#[derive(Debug)]
pub(crate) struct SessionGuard<'a> {
    sessions: &'a Sessions,
    id: String,
    guard: Option<OwnedMutexGuard<()>>,
}

/// Counts an upload as running until dropped.
#[derive(Debug)]
pub(crate) struct ReceivingGuard<'a>(&'a Sessions);

impl Sessions {
    /// Waits until no other request works on the session. A request that takes over from one whose
    /// client hung up waits until that one has put down its offset.
    pub(crate) async fn lock(&self, id: &str) -> SessionGuard<'_> {
        let mutex = {
            let mut busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(busy.entry(id.to_owned()).or_default())
        };
        let guard = mutex.lock_owned().await;
        SessionGuard {
            sessions: self,
            id: id.to_owned(),
            guard: Some(guard),
        }
    }

    pub(crate) fn start_receiving(&self) -> ReceivingGuard<'_> {
        self.receiving.fetch_add(1, Ordering::Relaxed);
        ReceivingGuard(self)
    }

    /// How many uploads receive bytes right now.
    pub(crate) fn receiving(&self) -> usize {
        self.receiving.load(Ordering::Relaxed)
    }
}

impl Drop for SessionGuard<'_> {
    fn drop(&mut self) {
        self.guard.take();
        let mut busy = self
            .sessions
            .busy
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        // The map's own reference is the last one when nobody waits.
        if busy
            .get(&self.id)
            .is_some_and(|mutex| Arc::strong_count(mutex) == 1)
        {
            busy.remove(&self.id);
        }
    }
}

impl Drop for ReceivingGuard<'_> {
    fn drop(&mut self) {
        self.0.receiving.fetch_sub(1, Ordering::Relaxed);
    }
}
