//! Blobs whose object is lost or damaged: marked, so that nobody is given them, and mended by the next push.
//!
//! The mark is on the blob's row. To readers and to pushes the blob is then not there: HEAD and mounts say so, a
//! manifest that names it is refused, and so its client uploads it. That upload's object takes the place of the
//! damaged one.

use std::sync::atomic::Ordering;

use wharfinger_audit::{Origin, Subject};
use wharfinger_iam::Ctx;
use wharfinger_metastore::{Error as StoreError, Tx, operations, statements};
use wharfinger_types::Digest;

use crate::{Error, Registry};

statements! {
    /// Marks a blob that still has the object that was looked at.
    BLOB_QUARANTINE =
        "UPDATE blob SET damaged_at = $1 WHERE id = $2 AND object = $3 AND damaged_at IS NULL";
    BLOB_RELEASE =
        "UPDATE blob SET damaged_at = NULL WHERE id = $1 AND object = $2 AND damaged_at IS NOT NULL";
    BLOB_REPLACE =
        "UPDATE blob SET object = $1, size_bytes = $2, damaged_at = NULL WHERE id = $3 AND object = $4";
    /// The object is collected once nobody can be reading it.
    REPLACED_OBJECT =
        "INSERT INTO dead_object (object, size_bytes, dead_at) VALUES ($1, 0, $2)";
}

operations! {
    QUARANTINE_BLOB = quarantine_blob { Durable, Guarded, audited };
    RELEASE_BLOB = release_blob { Durable, Guarded, audited };
}

/// What is wrong with an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Damage {
    /// It is not there.
    Lost,
    /// It is shorter or longer than its blob.
    Size { is: u64, wanted: u64 },
    /// Its bytes have another digest.
    Bytes,
    /// The storage gives an error instead of its bytes.
    Unreadable,
}

impl std::fmt::Display for Damage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Damage::Lost => f.write_str("its object is not there"),
            Damage::Size { is, wanted } => write!(f, "its object has {is} bytes, not {wanted}"),
            Damage::Bytes => f.write_str("the bytes of its object have another digest"),
            Damage::Unreadable => f.write_str("its object can't be read"),
        }
    }
}

/// A blob and the object that was looked at.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    pub(crate) id: i64,
    pub(crate) object: String,
    pub(crate) digest: Digest,
}

/// Who looks at a blob, on whose behalf what is found is recorded.
#[derive(Debug, Clone)]
pub(crate) struct Finding {
    pub(crate) registry: Registry,
    pub(crate) ctx: Ctx,
    /// The tenancy that gets the record: of the repository that was read.
    pub(crate) tenancy_id: i64,
    pub(crate) stored: Stored,
}

impl Finding {
    /// Marks the blob, and answers with what its reader is told. A mark that fails changes nothing about that.
    pub(crate) async fn quarantine(&self, damage: Damage) -> Error {
        let Stored { id, object, digest } = self.stored.clone();
        tracing::error!(%digest, object, %damage, "blob is damaged and kept from readers: push it again");
        match self.mark(damage).await {
            Ok(false) => {
                tracing::info!(%digest, object, blob = id, "the blob is marked, has another object or is gone by now");
            }
            Ok(true) => {}
            Err(error) => tracing::error!(%digest, error = ?error, "the damaged blob could not be marked"),
        }
        Error::Quarantined(digest)
    }

    /// Marks the blob; `false` if it has another object by now, or is marked already.
    pub(crate) async fn mark(&self, damage: Damage) -> Result<bool, Error> {
        let (origin, tenancy_id, stored) = (self.ctx.origin(), self.tenancy_id, self.stored.clone());
        let marked = self.ctx.store().write(&QUARANTINE_BLOB, move |tx| {
            if tx.run(&BLOB_QUARANTINE, &[&origin.at.0, &stored.id, &stored.object])? == 0 {
                // An audited operation that changes nothing must not commit.
                return Err(Error::BlobUnknown(stored.digest.clone()));
            }
            record(tx, tenancy_id, &origin, &stored, &damage.to_string())
        });
        let is_new = found(marked.await)?;
        if is_new {
            self.registry.0.damaged.fetch_add(1, Ordering::Relaxed);
        }
        Ok(is_new)
    }

    /// Takes the mark from a blob whose object turned out to be whole, as after a disk was missing for a while.
    pub(crate) async fn release(&self) -> Result<bool, Error> {
        let (origin, tenancy_id, stored) = (self.ctx.origin(), self.tenancy_id, self.stored.clone());
        let released = self.ctx.store().write(&RELEASE_BLOB, move |tx| {
            if tx.run(&BLOB_RELEASE, &[&stored.id, &stored.object])? == 0 {
                return Err(Error::BlobUnknown(stored.digest.clone()));
            }
            record(tx, tenancy_id, &origin, &stored, "its object is whole")
        });
        found(released.await)
    }
}

fn found(outcome: Result<(), Error>) -> Result<bool, Error> {
    match outcome {
        Ok(()) => Ok(true),
        Err(Error::BlobUnknown(_)) => Ok(false),
        Err(error) => Err(error),
    }
}

fn record(
    tx: &mut Tx,
    tenancy_id: i64,
    origin: &Origin,
    stored: &Stored,
    finding: &str,
) -> Result<(), Error> {
    let digest = stored.digest.as_str();
    let subject =
        Subject::new(digest, digest).with("object", stored.object.as_str()).with("finding", finding);
    Ok(wharfinger_audit::record(tx, tenancy_id, origin, &subject)?)
}

/// Gives a blob whose object is lost or damaged that of an upload of the same bytes, with its size. `false` if it has
/// another one by now.
pub(crate) fn replace(
    tx: &mut Tx,
    blob_id: i64,
    damaged: &str,
    (object, size_bytes): (&str, i64),
    now: i64,
) -> Result<bool, StoreError> {
    if tx.run(&BLOB_REPLACE, &[&object, &size_bytes, &blob_id, &damaged])? == 0 {
        return Ok(false);
    }
    tx.run(&REPLACED_OBJECT, &[&damaged, &now])?;
    Ok(true)
}
