//! One writer at a time for each upload session, how far this process wrote it, and how many run.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedMutexGuard, watch};

/// Sessions whose offset is remembered. Beyond it all are forgotten, which costs a reading of the
/// object when one goes on.
const REMEMBERED: usize = 100_000;

/// The sessions that requests of this process work on at the moment.
///
/// A lock in memory is enough: one process owns the data directory of a file store.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    busy: Mutex<HashMap<String, Entry>>,
    written: Mutex<HashMap<String, u64>>,
    receiving: AtomicUsize,
}

#[derive(Debug, Clone)]
struct Entry {
    lock: Arc<tokio::sync::Mutex<()>>,
    /// The number of the request that came last.
    latest: Arc<watch::Sender<u64>>,
}

/// Holds a session until dropped.
#[derive(Debug)]
pub(crate) struct SessionGuard<'a> {
    sessions: &'a Sessions,
    uuid: String,
    entry: Entry,
    number: u64,
    guard: Option<OwnedMutexGuard<()>>,
}

/// Counts an upload as running until dropped.
#[derive(Debug)]
pub(crate) struct ReceivingGuard<'a>(&'a Sessions);

impl Sessions {
    /// Waits until no other request works on the session. A request that takes over from one whose
    /// client hung up waits until that one has put down its offset.
    pub(crate) async fn lock(&self, uuid: &str) -> SessionGuard<'_> {
        let entry = {
            let mut busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
            let entry = busy
                .entry(uuid.to_owned())
                .or_insert_with(|| Entry { lock: Arc::default(), latest: Arc::new(watch::Sender::new(0)) });
            entry.clone()
        };
        let mut number = 0;
        entry.latest.send_modify(|latest| {
            *latest += 1;
            number = *latest;
        });
        // Made before it has the lock: a request that goes away while it waits tidies up as well.
        let mut session = SessionGuard { sessions: self, uuid: uuid.to_owned(), entry, number, guard: None };
        session.guard = Some(Arc::clone(&session.entry.lock).lock_owned().await);
        session
    }

    pub(crate) fn start_receiving(&self) -> ReceivingGuard<'_> {
        self.receiving.fetch_add(1, Ordering::Relaxed);
        ReceivingGuard(self)
    }

    /// How many uploads receive bytes right now.
    pub(crate) fn receiving(&self) -> usize {
        self.receiving.load(Ordering::Relaxed)
    }

    /// Remembers that this process wrote and hashed the session up to `offset`.
    pub(crate) fn remember(&self, uuid: &str, offset: u64) {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        if written.len() >= REMEMBERED {
            written.clear();
        }
        written.insert(uuid.to_owned(), offset);
    }

    /// Whether the bytes up to `offset` were written by this process: what an earlier one wrote may
    /// be lost although its row is there.
    pub(crate) fn wrote(&self, uuid: &str, offset: u64) -> bool {
        let written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        offset == 0 || written.get(uuid) == Some(&offset)
    }

    /// Forgets a session that has ended.
    pub(crate) fn forget(&self, uuid: &str) {
        self.written.lock().unwrap_or_else(PoisonError::into_inner).remove(uuid);
    }
}

impl SessionGuard<'_> {
    /// Ends when a later request wants the session: its client has given this one up.
    pub(crate) async fn superseded(&self) {
        let mut latest = self.entry.latest.subscribe();
        // The sender lives in `self`, so waiting can't fail.
        let _ = latest.wait_for(|latest| *latest > self.number).await;
    }
}

impl Drop for SessionGuard<'_> {
    fn drop(&mut self) {
        self.guard.take();
        let mut busy = self.sessions.busy.lock().unwrap_or_else(PoisonError::into_inner);
        // The map's reference and this one are the last two when nobody waits.
        if busy.get(&self.uuid).is_some_and(|entry| Arc::strong_count(&entry.lock) == 2) {
            busy.remove(&self.uuid);
        }
    }
}

impl Drop for ReceivingGuard<'_> {
    fn drop(&mut self) {
        self.0.receiving.fetch_sub(1, Ordering::Relaxed);
    }
}
