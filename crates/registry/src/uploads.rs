//! Upload sessions: from the first byte of a blob to its row.
//!
//! A session's row says which object it writes, how far it came and the state of its hash, so that
//! any later request can go on. Rows of sessions are written without a sync: they are no promise.

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use std::fmt::Display;
use std::sync::Arc;
use tokio::time::Instant;
use wharfinger_audit::Subject;
use wharfinger_blobstore::{BlobStore, Error as BlobError, ObjectId};
use wharfinger_iam::Ctx;
use wharfinger_metastore::{Tx, operations, row, statements};
use wharfinger_types::{Algorithm, Digest, Hasher, ImageName};

use crate::body::Receiver;
use crate::damage;
use crate::repositories::{self, Repository};
use crate::sessions::SessionGuard;
use crate::{Error, ImageRight, Registry};

statements! {
    UPLOAD_INSERT =
        "INSERT INTO upload (uuid, repository_id, object, offset_bytes, algorithm, hash_state, created_at)
         VALUES ($1, $2, $3, 0, $4, $5, $6) RETURNING id";
    /// A session of this repository and no other.
    UPLOAD_BY_UUID =
        "SELECT id, uuid, object, offset_bytes, algorithm, hash_state FROM upload WHERE uuid = $1 AND repository_id = $2";
    UPLOAD_SET_PROGRESS = "UPDATE upload SET offset_bytes = $1, hash_state = $2 WHERE id = $3";
    UPLOAD_DELETE = "DELETE FROM upload WHERE id = $1";
    BLOB_INSERT =
        "INSERT INTO blob (digest, object, size_bytes, created_at) VALUES ($1, $2, $3, $4) ON CONFLICT (digest) DO NOTHING";
    BLOB_STORED = "SELECT object, size_bytes FROM blob WHERE digest = $1";
    /// Holds the blob against the collector, or finds that it was first.
    BLOB_BY_DIGEST =
        sqlite "SELECT id, object, damaged_at IS NOT NULL AS is_damaged FROM blob WHERE digest = $1",
        postgres "SELECT id, object, damaged_at IS NOT NULL AS is_damaged FROM blob WHERE digest = $1 FOR KEY SHARE";
    /// Links a blob; a hidden link is revived. Its age only ever falls: requests that overlap carry times in any order.
    LINK_UPSERT =
        "INSERT INTO link (repository_id, blob_id, renewed_at) VALUES ($1, $2, $3)
         ON CONFLICT (repository_id, blob_id) DO UPDATE SET hidden_at = NULL,
             renewed_at = CASE WHEN link.renewed_at > excluded.renewed_at THEN link.renewed_at ELSE excluded.renewed_at END";
}

row! {
    struct UploadRow {
        id: i64,
        uuid: String,
        object: String,
        offset_bytes: i64,
        algorithm: String,
        hash_state: Vec<u8>,
    }
}

row! {
    struct Stored { object: String, size_bytes: i64 }
}

row! {
    struct BlobObject { id: i64, object: String, is_damaged: bool }
}

operations! {
    START_UPLOAD = start_upload { Relaxed, Guarded, unaudited "an upload in progress is no state that a reader can see" };
    SAVE_PROGRESS = save_progress { Relaxed, Guarded, unaudited "an upload in progress is no state that a reader can see" };
    CANCEL_UPLOAD = cancel_upload { Relaxed, Guarded, unaudited "an upload in progress is no state that a reader can see" };
    FINISH_UPLOAD = finish_upload { Durable, Guarded, audited };
}

/// An upload session as its client sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upload {
    /// Names it in its URL.
    pub uuid: String,
    /// How many bytes it has.
    pub offset: u64,
}

/// An object whose bytes and name are durable, and when its last body began to come in.
struct Sealed {
    object: ObjectId,
    size: u64,
    began: Instant,
}

/// What a chunk's `Content-Range` says of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChunkRange {
    /// Offset of its first byte.
    pub start: u64,
    /// Number of its bytes.
    pub length: u64,
}

impl Registry {
    /// Starts a session, whose hash is made by `algorithm`.
    pub async fn start_upload(
        &self,
        ctx: &Ctx,
        image: &ImageName,
        algorithm: Algorithm,
    ) -> Result<Upload, Error> {
        let repository = repositories::find_or_create(ctx, image).await?;
        let row = self.begin(ctx, &repository, algorithm).await?;
        Ok(Upload { uuid: row.uuid, offset: 0 })
    }

    /// The row comes before its object: an object that no row names is nobody's.
    async fn begin(
        &self,
        ctx: &Ctx,
        repository: &Repository,
        algorithm: Algorithm,
    ) -> Result<UploadRow, Error> {
        let mut row = UploadRow {
            id: 0,
            uuid: uuid::Uuid::new_v4().to_string(),
            object: ObjectId::fresh().to_string(),
            offset_bytes: 0,
            algorithm: algorithm.as_str().to_owned(),
            hash_state: Hasher::new(algorithm).state(),
        };
        let (repository, new, now) = (repository.clone(), row.clone(), ctx.now().0);
        row.id = ctx
            .store()
            .write(&START_UPLOAD, move |tx| {
                repositories::guard(tx, &repository)?;
                let args: &[&dyn wharfinger_metastore::Param] =
                    &[&new.uuid, &repository.id, &new.object, &new.algorithm, &new.hash_state, &now];
                Ok::<_, Error>(tx.one(&UPLOAD_INSERT, args)?)
            })
            .await?;
        Ok(row)
    }

    /// How far a session came. Reads only: a request that a client may abandon changes nothing.
    pub async fn get_upload(&self, ctx: &Ctx, image: &ImageName, uuid: &str) -> Result<Upload, Error> {
        let (_, row, _session) = self.session(ctx, image, uuid).await?;
        let offset = row.offset()?;
        let held = match self.0.blobs.open(&row.object_id()?).await {
            Ok(object) => object.size(),
            Err(BlobError::NotFound { .. }) => 0,
            Err(error) => return Err(error.into()),
        };
        // The row outran its bytes in a power cut; the next request that writes ends the session.
        if held < offset {
            return Err(Error::UploadUnknown(row.uuid));
        }
        Ok(Upload { offset, uuid: row.uuid })
    }

    /// Appends a body to a session. What came before a broken body stays.
    pub async fn append_upload<S, E>(
        &self,
        ctx: &Ctx,
        image: &ImageName,
        uuid: &str,
        range: Option<ChunkRange>,
        body: S,
    ) -> Result<Upload, Error>
    where
        S: Stream<Item = Result<Bytes, E>> + Unpin,
        E: Display,
    {
        let (_, row, session) = self.session(ctx, image, uuid).await?;
        let (mut receiver, received) = self.receive(ctx, &row, &session, range, body).await?;
        self.save_progress(ctx, &row, &mut receiver).await?;
        received?;
        Ok(Upload { offset: receiver.writer.offset(), uuid: row.uuid })
    }

    /// Appends the last body and makes the session a blob of the repository. A wrong digest ends the
    /// session; any other refusal leaves it as it was.
    pub async fn finish_upload<S, E>(
        &self,
        ctx: &Ctx,
        image: &ImageName,
        uuid: &str,
        range: Option<ChunkRange>,
        digest: &Digest,
        body: S,
    ) -> Result<(), Error>
    where
        S: Stream<Item = Result<Bytes, E>> + Unpin,
        E: Display,
    {
        let began = Instant::now();
        let (repository, row, session) = self.session(ctx, image, uuid).await?;
        let (mut receiver, received) = self.receive(ctx, &row, &session, range, body).await?;
        if let Err(error) = received {
            self.save_progress(ctx, &row, &mut receiver).await?;
            return Err(error);
        }
        let object = row.object_id()?;
        let size = receiver.writer.offset();
        if let Err(error) = self.seal(&object, receiver, digest).await {
            // A failed sync leaves it unknown what reached the disk: nothing may go on from here.
            self.end_session(ctx, &row).await?;
            return Err(error);
        }
        let recorded = self.record(ctx, &repository, row.id, Sealed { object, size, began }, digest).await;
        if recorded.is_ok() {
            self.0.sessions.forget(uuid);
        }
        recorded
    }

    /// Uploads a blob in one request, without a session.
    pub async fn upload_blob<S, E>(
        &self,
        ctx: &Ctx,
        image: &ImageName,
        digest: &Digest,
        body: S,
    ) -> Result<(), Error>
    where
        S: Stream<Item = Result<Bytes, E>> + Unpin,
        E: Display,
    {
        let began = Instant::now();
        let repository = repositories::find_or_create(ctx, image).await?;
        let row = self.begin(ctx, &repository, digest.algorithm()).await?;
        let object = row.object_id()?;
        match self.receive_whole(&object, digest, body).await {
            Ok(size) => self.record(ctx, &repository, row.id, Sealed { object, size, began }, digest).await,
            Err(error) => {
                self.end_session(ctx, &row).await?;
                Err(error)
            }
        }
    }

    /// The size of the object that the body was written to, synced. After an error nobody has it open: a file
    /// that is open keeps its room on the disk.
    async fn receive_whole<S, E>(&self, object: &ObjectId, digest: &Digest, body: S) -> Result<u64, Error>
    where
        S: Stream<Item = Result<Bytes, E>> + Unpin,
        E: Display,
    {
        let writer = self.0.blobs.create(object).await?;
        let mut receiver = Receiver { writer, hasher: Hasher::new(digest.algorithm()) };
        receiver.receive(body, &self.0.chunks, &self.0.sessions, std::future::pending()).await?;
        let size = receiver.writer.offset();
        self.seal(object, receiver, digest).await?;
        Ok(size)
    }

    /// Ends a session and drops what it received.
    pub async fn cancel_upload(&self, ctx: &Ctx, image: &ImageName, uuid: &str) -> Result<(), Error> {
        let (_, row, _session) = self.session(ctx, image, uuid).await?;
        self.end_session(ctx, &row).await
    }

    /// A session of the repository, with the right to push there, held against other requests.
    async fn session(
        &self,
        ctx: &Ctx,
        image: &ImageName,
        uuid: &str,
    ) -> Result<(Repository, UploadRow, SessionGuard<'_>), Error> {
        let repository = repositories::find(ctx, image, ImageRight::Push).await?;
        let unknown = || Error::UploadUnknown(uuid.chars().take(64).collect());
        if uuid.parse::<uuid::Uuid>().is_err() {
            return Err(unknown());
        }
        let session = self.0.sessions.lock(uuid).await;
        let row = ctx.store().opt(&UPLOAD_BY_UUID, &[&uuid, &repository.id]).await?;
        Ok((repository, row.ok_or_else(unknown)?, session))
    }

    async fn end_session(&self, ctx: &Ctx, row: &UploadRow) -> Result<(), Error> {
        let id = row.id;
        self.0.sessions.forget(&row.uuid);
        ctx.store().write(&CANCEL_UPLOAD, move |tx| Ok::<_, Error>(tx.run(&UPLOAD_DELETE, &[&id])?)).await?;
        discard(&*self.0.blobs, &row.object_id()?).await;
        Ok(())
    }

    async fn save_progress(&self, ctx: &Ctx, row: &UploadRow, receiver: &mut Receiver) -> Result<(), Error> {
        let (id, offset, state) = (row.id, receiver.writer.offset(), receiver.hasher.state());
        let offset_bytes = i64::try_from(offset).unwrap_or(i64::MAX);
        let saved = ctx.store().write(&SAVE_PROGRESS, move |tx| {
            Ok::<_, Error>(tx.run(&UPLOAD_SET_PROGRESS, &[&offset_bytes, &state, &id])?)
        });
        if saved.await? == 0 {
            return Err(Error::UploadUnknown(row.uuid.clone()));
        }
        self.0.sessions.remember(&row.uuid, offset);
        Ok(())
    }

    /// Opens the session's object where its row says and takes the body in. The outer error leaves
    /// the session as it was; the inner one is a broken body, and the receiver has what came of it.
    async fn receive<S, E>(
        &self,
        ctx: &Ctx,
        row: &UploadRow,
        session: &SessionGuard<'_>,
        range: Option<ChunkRange>,
        body: S,
    ) -> Result<(Receiver, Result<(), Error>), Error>
    where
        S: Stream<Item = Result<Bytes, E>> + Unpin,
        E: Display,
    {
        let offset = row.offset()?;
        if let Some(range) = range
            && range.start != offset
        {
            return Err(Error::UploadOffset { start: range.start, offset });
        }
        let object = row.object_id()?;
        let Some(hasher) = self.trusted_hasher(row, &object).await? else {
            // The row outran its bytes in a power cut: there is nothing to go on from.
            self.end_session(ctx, row).await?;
            return Err(Error::UploadUnknown(row.uuid.clone()));
        };
        let writer = match self.0.blobs.resume(&object, offset).await {
            Err(BlobError::NotFound { .. }) if offset == 0 => self.0.blobs.create(&object).await?,
            opened => opened?,
        };
        let mut receiver = Receiver { writer, hasher };
        let received = receiver.receive(body, &self.0.chunks, &self.0.sessions, session.superseded()).await;
        let length = receiver.writer.offset().saturating_sub(offset);
        match (received, range) {
            // Nothing of a chunk that is not what it says is kept.
            (Ok(()), Some(range)) if range.length != length => {
                Err(Error::ChunkLength { announced: range.length, received: length })
            }
            (received @ (Ok(()) | Err(Error::BodyBroken(_))), _) => Ok((receiver, received)),
            (Err(error), _) => Err(error),
        }
    }

    /// The session's hash up to its offset. What this process did not write itself is read again:
    /// the row's state may speak of bytes that a power cut took. `None` if it does.
    async fn trusted_hasher(&self, row: &UploadRow, object: &ObjectId) -> Result<Option<Hasher>, Error> {
        let (offset, hasher) = (row.offset()?, row.hasher()?);
        if self.0.sessions.wrote(&row.uuid, offset) {
            return Ok(Some(hasher));
        }
        match self.hash_object(object, offset, hasher.algorithm()).await {
            Ok(found) if found.state() == hasher.state() => Ok(Some(found)),
            Ok(_) | Err(Error::Blobs(BlobError::NotFound { .. } | BlobError::Short { .. })) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Checks the digest, then makes bytes and name durable.
    async fn seal(&self, object: &ObjectId, mut receiver: Receiver, digest: &Digest) -> Result<(), Error> {
        let size = receiver.writer.offset();
        let computed = if receiver.hasher.algorithm() == digest.algorithm() {
            receiver.hasher.finish()
        } else {
            // Found needed only now; hashing twice while the bytes came in would cost every upload.
            self.hash_object(object, size, digest.algorithm()).await?.finish()
        };
        if computed != *digest {
            return Err(Error::DigestMismatch { given: digest.clone(), computed });
        }
        Ok(receiver.writer.sync().await?)
    }

    /// Commits the row of a sealed object, unless the digest has one, and the repository's link. The
    /// object stays after an error: the commit may have happened all the same.
    async fn record(
        &self,
        ctx: &Ctx,
        repository: &Repository,
        upload_id: i64,
        sealed: Sealed,
        digest: &Digest,
    ) -> Result<(), Error> {
        let Sealed { object, size, began } = sealed;
        let lost = self.lost_object(ctx, digest).await?;
        let origin = ctx.origin();
        let (repository, digest, own_object) = (repository.clone(), digest.to_string(), object.to_string());
        let size_bytes = i64::try_from(size).unwrap_or(i64::MAX);
        // A body may take longer to come in than a link without manifest is kept.
        let took = i64::try_from(began.elapsed().as_micros()).unwrap_or(i64::MAX);
        let now = origin.at.0.saturating_add(took);
        let uses_ours = ctx
            .store()
            .write(&FINISH_UPLOAD, move |tx| {
                repositories::guard(tx, &repository)?;
                // From here on the collector can't end the upload, or it has.
                if tx.run(&UPLOAD_DELETE, &[&upload_id])? == 0 {
                    return Err(Error::UploadUnknown(digest.clone()));
                }
                let mut blob = insert_blob(tx, &digest, &own_object, size_bytes, now)?;
                let is_mended = blob.is_damaged || lost.as_ref() == Some(&blob.object);
                if is_mended && damage::replace(tx, blob.id, &blob.object, (&own_object, size_bytes), now)? {
                    blob.object.clone_from(&own_object);
                }
                tx.run(&LINK_UPSERT, &[&repository.id, &blob.id, &now])?;
                let subject =
                    Subject::new(&digest, &repository.name).with("repository", repository.ocid.as_str());
                wharfinger_audit::record(tx, repository.tenancy_id, &origin, &subject)?;
                Ok(blob.object == own_object)
            })
            .await?;
        if !uses_ours {
            // Somebody else's upload of the same bytes came first. Removing ours within the request
            // would take a time that tells the uploader so.
            let blobs = Arc::clone(&self.0.blobs);
            #[expect(clippy::disallowed_methods, reason = "ends by itself; cut off, it leaves an orphan")]
            tokio::spawn(async move { discard(&*blobs, &object).await });
        }
        Ok(())
    }

    /// The object of a blob, if it is not there or not as long as the blob's row says: the bytes of a
    /// push, verified and at hand, then take its place. Flipped bits are the scrub's matter.
    async fn lost_object(&self, ctx: &Ctx, digest: &Digest) -> Result<Option<String>, Error> {
        let Some(stored) = ctx.store().opt::<Stored>(&BLOB_STORED, &[&digest.as_str()]).await? else {
            return Ok(None);
        };
        let id: ObjectId = stored.object.parse()?;
        match self.0.blobs.open(&id).await {
            Ok(object) if u64::try_from(stored.size_bytes) == Ok(object.size()) => return Ok(None),
            Ok(_) | Err(BlobError::NotFound { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        tracing::error!(object = %id, blob = %digest, "the object of a blob is lost or cut; a push brings its bytes back");
        Ok(Some(stored.object))
    }

    /// Reads the first `size` bytes of an object.
    async fn hash_object(&self, object: &ObjectId, size: u64, algorithm: Algorithm) -> Result<Hasher, Error> {
        let mut hasher = Hasher::new(algorithm);
        let mut bytes = self.0.blobs.open(object).await?.read(0..size);
        while let Some(part) = bytes.next().await {
            hasher.update(&part?);
        }
        Ok(hasher)
    }
}

/// The blob of the digest: that of the object, or the one that was first.
fn insert_blob(
    tx: &mut Tx<'_>,
    digest: &str,
    object: &str,
    size_bytes: i64,
    now: i64,
) -> Result<BlobObject, Error> {
    loop {
        tx.run(&BLOB_INSERT, &[&digest, &object, &size_bytes, &now])?;
        // None if the collector took the one that was first between the two statements: then ours is next.
        if let Some(blob) = tx.opt(&BLOB_BY_DIGEST, &[&digest])? {
            return Ok(blob);
        }
    }
}

/// Removes an object that no row names. What is not removed is an orphan, and harmless.
async fn discard(blobs: &dyn BlobStore, object: &ObjectId) {
    if let Err(error) = blobs.remove(object).await {
        tracing::warn!(%object, %error, "cannot remove an object that is not used");
    }
}

impl UploadRow {
    fn offset(&self) -> Result<u64, Error> {
        u64::try_from(self.offset_bytes).map_err(|_| Error::UploadUnknown(self.uuid.clone()))
    }

    fn object_id(&self) -> Result<ObjectId, Error> {
        self.object.parse().map_err(|_| Error::UploadUnknown(self.uuid.clone()))
    }

    fn hasher(&self) -> Result<Hasher, Error> {
        let algorithm =
            if self.algorithm == Algorithm::Sha512.as_str() { Algorithm::Sha512 } else { Algorithm::Sha256 };
        Hasher::resume(algorithm, &self.hash_state).ok_or_else(|| Error::UploadUnknown(self.uuid.clone()))
    }
}
