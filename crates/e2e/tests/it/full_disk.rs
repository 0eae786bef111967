//! A disk that is full refuses pushes, and takes them again when there is room.

use std::path::{Path, PathBuf};
use std::process::Command;

use bytes::Bytes;
use http::StatusCode;
use wharfinger_e2e::upload::blob_matches;
use wharfinger_testkit::http::{Client, Dice, IMAGE_MANIFEST, digest, expect, image_manifest};
use wharfinger_testkit::program::{EngineKind, Program};

/// A small file system, for as long as the value lives.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(path: &Path) -> Self {
        let mut command = Command::new("mount");
        command.args(["-t", "tmpfs", "-o", "size=4m", "wharfinger-test"]);
        let mounted = command.arg(path).status();
        assert!(
            mounted.is_ok_and(|status| status.success()),
            "cannot mount a tmpfs on {}: run the tests as root",
            path.display()
        );
        Self(path.to_owned())
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: the server still has its files open.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// A server that has all it keeps on a disk of 4 MiB, of which a file takes as much as is given.
fn server_on_a_small_disk(filler: usize) -> (Program, SmallDisk) {
    let mut program = Program::start(EngineKind::Sqlite);
    program.stop();
    let (data, aside) = (program.data_dir(), program.data_dir().with_extension("aside"));
    let copy = |from: &Path, to: &Path| {
        let copied = Command::new("cp").arg("-a").arg(from.join(".")).arg(to).status();
        assert!(copied.is_ok_and(|status| status.success()), "{} is copied", from.display());
    };
    std::fs::create_dir(&aside).unwrap();
    copy(&data, &aside);
    let disk = SmallDisk::mount(&data);
    copy(&aside, &data);
    std::fs::write(data.join("filler"), vec![0; filler]).unwrap();
    program.restart();
    (program, disk)
}

/// Manifests are in the database: its log and file grow until there is no room.
#[tokio::test(flavor = "multi_thread")]
async fn a_disk_full_of_metadata_refuses_and_goes_on_when_there_is_room() {
    let (program, _disk) = server_on_a_small_disk(1_500_000);
    let (client, image) = (program.administrator(), program.image("full/app"));
    let config = Bytes::from_static(b"{}");
    client.push_blob(&image, &config).await.unwrap();
    let put = async |tag: usize| {
        let manifest = image_manifest(&config, &[]);
        let padded = Bytes::from([&manifest[..], &vec![b' '; 60_000 + tag]].concat());
        let target = format!("/v2/{image}/manifests/t{tag}");
        client.send("PUT", &target, &[("content-type", IMAGE_MANIFEST)], padded).await.unwrap().status()
    };
    let mut kept = Vec::new();
    let refused = loop {
        match put(kept.len()).await {
            StatusCode::CREATED => kept.push(kept.len()),
            status => break status,
        }
        assert!(kept.len() < 100, "the disk is never full");
    };
    assert_eq!(refused, StatusCode::SERVICE_UNAVAILABLE);
    std::fs::remove_file(program.data_dir().join("filler")).unwrap();
    assert_eq!(put(kept.len()).await, StatusCode::CREATED, "without a restart");
    for tag in 0..=kept.len() {
        let answer = client.get(&format!("/v2/{image}/manifests/t{tag}")).await.unwrap();
        expect(answer, StatusCode::OK).unwrap();
    }
}

/// A server whose objects, but not its metadata, are on a disk of 4 MiB.
/// The disk goes first: a directory that is mounted on cannot be removed.
fn server() -> (Program, SmallDisk) {
    let mut program = Program::start(EngineKind::Sqlite);
    program.stop();
    let disk = SmallDisk::mount(&program.data_dir().join("objects"));
    program.restart();
    (program, disk)
}

async fn push(client: &Client, image: &str, blob: &Bytes) -> StatusCode {
    let target = format!("/v2/{image}/blobs/uploads/?digest={}", digest(blob));
    let answer = client.send("POST", &target, &[], blob.clone()).await;
    answer.unwrap().status()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_single_request_that_fills_the_disk_gives_its_room_back() {
    let (program, _disk) = server();
    let client = program.administrator();
    let image = program.image("full/app");
    let (large, small) = (Dice::new(1).bytes(6 << 20), Dice::new(2).bytes(100_000));
    assert_eq!(push(&client, &image, &small).await, StatusCode::CREATED);
    assert_eq!(push(&client, &image, &large).await, StatusCode::SERVICE_UNAVAILABLE);
    let other = Dice::new(3).bytes(100_000);
    assert_eq!(push(&client, &image, &other).await, StatusCode::CREATED);
    for blob in [&small, &other] {
        assert!(blob_matches(&client, &image, blob).await.unwrap());
    }
    assert!(!blob_matches(&client, &image, &large).await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_fills_the_disk_gives_its_room_back_when_it_is_cancelled() {
    let (program, _disk) = server();
    let client = program.administrator();
    let image = program.image("full/app");
    let large = Dice::new(1).bytes(6 << 20);
    let location = client.start_upload(&image).await.unwrap();
    let refused = client.send("PATCH", &location, &[], large).await.unwrap();
    expect(refused, StatusCode::SERVICE_UNAVAILABLE).unwrap();
    let cancelled = client.delete(&location).await.unwrap();
    expect(cancelled, StatusCode::NO_CONTENT).unwrap();
    let other = Dice::new(3).bytes(100_000);
    assert_eq!(push(&client, &image, &other).await, StatusCode::CREATED);
}
