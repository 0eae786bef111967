//! What comes in: blobs in every order of requests, manifests of every tool.

use bytes::Bytes;
use http::StatusCode;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use wharfinger_e2e::raw;
use wharfinger_e2e::upload::blob_matches;
use wharfinger_testkit::http::{
    Client, Dice, IMAGE_CONFIG, IMAGE_INDEX, IMAGE_MANIFEST, LAYER, descriptor, digest, expect,
    image_manifest, text,
};

use super::World;
use crate::answers::{is, send};

const CHUNKED: (&str, &str) = ("transfer-encoding", "chunked");

pub(super) async fn every_order_of_requests_uploads(world: &World) {
    let (client, image) = (&world.administrator, world.image("q15/app"));
    let mut dice = Dice::new(15);
    let uploads = format!("/v2/{image}/blobs/uploads/");
    let close = |location: &str, blob: &Bytes| format!("{location}?digest={}", digest(blob));

    // docker, podman, skopeo, crane: in chunks of the connection, without type or range.
    let blob = dice.bytes(50_000);
    let target = format!("/v2/{image}/blobs/{}", digest(&blob));
    let absent = send(client, "HEAD", &target).await;
    assert_eq!(absent.status(), StatusCode::NOT_FOUND);
    let location = client.start_upload(&image).await.unwrap();
    let body = raw::chunked(&blob, 7_000);
    let appended = raw::send(client, "PATCH", &location, &[CHUNKED], &body).await;
    assert_eq!(appended.status(), StatusCode::ACCEPTED);
    let length = [("content-length", "0")];
    let closed = raw::send(client, "PUT", &close(&location, &blob), &length, b"").await;
    assert_eq!(closed.status(), StatusCode::CREATED);
    assert!(blob_matches(client, &image, &blob).await.unwrap());

    // containerd, BuildKit, oras, regctl: all in the closing PUT. crane says what type its POST has.
    let blob = dice.bytes(50_000);
    let json = [("content-type", "application/json")];
    let started = expect(client.send("POST", &uploads, &json, "").await.unwrap(), StatusCode::ACCEPTED);
    let location = text(started.unwrap().headers(), "location").to_owned();
    let closed = client.send("PUT", &close(&location, &blob), &[], blob.clone()).await;
    expect(closed.unwrap(), StatusCode::CREATED).unwrap();
    assert!(blob_matches(client, &image, &blob).await.unwrap());

    // regctl: in chunks with ranges, the last with the closing PUT.
    let blob = dice.bytes(50_000);
    let location = client.start_upload(&image).await.unwrap();
    for (start, end) in [(0, 20_000), (20_000, 40_000)] {
        let range = format!("{start}-{}", end - 1);
        let part =
            client.send("PATCH", &location, &[("content-range", &range)], blob.slice(start..end)).await;
        expect(part.unwrap(), StatusCode::ACCEPTED).unwrap();
    }
    let range = [("content-range", "40000-49999")];
    let closed = client.send("PUT", &close(&location, &blob), &range, blob.slice(40_000..)).await;
    expect(closed.unwrap(), StatusCode::CREATED).unwrap();
    assert!(blob_matches(client, &image, &blob).await.unwrap());

    let blob = dice.bytes(50_000);
    let single = client.send("POST", &close(&uploads, &blob), &[], blob.clone()).await;
    expect(single.unwrap(), StatusCode::CREATED).unwrap();
    assert!(blob_matches(client, &image, &blob).await.unwrap());
}

pub(super) async fn a_location_is_taken_back_with_what_was_appended(world: &World) {
    let (client, image) = (&world.administrator, world.image("q16/app"));
    let blob = Bytes::from_static(b"q16");
    let encoded = digest(&blob).replace(':', "%3A");
    let plain = digest(&blob);
    for query in [
        format!("digest={plain}"),
        format!("digest={encoded}"),
        format!("_state=abc%3D%3D&digest={encoded}"),
        format!("digest={plain}&_state=garbage&ns=docker.io"),
    ] {
        let location = client.start_upload(&image).await.unwrap();
        assert!(!location.contains('?'), "{location}");
        // Some append to every request of the session.
        let append = format!("{location}?_state=abc");
        expect(client.send("PATCH", &append, &[], blob.clone()).await.unwrap(), StatusCode::ACCEPTED)
            .unwrap();
        let closed = send(client, "PUT", &format!("{location}?{query}")).await;
        assert_eq!(closed.status(), StatusCode::CREATED, "{query}: {closed:?}");
    }
}

pub(super) async fn a_location_names_no_host(world: &World) {
    let (client, image) = (&world.administrator, world.image("q17/app"));
    let target = format!("/v2/{image}/blobs/uploads/");
    let headers = [("host", "registry.example"), ("x-forwarded-proto", "https"), ("content-length", "0")];
    let started = raw::send(client, "POST", &target, &headers, b"").await;
    assert_eq!(started.status(), StatusCode::ACCEPTED);
    assert!(text(started.headers(), "location").starts_with(&target), "{started:?}");
}

pub(super) async fn an_upload_says_how_far_it_came(world: &World) {
    let (client, image) = (&world.administrator, world.image("q18/app"));
    let started = send(client, "POST", &format!("/v2/{image}/blobs/uploads/")).await;
    let location = text(started.headers(), "location").to_owned();
    let uuid = location.rsplit('/').next().unwrap();
    assert_eq!(text(started.headers(), "range"), "0-0");
    let appended = client.send("PATCH", &location, &[], "0123456789").await.unwrap();
    let status = send(client, "GET", &location).await;
    assert_eq!(status.status(), StatusCode::NO_CONTENT);
    let headers = [("content-range", "20-29")];
    let gap = client.send("PATCH", &location, &headers, "0123456789").await.unwrap();
    is(&gap, StatusCode::RANGE_NOT_SATISFIABLE, "RANGE_INVALID");
    for answer in [&started, &appended, &status] {
        assert_eq!(text(answer.headers(), "docker-upload-uuid"), uuid);
    }
    for answer in [&appended, &status, &gap] {
        assert_eq!(text(answer.headers(), "range"), "0-9");
        assert_eq!(text(answer.headers(), "location"), location);
    }
}

pub(super) async fn what_was_put_is_there_at_once(world: &World) {
    let (client, image) = (&world.administrator, world.image("q19/app"));
    for round in 0..10 {
        let blob = Dice::new(round).bytes(1_000);
        let pushed = client.push_blob(&image, &blob).await.unwrap();
        let head = send(client, "HEAD", &format!("/v2/{image}/blobs/{pushed}")).await;
        assert_eq!(head.status(), StatusCode::OK);
        assert_eq!(text(head.headers(), "content-length"), "1000");
        let config = Bytes::from_static(b"{}");
        client.push_blob(&image, &config).await.unwrap();
        let manifest = image_manifest(&config, &[&blob]);
        client.put_manifest(&image, "moving", IMAGE_MANIFEST, &manifest).await.unwrap();
        let head = send(client, "HEAD", &format!("/v2/{image}/manifests/moving")).await;
        assert_eq!(text(head.headers(), "docker-content-digest"), digest(&manifest));
    }
}

pub(super) async fn every_form_of_a_mount_is_understood(world: &World) {
    let (client, source) = (&world.administrator, world.image("q20/source"));
    let blob = client.push_blob(&source, &Bytes::from_static(b"q20")).await.unwrap();
    let encoded = (blob.replace(':', "%3A"), source.replace('/', "%2F"));
    let never = world.image("q20/never");
    for (number, (query, expected)) in [
        (format!("mount={blob}&from={source}"), StatusCode::CREATED),
        (format!("from={}&mount={}", encoded.1, encoded.0), StatusCode::CREATED),
        (format!("mount={blob}&from={source}&origin=registry.example"), StatusCode::CREATED),
        (format!("mount={blob}"), StatusCode::CREATED),
        (format!("mount={blob}&from={never}"), StatusCode::ACCEPTED),
        (format!("mount={blob}&from=library/hello"), StatusCode::ACCEPTED),
        (format!("mount={blob}&from=alpine"), StatusCode::ACCEPTED),
        (format!("mount={blob}&from=NO%20NAME"), StatusCode::ACCEPTED),
        (format!("mount={}&from={source}", digest(b"never pushed")), StatusCode::ACCEPTED),
        (format!("mount={}", digest(b"never pushed")), StatusCode::ACCEPTED),
    ]
    .into_iter()
    .enumerate()
    {
        // Each into a repository of its own: a blob that is there already is mounted from anywhere.
        let image = world.image(&format!("q20/app{number}"));
        let answer = send(client, "POST", &format!("/v2/{image}/blobs/uploads/?{query}")).await;
        assert_eq!(answer.status(), expected, "{query}");
        let there = send(client, "HEAD", &format!("/v2/{image}/blobs/{blob}")).await.status();
        assert_eq!(there == StatusCode::OK, expected == StatusCode::CREATED, "{query}");
        let location = text(answer.headers(), "location");
        let leads = if expected == StatusCode::CREATED {
            format!("/v2/{image}/blobs/{blob}")
        } else {
            format!("/v2/{image}/blobs/uploads/")
        };
        assert!(location.starts_with(&leads), "{query}: {location}");
    }
}

pub(super) async fn a_right_to_push_is_enough_to_cancel(world: &World) {
    let image = world.image("q21/app");
    let pusher = world.scoped(&image, "push").await;
    let never = digest(b"never pushed");
    for query in [String::new(), format!("?mount={never}")] {
        let started = send(&pusher, "POST", &format!("/v2/{image}/blobs/uploads/{query}")).await;
        let location = text(started.headers(), "location").to_owned();
        let cancelled = send(&pusher, "DELETE", &location).await;
        assert_eq!(cancelled.status(), StatusCode::NO_CONTENT);
        let gone = send(&pusher, "GET", &location).await;
        is(&gone, StatusCode::NOT_FOUND, "BLOB_UPLOAD_UNKNOWN");
    }
}

pub(super) async fn empty_parallel_and_large_bodies_are_taken(world: &World) {
    let (client, image) = (&world.administrator, world.image("q22/app"));
    // A closing body in chunks of which there are none; of an upload with bytes and of one without.
    for blob in [Bytes::from_static(b"q22"), Bytes::new()] {
        let location = client.start_upload(&image).await.unwrap();
        let appended = client.send("PATCH", &location, &[], blob.clone()).await;
        expect(appended.unwrap(), StatusCode::ACCEPTED).unwrap();
        let target = format!("{location}?digest={}", digest(&blob));
        let closed = raw::send(client, "PUT", &target, &[CHUNKED], &raw::chunked(b"", 1)).await;
        assert_eq!(closed.status(), StatusCode::CREATED, "{closed:?}");
        assert!(blob_matches(client, &image, &blob).await.unwrap());
    }

    let blob = Dice::new(22).bytes(400_000);
    let mut pushes = JoinSet::new();
    for _ in 0..4 {
        let (client, image, blob) = (client.clone(), image.clone(), blob.clone());
        pushes.spawn(async move { client.push_blob(&image, &blob).await });
    }
    while let Some(pushed) = pushes.join_next().await {
        assert_eq!(pushed.unwrap().unwrap(), digest(&blob));
    }

    let large = Dice::new(23).bytes(9 << 20);
    client.push_blob(&image, &large).await.unwrap();
    let config = Bytes::from_static(b"{}");
    client.push_blob(&image, &config).await.unwrap();
    let with_padding = |padding: usize| {
        let annotations = json!({ "org.example.padding": "x".repeat(padding) });
        let manifest = json!({ "schemaVersion": 2, "mediaType": IMAGE_MANIFEST, "annotations": annotations,
                               "config": descriptor(IMAGE_CONFIG, &config), "layers": [] });
        Bytes::from(manifest.to_string())
    };
    let largest = with_padding((4 << 20) - with_padding(0).len());
    assert_eq!(largest.len(), 4 << 20);
    client.put_manifest(&image, "large", IMAGE_MANIFEST, &largest).await.unwrap();
    let read = send(client, "GET", &format!("/v2/{image}/manifests/large")).await;
    assert_eq!(read.body(), &largest);
}

pub(super) async fn a_manifest_is_known_by_its_content(world: &World) {
    let (client, image) = (&world.administrator, world.image("q23/app"));
    let config = Bytes::from_static(b"{}");
    client.push_blob(&image, &config).await.unwrap();
    const DOCKER: &str = "application/vnd.docker.distribution.manifest.v2+json";
    let config = descriptor(IMAGE_CONFIG, &config);
    let typed = json!({ "schemaVersion": 2, "mediaType": DOCKER, "config": config, "layers": [] });
    let untyped = json!({ "schemaVersion": 2, "config": config, "layers": [] });
    let index = json!({ "schemaVersion": 2, "manifests": [] });
    let parametrised = format!("{IMAGE_MANIFEST}; charset=utf-8");
    for (sent, document, kind) in [
        (None, &typed, DOCKER),
        (Some("application/json"), &typed, DOCKER),
        (Some("application/octet-stream"), &typed, DOCKER),
        (Some("text/plain; charset=utf-8"), &typed, DOCKER),
        (None, &untyped, IMAGE_MANIFEST),
        (Some(""), &untyped, IMAGE_MANIFEST),
        (Some(&parametrised), &untyped, IMAGE_MANIFEST),
        (Some(DOCKER), &untyped, DOCKER),
        (None, &index, IMAGE_INDEX),
        (Some("application/json"), &index, IMAGE_INDEX),
    ] {
        let headers: Vec<(&str, &str)> = sent.iter().map(|kind| ("content-type", *kind)).collect();
        let digest = digest(document.to_string().as_bytes());
        // By digest first and then by tag, and both once more.
        for reference in [&digest, "tag", &digest, "tag"] {
            let target = format!("/v2/{image}/manifests/{reference}");
            let put = client.send("PUT", &target, &headers, document.to_string()).await.unwrap();
            assert_eq!(put.status(), StatusCode::CREATED, "{sent:?} {document}: {put:?}");
            assert_eq!(text(put.headers(), "docker-content-digest"), digest);
            assert_eq!(text(put.headers(), "location"), format!("/v2/{image}/manifests/{digest}"));
            let head = send(client, "HEAD", &target).await;
            assert_eq!(text(head.headers(), "content-type"), kind, "{sent:?} {document}");
        }
    }
    let subject = descriptor(IMAGE_MANIFEST, b"subject");
    let about = json!({ "schemaVersion": 2, "config": config, "layers": [], "subject": subject });
    let put = client.send("PUT", &format!("/v2/{image}/manifests/about"), &[], about.to_string()).await;
    assert_eq!(text(put.unwrap().headers(), "oci-subject"), digest(b"subject"));

    let old = json!({ "schemaVersion": 1, "name": image, "tag": "old", "architecture": "amd64",
                      "fsLayers": [], "history": [], "signatures": [] });
    for sent in [
        "application/vnd.docker.distribution.manifest.v1+prettyjws",
        "application/vnd.docker.distribution.manifest.v1+json",
        "application/json",
    ] {
        let target = format!("/v2/{image}/manifests/old");
        let refused = client.send("PUT", &target, &[("content-type", sent)], old.to_string()).await;
        is(&refused.unwrap(), StatusCode::BAD_REQUEST, "MANIFEST_INVALID");
    }
}

async fn push(client: &Client, image: &str, tag: &str, document: &Value) {
    let kind = document["mediaType"].as_str().unwrap();
    let manifest = Bytes::from(document.to_string());
    let pushed = client.put_manifest(image, tag, kind, &manifest).await;
    pushed.unwrap_or_else(|error| panic!("{tag}: {error:#}"));
    let read = send(client, "GET", &format!("/v2/{image}/manifests/{tag}")).await;
    assert_eq!((read.body(), text(read.headers(), "content-type")), (&manifest, kind), "{tag}");
}

pub(super) async fn documents_of_every_tool_are_taken(world: &World) {
    let (client, image) = (&world.administrator, world.image("q31/app"));
    let blobs: [&[u8]; 3] = [b"{}", b"a layer", b"a statement"];
    for blob in blobs {
        client.push_blob(&image, &Bytes::from_static(blob)).await.unwrap();
    }
    let [config, layer, statement] = blobs;
    let manifest = |config_type: &str, layers: Vec<Value>| {
        json!({ "schemaVersion": 2, "mediaType": IMAGE_MANIFEST,
                "config": descriptor(config_type, config), "layers": layers })
    };
    let index =
        |entries: Vec<Value>| json!({ "schemaVersion": 2, "mediaType": IMAGE_INDEX, "manifests": entries });
    let zstd = "application/vnd.oci.image.layer.v1.tar+zstd";
    push(client, &image, "zstd", &manifest(IMAGE_CONFIG, vec![descriptor(zstd, layer)])).await;
    let helm = "application/vnd.cncf.helm.config.v1+json";
    let chart = "application/vnd.cncf.helm.chart.content.v1.tar+gzip";
    push(client, &image, "helm", &manifest(helm, vec![descriptor(chart, layer)])).await;
    let cache = "application/vnd.buildkit.cacheconfig.v0";
    push(client, &image, "cache", &manifest(cache, vec![descriptor(LAYER, layer)])).await;
    // Older BuildKit: an index whose entries are layers and a configuration.
    let entries = vec![descriptor(LAYER, layer), descriptor(cache, config)];
    push(client, &image, "old-cache", &index(entries)).await;
    let mut attestation = manifest(IMAGE_CONFIG, vec![descriptor("application/vnd.in-toto+json", statement)]);
    attestation["layers"][0]["annotations"] =
        json!({ "in-toto.io/predicate-type": "https://spdx.dev/Document" });
    push(client, &image, "attestation", &attestation).await;
    let mut entry = descriptor(IMAGE_MANIFEST, attestation.to_string().as_bytes());
    entry["platform"] = json!({ "architecture": "unknown", "os": "unknown" });
    push(client, &image, "with-attestation", &index(vec![entry])).await;
    let mut foreign =
        descriptor("application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", b"elsewhere");
    foreign["urls"] = json!(["https://downloads.example/layer"]);
    push(client, &image, "foreign", &manifest(IMAGE_CONFIG, vec![foreign])).await;
    let empty = "application/vnd.oci.empty.v1+json";
    let mut artifact = manifest(empty, vec![descriptor(empty, config)]);
    artifact["artifactType"] = json!("application/vnd.example.thing");
    assert_eq!(artifact["config"]["digest"].as_str().unwrap()[..15], *"sha256:44136fa3");
    push(client, &image, "artifact", &artifact).await;
}
