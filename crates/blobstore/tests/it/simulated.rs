//! The simulated disk is an adapter like the others, and loses what it may.

use std::sync::Arc;

use wharfinger_blobstore::contract::{self, chunk};
use wharfinger_blobstore::simulated::SimulatedDisk;
use wharfinger_blobstore::{BlobStore, ChunkPool, FileStore, ObjectId};

#[tokio::test(flavor = "multi_thread")]
async fn a_simulated_disk_keeps_the_contract() {
    let disk = SimulatedDisk::new();
    contract::run(Arc::new(FileStore::on(Arc::new(disk)).unwrap())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_synced_stays_and_the_rest_comes_back_in_every_way() {
    let disk = SimulatedDisk::new();
    let store = FileStore::on(Arc::new(disk.clone())).unwrap();
    let (id, pool) = (ObjectId::fresh(), ChunkPool::new(1));
    let mut writer = store.create(&id).await.unwrap();
    writer.write(chunk(&pool, b"12").await).await.unwrap();
    writer.sync().await.unwrap();
    writer.write(chunk(&pool, b"34").await).await.unwrap();
    let mut found: Vec<Vec<u8>> = disk
        .power_cut(disk.moments(), 1)
        .into_iter()
        .map(|image| image.objects.into_values().next().expect("its name was synced"))
        .collect();
    found.sort();
    let expected: [&[u8]; 5] = [b"12", b"12\0\0", b"12\x004", b"123\0", b"1234"];
    let mut expected = expected.map(<[u8]>::to_vec);
    expected.sort();
    assert_eq!(found, expected);
}
