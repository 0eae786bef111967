//! Undoing deletions: images and repositories come back whole, or not at all.

use bytes::Bytes;
use serde_json::json;
use wharfinger_iam::{Error as IamError, compartments};
use wharfinger_metastore::Store;
use wharfinger_registry::images::{ImageState, list_images, restore_image};
use wharfinger_registry::repositories::{self, Visibility};
use wharfinger_registry::{Error, Registry};
use wharfinger_testkit::on_each_engine;
use wharfinger_testkit::services::{Installation, NOW, found, request};
use wharfinger_types::{Digest, Page, Reference};

use crate::images::{descriptor, push_blob, push_image, put, read_blob};

const ALL: Page = Page { limit: 100, last: None };

fn reference(text: &str) -> Reference {
    text.parse().unwrap()
}

fn index(entries: &[&Digest]) -> Bytes {
    let entries: Vec<_> = entries.iter().map(|digest| descriptor(digest)).collect();
    json!({ "schemaVersion": 2, "manifests": entries }).to_string().into()
}

async fn is_pulled(installation: &Installation, repository: &str, text: &str) -> bool {
    let (ctx, image) = (installation.local(), installation.image(repository));
    let registry: &Registry = &installation.registry;
    registry.get_manifest(&ctx, &image, &reference(text)).await.is_ok()
}

on_each_engine! {
    async fn a_restored_image_is_the_same_and_takes_a_version_only_if_asked_and_free(store: Store) {
        let installation = found(store).await;
        let (ctx, image, tenancy) = (installation.local(), installation.image("app"), &installation.tenancy);
        let (name, registry) = ("app".parse().unwrap(), &installation.registry);
        let (digest, layer) = push_image(&installation, &ctx, &image, "x", "v1").await;
        let bytes = registry.get_manifest(&ctx, &image, &reference("v1")).await.unwrap().1;
        let refused = restore_image(&ctx, tenancy, &name, &digest, None).await;
        assert!(matches!(refused, Err(Error::NotDeleted(_))), "one that is there is not restored: {refused:?}");
        registry.delete_manifest(&ctx, &image, &digest).await.unwrap();

        let restored = restore_image(&ctx, tenancy, &name, &digest, None).await.unwrap();
        assert!(restored.versions.is_empty() && restored.deleted_at.is_none());
        assert!(!is_pulled(&installation, "app", "v1").await, "no version unless asked for");
        assert_eq!(registry.get_manifest(&ctx, &image, &reference(digest.as_str())).await.unwrap().1, bytes);
        assert_eq!(read_blob(&installation, &ctx, &image, &layer).await.unwrap(), b"x");

        registry.delete_manifest(&ctx, &image, &digest).await.unwrap();
        let (other, _) = push_image(&installation, &ctx, &image, "y", "v1").await;
        let taken = restore_image(&ctx, tenancy, &name, &digest, Some(&"v1".parse().unwrap())).await;
        assert!(matches!(taken, Err(Error::VersionTaken { .. })), "{taken:?}");
        assert!(!is_pulled(&installation, "app", digest.as_str()).await, "a refusal restores nothing");
        let restored = restore_image(&ctx, tenancy, &name, &digest, Some(&"v2".parse().unwrap())).await.unwrap();
        assert_eq!(restored.versions, ["v2"]);
        assert_eq!(registry.stat_manifest(&ctx, &image, &reference("v2")).await.unwrap().digest, digest);
        assert_eq!(registry.stat_manifest(&ctx, &image, &reference("v1")).await.unwrap().digest, other);
    }

    async fn images_are_listed_with_versions_sizes_and_times(store: Store) {
        let installation = found(store).await;
        let (ctx, image, tenancy) = (installation.local(), installation.image("app"), &installation.tenancy);
        let (name, registry) = ("app".parse().unwrap(), &installation.registry);
        let (one, _) = push_image(&installation, &ctx, &image, "one", "v1").await;
        let (two, _) = push_image(&installation, &ctx, &image, "two", "v2").await;
        let bytes = registry.get_manifest(&ctx, &image, &reference("v1")).await.unwrap().1;
        put(&installation, &ctx, &image, "latest", bytes.clone()).await.unwrap();
        let later = installation.later(60);
        registry.delete_manifest(&later, &image, &two).await.unwrap();

        let there = list_images(&ctx, tenancy, &name, ImageState::Available, &ALL).await.unwrap();
        assert_eq!(there.len(), 1);
        assert_eq!((there[0].digest.as_str(), there[0].deleted_at), (one.as_str(), None));
        assert_eq!(there[0].versions, ["latest", "v1"]);
        let blobs = "one".len() + "config of one".len();
        assert_eq!((there[0].manifest_bytes, there[0].blob_bytes), (bytes.len() as i64, blobs as i64));
        assert_eq!(there[0].created_at, NOW.0);
        let deleted = list_images(&ctx, tenancy, &name, ImageState::Deleted, &ALL).await.unwrap();
        assert_eq!(deleted.len(), 1);
        assert_eq!((deleted[0].digest.as_str(), deleted[0].deleted_at), (two.as_str(), Some(later.now().0)));
        assert!(deleted[0].versions.is_empty());
        // Page by page, nothing lost.
        push_image(&installation, &ctx, &image, "three", "v3").await;
        let first = Page { limit: 1, last: None };
        let first = list_images(&ctx, tenancy, &name, ImageState::Available, &first).await.unwrap();
        let rest = Page { limit: 5, last: Some(first[0].digest.clone()) };
        let rest = list_images(&ctx, tenancy, &name, ImageState::Available, &rest).await.unwrap();
        assert_eq!((first.len(), rest.len()), (1, 1));
    }

    /// A blob that only hidden manifests use is hidden by its deletion, and comes back with any of them.
    async fn a_blob_deleted_after_its_image_comes_back_with_it(store: Store) {
        let installation = found(store).await;
        let (ctx, image, tenancy) = (installation.local(), installation.image("app"), &installation.tenancy);
        let (name, registry) = ("app".parse().unwrap(), &installation.registry);
        let (digest, layer) = push_image(&installation, &ctx, &image, "x", "v1").await;
        registry.delete_manifest(&ctx, &image, &digest).await.unwrap();
        registry.delete_blob(&ctx, &image, &layer).await.unwrap();
        assert!(registry.stat_blob(&ctx, &image, &layer).await.is_err());
        let collected = registry.collect_garbage(&installation.later(47 * 3_600), false).await.unwrap();
        assert_eq!(collected.links, 0, "the link stays as long as the image can be restored: {collected:?}");
        restore_image(&ctx, tenancy, &name, &digest, None).await.unwrap();
        assert_eq!(read_blob(&installation, &ctx, &image, &layer).await.unwrap(), b"x");
    }

    async fn an_index_comes_back_with_its_entries_and_its_referrers(store: Store) {
        let installation = found(store).await;
        let (ctx, image, tenancy) = (installation.local(), installation.image("app"), &installation.tenancy);
        let (name, registry) = ("app".parse().unwrap(), &installation.registry);
        let (one, layer) = push_image(&installation, &ctx, &image, "one", "one").await;
        let (two, _) = push_image(&installation, &ctx, &image, "two", "two").await;
        let inner = put(&installation, &ctx, &image, "inner", index(&[&one])).await.unwrap();
        let outer = put(&installation, &ctx, &image, "outer", index(&[&inner, &two])).await.unwrap();
        let config = push_blob(&installation, &ctx, &image, b"{}").await;
        let signature = json!({
            "schemaVersion": 2, "config": descriptor(&config), "layers": [], "artifactType": "a/signature",
            "subject": descriptor(&outer),
        });
        put(&installation, &ctx, &image, "signature", signature.to_string().into()).await.unwrap();

        // Deleted one by one, the whole tree; restored by its root alone.
        for digest in [&outer, &inner, &one] {
            registry.delete_manifest(&ctx, &image, digest).await.unwrap();
        }
        registry.delete_blob(&ctx, &image, &layer).await.unwrap();
        restore_image(&ctx, tenancy, &name, &outer, Some(&"outer".parse().unwrap())).await.unwrap();
        for digest in [&outer, &inner, &one, &two] {
            assert!(is_pulled(&installation, "app", digest.as_str()).await, "{digest}");
        }
        assert_eq!(read_blob(&installation, &ctx, &image, &layer).await.unwrap(), b"one");
        let referrers = registry.list_referrers(&ctx, &image, &outer, None, 0).await.unwrap();
        assert_eq!(referrers.manifests.len(), 1, "what refers to it is listed as before");
    }

    async fn a_repository_comes_back_with_its_images_and_the_newest_first(store: Store) {
        let installation = found(store).await;
        let (ctx, image, tenancy) = (installation.local(), installation.image("app"), &installation.tenancy);
        let name = "app".parse().unwrap();
        let (old, _) = push_image(&installation, &ctx, &image, "old", "v1").await;
        let first = repositories::delete_repository(&installation.later(1), tenancy, &name).await.unwrap();
        let (new, layer) = push_image(&installation, &ctx, &image, "new", "v1").await;
        let second = repositories::delete_repository(&installation.later(2), tenancy, &name).await.unwrap();

        let restored = repositories::restore_repository(&ctx, tenancy, &name, None).await.unwrap();
        assert_eq!(restored.ocid, second.ocid);
        assert!(is_pulled(&installation, "app", "v1").await && is_pulled(&installation, "app", new.as_str()).await);
        assert_eq!(read_blob(&installation, &ctx, &image, &layer).await.unwrap(), b"new");
        let taken = repositories::restore_repository(&ctx, tenancy, &name, None).await;
        assert!(matches!(taken, Err(Error::Iam(IamError::NameTaken { .. }))), "{taken:?}");
        let other = "app-before".parse().unwrap();
        let restored = repositories::restore_repository(&ctx, tenancy, &name, Some(&other)).await.unwrap();
        assert_eq!((restored.ocid, restored.name.as_str()), (first.ocid, "app-before"));
        assert!(is_pulled(&installation, "app-before", old.as_str()).await);
        let none = repositories::restore_repository(&ctx, tenancy, &name, None).await;
        assert!(matches!(none, Err(Error::Iam(IamError::NotFound { .. }))), "{none:?}");
    }

    async fn a_repository_does_not_come_back_into_a_deleted_compartment(store: Store) {
        let installation = found(store).await;
        let (ctx, tenancy, name) = (installation.local(), &installation.tenancy, "app".parse().unwrap());
        let dev = compartments::create_compartment(&ctx, &tenancy.root_ocid, "dev", "").await.unwrap();
        repositories::create_repository(&ctx, tenancy, &dev.ocid, &name, Visibility::Private).await.unwrap();
        repositories::delete_repository(&ctx, tenancy, &name).await.unwrap();
        assert!(compartments::delete_compartment(&ctx, &dev.ocid).await.unwrap().failure.is_none());
        let refused = repositories::restore_repository(&ctx, tenancy, &name, None).await;
        assert!(matches!(refused, Err(Error::Iam(IamError::Denied { .. }))), "{refused:?}");
        compartments::recover_compartment(&ctx, &dev.ocid).await.unwrap();
        // Recovering gives the compartment, and what was in it can follow.
        repositories::restore_repository(&ctx, tenancy, &name, None).await.unwrap();
    }

    async fn restores_need_the_rights_to_update_and_to_create(store: Store) {
        use wharfinger_iam::policies::{PolicyText, create_policy};
        let installation = found(store).await;
        let (ctx, image, tenancy) = (installation.local(), installation.image("app"), &installation.tenancy);
        let name = "app".parse().unwrap();
        let (digest, _) = push_image(&installation, &ctx, &image, "x", "v1").await;
        installation.registry.delete_manifest(&ctx, &image, &digest).await.unwrap();
        let secret = installation.add_user("alice").await;
        let alice = async || installation.iam.login(request(), "acme/alice", &secret).await.unwrap();
        let denied = |error: Option<Error>| matches!(error, Some(Error::Iam(IamError::Denied { .. })));
        let nobody = &installation.anonymous();
        let refused = restore_image(nobody, tenancy, &name, &digest, None).await;
        assert!(matches!(refused, Err(Error::Iam(IamError::Unauthenticated))));
        assert!(denied(restore_image(&alice().await, tenancy, &name, &digest, None).await.err()));
        let listed = list_images(&alice().await, tenancy, &name, ImageState::Deleted, &ALL).await;
        assert!(denied(listed.err()));
        let allow = async |what: &str, statement: &str| {
            let statements = Some(vec![statement.to_owned()]);
            let text = PolicyText { statements, ..PolicyText::default() };
            create_policy(&ctx, &tenancy.root_ocid, what, text).await.unwrap();
        };
        allow("inspect", "Allow any-user to inspect repos in tenancy").await;
        list_images(&alice().await, tenancy, &name, ImageState::Deleted, &ALL).await.unwrap();
        assert!(denied(restore_image(&alice().await, tenancy, &name, &digest, None).await.err()));
        allow("update", "Allow any-user to manage repos in tenancy where request.permission = 'REPOSITORY_UPDATE'").await;
        restore_image(&alice().await, tenancy, &name, &digest, None).await.unwrap();

        repositories::update_repository(&ctx, tenancy, &name, Visibility::Public).await.unwrap();
        repositories::delete_repository(&ctx, tenancy, &name).await.unwrap();
        assert!(denied(repositories::restore_repository(&alice().await, tenancy, &name, None).await.err()));
        allow("create", "Allow any-user to manage repos in tenancy where request.permission = 'REPOSITORY_CREATE'").await;
        let refused = repositories::restore_repository(&alice().await, tenancy, &name, None).await;
        assert!(denied(refused.err()), "a public one needs the right to make it so");
        allow("manage", "Allow any-user to manage repos in tenancy").await;
        repositories::restore_repository(&alice().await, tenancy, &name, None).await.unwrap();
    }
}
