//! The scrub of blobs: each object is there, has its blob's size, and has its digest.

use std::sync::atomic::Ordering;

use futures_util::StreamExt;
use wharfinger_blobstore::{Error as BlobError, ObjectId};
use wharfinger_iam::{Ctx, tenancies};
use wharfinger_metastore::{row, statements};
use wharfinger_types::{Digest, Hasher};

use super::{Fault, Mode, Pace, ScrubReport, State};
use crate::damage::{Damage, Finding, Stored};
use crate::{Error, Registry};

statements! {
    BLOBS_AFTER =
        "SELECT id, digest, object, size_bytes, damaged_at IS NOT NULL AS is_damaged FROM blob
         WHERE id > $1 ORDER BY id LIMIT $2";
    /// Whether the blob still has the object that was looked at.
    BLOB_HAS_OBJECT = "SELECT object FROM blob WHERE id = $1 AND object = $2";
    /// A tenancy that has the blob.
    BLOB_TENANCY =
        "SELECT r.tenancy_id FROM link l JOIN repository r ON r.id = l.repository_id WHERE l.blob_id = $1 LIMIT 1";
}

row! {
    struct BlobRow { id: i64, digest: String, object: String, size_bytes: i64, is_damaged: bool }
}

/// Blobs and bytes of a page, after which the pass can be taken up again; whichever comes first.
const PAGE: i64 = 256;
const PAGE_BYTES: u64 = 64 << 20;

impl Registry {
    /// Looks at the next page of blobs; `false` if there is none.
    pub(super) async fn scrub_blobs(
        &self,
        ctx: &Ctx,
        mode: Mode,
        state: &mut State,
        pace: &mut Pace,
    ) -> Result<bool, Error> {
        let rows: Vec<BlobRow> = ctx.store().all(&BLOBS_AFTER, &[&state.blob_id, &PAGE]).await?;
        let read = state.report.bytes;
        for row in &rows {
            self.scrub_blob(ctx, mode, row, &mut state.report, pace).await?;
            state.blob_id = row.id;
            if state.report.bytes - read >= PAGE_BYTES {
                break;
            }
        }
        Ok(!rows.is_empty())
    }

    async fn scrub_blob(
        &self,
        ctx: &Ctx,
        mode: Mode,
        row: &BlobRow,
        report: &mut ScrubReport,
        pace: &mut Pace,
    ) -> Result<(), Error> {
        report.blobs += 1;
        let fault = |reason: String| {
            let (digest, kind) = (Some(row.digest.clone()), "blob".to_owned());
            Fault { kind, digest, repository: None, reason }
        };
        let (Ok(digest), Ok(object)) = (row.digest.parse::<Digest>(), row.object.parse::<ObjectId>()) else {
            report.fault(fault("the row names no digest or no object".to_owned()));
            return Ok(());
        };
        let (read, damage) = self.examine(&object, &digest, row.size_bytes, pace).await?;
        report.bytes += read;
        if damage.is_none() && !row.is_damaged {
            return Ok(());
        }
        // It may have been collected or replaced while it was read.
        if ctx.store().opt::<String>(&BLOB_HAS_OBJECT, &[&row.id, &row.object]).await?.is_none() {
            return Ok(());
        }
        let tenancy_id = self.tenancy_of_blob(ctx, row.id).await?;
        let stored = Stored { id: row.id, object: row.object.clone(), digest };
        let finding = Finding { registry: self.clone(), ctx: ctx.clone(), tenancy_id, stored };
        match (damage, mode) {
            (Some(damage), Mode::Mend) => {
                if finding.mark(damage).await? {
                    report.quarantined += 1;
                }
                report.fault(fault(format!("{damage}: kept from readers until it is pushed again")));
            }
            (Some(damage), Mode::Look) => report.fault(fault(damage.to_string())),
            (None, Mode::Mend) => {
                if finding.release().await? {
                    report.released += 1;
                }
            }
            (None, Mode::Look) => {
                report
                    .fault(fault("it is kept from readers, but its object is whole: run a scrub".to_owned()));
            }
        }
        Ok(())
    }

    /// Which tenancy gets the record of what happens to a blob: one that has it, else the first.
    pub(crate) async fn tenancy_of_blob(&self, ctx: &Ctx, blob_id: i64) -> Result<i64, Error> {
        match ctx.store().opt(&BLOB_TENANCY, &[&blob_id]).await? {
            Some(tenancy_id) => Ok(tenancy_id),
            None => Ok(tenancies::first(ctx.iam()).await?.id),
        }
    }

    /// Reads an object; answers with the bytes read and what is wrong with it.
    async fn examine(
        &self,
        object: &ObjectId,
        digest: &Digest,
        size_bytes: i64,
        pace: &mut Pace,
    ) -> Result<(u64, Option<Damage>), Error> {
        let reader = match self.0.blobs.open(object).await {
            Err(BlobError::NotFound { .. }) => return Ok((0, Some(Damage::Lost))),
            opened => opened?,
        };
        let (is, wanted) = (reader.size(), u64::try_from(size_bytes).unwrap_or(u64::MAX));
        if is != wanted {
            return Ok((0, Some(Damage::Size { is, wanted })));
        }
        let mut hasher = Hasher::new(digest.algorithm());
        let mut bytes = reader.read(0..is);
        let mut read = 0;
        while let Some(part) = bytes.next().await {
            let part = match part {
                Ok(part) => part,
                Err(error) => {
                    tracing::error!(%object, %error, "an object can't be read");
                    return Ok((read, Some(Damage::Unreadable)));
                }
            };
            self.running()?;
            hasher.update(&part);
            read += part.len() as u64;
            self.0.scrubbed.fetch_add(part.len() as u64, Ordering::Relaxed);
            pace.after(part.len()).await;
        }
        let is_right = hasher.finish() == *digest;
        Ok((read, (!is_right).then_some(Damage::Bytes)))
    }
}
