//! Tags, which OCIR calls versions.

use wharfinger_audit::Subject;
use wharfinger_iam::Ctx;
use wharfinger_metastore::{operations, statements};
use wharfinger_types::{ImageName, Page, Reference, Tag};

use crate::{Error, ImageRight, Registry, repositories};

statements! {
    TAGS_AFTER = "SELECT name FROM tag WHERE repository_id = $1 AND name > $2 ORDER BY name LIMIT $3";
    TAG_UPSERT =
        "INSERT INTO tag (repository_id, name, manifest_id, created_by, created_at) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (repository_id, name) DO UPDATE
         SET manifest_id = excluded.manifest_id, created_by = excluded.created_by, created_at = excluded.created_at";
    TAG_DELETE = "DELETE FROM tag WHERE repository_id = $1 AND name = $2";
    TAG_DELETE_BY_MANIFEST = "DELETE FROM tag WHERE manifest_id = $1";
}

operations! {
    DELETE_TAG = delete_tag { Durable, Guarded, audited };
}

impl Registry {
    /// A page of the repository's tags in byte order.
    pub async fn list_tags(&self, ctx: &Ctx, image: &ImageName, page: &Page) -> Result<Vec<String>, Error> {
        let repository = repositories::find(ctx, image, ImageRight::Pull).await?;
        let after = page.last.as_deref().unwrap_or("");
        let limit = i64::try_from(page.limit).unwrap_or(i64::MAX);
        Ok(ctx.store().all(&TAGS_AFTER, &[&repository.id, &after, &limit]).await?)
    }

    /// Deletes a tag. The manifest and its other tags stay.
    pub async fn delete_tag(&self, ctx: &Ctx, image: &ImageName, tag: &Tag) -> Result<(), Error> {
        let repository = repositories::find(ctx, image, ImageRight::Delete).await?;
        let origin = ctx.origin();
        let tag = tag.clone();
        ctx.store()
            .write(&DELETE_TAG, move |tx| {
                if tx.run(&TAG_DELETE, &[&repository.id, &tag.as_str()])? == 0 {
                    return Err(Error::ManifestUnknown(Reference::Tag(tag.clone())));
                }
                let subject = Subject::new(&repository.ocid, &repository.name).with("tag", tag.as_str());
                wharfinger_audit::record(tx, repository.tenancy_id, &origin, &subject)?;
                Ok(())
            })
            .await
    }
}
