//! Objects that no row names: a crash came between a row's end and the removal, or before either was durable.
//!
//! An upload's row is there before its object, and is replaced by the blob's in one transaction. So an object
//! that was listed and has no row now will never have one.

use futures_util::StreamExt;
use tokio::time::Instant;
use wharfinger_blobstore::{Error as BlobError, ObjectId};
use wharfinger_metastore::{operations, statements};

use super::{BATCH, Collection, Doomed, Halt, json};
use crate::Error;

statements! {
    /// Those of the given objects that no row names.
    OBJECTS_WITHOUT_ROW =
        sqlite "SELECT j.value FROM json_each($1) j
                WHERE NOT EXISTS (SELECT 1 FROM blob b WHERE b.object = j.value)
                AND NOT EXISTS (SELECT 1 FROM upload u WHERE u.object = j.value)
                AND NOT EXISTS (SELECT 1 FROM dead_object d WHERE d.object = j.value)",
        postgres "SELECT j.value FROM json_array_elements_text($1::text::json) j(value)
                  WHERE NOT EXISTS (SELECT 1 FROM blob b WHERE b.object = j.value)
                  AND NOT EXISTS (SELECT 1 FROM upload u WHERE u.object = j.value)
                  AND NOT EXISTS (SELECT 1 FROM dead_object d WHERE d.object = j.value)";
    ORPHANS_INSERT =
        sqlite "INSERT INTO dead_object (dead_at, object, size_bytes)
                SELECT $1, j.value ->> 'object', j.value ->> 'size_bytes' FROM json_each($2) j
                WHERE NOT EXISTS (SELECT 1 FROM blob b WHERE b.object = j.value ->> 'object')
                AND NOT EXISTS (SELECT 1 FROM upload u WHERE u.object = j.value ->> 'object')
                ON CONFLICT DO NOTHING",
        postgres "INSERT INTO dead_object (dead_at, object, size_bytes)
                  SELECT $1, j.object, j.size_bytes
                  FROM json_to_recordset($2::text::json) AS j(object text, size_bytes bigint)
                  WHERE NOT EXISTS (SELECT 1 FROM blob b WHERE b.object = j.object)
                  AND NOT EXISTS (SELECT 1 FROM upload u WHERE u.object = j.object)
                  ON CONFLICT DO NOTHING";
}

operations! {
    NOTE_ORPHANS = note_orphans { Durable, Guarded, unaudited "an object without a row is no state that a reader can see" };
}

const WHY: &str = "named by no row: left by a crash or a lost race";

impl Collection<'_> {
    /// Puts objects down to be removed that no row names and that are older than an upload may be. Objects are
    /// read page by page.
    ///
    /// # Errors
    /// If database or storage fail, or the process ends.
    pub async fn orphans(&mut self) -> Result<(), Error> {
        let cutoff = self.cutoff(self.ages().upload_max_age) / 1_000;
        let mut pages = self.registry.0.blobs.list();
        while let Some(page) = pages.next().await {
            let since = Instant::now();
            let old: Vec<ObjectId> = page?.into_iter().filter(|id| id.made_at_ms() < cutoff).collect();
            let old: Vec<&str> = old.iter().map(ObjectId::as_str).collect();
            let orphans: Vec<String> = match old.is_empty() {
                true => Vec::new(),
                false => self.ctx.store().all(&OBJECTS_WITHOUT_ROW, &[&json(&old)]).await?,
            };
            for batch in orphans.chunks(usize::try_from(BATCH).unwrap_or(usize::MAX)) {
                let doomed = self.measure(batch).await?;
                if !self.is_dry_run {
                    let (objects, now) = (json(&doomed), self.now());
                    self.write(&NOTE_ORPHANS, move |tx| {
                        Ok::<_, Halt>(tx.run(&ORPHANS_INSERT, &[&now, &objects])?)
                    })
                    .await?;
                }
                self.note_doomed(WHY, &doomed);
            }
            self.rest("orphans", since).await?;
        }
        Ok(())
    }

    /// The sizes of objects; those that have gone by now are left out.
    async fn measure(&self, objects: &[String]) -> Result<Vec<Doomed>, Error> {
        let mut doomed = Vec::with_capacity(objects.len());
        for object in objects {
            let id: ObjectId = object.parse()?;
            match self.registry.0.blobs.open(&id).await {
                Ok(reader) => {
                    let size_bytes = i64::try_from(reader.size()).unwrap_or(i64::MAX);
                    doomed.push(Doomed { object: object.clone(), size_bytes });
                }
                Err(BlobError::NotFound { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(doomed)
    }
}
