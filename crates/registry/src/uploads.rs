//! Upload sessions: from the first byte of a blob to its row.
//!
//! A session's row says which object it writes, how far it came and the state of its hash, so that
//! any later request can go on. Rows of sessions are written without a sync: they are no promise.

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use std::convert::Infallible;
use std::fmt::Display;
use wharfinger_audit::Subject;
use wharfinger_blobstore::{Error as BlobError, ObjectId};
use wharfinger_iam::Ctx;
use wharfinger_metastore::{operations, row, statements};
use wharfinger_types::{Algorithm, Digest, Hasher, ImageName};

use crate::body::Receiver;
use crate::repositories::{self, Repository};
use crate::{Error, ImageRight, Registry};

statements! {
    UPLOAD_INSERT =
        "INSERT INTO upload (uuid, repository_id, object, offset_bytes, algorithm, hash_state, created_at)
         VALUES ($1, $2, $3, 0, $4, $5, $6)";
    /// A session of this repository and no other.
    UPLOAD_BY_UUID =
        "SELECT id, uuid, object, offset_bytes, algorithm, hash_state FROM upload WHERE uuid = $1 AND repository_id = $2";
    UPLOAD_SET_PROGRESS = "UPDATE upload SET offset_bytes = $1, hash_state = $2 WHERE id = $3";
    UPLOAD_DELETE = "DELETE FROM upload WHERE id = $1";
    BLOB_INSERT =
        "INSERT INTO blob (digest, object, size_bytes, created_at) VALUES ($1, $2, $3, $4) ON CONFLICT (digest) DO NOTHING";
    BLOB_BY_DIGEST = "SELECT id, object FROM blob WHERE digest = $1";
    /// Links a blob; a hidden link is revived.
    LINK_UPSERT =
        "INSERT INTO link (repository_id, blob_id, renewed_at) VALUES ($1, $2, $3)
         ON CONFLICT (repository_id, blob_id) DO UPDATE SET renewed_at = excluded.renewed_at, hidden_at = NULL";
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
    struct BlobObject { id: i64, object: String }
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
        let uuid = uuid::Uuid::new_v4().to_string();
        let object = ObjectId::fresh().to_string();
        let state = Hasher::new(algorithm).state();
        let (row_uuid, now) = (uuid.clone(), ctx.now().0);
        ctx.store()
            .write(&START_UPLOAD, move |tx| {
                let args: &[&dyn wharfinger_metastore::Param] = &[
                    &row_uuid,
                    &repository.id,
                    &object,
                    &algorithm.as_str(),
                    &state,
                    &now,
                ];
                tx.run(&UPLOAD_INSERT, args)?;
                Ok::<_, Error>(())
            })
            .await?;
        Ok(Upload { uuid, offset: 0 })
    }

    /// How far a session came.
    pub async fn get_upload(
        &self,
        ctx: &Ctx,
        image: &ImageName,
        uuid: &str,
    ) -> Result<Upload, Error> {
        let repository = repositories::find(ctx, image, ImageRight::Push).await?;
        let _session = self.0.sessions.lock(uuid).await;
        let row = upload_row(ctx, &repository, uuid).await?;
        // Opening the object checks that the bytes are there which the row speaks of.
        let nothing = futures_util::stream::empty::<Result<Bytes, Infallible>>();
        let (receiver, _) = self.receive(ctx, &row, None, nothing).await?;
        Ok(Upload {
            offset: receiver.writer.offset(),
            uuid: row.uuid,
        })
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
        let repository = repositories::find(ctx, image, ImageRight::Push).await?;
        let _session = self.0.sessions.lock(uuid).await;
        let row = upload_row(ctx, &repository, uuid).await?;
        let (mut receiver, received) = self.receive(ctx, &row, range, body).await?;
        let progress = save_progress(ctx, row.id, &mut receiver).await;
        received?;
        progress?;
        Ok(Upload {
            offset: receiver.writer.offset(),
            uuid: row.uuid,
        })
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
        let repository = repositories::find(ctx, image, ImageRight::Push).await?;
        let _session = self.0.sessions.lock(uuid).await;
        let row = upload_row(ctx, &repository, uuid).await?;
        let (mut receiver, received) = self.receive(ctx, &row, range, body).await?;
        if let Err(error) = received {
            save_progress(ctx, row.id, &mut receiver).await?;
            return Err(error);
        }
        let object = row.object_id()?;
        match self
            .commit(ctx, &repository, Some(row.id), &object, receiver, digest)
            .await
        {
            Err(error @ Error::DigestMismatch { .. }) => {
                self.end_session(ctx, row.id, &object).await?;
                Err(error)
            }
            outcome => outcome,
        }
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
        let repository = repositories::find_or_create(ctx, image).await?;
        let object = ObjectId::fresh();
        let writer = self.0.blobs.create(&object).await?;
        let mut receiver = Receiver {
            writer,
            hasher: Hasher::new(digest.algorithm()),
        };
        let received = receiver
            .receive(body, &self.0.chunks, &self.0.sessions)
            .await;
        let outcome = match received {
            Ok(()) => {
                self.commit(ctx, &repository, None, &object, receiver, digest)
                    .await
            }
            Err(error) => Err(error),
        };
        if matches!(
            outcome,
            Err(Error::DigestMismatch { .. } | Error::BodyBroken(_))
        ) {
            self.0.blobs.remove(&object).await?;
        }
        outcome
    }

    /// Ends a session and drops what it received.
    pub async fn cancel_upload(
        &self,
        ctx: &Ctx,
        image: &ImageName,
        uuid: &str,
    ) -> Result<(), Error> {
        let repository = repositories::find(ctx, image, ImageRight::Push).await?;
        let _session = self.0.sessions.lock(uuid).await;
        let row = upload_row(ctx, &repository, uuid).await?;
        self.end_session(ctx, row.id, &row.object_id()?).await
    }

    async fn end_session(&self, ctx: &Ctx, id: i64, object: &ObjectId) -> Result<(), Error> {
        ctx.store()
            .write(&CANCEL_UPLOAD, move |tx| {
                Ok::<_, Error>(tx.run(&UPLOAD_DELETE, &[&id])?)
            })
            .await?;
        Ok(self.0.blobs.remove(object).await?)
    }

    /// Opens the session's object where its row says and takes the body in. The outer error leaves
    /// the session as it was; the inner one is a broken body, and the receiver has what came of it.
    async fn receive<S, E>(
        &self,
        ctx: &Ctx,
        row: &UploadRow,
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
            return Err(Error::UploadOffset {
                start: range.start,
                offset,
            });
        }
        let object = row.object_id()?;
        let writer = match self.0.blobs.resume(&object, offset).await {
            Err(BlobError::NotFound { .. }) if offset == 0 => self.0.blobs.create(&object).await?,
            // The row outran its bytes in a power cut: nothing to go on from.
            Err(BlobError::NotFound { .. } | BlobError::Short { .. }) => {
                self.end_session(ctx, row.id, &object).await?;
                return Err(Error::UploadUnknown(row.uuid.clone()));
            }
            opened => opened?,
        };
        let mut receiver = Receiver {
            writer,
            hasher: row.hasher()?,
        };
        let received = receiver
            .receive(body, &self.0.chunks, &self.0.sessions)
            .await;
        let length = receiver.writer.offset().saturating_sub(offset);
        match (received, range) {
            // Nothing of a chunk that is not what it says is kept.
            (Ok(()), Some(range)) if range.length != length => Err(Error::ChunkLength {
                announced: range.length,
                received: length,
            }),
            (received @ (Ok(()) | Err(Error::BodyBroken(_))), _) => Ok((receiver, received)),
            (Err(error), _) => Err(error),
        }
    }

    /// Bytes and name durable, then the row, then the answer.
    async fn commit(
        &self,
        ctx: &Ctx,
        repository: &Repository,
        upload_id: Option<i64>,
        object: &ObjectId,
        mut receiver: Receiver,
        digest: &Digest,
    ) -> Result<(), Error> {
        let size = receiver.writer.offset();
        let computed = if receiver.hasher.algorithm() == digest.algorithm() {
            receiver.hasher.finish()
        } else {
            self.hash_again(object, size, digest.algorithm()).await?
        };
        if computed != *digest {
            return Err(Error::DigestMismatch {
                given: digest.clone(),
                computed,
            });
        }
        receiver.writer.sync().await?;

        let origin = ctx.origin();
        let (repository, digest, own_object) =
            (repository.clone(), digest.to_string(), object.to_string());
        let size_bytes = i64::try_from(size).unwrap_or(i64::MAX);
        let uses_ours = ctx
            .store()
            .write(&FINISH_UPLOAD, move |tx| {
                if let Some(id) = upload_id
                    && tx.run(&UPLOAD_DELETE, &[&id])? == 0
                {
                    return Err(Error::UploadUnknown(String::new()));
                }
                tx.run(
                    &BLOB_INSERT,
                    &[&digest, &own_object, &size_bytes, &origin.at.0],
                )?;
                let blob: BlobObject = tx.one(&BLOB_BY_DIGEST, &[&digest])?;
                tx.run(&LINK_UPSERT, &[&repository.id, &blob.id, &origin.at.0])?;
                let subject = Subject::new(&digest, &repository.name)
                    .with("repository", repository.ocid.as_str());
                wharfinger_audit::record(tx, repository.tenancy_id, &origin, &subject)?;
                Ok(blob.object == own_object)
            })
            .await?;
        if !uses_ours {
            // Somebody else's upload of the same bytes came first. A copy left by a crash is an orphan.
            self.0.blobs.remove(object).await?;
        }
        Ok(())
    }

    /// Reads the object for a digest of another algorithm than it was hashed by while it came in.
    async fn hash_again(
        &self,
        object: &ObjectId,
        size: u64,
        algorithm: Algorithm,
    ) -> Result<Digest, Error> {
        let mut hasher = Hasher::new(algorithm);
        let mut bytes = self.0.blobs.open(object).await?.read(0..size);
        while let Some(part) = bytes.next().await {
            hasher.update(&part?);
        }
        Ok(hasher.finish())
    }
}

async fn upload_row(ctx: &Ctx, repository: &Repository, uuid: &str) -> Result<UploadRow, Error> {
    let row = ctx
        .store()
        .opt(&UPLOAD_BY_UUID, &[&uuid, &repository.id])
        .await?;
    row.ok_or_else(|| Error::UploadUnknown(uuid.chars().take(64).collect()))
}

async fn save_progress(ctx: &Ctx, id: i64, receiver: &mut Receiver) -> Result<(), Error> {
    let offset = i64::try_from(receiver.writer.offset()).unwrap_or(i64::MAX);
    let state = receiver.hasher.state();
    let saved = ctx.store().write(&SAVE_PROGRESS, move |tx| {
        Ok::<_, Error>(tx.run(&UPLOAD_SET_PROGRESS, &[&offset, &state, &id])?)
    });
    saved.await.map(drop)
}

impl UploadRow {
    fn offset(&self) -> Result<u64, Error> {
        u64::try_from(self.offset_bytes).map_err(|_| Error::UploadUnknown(self.uuid.clone()))
    }

    fn object_id(&self) -> Result<ObjectId, Error> {
        self.object
            .parse()
            .map_err(|_| Error::UploadUnknown(self.uuid.clone()))
    }

    fn hasher(&self) -> Result<Hasher, Error> {
        let algorithm = if self.algorithm == Algorithm::Sha512.as_str() {
            Algorithm::Sha512
        } else {
            Algorithm::Sha256
        };
        Hasher::resume(algorithm, &self.hash_state)
            .ok_or_else(|| Error::UploadUnknown(self.uuid.clone()))
    }
}
