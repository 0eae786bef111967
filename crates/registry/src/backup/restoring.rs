//! What comes back from a backup.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use futures_util::{StreamExt, TryStreamExt, stream};
use serde::Serialize;
use wharfinger_blobstore::{BlobStore, ChunkPool, FileStore};
use wharfinger_metastore::{Location, RowCounts, Store};

use super::AT_ONCE;
use super::copying::{Copied, copy_object, hash, open};
use super::directory::{Directory, Entry};
use crate::Error;
use crate::scrub::Fault;

/// Faults that a report names; more are counted.
const MAX_NAMED: usize = 1_000;
/// Buffers of 1 MiB.
const CHUNKS: usize = 2 * AT_ONCE;

/// What was read of a backup.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct RestoreReport {
    /// Objects that are as they should be.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Rows by table.
    pub rows: RowCounts,
    /// Blobs that were damaged in the server already, and so are not in the backup.
    pub lacking: u64,
    /// What is wrong with the backup itself.
    pub faults: Vec<Fault>,
    /// Further ones, beyond the thousand that are named.
    pub further_faults: u64,
}

impl RestoreReport {
    /// Whether all is there that the backup has ever had.
    pub fn is_whole(&self) -> bool {
        self.faults.is_empty()
    }
}

/// Reads all of a backup, and says what is wrong with it.
///
/// # Errors
/// [`Error::Directory`] if there is no backup, or its metadata is damaged: then nothing can be said of the rest.
pub async fn check(
    path: &Path,
    mut progress: impl FnMut(&RestoreReport) + Send,
) -> Result<RestoreReport, Error> {
    let (directory, description) = Directory::open_finished(path).await?;
    let objects = FileStore::open(&directory.objects()).await?;
    let mut report = RestoreReport { rows: description.rows.clone(), ..RestoreReport::default() };
    let mut entries = directory.entries(&description.metadata);
    loop {
        let page = entries.next_page().await?;
        if page.is_empty() {
            return Ok(report);
        }
        for entry in page {
            let damage = match open(&objects, &entry).await? {
                Ok(object) => hash(object, &entry).await?,
                Err(damage) => Some(damage),
            };
            report.note(&entry, damage.map(|damage| damage.to_string()));
        }
        progress(&report);
    }
}

/// Copies the objects of a backup below `objects`, then fills the empty database at `location`, in one transaction.
/// If an object of the backup is damaged the database is not touched, unless `allow_damaged`; its blob is then
/// absent to readers until it is pushed again.
///
/// # Errors
/// [`Error::Directory`] if there is no backup or its metadata is damaged; the database's own errors.
pub async fn restore(
    path: &Path,
    objects: &Path,
    location: &Location,
    allow_damaged: bool,
    mut progress: impl FnMut(&RestoreReport) + Send,
) -> Result<RestoreReport, Error> {
    let (directory, description) = Directory::open_finished(path).await?;
    let (from, to) = (FileStore::open(&directory.objects()).await?, FileStore::open(objects).await?);
    let (from, to): (&dyn BlobStore, &dyn BlobStore) = (&from, &to);
    let chunks = ChunkPool::new(CHUNKS);
    let mut report = RestoreReport::default();
    let mut entries = directory.entries(&description.metadata);
    loop {
        let page = entries.next_page().await?;
        if page.is_empty() {
            break;
        }
        let copies = page.into_iter().map(|entry| {
            let chunks = &chunks;
            async move {
                // What a restore that was cut off left is hashed.
                let copied = copy_object(from, to, chunks, &entry, false).await?;
                Ok::<_, Error>((entry, copied))
            }
        });
        let copies: Vec<(Entry, Copied)> =
            stream::iter(copies).buffer_unordered(AT_ONCE).try_collect().await?;
        for (entry, copied) in copies {
            let damage = match copied {
                Copied::Not(damage) => Some(damage.to_string()),
                Copied::Is | Copied::Now => None,
            };
            report.note(&entry, damage);
        }
        progress(&report);
    }
    if !report.is_whole() && !allow_damaged {
        return Ok(report);
    }
    let metadata = directory.metadata_path(&description.metadata);
    let file = File::open(&metadata)
        .map_err(|error| Error::Directory(format!("cannot read {}: {error}", metadata.display())))?;
    report.rows = Store::load(location, BufReader::with_capacity(1 << 18, file)).await?;
    Ok(report)
}

impl RestoreReport {
    fn note(&mut self, entry: &Entry, damage: Option<String>) {
        let Some(reason) = damage else {
            self.objects += 1;
            self.bytes += entry.size;
            return;
        };
        // One that was damaged later than an earlier backup into the same directory is in it all the same.
        if entry.is_damaged {
            self.lacking += 1;
            return;
        }
        let (kind, digest) = ("blob".to_owned(), Some(entry.digest.to_string()));
        if self.faults.len() < MAX_NAMED {
            self.faults.push(Fault { kind, digest, repository: None, reason });
        } else {
            self.further_faults += 1;
        }
    }
}
