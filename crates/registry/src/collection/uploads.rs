//! Upload sessions that took too long. Their requests find the row gone and are told so.

use tokio::time::Instant;
use wharfinger_metastore::{operations, row, statements};

use super::objects::DEAD_OBJECT_INSERT;
use super::{BATCH, Collection, Doomed, Halt, json};
use crate::Error;

statements! {
    UPLOADS_BEFORE =
        "SELECT id, created_at, object, offset_bytes FROM upload
         WHERE created_at < $1 AND (created_at, id) > ($2, $3) ORDER BY created_at, id LIMIT $4";
    UPLOADS_EXPIRE =
        sqlite "DELETE FROM upload WHERE id IN (SELECT value FROM json_each($1)) RETURNING object, offset_bytes",
        postgres "DELETE FROM upload USING json_array_elements_text($1::text::json) j(value)
                  WHERE upload.id = j.value::bigint RETURNING upload.object, upload.offset_bytes";
}

row! {
    struct OldUpload { id: i64, created_at: i64, object: String, offset_bytes: i64 }
    struct Expired { object: String, offset_bytes: i64 }
}

operations! {
    EXPIRE_UPLOADS = expire_uploads { Durable, Guarded, unaudited "an upload in progress is no state that a reader can see" };
}

const WHY: &str = "of an upload that is older than registry.upload_max_age";

impl Collection<'_> {
    /// Ends upload sessions that are older than an upload may be.
    ///
    /// # Errors
    /// If the database fails, or the process ends.
    pub async fn uploads(&mut self) -> Result<(), Error> {
        let cutoff = self.cutoff(self.ages().upload_max_age);
        let (mut after, mut id) = (i64::MIN, i64::MIN);
        loop {
            let since = Instant::now();
            let page: Vec<OldUpload> =
                self.ctx.store().all(&UPLOADS_BEFORE, &[&cutoff, &after, &id, &BATCH]).await?;
            let Some(last) = page.last() else { return Ok(()) };
            (after, id) = (last.created_at, last.id);
            let doomed = if self.is_dry_run {
                page.into_iter()
                    .map(|OldUpload { object, offset_bytes, .. }| Expired { object, offset_bytes })
                    .collect()
            } else {
                self.expire(&page).await?
            };
            let doomed: Vec<Doomed> = doomed
                .into_iter()
                .map(|Expired { object, offset_bytes }| Doomed { object, size_bytes: offset_bytes })
                .collect();
            self.note_doomed(WHY, &doomed);
            self.rest("uploads", since).await?;
        }
    }

    async fn expire(&self, uploads: &[OldUpload]) -> Result<Vec<Expired>, Error> {
        let ids = json(&uploads.iter().map(|upload| upload.id).collect::<Vec<_>>());
        let now = self.now();
        let expired = self.write(&EXPIRE_UPLOADS, move |tx| {
            let expired: Vec<Expired> = tx.all(&UPLOADS_EXPIRE, &[&ids])?;
            let doomed: Vec<Doomed> = expired
                .iter()
                .map(|one| Doomed { object: one.object.clone(), size_bytes: one.offset_bytes })
                .collect();
            tx.run(&DEAD_OBJECT_INSERT, &[&now, &json(&doomed)])?;
            Ok::<_, Halt>(expired)
        });
        Ok(expired.await?.unwrap_or_default())
    }
}
