//! The simulated disk is an adapter like the others, and loses and refuses what it may.

use std::io;
use std::sync::Arc;

use wharfinger_blobstore::contract::{self, chunk};
use wharfinger_blobstore::simulated::SimulatedDisk;
use wharfinger_blobstore::{BlobStore, ChunkPool, Error, FileStore, ObjectId};

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

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_that_does_not_sync_fails_the_sync_and_the_object_for_good() {
    for is_resumed in [false, true] {
        let disk = SimulatedDisk::new();
        let store = FileStore::on(Arc::new(disk.clone())).unwrap();
        let id = ObjectId::fresh();
        if is_resumed {
            store.create(&id).await.unwrap().sync().await.unwrap();
        }
        let sync = disk.calls().len() + usize::from(!is_resumed);
        disk.fail(sync, io::ErrorKind::Other);
        let opened = if is_resumed { store.resume(&id, 0).await } else { store.create(&id).await };
        let mut writer = opened.unwrap();
        while disk.calls().len() <= sync {
            tokio::task::yield_now().await;
        }
        let error = writer.sync().await.unwrap_err();
        assert!(matches!(error, Error::Io { .. }), "{error:?}");
        assert!(error.to_string().contains("directory"), "{error}");
        assert!(matches!(writer.sync().await, Err(Error::Poisoned { .. })));
        assert!(matches!(store.resume(&id, 0).await, Err(Error::Io { .. })));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_does_not_sync_is_not_resumed() {
    let disk = SimulatedDisk::new();
    let store = FileStore::on(Arc::new(disk.clone())).unwrap();
    let (id, pool) = (ObjectId::fresh(), ChunkPool::new(1));
    let mut writer = store.create(&id).await.unwrap();
    writer.sync().await.unwrap();
    writer.write(chunk(&pool, b"1").await).await.unwrap();
    disk.fail(disk.calls().len(), io::ErrorKind::Other);
    assert!(matches!(writer.sync().await, Err(Error::Io { .. })));
    assert!(matches!(store.resume(&id, 0).await, Err(Error::Io { .. })));
    // Its removal is the end of it.
    store.remove(&id).await.unwrap();
    store.create(&id).await.unwrap().sync().await.unwrap();
    store.resume(&id, 0).await.unwrap().sync().await.unwrap();
}
