//! Blobs that no repository has.

use tokio::time::Instant;
use wharfinger_metastore::{operations, row, statements};

use super::objects::DEAD_OBJECT_INSERT;
use super::{BATCH, Collection, Doomed, Halt, PAGE, json};
use crate::Error;

statements! {
    /// A page of all blobs. One may go that has no link but those that go themselves: as in `LINKS_AFTER`.
    BLOBS_AFTER =
        "SELECT b.id, b.digest, b.object, b.size_bytes, (
             SELECT l.repository_id FROM link l WHERE l.blob_id = b.id AND (l.renewed_at >= $1 OR (
                 SELECT mb.manifest_id FROM manifest_blob mb
                 JOIN manifest m ON m.id = mb.manifest_id
                 JOIN repository r ON r.id = m.repository_id
                 WHERE mb.repository_id = l.repository_id AND mb.blob_id = l.blob_id
                 AND (m.hidden_at IS NULL OR m.hidden_at >= $2) AND (r.deleted_at IS NULL OR r.deleted_at >= $2)
                 LIMIT 1
             ) IS NOT NULL) LIMIT 1
         ) IS NULL AS is_dead
         FROM blob b WHERE b.id > $3 ORDER BY b.id LIMIT $4";
    BLOBS_DELETE =
        sqlite "DELETE FROM blob WHERE id IN (SELECT value FROM json_each($1))
                AND NOT EXISTS (SELECT 1 FROM link l WHERE l.blob_id = blob.id) RETURNING digest, object, size_bytes",
        postgres "DELETE FROM blob USING json_array_elements_text($1::text::json) j(value)
                  WHERE blob.id = j.value::bigint AND NOT EXISTS (SELECT 1 FROM link l WHERE l.blob_id = blob.id)
                  RETURNING blob.digest, blob.object, blob.size_bytes";
}

row! {
    struct Blob { id: i64, digest: String, object: String, size_bytes: i64, is_dead: bool }
    struct Gone { digest: String, object: String, size_bytes: i64 }
}

operations! {
    COLLECT_BLOBS = collect_blobs { Durable, Guarded, unaudited "a blob that no repository has is no state that a reader can see" };
}

const WHY: &str = "in no repository";
const WHY_OBJECT: &str = "of a blob that is in no repository";

impl Collection<'_> {
    /// Removes the rows of blobs that no repository has, and puts their objects down to be removed.
    ///
    /// # Errors
    /// If the database fails, or the process ends.
    pub async fn blobs(&mut self) -> Result<(), Error> {
        let cutoff = self.cutoff(self.ages().unlinked_blob_age);
        let deleted = self.cutoff(self.ages().undelete_window);
        let mut after = i64::MIN;
        loop {
            let since = Instant::now();
            let page: Vec<Blob> =
                self.ctx.store().all(&BLOBS_AFTER, &[&cutoff, &deleted, &after, &PAGE]).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = last.id;
            self.rest("blobs", since).await?;
            let dead: Vec<Blob> = page.into_iter().filter(|blob| blob.is_dead).collect();
            for batch in dead.chunks(usize::try_from(BATCH).unwrap_or(usize::MAX)) {
                let since = Instant::now();
                let gone = match self.is_dry_run {
                    true => batch.iter().map(Gone::of).collect(),
                    false => self.collect_blobs(batch).await?,
                };
                for blob in &gone {
                    self.collected.blobs += 1;
                    self.collected.note("blobs", WHY, blob.size_bytes, || blob.digest.clone());
                }
                self.note_doomed(WHY_OBJECT, &objects(&gone));
                self.rest("blobs", since).await?;
            }
        }
    }

    async fn collect_blobs(&self, batch: &[Blob]) -> Result<Vec<Gone>, Error> {
        let ids = json(&batch.iter().map(|blob| blob.id).collect::<Vec<_>>());
        let now = self.now();
        let collected = self.write(&COLLECT_BLOBS, move |tx| {
            let gone: Vec<Gone> = tx.all(&BLOBS_DELETE, &[&ids])?;
            if gone.is_empty() {
                return Err(Halt::Nothing);
            }
            tx.run(&DEAD_OBJECT_INSERT, &[&now, &json(&objects(&gone))])?;
            Ok(gone)
        });
        Ok(collected.await?.unwrap_or_default())
    }
}

impl Gone {
    fn of(blob: &Blob) -> Gone {
        Gone { digest: blob.digest.clone(), object: blob.object.clone(), size_bytes: blob.size_bytes }
    }
}

fn objects(gone: &[Gone]) -> Vec<Doomed> {
    gone.iter().map(|blob| Doomed { object: blob.object.clone(), size_bytes: blob.size_bytes }).collect()
}
