//! Referrers: manifests that name another one as their subject (Distribution spec, "Listing Referrers").

use serde_json::{Map, Value};
use wharfinger_iam::{Ctx, Error as IamError};
use wharfinger_metastore::{row, statements};
use wharfinger_types::{Digest, ImageName, Reference, Tag};

use crate::{Error, ImageRight, Registry, document, repositories};

/// Descriptors on a page at most. With 4 MiB of manifest behind each, a page stays bearable.
pub const PAGE: usize = 100;

statements! {
    REFERRERS_AFTER =
        "SELECT id, digest, media_type, size_bytes, artifact_type FROM manifest
         WHERE repository_id = $1 AND subject = $2 AND id > $3 AND hidden_at IS NULL
         ORDER BY id LIMIT $4";
    REFERRERS_OF_TYPE_AFTER =
        "SELECT id, digest, media_type, size_bytes, artifact_type FROM manifest
         WHERE repository_id = $1 AND subject = $2 AND artifact_type = $3 AND id > $4 AND hidden_at IS NULL
         ORDER BY id LIMIT $5";
}

row! {
    struct ReferrerRow {
        id: i64,
        digest: String,
        media_type: String,
        size_bytes: i64,
        artifact_type: Option<String>,
    }
}

/// A page of descriptors.
#[derive(Debug)]
pub struct Referrers {
    /// Descriptors as they stand in an index.
    pub manifests: Vec<Value>,
    /// Where the next page starts, if there is one.
    pub next: Option<i64>,
}

impl Registry {
    /// The manifests whose subject is `digest`, oldest first, and on the first page those that clients
    /// listed under the digest's tag before there was this list. Nothing for a digest or a repository
    /// that is not there.
    pub async fn list_referrers(
        &self,
        ctx: &Ctx,
        image: &ImageName,
        digest: &Digest,
        artifact_type: Option<&str>,
        after: i64,
    ) -> Result<Referrers, Error> {
        let repository = match repositories::find(ctx, image, ImageRight::Pull).await {
            Err(Error::Iam(IamError::NotFound { .. })) => {
                return Ok(Referrers {
                    manifests: Vec::new(),
                    next: None,
                });
            }
            found_or_refused => found_or_refused?,
        };
        let limit = i64::try_from(PAGE + 1).unwrap_or(i64::MAX);
        let (id, subject) = (&repository.id, &digest.as_str());
        let mut rows: Vec<ReferrerRow> = match artifact_type {
            None => {
                ctx.store()
                    .all(&REFERRERS_AFTER, &[id, subject, &after, &limit])
                    .await?
            }
            Some(kind) => {
                ctx.store()
                    .all(
                        &REFERRERS_OF_TYPE_AFTER,
                        &[id, subject, &kind, &after, &limit],
                    )
                    .await?
            }
        };
        let has_more = rows.len() > PAGE;
        rows.truncate(PAGE);
        let next = rows.last().map(|row| row.id).filter(|_| has_more);
        let mut manifests = Vec::with_capacity(rows.len());
        for row in rows {
            manifests.push(self.descriptor(ctx, row).await?);
        }
        if after == 0 {
            let listed = self.fallback_entries(ctx, image, digest).await?;
            let is_wanted = |entry: &Value| {
                artifact_type
                    .is_none_or(|kind| entry.get("artifactType").is_some_and(|found| found == kind))
            };
            for entry in listed.into_iter().filter(is_wanted) {
                if !manifests
                    .iter()
                    .any(|known| known.get("digest") == entry.get("digest"))
                {
                    manifests.push(entry);
                }
            }
        }
        Ok(Referrers { manifests, next })
    }

    async fn descriptor(&self, ctx: &Ctx, row: ReferrerRow) -> Result<Value, Error> {
        let digest: Digest = row.digest.parse()?;
        let annotations = document::annotations(&self.body(ctx, row.id, &digest).await?);
        let mut descriptor = Map::new();
        descriptor.insert("mediaType".to_owned(), row.media_type.into());
        descriptor.insert("digest".to_owned(), row.digest.into());
        descriptor.insert("size".to_owned(), row.size_bytes.into());
        if let Some(kind) = row.artifact_type {
            descriptor.insert("artifactType".to_owned(), kind.into());
        }
        if let Some(annotations) = annotations {
            descriptor.insert("annotations".to_owned(), annotations.into());
        }
        Ok(descriptor.into())
    }

    /// The referrers tag schema: an index under the tag `<algorithm>-<hex>`, cut to a tag's length.
    async fn fallback_entries(
        &self,
        ctx: &Ctx,
        image: &ImageName,
        digest: &Digest,
    ) -> Result<Vec<Value>, Error> {
        let (algorithm, hex) = digest.as_str().split_once(':').unwrap_or_default();
        let hex: String = hex.chars().take(64).collect();
        let Ok(tag) = format!("{algorithm}-{hex}").parse::<Tag>() else {
            return Ok(Vec::new());
        };
        match self.get_manifest(ctx, image, &Reference::Tag(tag)).await {
            Ok((_, body)) => Ok(document::entries(&body)),
            Err(Error::ManifestUnknown(_)) => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }
}
