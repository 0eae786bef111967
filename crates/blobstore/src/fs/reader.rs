//! Streams a range of a file: from the page cache at once, from the disk on another thread.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use tokio::task::{JoinHandle, coop, spawn_blocking};

use super::{DiskFile, finished};
use crate::{Error, ObjectId};

const PIECE: usize = 256 * 1024;
/// Below this a fresh allocation costs less than a pooled buffer wastes.
const POOLED_FROM: usize = 32 * 1024;
/// Buffers kept for the next reader: 8 MiB.
const RETAINED: usize = 32;

/// Buffers of [`PIECE`] bytes. It bounds what it keeps, not what is in use: no reader waits for
/// another one's slow client.
#[derive(Default)]
pub(super) struct ReadBuffers(Mutex<Vec<Box<[u8]>>>);

impl ReadBuffers {
    fn take(self: &Arc<ReadBuffers>, length: usize) -> Piece {
        if length < POOLED_FROM {
            return Piece { bytes: vec![0; length].into(), length, buffers: None };
        }
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let bytes = kept.unwrap_or_else(|| vec![0; PIECE].into());
        Piece { bytes, length, buffers: Some(Arc::clone(self)) }
    }
}

/// A buffer, of which the first `length` bytes are used.
struct Piece {
    bytes: Box<[u8]>,
    length: usize,
    buffers: Option<Arc<ReadBuffers>>,
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

impl AsMut<[u8]> for Piece {
    fn as_mut(&mut self) -> &mut [u8] {
        self.bytes.get_mut(..self.length).unwrap_or_default()
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        let Some(buffers) = &self.buffers else { return };
        let mut kept = buffers.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < RETAINED {
            kept.push(std::mem::take(&mut self.bytes));
        }
    }
}

/// The bytes of `range`, in items of [`PIECE`] bytes but for the last.
pub(super) fn read(
    id: ObjectId,
    file: Arc<dyn DiskFile>,
    range: Range<u64>,
    buffers: Arc<ReadBuffers>,
) -> BoxStream<'static, Result<Bytes, Error>> {
    let pieces = Pieces { id, file, range, buffers, ahead: None };
    stream::try_unfold(pieces, Pieces::next).boxed()
}

struct Pieces {
    id: ObjectId,
    file: Arc<dyn DiskFile>,
    /// What no read was started for.
    range: Range<u64>,
    buffers: Arc<ReadBuffers>,
    /// The next piece, if its read was started before it was asked for.
    ahead: Option<Read>,
}

enum Read {
    Cached(Piece),
    Waiting(JoinHandle<Result<Piece, Error>>),
}

impl Pieces {
    async fn next(mut self) -> Result<Option<(Bytes, Pieces)>, Error> {
        // Reads from the page cache never wait, so nothing else would let other tasks run.
        coop::consume_budget().await;
        let Some(read) = self.ahead.take().or_else(|| self.start()) else {
            return Ok(None);
        };
        let piece = match read {
            Read::Cached(piece) => piece,
            Read::Waiting(task) => {
                let piece = finished(format!("read object {}", self.id), task).await??;
                // The page cache missed: let the disk work while the consumer does.
                self.ahead = self.start();
                piece
            }
        };
        Ok(Some((Bytes::from_owner(piece), self)))
    }

    fn start(&mut self) -> Option<Read> {
        let left = self.range.end - self.range.start;
        let length = usize::try_from(left).unwrap_or(PIECE).min(PIECE);
        if length == 0 {
            return None;
        }
        let offset = self.range.start;
        self.range.start += length as u64;
        let mut piece = self.buffers.take(length);
        let cached = self.file.read_cached(piece.as_mut(), offset);
        if cached == length {
            return Some(Read::Cached(piece));
        }
        let (id, file, wanted) = (self.id.clone(), Arc::clone(&self.file), self.range.end);
        Some(Read::Waiting(spawn_blocking(move || {
            let rest = piece.as_mut().get_mut(cached..).unwrap_or_default();
            let missing = rest.len();
            let from = offset + cached as u64;
            let read =
                file.read_at(rest, from).map_err(|source| Error::io(format!("read object {id}"), source))?;
            if read < missing {
                return Err(Error::Short { id, found: from + read as u64, wanted });
            }
            Ok(piece)
        })))
    }
}
