//! The collector against everybody else: whatever the order, what is acknowledged stays, and nothing is left over.
//!
//! Each round has the collector and a client at the same rows at the same time. The clocks of both are days after
//! what is collected was made.

use std::future::Future;
use std::pin::Pin;

use bytes::Bytes;
use serde_json::{Value, json};
use wharfinger_iam::{Ctx, Error as IamError};
use wharfinger_metastore::Store;
use wharfinger_registry::images::restore_image;
use wharfinger_registry::{Error, repositories};
use wharfinger_testkit::on_each_engine;
use wharfinger_testkit::services::{Installation, found};
use wharfinger_types::{Algorithm, Digest, ImageName};

use crate::images::{descriptor, manifest, push_blob, push_image, put, read_blob, sent};

const ROUNDS: usize = 10;
/// When the collector and its rivals come, in seconds.
const LATER: i64 = 5 * 86_400;

/// Everything that a reference names can be read, entries of indexes too.
fn is_whole<'a>(
    installation: &'a Installation,
    ctx: &'a Ctx,
    image: &'a ImageName,
    reference: &'a str,
) -> Pin<Box<dyn Future<Output = bool> + Send + 'a>> {
    Box::pin(async move {
        let got = installation.registry.get_manifest(ctx, image, &reference.parse().unwrap()).await;
        let Ok((_, body)) = got else { return false };
        let document: Value = serde_json::from_slice(&body).unwrap();
        let list = |name: &str| document[name].as_array().cloned().unwrap_or_default();
        for entry in list("manifests") {
            if !is_whole(installation, ctx, image, entry["digest"].as_str().unwrap()).await {
                return false;
            }
        }
        let config = document.get("config").cloned();
        for blob in list("layers").into_iter().chain(config) {
            let digest: Digest = blob["digest"].as_str().unwrap().parse().unwrap();
            if read_blob(installation, ctx, image, &digest).await.is_err() {
                return false;
            }
        }
        true
    })
}

/// Runs while `rival` does, over and over, so that its steps fall anywhere within.
async fn against<T>(installation: &Installation, rival: impl Future<Output = T>) -> T {
    let later = installation.later(LATER);
    let collecting = async {
        loop {
            let mut run = installation.registry.collection(&later, false).unwrap();
            run.uploads().await.unwrap();
            run.repositories().await.unwrap();
            run.manifests().await.unwrap();
            run.links().await.unwrap();
            run.blobs().await.unwrap();
            run.objects().await.unwrap();
            run.finish();
        }
    };
    tokio::select! {
        outcome = rival => outcome,
        () = collecting => unreachable!("it goes on until the rival is done"),
    }
}

/// Once everybody is done, an object stands for each blob and for nothing else.
async fn nothing_is_left_over(installation: &Installation) {
    let later = installation.later(LATER);
    installation.registry.collect_garbage(&later, false).await.unwrap();
    let rows = installation.content_rows().await;
    let count = |name: &str| rows.iter().find(|(table, _)| table == name).map_or(0, |(_, count)| *count);
    assert_eq!(installation.objects().await as i64, count("blob") + count("upload"), "{rows:?}");
    assert_eq!(count("dead_object"), 0);
}

on_each_engine! {
    /// Incident class 1, and with it the blob's row: the push finds it, or makes its own.
    async fn collecting_a_blob_while_it_is_pushed(store: Store) {
        let installation = found(store).await;
        let (early, late, image) = (installation.local(), installation.later(LATER), installation.image("app"));
        let config = push_blob(&installation, &late, &image, b"{}").await;
        for round in 0..ROUNDS {
            let content = format!("layer {round}");
            push_blob(&installation, &early, &image, content.as_bytes()).await;
            let reference = format!("v{round}");
            against(&installation, async {
                let layer = push_blob(&installation, &late, &image, content.as_bytes()).await;
                put(&installation, &late, &image, &reference, manifest(&config, &[&layer])).await
            }).await.unwrap();
            assert!(is_whole(&installation, &late, &image, &reference).await, "round {round}");
        }
        nothing_is_left_over(&installation).await;
    }

    /// A client that is told a blob is there does not upload it, and its manifest is taken.
    async fn collecting_a_blob_while_it_is_asked_for_and_used(store: Store) {
        let installation = found(store).await;
        let (early, late, image) = (installation.local(), installation.later(LATER), installation.image("app"));
        let config = push_blob(&installation, &late, &image, b"{}").await;
        for round in 0..ROUNDS {
            let content = format!("layer {round}");
            let layer = push_blob(&installation, &early, &image, content.as_bytes()).await;
            let reference = format!("v{round}");
            against(&installation, async {
                match installation.registry.stat_blob(&late, &image, &layer).await {
                    Ok(size) => assert_eq!(size, content.len() as u64),
                    Err(Error::BlobUnknown(_)) => {
                        push_blob(&installation, &late, &image, content.as_bytes()).await;
                    }
                    Err(other) => panic!("round {round}: {other:?}"),
                }
                put(&installation, &late, &image, &reference, manifest(&config, &[&layer])).await
            }).await.unwrap();
            assert!(is_whole(&installation, &late, &image, &reference).await, "round {round}");
        }
        nothing_is_left_over(&installation).await;
    }

    async fn collecting_a_blob_while_it_is_mounted(store: Store) {
        let installation = found(store).await;
        let (early, late) = (installation.local(), installation.later(LATER));
        let (source, target) = (installation.image("source"), installation.image("target"));
        let mut mounted = 0;
        for round in 0..ROUNDS {
            let content = format!("layer {round}");
            let layer = push_blob(&installation, &early, &source, content.as_bytes()).await;
            let is_mounted = against(&installation, installation.registry.mount_blob(&late, &target, &layer, Some(&source)));
            if is_mounted.await.unwrap() {
                mounted += 1;
                assert_eq!(read_blob(&installation, &late, &target, &layer).await.unwrap(), content.as_bytes());
            }
        }
        nothing_is_left_over(&installation).await;
        assert_eq!(installation.objects().await, mounted);
    }

    /// The manifest is of a deleted image that may be collected; the push revives it or puts it anew.
    async fn collecting_an_image_while_a_tag_moves_to_it(store: Store) {
        let installation = found(store).await;
        let (early, late, image) = (installation.local(), installation.later(LATER), installation.image("app"));
        push_image(&installation, &late, &image, "other", "moving").await;
        for round in 0..ROUNDS {
            let content = format!("layer {round}");
            let (digest, layer) = push_image(&installation, &early, &image, &content, "old").await;
            let body = installation.registry.get_manifest(&early, &image, &"old".parse().unwrap()).await.unwrap().1;
            installation.registry.delete_manifest(&early, &image, &digest).await.unwrap();
            let moved = against(&installation, put(&installation, &late, &image, "moving", body.clone())).await;
            match moved {
                Ok(moved) => assert_eq!(moved, digest),
                Err(Error::ManifestBlobUnknown(_)) => {
                    // It is told to upload again, and that does it.
                    push_blob(&installation, &late, &image, format!("config of {content}").as_bytes()).await;
                    push_blob(&installation, &late, &image, content.as_bytes()).await;
                    put(&installation, &late, &image, "moving", body).await.unwrap();
                }
                Err(other) => panic!("round {round}: {other:?}"),
            }
            assert!(is_whole(&installation, &late, &image, "moving").await, "round {round}");
            assert_eq!(read_blob(&installation, &late, &image, &layer).await.unwrap(), content.as_bytes());
        }
        nothing_is_left_over(&installation).await;
    }

    async fn collecting_while_a_manifest_is_deleted(store: Store) {
        let installation = found(store).await;
        let (early, late, image) = (installation.local(), installation.later(LATER), installation.image("app"));
        let name = "app".parse().unwrap();
        for round in 0..ROUNDS {
            let (digest, _) = push_image(&installation, &early, &image, &format!("layer {round}"), "v1").await;
            against(&installation, installation.registry.delete_manifest(&late, &image, &digest)).await.unwrap();
            restore_image(&late, &installation.tenancy, &name, &digest, None).await.unwrap();
            assert!(is_whole(&installation, &late, &image, digest.as_str()).await, "round {round}");
        }
        nothing_is_left_over(&installation).await;
    }

    /// All of it comes back, or the answer is that it has gone.
    async fn collecting_an_image_while_it_is_restored(store: Store) {
        let installation = found(store).await;
        let (early, late, image) = (installation.local(), installation.later(LATER), installation.image("app"));
        let name = "app".parse().unwrap();
        for round in 0..ROUNDS {
            let (digest, layer) = push_image(&installation, &early, &image, &format!("layer {round}"), "v1").await;
            let entry = json!({ "schemaVersion": 2, "manifests": [descriptor(&digest)] }).to_string();
            let root = put(&installation, &early, &image, "index", Bytes::from(entry)).await.unwrap();
            for digest in [&root, &digest] {
                installation.registry.delete_manifest(&early, &image, digest).await.unwrap();
            }
            installation.registry.delete_blob(&early, &image, &layer).await.unwrap();
            let restored = against(&installation, restore_image(&late, &installation.tenancy, &name, &root, None)).await;
            match restored {
                Ok(_) => assert!(is_whole(&installation, &late, &image, root.as_str()).await, "round {round}"),
                Err(Error::NotDeleted(_)) => {
                    assert!(!is_whole(&installation, &late, &image, root.as_str()).await, "round {round}");
                }
                Err(other) => panic!("round {round}: {other:?}"),
            }
        }
        nothing_is_left_over(&installation).await;
    }

    /// No collector here: a restored image never lacks a blob, whichever way round.
    async fn restoring_an_image_while_a_blob_of_it_is_deleted(store: Store) {
        let installation = found(store).await;
        let (ctx, image) = (installation.local(), installation.image("app"));
        let name = "app".parse().unwrap();
        for round in 0..ROUNDS {
            let (digest, layer) = push_image(&installation, &ctx, &image, &format!("layer {round}"), "v1").await;
            installation.registry.delete_manifest(&ctx, &image, &digest).await.unwrap();
            let (restored, deleted) = tokio::join!(
                restore_image(&ctx, &installation.tenancy, &name, &digest, None),
                installation.registry.delete_blob(&ctx, &image, &layer),
            );
            restored.unwrap();
            assert!(matches!(deleted, Ok(()) | Err(Error::BlobInUse { .. })), "round {round}: {deleted:?}");
            assert!(is_whole(&installation, &ctx, &image, digest.as_str()).await, "round {round}");
        }
    }

    async fn collecting_a_repository_while_it_is_restored(store: Store) {
        let installation = found(store).await;
        let (early, late, image) = (installation.local(), installation.later(LATER), installation.image("app"));
        let (name, tenancy) = ("app".parse().unwrap(), &installation.tenancy);
        for round in 0..ROUNDS {
            push_image(&installation, &early, &image, &format!("layer {round}"), "v1").await;
            repositories::delete_repository(&early, tenancy, &name).await.unwrap();
            let restored = against(&installation, repositories::restore_repository(&late, tenancy, &name, None)).await;
            match restored {
                Ok(_) => {
                    assert!(is_whole(&installation, &late, &image, "v1").await, "round {round}");
                    // Its links are in use, so that the next round's push is not kept from the collector.
                    repositories::delete_repository(&late, tenancy, &name).await.unwrap();
                }
                Err(Error::Iam(IamError::NotFound { .. })) => {}
                Err(other) => panic!("round {round}: {other:?}"),
            }
        }
        nothing_is_left_over(&installation).await;
    }

    async fn collecting_the_entry_of_an_index_while_that_is_pushed(store: Store) {
        let installation = found(store).await;
        let (early, late, image) = (installation.local(), installation.later(LATER), installation.image("app"));
        for round in 0..ROUNDS {
            let content = format!("layer {round}");
            let (child, _) = push_image(&installation, &early, &image, &content, "old").await;
            let body = installation.registry.get_manifest(&early, &image, &"old".parse().unwrap()).await.unwrap().1;
            let entry = json!({ "schemaVersion": 2, "manifests": [descriptor(&child)] }).to_string();
            installation.registry.delete_manifest(&early, &image, &child).await.unwrap();
            let reference = format!("index{round}");
            let pushed = against(&installation, async {
                push_blob(&installation, &late, &image, format!("config of {content}").as_bytes()).await;
                push_blob(&installation, &late, &image, content.as_bytes()).await;
                put(&installation, &late, &image, child.as_str(), body).await?;
                put(&installation, &late, &image, &reference, Bytes::from(entry)).await
            });
            pushed.await.unwrap();
            assert!(is_whole(&installation, &late, &image, &reference).await, "round {round}");
        }
        nothing_is_left_over(&installation).await;
    }

    /// A session that is too old: it ends in its blob, or in nothing.
    async fn collecting_an_upload_while_it_is_finished(store: Store) {
        let installation = found(store).await;
        let (early, late, image) = (installation.local(), installation.later(LATER), installation.image("app"));
        let registry = &installation.registry;
        for round in 0..ROUNDS {
            let content = format!("layer {round}");
            let digest = Digest::sha256(content.as_bytes());
            let upload = registry.start_upload(&early, &image, Algorithm::Sha256).await.unwrap();
            registry.append_upload(&early, &image, &upload.uuid, None, sent(content.as_bytes())).await.unwrap();
            let finished = against(&installation, registry.finish_upload(&late, &image, &upload.uuid, None, &digest, sent(b"")));
            match finished.await {
                Ok(()) => assert_eq!(read_blob(&installation, &late, &image, &digest).await.unwrap(), content.as_bytes()),
                Err(Error::UploadUnknown(_)) => {
                    assert!(read_blob(&installation, &late, &image, &digest).await.is_err(), "round {round}");
                }
                Err(other) => panic!("round {round}: {other:?}"),
            }
        }
        nothing_is_left_over(&installation).await;
    }

    /// Those who read a blob at that moment read it whole, or are told that it is not there.
    async fn collecting_a_blob_while_it_is_read(store: Store) {
        let installation = found(store).await;
        let (early, late, image) = (installation.local(), installation.later(LATER), installation.image("app"));
        for round in 0..ROUNDS {
            let content = format!("layer {round}");
            let layer = push_blob(&installation, &early, &image, content.as_bytes()).await;
            match against(&installation, read_blob(&installation, &late, &image, &layer)).await {
                Ok(read) => assert_eq!(read, content.as_bytes()),
                Err(Error::BlobUnknown(_)) => {}
                Err(other) => panic!("round {round}: {other:?}"),
            }
        }
    }
}
