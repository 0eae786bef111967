//! Referrers: manifests that name another one as their subject (Distribution spec, "Listing Referrers").

use std::collections::{BTreeMap, HashSet};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use wharfinger_iam::{Ctx, Error as IamError};
use wharfinger_metastore::{row, statements};
use wharfinger_types::{Digest, ImageName, Reference, Tag};

use crate::{Error, ImageRight, Registry, document, repositories};

/// Descriptors on a page at most.
pub const PAGE: usize = 100;
/// Bytes of manifests that are read for a page.
const PAGE_BYTES: i64 = 4 << 20;

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
    pub manifests: Vec<Box<RawValue>>,
    /// Where the next page starts, if there is one.
    pub next: Option<i64>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    media_type: String,
    digest: String,
    size: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    artifact_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    annotations: Option<BTreeMap<String, String>>,
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
                return Ok(Referrers { manifests: Vec::new(), next: None });
            }
            found_or_refused => found_or_refused?,
        };
        let limit = i64::try_from(PAGE + 1).unwrap_or(i64::MAX);
        let (id, subject) = (&repository.id, &digest.as_str());
        let mut rows: Vec<ReferrerRow> = match artifact_type {
            None => ctx.store().all(&REFERRERS_AFTER, &[id, subject, &after, &limit]).await?,
            Some(kind) => {
                ctx.store().all(&REFERRERS_OF_TYPE_AFTER, &[id, subject, &kind, &after, &limit]).await?
            }
        };
        let wanted = rows.len();
        rows.truncate(page_length(&rows));
        let next = rows.last().map(|row| row.id).filter(|_| rows.len() < wanted);
        let mut seen: HashSet<String> = rows.iter().map(|row| row.digest.clone()).collect();
        let mut manifests = Vec::with_capacity(rows.len());
        for row in rows {
            manifests.push(self.descriptor(ctx, row).await?);
        }
        if after == 0 {
            for entry in self.fallback_entries(ctx, image, digest).await? {
                let Some(listed) = Listed::read(&entry) else {
                    continue;
                };
                let is_wanted =
                    artifact_type.is_none_or(|kind| listed.artifact_type.as_deref() == Some(kind));
                if is_wanted && seen.insert(listed.digest) {
                    manifests.push(entry);
                }
            }
        }
        Ok(Referrers { manifests, next })
    }

    async fn descriptor(&self, ctx: &Ctx, row: ReferrerRow) -> Result<Box<RawValue>, Error> {
        let digest: Digest = row.digest.parse()?;
        let annotations = document::annotations(&self.body(ctx, row.id, &digest).await?);
        let descriptor = Descriptor {
            media_type: row.media_type,
            digest: row.digest,
            size: row.size_bytes,
            artifact_type: row.artifact_type,
            annotations,
        };
        serde_json::value::to_raw_value(&descriptor).map_err(|_| Error::Damaged(digest))
    }

    /// The referrers tag schema: an index under the tag `<algorithm>-<hex>`, cut to a tag's length.
    async fn fallback_entries(
        &self,
        ctx: &Ctx,
        image: &ImageName,
        digest: &Digest,
    ) -> Result<Vec<Box<RawValue>>, Error> {
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

/// How many of the rows make a page: at least one, and no more than its bytes allow.
fn page_length(rows: &[ReferrerRow]) -> usize {
    let mut bytes = 0;
    let fits = |row: &&ReferrerRow| {
        bytes += row.size_bytes;
        bytes <= PAGE_BYTES
    };
    rows.iter().take(PAGE).take_while(fits).count().max(1)
}

/// What has to be known of an entry that a client listed.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Listed {
    digest: String,
    artifact_type: Option<String>,
}

impl Listed {
    fn read(entry: &RawValue) -> Option<Listed> {
        serde_json::from_str(entry.get()).ok()
    }
}
