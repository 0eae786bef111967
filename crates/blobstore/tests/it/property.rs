//! Whatever is written in whatever pieces is read back exactly.

use std::sync::Arc;

use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::TestRunner;
use wharfinger_blobstore::contract::{noise, read, write};
use wharfinger_blobstore::{BlobStore, ChunkPool, FileStore, MemoryStore, ObjectId};

use crate::Scratch;

/// Lengths to write, each after a resume at some offset or straight on.
type Writes = Vec<(usize, Option<Index>)>;

/// One store serves all cases: opening one syncs 257 directories.
#[test]
fn any_range_after_any_writes_and_resumes_reads_back_exactly() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let scratch = Scratch::new();
    let files = runtime.block_on(FileStore::open(&scratch.root())).unwrap();
    let stores: [Arc<dyn BlobStore>; 2] = [Arc::new(MemoryStore::new()), Arc::new(files)];
    let writes = prop::collection::vec((0_usize..700_000, any::<Option<Index>>()), 0..6);
    let cases = (writes, any::<(Index, Index)>(), any::<u64>());
    let config = ProptestConfig { cases: 64, failure_persistence: None, ..Default::default() };
    TestRunner::new(config)
        .run(&cases, |(writes, ends, seed)| {
            for store in &stores {
                runtime.block_on(check(&**store, &writes, &ends, seed));
            }
            Ok(())
        })
        .unwrap();
}

async fn check(store: &dyn BlobStore, writes: &Writes, ends: &(Index, Index), seed: u64) {
    let (id, pool) = (ObjectId::fresh(), ChunkPool::new(1));
    let mut writer = store.create(&id).await.unwrap();
    let mut expected = Vec::new();
    for (number, (length, cut)) in writes.iter().enumerate() {
        if let Some(cut) = cut {
            expected.truncate(cut.index(expected.len() + 1));
            writer = store.resume(&id, expected.len() as u64).await.unwrap();
        }
        let bytes = noise(seed.wrapping_add(number as u64), *length);
        write(&mut *writer, &pool, &bytes).await;
        expected.extend_from_slice(&bytes);
    }
    writer.sync().await.unwrap();
    let (a, b) = (ends.0.index(expected.len() + 1), ends.1.index(expected.len() + 1));
    let range = a.min(b)..a.max(b);
    let found = read(store, &id, range.start as u64..range.end as u64).await.unwrap();
    assert!(found == expected[range.clone()], "{range:?} of {} differs", expected.len());
    store.remove(&id).await.unwrap();
}
