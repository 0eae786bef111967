//! Blobs as a repository's readers see them: through the repository's own links.

use wharfinger_audit::Subject;
use wharfinger_blobstore::{Error as BlobError, ObjectId, ObjectReader};
use wharfinger_iam::{Ctx, Error as IamError, Protected};
use wharfinger_metastore::{Args, Error as StoreError, operations, row, statements};
use wharfinger_types::{Digest, ErrorKind, ImageName};

use crate::damage::{Damage, Finding, Stored};
use crate::reader::BlobReader;
use crate::repositories::{self, Repository};
use crate::uploads::LINK_UPSERT;
use crate::{Error, ImageRight, Registry};

statements! {
    LINKED_BLOB =
        "SELECT b.id, b.object, b.size_bytes, b.damaged_at IS NOT NULL AS is_damaged, l.renewed_at
         FROM blob b JOIN link l ON l.blob_id = b.id AND l.repository_id = $1
         WHERE b.digest = $2 AND l.hidden_at IS NULL";
    BLOB_ID = "SELECT id FROM blob WHERE digest = $1";
    /// Repositories of a tenancy that a mount without a source may take the blob from.
    MOUNT_CANDIDATES =
        "SELECT r.id, r.ocid, r.tenancy_id, c.ocid AS compartment, r.name, r.is_public, r.created_by, r.created_at
         FROM blob b
         JOIN link l ON l.blob_id = b.id
         JOIN repository r ON r.id = l.repository_id
         JOIN compartment c ON c.id = r.compartment_id
         WHERE b.digest = $1 AND b.damaged_at IS NULL AND l.hidden_at IS NULL AND r.tenancy_id = $2 AND r.deleted_at IS NULL
         LIMIT $3";
    /// Later only: requests that overlap carry times in any order.
    LINK_RENEW =
        "UPDATE link SET renewed_at = CASE WHEN renewed_at < $1 THEN $1 ELSE renewed_at END
         WHERE repository_id = $2 AND blob_id = $3 AND hidden_at IS NULL";
    LINK_HIDE = "UPDATE link SET hidden_at = $1 WHERE repository_id = $2 AND blob_id = $3 AND hidden_at IS NULL";
    /// A visible manifest that uses a blob of the repository.
    MANIFEST_USING_BLOB =
        "SELECT m.digest FROM manifest_blob mb JOIN manifest m ON m.id = mb.manifest_id
         WHERE mb.repository_id = $1 AND mb.blob_id = $2 AND m.hidden_at IS NULL LIMIT 1";
}

row! {
    struct LinkedBlob { id: i64, object: String, size_bytes: i64, is_damaged: bool, renewed_at: i64 }
}

/// How many repositories a mount without a source looks at.
const MOUNT_CANDIDATE_LIMIT: i64 = 16;

operations! {
    RENEW_LINK = renew_link { Relaxed, Guarded, unaudited "when a blob was last asked for is no state that a reader can see" };
    MOUNT_BLOB = mount_blob { Durable, Guarded, audited };
    DELETE_BLOB = delete_blob { Durable, Guarded, audited };
}

impl Registry {
    /// The size in bytes of a blob of the repository. One who may push and is told that it is there will not
    /// upload it, so the collector leaves it alone for a while, and its object is looked for.
    pub async fn stat_blob(&self, ctx: &Ctx, image: &ImageName, digest: &Digest) -> Result<u64, Error> {
        let (repository, blob, reader) = self.find_blob(ctx, image, digest).await?;
        let is_old = blob.renewed_at < ctx.now().0.saturating_sub(self.0.ages.renewal());
        if is_old && ctx.allows(ImageRight::Push.permission(), &repository.target()) {
            let (now, repository_id, blob_id) = (ctx.now().0, repository.id, blob.id);
            let renewed = ctx.store().write(&RENEW_LINK, move |tx| {
                Ok::<_, Error>(tx.run(&LINK_RENEW, &[&now, &repository_id, &blob_id])?)
            });
            if renewed.await? == 0 {
                return Err(Error::BlobUnknown(digest.clone()));
            }
        }
        Ok(reader.size())
    }

    /// Opens a blob of the repository for reading.
    pub async fn open_blob(
        &self,
        ctx: &Ctx,
        image: &ImageName,
        digest: &Digest,
    ) -> Result<BlobReader, Error> {
        Ok(self.find_blob(ctx, image, digest).await?.2)
    }

    /// A blob of the repository whose object is there.
    async fn find_blob(
        &self,
        ctx: &Ctx,
        image: &ImageName,
        digest: &Digest,
    ) -> Result<(Repository, LinkedBlob, BlobReader), Error> {
        let (repository, mut blob) = linked_blob(ctx, image, digest, ImageRight::Pull).await?;
        let mut opened = self.open_object(&blob, digest).await?;
        if opened.is_err() {
            // Not damaged if it was collected since, or came back as another object.
            blob = linked_to(ctx, &repository, digest, ImageRight::Pull).await?;
            opened = self.open_object(&blob, digest).await?;
        }
        let stored = Stored { id: blob.id, object: blob.object.clone(), digest: digest.clone() };
        let tenancy_id = repository.tenancy_id;
        let finding = Finding { registry: self.clone(), ctx: ctx.clone(), tenancy_id, stored };
        match opened {
            Ok(object) => Ok((repository, blob, BlobReader::new(object, finding))),
            Err(damage) => Err(finding.quarantine(damage).await),
        }
    }

    async fn open_object(
        &self,
        blob: &LinkedBlob,
        digest: &Digest,
    ) -> Result<Result<ObjectReader, Damage>, Error> {
        let object: ObjectId = blob.object.parse().map_err(|_| Error::Damaged(digest.clone()))?;
        let reader = match self.0.blobs.open(&object).await {
            Err(BlobError::NotFound { .. }) => return Ok(Err(Damage::Lost)),
            opened => opened?,
        };
        let (is, wanted) = (reader.size(), size(blob, digest)?);
        if is != wanted {
            return Ok(Err(Damage::Size { is, wanted }));
        }
        Ok(Ok(reader))
    }

    /// Links a blob of another repository to this one, if the principal may read it there. `from` is
    /// where the client says it is; without, repositories of the same tenancy are tried. `false` is no
    /// refusal: the client uploads the blob instead, and learns nothing of what exists elsewhere. A
    /// registry token that does not cover the source is refused, so that the client gets a wider one.
    pub async fn mount_blob(
        &self,
        ctx: &Ctx,
        image: &ImageName,
        digest: &Digest,
        from: Option<&ImageName>,
    ) -> Result<bool, Error> {
        let repository = repositories::find_or_create(ctx, image).await?;
        let is_readable = match from {
            Some(source) => {
                ctx.within_cap("repository", source, ImageRight::Pull.action())?;
                match self.find_blob(ctx, source, digest).await {
                    Ok(_) => true,
                    Err(error) if error.kind() == ErrorKind::Internal => return Err(error),
                    Err(_) => false,
                }
            }
            None => self.find_mount_source(ctx, image, &repository, digest).await?,
        };
        if !is_readable {
            return Ok(false);
        }
        let Some(blob_id) = ctx.store().opt::<i64>(&BLOB_ID, &[&digest.as_str()]).await? else {
            return Ok(false);
        };
        let origin = ctx.origin();
        let digest = digest.clone();
        let mounted = ctx.store().write(&MOUNT_BLOB, move |tx| {
            repositories::guard(tx, &repository)?;
            tx.run(&LINK_UPSERT, &[&repository.id, &blob_id, &origin.at.0])?;
            let subject =
                Subject::new(digest.as_str(), &repository.name).with("repository", repository.ocid.as_str());
            Ok::<_, Error>(wharfinger_audit::record(tx, repository.tenancy_id, &origin, &subject)?)
        });
        match mounted.await {
            Ok(()) => Ok(true),
            // The blob went since it was looked up.
            Err(Error::Iam(IamError::Store(StoreError::ForeignKey { .. }))) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Whether a repository of the same tenancy has the blob and the principal may read it there.
    async fn find_mount_source(
        &self,
        ctx: &Ctx,
        image: &ImageName,
        repository: &Repository,
        digest: &Digest,
    ) -> Result<bool, Error> {
        let args: Args<'_> = &[&digest.as_str(), &repository.tenancy_id, &MOUNT_CANDIDATE_LIMIT];
        let candidates: Vec<Repository> = ctx.store().all(&MOUNT_CANDIDATES, args).await?;
        let mut beyond_cap = None;
        for candidate in candidates {
            if !ctx.allows(ImageRight::Pull.permission(), &candidate.target()) {
                continue;
            }
            let source = format!("{}/{}", image.namespace, candidate.name);
            match ctx.within_cap("repository", &source, ImageRight::Pull.action()) {
                Ok(()) => return Ok(true),
                Err(error) => beyond_cap = Some(error),
            }
        }
        beyond_cap.map_or(Ok(false), |error| Err(error.into()))
    }

    /// Hides a blob from the repository's readers. One that a visible manifest uses stays.
    pub async fn delete_blob(&self, ctx: &Ctx, image: &ImageName, digest: &Digest) -> Result<(), Error> {
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
                    return Err(Error::BlobInUse { blob: digest.clone(), manifest });
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
) -> Result<(Repository, LinkedBlob), Error> {
    let repository = repositories::find(ctx, image, right).await?;
    let blob = linked_to(ctx, &repository, digest, right).await?;
    Ok((repository, blob))
}

async fn linked_to(
    ctx: &Ctx,
    repository: &Repository,
    digest: &Digest,
    right: ImageRight,
) -> Result<LinkedBlob, Error> {
    let blob: Option<LinkedBlob> = ctx.store().opt(&LINKED_BLOB, &[&repository.id, &digest.as_str()]).await?;
    let blob = blob.ok_or_else(|| Error::BlobUnknown(digest.clone()))?;
    if blob.is_damaged && right != ImageRight::Delete {
        return Err(Error::Quarantined(digest.clone()));
    }
    Ok(blob)
}

fn size(blob: &LinkedBlob, digest: &Digest) -> Result<u64, Error> {
    u64::try_from(blob.size_bytes).map_err(|_| Error::Damaged(digest.clone()))
}
