//! Blobs as a repository's readers see them: through the repository's own links.

use wharfinger_audit::Subject;
use wharfinger_blobstore::{Error as BlobError, ObjectId, ObjectReader};
use wharfinger_iam::Ctx;
use wharfinger_metastore::{operations, row, statements};
use wharfinger_types::{Digest, ImageName};

use crate::{Error, ImageRight, Registry, repositories};

statements! {
    LINKED_BLOB =
        "SELECT b.id, b.object, b.size_bytes
         FROM blob b JOIN link l ON l.blob_id = b.id AND l.repository_id = $1
         WHERE b.digest = $2 AND l.hidden_at IS NULL";
    LINK_HIDE = "UPDATE link SET hidden_at = $1 WHERE repository_id = $2 AND blob_id = $3 AND hidden_at IS NULL";
    /// A visible manifest that uses a blob of the repository.
    MANIFEST_USING_BLOB =
        "SELECT m.digest FROM manifest_blob mb JOIN manifest m ON m.id = mb.manifest_id
         WHERE mb.repository_id = $1 AND mb.blob_id = $2 AND m.hidden_at IS NULL LIMIT 1";
}

row! {
    struct LinkedBlob { id: i64, object: String, size_bytes: i64 }
}

operations! {
    DELETE_BLOB = delete_blob { Durable, Guarded, audited };
}

impl Registry {
    /// The size in bytes of a blob of the repository.
    pub async fn stat_blob(
        &self,
        ctx: &Ctx,
        image: &ImageName,
        digest: &Digest,
    ) -> Result<u64, Error> {
        let (_, blob) = linked_blob(ctx, image, digest, ImageRight::Pull).await?;
        size(&blob, digest)
    }

    /// Opens a blob of the repository for reading.
    pub async fn open_blob(
        &self,
        ctx: &Ctx,
        image: &ImageName,
        digest: &Digest,
    ) -> Result<ObjectReader, Error> {
        let (_, blob) = linked_blob(ctx, image, digest, ImageRight::Pull).await?;
        let object: ObjectId = blob
            .object
            .parse()
            .map_err(|_| Error::Damaged(digest.clone()))?;
        let reader = match self.0.blobs.open(&object).await {
            Err(BlobError::NotFound { .. }) => return Err(Error::Damaged(digest.clone())),
            opened => opened?,
        };
        if reader.size() != size(&blob, digest)? {
            return Err(Error::Damaged(digest.clone()));
        }
        Ok(reader)
    }

    /// Hides a blob from the repository's readers. One that a visible manifest uses stays.
    pub async fn delete_blob(
        &self,
        ctx: &Ctx,
        image: &ImageName,
        digest: &Digest,
    ) -> Result<(), Error> {
        let (repository, blob) = linked_blob(ctx, image, digest, ImageRight::Delete).await?;
        let origin = ctx.origin();
        let digest = digest.clone();
        ctx.store()
            .write(&DELETE_BLOB, move |tx| {
                // Hiding first locks the link against a manifest that is being put at this moment.
                if tx.run(&LINK_HIDE, &[&origin.at.0, &repository.id, &blob.id])? == 0 {
                    return Err(Error::BlobUnknown(digest.clone()));
                }
                if let Some(manifest) = tx.opt(&MANIFEST_USING_BLOB, &[&repository.id, &blob.id])? {
                    return Err(Error::BlobInUse {
                        blob: digest.clone(),
                        manifest,
                    });
                }
                let subject = Subject::new(digest.as_str(), &repository.name)
                    .with("repository", repository.ocid.as_str());
                wharfinger_audit::record(tx, repository.tenancy_id, &origin, &subject)?;
                Ok(())
            })
            .await
    }
}

async fn linked_blob(
    ctx: &Ctx,
    image: &ImageName,
    digest: &Digest,
    right: ImageRight,
) -> Result<(repositories::Repository, LinkedBlob), Error> {
    let repository = repositories::find(ctx, image, right).await?;
    let blob = ctx
        .store()
        .opt(&LINKED_BLOB, &[&repository.id, &digest.as_str()])
        .await?;
    Ok((
        repository,
        blob.ok_or_else(|| Error::BlobUnknown(digest.clone()))?,
    ))
}

fn size(blob: &LinkedBlob, digest: &Digest) -> Result<u64, Error> {
    u64::try_from(blob.size_bytes).map_err(|_| Error::Damaged(digest.clone()))
}
