//! Guarded operations that meet each other: whatever the order, the invariants hold.

use tokio::task::JoinSet;
use wharfinger_iam::{Error as IamError, compartments};
use wharfinger_metastore::Store;
use wharfinger_registry::Error;
use wharfinger_registry::repositories::{self, Visibility};
use wharfinger_testkit::on_each_engine;
use wharfinger_testkit::services::found;
use wharfinger_types::Digest;

use crate::images::{manifest, push_blob, put, read_blob, sent};

const ROUNDS: usize = 20;

on_each_engine! {
    async fn uploads_of_the_same_bytes_at_once_all_succeed_and_share_one_object(store: Store) {
        let installation = found(store).await;
        let digest = Digest::sha256(b"same bytes");
        let mut uploads = JoinSet::new();
        for n in 0..16 {
            let (installation, digest) = (installation.clone(), digest.clone());
            uploads.spawn(async move {
                let (ctx, image) = (installation.administrator().await, installation.image(&format!("app{}", n % 4)));
                installation.registry.upload_blob(&ctx, &image, &digest, sent(b"same bytes")).await
            });
        }
        for outcome in uploads.join_all().await {
            outcome.unwrap();
        }
        let ctx = installation.administrator().await;
        for n in 0..4 {
            let image = installation.image(&format!("app{n}"));
            assert_eq!(read_blob(&installation, &ctx, &image, &digest).await.unwrap(), b"same bytes");
        }
    }

    /// A manifest that can be pulled has every blob it needs, also when a blob is deleted meanwhile.
    async fn deleting_a_blob_while_a_manifest_that_needs_it_is_put(store: Store) {
        let installation = found(store).await;
        let (ctx, image) = (installation.administrator().await, installation.image("app"));
        let config = push_blob(&installation, &ctx, &image, b"{}").await;
        for round in 0..ROUNDS {
            let content = format!("layer {round}");
            let layer = push_blob(&installation, &ctx, &image, content.as_bytes()).await;
            let reference = format!("v{round}");
            let (putting, deleting) = tokio::join!(
                put(&installation, &ctx, &image, &reference, manifest(&config, &[&layer])),
                installation.registry.delete_blob(&ctx, &image, &layer),
            );
            match (putting, deleting) {
                (Ok(_), Err(Error::BlobInUse { .. })) => {
                    assert_eq!(read_blob(&installation, &ctx, &image, &layer).await.unwrap(), content.as_bytes());
                }
                (Err(Error::ManifestBlobUnknown(_)), Ok(())) => {}
                other => panic!("round {round}: {other:?}"),
            }
        }
    }

    async fn deleting_a_manifest_while_it_is_put_under_another_tag(store: Store) {
        let installation = found(store).await;
        let (ctx, image) = (installation.administrator().await, installation.image("app"));
        let config = push_blob(&installation, &ctx, &image, b"{}").await;
        let bytes = manifest(&config, &[]);
        for round in 0..ROUNDS {
            let digest = put(&installation, &ctx, &image, "old", bytes.clone()).await.unwrap();
            let (putting, deleting) = tokio::join!(
                put(&installation, &ctx, &image, "new", bytes.clone()),
                installation.registry.delete_manifest(&ctx, &image, &digest),
            );
            putting.unwrap();
            deleting.unwrap();
            // Either all of the put is there, or the deletion took all of it.
            let by_tag = installation.registry.get_manifest(&ctx, &image, &"new".parse().unwrap()).await;
            let by_digest = installation.registry.get_manifest(&ctx, &image, &digest.as_str().parse().unwrap()).await;
            assert_eq!(by_tag.is_ok(), by_digest.is_ok(), "round {round}");
        }
    }

    async fn the_first_layers_of_a_push_create_one_repository(store: Store) {
        let installation = found(store).await;
        let mut uploads = JoinSet::new();
        for n in 0..8 {
            let installation = installation.clone();
            uploads.spawn(async move {
                let ctx = installation.administrator().await;
                push_blob(&installation, &ctx, &installation.image("new/app"), format!("layer {n}").as_bytes()).await
            });
        }
        let digests = uploads.join_all().await;
        let ctx = installation.administrator().await;
        for digest in digests {
            installation.registry.stat_blob(&ctx, &installation.image("new/app"), &digest).await.unwrap();
        }
        let created = installation.audited_operations().await;
        assert_eq!(created.iter().filter(|operation| *operation == "create_repository").count(), 1);
    }

    /// What is acknowledged is there: a push that meets the deletion of its repository is refused, or
    /// came before it.
    async fn deleting_a_repository_while_it_is_pushed_to(store: Store) {
        let installation = found(store).await;
        let (ctx, tenancy) = (installation.administrator().await, &installation.tenancy);
        let image = installation.image("app");
        let name = "app".parse().unwrap();
        for round in 0..ROUNDS {
            let config = push_blob(&installation, &ctx, &image, b"{}").await;
            let (putting, deleting) = tokio::join!(
                put(&installation, &ctx, &image, "v1", manifest(&config, &[])),
                repositories::delete_repository(&ctx, tenancy, &name),
            );
            deleting.unwrap();
            let operations = installation.audited_operations().await;
            let last = &operations[operations.len() - 2..];
            match putting {
                Ok(_) => assert_eq!(last, ["put_manifest", "delete_repository"], "round {round}"),
                Err(Error::Iam(IamError::NotFound { .. })) => {}
                // It was created anew, without the blob.
                Err(Error::ManifestBlobUnknown(_)) => {
                    repositories::delete_repository(&ctx, tenancy, &name).await.unwrap();
                }
                Err(other) => panic!("round {round}: {other:?}"),
            }
        }
    }

    async fn a_compartment_is_deleted_or_gets_a_repository_never_both(store: Store) {
        let installation = found(store).await;
        let root = installation.tenancy.root_ocid.clone();
        for round in 0..3 {
            let dev = compartments::create_compartment(&installation.local(), &root, &format!("dev{round}"), "").await.unwrap().ocid;
            let mut racing = JoinSet::new();
            for number in 0..50 {
                let (installation, dev) = (installation.clone(), dev.clone());
                racing.spawn(async move {
                    let (local, tenancy) = (installation.local(), &installation.tenancy);
                    let name = format!("app-{round}-{number}").parse().unwrap();
                    let made = repositories::create_repository(&local, tenancy, &dev, &name, Visibility::Private).await;
                    u32::from(made.is_ok())
                });
            }
            // Some are made before it, and some after it, if it is not deleted.
            tokio::task::yield_now().await;
            let deleted = compartments::delete_compartment(&installation.local(), &dev).await;
            let made: u32 = racing.join_all().await.into_iter().sum();
            let is_deleted = deleted.is_ok_and(|request| request.failure.is_none());
            assert!(!is_deleted || made == 0, "round {round}: deleted with {made} repositories in it");
        }
    }
}
