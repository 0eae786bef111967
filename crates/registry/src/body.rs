//! From a request body to an object: fill chunks, hash them, write them.

use std::fmt::Display;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use tokio::sync::mpsc;
use wharfinger_blobstore::{Chunk, ChunkBuffer, ChunkPool, ObjectWriter};
use wharfinger_types::Hasher;

use crate::Error;
use crate::sessions::Sessions;

/// A client that sends nothing for this long gives its part-filled chunk back to the pool.
const IDLE_FLUSH: Duration = Duration::from_millis(200);
/// Chunks up to this size are hashed on the spot: handing them to another thread costs as much.
const INLINE_HASH_BYTES: usize = 64 << 10;
/// With more uploads than this, every core is busy anyway and overlapping gains nothing.
const OVERLAP_UPLOADS: usize = 2;

/// An object in the making and the hash of what it holds so far.
pub(crate) struct Receiver {
    pub(crate) writer: Box<dyn ObjectWriter>,
    pub(crate) hasher: Hasher,
}

impl Receiver {
    /// Takes the whole body in. After [`Error::BodyBroken`] the receiver holds what came before,
    /// hashed and written alike; after any other error it is of no use.
    pub(crate) async fn receive<S, E>(
        &mut self,
        body: S,
        chunks: &ChunkPool,
        sessions: &Sessions,
    ) -> Result<(), Error>
    where
        S: Stream<Item = Result<Bytes, E>> + Unpin,
        E: Display,
    {
        let _receiving = sessions.start_receiving();
        let (filled, mut to_store) = mpsc::channel(1);
        // A failed `storing` drops its end of the channel, which ends the filling.
        let storing = async move {
            while let Some(chunk) = to_store.recv().await {
                self.store(chunk, sessions.receiving() <= OVERLAP_UPLOADS)
                    .await?;
            }
            Ok::<_, Error>(())
        };
        let (filled, stored) = tokio::join!(fill(body, chunks, filled), storing);
        stored?;
        filled
    }

    async fn store(&mut self, chunk: Chunk, overlap: bool) -> Result<(), Error> {
        if chunk.len() <= INLINE_HASH_BYTES || !overlap {
            self.hasher.update(&chunk);
            self.writer.write(chunk).await?;
            return Ok(());
        }
        let mut hasher = self.hasher.clone();
        let hashed = chunk.clone();
        let hashing = tokio::task::spawn_blocking(move || {
            hasher.update(&hashed);
            hasher
        });
        let (hasher, written) = tokio::join!(hashing, self.writer.write(chunk));
        written?;
        // The task neither panics nor is it aborted, except when the runtime goes down.
        self.hasher = hasher.map_err(|_| Error::Stopping)?;
        Ok(())
    }
}

async fn fill<S, E>(
    mut body: S,
    chunks: &ChunkPool,
    filled: mpsc::Sender<Chunk>,
) -> Result<(), Error>
where
    S: Stream<Item = Result<Bytes, E>> + Unpin,
    E: Display,
{
    let mut buffer: Option<ChunkBuffer> = None;
    loop {
        let frame = match &buffer {
            None => body.next().await,
            Some(_) => match tokio::time::timeout(IDLE_FLUSH, body.next()).await {
                Ok(frame) => frame,
                Err(_) => {
                    if !send(buffer.take(), &filled).await {
                        return Ok(());
                    }
                    continue;
                }
            },
        };
        let mut bytes = match frame {
            Some(Ok(bytes)) => bytes,
            Some(Err(error)) => {
                send(buffer, &filled).await;
                return Err(Error::BodyBroken(error.to_string()));
            }
            None => {
                send(buffer, &filled).await;
                return Ok(());
            }
        };
        while !bytes.is_empty() {
            let mut filling = match buffer.take() {
                Some(buffer) => buffer,
                None => chunks.take().await,
            };
            filling.push(&mut bytes);
            if !filling.is_full() {
                buffer = Some(filling);
            } else if !send(Some(filling), &filled).await {
                return Ok(());
            }
        }
    }
}

/// Hands a chunk on; `false` when nobody stores any more, whose error tells why.
async fn send(buffer: Option<ChunkBuffer>, filled: &mpsc::Sender<Chunk>) -> bool {
    match buffer {
        Some(buffer) if !buffer.is_empty() => filled.send(buffer.freeze()).await.is_ok(),
        _ => true,
    }
}
