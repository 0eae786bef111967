//! Whenever the real server says 201, object, directory and database were made durable before.

use std::fs;

use bytes::Bytes;
use http::StatusCode;
use wharfinger_e2e::syscalls::{Answers, check, fault, tracer};
use wharfinger_testkit::TempDir;
use wharfinger_testkit::http::{Dice, IMAGE_MANIFEST, digest, expect, image_manifest};
use wharfinger_testkit::program::{EngineKind, Program};

async fn traced(engine: EngineKind) -> Answers {
    let directory = TempDir::new();
    let log = directory.path().join("calls");
    let mut program = Program::start_under(engine, &[], &tracer(&log));
    let (client, image) = (program.administrator(), program.image("traced/app"));
    let mut dice = Dice::new(5);
    let (config, layer) = (Bytes::from_static(b"{}"), dice.bytes(2_500_000));
    // In one request, in a session of three, in a session that another process goes on with, mounted.
    let target = format!("/v2/{image}/blobs/uploads/?digest={}", digest(&config));
    let pushed = client.send("POST", &target, &[], config.clone()).await.unwrap();
    expect(pushed, StatusCode::CREATED).unwrap();
    client.push_blob(&image, &layer).await.unwrap();
    let other = dice.bytes(100_000);
    let location = client.start_upload(&image).await.unwrap();
    let chunk = client.send("PATCH", &location, &[], other.slice(..50_000)).await.unwrap();
    expect(chunk, StatusCode::ACCEPTED).unwrap();
    program.stop();
    program.restart();
    let client = program.administrator();
    let closing = format!("{location}?digest={}", digest(&other));
    let closed = client.send("PUT", &closing, &[], other.slice(50_000..)).await.unwrap();
    expect(closed, StatusCode::CREATED).unwrap();
    let mount =
        format!("/v2/{}/blobs/uploads/?mount={}&from={image}", program.image("traced/two"), digest(&layer));
    expect(client.send("POST", &mount, &[], "").await.unwrap(), StatusCode::CREATED).unwrap();
    for tag in ["v1", "v2"] {
        let manifest = image_manifest(&config, &[&layer, &other]);
        client.put_manifest(&image, tag, IMAGE_MANIFEST, &manifest).await.unwrap();
    }
    let data = program.data_dir();
    program.stop();
    let calls = fs::read_to_string(&log).unwrap();
    check(&calls, &data).unwrap_or_else(|error| panic!("{error:#}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_201_comes_after_the_syncs_sqlite() {
    let answers = traced(EngineKind::Sqlite).await;
    assert_eq!((answers.created, answers.object_syncs), (6, 3), "{answers:?}");
    assert!(answers.directory_syncs >= 3 && answers.log_syncs >= 6, "{answers:?}");
}

/// As far as the server's own process shows it: PostgreSQL has answered the commit.
#[tokio::test(flavor = "multi_thread")]
async fn every_201_comes_after_the_syncs_postgres() {
    let answers = traced(EngineKind::Postgres).await;
    assert_eq!((answers.created, answers.object_syncs), (6, 3), "{answers:?}");
    assert!(answers.directory_syncs >= 3 && answers.commits >= 6, "{answers:?}");
}

/// The kernel takes for written what a failed sync could not write: the log is written anew before the next 201.
#[tokio::test(flavor = "multi_thread")]
async fn a_sync_of_the_log_that_failed_is_not_believed_the_next_time() {
    let directory = TempDir::new();
    let log = directory.path().join("calls");
    let mut program = Program::start(EngineKind::Sqlite);
    let (image, config) = (program.image("traced/app"), Bytes::from_static(b"{}"));
    program.administrator().push_blob(&image, &config).await.unwrap();
    program.stop();
    let faulty = fault(tracer(&log), "fsync,fdatasync", "error=EIO", "6");
    assert!(program.restart_under(&faulty), "the fault comes after the start");
    let client = program.administrator();
    let mut failed = 0;
    for tag in 0..10 {
        let target = format!("/v2/{image}/manifests/{tag}");
        let manifest = image_manifest(&config, &[]);
        let put = client.send("PUT", &target, &[("content-type", IMAGE_MANIFEST)], manifest).await.unwrap();
        failed += usize::from(put.status().is_server_error());
    }
    let data = program.data_dir();
    program.stop();
    let calls = fs::read_to_string(&log).unwrap();
    let answers = check(&calls, &data).unwrap_or_else(|error| panic!("{error:#}"));
    assert_eq!((failed, answers.created), (1, 9), "{answers:?}");
}
