//! The contract of `BlobStore`, run on every adapter.

use std::sync::Arc;

use wharfinger_blobstore::{FileStore, MemoryStore, contract};

use crate::Scratch;

#[tokio::test(flavor = "multi_thread")]
async fn memory_keeps_the_contract() {
    contract::run(Arc::new(MemoryStore::new())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn files_keep_the_contract() {
    let scratch = Scratch::new();
    contract::run(Arc::new(FileStore::open(&scratch.root()).await.unwrap())).await;
}
