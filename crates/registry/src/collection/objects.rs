//! Objects whose rows have gone: removed when nobody can be reading them any more.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use tokio::time::Instant;
use wharfinger_blobstore::{BlobStore, ObjectId};
use wharfinger_metastore::{operations, row, statements};

use super::{BATCH, Collection, Halt, json};
use crate::Error;

statements! {
    /// Puts objects down to be removed: a JSON list of `object` and `size_bytes`.
    DEAD_OBJECT_INSERT =
        sqlite "INSERT INTO dead_object (dead_at, object, size_bytes)
                SELECT $1, j.value ->> 'object', j.value ->> 'size_bytes' FROM json_each($2) j
                WHERE TRUE ON CONFLICT DO NOTHING",
        postgres "INSERT INTO dead_object (dead_at, object, size_bytes)
                  SELECT $1, j.object, j.size_bytes
                  FROM json_to_recordset($2::text::json) AS j(object text, size_bytes bigint)
                  ON CONFLICT DO NOTHING";
    DEAD_OBJECTS_AFTER =
        "SELECT object, size_bytes, dead_at FROM dead_object
         WHERE (dead_at, object) > ($1, $2) ORDER BY dead_at, object LIMIT $3";
    DEAD_OBJECTS_DELETE =
        sqlite "DELETE FROM dead_object WHERE object IN (SELECT value FROM json_each($1))",
        postgres "DELETE FROM dead_object USING json_array_elements_text($1::text::json) j(value)
                  WHERE dead_object.object = j.value";
}

row! {
    struct Dead { object: String, size_bytes: i64, dead_at: i64 }
}

operations! {
    FORGET_OBJECTS = forget_objects { Durable, Guarded, unaudited "an object without a blob is no state that a reader can see" };
}

/// Removals at the same time: each waits for a thread, or for a storage far away.
const AT_ONCE: usize = 8;
const WHY: &str = "put down by an earlier run";

impl Collection<'_> {
    /// Removes objects that were put down, those last put down when the grace for readers is over.
    ///
    /// # Errors
    /// If the database fails, or the process ends. An object that can't be removed stays for the next run.
    pub async fn objects(&mut self) -> Result<(), Error> {
        let grace = self.ages().reader_grace;
        let (mut after, mut object) = (i64::MIN, String::new());
        loop {
            let since = Instant::now();
            let page: Vec<Dead> =
                self.ctx.store().all(&DEAD_OBJECTS_AFTER, &[&after, &object, &BATCH]).await?;
            let Some(last) = page.last() else { return Ok(()) };
            (after, object) = (last.dead_at, last.object.clone());
            if self.is_dry_run {
                for dead in page {
                    self.collected.count_object(dead.size_bytes);
                    self.collected.note("objects", WHY, dead.size_bytes, || dead.object);
                }
            } else {
                self.wait_until_older(last.dead_at, grace).await?;
                self.remove(page).await?;
            }
            self.rest("objects", since).await?;
        }
    }

    async fn wait_until_older(&self, time: i64, seconds: i64) -> Result<(), Error> {
        let left = time.saturating_sub(self.cutoff(seconds));
        if left <= 0 {
            return Ok(());
        }
        self.registry.note_progress("waiting for readers", &self.collected);
        // Longer only if the clock was set back.
        let most = u64::try_from(seconds).unwrap_or(0).saturating_mul(1_000_000);
        let left = u64::try_from(left).unwrap_or(0).min(most);
        self.registry.sleep(Duration::from_micros(left)).await
    }

    async fn remove(&mut self, page: Vec<Dead>) -> Result<(), Error> {
        let blobs = Arc::clone(&self.registry.0.blobs);
        let removals = stream::iter(page).map(move |dead| remove(Arc::clone(&blobs), dead));
        let removed: Vec<Option<Dead>> = removals.buffer_unordered(AT_ONCE).collect().await;
        let removed: Vec<Dead> = removed.into_iter().flatten().collect();
        let objects = json(&removed.iter().map(|dead| dead.object.as_str()).collect::<Vec<_>>());
        self.write(&FORGET_OBJECTS, move |tx| Ok::<_, Halt>(tx.run(&DEAD_OBJECTS_DELETE, &[&objects])?))
            .await?;
        for dead in removed {
            self.collected.count_object(dead.size_bytes);
        }
        Ok(())
    }
}

/// The object if it is gone. One that can't be removed is left to the next run.
async fn remove(blobs: Arc<dyn BlobStore>, dead: Dead) -> Option<Dead> {
    let removed = match dead.object.parse::<ObjectId>() {
        Ok(id) => blobs.remove(&id).await,
        Err(error) => Err(error),
    };
    match removed {
        Ok(()) => Some(dead),
        Err(error) => {
            tracing::warn!(object = dead.object, %error, "cannot remove a dead object");
            None
        }
    }
}
