//! Images as the control plane sees them: manifests with their versions, visible or deleted, and their restore.

use wharfinger_audit::Subject;
use wharfinger_iam::{Ctx, Tenancy};
use wharfinger_metastore::{Tx, operations, row, statements};
use wharfinger_types::{Digest, Page, RepositoryName, Tag};

use crate::repositories::{self, Repository};
use crate::{Error, ImageRight};

statements! {
    IMAGES_AFTER =
        "SELECT m.id, m.digest, m.media_type, m.size_bytes, m.created_by, m.created_at, m.hidden_at,
                (SELECT CAST(COALESCE(SUM(b.size_bytes), 0) AS BIGINT) FROM manifest_blob mb
                 JOIN blob b ON b.id = mb.blob_id WHERE mb.manifest_id = m.id) AS blob_bytes
         FROM manifest m WHERE m.repository_id = $1 AND m.digest > $2 AND m.hidden_at IS NULL
         ORDER BY m.digest LIMIT $3";
    DELETED_IMAGES_AFTER =
        "SELECT m.id, m.digest, m.media_type, m.size_bytes, m.created_by, m.created_at, m.hidden_at,
                (SELECT CAST(COALESCE(SUM(b.size_bytes), 0) AS BIGINT) FROM manifest_blob mb
                 JOIN blob b ON b.id = mb.blob_id WHERE mb.manifest_id = m.id) AS blob_bytes
         FROM manifest m WHERE m.repository_id = $1 AND m.digest > $2 AND m.hidden_at IS NOT NULL
         ORDER BY m.digest LIMIT $3";
    IMAGE_BY_DIGEST =
        "SELECT m.id, m.digest, m.media_type, m.size_bytes, m.created_by, m.created_at, m.hidden_at,
                (SELECT CAST(COALESCE(SUM(b.size_bytes), 0) AS BIGINT) FROM manifest_blob mb
                 JOIN blob b ON b.id = mb.blob_id WHERE mb.manifest_id = m.id) AS blob_bytes
         FROM manifest m WHERE m.repository_id = $1 AND m.digest = $2";
    VERSIONS_OF =
        sqlite "SELECT t.manifest_id, t.name FROM json_each($1) j CROSS JOIN tag t
                WHERE t.manifest_id = j.value ORDER BY t.name LIMIT $2",
        postgres "SELECT t.manifest_id, t.name FROM json_array_elements_text($1::text::json) j(value)
                  JOIN tag t ON t.manifest_id = j.value::bigint ORDER BY t.name LIMIT $2";
    DELETED_MANIFEST = "SELECT id FROM manifest WHERE repository_id = $1 AND digest = $2 AND hidden_at IS NOT NULL";
    MANIFEST_REVIVE = "UPDATE manifest SET hidden_at = NULL WHERE id = $1 AND hidden_at IS NOT NULL";
    /// All of them, hidden or not: a `delete_blob` at this moment waits, and sees the image, or was before.
    LINKS_REVIVE =
        "UPDATE link SET hidden_at = NULL WHERE repository_id = $1
         AND blob_id IN (SELECT mb.blob_id FROM manifest_blob mb WHERE mb.manifest_id = $2)";
    CHILDREN_OF = "SELECT child_id FROM manifest_child WHERE manifest_id = $1 ORDER BY child_id";
    VERSION_INSERT =
        "INSERT INTO tag (repository_id, name, manifest_id, created_by, created_at) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (repository_id, name) DO NOTHING";
}

row! {
    struct ImageRow {
        id: i64,
        digest: String,
        media_type: String,
        size_bytes: i64,
        created_by: String,
        created_at: i64,
        hidden_at: Option<i64>,
        blob_bytes: i64,
    }
    struct Version { manifest_id: i64, name: String }
}

operations! {
    RESTORE_IMAGE = restore_image { Durable, Guarded, audited };
}

/// Versions that a page of images shows at most.
const VERSIONS: i64 = 10_000;

/// An image with what is known of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// Its digest.
    pub digest: String,
    /// The media type it is served as.
    pub media_type: String,
    /// The tags that point to it, in byte order; none for a deleted image.
    pub versions: Vec<String>,
    /// Bytes of the manifest.
    pub manifest_bytes: i64,
    /// Bytes of the blobs that it uses, each once.
    pub blob_bytes: i64,
    /// OCID of who pushed it first.
    pub created_by: String,
    /// When that was, in microseconds since the epoch.
    pub created_at: i64,
    /// When it was deleted.
    pub deleted_at: Option<i64>,
}

/// Which images a list has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImageState {
    /// Those that can be pulled.
    Available,
    /// Those that were deleted and can be restored.
    Deleted,
}

/// A page of the repository's images, by digest, for one who may see the repository.
pub async fn list_images(
    ctx: &Ctx,
    tenancy: &Tenancy,
    name: &RepositoryName,
    state: ImageState,
    page: &Page,
) -> Result<Vec<Image>, Error> {
    let repository = repositories::inspect_repository(ctx, tenancy, name).await?;
    let after = page.last.as_deref().unwrap_or("");
    let limit = i64::try_from(page.limit).unwrap_or(i64::MAX);
    let statement = match state {
        ImageState::Available => &IMAGES_AFTER,
        ImageState::Deleted => &DELETED_IMAGES_AFTER,
    };
    let rows: Vec<ImageRow> = ctx.store().all(statement, &[&repository.id, &after, &limit]).await?;
    let ids = serde_json::to_string(&rows.iter().map(|row| row.id).collect::<Vec<_>>()).unwrap_or_default();
    let versions: Vec<Version> = ctx.store().all(&VERSIONS_OF, &[&ids, &VERSIONS]).await?;
    Ok(rows.into_iter().map(|row| row.image(&versions)).collect())
}

/// Undoes the deletion of an image: it can be pulled by its digest again, and by `version` if one is given, which
/// no other image may have. Entries of an index that were deleted come back with it, and so do its blobs.
pub async fn restore_image(
    ctx: &Ctx,
    tenancy: &Tenancy,
    name: &RepositoryName,
    digest: &Digest,
    version: Option<&Tag>,
) -> Result<Image, Error> {
    let permission = ImageRight::Delete.permission();
    let repository = repositories::lookup(ctx, tenancy, name, permission).await?;
    let id: Option<i64> = ctx.store().opt(&DELETED_MANIFEST, &[&repository.id, &digest.as_str()]).await?;
    let id = id.ok_or_else(|| Error::NotDeleted(digest.clone()))?;
    let origin = ctx.origin();
    let (owner, restored, version) = (repository.clone(), digest.clone(), version.map(ToString::to_string));
    ctx.store()
        .write(&RESTORE_IMAGE, move |tx| {
            repositories::guard(tx, &owner)?;
            // Locks the row against the collector, or finds that it was first.
            if tx.run(&MANIFEST_REVIVE, &[&id])? == 0 {
                return Err(Error::NotDeleted(restored.clone()));
            }
            revive_needs(tx, &owner, id)?;
            if let Some(version) = &version {
                let args: &[&dyn wharfinger_metastore::Param] =
                    &[&owner.id, version, &id, &origin.principal_id, &origin.at.0];
                if tx.run(&VERSION_INSERT, args)? == 0 {
                    return Err(Error::VersionTaken {
                        version: version.clone(),
                        repository: owner.name.clone(),
                    });
                }
            }
            let subject = Subject::new(restored.as_str(), &owner.name)
                .with("repository", owner.ocid.as_str())
                .with("tags", version.iter().cloned().collect::<Vec<_>>());
            wharfinger_audit::record(tx, owner.tenancy_id, &origin, &subject)?;
            Ok(())
        })
        .await?;
    image(ctx, &repository, digest).await
}

/// Brings back what an image that was just revived is made of: its blobs, and for an index its entries with theirs.
fn revive_needs(tx: &mut Tx<'_>, repository: &Repository, id: i64) -> Result<(), Error> {
    let mut revived = vec![id];
    while let Some(id) = revived.pop() {
        tx.run(&LINKS_REVIVE, &[&repository.id, &id])?;
        for child in tx.all::<i64>(&CHILDREN_OF, &[&id])? {
            // One that was not deleted is whole.
            if tx.run(&MANIFEST_REVIVE, &[&child])? > 0 {
                revived.push(child);
            }
        }
    }
    Ok(())
}

/// An image that was there a moment ago.
async fn image(ctx: &Ctx, repository: &Repository, digest: &Digest) -> Result<Image, Error> {
    let row: Option<ImageRow> =
        ctx.store().opt(&IMAGE_BY_DIGEST, &[&repository.id, &digest.as_str()]).await?;
    let row = row.ok_or_else(|| Error::NotDeleted(digest.clone()))?;
    let versions = ctx.store().all(&VERSIONS_OF, &[&format!("[{}]", row.id), &VERSIONS]).await?;
    Ok(row.image(&versions))
}

impl ImageRow {
    fn image(self, versions: &[Version]) -> Image {
        let own = versions.iter().filter(|version| version.manifest_id == self.id);
        Image {
            versions: own.map(|version| version.name.clone()).collect(),
            digest: self.digest,
            media_type: self.media_type,
            manifest_bytes: self.size_bytes,
            blob_bytes: self.blob_bytes,
            created_by: self.created_by,
            created_at: self.created_at,
            deleted_at: self.hidden_at,
        }
    }
}
