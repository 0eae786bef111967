//! The chunk pool: bounded, fair, and whole again when chunks are dropped.

use bytes::Bytes;
use futures_util::FutureExt;
use wharfinger_blobstore::{CHUNK_SIZE, ChunkPool};

#[tokio::test]
async fn a_buffer_takes_what_fits_and_leaves_the_rest() {
    let pool = ChunkPool::new(1);
    let mut buffer = pool.take().await;
    assert!(buffer.is_empty());
    let mut bytes = Bytes::from(vec![7; CHUNK_SIZE + 3]);
    buffer.push(&mut bytes);
    assert!(buffer.is_full());
    assert_eq!((buffer.len(), bytes.len()), (CHUNK_SIZE, 3));
    buffer.push(&mut bytes);
    assert_eq!(bytes.len(), 3);
    assert_eq!(*buffer.freeze(), vec![7; CHUNK_SIZE]);
}

#[tokio::test]
async fn a_pool_gives_no_more_than_its_chunks_until_the_last_clone_is_dropped() {
    let pool = ChunkPool::new(2);
    let (first, _second) = (pool.take().await.freeze(), pool.take().await);
    let clone = first.clone();
    let mut waiting = Box::pin(pool.take());
    assert!((&mut waiting).now_or_never().is_none());
    drop(first);
    assert!((&mut waiting).now_or_never().is_none());
    drop(clone);
    assert!((&mut waiting).now_or_never().is_some());
}

#[tokio::test]
async fn a_wait_given_up_takes_nothing() {
    let pool = ChunkPool::new(1);
    let held = pool.take().await;
    assert!(pool.take().now_or_never().is_none());
    drop(held);
    assert!(pool.take().now_or_never().is_some());
}

#[tokio::test]
async fn who_waits_first_is_served_first() {
    let pool = ChunkPool::new(1);
    let held = pool.take().await;
    let (mut first, mut second) = (Box::pin(pool.take()), Box::pin(pool.take()));
    assert!((&mut first).now_or_never().is_none());
    assert!((&mut second).now_or_never().is_none());
    drop(held);
    assert!((&mut second).now_or_never().is_none());
    assert!((&mut first).now_or_never().is_some());
    assert!((&mut second).now_or_never().is_some());
}

#[tokio::test]
async fn a_buffer_used_before_comes_back_empty() {
    let pool = ChunkPool::new(1);
    let mut buffer = pool.take().await;
    buffer.push(&mut Bytes::from_static(b"secret of another upload"));
    drop(buffer.freeze());
    assert!(pool.take().await.is_empty());
}
