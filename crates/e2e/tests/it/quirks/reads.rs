//! What goes out: manifests, blobs, lists, and what is deleted.

use bytes::Bytes;
use http::{Response, StatusCode};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha512};
use wharfinger_e2e::raw;
use wharfinger_testkit::http::{
    Client, Dice, IMAGE_CONFIG, IMAGE_INDEX, IMAGE_MANIFEST, descriptor, digest, expect, text,
};

use super::World;
use crate::answers::{is, json_of, send};

async fn get(client: &Client, target: &str, header: (&str, &str)) -> Response<Bytes> {
    client.send("GET", target, &[header], "").await.unwrap()
}

pub(super) async fn a_manifest_is_described_by_head(world: &World) {
    let (image, manifest) = world.pushed("q25/app").await;
    for reference in ["1", &digest(&manifest)] {
        let head = send(&world.administrator, "HEAD", &format!("/v2/{image}/manifests/{reference}")).await;
        assert_eq!(head.status(), StatusCode::OK);
        assert_eq!(text(head.headers(), "content-type"), IMAGE_MANIFEST);
        assert_eq!(text(head.headers(), "content-length"), manifest.len().to_string());
        assert_eq!(text(head.headers(), "docker-content-digest"), digest(&manifest));
        assert!(head.body().is_empty());
    }
}

pub(super) async fn what_is_stored_is_served_whatever_is_accepted(world: &World) {
    let (image, manifest) = world.pushed("q26/app").await;
    let docker = "application/vnd.docker.distribution.manifest.v2+json";
    let list = format!("{IMAGE_INDEX}, {docker},{IMAGE_MANIFEST};q=0.5");
    for accepted in [
        &[][..],
        &[IMAGE_MANIFEST],
        &[docker],
        &[docker, IMAGE_INDEX, IMAGE_MANIFEST, "*/*"],
        &[&list],
        &["*/*"],
        &["application/json"],
        &["text/html"],
        &[""],
        &["nonsense"],
    ] {
        let headers: Vec<(&str, &str)> = accepted.iter().map(|kind| ("accept", *kind)).collect();
        for reference in ["1", &digest(&manifest)] {
            let target = format!("/v2/{image}/manifests/{reference}");
            for method in ["GET", "HEAD"] {
                let answer = raw::send(&world.administrator, method, &target, &headers, b"").await;
                assert_eq!(answer.status(), StatusCode::OK, "{accepted:?}");
                assert_eq!(text(answer.headers(), "content-type"), IMAGE_MANIFEST, "{accepted:?}");
                assert!(method == "HEAD" || *answer.body() == manifest, "{accepted:?}");
            }
        }
    }
}

pub(super) async fn nothing_is_compressed_on_the_way(world: &World) {
    let image = world.image("q27/app");
    let blob = Bytes::from("a".repeat(100_000));
    let blob_digest = world.administrator.push_blob(&image, &blob).await.unwrap();
    let manifest = world.administrator.push_image(&image, "1", &blob).await.unwrap();
    for (target, bytes) in
        [(format!("/v2/{image}/blobs/{blob_digest}"), &blob), (format!("/v2/{image}/manifests/1"), &manifest)]
    {
        for encoding in ["gzip", "zstd;q=1.0,gzip;q=0.8,*;q=0.1", "br, deflate", "identity;q=0"] {
            for method in ["GET", "HEAD"] {
                let headers = [("accept-encoding", encoding)];
                let answer = world.administrator.send(method, &target, &headers, "").await.unwrap();
                assert_eq!(answer.headers().get("content-encoding"), None);
                assert_eq!(text(answer.headers(), "content-length"), bytes.len().to_string());
                assert!(method == "HEAD" || answer.body() == bytes);
            }
        }
    }
}

pub(super) async fn a_blob_is_read_in_parts(world: &World) {
    let (client, image) = (&world.administrator, world.image("q28/parts"));
    let blob = Dice::new(28).bytes(600_000);
    let target = format!("/v2/{image}/blobs/{}", client.push_blob(&image, &blob).await.unwrap());
    let head = send(client, "HEAD", &target).await;
    assert_eq!(text(head.headers(), "accept-ranges"), "bytes");
    for (range, part, said) in [
        ("bytes=0-9", 0..10, "bytes 0-9/600000"),
        ("bytes=300000-", 300_000..600_000, "bytes 300000-599999/600000"),
        ("bytes=-1", 599_999..600_000, "bytes 599999-599999/600000"),
    ] {
        let answer = get(client, &target, ("range", range)).await;
        assert_eq!(answer.status(), StatusCode::PARTIAL_CONTENT);
        assert_eq!(text(answer.headers(), "content-range"), said);
        assert_eq!(text(answer.headers(), "content-length"), part.len().to_string());
        assert_eq!(answer.body(), &blob.slice(part));
    }
    let beyond = get(client, &target, ("range", "bytes=600000-")).await;
    is(&beyond, StatusCode::RANGE_NOT_SATISFIABLE, "RANGE_INVALID");
    assert_eq!(text(beyond.headers(), "content-range"), "bytes */600000");
}

/// The parts of a `multipart/byteranges` answer (RFC 9110, section 14.6): range and bytes of each.
fn parts(answer: &Response<Bytes>) -> Vec<(String, Vec<u8>)> {
    let kind = text(answer.headers(), "content-type");
    let boundary = kind.strip_prefix("multipart/byteranges; boundary=").unwrap_or_else(|| panic!("{kind}"));
    let boundary = format!("--{}", boundary.trim_matches('"'));
    let body = String::from_utf8(answer.body().to_vec()).expect("the blob is text");
    let (parts, end) = body.rsplit_once(&format!("\r\n{boundary}--")).expect("a closing boundary");
    assert_eq!(end.trim_end(), "", "nothing behind the end");
    let part = |part: &str| {
        let (head, bytes) =
            part.strip_prefix("\r\n").and_then(|part| part.split_once("\r\n\r\n")).expect("a part");
        let head = head.to_lowercase();
        let range = head.split("\r\n").find_map(|line| line.strip_prefix("content-range:"));
        (range.expect("each part has a range").trim().to_owned(), bytes.as_bytes().to_vec())
    };
    let parts = parts.strip_prefix("\r\n").unwrap_or(parts);
    let parts = parts.strip_prefix(&boundary).expect("an opening boundary");
    parts.split(&format!("\r\n{boundary}")).map(part).collect()
}

pub(super) async fn several_parts_come_in_one_answer(world: &World) {
    let (client, image) = (&world.administrator, world.image("q28/several"));
    let blob: String = (0..1_000).map(|number| format!("{number:09}\n")).collect();
    let blob = Bytes::from(blob);
    let target = format!("/v2/{image}/blobs/{}", client.push_blob(&image, &blob).await.unwrap());
    for (ranges, expected) in [
        ("bytes=0-9,5000-5009", vec![0..10, 5_000..5_010]),
        ("bytes=10-19, 0-9, -10", vec![10..20, 0..10, 9_990..10_000]),
    ] {
        let answer = get(client, &target, ("range", ranges)).await;
        assert_eq!(answer.status(), StatusCode::PARTIAL_CONTENT, "{answer:?}");
        assert_eq!(text(answer.headers(), "content-length"), answer.body().len().to_string());
        let said = |part: &std::ops::Range<usize>| {
            let range = format!("bytes {}-{}/10000", part.start, part.end - 1);
            (range, blob[part.clone()].to_vec())
        };
        assert_eq!(parts(&answer), expected.iter().map(said).collect::<Vec<_>>());
    }
    // Ranges that overlap or are many are no way to be sent more than there is.
    let many = format!("bytes={}", vec!["0-"; 200].join(","));
    let tiny: Vec<String> = (0..500).map(|start| format!("{0}-{0}", start * 2)).collect();
    for ranges in [many, format!("bytes={}", tiny.join(","))] {
        let answer = get(client, &target, ("range", &ranges)).await;
        assert!(matches!(answer.status().as_u16(), 200 | 206 | 416), "{answer:?}");
        assert!(answer.body().len() <= 2 * blob.len(), "{} bytes", answer.body().len());
    }
}

pub(super) async fn what_a_client_has_already_is_not_sent_again(world: &World) {
    let (image, manifest) = world.pushed("q28/app").await;
    let client = &world.administrator;
    let layer = Bytes::from_static(b"a layer of q28/app");
    let by_tag = format!("/v2/{image}/manifests/1");
    for (target, bytes) in [
        (&by_tag, &manifest),
        (&format!("/v2/{image}/manifests/{}", digest(&manifest)), &manifest),
        (&format!("/v2/{image}/blobs/{}", digest(&layer)), &layer),
    ] {
        let tag = format!("\"{}\"", digest(bytes));
        for method in ["GET", "HEAD"] {
            let answer = send(client, method, target).await;
            assert_eq!(text(answer.headers(), "etag"), tag, "{method} {target}");
            for known in [tag.clone(), format!("W/{tag}"), format!("\"x\", {tag}"), "*".to_owned()] {
                let headers = [("if-none-match", known.as_str())];
                let unchanged = client.send(method, target, &headers, "").await.unwrap();
                assert_eq!(unchanged.status(), StatusCode::NOT_MODIFIED, "{method} {target} {known}");
                assert_eq!(text(unchanged.headers(), "etag"), tag);
                assert!(unchanged.body().is_empty());
            }
        }
        for other in ["\"x\"", "x", ""] {
            let answer = get(client, target, ("if-none-match", other)).await;
            assert_eq!((answer.status(), answer.body()), (StatusCode::OK, bytes), "{other}");
        }
    }
    // It is no way to learn what is there.
    let known = format!("\"{}\"", digest(&manifest));
    let refused = get(&world.powerless, &by_tag, ("if-none-match", &known)).await;
    is(&refused, StatusCode::FORBIDDEN, "DENIED");
    let moved = client.push_image(&image, "1", &Bytes::from_static(b"another layer")).await.unwrap();
    let answer = get(client, &by_tag, ("if-none-match", &known)).await;
    assert_eq!((answer.status(), answer.body()), (StatusCode::OK, &moved));
}

pub(super) async fn lists_are_followed_by_link(world: &World) {
    let (client, (image, manifest)) = (&world.administrator, world.pushed("q29/app").await);
    for tag in ["2", "3"] {
        client.put_manifest(&image, tag, IMAGE_MANIFEST, &manifest).await.unwrap();
    }
    let list = format!("/v2/{image}/tags/list");
    let all = send(client, "GET", &format!("{list}?n=1000")).await;
    assert_eq!(json_of(&all), json!({ "name": image, "tags": ["1", "2", "3"] }));
    assert_eq!(all.headers().get("link"), None);
    let first = send(client, "GET", &format!("{list}?n=2")).await;
    assert_eq!(json_of(&first)["tags"], json!(["1", "2"]));
    let next =
        text(first.headers(), "link").strip_prefix('<').and_then(|link| link.strip_suffix(">; rel=\"next\""));
    let second = send(client, "GET", next.expect("a link to the next page")).await;
    assert_eq!(json_of(&second)["tags"], json!(["3"]));

    world.administrator.start_upload(&world.image("q29/other")).await.unwrap();
    let catalog = send(client, "GET", "/v2/_catalog?n=1").await;
    assert_eq!(json_of(&catalog)["repositories"].as_array().unwrap().len(), 1);
    assert!(text(catalog.headers(), "link").ends_with("rel=\"next\""), "{catalog:?}");
    is(&send(&world.anonymous, "GET", "/v2/_catalog").await, StatusCode::UNAUTHORIZED, "UNAUTHORIZED");
    for search in ["/v1/_ping", "/v1/search?q=app"] {
        assert_eq!(send(client, "GET", search).await.status(), StatusCode::NOT_FOUND);
    }
}

pub(super) async fn referrers_are_a_list_even_where_there_is_nothing(world: &World) {
    let (client, (image, manifest)) = (&world.administrator, world.pushed("q30/app").await);
    let nothing = json!({ "schemaVersion": 2, "mediaType": IMAGE_INDEX, "manifests": [] });
    for target in [
        format!("/v2/{image}/referrers/{}", digest(&manifest)),
        format!("/v2/{image}/referrers/{}", digest(b"never pushed")),
        format!("/v2/{}/referrers/{}", world.image("q30/none"), digest(&manifest)),
    ] {
        let answer = send(client, "GET", &target).await;
        assert_eq!(answer.status(), StatusCode::OK, "{target}");
        assert_eq!(text(answer.headers(), "content-type"), IMAGE_INDEX);
        assert_eq!(json_of(&answer), nothing, "{target}");
    }
    // What clients kept under tags before there was this list.
    let fallback = digest(&manifest).replace(':', "-");
    let signature = json!({ "schemaVersion": 2, "mediaType": IMAGE_MANIFEST, "layers": [],
                            "config": descriptor(IMAGE_CONFIG, b"{}") });
    let signature = Bytes::from(signature.to_string());
    for suffix in [".sig", ".att", ".sbom"] {
        let tag = format!("{fallback}{suffix}");
        client.put_manifest(&image, &tag, IMAGE_MANIFEST, &signature).await.unwrap();
        assert_eq!(send(client, "GET", &format!("/v2/{image}/manifests/{tag}")).await.body(), &signature);
    }
    let entry = descriptor(IMAGE_MANIFEST, &signature);
    let index = json!({ "schemaVersion": 2, "mediaType": IMAGE_INDEX, "manifests": [entry] });
    client.put_manifest(&image, &fallback, IMAGE_INDEX, &Bytes::from(index.to_string())).await.unwrap();
    let listed = send(client, "GET", &format!("/v2/{image}/referrers/{}", digest(&manifest))).await;
    assert_eq!(json_of(&listed)["manifests"][0]["digest"], digest(&signature));
}

pub(super) async fn tags_and_digests_are_deleted(world: &World) {
    let (client, (image, manifest)) = (&world.administrator, world.pushed("q32/app").await);
    client.put_manifest(&image, "2", IMAGE_MANIFEST, &manifest).await.unwrap();
    let path = |reference: &str| format!("/v2/{image}/manifests/{reference}");
    assert_eq!(send(client, "DELETE", &path("1")).await.status(), StatusCode::ACCEPTED);
    assert_eq!(send(client, "HEAD", &path("1")).await.status(), StatusCode::NOT_FOUND);
    assert_eq!(send(client, "HEAD", &path("2")).await.status(), StatusCode::OK);
    let resolved = send(client, "HEAD", &path("2")).await;
    let resolved = text(resolved.headers(), "docker-content-digest");
    assert_eq!(send(client, "DELETE", &path(resolved)).await.status(), StatusCode::ACCEPTED);
    for reference in ["2", resolved] {
        is(&send(client, "GET", &path(reference)).await, StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN");
    }
}

pub(super) async fn a_tag_keeps_the_digest_that_was_pushed(world: &World) {
    let (client, (image, _)) = (&world.administrator, world.pushed("q33/app").await);
    let manifest: Value = json!({ "schemaVersion": 2, "mediaType": IMAGE_MANIFEST, "layers": [],
                                  "config": descriptor(IMAGE_CONFIG, b"{}") });
    let manifest = Bytes::from(manifest.to_string());
    let hex: String = Sha512::digest(&manifest).iter().map(|byte| format!("{byte:02x}")).collect();
    let long = format!("sha512:{hex}");
    let target = format!("/v2/{image}/manifests/{long}?tag=long");
    let put = client.send("PUT", &target, &[("content-type", IMAGE_MANIFEST)], manifest.clone()).await;
    let put = expect(put.unwrap(), StatusCode::CREATED).unwrap();
    assert_eq!(text(put.headers(), "docker-content-digest"), long);
    let head = send(client, "HEAD", &format!("/v2/{image}/manifests/long")).await;
    assert_eq!(text(head.headers(), "docker-content-digest"), long);
    let read = send(client, "GET", &format!("/v2/{image}/manifests/{long}")).await;
    assert_eq!(read.body(), &manifest);
}
