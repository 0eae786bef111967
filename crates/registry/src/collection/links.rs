//! Blobs that a repository has for no manifest, once nobody has pushed, mounted or asked for them for a while.

use tokio::time::Instant;
use wharfinger_metastore::{operations, row, statements};

use super::manifests::{REPOSITORY_OF_ROWS, RepositoryOfRows};
use super::{Collection, Halt, PAGE, by_repository, json};
use crate::Error;

statements! {
    /// A page of all links. One may go that is older than `$1` and that no manifest uses but those that go
    /// themselves: deleted, or with their repository, before `$2`. A look-up each: of an EXISTS here PostgreSQL may
    /// make a table of all manifests.
    LINKS_AFTER =
        "SELECT l.repository_id, l.blob_id, l.renewed_at < $1 AND (
             SELECT mb.manifest_id FROM manifest_blob mb
             JOIN manifest m ON m.id = mb.manifest_id
             JOIN repository r ON r.id = m.repository_id
             WHERE mb.repository_id = l.repository_id AND mb.blob_id = l.blob_id
             AND (m.hidden_at IS NULL OR m.hidden_at >= $2) AND (r.deleted_at IS NULL OR r.deleted_at >= $2)
             LIMIT 1
         ) IS NULL AS is_dead
         FROM link l WHERE (l.repository_id, l.blob_id) > ($3, $4) ORDER BY l.repository_id, l.blob_id LIMIT $5";
    LINKS_DELETE =
        sqlite "DELETE FROM link WHERE repository_id = $1 AND blob_id IN (SELECT value FROM json_each($2))
                AND renewed_at < $3 AND NOT EXISTS (SELECT 1 FROM manifest_blob mb
                    WHERE mb.repository_id = link.repository_id AND mb.blob_id = link.blob_id)
                RETURNING blob_id",
        postgres "DELETE FROM link WHERE repository_id = $1
                  AND blob_id = ANY (ARRAY(SELECT value::bigint FROM json_array_elements_text($2::text::json)))
                  AND renewed_at < $3 AND NOT EXISTS (SELECT 1 FROM manifest_blob mb
                      WHERE mb.repository_id = link.repository_id AND mb.blob_id = link.blob_id)
                  RETURNING blob_id";
    DIGESTS_OF_BLOBS =
        sqlite "SELECT b.digest FROM json_each($1) j CROSS JOIN blob b WHERE b.id = j.value",
        postgres "SELECT b.digest FROM json_array_elements_text($1::text::json) j(value)
                  JOIN blob b ON b.id = j.value::bigint";
}

row! {
    struct Link { repository_id: i64, blob_id: i64, is_dead: bool }
}

operations! {
    COLLECT_LINKS = collect_links { Durable, Guarded, audited };
}

const WHY: &str = "of no manifest, and not pushed, mounted or asked for within registry.unlinked_blob_age";

impl Collection<'_> {
    /// Takes blobs out of repositories that have no manifest for them.
    ///
    /// # Errors
    /// If the database fails, or the process ends.
    pub async fn links(&mut self) -> Result<(), Error> {
        let cutoff = self.cutoff(self.ages().unlinked_blob_age);
        let deleted = self.cutoff(self.ages().undelete_window);
        let (mut repository_id, mut blob_id) = (i64::MIN, i64::MIN);
        loop {
            let since = Instant::now();
            let args: wharfinger_metastore::Args<'_> = &[&cutoff, &deleted, &repository_id, &blob_id, &PAGE];
            let page: Vec<Link> = self.ctx.store().all(&LINKS_AFTER, args).await?;
            let Some(last) = page.last() else { return Ok(()) };
            (repository_id, blob_id) = (last.repository_id, last.blob_id);
            self.rest("links", since).await?;
            let dead: Vec<Link> = page.into_iter().filter(|link| link.is_dead).collect();
            for batch in by_repository(&dead, |link| link.repository_id) {
                let since = Instant::now();
                let digests = match self.is_dry_run {
                    true => self.ctx.store().all(&DIGESTS_OF_BLOBS, &[&ids(batch)]).await?,
                    false => self.collect_links(batch, cutoff).await?,
                };
                for digest in digests {
                    self.collected.links += 1;
                    self.collected.note("links", WHY, 0, || digest);
                }
                self.rest("links", since).await?;
            }
        }
    }

    /// Answers with the digests of those that went.
    async fn collect_links(&self, batch: &[Link], cutoff: i64) -> Result<Vec<String>, Error> {
        let ids = ids(batch);
        let repository_id = batch.first().map_or(0, |link| link.repository_id);
        let origin = self.origin();
        let collected = self.write(&COLLECT_LINKS, move |tx| {
            let gone: Vec<i64> = tx.all(&LINKS_DELETE, &[&repository_id, &ids, &cutoff])?;
            if gone.is_empty() {
                return Err(Halt::Nothing);
            }
            let digests: Vec<String> = tx.all(&DIGESTS_OF_BLOBS, &[&json(&gone)])?;
            let repository: RepositoryOfRows = tx.one(&REPOSITORY_OF_ROWS, &[&repository_id])?;
            let subject = repository.subject(digests.clone());
            wharfinger_audit::record(tx, repository.tenancy_id(), &origin, &subject)?;
            Ok(digests)
        });
        Ok(collected.await?.unwrap_or_default())
    }
}

fn ids(links: &[Link]) -> String {
    json(&links.iter().map(|link| link.blob_id).collect::<Vec<_>>())
}
