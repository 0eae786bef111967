//! The scrub of manifests: the bytes have their digest, and the rows beside them say what the bytes say.
//!
//! That what a row refers to is there, foreign keys see to. They can't see that a document names more than its
//! rows do, nor that a link is hidden.

use std::collections::HashMap;

use wharfinger_audit::Subject;
use wharfinger_iam::Ctx;
use wharfinger_metastore::{operations, row, statements};
use wharfinger_types::Digest;

use super::{Fault, Mode, Pace, State};
use crate::manifests::{MANIFEST_BODY, MANIFEST_BODY_INSERT};
use crate::{Error, Registry, SparseManifests, document};

statements! {
    MANIFESTS_AFTER =
        "SELECT m.id, m.digest, m.media_type, m.subject, m.size_bytes, m.hidden_at IS NOT NULL AS is_hidden,
             r.name AS repository, r.tenancy_id
         FROM manifest m JOIN repository r ON r.id = m.repository_id WHERE m.id > $1 ORDER BY m.id LIMIT $2";
    MANIFEST_AGAIN =
        "SELECT m.id, m.digest, m.media_type, m.subject, m.size_bytes, m.hidden_at IS NOT NULL AS is_hidden,
             r.name AS repository, r.tenancy_id
         FROM manifest m JOIN repository r ON r.id = m.repository_id WHERE m.id = $1";
    /// What the rows say that a manifest uses: blobs, whose link may be hidden, and manifests.
    MANIFEST_USES =
        "SELECT b.digest, l.hidden_at IS NOT NULL AS is_hidden FROM manifest_blob mb
         JOIN blob b ON b.id = mb.blob_id
         JOIN link l ON l.repository_id = mb.repository_id AND l.blob_id = mb.blob_id
         WHERE mb.manifest_id = $1
         UNION ALL
         SELECT c.digest, FALSE AS is_hidden FROM manifest_child mc JOIN manifest c ON c.id = mc.child_id
         WHERE mc.manifest_id = $2";
    /// The bytes of other manifests with the same digest.
    MANIFEST_COPIES =
        "SELECT b.body FROM manifest m JOIN manifest_body b ON b.manifest_id = m.id
         WHERE m.digest = $1 AND m.id <> $2 LIMIT 8";
}

operations! {
    MEND_MANIFEST = mend_manifest { Durable, Guarded, audited };
}

row! {
    struct ManifestRow {
        id: i64,
        digest: String,
        media_type: String,
        subject: Option<String>,
        size_bytes: i64,
        is_hidden: bool,
        repository: String,
        tenancy_id: i64,
    }
    struct Use { digest: String, is_hidden: bool }
}

const PAGE: i64 = 64;

impl Registry {
    /// Looks at the next page of manifests; `false` if there is none.
    pub(super) async fn scrub_manifests(
        &self,
        ctx: &Ctx,
        mode: Mode,
        state: &mut State,
        pace: &mut Pace,
    ) -> Result<bool, Error> {
        let rows: Vec<ManifestRow> = ctx.store().all(&MANIFESTS_AFTER, &[&state.manifest_id, &PAGE]).await?;
        for row in &rows {
            state.report.manifests += 1;
            if let Some(mut reason) = self.manifest_fault(ctx, row).await? {
                if mode == Mode::Mend && self.mend_manifest(ctx, row).await? {
                    state.report.mended += 1;
                    reason.push_str(": mended from a copy of the same digest");
                }
                let (digest, repository) = (Some(row.digest.clone()), Some(row.repository.clone()));
                state.report.fault(Fault { kind: "manifest".to_owned(), digest, repository, reason });
            }
            pace.after(usize::try_from(row.size_bytes).unwrap_or(0)).await;
            state.manifest_id = row.id;
        }
        Ok(!rows.is_empty())
    }

    /// What is wrong with a manifest, and still is when it is looked at again: its rows are read one after the
    /// other, and a push, a delete or a collection may come between.
    async fn manifest_fault(&self, ctx: &Ctx, row: &ManifestRow) -> Result<Option<String>, Error> {
        if self.compare(ctx, row).await?.is_none() {
            return Ok(None);
        }
        match ctx.store().opt::<ManifestRow>(&MANIFEST_AGAIN, &[&row.id]).await? {
            Some(row) => self.compare(ctx, &row).await,
            None => Ok(None),
        }
    }

    async fn compare(&self, ctx: &Ctx, row: &ManifestRow) -> Result<Option<String>, Error> {
        let Ok(digest) = row.digest.parse::<Digest>() else {
            return Ok(Some("the row has no digest".to_owned()));
        };
        let body: Option<Vec<u8>> = ctx.store().opt(&MANIFEST_BODY, &[&row.id]).await?;
        let Some(body) = body else {
            return Ok(Some("its bytes are not there".to_owned()));
        };
        if Digest::of(digest.algorithm(), &body) != digest {
            return Ok(Some("its bytes have another digest".to_owned()));
        }
        if usize::try_from(row.size_bytes).ok() != Some(body.len()) {
            return Ok(Some(format!("it has {} bytes, and its row says {}", body.len(), row.size_bytes)));
        }
        let document = match document::parse(&body, Some(&row.media_type)) {
            Ok(document) => document,
            Err(error) => return Ok(Some(error.to_string())),
        };
        if document.subject.as_ref().map(Digest::as_str) != row.subject.as_deref() {
            return Ok(Some("its row has another subject than its bytes".to_owned()));
        }
        let uses: Vec<Use> = ctx.store().all(&MANIFEST_USES, &[&row.id, &row.id]).await?;
        let used: HashMap<&str, bool> =
            uses.iter().map(|used| (used.digest.as_str(), used.is_hidden)).collect();
        if row.is_hidden {
            return Ok(None);
        }
        for needed in document.blobs.iter().chain(&document.children) {
            match used.get(needed.as_str()) {
                Some(false) => {}
                Some(true) => return Ok(Some(format!("the link to blob {needed} is hidden"))),
                None if self.0.sparse == SparseManifests::Allowed => {}
                None => return Ok(Some(format!("no row leads to {needed}, which its bytes name"))),
            }
        }
        let is_named = |digest: &str| document.sizes.keys().any(|named| named.as_str() == digest);
        let stray = used.keys().find(|digest| !is_named(digest));
        Ok(stray.map(|digest| format!("a row leads to {digest}, which its bytes do not name")))
    }

    /// Puts the bytes back that another manifest of the same digest has; `false` if none has them.
    async fn mend_manifest(&self, ctx: &Ctx, row: &ManifestRow) -> Result<bool, Error> {
        let Ok(digest) = row.digest.parse::<Digest>() else { return Ok(false) };
        let is_right = |body: &[u8]| Digest::of(digest.algorithm(), body) == digest;
        let own: Option<Vec<u8>> = ctx.store().opt(&MANIFEST_BODY, &[&row.id]).await?;
        if own.is_some_and(|body| is_right(&body)) {
            return Ok(false);
        }
        let copies: Vec<Vec<u8>> = ctx.store().all(&MANIFEST_COPIES, &[&row.digest, &row.id]).await?;
        let kept = self.0.bodies.get(&digest).map(Vec::from);
        let Some(body) = kept.into_iter().chain(copies).find(|body| is_right(body)) else {
            return Ok(false);
        };
        let (origin, row) = (ctx.origin(), row.clone());
        ctx.store()
            .write(&MEND_MANIFEST, move |tx| {
                tx.run(&MANIFEST_BODY_INSERT, &[&row.id, &body])?;
                let subject = Subject::new(&row.digest, &row.repository);
                Ok::<_, Error>(wharfinger_audit::record(tx, row.tenancy_id, &origin, &subject)?)
            })
            .await?;
        Ok(true)
    }
}
