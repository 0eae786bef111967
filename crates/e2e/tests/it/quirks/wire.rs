//! What all answers have in common, and what comes before there is a request.

use std::time::Duration;

use bytes::Bytes;
use http::{Response, StatusCode};
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::Instant;
use wharfinger_e2e::{raw, wait_until};
use wharfinger_testkit::http::{IMAGE_CONFIG, IMAGE_MANIFEST, descriptor, digest, text};

use super::World;
use crate::answers::{is, json_of, send};

/// Answers of many kinds, each with the request that it is to.
async fn answers(world: &World, repository: &str) -> Vec<(String, Response<Bytes>)> {
    let (image, manifest) = world.pushed(repository).await;
    let layer = digest(format!("a layer of {repository}").as_bytes());
    let unknown = digest(b"never pushed");
    let mut answers = Vec::new();
    for client in [&world.anonymous, &world.powerless, &world.administrator] {
        for (method, target) in [
            ("GET", "/v2/".to_owned()),
            ("GET", "/v2/_catalog".to_owned()),
            ("GET", format!("/v2/{image}/tags/list")),
            ("GET", format!("/v2/{image}/manifests/1")),
            ("HEAD", format!("/v2/{image}/manifests/1")),
            ("GET", format!("/v2/{image}/manifests/none")),
            ("GET", format!("/v2/{image}/blobs/{layer}")),
            ("HEAD", format!("/v2/{image}/blobs/{unknown}")),
            ("GET", format!("/v2/{image}/blobs/{unknown}")),
            ("GET", format!("/v2/{image}/referrers/{unknown}")),
            ("POST", format!("/v2/{image}/blobs/uploads/")),
            ("GET", format!("/v2/{image}/blobs/uploads/none")),
            ("PUT", format!("/v2/{image}/manifests/1")),
            ("DELETE", format!("/v2/{image}/manifests/none")),
            ("PATCH", format!("/v2/{image}/tags/list")),
            ("GET", "/v2/UPPER/CASE/tags/list".to_owned()),
            ("GET", "/v2/no/such/path".to_owned()),
            ("OPTIONS", "/v2/".to_owned()),
        ] {
            answers.push((format!("{method} {target}"), send(client, method, &target).await));
        }
        let target = format!("/v2/{image}/manifests/2");
        let headers = [("content-type", IMAGE_MANIFEST)];
        let put = client.send("PUT", &target, &headers, manifest.clone()).await.unwrap();
        answers.push((format!("PUT {target}"), put));
    }
    answers
}

pub(super) async fn every_answer_names_the_version_and_every_error_is_json(world: &World) {
    let mut statuses = std::collections::BTreeSet::new();
    for (request, answer) in answers(world, "q34/app").await {
        assert_eq!(text(answer.headers(), "docker-distribution-api-version"), "registry/2.0", "{request}");
        statuses.insert(answer.status().as_u16());
        if answer.status().as_u16() < 400 || request.starts_with("HEAD") {
            continue;
        }
        assert_eq!(text(answer.headers(), "content-type"), "application/json", "{request}");
        let error = json_of(&answer)["errors"][0].clone();
        let is_code = |code: &str| {
            !code.is_empty() && code.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_')
        };
        assert!(is_code(error["code"].as_str().unwrap()), "{request}: {error}");
        assert!(!error["message"].as_str().unwrap().is_empty(), "{request}: {error}");
    }
    let kinds: Vec<u16> = statuses.into_iter().collect();
    assert_eq!(kinds, [200, 201, 202, 400, 401, 403, 404, 405]);
}

pub(super) async fn odd_paths_and_queries_are_understood(world: &World) {
    let (client, (image, manifest)) = (&world.administrator, world.pushed("q35/app").await);
    for target in ["/v2", "/v2/", "/v2/?ns=docker.io"] {
        assert_eq!(send(client, "GET", target).await.status(), StatusCode::OK, "{target}");
    }
    let layer = Bytes::from_static(b"a layer of q35/app");
    for (target, bytes) in [
        (format!("/v2/{image}/manifests/1?ns=docker.io"), &manifest),
        (format!("/v2/{image}/blobs/{}?ns=docker.io", digest(&layer)), &layer),
        (format!("/v2/{image}/blobs/{}", digest(&layer).replace(':', "%3A")), &layer),
        (format!("/v2/{image}/manifests/{}", digest(&manifest).replace(':', "%3a")), &manifest),
    ] {
        assert_eq!(send(client, "GET", &target).await.body(), bytes, "{target}");
    }
    for plus in ["1.0+2", "1.0%2B2"] {
        let target = format!("/v2/{image}/manifests/{plus}");
        let refused =
            client.send("PUT", &target, &[("content-type", IMAGE_MANIFEST)], manifest.clone()).await;
        is(&refused.unwrap(), StatusCode::BAD_REQUEST, "TAG_INVALID");
    }
}

/// The first message of a TLS connection (RFC 8446, section 4.1.2), without extensions.
fn client_hello() -> Vec<u8> {
    let mut body = vec![3, 3];
    body.extend_from_slice(&[7; 32]);
    // No session, two cipher suites, no compression.
    body.extend_from_slice(&[0, 0, 4, 0x13, 0x01, 0xc0, 0x2f, 1, 0]);
    let length = u8::try_from(body.len()).unwrap();
    let handshake = [&[1, 0, 0, length], body.as_slice()].concat();
    let length = u8::try_from(handshake.len()).unwrap();
    [&[0x16, 3, 1, 0, length], handshake.as_slice()].concat()
}

pub(super) async fn tls_on_the_plain_port_ends_at_once(world: &World) {
    let started = Instant::now();
    let answer = raw::exchange(world.program.address(), &client_hello()).await;
    let took = started.elapsed();
    let said = String::from_utf8_lossy(&answer).into_owned();
    assert!(answer.is_empty() || said.starts_with("HTTP/1.1 400 "), "{said}");
    assert!(took < Duration::from_secs(5), "{took:?}");
}

pub(super) async fn too_many_requests_are_told_when_to_come_again(world: &World) {
    let mut requests = JoinSet::new();
    for _ in 0..60 {
        let client = world.administrator.clone();
        requests.spawn(async move { send(&client, "GET", "/v2/").await });
    }
    let answers = requests.join_all().await;
    let refused = answers.into_iter().find(|answer| answer.status() != StatusCode::OK);
    let refused = refused.expect("sixty requests in a moment are more than five a second");
    is(&refused, StatusCode::TOO_MANY_REQUESTS, "TOOMANYREQUESTS");
    let seconds: u64 = text(refused.headers(), "retry-after").parse().expect("a number of seconds");
    assert!((1..=60).contains(&seconds), "{seconds}");
    assert_eq!(refused.headers().get("www-authenticate"), None);
    // The limit is each principal's own.
    assert_eq!(send(&world.powerless, "GET", "/v2/").await.status(), StatusCode::OK);
    wait_until("the limit lets the administrator in again", async || {
        send(&world.administrator, "GET", "/v2/").await.status() == StatusCode::OK
    })
    .await;
}

/// `299 - "…"`: the one form that clients show (Distribution spec, "Warnings").
fn is_a_warning(value: &str) -> bool {
    let said = value.strip_prefix("299 - \"").and_then(|value| value.strip_suffix('"'));
    said.is_some_and(|said| {
        !said.is_empty() && said.len() <= 4_096 && !said.replace("\\\"", "").contains('"')
    })
}

pub(super) async fn a_warning_has_the_one_form_that_is_shown(world: &World) {
    // A layer that is not kept here is worth one.
    let (image, _) = world.pushed("q38/foreign").await;
    let foreign = descriptor("application/vnd.oci.image.layer.nondistributable.v1.tar", b"elsewhere");
    let manifest = json!({ "schemaVersion": 2, "mediaType": IMAGE_MANIFEST, "layers": [foreign],
                           "config": descriptor(IMAGE_CONFIG, b"{}") });
    let target = format!("/v2/{image}/manifests/foreign");
    let put = world.administrator.send("PUT", &target, &[], manifest.to_string()).await.unwrap();
    assert_eq!(put.status(), StatusCode::CREATED);
    assert!(is_a_warning(text(put.headers(), "warning")), "{put:?}");
    for (request, answer) in answers(world, "q38/app").await {
        for warning in answer.headers().get_all("warning") {
            assert!(is_a_warning(warning.to_str().unwrap()), "{request}: {warning:?}");
        }
    }
}
