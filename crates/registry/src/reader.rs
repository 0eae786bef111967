//! Reading a blob: never finished as good when its bytes are not.
//!
//! Hashing costs about as much as everything else of a pull, so it is not done each time. A whole read verifies,
//! unless the same object was verified within the hour and nothing has written to it since. A blob that one read
//! holds is verified before the answer's head; of a larger one the last piece is held back until the digest is
//! known. Reads of a part can't be verified; they rest on the size, on the reads of the whole, and on the scrub.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use moka::sync::Cache;
use wharfinger_blobstore::{ObjectId, ObjectReader};
use wharfinger_types::{Digest, Hasher};

use crate::Error;
use crate::damage::{Damage, Finding};

/// Up to this size a blob is read and verified before its first byte is sent.
const INLINE_BYTES: u64 = 256 << 10;
/// How long a verified object is believed.
const BELIEVED: Duration = Duration::from_secs(3600);
/// Objects remembered as verified.
const REMEMBERED: u64 = 100_000;

/// Versions of objects that were found to be right.
#[derive(Debug, Clone)]
pub(crate) struct Verified(Cache<(ObjectId, i128), ()>);

impl Default for Verified {
    fn default() -> Verified {
        Verified(Cache::builder().max_capacity(REMEMBERED).time_to_live(BELIEVED).build())
    }
}

/// An open blob.
#[derive(Debug)]
pub struct BlobReader {
    object: Arc<ObjectReader>,
    finding: Arc<Finding>,
}

impl BlobReader {
    pub(crate) fn new(object: ObjectReader, finding: Finding) -> BlobReader {
        BlobReader { object: Arc::new(object), finding: Arc::new(finding) }
    }

    /// Its size in bytes.
    pub fn size(&self) -> u64 {
        self.object.size()
    }

    /// Streams exactly the bytes of `range`, which may be one of several. A blob that is found to be damaged is
    /// [`Error::Quarantined`], here or before the end of the stream.
    pub async fn read(&self, range: Range<u64>) -> Result<BoxStream<'static, Result<Bytes, Error>>, Error> {
        let bytes = self.object.read(range.clone());
        if range != (0..self.size())
            || self.finding.registry.0.verified.0.contains_key(&self.object.version())
        {
            return Ok(bytes.map(|part| Ok(part?)).boxed());
        }
        let verifying = Verifying {
            bytes: Some(bytes),
            held: None,
            hasher: Hasher::new(self.finding.stored.digest.algorithm()),
            object: Arc::clone(&self.object),
            finding: Arc::clone(&self.finding),
        };
        let verified = stream::try_unfold(verifying, Verifying::next);
        if self.size() > INLINE_BYTES {
            return Ok(verified.boxed());
        }
        let parts: Vec<_> = verified.collect().await;
        let parts: Result<Vec<Bytes>, Error> = parts.into_iter().collect();
        Ok(stream::iter(parts?.into_iter().map(Ok)).boxed())
    }
}

/// A whole read, one piece behind.
struct Verifying {
    bytes: Option<BoxStream<'static, Result<Bytes, wharfinger_blobstore::Error>>>,
    held: Option<Bytes>,
    hasher: Hasher,
    object: Arc<ObjectReader>,
    finding: Arc<Finding>,
}

impl Verifying {
    async fn next(mut self) -> Result<Option<(Bytes, Verifying)>, Error> {
        while let Some(bytes) = &mut self.bytes {
            let Some(piece) = bytes.next().await else {
                self.bytes = None;
                break;
            };
            let piece = piece?;
            self.hasher.update(&piece);
            if let Some(earlier) = self.held.replace(piece) {
                return Ok(Some((earlier, self)));
            }
        }
        let Some(last) = self.held.take() else {
            return Ok(None);
        };
        if !self.is_right() {
            return Err(self.finding.quarantine(Damage::Bytes).await);
        }
        self.finding.registry.0.verified.0.insert(self.object.version(), ());
        Ok(Some((last, self)))
    }

    fn is_right(&self) -> bool {
        let found: Digest = self.hasher.clone().finish();
        found == self.finding.stored.digest
    }
}
