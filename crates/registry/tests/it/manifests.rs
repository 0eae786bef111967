//! Manifests and tags: exact bytes, what they need, what hiding does.

use bytes::Bytes;
use wharfinger_metastore::Store;
use wharfinger_registry::manifests::MAX_MANIFEST_BYTES;
use wharfinger_registry::{Error, SparseManifests};
use wharfinger_testkit::on_each_engine;
use wharfinger_testkit::services::found;
use wharfinger_types::{Digest, Page, Reference, media_type};

use crate::images::{descriptor, manifest, push_blob, push_image, put, read_blob, sent};

fn tag(text: &str) -> Reference {
    text.parse().unwrap()
}

on_each_engine! {
    async fn a_manifest_is_served_byte_for_byte(store: Store) {
        let installation = found(store).await;
        let (ctx, image) = (installation.administrator().await, installation.image("app"));
        let config = push_blob(&installation, &ctx, &image, b"{}").await;
        let text = format!("{{ \"unknown\":\t1,\n\"config\":{{\"digest\":\"{config}\",\"size\":2}},\"schemaVersion\":2}}  ");
        let digest = put(&installation, &ctx, &image, "v1", text.clone().into()).await.unwrap();
        assert_eq!(digest, Digest::sha256(text.as_bytes()));
        for reference in ["v1", digest.as_str()] {
            let (info, bytes) = installation.registry.get_manifest(&ctx, &image, &tag(reference)).await.unwrap();
            assert_eq!((info.size, info.media_type.as_str()), (text.len() as u64, media_type::OCI_MANIFEST));
            assert_eq!(bytes, text);
        }
        // A process that has not seen it reads it from the database.
        let blobs = std::sync::Arc::new(wharfinger_blobstore::MemoryStore::new());
        let fresh = wharfinger_registry::Registry::new(blobs, SparseManifests::Allowed);
        assert_eq!(fresh.get_manifest(&ctx, &image, &tag("v1")).await.unwrap().1, text);
    }

    async fn a_manifest_with_missing_blobs_is_rejected_and_names_them(store: Store) {
        let installation = found(store).await;
        let (ctx, image) = (installation.administrator().await, installation.image("app"));
        let config = push_blob(&installation, &ctx, &image, b"{}").await;
        let (missing, elsewhere) = (Digest::sha256(b"missing"), Digest::sha256(b"elsewhere"));
        push_blob(&installation, &ctx, &installation.image("other"), b"elsewhere").await;
        let refused = put(&installation, &ctx, &image, "v1", manifest(&config, &[&missing, &elsewhere])).await;
        let Err(Error::ManifestBlobUnknown(mut named)) = refused else { panic!("{refused:?}") };
        named.sort();
        let mut expected = [missing.to_string(), elsewhere.to_string()];
        expected.sort();
        assert_eq!(named, expected);
        assert!(matches!(installation.registry.stat_manifest(&ctx, &image, &tag("v1")).await, Err(Error::ManifestUnknown(_))));
    }

    async fn an_index_needs_its_entries_which_may_be_layers(store: Store) {
        let installation = found(store).await;
        let (ctx, image) = (installation.administrator().await, installation.image("app"));
        let (child, layer) = push_image(&installation, &ctx, &image, "x", "v1").await;
        let index = |digests: &[&Digest]| {
            let entries: Vec<_> = digests.iter().map(|digest| descriptor(digest)).collect();
            Bytes::from(serde_json::json!({ "schemaVersion": 2, "manifests": entries }).to_string())
        };
        let nested = put(&installation, &ctx, &image, "index", index(&[&child, &layer])).await.unwrap();
        put(&installation, &ctx, &image, "nested", index(&[&nested])).await.unwrap();
        put(&installation, &ctx, &image, "empty", index(&[])).await.unwrap();
        let refused = put(&installation, &ctx, &image, "bad", index(&[&Digest::sha256(b"?")])).await;
        assert!(matches!(refused, Err(Error::ManifestBlobUnknown(_))));
        // With the setting, an index may come before its entries.
        let blobs = std::sync::Arc::new(wharfinger_blobstore::MemoryStore::new());
        let sparse = wharfinger_registry::Registry::new(blobs, SparseManifests::Allowed);
        let bytes = index(&[&Digest::sha256(b"?"), &child]);
        sparse.put_manifest(&ctx, &image, &tag("sparse"), &[], None, sent(&bytes)).await.unwrap();
    }

    async fn a_size_that_is_not_the_contents_is_refused(store: Store) {
        let installation = found(store).await;
        let (ctx, image) = (installation.administrator().await, installation.image("app"));
        let config = push_blob(&installation, &ctx, &image, b"{}").await;
        for size in ["3", "-1", "1.5", "\"2\"", "null", "99999999999999999999"] {
            let text = format!(r#"{{"schemaVersion":2,"config":{{"digest":"{config}","size":{size}}}}}"#);
            let refused = put(&installation, &ctx, &image, "v1", text.into()).await;
            assert!(matches!(refused, Err(Error::ManifestInvalid(_))), "{size}: {refused:?}");
        }
    }

    async fn a_wrong_digest_and_a_body_too_large_are_refused(store: Store) {
        let installation = found(store).await;
        let (ctx, image) = (installation.administrator().await, installation.image("app"));
        let config = push_blob(&installation, &ctx, &image, b"{}").await;
        let refused = put(&installation, &ctx, &image, Digest::sha256(b"?").as_str(), manifest(&config, &[])).await;
        assert!(matches!(refused, Err(Error::DigestMismatch { .. })));
        let mut bytes = manifest(&config, &[]).to_vec();
        bytes.resize(MAX_MANIFEST_BYTES, b' ');
        put(&installation, &ctx, &image, "largest", bytes.clone().into()).await.unwrap();
        bytes.push(b' ');
        let refused = put(&installation, &ctx, &image, "larger", bytes.into()).await;
        assert!(matches!(refused, Err(Error::ManifestTooLarge { .. })));
    }

    async fn deleting_a_tag_leaves_the_manifest_and_deleting_the_manifest_takes_its_tags(store: Store) {
        let installation = found(store).await;
        let (ctx, image, registry) = (installation.administrator().await, installation.image("app"), &installation.registry);
        let (digest, layer) = push_image(&installation, &ctx, &image, "x", "v1").await;
        let bytes = registry.get_manifest(&ctx, &image, &tag("v1")).await.unwrap().1;
        for name in ["v2", "v3"] {
            put(&installation, &ctx, &image, name, bytes.clone()).await.unwrap();
        }
        registry.delete_tag(&ctx, &image, &"v1".parse().unwrap()).await.unwrap();
        assert!(registry.delete_tag(&ctx, &image, &"v1".parse().unwrap()).await.is_err());
        let page = Page { limit: 10, last: None };
        assert_eq!(registry.list_tags(&ctx, &image, &page).await.unwrap(), ["v2", "v3"]);
        registry.delete_manifest(&ctx, &image, &digest).await.unwrap();
        for reference in ["v2", digest.as_str()] {
            let gone = registry.get_manifest(&ctx, &image, &tag(reference)).await;
            assert!(matches!(gone, Err(Error::ManifestUnknown(_))), "{reference}");
        }
        assert!(registry.list_tags(&ctx, &image, &page).await.unwrap().is_empty());
        // A push of the same digest revives it.
        put(&installation, &ctx, &image, "again", bytes).await.unwrap();
        registry.get_manifest(&ctx, &image, &tag(digest.as_str())).await.unwrap();
        read_blob(&installation, &ctx, &image, &layer).await.unwrap();
    }

    async fn a_blob_in_use_stays_and_a_hidden_one_comes_back_with_a_push(store: Store) {
        let installation = found(store).await;
        let (ctx, image, registry) = (installation.administrator().await, installation.image("app"), &installation.registry);
        let (digest, layer) = push_image(&installation, &ctx, &image, "x", "v1").await;
        let refused = registry.delete_blob(&ctx, &image, &layer).await;
        assert!(matches!(refused, Err(Error::BlobInUse { manifest, .. }) if manifest == digest.as_str()));
        registry.delete_manifest(&ctx, &image, &digest).await.unwrap();
        registry.delete_blob(&ctx, &image, &layer).await.unwrap();
        assert!(matches!(read_blob(&installation, &ctx, &image, &layer).await, Err(Error::BlobUnknown(_))));
        assert!(matches!(registry.delete_blob(&ctx, &image, &layer).await, Err(Error::BlobUnknown(_))));
        push_blob(&installation, &ctx, &image, b"x").await;
        assert_eq!(read_blob(&installation, &ctx, &image, &layer).await.unwrap(), b"x");
    }

    /// Enumeration that loses items: names that differ in case, or that a locale sorts otherwise.
    async fn tags_are_listed_in_byte_order_without_loss(store: Store) {
        let installation = found(store).await;
        let (ctx, image, registry) = (installation.administrator().await, installation.image("app"), &installation.registry);
        push_image(&installation, &ctx, &image, "x", "b").await;
        let bytes = registry.get_manifest(&ctx, &image, &tag("b")).await.unwrap().1;
        for name in ["a", "B", "_", "a-1", "a.1", "A_1", "10", "9"] {
            put(&installation, &ctx, &image, name, bytes.clone()).await.unwrap();
        }
        let mut seen: Vec<String> = Vec::new();
        loop {
            let page = Page { limit: 2, last: seen.last().cloned() };
            let more = registry.list_tags(&ctx, &image, &page).await.unwrap();
            if more.is_empty() {
                break;
            }
            seen.extend(more);
        }
        assert_eq!(seen, ["10", "9", "A_1", "B", "_", "a", "a-1", "a.1", "b"]);
        assert!(registry.list_tags(&ctx, &image, &Page { limit: 0, last: None }).await.unwrap().is_empty());
    }
}
