//! Blobs on their way in and out: what the conformance suite does not ask, and clients do.

use bytes::Bytes;
use http::{Response, StatusCode};
use wharfinger_testkit::http::{Client, Dice, digest, expect, text};
use wharfinger_testkit::program::{EngineKind, Program};

use crate::answers::{is, send};

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
        client.send("PATCH", &location, &headers, bytes).await.unwrap()
    };
    let at = |answer: &Response<Bytes>, status: StatusCode, range: &str| {
        assert_eq!(answer.status(), status, "{answer:?}");
        assert_eq!(text(answer.headers(), "range"), range);
        assert_eq!(text(answer.headers(), "location"), location);
    };
    at(&chunk(0, 1_000).await, StatusCode::ACCEPTED, "0-999");
    at(&send(&client, "GET", &location).await, StatusCode::NO_CONTENT, "0-999");
    // A gap, a repetition: refused with the way on, and the session lives.
    for (start, end) in [(2_000, 3_000), (0, 1_000), (500, 1_500)] {
        let refused = chunk(start, end).await;
        at(&refused, StatusCode::RANGE_NOT_SATISFIABLE, "0-999");
        is(&refused, StatusCode::RANGE_NOT_SATISFIABLE, "RANGE_INVALID");
    }
    // A chunk that is not as long as it says.
    let headers = [("content-range", "1000-1999")];
    let short = client.send("PATCH", &location, &headers, blob.slice(1_000..1_500));
    is(&short.await.unwrap(), StatusCode::BAD_REQUEST, "SIZE_INVALID");
    at(&send(&client, "GET", &location).await, StatusCode::NO_CONTENT, "0-999");
    let headers = [("content-range", "bytes 1000-1999")];
    let malformed = client.send("PATCH", &location, &headers, blob.slice(1_000..2_000));
    assert_eq!(malformed.await.unwrap().status(), StatusCode::BAD_REQUEST);

    at(&chunk(1_000, 2_000).await, StatusCode::ACCEPTED, "0-1999");
    // The last chunk out of order in the closing PUT, then in order.
    let closing = format!("{location}?digest={}", digest(&blob));
    let headers = [("content-range", "2500-2999")];
    let refused = client.send("PUT", &closing, &headers, blob.slice(2_500..));
    at(&refused.await.unwrap(), StatusCode::RANGE_NOT_SATISFIABLE, "0-1999");
    let headers = [("content-range", "2000-2999")];
    let closed = client.send("PUT", &closing, &headers, blob.slice(2_000..));
    let closed = expect(closed.await.unwrap(), StatusCode::CREATED).unwrap();
    let blob_path = format!("/v2/{image}/blobs/{}", digest(&blob));
    assert_eq!(text(closed.headers(), "location"), blob_path);
    assert_eq!(text(closed.headers(), "docker-content-digest"), digest(&blob));
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
    client.start_upload(&program.image("surface/elsewhere")).await.unwrap();
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

async fn get_range(client: &Client, target: &str, range: &str) -> Response<Bytes> {
    let headers = [("range", range)];
    client.send("GET", target, &headers, "").await.unwrap()
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
            assert_eq!(answer.status(), StatusCode::RANGE_NOT_SATISFIABLE, "{range}");
            assert_eq!(text(answer.headers(), "content-range"), format!("bytes */{size}"));
        }
    }
    let empty = client.push_blob(&image, &Bytes::new()).await.unwrap();
    let answer = send(&client, "GET", &format!("/v2/{image}/blobs/{empty}")).await;
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(text(answer.headers(), "content-length"), "0");

    let unknown = format!("/v2/{image}/blobs/{}", digest(b"never pushed"));
    is(&send(&client, "GET", &unknown).await, StatusCode::NOT_FOUND, "BLOB_UNKNOWN");
    let head = send(&client, "HEAD", &unknown).await;
    assert_eq!(head.status(), StatusCode::NOT_FOUND);
    assert!(head.body().is_empty());
}

wharfinger_e2e::on_each_engine! {
    an_upload_says_where_it_is
    an_upload_ends_by_cancel_and_by_a_wrong_digest
    reads_have_lengths_types_and_ranges
}
