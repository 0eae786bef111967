//! Mounting a blob of another repository: with the right to read it there, or not at all.

use wharfinger_iam::{Cap, Error as IamError, tenancies};
use wharfinger_metastore::Store;
use wharfinger_registry::Error;
use wharfinger_registry::repositories::{self, Visibility};
use wharfinger_testkit::on_each_engine;
use wharfinger_testkit::services::{found, request};
use wharfinger_types::Digest;

use crate::images::{push_blob, read_blob};

on_each_engine! {
    async fn a_mounted_blob_is_read_without_an_upload(store: Store) {
        let installation = found(store).await;
        let (ctx, registry) = (installation.administrator().await, &installation.registry);
        let (one, two, three) = (installation.image("one"), installation.image("two"), installation.image("three"));
        let digest = push_blob(&installation, &ctx, &one, b"bytes").await;
        assert!(registry.mount_blob(&ctx, &two, &digest, Some(&one)).await.unwrap());
        assert_eq!(read_blob(&installation, &ctx, &two, &digest).await.unwrap(), b"bytes");
        assert!(registry.mount_blob(&ctx, &three, &digest, None).await.unwrap());
        assert_eq!(read_blob(&installation, &ctx, &three, &digest).await.unwrap(), b"bytes");
        assert!(!registry.mount_blob(&ctx, &two, &Digest::sha256(b"?"), None).await.unwrap());
        assert!(!registry.mount_blob(&ctx, &two, &Digest::sha256(b"?"), Some(&one)).await.unwrap());
        let nowhere = installation.image("nowhere");
        assert!(!registry.mount_blob(&ctx, &two, &digest, Some(&nowhere)).await.unwrap());
        // A blob deleted at its source is no source any more.
        registry.delete_blob(&ctx, &one, &digest).await.unwrap();
        let four = installation.image("four");
        assert!(!registry.mount_blob(&ctx, &four, &digest, Some(&one)).await.unwrap());
    }

    /// CVE-2024-39897: what another tenancy holds is neither mounted nor told.
    async fn a_mount_needs_the_right_to_read_the_source(store: Store) {
        let installation = found(store).await;
        let (admin, registry) = (installation.administrator().await, &installation.registry);
        let (private, public) = (installation.image("private"), installation.image("public"));
        let secret = push_blob(&installation, &admin, &private, b"secret").await;
        let open = push_blob(&installation, &admin, &public, b"open").await;
        let name = "public".parse().unwrap();
        repositories::update_repository(&admin, &installation.tenancy, &name, Visibility::Public).await.unwrap();

        let other = tenancies::create_tenancy(&installation.local(), "Other", Some("other".parse().unwrap())).await.unwrap();
        let foreign = installation.iam.login(request(), "other/admin", other.auth_token.reveal()).await.unwrap();
        let mine = "other/app".parse().unwrap();
        assert!(!registry.mount_blob(&foreign, &mine, &secret, Some(&private)).await.unwrap());
        assert!(!registry.mount_blob(&foreign, &mine, &secret, None).await.unwrap());
        assert!(!registry.mount_blob(&foreign, &mine, &open, None).await.unwrap(), "without a source: same tenancy only");
        assert!(registry.mount_blob(&foreign, &mine, &open, Some(&public)).await.unwrap());
        assert!(matches!(registry.stat_blob(&foreign, &mine, &secret).await, Err(Error::BlobUnknown(_))));

        // A token that was not asked for the source does not reach it.
        let cap = Cap::from_scopes(["repository:acme/new:pull,push"].into_iter());
        let token = installation.iam.issue_registry_token(&admin, cap).await.unwrap().token;
        let capped = installation.iam.bearer(request(), token.reveal()).await.unwrap();
        let new = installation.image("new");
        for from in [Some(&private), None] {
            let refused = registry.mount_blob(&capped, &new, &secret, from).await;
            let Err(Error::Iam(IamError::BeyondCap { name, .. })) = refused else { panic!("{refused:?}") };
            assert_eq!(name, "acme/private");
        }
    }
}
