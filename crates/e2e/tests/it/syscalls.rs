//! Whenever the real server says 201, object, directory and database were made durable before; and so it is with
//! backups.

use std::fs;
use std::process::Command;

use bytes::Bytes;
use http::StatusCode;
use wharfinger_e2e::syscalls::{Answers, check, check_backup, fault, tracer};
use wharfinger_testkit::TempDir;
use wharfinger_testkit::http::{Dice, IMAGE_MANIFEST, digest, expect, image_manifest};
use wharfinger_testkit::program::{EngineKind, Program, binary};

use crate::backup::new_database;

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

/// A first backup, one that brings it up to date, and a restore.
async fn backups_traced(engine: EngineKind) {
    let scratch = TempDir::new();
    let (backup, restored) = (scratch.path().join("backup"), scratch.path().join("data"));
    let log = scratch.path().join("calls");
    let mut program = Program::start_under(engine, &[], &tracer(&log));
    let (client, image) = (program.administrator(), program.image("traced/app"));
    for tag in ["v1", "v2"] {
        client.push_image(&image, tag, &Bytes::from(vec![b'x'; 400_000 + tag.len()])).await.unwrap();
        program.admin(&["backup", backup.to_str().unwrap()]);
    }
    program.stop();
    let calls = fs::read_to_string(&log).unwrap();
    let made = check_backup(&calls, &backup).unwrap_or_else(|error| panic!("backup: {error:#}"));
    let objects = made.iter().filter(|path| path.ancestors().nth(2) == Some(&backup.join("objects")));
    assert!(objects.count() >= 2 && made.contains(&backup.join("backup.json")), "the backups are seen");

    let log = scratch.path().join("restore-calls");
    let mut tracer = tracer(&log);
    // Then it ends after it has written all.
    tracer.retain(|word| word != "-D");
    let mut command = Command::new(&tracer[0]);
    command.args(&tracer[1..]).arg(binary()).arg("--data-dir").arg(&restored).arg("restore").arg(&backup);
    let output = command.env("WHARFINGER__DATABASE__URL", new_database(engine)).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let calls = fs::read_to_string(&log).unwrap();
    let made = check_backup(&calls, &restored).unwrap_or_else(|error| panic!("restore: {error:#}"));
    assert!(made.len() > 256 + 3, "the restore is seen");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_is_durable_before_it_counts_sqlite() {
    backups_traced(EngineKind::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_is_durable_before_it_counts_postgres() {
    backups_traced(EngineKind::Postgres).await;
}

/// Puts manifests while syncs fail, kills the server, and demands of its calls that no failed sync was believed and
/// of the next start that what was refused is not there. Gives how many were refused and how many syncs of the log
/// failed.
async fn failing_syncs(when: &str, enough: impl Fn(usize, usize) -> bool) -> (usize, usize) {
    let directory = TempDir::new();
    let log = directory.path().join("calls");
    let mut program = Program::start(EngineKind::Sqlite);
    let (image, config) = (program.image("traced/app"), Bytes::from_static(b"{}"));
    program.administrator().push_blob(&image, &config).await.unwrap();
    program.stop();
    let faulty = fault(tracer(&log), "fsync,fdatasync", "error=EIO", when);
    assert!(program.restart_under(&faulty), "the fault comes after the start");
    let client = program.administrator();
    let (mut created, mut refused) = (0, Vec::new());
    while !enough(created, refused.len()) {
        let target = format!("/v2/{image}/manifests/{}", created + refused.len());
        let manifest = image_manifest(&config, &[]);
        let put = client.send("PUT", &target, &[("content-type", IMAGE_MANIFEST)], manifest).await.unwrap();
        match put.status() {
            StatusCode::CREATED => created += 1,
            StatusCode::SERVICE_UNAVAILABLE => refused.push(target),
            _ => panic!("{put:?}"),
        }
    }
    program.kill();
    let calls = fs::read_to_string(&log).unwrap();
    let answers = check(&calls, &program.data_dir()).unwrap_or_else(|error| panic!("{error:#}"));
    assert_eq!(answers.created, created);
    program.restart();
    let client = program.administrator();
    for target in &refused {
        assert_eq!(client.get(target).await.unwrap().status(), StatusCode::NOT_FOUND, "{target}");
    }
    (refused.len(), answers.failed_log_syncs)
}

/// The kernel takes for written what a failed sync could not write: the log is written anew before the next 201.
#[tokio::test(flavor = "multi_thread")]
async fn a_sync_of_the_log_that_failed_is_not_believed_the_next_time() {
    // To mend the log takes one sync: every other commit fails.
    let (refused, failed) = failing_syncs("20+3", |created, refused| created + refused == 600).await;
    assert!(refused > 10 && failed > refused, "{failed} failed, {refused} of them at commits, no checkpoint");
}

/// Its transaction is whole at the end of the log, where the next start would find it.
#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_was_refused_does_not_come_back_with_the_next_start() {
    let answers = failing_syncs("20", |created, refused| created == 60 || refused == 1).await;
    assert_eq!(answers, (1, 1));
}
