//! Manifests: kept exactly, refused with a reason, hidden and brought back.

use bytes::Bytes;
use http::StatusCode;
use serde_json::json;
use wharfinger_testkit::http::{IMAGE_INDEX, IMAGE_MANIFEST, descriptor, digest, image_manifest, text};
use wharfinger_testkit::program::{EngineKind, Program};

use crate::answers::{is, json_of, send};

/// Every kind of document, and the bytes of each as they were sent.
async fn manifests_of_every_kind_are_kept_exactly(engine: EngineKind) {
    let program = Program::start(engine);
    let client = program.administrator();
    let image = program.image("surface/manifests");
    let (config, layer) = (Bytes::from_static(b"{}"), Bytes::from_static(b"layer"));
    for blob in [&config, &layer] {
        client.push_blob(&image, blob).await.unwrap();
    }
    const DOCKER: &str = "application/vnd.docker.distribution.manifest.v2+json";
    const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
    let plain = image_manifest(&config, &[&layer]);
    let kinds = [
        ("image", IMAGE_MANIFEST, String::from_utf8_lossy(&plain).into_owned()),
        (
            // Odd spacing, unknown fields and no mediaType: nothing is normalised.
            "spaced",
            IMAGE_MANIFEST,
            format!(
                "{{ \"schemaVersion\" :2,\n\t\"config\": {}, \"layers\": [],\n \"x-unknown\": [1, null] }}\n",
                descriptor("application/vnd.oci.image.config.v1+json", &config)
            ),
        ),
        (
            "docker",
            DOCKER,
            json!({ "schemaVersion": 2, "mediaType": DOCKER,
                    "config": descriptor("application/vnd.docker.container.image.v1+json", &config),
                    "layers": [descriptor("application/vnd.docker.image.rootfs.diff.tar.gzip", &layer)] })
            .to_string(),
        ),
        (
            "foreign",
            DOCKER,
            json!({ "schemaVersion": 2, "mediaType": DOCKER,
                    "config": descriptor("application/vnd.docker.container.image.v1+json", &config),
                    "layers": [descriptor("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", b"never pushed")] })
            .to_string(),
        ),
        (
            "artifact",
            IMAGE_MANIFEST,
            json!({ "schemaVersion": 2, "mediaType": IMAGE_MANIFEST, "artifactType": "application/vnd.example",
                    "config": descriptor("application/vnd.oci.empty.v1+json", &config),
                    "layers": [descriptor("text/plain", &layer)],
                    "subject": descriptor(IMAGE_MANIFEST, b"never pushed"),
                    "annotations": { "org.example.note": "ü" } })
            .to_string(),
        ),
        (
            "index",
            IMAGE_INDEX,
            json!({ "schemaVersion": 2, "mediaType": IMAGE_INDEX,
                    "manifests": [descriptor(IMAGE_MANIFEST, &plain)] })
            .to_string(),
        ),
        (
            "docker-list",
            DOCKER_LIST,
            json!({ "schemaVersion": 2, "mediaType": DOCKER_LIST,
                    "manifests": [descriptor(IMAGE_MANIFEST, &plain)] })
            .to_string(),
        ),
        (
            "empty-index",
            IMAGE_INDEX,
            json!({ "schemaVersion": 2, "mediaType": IMAGE_INDEX, "manifests": [] }).to_string(),
        ),
    ];
    for (tag, media_type, document) in kinds {
        let document = Bytes::from(document);
        let digest = client
            .put_manifest(&image, tag, media_type, &document)
            .await
            .unwrap_or_else(|error| panic!("{tag}: {error:#}"));
        for reference in [tag, &digest] {
            let path = format!("/v2/{image}/manifests/{reference}");
            for method in ["HEAD", "GET"] {
                // A client that accepts nothing but another kind still gets what was pushed.
                let headers = [("accept", "application/vnd.docker.distribution.manifest.v1+json")];
                let answer = client.send(method, &path, &headers, "").await.unwrap();
                assert_eq!(answer.status(), StatusCode::OK, "{method} {path}");
                assert_eq!(text(answer.headers(), "content-type"), media_type);
                assert_eq!(text(answer.headers(), "docker-content-digest"), digest);
                let length = document.len().to_string();
                assert_eq!(text(answer.headers(), "content-length"), length);
                if method == "GET" {
                    assert_eq!(answer.body(), &document, "{tag}");
                }
            }
        }
    }
}

async fn a_manifest_that_cannot_be_right_is_refused(engine: EngineKind) {
    let program = Program::start(engine);
    let client = program.administrator();
    let image = program.image("surface/refused");
    let config = Bytes::from_static(b"{}");
    client.push_blob(&image, &config).await.unwrap();
    let put = async |reference: &str, media_type: &str, body: Bytes| {
        let target = format!("/v2/{image}/manifests/{reference}");
        let headers = [("content-type", media_type)];
        client.send("PUT", &target, &headers, body).await.unwrap()
    };
    let lacking = image_manifest(&config, &[&Bytes::from_static(b"never pushed")]);
    let answer = put("t", IMAGE_MANIFEST, lacking).await;
    is(&answer, StatusCode::BAD_REQUEST, "MANIFEST_BLOB_UNKNOWN");
    let named = String::from_utf8_lossy(answer.body()).into_owned();
    assert!(named.contains(&digest(b"never pushed")), "{named}");
    let child = json!({ "schemaVersion": 2, "mediaType": IMAGE_INDEX,
                        "manifests": [descriptor(IMAGE_MANIFEST, b"never pushed")] });
    let answer = put("t", IMAGE_INDEX, child.to_string().into()).await;
    is(&answer, StatusCode::BAD_REQUEST, "MANIFEST_BLOB_UNKNOWN");

    let right = image_manifest(&config, &[]);
    for bad in ["", "null", "[]", "{", "\"text\"", "{\"schemaVersion\":2", "\u{0}"] {
        let answer = put("t", IMAGE_MANIFEST, bad.to_owned().into()).await;
        is(&answer, StatusCode::BAD_REQUEST, "MANIFEST_INVALID");
    }
    let deep = "[".repeat(100_000);
    let answer = put("t", IMAGE_MANIFEST, deep.into()).await;
    is(&answer, StatusCode::BAD_REQUEST, "MANIFEST_INVALID");
    // The header says one thing, the document another.
    let answer = put("t", IMAGE_INDEX, right.clone()).await;
    is(&answer, StatusCode::BAD_REQUEST, "MANIFEST_INVALID");
    let wrong = digest(b"other");
    let answer = put(&wrong, IMAGE_MANIFEST, right.clone()).await;
    is(&answer, StatusCode::BAD_REQUEST, "DIGEST_INVALID");
    // Little more than the limit, so that the answer is not lost with the rest of the body.
    let large = Bytes::from(vec![b' '; (4 << 20) + 1_000]);
    let answer = put("t", IMAGE_MANIFEST, large).await;
    assert_eq!(answer.status(), StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(
        send(&client, "GET", &format!("/v2/{image}/manifests/t")).await.status(),
        StatusCode::NOT_FOUND
    );
    for reference in [".", "-", "a b", &"t".repeat(129), "sha256:short"] {
        let reference = reference.replace(' ', "%20");
        let answer = put(&reference, IMAGE_MANIFEST, right.clone()).await;
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST, "{reference}");
    }
    for name in ["UPPER", "a//b", "a/../b", "-a", &"n".repeat(300)] {
        let target = format!("/v2/{}/manifests/t", program.image(name));
        let answer = send(&client, "GET", &target).await;
        assert!(
            matches!(answer.status(), StatusCode::BAD_REQUEST | StatusCode::NOT_FOUND),
            "{name}: {answer:?}"
        );
    }
}

async fn a_delete_hides_and_a_push_brings_back(engine: EngineKind) {
    let program = Program::start(engine);
    let client = program.administrator();
    let image = program.image("surface/deletes");
    let layer = Bytes::from_static(b"a layer");
    let manifest = client.push_image(&image, "one", &layer).await.unwrap();
    let put = async |tag: &str| {
        let put = client.put_manifest(&image, tag, IMAGE_MANIFEST, &manifest);
        put.await.unwrap()
    };
    let digest_of_manifest = put("two").await;
    let path = |reference: &str| format!("/v2/{image}/manifests/{reference}");
    let blob = format!("/v2/{image}/blobs/{}", digest(&layer));
    let status = async |method: &str, target: &str| send(&client, method, target).await.status();

    // By tag only the tag goes.
    assert_eq!(status("DELETE", &path("one")).await, StatusCode::ACCEPTED);
    let gone = send(&client, "GET", &path("one")).await;
    is(&gone, StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN");
    let again = send(&client, "DELETE", &path("one")).await;
    is(&again, StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN");
    assert_eq!(status("GET", &path("two")).await, StatusCode::OK);

    // A blob in use stays, and the answer says who uses it.
    let used = send(&client, "DELETE", &blob).await;
    is(&used, StatusCode::METHOD_NOT_ALLOWED, "UNSUPPORTED");
    let by = String::from_utf8_lossy(used.body()).into_owned();
    assert!(by.contains(&digest_of_manifest), "{by}");
    assert_eq!(status("GET", &blob).await, StatusCode::OK);

    // By digest the manifest goes with all its tags.
    let by_digest = path(&digest_of_manifest);
    assert_eq!(status("DELETE", &by_digest).await, StatusCode::ACCEPTED);
    for reference in ["two", &digest_of_manifest] {
        assert_eq!(status("GET", &path(reference)).await, StatusCode::NOT_FOUND);
        assert_eq!(status("HEAD", &path(reference)).await, StatusCode::NOT_FOUND);
    }
    assert_eq!(status("DELETE", &by_digest).await, StatusCode::NOT_FOUND);
    let tags = send(&client, "GET", &format!("/v2/{image}/tags/list")).await;
    assert_eq!(json_of(&tags)["tags"], json!([]));

    // Now the blob is used by a hidden manifest only: it goes, and comes back with a push.
    assert_eq!(status("DELETE", &blob).await, StatusCode::ACCEPTED);
    for method in ["GET", "HEAD", "DELETE"] {
        assert_eq!(status(method, &blob).await, StatusCode::NOT_FOUND, "{method}");
    }
    let target = path("three");
    let headers = [("content-type", IMAGE_MANIFEST)];
    let refused = client.send("PUT", &target, &headers, manifest.clone());
    is(&refused.await.unwrap(), StatusCode::BAD_REQUEST, "MANIFEST_BLOB_UNKNOWN");
    client.push_blob(&image, &layer).await.unwrap();
    assert_eq!(send(&client, "GET", &blob).await.body(), &layer);
    put("three").await;
    assert_eq!(send(&client, "GET", &by_digest).await.body(), &manifest);
    assert_eq!(status("GET", &path("two")).await, StatusCode::NOT_FOUND);

    let unused = Bytes::from_static(b"unused");
    let unused = client.push_blob(&image, &unused).await.unwrap();
    let unused = format!("/v2/{image}/blobs/{unused}");
    assert_eq!(status("DELETE", &unused).await, StatusCode::ACCEPTED);
    assert_eq!(status("GET", &unused).await, StatusCode::NOT_FOUND);
    assert_eq!(status("DELETE", &unused).await, StatusCode::NOT_FOUND);
}

/// Every client compares a descriptor's size with what it gets.
async fn a_descriptor_whose_size_cannot_be_right_is_refused(engine: EngineKind) {
    let program = Program::start(engine);
    let client = program.administrator();
    let image = program.image("surface/sizes");
    let config = Bytes::from_static(b"{}");
    client.push_blob(&image, &config).await.unwrap();
    for size in [json!(-1), json!(1.5), json!("2"), json!(null), json!(999)] {
        let mut config = descriptor("application/vnd.oci.image.config.v1+json", &config);
        config["size"] = size.clone();
        let manifest = json!({ "schemaVersion": 2, "config": config, "layers": [] });
        let target = format!("/v2/{image}/manifests/t");
        let headers = [("content-type", IMAGE_MANIFEST)];
        let answer = client.send("PUT", &target, &headers, manifest.to_string());
        let status = answer.await.unwrap().status();
        assert_eq!(status, StatusCode::BAD_REQUEST, "a size of {size}");
    }
}

/// What anybody may push must not run as a page of the registry's own origin.
async fn no_manifest_is_served_as_a_page(engine: EngineKind) {
    let program = Program::start(engine);
    let client = program.administrator();
    let image = program.image("surface/pages");
    let target = format!("/v2/{image}/manifests/t");
    for media_type in ["text/html", "image/svg+xml", "application/xhtml+xml"] {
        let page = json!({ "schemaVersion": 2, "mediaType": media_type, "manifests": [],
                           "annotations": { "x": "<script>alert(1)</script>" } });
        let headers = [("content-type", media_type)];
        let put = client.send("PUT", &target, &headers, page.to_string());
        if put.await.unwrap().status() == StatusCode::BAD_REQUEST {
            continue;
        }
        let answer = send(&client, "GET", &target).await;
        let is_sandboxed = text(answer.headers(), "content-security-policy").contains("sandbox");
        assert!(is_sandboxed, "{media_type}: {answer:?}");
    }
}

wharfinger_e2e::on_each_engine! {
    manifests_of_every_kind_are_kept_exactly
    a_manifest_that_cannot_be_right_is_refused
    a_delete_hides_and_a_push_brings_back
    a_descriptor_whose_size_cannot_be_right_is_refused
    no_manifest_is_served_as_a_page
}
