//! One object from one store to another.

use futures_util::StreamExt;
use wharfinger_blobstore::{BlobStore, ChunkPool, Error as BlobError, ObjectReader};
use wharfinger_types::{Digest, Hasher};

use super::directory::Entry;
use crate::Error;
use crate::damage::Damage;

/// How it went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Copied {
    /// It was there.
    Is,
    /// It is there now, durably.
    Now,
    /// It can't be had.
    Not(Damage),
}

/// Copies the object of an entry, and hashes it on the way. One of the right size that is there counts as right if
/// `believed`; else it is hashed.
pub(crate) async fn copy_object(
    from: &dyn BlobStore,
    to: &dyn BlobStore,
    chunks: &ChunkPool,
    entry: &Entry,
    believed: bool,
) -> Result<Copied, Error> {
    match open(to, entry).await? {
        Ok(_) if believed => return Ok(Copied::Is),
        Ok(kept) => match hash(kept, entry).await? {
            None => return Ok(Copied::Is),
            Some(_) => to.remove(&entry.object).await?,
        },
        Err(Damage::Lost) => {}
        Err(_) => to.remove(&entry.object).await?,
    }
    let source = match open(from, entry).await? {
        Ok(source) => source,
        Err(damage) => return Ok(Copied::Not(damage)),
    };
    let mut writer = to.create(&entry.object).await?;
    let mut hasher = Hasher::new(entry.digest.algorithm());
    let mut bytes = source.read(0..entry.size);
    let mut chunk = chunks.take().await;
    while let Some(part) = bytes.next().await {
        let mut part = match part {
            Ok(part) => part,
            Err(error) => {
                tracing::error!(object = %entry.object, %error, "an object can't be read");
                drop(writer);
                to.remove(&entry.object).await?;
                return Ok(Copied::Not(Damage::Unreadable));
            }
        };
        hasher.update(&part);
        while !part.is_empty() {
            chunk.push(&mut part);
            if chunk.is_full() {
                writer.write(chunk.freeze()).await?;
                chunk = chunks.take().await;
            }
        }
    }
    if !chunk.is_empty() {
        writer.write(chunk.freeze()).await?;
    }
    if hasher.finish() != entry.digest {
        drop(writer);
        to.remove(&entry.object).await?;
        return Ok(Copied::Not(Damage::Bytes));
    }
    writer.sync().await?;
    Ok(Copied::Now)
}

/// Opens the object of an entry, if it has the size that it should have.
pub(crate) async fn open(
    store: &dyn BlobStore,
    entry: &Entry,
) -> Result<Result<ObjectReader, Damage>, Error> {
    let reader = match store.open(&entry.object).await {
        Err(BlobError::NotFound { .. }) => return Ok(Err(Damage::Lost)),
        opened => opened?,
    };
    let (is, wanted) = (reader.size(), entry.size);
    Ok(if is == wanted { Ok(reader) } else { Err(Damage::Size { is, wanted }) })
}

/// Reads an object, and says what is wrong with its bytes.
pub(crate) async fn hash(object: ObjectReader, entry: &Entry) -> Result<Option<Damage>, Error> {
    let mut hasher = Hasher::new(entry.digest.algorithm());
    let mut bytes = object.read(0..entry.size);
    while let Some(part) = bytes.next().await {
        match part {
            Ok(part) => hasher.update(&part),
            Err(error) => {
                tracing::error!(object = %entry.object, %error, "an object can't be read");
                return Ok(Some(Damage::Unreadable));
            }
        }
    }
    let found: Digest = hasher.finish();
    Ok((found != entry.digest).then_some(Damage::Bytes))
}
