//! Manifests that were deleted longer ago than they can be restored.
//!
//! The entry of an index stays as long as the index does, deleted or not: the foreign key says so.

use tokio::time::Instant;
use wharfinger_audit::Subject;
use wharfinger_metastore::{operations, row, statements};

use super::repositories::WHY_MANIFEST;
use super::{Collection, Halt, PAGE, by_repository, json};
use crate::Error;

statements! {
    /// Deleted manifests with what keeps them: an index that does not go in the same run.
    MANIFESTS_HIDDEN_BEFORE =
        "SELECT m.id, m.hidden_at, m.repository_id, m.digest, m.size_bytes, r.name AS repository,
                r.deleted_at IS NOT NULL AND r.deleted_at < $1 AS has_no_repository,
                (SELECT p.id FROM manifest_child c JOIN manifest p ON p.id = c.manifest_id
                 WHERE c.child_id = m.id AND (p.hidden_at IS NULL OR p.hidden_at >= $1) LIMIT 1) IS NOT NULL AS is_kept
         FROM manifest m JOIN repository r ON r.id = m.repository_id
         WHERE m.hidden_at < $1 AND (m.hidden_at, m.id) > ($2, $3) ORDER BY m.hidden_at, m.id LIMIT $4";
    /// Those of the given ids that may go, held against a push or restore that would revive them.
    MANIFESTS_COLLECTIBLE =
        sqlite "SELECT m.id, m.digest, m.size_bytes FROM json_each($1) j CROSS JOIN manifest m
                WHERE m.id = j.value AND m.hidden_at < $2
                AND NOT EXISTS (SELECT 1 FROM manifest_child c WHERE c.child_id = m.id)",
        postgres "SELECT m.id, m.digest, m.size_bytes FROM json_array_elements_text($1::text::json) j(value)
                  JOIN manifest m ON m.id = j.value::bigint
                  WHERE m.hidden_at < $2 AND NOT EXISTS (SELECT 1 FROM manifest_child c WHERE c.child_id = m.id)
                  FOR UPDATE OF m";
    MANIFEST_BLOBS_DELETE =
        sqlite "DELETE FROM manifest_blob WHERE manifest_id IN (SELECT value FROM json_each($1))",
        postgres "DELETE FROM manifest_blob USING json_array_elements_text($1::text::json) j(value)
                  WHERE manifest_blob.manifest_id = j.value::bigint";
    MANIFEST_CHILDREN_DELETE =
        sqlite "DELETE FROM manifest_child WHERE manifest_id IN (SELECT value FROM json_each($1))",
        postgres "DELETE FROM manifest_child USING json_array_elements_text($1::text::json) j(value)
                  WHERE manifest_child.manifest_id = j.value::bigint";
    MANIFEST_BODIES_DELETE =
        sqlite "DELETE FROM manifest_body WHERE manifest_id IN (SELECT value FROM json_each($1))",
        postgres "DELETE FROM manifest_body USING json_array_elements_text($1::text::json) j(value)
                  WHERE manifest_body.manifest_id = j.value::bigint";
    MANIFESTS_DELETE =
        sqlite "DELETE FROM manifest WHERE id IN (SELECT value FROM json_each($1))",
        postgres "DELETE FROM manifest USING json_array_elements_text($1::text::json) j(value)
                  WHERE manifest.id = j.value::bigint";
    REPOSITORY_OF_ROWS = "SELECT ocid, tenancy_id, name FROM repository WHERE id = $1";
}

row! {
    struct Hidden {
        id: i64,
        hidden_at: i64,
        repository_id: i64,
        digest: String,
        size_bytes: i64,
        repository: String,
        has_no_repository: bool,
        is_kept: bool,
    }
    struct Collectible { id: i64, digest: String, size_bytes: i64 }
    /// The repository that a record tells of, deleted or not.
    pub(super) struct RepositoryOfRows { ocid: String, tenancy_id: i64, name: String }
}

operations! {
    COLLECT_MANIFESTS = collect_manifests { Durable, Guarded, audited };
}

const WHY: &str = "deleted longer ago than registry.undelete_window";

impl Collection<'_> {
    /// Removes manifests that can't be restored any more, indexes before their entries.
    ///
    /// # Errors
    /// If the database fails, or the process ends.
    pub async fn manifests(&mut self) -> Result<(), Error> {
        loop {
            let before = self.collected.manifests;
            let is_complete = self.manifests_once().await?;
            if is_complete || self.is_dry_run || self.collected.manifests == before {
                return Ok(());
            }
        }
    }

    /// Goes through all of them once; `false` if one that may go was left because an index of it went later.
    async fn manifests_once(&mut self) -> Result<bool, Error> {
        let cutoff = self.cutoff(self.ages().undelete_window);
        let (mut after, mut id) = (i64::MIN, i64::MIN);
        let mut is_complete = true;
        loop {
            let since = Instant::now();
            let page: Vec<Hidden> =
                self.ctx.store().all(&MANIFESTS_HIDDEN_BEFORE, &[&cutoff, &after, &id, &PAGE]).await?;
            let Some(last) = page.last() else { return Ok(is_complete) };
            (after, id) = (last.hidden_at, last.id);
            let mut doomed: Vec<Hidden> = page.into_iter().filter(|manifest| !manifest.is_kept).collect();
            doomed.sort_by_key(|manifest| (manifest.repository_id, manifest.id));
            for batch in by_repository(&doomed, |manifest| manifest.repository_id) {
                let since = Instant::now();
                let gone = match self.is_dry_run {
                    true => batch.iter().map(|manifest| manifest.id).collect(),
                    false => self.collect_manifests(batch, cutoff).await?,
                };
                is_complete &= gone.len() == batch.len();
                for manifest in batch.iter().filter(|manifest| gone.contains(&manifest.id)) {
                    let why = if manifest.has_no_repository { WHY_MANIFEST } else { WHY };
                    let name = || format!("{}@{}", manifest.repository, manifest.digest);
                    self.count_manifest(why, manifest.size_bytes, name);
                }
                self.rest("manifests", since).await?;
            }
            self.rest("manifests", since).await?;
        }
    }

    pub(super) fn count_manifest(&mut self, why: &'static str, bytes: i64, name: impl FnOnce() -> String) {
        self.collected.manifests += 1;
        self.collected.bytes += u64::try_from(bytes).unwrap_or(0);
        self.collected.note("manifests", why, bytes, name);
    }

    /// Answers with the ids of those that went.
    async fn collect_manifests(&self, batch: &[Hidden], cutoff: i64) -> Result<Vec<i64>, Error> {
        let ids = json(&batch.iter().map(|manifest| manifest.id).collect::<Vec<_>>());
        let repository_id = batch.first().map_or(0, |manifest| manifest.repository_id);
        let origin = self.origin();
        let collected = self.write(&COLLECT_MANIFESTS, move |tx| {
            let collectible: Vec<Collectible> = tx.all(&MANIFESTS_COLLECTIBLE, &[&ids, &cutoff])?;
            if collectible.is_empty() {
                return Err(Halt::Nothing);
            }
            let gone: Vec<i64> = collectible.iter().map(|manifest| manifest.id).collect();
            let ids = json(&gone);
            for statement in [
                &MANIFEST_BLOBS_DELETE,
                &MANIFEST_CHILDREN_DELETE,
                &MANIFEST_BODIES_DELETE,
                &MANIFESTS_DELETE,
            ] {
                tx.run(statement, &[&ids])?;
            }
            let digests: Vec<String> = collectible.into_iter().map(|manifest| manifest.digest).collect();
            let repository: RepositoryOfRows = tx.one(&REPOSITORY_OF_ROWS, &[&repository_id])?;
            wharfinger_audit::record(tx, repository.tenancy_id, &origin, &repository.subject(digests))?;
            Ok(gone)
        });
        Ok(collected.await?.unwrap_or_default())
    }
}

impl RepositoryOfRows {
    pub(super) fn tenancy_id(&self) -> i64 {
        self.tenancy_id
    }

    /// Of a record that tells of rows of the repository.
    pub(super) fn subject(&self, digests: Vec<String>) -> Subject {
        Subject::new(&self.ocid, &self.name).with("digests", digests)
    }
}
