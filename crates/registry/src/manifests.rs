//! Manifests: exact bytes, in one transaction with their tags, what they use, and the audit record.

use std::collections::HashSet;
use std::fmt::Display;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt};
use wharfinger_audit::Subject;
use wharfinger_iam::Ctx;
use wharfinger_metastore::{Error as StoreError, Tx, operations, row, statements};
use wharfinger_types::{Digest, ImageName, Reference, Tag};

use crate::document::{self, Document};
use crate::tags::{TAG_DELETE_BY_MANIFEST, TAG_UPSERT};
use crate::{Error, ImageRight, Registry, SparseManifests, repositories};

/// The largest manifest: the Distribution spec asks for at least 4 MiB.
pub const MAX_MANIFEST_BYTES: usize = 4 << 20;
/// What is read of a manifest before it is one of [`crate::MANIFESTS_IN_MEMORY`]: most are smaller, so that
/// clients who stop sending don't keep those out.
const UNCOUNTED_BYTES: usize = 16 << 10;
/// The longest that a part of a manifest's body may take, up to there and from there on.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// Missing digests that a refusal names.
const MAX_NAMED: usize = 20;

statements! {
    MANIFEST_BY_TAG =
        "SELECT m.id, m.digest, m.media_type, m.size_bytes FROM tag t JOIN manifest m ON m.id = t.manifest_id
         WHERE t.repository_id = $1 AND t.name = $2 AND m.hidden_at IS NULL";
    MANIFEST_BY_DIGEST =
        "SELECT id, digest, media_type, size_bytes FROM manifest
         WHERE repository_id = $1 AND digest = $2 AND hidden_at IS NULL";
    MANIFEST_BODY = "SELECT body FROM manifest_body WHERE manifest_id = $1";
    /// Those of the given digests (a JSON list) that are visible blobs of the repository. The share
    /// lock makes a `delete_blob` at this moment wait, and see the manifest, or win and be seen.
    LINKED_BLOBS =
        sqlite "SELECT b.id, b.digest, b.size_bytes FROM json_each($1) j CROSS JOIN blob b CROSS JOIN link l
                WHERE b.digest = j.value AND b.damaged_at IS NULL AND l.repository_id = $2 AND l.blob_id = b.id
                  AND l.hidden_at IS NULL",
        postgres "SELECT b.id, b.digest, b.size_bytes FROM json_array_elements_text($1::text::json) j(value)
                  JOIN blob b ON b.digest = j.value
                  JOIN link l ON l.repository_id = $2 AND l.blob_id = b.id
                  WHERE b.damaged_at IS NULL AND l.hidden_at IS NULL FOR SHARE OF l";
    /// Those of the given digests (a JSON list) that are visible manifests of the repository.
    CHILD_MANIFESTS =
        sqlite "SELECT m.id, m.digest, m.size_bytes FROM json_each($1) j CROSS JOIN manifest m
                WHERE m.repository_id = $2 AND m.digest = j.value AND m.hidden_at IS NULL",
        postgres "SELECT m.id, m.digest, m.size_bytes FROM json_array_elements_text($1::text::json) j(value)
                  JOIN manifest m ON m.repository_id = $2 AND m.digest = j.value
                  WHERE m.hidden_at IS NULL FOR SHARE OF m";
    /// A push of a digest that was deleted revives its row.
    MANIFEST_UPSERT =
        "INSERT INTO manifest
             (repository_id, digest, media_type, artifact_type, subject, size_bytes, created_by, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
         ON CONFLICT (repository_id, digest) DO UPDATE SET media_type = excluded.media_type, hidden_at = NULL
         RETURNING id";
    /// A push mends bytes that were damaged.
    MANIFEST_BODY_INSERT =
        "INSERT INTO manifest_body (manifest_id, body) VALUES ($1, $2)
         ON CONFLICT (manifest_id) DO UPDATE SET body = excluded.body WHERE manifest_body.body <> excluded.body";
    MANIFEST_BLOB_INSERT =
        sqlite "INSERT INTO manifest_blob (manifest_id, repository_id, blob_id)
                SELECT $1, $2, j.value FROM json_each($3) j WHERE TRUE ON CONFLICT DO NOTHING",
        postgres "INSERT INTO manifest_blob (manifest_id, repository_id, blob_id)
                  SELECT $1, $2, j.value::bigint FROM json_array_elements_text($3::text::json) j(value)
                  ON CONFLICT DO NOTHING";
    MANIFEST_CHILD_INSERT =
        sqlite "INSERT INTO manifest_child (manifest_id, child_id)
                SELECT $1, j.value FROM json_each($2) j WHERE TRUE ON CONFLICT DO NOTHING",
        postgres "INSERT INTO manifest_child (manifest_id, child_id)
                  SELECT $1, j.value::bigint FROM json_array_elements_text($2::text::json) j(value)
                  ON CONFLICT DO NOTHING";
    MANIFEST_HIDE = "UPDATE manifest SET hidden_at = $1 WHERE id = $2 AND hidden_at IS NULL";
}

row! {
    struct ManifestRow { id: i64, digest: String, media_type: String, size_bytes: i64 }
}

row! {
    struct Found { id: i64, digest: String, size_bytes: i64 }
}

operations! {
    PUT_MANIFEST = put_manifest { Durable, Guarded, audited };
    DELETE_MANIFEST = delete_manifest { Durable, Guarded, audited };
}

/// A manifest without its bytes.
#[derive(Debug, Clone)]
pub struct ManifestInfo {
    id: i64,
    /// The digest it was pushed by.
    pub digest: Digest,
    /// The media type it is served as.
    pub media_type: String,
    /// Length in bytes.
    pub size: u64,
}

/// A manifest that was put.
#[derive(Debug)]
pub struct PutManifest {
    /// Its digest.
    pub digest: Digest,
    /// The manifest that it is about, under which it is listed as a referrer.
    pub subject: Option<Digest>,
    /// What its pusher should know, a sentence each.
    pub warnings: Vec<String>,
}

impl Registry {
    /// Puts a manifest, and points tags at it: that of `reference`, if it is one, and `more_tags`. The
    /// body is read once the right to push is known, and no longer than a while.
    pub async fn put_manifest<S, E>(
        &self,
        ctx: &Ctx,
        image: &ImageName,
        reference: &Reference,
        more_tags: &[Tag],
        content_type: Option<&str>,
        mut body: S,
    ) -> Result<PutManifest, Error>
    where
        S: Stream<Item = Result<Bytes, E>> + Unpin,
        E: Display,
    {
        let repository = repositories::find_or_create(ctx, image).await?;
        let mut bytes = BytesMut::new();
        let _memory = if read(&mut body, &mut bytes, UNCOUNTED_BYTES).await? {
            None
        } else {
            // The semaphore is never closed.
            let permit = self.0.manifests_in_memory.acquire().await.map_err(|_| Error::Stopping)?;
            if !read(&mut body, &mut bytes, MAX_MANIFEST_BYTES).await? {
                return Err(Error::ManifestTooLarge { limit: MAX_MANIFEST_BYTES });
            }
            Some(permit)
        };
        let body = bytes.freeze();
        let document = document::parse(&body, content_type)?;
        let digest = match reference {
            Reference::Tag(_) => Digest::sha256(&body),
            Reference::Digest(given) => {
                let computed = Digest::of(given.algorithm(), &body);
                if computed != *given {
                    return Err(Error::DigestMismatch { given: given.clone(), computed });
                }
                computed
            }
        };
        let origin = ctx.origin();
        let mut tags: Vec<String> = more_tags.iter().map(ToString::to_string).collect();
        if let Reference::Tag(tag) = reference {
            tags.push(tag.to_string());
        }
        let subject = document.subject.clone();
        let sparse = self.0.sparse;
        let (row_digest, row_body) = (digest.to_string(), body.to_vec());
        let size_bytes = i64::try_from(body.len()).unwrap_or(i64::MAX);
        let warnings = ctx
            .store()
            .write(&PUT_MANIFEST, move |tx| {
                repositories::guard(tx, &repository)?;
                let needs = resolve(tx, repository.id, &document, sparse)?;
                let (by, at) = (&origin.principal_id, &origin.at.0);
                let args: &[&dyn wharfinger_metastore::Param] = &[
                    &repository.id,
                    &row_digest,
                    &document.media_type,
                    &document.artifact_type,
                    &document.subject.as_ref().map(Digest::as_str),
                    &size_bytes,
                    by,
                    at,
                ];
                let id: i64 = tx.one(&MANIFEST_UPSERT, args)?;
                tx.run(&MANIFEST_BODY_INSERT, &[&id, &row_body])?;
                if let Some(blob_ids) = &needs.blob_ids {
                    match tx.run(&MANIFEST_BLOB_INSERT, &[&id, &repository.id, blob_ids]) {
                        // The link went since it was looked up.
                        Err(StoreError::ForeignKey { .. }) => {
                            return Err(Error::ManifestBlobUnknown(vec![
                                "a blob removed at this moment".to_owned(),
                            ]));
                        }
                        inserted => inserted?,
                    };
                }
                if let Some(child_ids) = &needs.child_ids {
                    tx.run(&MANIFEST_CHILD_INSERT, &[&id, child_ids])?;
                }
                for tag in &tags {
                    tx.run(&TAG_UPSERT, &[&repository.id, tag, &id, by, at])?;
                }
                let record = Subject::new(&row_digest, &repository.name)
                    .with("repository", repository.ocid.as_str())
                    .with("tags", tags.clone());
                wharfinger_audit::record(tx, repository.tenancy_id, &origin, &record)?;
                Ok::<_, Error>(needs.warnings)
            })
            .await?;
        self.0.bodies.insert(digest.clone(), body);
        Ok(PutManifest { digest, subject, warnings })
    }

    /// What a reference names, without the bytes.
    pub async fn stat_manifest(
        &self,
        ctx: &Ctx,
        image: &ImageName,
        reference: &Reference,
    ) -> Result<ManifestInfo, Error> {
        let repository = repositories::find(ctx, image, ImageRight::Pull).await?;
        visible(ctx, repository.id, reference).await
    }

    /// What a reference names, with its exact bytes.
    pub async fn get_manifest(
        &self,
        ctx: &Ctx,
        image: &ImageName,
        reference: &Reference,
    ) -> Result<(ManifestInfo, Bytes), Error> {
        let info = self.stat_manifest(ctx, image, reference).await?;
        let body = self.body(ctx, info.id, &info.digest).await?;
        Ok((info, body))
    }

    /// The bytes of a manifest that the caller has found with the right to it.
    pub(crate) async fn body(&self, ctx: &Ctx, id: i64, digest: &Digest) -> Result<Bytes, Error> {
        if let Some(body) = self.0.bodies.get(digest) {
            return Ok(body);
        }
        let body: Option<Vec<u8>> = ctx.store().opt(&MANIFEST_BODY, &[&id]).await?;
        let body = Bytes::from(body.ok_or_else(|| Error::Damaged(digest.clone()))?);
        if Digest::of(digest.algorithm(), &body) != *digest {
            return Err(Error::Damaged(digest.clone()));
        }
        self.0.bodies.insert(digest.clone(), body.clone());
        Ok(body)
    }

    /// Hides a manifest from every read, and removes all its tags.
    pub async fn delete_manifest(&self, ctx: &Ctx, image: &ImageName, digest: &Digest) -> Result<(), Error> {
        let repository = repositories::find(ctx, image, ImageRight::Delete).await?;
        let manifest = visible(ctx, repository.id, &Reference::Digest(digest.clone())).await?;
        let origin = ctx.origin();
        ctx.store()
            .write(&DELETE_MANIFEST, move |tx| {
                // Hiding first locks the row against a put of the same manifest under another tag.
                if tx.run(&MANIFEST_HIDE, &[&origin.at.0, &manifest.id])? == 0 {
                    return Err(Error::ManifestUnknown(Reference::Digest(manifest.digest.clone())));
                }
                tx.run(&TAG_DELETE_BY_MANIFEST, &[&manifest.id])?;
                let subject = Subject::new(manifest.digest.as_str(), &repository.name)
                    .with("repository", repository.ocid.as_str());
                wharfinger_audit::record(tx, repository.tenancy_id, &origin, &subject)?;
                Ok(())
            })
            .await
    }
}

/// Reads on to the body's end, which is `true`, or until there are more than `limit` bytes.
async fn read<S, E>(body: &mut S, bytes: &mut BytesMut, limit: usize) -> Result<bool, Error>
where
    S: Stream<Item = Result<Bytes, E>> + Unpin,
    E: Display,
{
    let collect = async {
        while bytes.len() <= limit {
            let Some(part) = body.next().await else {
                return Ok(true);
            };
            bytes.extend_from_slice(&part.map_err(|error| Error::BodyBroken(error.to_string()))?);
        }
        Ok(false)
    };
    let too_slow =
        |_| Error::BodyBroken(format!("the manifest did not come within {} s", BODY_TIMEOUT.as_secs()));
    tokio::time::timeout(BODY_TIMEOUT, collect).await.map_err(too_slow)?
}

async fn visible(ctx: &Ctx, repository_id: i64, reference: &Reference) -> Result<ManifestInfo, Error> {
    let unknown = || Error::ManifestUnknown(reference.clone());
    let row: Option<ManifestRow> = match reference {
        Reference::Tag(tag) => ctx.store().opt(&MANIFEST_BY_TAG, &[&repository_id, &tag.as_str()]).await?,
        Reference::Digest(digest) => {
            ctx.store().opt(&MANIFEST_BY_DIGEST, &[&repository_id, &digest.as_str()]).await?
        }
    };
    let ManifestRow { id, digest, media_type, size_bytes } = row.ok_or_else(unknown)?;
    let digest = digest.parse()?;
    Ok(ManifestInfo { id, digest, media_type, size: u64::try_from(size_bytes).unwrap_or(0) })
}

/// What a manifest refers to.
struct Needs {
    /// Row ids as a JSON list; `None` for an empty one.
    blob_ids: Option<String>,
    /// The same of manifests.
    child_ids: Option<String>,
    warnings: Vec<String>,
}

/// Finds everything a manifest needs in the repository, or says what is missing.
fn resolve(
    tx: &mut Tx,
    repository_id: i64,
    document: &Document,
    sparse: SparseManifests,
) -> Result<Needs, Error> {
    let children = find(tx, &CHILD_MANIFESTS, repository_id, document.children.iter())?;
    let found: HashSet<&str> = children.iter().map(|child| child.digest.as_str()).collect();
    // Some build caches are indexes whose entries are layers.
    let leaves: Vec<&Digest> =
        document.children.iter().filter(|child| !found.contains(child.as_str())).collect();

    let wanted = document.blobs.iter().chain(&document.foreign_blobs).chain(leaves.iter().copied());
    let blobs = find(tx, &LINKED_BLOBS, repository_id, wanted)?;
    let found: HashSet<&str> = blobs.iter().map(|blob| blob.digest.as_str()).collect();
    let required = document.blobs.iter().chain(leaves);
    let is_missing = |digest: &&Digest| !found.contains(digest.as_str());
    let mut missing: Vec<String> = required.filter(is_missing).map(ToString::to_string).collect();
    let elsewhere = document.foreign_blobs.iter().filter(is_missing).count();
    let mut warnings = Vec::new();
    if elsewhere > 0 {
        warnings
            .push(format!("{elsewhere} non-distributable layers are not kept here: pulls need their `urls`"));
    }
    match sparse {
        _ if missing.is_empty() => {}
        SparseManifests::Allowed => {
            warnings
                .push(format!("{} of what it names is not here: it can't be pulled whole", missing.len()));
        }
        SparseManifests::Refused => {
            if missing.len() > MAX_NAMED {
                let more = format!("and {} more", missing.len() - MAX_NAMED);
                missing.truncate(MAX_NAMED);
                missing.push(more);
            }
            return Err(Error::ManifestBlobUnknown(missing));
        }
    }
    for found in blobs.iter().chain(&children) {
        let digest: Digest = found.digest.parse()?;
        let (is, said) = (u64::try_from(found.size_bytes).ok(), document.sizes.get(&digest).copied());
        if is != said {
            let reason = format!("{digest} has {} bytes, not {}", found.size_bytes, said.unwrap_or(0));
            return Err(Error::ManifestInvalid(reason));
        }
    }
    Ok(Needs { blob_ids: id_list(&blobs), child_ids: id_list(&children), warnings })
}

fn find<'a>(
    tx: &mut Tx,
    statement: &'static wharfinger_metastore::Statement,
    repository_id: i64,
    digests: impl Iterator<Item = &'a Digest>,
) -> Result<Vec<Found>, Error> {
    let digests: HashSet<&str> = digests.map(Digest::as_str).collect();
    if digests.is_empty() {
        return Ok(Vec::new());
    }
    let json = serde_json::to_string(&digests).unwrap_or_default();
    Ok(tx.all(statement, &[&json, &repository_id])?)
}

fn id_list(found: &[Found]) -> Option<String> {
    let ids: Vec<i64> = found.iter().map(|row| row.id).collect();
    if ids.is_empty() { None } else { serde_json::to_string(&ids).ok() }
}
