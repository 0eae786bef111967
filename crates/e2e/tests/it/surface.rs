//! The Distribution API request by request: what the conformance suite does not ask, and clients do.

use bytes::Bytes;
use http::{Response, StatusCode};
use serde_json::{Value, json};
use wharfinger_testkit::http::{
    Client, Dice, IMAGE_INDEX, IMAGE_MANIFEST, LAYER, descriptor, digest, expect, image_manifest,
    text,
};
use wharfinger_testkit::program::{EngineKind, Program};

async fn send(client: &Client, method: &str, target: &str) -> Response<Bytes> {
    client
        .send(method, target, &[], Bytes::new())
        .await
        .unwrap()
}

async fn get_range(client: &Client, target: &str, range: &str) -> Response<Bytes> {
    let headers = [("range", range)];
    client.send("GET", target, &headers, "").await.unwrap()
}

fn json_of(answer: &Response<Bytes>) -> Value {
    serde_json::from_slice(answer.body()).expect("the answer is JSON")
}

fn code(answer: &Response<Bytes>) -> String {
    let body = json_of(answer);
    body["errors"][0]["code"].as_str().unwrap().to_owned()
}

#[track_caller]
fn is(answer: &Response<Bytes>, status: StatusCode, code_wanted: &str) {
    assert_eq!(answer.status(), status, "{answer:?}");
    assert_eq!(code(answer), code_wanted, "{answer:?}");
    let message = json_of(answer)["errors"][0]["message"].clone();
    assert_ne!(message.as_str().unwrap_or(""), "", "{answer:?}");
}

async fn an_upload_says_where_it_is(engine: EngineKind) {
    let program = Program::start(engine);
    let client = program.administrator();
    let image = program.image("surface/uploads");
    let started = send(&client, "POST", &format!("/v2/{image}/blobs/uploads/")).await;
    assert_eq!(started.status(), StatusCode::ACCEPTED);
    let location = text(started.headers(), "location").to_owned();
    let prefix = format!("/v2/{image}/blobs/uploads/");
    let uuid = location.strip_prefix(&prefix).expect("path-absolute");
    assert!(!uuid.contains(['?', '/']), "no query string: {location}");
    assert_eq!(text(started.headers(), "docker-upload-uuid"), uuid);
    assert_eq!(text(started.headers(), "range"), "0-0");
    assert_eq!(text(started.headers(), "content-length"), "0");

    let blob = Dice::new(7).bytes(3_000);
    let chunk = async |start: usize, end: usize| {
        let range = format!("{start}-{}", end - 1);
        let headers = [("content-range", range.as_str())];
        let bytes = blob.slice(start..end);
        client
            .send("PATCH", &location, &headers, bytes)
            .await
            .unwrap()
    };
    let at = |answer: &Response<Bytes>, status: StatusCode, range: &str| {
        assert_eq!(answer.status(), status, "{answer:?}");
        assert_eq!(text(answer.headers(), "range"), range);
        assert_eq!(text(answer.headers(), "location"), location);
    };
    at(&chunk(0, 1_000).await, StatusCode::ACCEPTED, "0-999");
    at(
        &send(&client, "GET", &location).await,
        StatusCode::NO_CONTENT,
        "0-999",
    );
    // A gap, a repetition: refused with the way on, and the session lives.
    for (start, end) in [(2_000, 3_000), (0, 1_000), (500, 1_500)] {
        let refused = chunk(start, end).await;
        at(&refused, StatusCode::RANGE_NOT_SATISFIABLE, "0-999");
        is(&refused, StatusCode::RANGE_NOT_SATISFIABLE, "RANGE_INVALID");
    }
    // A chunk that is not as long as it says.
    let headers = [("content-range", "1000-1999")];
    let short = client.send("PATCH", &location, &headers, blob.slice(1_000..1_500));
    is(
        &short.await.unwrap(),
        StatusCode::BAD_REQUEST,
        "SIZE_INVALID",
    );
    at(
        &send(&client, "GET", &location).await,
        StatusCode::NO_CONTENT,
        "0-999",
    );
    let headers = [("content-range", "bytes 1000-1999")];
    let malformed = client.send("PATCH", &location, &headers, blob.slice(1_000..2_000));
    assert_eq!(malformed.await.unwrap().status(), StatusCode::BAD_REQUEST);

    at(&chunk(1_000, 2_000).await, StatusCode::ACCEPTED, "0-1999");
    // The last chunk out of order in the closing PUT, then in order.
    let closing = format!("{location}?digest={}", digest(&blob));
    let headers = [("content-range", "2500-2999")];
    let refused = client.send("PUT", &closing, &headers, blob.slice(2_500..));
    at(
        &refused.await.unwrap(),
        StatusCode::RANGE_NOT_SATISFIABLE,
        "0-1999",
    );
    let headers = [("content-range", "2000-2999")];
    let closed = client.send("PUT", &closing, &headers, blob.slice(2_000..));
    let closed = expect(closed.await.unwrap(), StatusCode::CREATED).unwrap();
    let blob_path = format!("/v2/{image}/blobs/{}", digest(&blob));
    assert_eq!(text(closed.headers(), "location"), blob_path);
    assert_eq!(
        text(closed.headers(), "docker-content-digest"),
        digest(&blob)
    );
    assert_eq!(send(&client, "GET", &blob_path).await.body(), &blob);
    let ended = send(&client, "GET", &location).await;
    is(&ended, StatusCode::NOT_FOUND, "BLOB_UPLOAD_UNKNOWN");
}

async fn an_upload_ends_by_cancel_and_by_a_wrong_digest(engine: EngineKind) {
    let program = Program::start(engine);
    let client = program.administrator();
    let image = program.image("surface/ends");
    let location = client.start_upload(&image).await.unwrap();
    let elsewhere = location.replace("surface/ends", "surface/elsewhere");
    client
        .start_upload(&program.image("surface/elsewhere"))
        .await
        .unwrap();
    let foreign = send(&client, "GET", &elsewhere).await;
    is(&foreign, StatusCode::NOT_FOUND, "BLOB_UPLOAD_UNKNOWN");
    let cancelled = send(&client, "DELETE", &location).await;
    assert_eq!(cancelled.status(), StatusCode::NO_CONTENT);
    for method in ["GET", "PATCH", "DELETE"] {
        let gone = send(&client, method, &location).await;
        is(&gone, StatusCode::NOT_FOUND, "BLOB_UPLOAD_UNKNOWN");
    }

    let location = client.start_upload(&image).await.unwrap();
    let wrong = format!("{location}?digest={}", digest(b"other bytes"));
    let refused = client.send("PUT", &wrong, &[], "bytes").await.unwrap();
    is(&refused, StatusCode::BAD_REQUEST, "DIGEST_INVALID");
    let gone = send(&client, "GET", &location).await;
    is(&gone, StatusCode::NOT_FOUND, "BLOB_UPLOAD_UNKNOWN");

    // What is no digest leaves the session as it was.
    let location = client.start_upload(&image).await.unwrap();
    for query in ["", "?digest=", "?digest=sha256:short", "?digest=md5:00"] {
        let answer = send(&client, "PUT", &format!("{location}{query}")).await;
        is(&answer, StatusCode::BAD_REQUEST, "DIGEST_INVALID");
    }
    let alive = send(&client, "GET", &location).await;
    assert_eq!(alive.status(), StatusCode::NO_CONTENT);

    let single = format!("/v2/{image}/blobs/uploads/?digest={}", digest(b"single"));
    let refused = client.send("POST", &single, &[], "other").await.unwrap();
    is(&refused, StatusCode::BAD_REQUEST, "DIGEST_INVALID");
    let created = client.send("POST", &single, &[], "single").await.unwrap();
    let created = expect(created, StatusCode::CREATED).unwrap();
    let blob = text(created.headers(), "location").to_owned();
    assert_eq!(send(&client, "GET", &blob).await.body(), "single");
}

async fn reads_have_lengths_types_and_ranges(engine: EngineKind) {
    let program = Program::start(engine);
    let client = program.administrator();
    let image = program.image("surface/reads");
    // One that is read at once, one that is streamed.
    for size in [2_048_usize, 700_001] {
        let blob = Dice::new(size as u64).bytes(size);
        let digest = client.push_blob(&image, &blob).await.unwrap();
        let path = format!("/v2/{image}/blobs/{digest}");
        for method in ["HEAD", "GET"] {
            let answer = send(&client, method, &path).await;
            assert_eq!(answer.status(), StatusCode::OK);
            assert_eq!(text(answer.headers(), "content-length"), size.to_string());
            assert_eq!(text(answer.headers(), "docker-content-digest"), digest);
            assert_eq!(text(answer.headers(), "accept-ranges"), "bytes");
            let length = if method == "HEAD" { 0 } else { size };
            assert_eq!(answer.body().len(), length);
        }
        for (range, part) in [
            ("bytes=500-1499", 500..1_500),
            ("bytes=500-", 500..size),
            ("bytes=-500", size - 500..size),
            ("bytes=0-0", 0..1),
            ("bytes=2000-99999999", 2_000..size),
        ] {
            let answer = get_range(&client, &path, range).await;
            let answer = expect(answer, StatusCode::PARTIAL_CONTENT).unwrap();
            let content_range = format!("bytes {}-{}/{size}", part.start, part.end - 1);
            assert_eq!(text(answer.headers(), "content-range"), content_range);
            assert_eq!(answer.body(), &blob.slice(part), "{range}");
        }
        for range in ["bytes=99999999-", "bytes=500-0", "bytes=-0"] {
            let answer = get_range(&client, &path, range).await;
            assert_eq!(
                answer.status(),
                StatusCode::RANGE_NOT_SATISFIABLE,
                "{range}"
            );
            assert_eq!(
                text(answer.headers(), "content-range"),
                format!("bytes */{size}")
            );
        }
    }
    let empty = client.push_blob(&image, &Bytes::new()).await.unwrap();
    let answer = send(&client, "GET", &format!("/v2/{image}/blobs/{empty}")).await;
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(text(answer.headers(), "content-length"), "0");

    let unknown = format!("/v2/{image}/blobs/{}", digest(b"never pushed"));
    is(
        &send(&client, "GET", &unknown).await,
        StatusCode::NOT_FOUND,
        "BLOB_UNKNOWN",
    );
    let head = send(&client, "HEAD", &unknown).await;
    assert_eq!(head.status(), StatusCode::NOT_FOUND);
    assert!(head.body().is_empty());
}

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
                let headers = [(
                    "accept",
                    "application/vnd.docker.distribution.manifest.v1+json",
                )];
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
    for bad in [
        "",
        "null",
        "[]",
        "{",
        "\"text\"",
        "{\"schemaVersion\":2",
        "\u{0}",
    ] {
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
    let large = Bytes::from(vec![b' '; 17 << 20]);
    let answer = put("t", IMAGE_MANIFEST, large).await;
    assert_eq!(answer.status(), StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(
        send(&client, "GET", &format!("/v2/{image}/manifests/t"))
            .await
            .status(),
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
            matches!(
                answer.status(),
                StatusCode::BAD_REQUEST | StatusCode::NOT_FOUND
            ),
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
        assert_eq!(
            status("HEAD", &path(reference)).await,
            StatusCode::NOT_FOUND
        );
    }
    assert_eq!(status("DELETE", &by_digest).await, StatusCode::NOT_FOUND);
    let tags = send(&client, "GET", &format!("/v2/{image}/tags/list")).await;
    assert_eq!(json_of(&tags)["tags"], json!([]));

    // Now the blob is used by a hidden manifest only: it goes, and comes back with a push.
    assert_eq!(status("DELETE", &blob).await, StatusCode::ACCEPTED);
    for method in ["GET", "HEAD", "DELETE"] {
        assert_eq!(
            status(method, &blob).await,
            StatusCode::NOT_FOUND,
            "{method}"
        );
    }
    let target = path("three");
    let headers = [("content-type", IMAGE_MANIFEST)];
    let refused = client.send("PUT", &target, &headers, manifest.clone());
    is(
        &refused.await.unwrap(),
        StatusCode::BAD_REQUEST,
        "MANIFEST_BLOB_UNKNOWN",
    );
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

/// Follows `Link` from the first page to the last.
async fn pages(client: &Client, first: &str, field: &str) -> Vec<Vec<String>> {
    let mut pages = Vec::new();
    let mut next = Some(first.to_owned());
    while let Some(target) = next {
        let answer = expect(send(client, "GET", &target).await, StatusCode::OK).unwrap();
        let entries = json_of(&answer)[field].clone();
        pages.push(serde_json::from_value(entries).unwrap());
        let link = text(answer.headers(), "link");
        next = link.strip_prefix('<').map(|link| {
            let (target, relation) = link.split_once('>').unwrap();
            assert_eq!(relation, "; rel=\"next\"");
            assert!(target.starts_with("/v2/"), "{link}");
            target.to_owned()
        });
        assert!(pages.len() < 50, "the pages never end");
    }
    pages
}

async fn lists_are_paged_in_byte_order(engine: EngineKind) {
    let program = Program::start(engine);
    let client = program.administrator();
    let image = program.image("surface/lists");
    let manifest = client
        .push_image(&image, "b", &Bytes::from_static(b"layer"))
        .await
        .unwrap();
    // Bytes, not words: capitals first, and `_` after them.
    let tags = ["10", "9", "B", "Z-1", "_x", "a", "a.1", "a_1", "b", "c"];
    for tag in tags {
        let put = client.put_manifest(&image, tag, IMAGE_MANIFEST, &manifest);
        put.await.unwrap();
    }
    let list = format!("/v2/{image}/tags/list");
    assert_eq!(pages(&client, &list, "tags").await, [tags.to_vec()]);
    let in_fours = pages(&client, &format!("{list}?n=4"), "tags").await;
    assert_eq!(in_fours, [&tags[..4], &tags[4..8], &tags[8..]]);
    // A last page that is full has no successor.
    let in_fives = pages(&client, &format!("{list}?n=5"), "tags").await;
    assert_eq!(in_fives, [&tags[..5], &tags[5..]]);
    let after = pages(&client, &format!("{list}?last=a.1"), "tags").await;
    assert_eq!(after, [&tags[7..]]);
    // `last` need not be an entry.
    let after = pages(&client, &format!("{list}?last=a.0&n=100"), "tags").await;
    assert_eq!(after, [&tags[6..]]);
    let none = pages(&client, &format!("{list}?n=0"), "tags").await;
    assert_eq!(none, [Vec::<String>::new()]);
    for bad in ["n=-1", "n=x", "n=1.5", "n="] {
        let answer = send(&client, "GET", &format!("{list}?{bad}")).await;
        is(
            &answer,
            StatusCode::BAD_REQUEST,
            "PAGINATION_NUMBER_INVALID",
        );
    }
    let huge = pages(&client, &format!("{list}?n=18446744073709551615"), "tags").await;
    assert_eq!(huge, [tags.to_vec()]);
    let name = json_of(&send(&client, "GET", &list).await)["name"].clone();
    assert_eq!(name, json!(image));

    for name in ["surface/b", "surface/a-1", "surface/a_1", "surface/a"] {
        program.admin(&["repository", "create", name]);
    }
    let names =
        ["a", "a-1", "a_1", "b", "lists"].map(|name| program.image(&format!("surface/{name}")));
    let catalog = pages(&client, "/v2/_catalog", "repositories").await;
    assert_eq!(catalog, [names.to_vec()]);
    let in_twos = pages(&client, "/v2/_catalog?n=2", "repositories").await;
    assert_eq!(in_twos, [&names[..2], &names[2..4], &names[4..]]);
    let missing = send(&client, "GET", &format!("/v2/{image}/no/tags/list")).await;
    is(&missing, StatusCode::NOT_FOUND, "NAME_UNKNOWN");
}

#[tokio::test(flavor = "multi_thread")]
async fn health_and_metrics_are_where_they_belong() {
    let program = Program::start(EngineKind::Sqlite);
    let main = program.anonymous();
    let management = Client::new(program.management());
    for client in [&main, &management] {
        for target in ["/healthz", "/readyz"] {
            assert_eq!(send(client, "GET", target).await.status(), StatusCode::OK);
        }
    }
    assert_eq!(
        send(&main, "GET", "/metrics").await.status(),
        StatusCode::NOT_FOUND,
        "not for the world"
    );
    let client = program.administrator();
    let image = program.image("surface/metrics");
    client
        .push_image(&image, "1", &Bytes::from_static(b"layer"))
        .await
        .unwrap();
    let metrics = send(&management, "GET", "/metrics").await;
    let kind = text(metrics.headers(), "content-type");
    assert!(kind.starts_with("application/openmetrics-text"), "{kind}");
    let metrics = String::from_utf8_lossy(metrics.body()).into_owned();
    for line in [
        r#"wharfinger_requests_total{operation="put_manifest",status="201"} 1"#,
        r#"wharfinger_requests_total{operation="start_upload",status="202"} 2"#,
        "# EOF",
    ] {
        assert!(metrics.contains(line), "{line}: {metrics}");
    }
    assert!(!metrics.contains("surface/metrics"), "no names in labels");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_carries_the_request_id_that_the_log_has() {
    let program = Program::start(EngineKind::Sqlite);
    let client = program.administrator();
    let image = program.image("surface/ids");
    let mut ids = Vec::new();
    for (client, method, target) in [
        (&client, "GET", "/v2/".to_owned()),
        (&program.anonymous(), "GET", "/v2/".to_owned()),
        (&client, "POST", format!("/v2/{image}/blobs/uploads/")),
        (&client, "GET", format!("/v2/{image}/manifests/none")),
        (&client, "HEAD", format!("/v2/{image}/manifests/none")),
        (&client, "TRACE", format!("/v2/{image}/manifests/none")),
        (&client, "GET", "/v2/UPPER/manifests/x".to_owned()),
        (&client, "GET", "/no/such/path".to_owned()),
        (&client, "GET", "/healthz".to_owned()),
        (&client, "GET", "/20180419/docker/token".to_owned()),
        (&client, "DELETE", "/20180419/docker/token".to_owned()),
        (&client, "GET", "/api/v1/users".to_owned()),
    ] {
        let answer = send(client, method, &target).await;
        let id = text(answer.headers(), "x-request-id").to_owned();
        assert!(!id.is_empty(), "{method} {target}: {answer:?}");
        assert!(!answer.status().is_server_error(), "{method} {target}");
        if !answer.status().is_success() {
            assert!(program.log().contains(&id), "{method} {target}");
        }
        ids.push(id);
    }
    let count = ids.len();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), count, "no two requests share an id");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_reaches_the_log() {
    let mut program =
        Program::start_with(EngineKind::Sqlite, &[("WHARFINGER__LOG__FILTER", "trace")]);
    let client = program.administrator();
    let image = program.image("surface/secrets");
    let token = client.token(&[]).await.unwrap();
    client
        .bearer(&token)
        .push_image(&image, "1", &Bytes::from_static(b"layer"))
        .await
        .unwrap();
    let user = program.new_user("bob");
    let users_token = user.token(&[]).await.unwrap();
    let namespace = program.bootstrap.namespace.clone();
    let wrong = program.anonymous();
    let wrong = wrong.basic(&format!("{namespace}/bob"), "a-wrong-password");
    assert_eq!(
        send(&wrong, "GET", "/v2/").await.status(),
        StatusCode::UNAUTHORIZED
    );
    let form = format!(
        "grant_type=password&username={namespace}/bob&password=another-wrong-password&service=wharfinger"
    );
    let headers = [("content-type", "application/x-www-form-urlencoded")];
    let refused = wrong.send("POST", "/20180419/docker/token", &headers, form);
    assert_eq!(refused.await.unwrap().status(), StatusCode::UNAUTHORIZED);
    program.stop();
    let log = program.log();
    assert!(log.contains("put_manifest"), "it logs at all: {log}");
    let header = |client: &Client| {
        let (_, value) = client.authorization().unwrap().split_once(' ').unwrap();
        value.to_owned()
    };
    for secret in [
        program.bootstrap.auth_token.clone(),
        token.clone(),
        token.rsplit('.').next().unwrap().to_owned(),
        users_token,
        header(&client),
        header(&user),
        header(&wrong),
        "a-wrong-password".to_owned(),
        "another-wrong-password".to_owned(),
    ] {
        let at = log.lines().find(|line| line.contains(&secret));
        assert!(at.is_none(), "{secret}: {at:?}");
    }
    let stdout = std::fs::read_to_string(program.data_dir().join("../stdout.log")).unwrap();
    assert!(!stdout.contains(&program.bootstrap.auth_token), "{stdout}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_path_or_method_says_what_is_there() {
    let program = Program::start(EngineKind::Sqlite);
    let client = program.administrator();
    let image = program.image("surface/paths");
    let answer = send(&client, "PATCH", &format!("/v2/{image}/tags/list")).await;
    is(&answer, StatusCode::METHOD_NOT_ALLOWED, "UNSUPPORTED");
    assert!(
        text(answer.headers(), "allow").contains("GET"),
        "{answer:?}"
    );
    let answer = send(&client, "GET", &format!("/v2/{image}/no/such")).await;
    is(&answer, StatusCode::NOT_FOUND, "UNSUPPORTED");
    let layer = descriptor(LAYER, b"layer");
    let bad = layer["digest"]
        .as_str()
        .unwrap()
        .replace("sha256:", "sha256:zz");
    let answer = send(&client, "GET", &format!("/v2/{image}/blobs/{bad}")).await;
    assert!(
        matches!(
            answer.status(),
            StatusCode::BAD_REQUEST | StatusCode::NOT_FOUND
        ),
        "{answer:?}"
    );
}

wharfinger_e2e::on_each_engine! {
    an_upload_says_where_it_is
    an_upload_ends_by_cancel_and_by_a_wrong_digest
    reads_have_lengths_types_and_ranges
    manifests_of_every_kind_are_kept_exactly
    a_manifest_that_cannot_be_right_is_refused
    a_delete_hides_and_a_push_brings_back
    lists_are_paged_in_byte_order
}
