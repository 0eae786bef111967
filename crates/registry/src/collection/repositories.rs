//! Repositories that were deleted longer ago than they can be restored.
//!
//! Such a one is first marked, which a restore meets in the row; then it is emptied by the steps that empty all
//! others; at last the row goes. Nothing refers to it by then: audit records carry its OCID and name themselves.

use tokio::time::Instant;
use wharfinger_audit::Subject;
use wharfinger_metastore::{operations, row, statements};

use super::{BATCH, Collection, Halt, PAGE, json};
use crate::Error;

statements! {
    REPOSITORIES_DELETED_BEFORE =
        "SELECT id, ocid, tenancy_id, name, deleted_at, purged_at FROM repository
         WHERE deleted_at < $1 AND (deleted_at, id) > ($2, $3) ORDER BY deleted_at, id LIMIT $4";
    REPOSITORY_PURGE =
        "UPDATE repository SET purged_at = $1 WHERE id = $2 AND deleted_at < $3 AND purged_at IS NULL";
    MANIFESTS_OF_REPOSITORY =
        "SELECT id, digest, size_bytes, hidden_at IS NULL AS is_visible FROM manifest
         WHERE repository_id = $1 AND digest > $2 ORDER BY digest LIMIT $3";
    MANIFESTS_HIDE =
        sqlite "UPDATE manifest SET hidden_at = $1 WHERE id IN (SELECT value FROM json_each($2)) AND hidden_at IS NULL",
        postgres "UPDATE manifest SET hidden_at = $1 FROM json_array_elements_text($2::text::json) j(value)
                  WHERE manifest.id = j.value::bigint AND manifest.hidden_at IS NULL";
    TAGS_DELETE_SOME =
        "DELETE FROM tag WHERE repository_id = $1
         AND name IN (SELECT name FROM tag WHERE repository_id = $1 ORDER BY name LIMIT $2)";
    REPOSITORY_REMOVE =
        "DELETE FROM repository WHERE id = $1 AND purged_at IS NOT NULL
         AND NOT EXISTS (SELECT 1 FROM manifest m WHERE m.repository_id = repository.id)
         AND NOT EXISTS (SELECT 1 FROM link l WHERE l.repository_id = repository.id)
         AND NOT EXISTS (SELECT 1 FROM upload u WHERE u.repository_id = repository.id)
         AND NOT EXISTS (SELECT 1 FROM tag t WHERE t.repository_id = repository.id)";
}

row! {
    #[derive(PartialEq, Eq)]
    struct Deleted {
        id: i64,
        ocid: String,
        tenancy_id: i64,
        name: String,
        deleted_at: i64,
        purged_at: Option<i64>,
    }
    struct ManifestOf { id: i64, digest: String, size_bytes: i64, is_visible: bool }
}

operations! {
    PURGE_REPOSITORY = purge_repository { Durable, Guarded, audited };
    EMPTY_REPOSITORY = empty_repository { Durable, Guarded, unaudited "what a purged repository holds is no state that a reader can see" };
    REMOVE_REPOSITORY = remove_repository { Durable, Guarded, unaudited "purge_repository has told of it" };
}

pub(super) const WHY_MANIFEST: &str =
    "in a repository that was deleted longer ago than registry.undelete_window";

impl Collection<'_> {
    /// Marks repositories that can't be restored any more, hides their images and removes their tags.
    ///
    /// # Errors
    /// If the database fails, or the process ends.
    pub async fn repositories(&mut self) -> Result<(), Error> {
        let cutoff = self.cutoff(self.ages().undelete_window);
        let mut last: Option<Deleted> = None;
        loop {
            let page = self.deleted_before(cutoff, last.as_ref()).await?;
            for repository in &page {
                if !self.is_dry_run
                    && repository.purged_at.is_none()
                    && !self.purge(repository, cutoff).await?
                {
                    // Restored at this moment.
                    continue;
                }
                self.hide_manifests(repository, cutoff).await?;
                while !self.is_dry_run && self.remove_tags(repository).await? {}
            }
            last = match page.into_iter().last() {
                Some(repository) => Some(repository),
                None => return Ok(()),
            };
        }
    }

    async fn deleted_before(&self, cutoff: i64, last: Option<&Deleted>) -> Result<Vec<Deleted>, Error> {
        let (after, id) = last.map_or((i64::MIN, i64::MIN), |last| (last.deleted_at, last.id));
        Ok(self.ctx.store().all(&REPOSITORIES_DELETED_BEFORE, &[&cutoff, &after, &id, &BATCH]).await?)
    }

    async fn purge(&self, repository: &Deleted, cutoff: i64) -> Result<bool, Error> {
        let (now, origin, repository) = (self.now(), self.origin(), repository.clone());
        let purged = self.write(&PURGE_REPOSITORY, move |tx| {
            if tx.run(&REPOSITORY_PURGE, &[&now, &repository.id, &cutoff])? == 0 {
                return Err(Halt::Nothing);
            }
            let subject = Subject::new(&repository.ocid, &repository.name);
            Ok(wharfinger_audit::record(tx, repository.tenancy_id, &origin, &subject)?)
        });
        Ok(purged.await?.is_some())
    }

    /// From here on the images are as others that were deleted when the repository was.
    async fn hide_manifests(&mut self, repository: &Deleted, cutoff: i64) -> Result<(), Error> {
        let mut after = String::new();
        loop {
            let since = Instant::now();
            let page: Vec<ManifestOf> =
                self.ctx.store().all(&MANIFESTS_OF_REPOSITORY, &[&repository.id, &after, &PAGE]).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after.clone_from(&last.digest);
            let visible: Vec<&ManifestOf> = page.iter().filter(|manifest| manifest.is_visible).collect();
            if self.is_dry_run {
                for manifest in visible {
                    let name = || format!("{}@{}", repository.name, manifest.digest);
                    self.count_manifest(WHY_MANIFEST, manifest.size_bytes, name);
                }
            } else {
                debug_assert!(repository.deleted_at < cutoff);
                for batch in visible.chunks(usize::try_from(BATCH).unwrap_or(usize::MAX)) {
                    let ids = json(&batch.iter().map(|manifest| manifest.id).collect::<Vec<_>>());
                    let deleted_at = repository.deleted_at;
                    self.write(&EMPTY_REPOSITORY, move |tx| {
                        Ok(tx.run(&MANIFESTS_HIDE, &[&deleted_at, &ids])?)
                    })
                    .await?;
                }
            }
            self.rest("repositories", since).await?;
        }
    }

    /// Whether there are more.
    async fn remove_tags(&self, repository: &Deleted) -> Result<bool, Error> {
        let since = Instant::now();
        let id = repository.id;
        let removed =
            self.write(&EMPTY_REPOSITORY, move |tx| Ok(tx.run(&TAGS_DELETE_SOME, &[&id, &BATCH])?)).await?;
        self.rest("repositories", since).await?;
        Ok(removed.is_some_and(|removed| removed > 0))
    }

    /// Removes the rows of purged repositories that have become empty.
    ///
    /// # Errors
    /// If the database fails, or the process ends.
    pub async fn empty_repositories(&mut self) -> Result<(), Error> {
        if self.is_dry_run {
            return Ok(());
        }
        let cutoff = self.cutoff(self.ages().undelete_window);
        let mut last: Option<Deleted> = None;
        loop {
            let since = Instant::now();
            let page = self.deleted_before(cutoff, last.as_ref()).await?;
            for repository in page.iter().filter(|repository| repository.purged_at.is_some()) {
                let id = repository.id;
                self.write(&REMOVE_REPOSITORY, move |tx| Ok(tx.run(&REPOSITORY_REMOVE, &[&id])?)).await?;
            }
            last = match page.into_iter().last() {
                Some(repository) => Some(repository),
                None => return Ok(()),
            };
            self.rest("repositories", since).await?;
        }
    }
}
