//! Garbage collection and undelete, with real clients against the real program.

use std::fs;
use std::path::Path;
use std::process::Command;

use bytes::Bytes;
use http::StatusCode;
use serde_json::Value;
use wharfinger_e2e::wait_until;
use wharfinger_testkit::TempDir;
use wharfinger_testkit::http::{Client, digest, expect, text};
use wharfinger_testkit::program::{EngineKind, Program, binary};

use crate::answers::send;
use crate::docker::Docker;
use crate::team::{Person, digest_in};

const LAYER: Bytes = Bytes::from_static(b"what is deleted and comes back");
/// Everything that nobody needs goes at once.
const AT_ONCE: [(&str, &str); 4] = [
    ("WHARFINGER__REGISTRY__UNDELETE_WINDOW", "0"),
    ("WHARFINGER__REGISTRY__UNLINKED_BLOB_AGE", "0"),
    ("WHARFINGER__REGISTRY__UPLOAD_MAX_AGE", "0"),
    ("WHARFINGER__GC__READER_GRACE", "0"),
];
/// Only commands collect.
const BY_COMMAND: (&str, &str) = ("WHARFINGER__GC__INTERVAL", "0");

/// How many objects are on disk.
fn objects(program: &Program) -> usize {
    let shards = fs::read_dir(program.data_dir().join("objects")).unwrap();
    shards.map(|shard| fs::read_dir(shard.unwrap().path()).unwrap().count()).sum()
}

fn counts(collected: &Value) -> [u64; 4] {
    ["manifests", "links", "blobs", "objects"].map(|name| collected[name].as_u64().unwrap())
}

async fn delete_image(program: &Program, repository: &str, digest: &str) {
    let target = format!("/v2/{}/manifests/{digest}", program.image(repository));
    expect(program.administrator().delete(&target).await.unwrap(), StatusCode::ACCEPTED).unwrap();
}

pub(crate) fn skopeo(home: &Path, arguments: &[&str]) -> String {
    let output = Command::new("timeout")
        .args(["60", "skopeo"])
        .args(arguments)
        .env("HOME", home)
        .env("REGISTRY_AUTH_FILE", home.join("config.json"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success(), "skopeo {arguments:?}: {said}");
    said
}

#[tokio::test(flavor = "multi_thread")]
async fn images_of_docker_and_skopeo_come_back_or_leave_nothing() {
    let scratch = TempDir::new();
    let docker = Docker::find_or_start(scratch.path());
    let mut program = Program::start_with(EngineKind::Sqlite, &[BY_COMMAND]);
    let person = Person::new(&docker, &scratch, "administrator");
    let log_in = |program: &Program| {
        person.log_in(program, &program.bootstrap.username, &program.bootstrap.auth_token);
    };
    log_in(&program);
    let name = |program: &Program, image: &str| format!("{}/{}", program.address(), program.image(image));
    let pulls = |image: &str, digest: &str| {
        let pulled = person.must(&["pull", image], "");
        person.must(&["rmi", image], "");
        assert_eq!(digest_in(&pulled), digest, "{image}");
    };

    let (app, copy) = (name(&program, "app:1"), name(&program, "copy:1"));
    let context = scratch.path().join("image");
    fs::create_dir(&context).unwrap();
    fs::write(context.join("page"), format!("made for {}", program.address())).unwrap();
    fs::write(context.join("Dockerfile"), "FROM scratch\nCOPY page /page\nCMD [\"/page\"]\n").unwrap();
    person.must(&["build", "-t", &app, context.to_str().unwrap()], "");
    let digest = digest_in(&person.must(&["push", &app], "")).to_owned();
    person.must(&["rmi", &app], "");
    let tls = ["--src-tls-verify=false", "--dest-tls-verify=false"];
    let copied = [format!("docker://{app}"), format!("docker://{copy}")];
    skopeo(&person.home, &["copy", "--preserve-digests", tls[0], tls[1], &copied[0], &copied[1]]);
    assert_eq!(objects(&program), 2, "both repositories share the blobs");

    // Deleted, and back within the window: collecting changes nothing.
    skopeo(&person.home, &["delete", "--tls-verify=false", &copied[0]]);
    let (is_pulled, said) = person.run(&["pull", &app], "");
    assert!(!is_pulled && said.contains("manifest unknown"), "{said}");
    assert_eq!(counts(&program.admin(&["gc"])), [0; 4]);
    let deleted = program.admin(&["image", "list", "app", "--deleted"]);
    assert_eq!(
        (deleted[0]["digest"].as_str(), deleted[0]["lifecycleState"].as_str()),
        (Some(&*digest), Some("DELETED"))
    );
    assert!(deleted[0]["timeDeleted"].is_string() && deleted[0]["sizeInBytes"].as_i64().unwrap() > 0);
    let restored = program.admin(&["image", "restore", &format!("app@{digest}"), "--version", "1"]);
    assert_eq!(restored["versions"], serde_json::json!(["1"]));
    pulls(&app, &digest);

    // The repository too, under another name.
    program.admin(&["repository", "delete", "app"]);
    assert_eq!(counts(&program.admin(&["gc"])), [0; 4]);
    program.admin(&["repository", "restore", "app", "--as", "team/app"]);
    pulls(&name(&program, "team/app:1"), &digest);

    // Beyond the window: the blobs stay, for the copy has them.
    skopeo(
        &person.home,
        &["delete", "--tls-verify=false", &format!("docker://{}", name(&program, "team/app:1"))],
    );
    program.stop();
    program.restart_with(&AT_ONCE);
    log_in(&program);
    let foretold = program.admin(&["gc", "--dry-run"]);
    assert_eq!((counts(&foretold), foretold["dry_run"].as_bool()), ([1, 2, 0, 0], Some(true)));
    assert_eq!(foretold["reasons"][0]["examples"], serde_json::json!([format!("team/app@{digest}")]));
    let collected = program.admin(&["gc"]);
    assert_eq!((counts(&collected), collected["bytes"].clone()), ([1, 2, 0, 0], foretold["bytes"].clone()));
    let copy = name(&program, "copy:1");
    pulls(&copy, &digest);
    assert_eq!(program.admin(&["image", "list", "team/app", "--deleted"]), serde_json::json!([]));
    let gone = program.admin_output(&["image", "restore", &format!("team/app@{digest}")]);
    assert_eq!(gone.status.code(), Some(1));

    // The last user goes, and with it the bytes.
    skopeo(&person.home, &["delete", "--tls-verify=false", &format!("docker://{copy}")]);
    assert_eq!(counts(&program.admin(&["gc"])), [1, 2, 2, 2]);
    assert_eq!(objects(&program), 0, "the disk is empty");
    // And all of it can be pushed again.
    person.must(&["build", "-t", &copy, context.to_str().unwrap()], "");
    let pushed = person.must(&["push", &copy], "");
    person.must(&["rmi", &copy], "");
    pulls(&copy, digest_in(&pushed));
}

/// A sealed image, and one that was deleted: all that commands say of it, on each engine.
async fn commands_restore_and_collect(engine: EngineKind) {
    let mut program = Program::start_with(engine, &[BY_COMMAND]);
    let client = program.administrator();
    let image = program.image("app");
    let manifest = client.push_image(&image, "1", &LAYER).await.unwrap();
    let digest = digest(&manifest);
    delete_image(&program, "app", &digest).await;
    let reference = format!("app@{digest}");
    program.admin(&["image", "restore", &reference]);
    let refused = program.admin_output(&["image", "restore", &reference]);
    assert_eq!(refused.status.code(), Some(1));
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("there is no deleted image"), "{said}");
    let wrong = program.admin_output(&["image", "restore", "app"]);
    assert_eq!(wrong.status.code(), Some(2));
    client.put_manifest(&image, "taken", wharfinger_testkit::http::IMAGE_MANIFEST, &manifest).await.unwrap();
    let listed = program.admin(&["image", "list", "app"]);
    assert_eq!(listed[0]["versions"], serde_json::json!(["taken"]));
    let other = client.push_image(&image, "other", &Bytes::from_static(b"other")).await.unwrap();
    delete_image(&program, "app", &digest).await;
    client.put_manifest(&image, "1", wharfinger_testkit::http::IMAGE_MANIFEST, &other).await.unwrap();
    let taken = program.admin_output(&["image", "restore", &reference, "--version", "1"]);
    assert_eq!(taken.status.code(), Some(1));
    let said = String::from_utf8_lossy(&taken.stderr).into_owned();
    assert!(said.contains("version `1` of repository `app`"), "{said}");
    program.admin(&["repository", "delete", "app"]);
    client.push_image(&image, "1", &LAYER).await.unwrap();
    let taken = program.admin_output(&["repository", "restore", "app"]);
    assert!(String::from_utf8_lossy(&taken.stderr).contains("already exists"), "{taken:?}");
    program.admin(&["repository", "delete", "app"]);

    // An upload that is under way when its time is over, and a blob of no manifest.
    let location = client.start_upload(&image).await.unwrap();
    client.push_blob(&image, &Bytes::from_static(b"of no manifest")).await.unwrap();
    let restored = program.admin(&["repository", "list"]);
    assert_eq!(restored.as_array().unwrap().len(), 1, "created anew by the push");
    program.stop();
    program.restart_with(&AT_ONCE);
    let collected = program.admin(&["gc"]);
    assert_eq!(collected["dry_run"], false);
    assert_eq!(counts(&collected)[..2], [3, 6], "{collected}");
    assert_eq!(objects(&program), 0);
    let client = program.administrator();
    let answer = client.send("PATCH", &location, &[], LAYER).await.unwrap();
    assert_eq!(answer.status(), StatusCode::NOT_FOUND, "{answer:?}");

    let metrics = send(&Client::new(program.management()), "GET", "/metrics").await;
    let metrics = String::from_utf8_lossy(metrics.body()).into_owned();
    for line in ["wharfinger_gc_runs_total 1", "wharfinger_gc_removed_total{kind=\"manifests\"} 3"] {
        assert!(metrics.contains(line), "{line}: {metrics}");
    }
}

/// Deleted content never comes back through what was remembered of it, and a HEAD keeps what it promises.
async fn a_collected_blob_is_gone_for_all_and_one_asked_for_is_not(engine: EngineKind) {
    let environment =
        [AT_ONCE[0], ("WHARFINGER__REGISTRY__UNLINKED_BLOB_AGE", "1h"), AT_ONCE[2], AT_ONCE[3], BY_COMMAND];
    let mut program = Program::start_with(engine, &environment);
    let client = program.administrator();
    let image = program.image("app");
    let manifest = client.push_image(&image, "1", &LAYER).await.unwrap();
    let layer = digest(&LAYER);
    delete_image(&program, "app", &digest(&manifest)).await;
    assert_eq!(counts(&program.admin(&["gc"])), [1, 0, 0, 0], "the blobs were pushed within the hour");
    let head = client.head(&format!("/v2/{image}/blobs/{layer}")).await.unwrap();
    assert_eq!(head.status(), StatusCode::OK);
    client.put_manifest(&image, "1", wharfinger_testkit::http::IMAGE_MANIFEST, &manifest).await.unwrap();
    let pulled = send(&client, "GET", &format!("/v2/{image}/manifests/1")).await;
    assert_eq!(text(pulled.headers(), "docker-content-digest"), digest(&manifest));
    delete_image(&program, "app", &digest(&manifest)).await;
    program.stop();
    program.restart_with(&AT_ONCE);
    let client = program.administrator();
    // What is in memory by now must not outlive the rows.
    for target in
        [format!("/v2/{image}/blobs/{layer}"), format!("/v2/{image}/manifests/{}", digest(&manifest))]
    {
        let _ = send(&client, "GET", &target).await;
    }
    program.admin(&["gc"]);
    for target in
        [format!("/v2/{image}/blobs/{layer}"), format!("/v2/{image}/manifests/{}", digest(&manifest))]
    {
        assert_eq!(send(&client, "GET", &target).await.status(), StatusCode::NOT_FOUND, "{target}");
    }
    assert_eq!(objects(&program), 0);
}

/// Without a command, by the schedule; and a stop does not wait for readers' grace.
async fn the_schedule_collects_and_a_stop_ends_it(engine: EngineKind) {
    let [window, age, upload, _] = AT_ONCE;
    let interval = ("WHARFINGER__GC__INTERVAL", "1s");
    let grace = ("WHARFINGER__GC__READER_GRACE", "1h");
    let mut program = Program::start_with(engine, &[window, age, upload, interval, grace]);
    let client = program.administrator();
    client.push_blob(&program.image("app"), &LAYER).await.unwrap();
    let target = format!("/v2/{}/blobs/{}", program.image("app"), digest(&LAYER));
    wait_until("the schedule takes the blob", async || {
        send(&client, "GET", &target).await.status() == StatusCode::NOT_FOUND
    })
    .await;
    assert_eq!(objects(&program), 1, "its bytes stay for the grace");
    // A command waits for the run, and says how far that is.
    let scratch = TempDir::new();
    let said = scratch.path().join("said");
    let mut command = Command::new(binary())
        .arg("--data-dir")
        .arg(program.data_dir())
        .args(["admin", "gc"])
        .stderr(fs::File::create(&said).unwrap())
        .spawn()
        .unwrap();
    wait_until("it says that the run waits for readers", async || {
        fs::read_to_string(&said)
            .unwrap()
            .contains("waiting for readers; so far 0 manifests, 1 links, 1 blobs")
    })
    .await;
    // The drain takes a minute at most; a run that did not hear of the stop would take it.
    let began = std::time::Instant::now();
    program.stop();
    assert!(began.elapsed().as_secs() < 30, "a run held up the stop");
    assert_eq!(command.wait().unwrap().code(), Some(1), "{}", fs::read_to_string(&said).unwrap());
    program.restart_with(&[("WHARFINGER__GC__READER_GRACE", "0")]);
    wait_until("the next run removes the object", async || objects(&program) == 0).await;
}

wharfinger_e2e::on_each_engine! {
    commands_restore_and_collect
    a_collected_blob_is_gone_for_all_and_one_asked_for_is_not
    the_schedule_collects_and_a_stop_ends_it
}
