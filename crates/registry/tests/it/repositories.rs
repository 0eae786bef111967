//! Repositories: rights, visibility, creation on push, deletion.

use std::collections::HashSet;

use wharfinger_iam::{Cap, Error as IamError, tenancies};
use wharfinger_metastore::{Record, Store};
use wharfinger_registry::repositories::Visibility;
use wharfinger_registry::{Error, images, repositories};
use wharfinger_testkit::on_each_engine;
use wharfinger_testkit::services::{Installation, found, request};
use wharfinger_types::{Algorithm, Page, Reference};

use crate::images::{push_blob, push_image, read_blob, sent};

/// Runs every operation of the crate once.
async fn run_everything(installation: &Installation) {
    let (ctx, image) = (installation.administrator().await, installation.image("app"));
    let registry = &installation.registry;
    let (digest, _) = push_image(installation, &ctx, &image, "x", "v1").await;
    let upload = registry.start_upload(&ctx, &image, Algorithm::Sha256).await.unwrap();
    registry.append_upload(&ctx, &image, &upload.uuid, None, sent(b"part")).await.unwrap();
    registry.cancel_upload(&ctx, &image, &upload.uuid).await.unwrap();
    let unused = push_blob(installation, &ctx, &image, b"unused").await;
    let other = installation.image("other");
    assert!(registry.mount_blob(&ctx, &other, &unused, Some(&image)).await.unwrap());
    registry.delete_blob(&ctx, &image, &unused).await.unwrap();
    registry.delete_tag(&ctx, &image, &"v1".parse().unwrap()).await.unwrap();
    registry.delete_manifest(&ctx, &image, &digest).await.unwrap();
    let name = "app".parse().unwrap();
    repositories::update_repository(&ctx, &installation.tenancy, &name, Visibility::Public).await.unwrap();
    images::restore_image(&ctx, &installation.tenancy, &name, &digest, None).await.unwrap();
    repositories::delete_repository(&ctx, &installation.tenancy, &name).await.unwrap();
    repositories::restore_repository(&ctx, &installation.tenancy, &name, None).await.unwrap();
    repositories::delete_repository(&ctx, &installation.tenancy, &name).await.unwrap();
    registry.start_upload(&ctx, &other, Algorithm::Sha256).await.unwrap();
    let much_later = installation.later(30 * 86_400);
    registry.collect_garbage(&much_later, false).await.unwrap();
}

async fn kind(outcome: Result<impl Sized, Error>) -> String {
    match outcome {
        Ok(_) => "ok".to_owned(),
        Err(Error::Iam(IamError::Denied { .. })) => "denied".to_owned(),
        Err(Error::Iam(IamError::Unauthenticated)) => "unauthenticated".to_owned(),
        Err(Error::Iam(IamError::NotFound { .. })) => "not found".to_owned(),
        Err(error) => error.to_string(),
    }
}

on_each_engine! {
    async fn every_operation_leaves_exactly_one_record(store: Store) {
        let installation = found(store).await;
        run_everything(&installation).await;
        crate::damage::run_everything(&installation).await;
        crate::backup::run_everything(&installation).await;
        let audited = installation.audited_operations().await;
        let distinct: HashSet<&str> = audited.iter().map(String::as_str).filter(|name| *name != "bootstrap").collect();
        let declared = wharfinger_registry::OPERATIONS.iter().copied().flatten();
        let declared: HashSet<&str> =
            declared.filter(|operation| operation.record == Record::One).map(|operation| operation.name).collect();
        assert_eq!(distinct, declared, "an operation is not run by this test, or leaves no record");
    }

    async fn a_private_and_a_missing_repository_look_alike_to_one_without_right(store: Store) {
        let installation = found(store).await;
        let admin = installation.administrator().await;
        let (private, public, missing) =
            (installation.image("private"), installation.image("public"), installation.image("missing"));
        for image in [&private, &public] {
            push_image(&installation, &admin, image, "x", "v1").await;
        }
        let name = "public".parse().unwrap();
        repositories::update_repository(&admin, &installation.tenancy, &name, Visibility::Public).await.unwrap();
        let secret = installation.add_user("alice").await;
        let alice = installation.iam.login(request(), "acme/alice", &secret).await.unwrap();
        let tag: Reference = "v1".parse().unwrap();
        let registry = &installation.registry;
        let unknown = "elsewhere/app".parse().unwrap();
        for (image, as_admin, as_alice, as_anonymous) in [
            (&private, "ok", "denied", "unauthenticated"),
            (&public, "ok", "ok", "ok"),
            (&missing, "not found", "denied", "unauthenticated"),
            (&unknown, "denied", "denied", "unauthenticated"),
        ] {
            assert_eq!(kind(registry.get_manifest(&admin, image, &tag).await).await, as_admin, "{image}");
            assert_eq!(kind(registry.get_manifest(&alice, image, &tag).await).await, as_alice, "{image}");
            assert_eq!(kind(registry.get_manifest(&installation.anonymous(), image, &tag).await).await, as_anonymous);
            if image != &unknown {
                let push = registry.start_upload(&alice, image, Algorithm::Sha256).await;
                assert_eq!(kind(push).await, "denied", "a push of {image}");
            }
        }
    }

    /// CVE-2024-39897: a blob of another repository or tenancy, known by its digest.
    async fn a_blob_is_read_through_the_repositorys_own_link_only(store: Store) {
        let installation = found(store).await;
        let admin = installation.administrator().await;
        let digest = push_blob(&installation, &admin, &installation.image("one"), b"secret bytes").await;
        push_blob(&installation, &admin, &installation.image("two"), b"other").await;
        let two = installation.image("two");
        assert!(matches!(installation.registry.stat_blob(&admin, &two, &digest).await, Err(Error::BlobUnknown(_))));

        let local = installation.local();
        let other = tenancies::create_tenancy(&local, "Other", Some("other".parse().unwrap())).await.unwrap();
        let foreign = installation.iam.login(request(), "other/admin", other.auth_token.reveal()).await.unwrap();
        let refused = installation.registry.stat_blob(&foreign, &installation.image("one"), &digest).await;
        assert_eq!(kind(refused).await, "denied");
        let elsewhere = "other/app".parse().unwrap();
        push_blob(&installation, &foreign, &elsewhere, b"mine").await;
        assert!(matches!(installation.registry.stat_blob(&foreign, &elsewhere, &digest).await, Err(Error::BlobUnknown(_))));
        // Uploading the same bytes gives both a link of their own.
        push_blob(&installation, &foreign, &elsewhere, b"secret bytes").await;
        assert_eq!(read_blob(&installation, &foreign, &elsewhere, &digest).await.unwrap(), b"secret bytes");
    }

    async fn a_capped_token_does_no_more_than_it_was_asked_for(store: Store) {
        let installation = found(store).await;
        let admin = installation.administrator().await;
        let image = installation.image("app");
        let (digest, _) = push_image(&installation, &admin, &image, "x", "v1").await;
        let cap = Cap::from_scopes(["repository:acme/app:pull"].into_iter());
        let token = installation.iam.issue_registry_token(&admin, cap).await.unwrap().token;
        let capped = installation.iam.bearer(request(), token.reveal()).await.unwrap();
        let registry = &installation.registry;
        registry.stat_manifest(&capped, &image, &"v1".parse().unwrap()).await.unwrap();
        let beyond = |outcome: Result<(), Error>| matches!(outcome, Err(Error::Iam(IamError::BeyondCap { .. })));
        assert!(beyond(registry.start_upload(&capped, &image, Algorithm::Sha256).await.map(drop)));
        assert!(beyond(registry.delete_manifest(&capped, &image, &digest).await));
        assert!(beyond(registry.list_tags(&capped, &installation.image("b"), &Page { limit: 1, last: None }).await.map(drop)));
        assert!(beyond(repositories::list_catalog(&capped, &Page { limit: 1, last: None }).await.map(drop)));
    }

    async fn a_deleted_repository_is_gone_and_frees_its_name(store: Store) {
        let installation = found(store).await;
        let (admin, tenancy, image) = (installation.administrator().await, &installation.tenancy, installation.image("app"));
        let name = "app".parse().unwrap();
        push_image(&installation, &admin, &image, "x", "v1").await;
        let deleted = repositories::delete_repository(&admin, tenancy, &name).await.unwrap();
        let tag = "v1".parse().unwrap();
        assert_eq!(kind(installation.registry.get_manifest(&admin, &image, &tag).await).await, "not found");
        let new = repositories::create_repository(&admin, tenancy, &tenancy.root_ocid, &name, Visibility::Private).await.unwrap();
        assert_ne!(new.ocid, deleted.ocid);
        let absent = installation.registry.get_manifest(&admin, &image, &tag).await;
        assert!(matches!(absent, Err(Error::ManifestUnknown(_))), "the new one must not show the old one's images");
        let again = repositories::create_repository(&admin, tenancy, &tenancy.root_ocid, &name, Visibility::Private).await;
        assert!(matches!(again, Err(Error::Iam(IamError::NameTaken { .. }))));
    }

    async fn the_catalog_holds_what_the_principal_may_see_and_nothing_for_anonymous(store: Store) {
        let installation = found(store).await;
        let (admin, tenancy) = (installation.administrator().await, &installation.tenancy);
        for (name, visibility) in [("b", Visibility::Private), ("a", Visibility::Public), ("c", Visibility::Private)] {
            repositories::create_repository(&admin, tenancy, &tenancy.root_ocid, &name.parse().unwrap(), visibility).await.unwrap();
        }
        let secret = installation.add_user("alice").await;
        let alice = installation.iam.login(request(), "acme/alice", &secret).await.unwrap();
        let page = |limit, last: Option<&str>| Page { limit, last: last.map(str::to_owned) };
        let all = repositories::list_catalog(&admin, &page(10, None)).await.unwrap();
        assert_eq!(all, ["acme/a", "acme/b", "acme/c"]);
        assert_eq!(repositories::list_catalog(&admin, &page(1, Some("acme/a"))).await.unwrap(), ["acme/b"]);
        assert_eq!(repositories::list_catalog(&alice, &page(10, None)).await.unwrap(), ["acme/a"]);
        let refused = repositories::list_catalog(&installation.anonymous(), &page(10, None)).await;
        assert_eq!(kind(refused).await, "unauthenticated");
    }
}
