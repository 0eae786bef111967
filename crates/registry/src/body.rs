//! From a request body to an object: fill chunks, hash them, write them.

use std::fmt::Display;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{FutureExt, Stream, StreamExt, stream};
use tokio::sync::mpsc;
use tokio::time::Instant;
use wharfinger_blobstore::{Chunk, ChunkBuffer, ChunkPool, ObjectWriter};
use wharfinger_types::Hasher;

use crate::Error;
use crate::sessions::Sessions;

/// A chunk that is not full after this long is stored as it is, so that slow clients don't hold the
/// pool's chunks.
const CHUNK_AGE: Duration = Duration::from_millis(200);
/// How long a client may be silent before a later request may take its session.
const SILENCE: Duration = Duration::from_secs(1);
/// How long a client may be silent at all. What came before stays, and an upload can be resumed.
const STALLED: Duration = Duration::from_secs(300);
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
    /// hashed and written alike; after any other error it is of no use. Once `superseded` ends, the
    /// body counts as broken as soon as its client is silent.
    pub(crate) async fn receive<S, E>(
        &mut self,
        body: S,
        chunks: &ChunkPool,
        sessions: &Sessions,
        superseded: impl Future<Output = ()>,
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
                self.store(chunk, sessions.receiving() <= OVERLAP_UPLOADS).await?;
            }
            Ok::<_, Error>(())
        };
        let filling = fill(frames(body, superseded), chunks, filled);
        let (filled, stored) = tokio::join!(filling, storing);
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

/// The frames of a body, broken off when a later request wants the session and the client is silent.
fn frames<S, E>(body: S, superseded: impl Future<Output = ()>) -> impl Stream<Item = Result<Bytes, Error>>
where
    S: Stream<Item = Result<Bytes, E>> + Unpin,
    E: Display,
{
    let state = (body, Box::pin(superseded.fuse()), false);
    stream::unfold(state, |(mut body, mut superseded, mut is_superseded)| async move {
        let frame = loop {
            let (patience, reason) = if is_superseded {
                (SILENCE, "a later request took the session over")
            } else {
                (STALLED, "nothing came for five minutes")
            };
            tokio::select! {
                biased;
                frame = tokio::time::timeout(patience, body.next()) => match frame {
                    Ok(frame) => break frame?.map_err(|error| Error::BodyBroken(error.to_string())),
                    Err(_) => break Err(Error::BodyBroken(reason.to_owned())),
                },
                () = &mut superseded, if !is_superseded => is_superseded = true,
            }
        };
        Some((frame, (body, superseded, is_superseded)))
    })
}

async fn fill(
    frames: impl Stream<Item = Result<Bytes, Error>>,
    chunks: &ChunkPool,
    filled: mpsc::Sender<Chunk>,
) -> Result<(), Error> {
    let mut frames = std::pin::pin!(frames);
    let mut filling: Option<(ChunkBuffer, Instant)> = None;
    loop {
        let frame = match &filling {
            None => frames.next().await,
            Some((_, since)) => match tokio::time::timeout_at(*since + CHUNK_AGE, frames.next()).await {
                Ok(frame) => frame,
                Err(_) => {
                    if !send(filling.take(), &filled).await {
                        return Ok(());
                    }
                    continue;
                }
            },
        };
        let mut bytes = match frame {
            Some(Ok(bytes)) => bytes,
            Some(Err(error)) => {
                send(filling, &filled).await;
                return Err(error);
            }
            None => {
                send(filling, &filled).await;
                return Ok(());
            }
        };
        while !bytes.is_empty() {
            let (mut buffer, since) = match filling.take() {
                Some(filling) => filling,
                None => (chunks.take().await, Instant::now()),
            };
            buffer.push(&mut bytes);
            let is_full = buffer.is_full();
            filling = Some((buffer, since));
            if is_full && !send(filling.take(), &filled).await {
                return Ok(());
            }
        }
    }
}

/// Hands a chunk on; `false` when nobody stores any more, whose error tells why.
async fn send(filling: Option<(ChunkBuffer, Instant)>, filled: &mpsc::Sender<Chunk>) -> bool {
    match filling {
        Some((buffer, _)) if !buffer.is_empty() => filled.send(buffer.freeze()).await.is_ok(),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::future::{pending, ready};

    use super::*;

    type Frame = Result<Bytes, Infallible>;

    async fn failure(
        body: impl Stream<Item = Frame> + Unpin,
        superseded: impl Future<Output = ()>,
    ) -> String {
        let mut frames = std::pin::pin!(frames(body, superseded));
        loop {
            match frames.next().await {
                Some(Ok(_)) => {}
                Some(Err(Error::BodyBroken(reason))) => return reason,
                other => panic!("{other:?}"),
            }
        }
    }

    /// A piece each time that the client was silent so long, and then nothing more.
    fn trickle(silence: Duration) -> impl Stream<Item = Frame> + Unpin {
        let pieces = stream::iter(0..3).then(move |_| async move {
            tokio::time::sleep(silence).await;
            Ok(Bytes::from_static(b"x"))
        });
        Box::pin(pieces.chain(stream::once(pending())))
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_stalls_is_broken_off_and_a_slow_one_is_not() {
        let started = Instant::now();
        let reason = failure(trickle(Duration::from_secs(290)), pending()).await;
        assert_eq!(reason, "nothing came for five minutes");
        assert_eq!(started.elapsed().as_secs(), 3 * 290 + 300);
    }

    #[tokio::test(start_paused = true)]
    async fn a_later_request_takes_over_from_a_silent_client_only() {
        let started = Instant::now();
        let reason = failure(trickle(Duration::from_millis(900)), ready(())).await;
        assert_eq!(reason, "a later request took the session over");
        assert_eq!(started.elapsed().as_millis(), 3 * 900 + 1000);
    }
}
