//! The behaviour that every adapter must show, as one suite: call [`run`] on an empty store.
//!
//! It sees a store through [`BlobStore`] only; what a single medium adds (a full disk, a file cut
//! from outside) is tested beside its adapter.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test suite: a broken promise ends in a panic that names it"
)]

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use futures_util::{FutureExt, StreamExt, TryStreamExt};

use crate::{BlobStore, CHUNK_SIZE, Chunk, ChunkPool, Error, LIST_PAGE, ObjectId, ObjectWriter};

const PIECE: usize = 256 * 1024;
/// Far longer than any step takes: only a deadlock gets there.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs the whole suite; panics at the first promise that is not kept.
pub async fn run(store: Arc<dyn BlobStore>) {
    let store = &*store;
    bytes_of_any_size_read_back(store).await;
    a_range_reads_its_bytes_and_no_others(store).await;
    a_range_beyond_the_end_is_short(store).await;
    an_id_in_use_is_refused(store).await;
    a_resume_appends_at_its_offset_and_cuts_what_is_behind(store).await;
    a_resume_that_is_refused_disturbs_nobody(store).await;
    a_resume_shuts_out_the_earlier_writer(store).await;
    a_dropped_writer_keeps_what_it_wrote(store).await;
    an_absent_object_is_not_found_and_its_removal_is_no_error(store).await;
    a_reader_goes_on_after_a_remove(store).await;
    readers_of_one_object_do_not_disturb_each_other(store).await;
    more_uploads_than_chunks_all_finish(store).await;
    a_cancelled_write_never_leaves_offset_and_object_apart(store).await;
    a_listing_has_every_object_once_in_bounded_pages(store).await;
}

/// `length` bytes that look random and differ by seed (xorshift, Marsaglia 2003).
pub fn noise(seed: u64, length: usize) -> Bytes {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes.into()
}

/// The bytes as one chunk; at most [`CHUNK_SIZE`] of them.
pub async fn chunk(pool: &ChunkPool, bytes: &[u8]) -> Chunk {
    let mut buffer = pool.take().await;
    let mut rest = Bytes::copy_from_slice(bytes);
    buffer.push(&mut rest);
    assert!(rest.is_empty(), "a chunk holds {CHUNK_SIZE} bytes");
    buffer.freeze()
}

/// Writes all bytes in full chunks.
pub async fn write(writer: &mut dyn ObjectWriter, pool: &ChunkPool, bytes: &[u8]) {
    for part in bytes.chunks(CHUNK_SIZE) {
        writer.write(chunk(pool, part).await).await.expect("write");
    }
}

/// Reads a range of an object.
pub async fn read(store: &dyn BlobStore, id: &ObjectId, range: Range<u64>) -> Result<Vec<u8>, Error> {
    store
        .open(id)
        .await?
        .read(range)
        .try_fold(Vec::new(), |mut read, piece| async move {
            read.extend_from_slice(&piece);
            Ok(read)
        })
        .await
}

async fn stored(store: &dyn BlobStore, bytes: &[u8]) -> ObjectId {
    let id = ObjectId::fresh();
    let mut writer = store.create(&id).await.expect("create");
    write(&mut *writer, &ChunkPool::new(1), bytes).await;
    writer.sync().await.expect("sync");
    assert_eq!(writer.offset(), bytes.len() as u64);
    id
}

async fn whole(store: &dyn BlobStore, id: &ObjectId) -> Vec<u8> {
    let size = store.open(id).await.expect("open").size();
    read(store, id, 0..size).await.expect("read")
}

async fn bytes_of_any_size_read_back(store: &dyn BlobStore) {
    let sizes = [0, 1, PIECE - 1, PIECE, PIECE + 1, CHUNK_SIZE, 5 * CHUNK_SIZE + 4321];
    for (seed, size) in sizes.into_iter().enumerate() {
        let bytes = noise(seed as u64, size);
        let id = stored(store, &bytes).await;
        assert_eq!(store.open(&id).await.expect("open").size(), size as u64);
        assert!(whole(store, &id).await == bytes, "{size} bytes differ");
    }
}

async fn a_range_reads_its_bytes_and_no_others(store: &dyn BlobStore) {
    let size = 3 * PIECE + 10;
    let bytes = noise(1, size);
    let id = stored(store, &bytes).await;
    let middle = PIECE - 3..2 * PIECE + 5;
    for range in [0..1, size - 1..size, 0..PIECE, middle, 7..7, size..size, 0..size] {
        let read = read(store, &id, range.start as u64..range.end as u64).await.expect("read");
        assert!(read == bytes[range.clone()], "range {range:?} differs");
    }
}

async fn a_range_beyond_the_end_is_short(store: &dyn BlobStore) {
    let id = stored(store, b"four").await;
    for range in [0..5, 4..5, 5..5, 100..200] {
        let error = read(store, &id, range.clone()).await.expect_err("beyond the end");
        assert!(
            matches!(error, Error::Short { found: 4, wanted, .. } if wanted == range.end),
            "{range:?}: {error:?}"
        );
    }
}

async fn an_id_in_use_is_refused(store: &dyn BlobStore) {
    let id = ObjectId::fresh();
    let mut writer = store.create(&id).await.expect("create");
    let second = store.create(&id).await;
    assert!(matches!(second, Err(Error::AlreadyExists { .. })), "while it is written");
    write(&mut *writer, &ChunkPool::new(1), b"first").await;
    writer.sync().await.expect("sync");
    drop(writer);
    let third = store.create(&id).await;
    assert!(matches!(third, Err(Error::AlreadyExists { .. })), "after it was written");
    assert_eq!(whole(store, &id).await, b"first");
}

async fn a_resume_appends_at_its_offset_and_cuts_what_is_behind(store: &dyn BlobStore) {
    let pool = ChunkPool::new(1);
    for (offset, expected) in [(10, &b"0123456789new"[..]), (4, b"0123new"), (0, b"new")] {
        let id = stored(store, b"0123456789").await;
        let mut writer = store.resume(&id, offset).await.expect("resume");
        assert_eq!(writer.offset(), offset);
        assert_eq!(store.open(&id).await.expect("open").size(), offset, "cut at once");
        write(&mut *writer, &pool, b"new").await;
        writer.sync().await.expect("sync");
        assert_eq!(writer.offset(), offset + 3);
        assert_eq!(whole(store, &id).await, expected);
    }
}

async fn a_resume_that_is_refused_disturbs_nobody(store: &dyn BlobStore) {
    let absent = store.resume(&ObjectId::fresh(), 0).await;
    assert!(matches!(absent, Err(Error::NotFound { .. })));

    let pool = ChunkPool::new(1);
    let id = ObjectId::fresh();
    let mut writer = store.create(&id).await.expect("create");
    write(&mut *writer, &pool, b"half").await;
    let beyond = store.resume(&id, 5).await;
    assert!(matches!(beyond, Err(Error::Short { found: 4, wanted: 5, .. })));
    write(&mut *writer, &pool, b" and half").await;
    writer.sync().await.expect("sync");
    assert_eq!(whole(store, &id).await, b"half and half");
}

async fn a_resume_shuts_out_the_earlier_writer(store: &dyn BlobStore) {
    let pool = ChunkPool::new(1);
    let id = ObjectId::fresh();
    let mut earlier = store.create(&id).await.expect("create");
    write(&mut *earlier, &pool, b"earlier").await;
    let mut later = store.resume(&id, 4).await.expect("resume");
    let refused = earlier.write(chunk(&pool, b"late").await).await;
    assert!(matches!(refused, Err(Error::Poisoned { .. })), "{refused:?}");
    assert!(matches!(earlier.sync().await, Err(Error::Poisoned { .. })));
    write(&mut *later, &pool, b"y").await;
    later.sync().await.expect("sync");
    assert_eq!(whole(store, &id).await, b"early");
}

async fn a_dropped_writer_keeps_what_it_wrote(store: &dyn BlobStore) {
    let pool = ChunkPool::new(2);
    let id = ObjectId::fresh();
    let mut writer = store.create(&id).await.expect("create");
    write(&mut *writer, &pool, b"kept").await;
    drop(writer);
    let both = tokio::time::timeout(PATIENCE, async { (pool.take().await, pool.take().await) });
    assert!(both.await.is_ok(), "a chunk was not given back");
    let mut writer = store.resume(&id, 4).await.expect("resume");
    writer.sync().await.expect("sync");
    assert_eq!(whole(store, &id).await, b"kept");
}

async fn an_absent_object_is_not_found_and_its_removal_is_no_error(store: &dyn BlobStore) {
    let never = ObjectId::fresh();
    assert!(matches!(store.open(&never).await, Err(Error::NotFound { .. })));
    store.remove(&never).await.expect("remove of an object that never was");

    let removed = stored(store, b"x").await;
    store.remove(&removed).await.expect("remove");
    assert!(matches!(store.open(&removed).await, Err(Error::NotFound { .. })));
    assert!(matches!(store.resume(&removed, 0).await, Err(Error::NotFound { .. })));
    store.remove(&removed).await.expect("second remove");
}

async fn a_reader_goes_on_after_a_remove(store: &dyn BlobStore) {
    let bytes = noise(2, 4 * PIECE);
    let id = stored(store, &bytes).await;
    let mut pieces = store.open(&id).await.expect("open").read(0..bytes.len() as u64);
    let mut read = pieces.next().await.expect("first piece").expect("first piece").to_vec();
    store.remove(&id).await.expect("remove");
    while let Some(piece) = pieces.next().await {
        read.extend_from_slice(&piece.expect("later piece"));
    }
    assert!(read == bytes, "bytes differ");
}

async fn readers_of_one_object_do_not_disturb_each_other(store: &dyn BlobStore) {
    let bytes = noise(3, 3 * CHUNK_SIZE);
    let id = &stored(store, &bytes).await;
    let readers = (0..8).map(|reader| async move {
        let start = reader * PIECE / 2;
        (start, read(store, id, start as u64..3 * CHUNK_SIZE as u64).await.expect("read"))
    });
    for (start, read) in join_all(readers).await {
        assert!(read == bytes[start..], "reader from {start} differs");
    }
}

async fn more_uploads_than_chunks_all_finish(store: &dyn BlobStore) {
    let pool = &ChunkPool::new(3);
    let uploads = (0..10).map(|seed| async move {
        let bytes = noise(seed, 3 * CHUNK_SIZE + 17);
        let id = ObjectId::fresh();
        let mut writer = store.create(&id).await.expect("create");
        write(&mut *writer, pool, &bytes).await;
        writer.sync().await.expect("sync");
        assert!(whole(store, &id).await == bytes, "upload {seed} differs");
    });
    assert!(tokio::time::timeout(PATIENCE, join_all(uploads)).await.is_ok(), "deadlock");
}

/// More than a page, so that there are several; ids tell when they were made.
async fn a_listing_has_every_object_once_in_bounded_pages(store: &dyn BlobStore) {
    let listed = async || {
        let pages: Vec<Vec<ObjectId>> = store.list().try_collect().await.expect("list");
        assert!(pages.iter().all(|page| page.len() <= LIST_PAGE), "a page is bounded");
        pages.concat()
    };
    let mut expected = listed().await;
    for _ in 0..=LIST_PAGE {
        let id = ObjectId::fresh();
        store.create(&id).await.expect("create");
        expected.push(id);
    }
    let gone = expected.swap_remove(0);
    store.remove(&gone).await.expect("remove");
    let mut found = listed().await;
    found.sort_by(|one, other| one.as_str().cmp(other.as_str()));
    expected.sort_by(|one, other| one.as_str().cmp(other.as_str()));
    assert!(found == expected, "{} objects listed, {} are there", found.len(), expected.len());
    let times: Vec<i64> = expected.iter().map(ObjectId::made_at_ms).collect();
    assert!(times.is_sorted() && times[0] > 1_700_000_000_000, "ids tell their time");
}

/// The write is polled once and dropped: it may not have begun, be under way, or be done. Whichever
/// it was, the writer says where the object ends or refuses to go on, and a resume wins for good.
async fn a_cancelled_write_never_leaves_offset_and_object_apart(store: &dyn BlobStore) {
    let pool = ChunkPool::new(2);
    let old = noise(4, CHUNK_SIZE);
    let new = noise(5, CHUNK_SIZE);
    for _ in 0..50 {
        let id = ObjectId::fresh();
        let mut writer = store.create(&id).await.expect("create");
        write(&mut *writer, &pool, b"head").await;
        let completed = writer.write(chunk(&pool, &old).await).now_or_never().is_some();
        if completed {
            assert_eq!(writer.offset(), 4 + CHUNK_SIZE as u64);
        } else {
            assert_eq!(writer.offset(), 4);
            let next = writer.write(chunk(&pool, b"next").await).await;
            assert!(matches!(next, Err(Error::Poisoned { .. })), "{next:?}");
            assert!(matches!(writer.sync().await, Err(Error::Poisoned { .. })));
        }
        let mut writer = store.resume(&id, 4).await.expect("resume");
        write(&mut *writer, &pool, &new).await;
        writer.sync().await.expect("sync");
        let both = tokio::time::timeout(PATIENCE, async { (pool.take().await, pool.take().await) });
        drop(both.await.expect("the cancelled write gives its chunk back"));
        let read = whole(store, &id).await;
        assert!(read.len() == 4 + CHUNK_SIZE && read[4..] == new, "the cancelled write came back");
        store.remove(&id).await.expect("remove");
    }
}
