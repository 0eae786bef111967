//! Referrers: who names a digest as its subject.

use bytes::Bytes;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use wharfinger_metastore::Store;
use wharfinger_registry::referrers::PAGE;
use wharfinger_testkit::on_each_engine;
use wharfinger_testkit::services::found;
use wharfinger_types::Digest;

use crate::images::{descriptor, push_blob, push_image, put, sent};

fn artifact(config: &Digest, subject: &Digest, kind: &str, note: &str) -> Bytes {
    let document = json!({
        "schemaVersion": 2,
        "artifactType": kind,
        "config": { "mediaType": "application/vnd.oci.empty.v1+json", "digest": config.as_str(), "size": 2 },
        "layers": [],
        "subject": { "digest": subject.as_str(), "size": 1 },
        "annotations": { "note": note },
    });
    document.to_string().into()
}

fn read(manifest: &RawValue) -> Value {
    serde_json::from_str(manifest.get()).unwrap()
}

fn notes(manifests: &[Box<RawValue>]) -> Vec<String> {
    let notes = manifests.iter().map(|manifest| read(manifest)["annotations"]["note"].clone());
    notes.map(|note| note.as_str().unwrap().to_owned()).collect()
}

on_each_engine! {
    async fn referrers_are_listed_with_type_and_annotations_and_filtered(store: Store) {
        let installation = found(store).await;
        let (ctx, image, registry) = (installation.administrator().await, installation.image("app"), &installation.registry);
        let (subject, _) = push_image(&installation, &ctx, &image, "x", "v1").await;
        let config = push_blob(&installation, &ctx, &image, b"{}").await;
        for (kind, note) in [("a/sbom", "one"), ("a/signature", "two")] {
            let bytes = artifact(&config, &subject, kind, note);
            let put = registry.put_manifest(&ctx, &image, &Digest::sha256(&bytes).as_str().parse().unwrap(), &[], None, sent(&bytes)).await;
            assert_eq!(put.unwrap().subject.as_ref(), Some(&subject));
        }
        let all = registry.list_referrers(&ctx, &image, &subject, None, 0).await.unwrap();
        assert_eq!(notes(&all.manifests), ["one", "two"]);
        assert_eq!(read(&all.manifests[0])["artifactType"], "a/sbom");
        let some = registry.list_referrers(&ctx, &image, &subject, Some("a/signature"), 0).await.unwrap();
        assert_eq!(notes(&some.manifests), ["two"]);

        let hidden: Digest = read(&all.manifests[0])["digest"].as_str().unwrap().parse().unwrap();
        registry.delete_manifest(&ctx, &image, &hidden).await.unwrap();
        let rest = registry.list_referrers(&ctx, &image, &subject, None, 0).await.unwrap();
        assert_eq!(notes(&rest.manifests), ["two"]);
        for nobody in [installation.image("app"), installation.image("nowhere")] {
            let none = registry.list_referrers(&ctx, &nobody, &Digest::sha256(b"?"), None, 0).await.unwrap();
            assert!(none.manifests.is_empty());
        }
    }

    async fn what_clients_listed_under_the_tag_before_is_listed_too(store: Store) {
        let installation = found(store).await;
        let (ctx, image, registry) = (installation.administrator().await, installation.image("app"), &installation.registry);
        let (subject, _) = push_image(&installation, &ctx, &image, "x", "v1").await;
        let (child, _) = push_image(&installation, &ctx, &image, "old", "old").await;
        let mut entry = descriptor(&child);
        entry["mediaType"] = "m/t".into();
        entry["artifactType"] = "a/old".into();
        entry["annotations"] = json!({ "note": "old" });
        let index = json!({ "schemaVersion": 2, "manifests": [entry] }).to_string();
        put(&installation, &ctx, &image, &subject.as_str().replace(':', "-"), index.into()).await.unwrap();
        let all = registry.list_referrers(&ctx, &image, &subject, None, 0).await.unwrap();
        assert_eq!(notes(&all.manifests), ["old"]);
        let none = registry.list_referrers(&ctx, &image, &subject, Some("a/new"), 0).await.unwrap();
        assert!(none.manifests.is_empty());
    }

    async fn many_referrers_come_in_pages(store: Store) {
        let installation = found(store).await;
        let (ctx, image, registry) = (installation.administrator().await, installation.image("app"), &installation.registry);
        let config = push_blob(&installation, &ctx, &image, b"{}").await;
        let subject = Digest::sha256(b"not pushed yet");
        for n in 0..=PAGE {
            let bytes = artifact(&config, &subject, "a/b", &n.to_string());
            put(&installation, &ctx, &image, Digest::sha256(&bytes).as_str(), bytes).await.unwrap();
        }
        let first = registry.list_referrers(&ctx, &image, &subject, None, 0).await.unwrap();
        let second = registry.list_referrers(&ctx, &image, &subject, None, first.next.unwrap()).await.unwrap();
        assert_eq!((first.manifests.len(), second.manifests.len(), second.next), (PAGE, 1, None));
    }
}
