//! Backups of a running server into a directory, and what comes back from one.
//!
//! ```text
//! DIR/backup.json            which files make up the backup; replaced in one step when they are all on disk
//! DIR/metadata-<id>.jsonl    every row of the database, as of one moment
//! DIR/objects/xx/<object>    the objects of its blobs, as the server keeps them
//! DIR/unfinished             while a backup is under way
//! DIR/lock                   held by whoever writes
//! ```
//!
//! **Whole.** The metadata is copied first, then every object that it names and that the directory lacks; object
//! ids are never used twice, so one that is there is the right one. An object's bytes are synced before its row
//! can be seen, so what the copy names exists. Collection may take an object in between: then its row is gone by
//! now, and the copy of the metadata is older than it should be. It is made again, with all objects that were
//! copied so far. That ends: an object stays for the reader's grace after its row, so a round that takes less than
//! that misses none, and each round has only what is new to copy. Nothing holds collection back meanwhile.
//!
//! **Damage.** Each object is hashed while it is copied. One that is damaged is marked, as the scrub does it, and
//! the metadata copied again: a backup is whole but for the blobs that its own rows call damaged.
//!
//! **Cut off.** Nothing that the last backup needs is touched before `backup.json` names the new one. What a
//! backup that was cut off left in `objects` is hashed before it is believed.

mod copying;
mod directory;
mod restoring;

use std::collections::HashSet;
use std::path::Path;

use futures_util::{StreamExt, TryStreamExt, stream};
use serde::Serialize;
use tokio::time::Instant;
use wharfinger_audit::Subject;
use wharfinger_blobstore::{BlobStore, FileStore};
use wharfinger_iam::{Ctx, tenancies};
use wharfinger_metastore::{RowCounts, operations};

use self::copying::{Copied, copy_object};
use self::directory::{Directory, Entries, Entry};
use crate::damage::{Finding, Stored};
use crate::scrub::Fault;
use crate::{Error, Registry, local_only};

pub use restoring::{RestoreReport, check, restore};

operations! {
    CREATE_BACKUP = create_backup { Durable, Serializable, audited };
}

/// Rows that make no sense elsewhere: uploads under way, objects that only wait to be removed, how far the scrub is.
const LEFT_OUT: &[&str] = &["dead_object", "scrub", "upload"];
/// Objects copied at the same time.
const AT_ONCE: usize = 4;
/// Copies of the metadata that a backup makes before it gives up.
const ROUNDS: usize = 10;

/// What a backup has and what was done for it.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct BackupReport {
    /// Objects in it.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Those that were not in the directory before.
    pub copied: u64,
    /// Their bytes.
    pub copied_bytes: u64,
    /// Objects of the backup before that this one does not need.
    pub removed: u64,
    /// Rows by table.
    pub rows: RowCounts,
    /// Blobs that are damaged in the server, and so not in it.
    pub faults: Vec<Fault>,
    /// How long it took.
    pub seconds: f64,
}

impl Registry {
    /// Makes the directory a backup of the server as it is now, or brings the one in it up to date. Only the local
    /// administrator may: it holds every secret that the database has. `progress` gets the report so far.
    ///
    /// # Errors
    /// A refusal; [`Error::Directory`] if the directory can't be used; [`Error::Stopping`]. The backup that was in
    /// it before stays.
    pub async fn create_backup(
        &self,
        ctx: &Ctx,
        path: &Path,
        mut progress: impl FnMut(&BackupReport) + Send,
    ) -> Result<BackupReport, Error> {
        local_only(ctx)?;
        let started = Instant::now();
        let directory = Directory::open_for_backup(path).await?;
        self.record_backup(ctx, path).await?;
        let objects = FileStore::open(&directory.objects()).await?;
        let mut report = BackupReport::default();
        let mut believed = !directory.was_cut_off();
        for _ in 0..ROUNDS {
            let file = directory.new_metadata_file();
            let metadata = directory::create(&directory.path(&file)).await?;
            let (metadata, rows) = ctx.store().dump(metadata, LEFT_OUT).await?;
            let metadata = directory::finish(file, metadata).await?;
            report.rows = rows;
            let entries = directory.entries(&metadata);
            let is_current = self.copy(ctx, entries, &objects, believed, &mut report, &mut progress).await?;
            if is_current {
                directory.switch_to(metadata.clone(), &report, ctx.now()).await?;
                report.removed = clear(&directory, &metadata, &objects).await?;
                report.seconds = started.elapsed().as_secs_f64();
                tracing::info!(
                    directory = %path.display(), objects = report.objects, copied = report.copied,
                    faults = report.faults.len(), seconds = report.seconds, "backup ended"
                );
                return Ok(report);
            }
            // Those that this backup has looked at are right by now.
            believed = true;
        }
        Err(Error::Directory(format!(
            "the backup is not made: objects went while they were copied, {ROUNDS} times over; set gc.reader_grace to \
             longer than a backup of what is new takes"
        )))
    }

    /// Who takes everything with them is on record.
    async fn record_backup(&self, ctx: &Ctx, path: &Path) -> Result<(), Error> {
        let tenancy = tenancies::first(ctx.iam()).await?;
        let (origin, path) = (ctx.origin(), path.display().to_string());
        ctx.store()
            .write(&CREATE_BACKUP, move |tx| {
                let subject = Subject::new(&tenancy.ocid, &tenancy.name).with("directory", path.as_str());
                Ok(wharfinger_audit::record(tx, tenancy.id, &origin, &subject)?)
            })
            .await
    }

    /// Copies what the entries name and the directory lacks; `false` if the entries are out of date.
    async fn copy(
        &self,
        ctx: &Ctx,
        mut entries: Entries,
        to: &FileStore,
        believed: bool,
        report: &mut BackupReport,
        progress: &mut (impl FnMut(&BackupReport) + Send),
    ) -> Result<bool, Error> {
        let mut is_current = true;
        (report.objects, report.bytes) = (0, 0);
        loop {
            let page = entries.next_page().await?;
            if page.is_empty() {
                return Ok(is_current);
            }
            let copies = page.into_iter().filter(|entry| !entry.is_damaged).map(|entry| async move {
                self.running()?;
                let copied = copy_object(&*self.0.blobs, to, &self.0.chunks, &entry, believed).await?;
                Ok::<_, Error>((entry, copied))
            });
            let copies: Vec<(Entry, Copied)> =
                stream::iter(copies).buffer_unordered(AT_ONCE).try_collect().await?;
            for (entry, copied) in copies {
                match copied {
                    Copied::Is => {}
                    Copied::Now => {
                        report.copied += 1;
                        report.copied_bytes += entry.size;
                    }
                    Copied::Not(damage) => {
                        is_current = false;
                        if let Some(fault) = self.blame(ctx, &entry, damage).await? {
                            report.faults.push(fault);
                        }
                        continue;
                    }
                }
                report.objects += 1;
                report.bytes += entry.size;
            }
            progress(report);
        }
    }

    /// Marks the blob of an object that could not be copied; `None` if it has another object by now or is gone.
    async fn blame(
        &self,
        ctx: &Ctx,
        entry: &Entry,
        damage: crate::damage::Damage,
    ) -> Result<Option<Fault>, Error> {
        let (object, digest) = (entry.object.to_string(), entry.digest.clone());
        let tenancy_id = self.tenancy_of_blob(ctx, entry.id).await?;
        let stored = Stored { id: entry.id, object, digest: digest.clone() };
        let finding = Finding { registry: self.clone(), ctx: ctx.clone(), tenancy_id, stored };
        if !finding.mark(damage).await? {
            return Ok(None);
        }
        let reason = format!("{damage}: kept from readers until it is pushed again, and not in the backup");
        Ok(Some(Fault {
            kind: "blob".to_owned(),
            digest: Some(digest.to_string()),
            repository: None,
            reason,
        }))
    }
}

/// Removes what the new backup does not need.
async fn clear(
    directory: &Directory,
    metadata: &directory::Named,
    objects: &FileStore,
) -> Result<u64, Error> {
    let mut needed = HashSet::new();
    let mut entries = directory.entries(metadata);
    loop {
        let page = entries.next_page().await?;
        if page.is_empty() {
            break;
        }
        // 16 bytes an object: the id is a number of so many hexadecimal digits.
        needed.extend(page.iter().filter_map(|entry| number(entry.object.as_str())));
    }
    let mut removed = 0;
    let mut pages = objects.list();
    while let Some(page) = pages.next().await {
        for object in page? {
            if number(object.as_str()).is_none_or(|number| !needed.contains(&number)) {
                objects.remove(&object).await?;
                removed += 1;
            }
        }
    }
    directory.end().await?;
    Ok(removed)
}

fn number(object: &str) -> Option<u128> {
    u128::from_str_radix(object, 16).ok()
}
