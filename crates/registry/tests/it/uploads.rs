//! Upload sessions: offsets, digests, broken bodies, foreign sessions.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use wharfinger_blobstore::simulated::SimulatedDisk;
use wharfinger_blobstore::{BlobStore, Disk, FileStore, MemoryStore};
use wharfinger_metastore::Store;
use wharfinger_registry::uploads::ChunkRange;
use wharfinger_registry::{Error, Registry, SparseManifests};
use wharfinger_testkit::on_each_engine;
use wharfinger_testkit::services::{Installation, found};
use wharfinger_types::{Algorithm, Digest};

use crate::images::{cut_off, push_blob, read_blob, sent};

on_each_engine! {
    async fn chunks_in_order_make_a_blob_and_others_are_told_the_offset(store: Store) {
        let installation = found(store).await;
        let (ctx, image, registry) = (installation.administrator().await, installation.image("app"), &installation.registry);
        let bytes: Vec<u8> = (0..3_000_000u32).map(|i| (i * 7 % 251) as u8).collect();
        let (first, second) = bytes.split_at(1_500_000);
        let upload = registry.start_upload(&ctx, &image, Algorithm::Sha256).await.unwrap();
        let range = |start: usize, length: usize| Some(ChunkRange { start: start as u64, length: length as u64 });

        let early = registry.append_upload(&ctx, &image, &upload.uuid, range(5, 3), sent(b"abc")).await;
        assert!(matches!(early, Err(Error::UploadOffset { start: 5, offset: 0 })));
        let after = registry.append_upload(&ctx, &image, &upload.uuid, range(0, first.len()), sent(first)).await.unwrap();
        assert_eq!(after.offset, 1_500_000);
        let again = registry.append_upload(&ctx, &image, &upload.uuid, range(0, first.len()), sent(first)).await;
        assert!(matches!(again, Err(Error::UploadOffset { offset: 1_500_000, .. })));
        let short = registry.append_upload(&ctx, &image, &upload.uuid, range(1_500_000, 10), sent(b"abc")).await;
        assert!(matches!(short, Err(Error::ChunkLength { announced: 10, received: 3 })));
        assert_eq!(registry.get_upload(&ctx, &image, &upload.uuid).await.unwrap().offset, 1_500_000);

        let digest = Digest::sha256(&bytes);
        let last = range(1_500_000, second.len());
        registry.finish_upload(&ctx, &image, &upload.uuid, last, &digest, sent(second)).await.unwrap();
        assert_eq!(read_blob(&installation, &ctx, &image, &digest).await.unwrap(), bytes);
        assert!(matches!(registry.get_upload(&ctx, &image, &upload.uuid).await, Err(Error::UploadUnknown(_))));
    }

    async fn a_broken_body_leaves_what_came_and_the_upload_goes_on_from_there(store: Store) {
        let installation = found(store).await;
        let (ctx, image, registry) = (installation.administrator().await, installation.image("app"), &installation.registry);
        let upload = registry.start_upload(&ctx, &image, Algorithm::Sha256).await.unwrap();
        let broken = registry.append_upload(&ctx, &image, &upload.uuid, None, cut_off(b"hello ")).await;
        assert!(matches!(broken, Err(Error::BodyBroken(_))));
        assert_eq!(registry.get_upload(&ctx, &image, &upload.uuid).await.unwrap().offset, 6);
        let digest = Digest::sha256(b"hello world");
        let broken = registry.finish_upload(&ctx, &image, &upload.uuid, None, &digest, cut_off(b"wor")).await;
        assert!(matches!(broken, Err(Error::BodyBroken(_))));
        assert_eq!(registry.get_upload(&ctx, &image, &upload.uuid).await.unwrap().offset, 9);
        registry.finish_upload(&ctx, &image, &upload.uuid, None, &digest, sent(b"ld")).await.unwrap();
        assert_eq!(read_blob(&installation, &ctx, &image, &digest).await.unwrap(), b"hello world");
    }

    async fn a_wrong_digest_ends_the_session(store: Store) {
        let installation = found(store).await;
        let (ctx, image, registry) = (installation.administrator().await, installation.image("app"), &installation.registry);
        let upload = registry.start_upload(&ctx, &image, Algorithm::Sha256).await.unwrap();
        let wrong = Digest::sha256(b"other");
        let refused = registry.finish_upload(&ctx, &image, &upload.uuid, None, &wrong, sent(b"bytes")).await;
        assert!(matches!(refused, Err(Error::DigestMismatch { .. })));
        assert!(matches!(registry.get_upload(&ctx, &image, &upload.uuid).await, Err(Error::UploadUnknown(_))));
        let refused = registry.upload_blob(&ctx, &image, &wrong, sent(b"bytes")).await;
        assert!(matches!(refused, Err(Error::DigestMismatch { .. })));
        assert!(matches!(registry.stat_blob(&ctx, &image, &wrong).await, Err(Error::BlobUnknown(_))));
    }

    async fn an_upload_hashed_by_one_algorithm_is_accepted_by_another(store: Store) {
        let installation = found(store).await;
        let (ctx, image, registry) = (installation.administrator().await, installation.image("app"), &installation.registry);
        let upload = registry.start_upload(&ctx, &image, Algorithm::Sha256).await.unwrap();
        let digest = Digest::of(Algorithm::Sha512, b"bytes");
        registry.finish_upload(&ctx, &image, &upload.uuid, None, &digest, sent(b"bytes")).await.unwrap();
        assert_eq!(read_blob(&installation, &ctx, &image, &digest).await.unwrap(), b"bytes");
    }

    async fn an_empty_upload_is_the_empty_blob(store: Store) {
        let installation = found(store).await;
        let (ctx, image, registry) = (installation.administrator().await, installation.image("app"), &installation.registry);
        let digest = Digest::sha256(b"");
        let upload = registry.start_upload(&ctx, &image, Algorithm::Sha256).await.unwrap();
        let nothing = stream::iter(Vec::<Result<_, std::convert::Infallible>>::new());
        registry.finish_upload(&ctx, &image, &upload.uuid, None, &digest, nothing).await.unwrap();
        assert_eq!(registry.stat_blob(&ctx, &image, &digest).await.unwrap(), 0);
    }

    /// CVE-2026-32589: a session known by its id, from another repository or after its end.
    async fn a_session_belongs_to_its_repository(store: Store) {
        let installation = found(store).await;
        let (ctx, registry) = (installation.administrator().await, &installation.registry);
        let (one, two) = (installation.image("one"), installation.image("two"));
        push_blob(&installation, &ctx, &two, b"x").await;
        let upload = registry.start_upload(&ctx, &one, Algorithm::Sha256).await.unwrap();
        let unknown = |outcome: Result<(), Error>| matches!(outcome, Err(Error::UploadUnknown(_)));
        assert!(unknown(registry.get_upload(&ctx, &two, &upload.uuid).await.map(drop)));
        assert!(unknown(registry.append_upload(&ctx, &two, &upload.uuid, None, sent(b"x")).await.map(drop)));
        let digest = Digest::sha256(b"x");
        assert!(unknown(registry.finish_upload(&ctx, &two, &upload.uuid, None, &digest, sent(b"x")).await));
        assert!(unknown(registry.cancel_upload(&ctx, &two, &upload.uuid).await));
        assert!(unknown(registry.get_upload(&ctx, &one, "no-such-session").await.map(drop)));
        registry.cancel_upload(&ctx, &one, &upload.uuid).await.unwrap();
        assert!(unknown(registry.cancel_upload(&ctx, &one, &upload.uuid).await));
    }

    /// The row of a session may outlive its bytes in a power cut: another process reads them again.
    async fn a_session_goes_on_in_another_process_only_if_its_bytes_are_there(store: Store) {
        let installation = found(store).await;
        let (ctx, image) = (installation.administrator().await, installation.image("app"));
        let blobs = Arc::new(MemoryStore::new());
        let process = || Registry::new(Arc::clone(&blobs) as Arc<dyn BlobStore>, SparseManifests::Refused);
        let digest = Digest::sha256(b"hello world");

        let first = process();
        let upload = first.start_upload(&ctx, &image, Algorithm::Sha256).await.unwrap();
        first.append_upload(&ctx, &image, &upload.uuid, None, sent(b"hello ")).await.unwrap();
        let second = process();
        assert_eq!(second.get_upload(&ctx, &image, &upload.uuid).await.unwrap().offset, 6);
        second.finish_upload(&ctx, &image, &upload.uuid, None, &digest, sent(b"world")).await.unwrap();
        second.open_blob(&ctx, &image, &digest).await.unwrap();

        let upload = first.start_upload(&ctx, &image, Algorithm::Sha256).await.unwrap();
        first.append_upload(&ctx, &image, &upload.uuid, None, sent(b"hello ")).await.unwrap();
        let lost = Registry::new(Arc::new(MemoryStore::new()), SparseManifests::Refused);
        let refused = lost.get_upload(&ctx, &image, &upload.uuid).await;
        assert!(matches!(refused, Err(Error::UploadUnknown(_))));
        let refused = lost.finish_upload(&ctx, &image, &upload.uuid, None, &digest, sent(b"world")).await;
        assert!(matches!(refused, Err(Error::UploadUnknown(_))));
        assert!(matches!(first.get_upload(&ctx, &image, &upload.uuid).await, Err(Error::UploadUnknown(_))));
    }

    async fn a_request_takes_a_session_over_from_a_client_that_fell_silent(store: Store) {
        let installation = found(store).await;
        let (ctx, image, registry) = (installation.administrator().await, installation.image("app"), &installation.registry);
        let upload = registry.start_upload(&ctx, &image, Algorithm::Sha256).await.unwrap();
        let fell_silent = tokio::sync::Notify::new();
        let silence = stream::once(async {
            fell_silent.notify_one();
            std::future::pending().await
        });
        let silent = stream::iter([Ok::<_, std::convert::Infallible>(Bytes::from_static(b"hello "))]).chain(silence);
        let digest = Digest::sha256(b"hello world");
        let (abandoned, offset) = tokio::join!(
            registry.append_upload(&ctx, &image, &upload.uuid, None, Box::pin(silent)),
            async {
                fell_silent.notified().await;
                registry.append_upload(&ctx, &image, &upload.uuid, None, sent(b"world")).await
            },
        );
        assert!(matches!(abandoned, Err(Error::BodyBroken(_))), "{abandoned:?}");
        assert_eq!(offset.unwrap().offset, 11);
        registry.finish_upload(&ctx, &image, &upload.uuid, None, &digest, sent(b"")).await.unwrap();
    }

    /// The bytes of a push are at hand and verified: they stand in for those that the disk lost.
    async fn a_push_brings_a_lost_or_cut_object_back(store: Store) {
        let installation = found(store).await;
        let (ctx, image) = (installation.administrator().await, installation.image("app"));
        let disk = SimulatedDisk::new();
        let blobs = FileStore::on(Arc::new(disk.clone())).unwrap();
        let installation = Installation { registry: Registry::new(Arc::new(blobs), SparseManifests::Refused), ..installation };
        let registry = &installation.registry;
        let digest = push_blob(&installation, &ctx, &image, b"bytes").await;

        let stored = disk.image().objects.into_keys().next().unwrap();
        disk.remove(&stored).unwrap();
        assert!(matches!(read_blob(&installation, &ctx, &image, &digest).await, Err(Error::Quarantined(_))));
        registry.upload_blob(&ctx, &image, &digest, sent(b"bytes")).await.unwrap();
        assert_eq!(read_blob(&installation, &ctx, &image, &digest).await.unwrap(), b"bytes");

        for name in disk.image().objects.keys() {
            disk.open_for_writing(name).unwrap().truncate(2).unwrap();
        }
        let upload = registry.start_upload(&ctx, &image, Algorithm::Sha256).await.unwrap();
        registry.finish_upload(&ctx, &image, &upload.uuid, None, &digest, sent(b"bytes")).await.unwrap();
        assert_eq!(read_blob(&installation, &ctx, &image, &digest).await.unwrap(), b"bytes");
    }

    /// Text that PostgreSQL takes in no column.
    async fn an_upload_id_that_is_none_is_unknown(store: Store) {
        let installation = found(store).await;
        let (ctx, image, registry) = (installation.administrator().await, installation.image("app"), &installation.registry);
        push_blob(&installation, &ctx, &image, b"x").await;
        for uuid in ["\0", "x", &"0".repeat(10_000)] {
            assert!(matches!(registry.get_upload(&ctx, &image, uuid).await, Err(Error::UploadUnknown(_))));
        }
    }
}
