//! Many clients at once on the same names and bytes: each gets an answer that can be right, none a fault.

use std::collections::HashMap;
use std::future::Future;

use bytes::Bytes;
use http::StatusCode;
use serde_json::Value;
use tokio::task::JoinSet;
use wharfinger_e2e::upload::blob_matches;
use wharfinger_testkit::http::{Client, Dice, IMAGE_MANIFEST, digest, expect, image_manifest};
use wharfinger_testkit::program::{EngineKind, Program};

/// Runs them at once and counts their answers by status.
async fn all<F>(requests: Vec<F>) -> HashMap<u16, usize>
where
    F: Future<Output = StatusCode> + Send + 'static,
{
    let mut tasks: JoinSet<StatusCode> = requests.into_iter().collect();
    let mut counts = HashMap::new();
    while let Some(status) = tasks.join_next().await {
        *counts.entry(status.unwrap().as_u16()).or_default() += 1;
    }
    counts
}

async fn status(client: Client, method: &'static str, target: String, body: Bytes) -> StatusCode {
    let headers = [("content-type", IMAGE_MANIFEST)];
    let headers = if target.contains("/manifests/") { &headers[..] } else { &[] };
    let answer = client.send(method, &target, headers, body).await.unwrap();
    answer.status()
}

async fn the_same_first_push_from_many_clients_succeeds_for_each(engine: EngineKind) {
    let program = Program::start(engine);
    let layer = Dice::new(3).bytes(600_000);
    let mut pushes = JoinSet::new();
    for _ in 0..16 {
        let (client, image) = (program.administrator(), program.image("races/first"));
        let layer = layer.clone();
        pushes.spawn(async move { client.push_image(&image, "1", &layer).await });
    }
    while let Some(pushed) = pushes.join_next().await {
        pushed.unwrap().expect("every push succeeds");
    }
    let repositories = program.admin(&["repository", "list"]);
    assert_eq!(repositories.as_array().unwrap().len(), 1, "{repositories}");
    let image = program.image("races/first");
    assert!(blob_matches(&program.administrator(), &image, &layer).await.unwrap());
}

async fn a_session_is_closed_once(engine: EngineKind) {
    let program = Program::start(engine);
    let client = program.administrator();
    let image = program.image("races/close");
    for round in 0..8 {
        let blob = Dice::new(round).bytes(50_000);
        let location = client.start_upload(&image).await.unwrap();
        let appended = client.send("PATCH", &location, &[], blob.clone()).await;
        expect(appended.unwrap(), StatusCode::ACCEPTED).unwrap();
        let closing = format!("{location}?digest={}", digest(&blob));
        let closings = (0..6).map(|_| status(client.clone(), "PUT", closing.clone(), Bytes::new()));
        let answers = all(closings.collect()).await;
        assert_eq!(answers, HashMap::from([(201, 1), (404, 5)]));
        assert!(blob_matches(&client, &image, &blob).await.unwrap());
    }
}

async fn chunks_for_the_same_place_are_taken_once(engine: EngineKind) {
    let program = Program::start(engine);
    let client = program.administrator();
    let image = program.image("races/chunks");
    let blob = Dice::new(11).bytes(80_000);
    let location = client.start_upload(&image).await.unwrap();
    let mut chunks = JoinSet::new();
    for _ in 0..6 {
        let (client, location, blob) = (client.clone(), location.clone(), blob.clone());
        chunks.spawn(async move {
            let headers = [("content-range", "0-79999")];
            let answer = client.send("PATCH", &location, &headers, blob).await;
            answer.unwrap().status()
        });
    }
    let mut answers: Vec<u16> = chunks.join_all().await.iter().map(StatusCode::as_u16).collect();
    answers.sort_unstable();
    assert_eq!(answers, [202, 416, 416, 416, 416, 416]);
    let closing = format!("{location}?digest={}", digest(&blob));
    let closed = client.send("PUT", &closing, &[], "").await.unwrap();
    expect(closed, StatusCode::CREATED).unwrap();
}

/// Manifests are put while what they need is deleted: whoever comes second is told so, and what can be
/// pulled afterwards is whole.
async fn a_put_and_a_delete_never_leave_an_image_with_a_hole(engine: EngineKind) {
    let program = Program::start(engine);
    let client = program.administrator();
    let image = program.image("races/holes");
    let config = Bytes::from_static(b"{}");
    client.push_blob(&image, &config).await.unwrap();
    let mut dice = Dice::new(5);
    for round in 0..12 {
        let layer = dice.bytes(2_000);
        client.push_blob(&image, &layer).await.unwrap();
        let manifest = image_manifest(&config, &[&layer]);
        let by_tag = |tag: &str| format!("/v2/{image}/manifests/{tag}-{round}");
        let blob = format!("/v2/{image}/blobs/{}", digest(&layer));
        let by_digest = format!("/v2/{image}/manifests/{}", digest(&manifest));
        let mut requests = Vec::new();
        for tag in ["a", "b", "c"] {
            let put = status(client.clone(), "PUT", by_tag(tag), manifest.clone());
            requests.push(put);
        }
        requests.push(status(client.clone(), "DELETE", blob.clone(), Bytes::new()));
        requests.push(status(client.clone(), "DELETE", by_digest, Bytes::new()));
        requests.push(status(client.clone(), "DELETE", blob.clone(), Bytes::new()));
        let answers = all(requests).await;
        let allowed = [201, 202, 400, 404, 405];
        assert!(answers.keys().all(|status| allowed.contains(status)), "round {round}: {answers:?}");
        for tag in ["a", "b", "c"] {
            let pulled = client.get(&by_tag(tag)).await.unwrap();
            if pulled.status() == StatusCode::OK {
                let there = blob_matches(&client, &image, &layer).await.unwrap();
                assert!(there, "round {round}: {tag} is there, its layer is not");
            }
        }
    }
    let errors = program.log();
    let errors = errors.lines().find(|line| line.contains(r#""level":"ERROR""#));
    assert_eq!(errors, None);
}

async fn one_tag_put_by_many_is_one_of_theirs(engine: EngineKind) {
    let program = Program::start(engine);
    let client = program.administrator();
    let image = program.image("races/tag");
    let layers: Vec<Bytes> = (0..8).map(|seed| Dice::new(seed).bytes(100)).collect();
    let config = Bytes::from_static(b"{}");
    client.push_blob(&image, &config).await.unwrap();
    for layer in &layers {
        client.push_blob(&image, layer).await.unwrap();
    }
    let manifests: Vec<Bytes> = layers.iter().map(|layer| image_manifest(&config, &[layer])).collect();
    let target = format!("/v2/{image}/manifests/moving");
    let puts =
        manifests.iter().map(|manifest| status(client.clone(), "PUT", target.clone(), manifest.clone()));
    assert_eq!(all(puts.collect()).await, HashMap::from([(201, 8)]));
    let pulled = client.get(&target).await.unwrap();
    assert!(manifests.contains(pulled.body()));
    let tags = client.get(&format!("/v2/{image}/tags/list")).await.unwrap();
    let tags: Value = serde_json::from_slice(tags.body()).unwrap();
    assert_eq!(tags["tags"], serde_json::json!(["moving"]));
}

async fn the_same_user_made_by_many_is_made_once(engine: EngineKind) {
    let program = Program::start(engine);
    let outcomes = std::thread::scope(|scope| {
        let creations: Vec<_> =
            (0..6).map(|_| scope.spawn(|| program.admin_output(&["user", "create", "alice"]))).collect();
        let outcomes: Vec<_> = creations.into_iter().map(|creation| creation.join().unwrap()).collect();
        outcomes
    });
    let made = outcomes.iter().filter(|output| output.status.success());
    assert_eq!(made.count(), 1, "{outcomes:?}");
    for output in outcomes.iter().filter(|output| !output.status.success()) {
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains("already exists"), "{said}");
    }
}

wharfinger_e2e::on_each_engine! {
    the_same_first_push_from_many_clients_succeeds_for_each
    a_session_is_closed_once
    chunks_for_the_same_place_are_taken_once
    a_put_and_a_delete_never_leave_an_image_with_a_hole
    one_tag_put_by_many_is_one_of_theirs
    the_same_user_made_by_many_is_made_once
}
