//! Power cuts: at every moment of every write, everything that a disk may keep or lose.
//!
//! Metadata is real SQLite. What COMMIT promised is there; a commit under way, and those after the
//! last durable one, are there or not.

mod drive;
mod verdict;

use std::io;

use wharfinger_blobstore::simulated::{Call, SimulatedDisk};
use wharfinger_types::ErrorKind;

use crate::images::manifest_of;
use drive::{Drive, Faults, formatted};
use verdict::power_cuts;

async fn start() -> Drive {
    Drive::start(formatted(), Faults::None).await
}

async fn verify(drive: Drive) {
    let tally = power_cuts(&drive, 0).await;
    assert!(tally.states > 10, "{tally:?}");
}

fn noise(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at * 31 % 251) as u8 + 1).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_in_one_request() {
    let drive = start().await;
    drive.push_blob(&drive.image("app"), &noise(3000)).await;
    // The same bytes once more: the second object goes.
    drive.push_blob(&drive.image("other"), &noise(3000)).await;
    verify(drive).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_in_chunks() {
    let drive = start().await;
    let bytes = noise(900);
    drive.push_chunks(&drive.image("app"), &[&bytes[..400], &bytes[400..600], &bytes[600..]]).await;
    verify(drive).await;
}

/// The first process dies before the name of its object is durable; the machine goes on.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_another_process_goes_on_with() {
    let mut drive = start().await;
    let (image, bytes) = (drive.image("app"), noise(900));
    let uuid = drive.start_session(&image, &bytes).await.unwrap();
    drive.disk.skip_directory_sync();
    drive.append(&image, &uuid, &bytes[..500]).await.unwrap();
    drive.restart().await;
    drive.close_session(&image, &uuid, &bytes, &bytes[500..]).await;
    verify(drive).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mount_and_the_deletion_of_its_source() {
    let drive = start().await;
    let (source, target, bytes) = (drive.image("source"), drive.image("target"), noise(300));
    let digest = drive.push_blob(&source, &bytes).await;
    drive.mount(&target, &digest, &source, &bytes).await;
    drive.delete_blob(&source, &digest).await;
    verify(drive).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn images_that_are_put_moved_and_deleted() {
    let drive = start().await;
    let image = drive.image("app");
    let (config, one, two) = (b"{}".to_vec(), noise(700), noise(800));
    for blob in [&config, &one, &two] {
        drive.push_blob(&image, blob).await;
    }
    let first = drive.put(&image, "latest", &manifest_of(&config, &[&one])).await;
    drive.put(&image, "latest", &manifest_of(&config, &[&two])).await;
    drive.delete_manifest(&image, &first, "latest-1").await;
    drive.put(&image, "latest-1", &manifest_of(&config, &[&one])).await;
    verify(drive).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_is_deleted_and_restored() {
    let drive = start().await;
    let (image, config, layer) = (drive.image("app"), b"{}".to_vec(), noise(700));
    drive.push_blob(&image, &config).await;
    drive.push_blob(&image, &layer).await;
    let manifest = manifest_of(&config, &[&layer]);
    let digest = drive.put(&image, "latest", &manifest).await;
    drive.delete_manifest(&image, &digest, "latest").await;
    drive.restore(&image, &digest, "latest", &manifest).await;
    verify(drive).await;
}

/// What images share stays, and what a push brings while it runs.
#[tokio::test(flavor = "multi_thread")]
async fn a_collection_between_pushes() {
    let drive = start().await;
    let (image, config, shared, own) = (drive.image("app"), b"{}".to_vec(), noise(300), noise(400));
    for blob in [&config, &shared, &own] {
        drive.push_blob(&image, blob).await;
    }
    let kept = manifest_of(&config, &[&shared]);
    drive.put(&image, "kept", &kept).await;
    let gone = drive.put(&image, "gone", &manifest_of(&config, &[&shared, &own])).await;
    drive.delete_manifest(&image, &gone, "gone").await;
    drive.forget(&image, &own);
    let collected = drive.collect(3 * 24 * 3_600).await;
    assert_eq!((collected.manifests, collected.objects), (1, 1), "{collected:?}");
    drive.push_blob(&image, &own).await;
    drive.put(&image, "gone", &manifest_of(&config, &[&shared, &own])).await;
    verify(drive).await;
}

/// From the making of the directories on. What is cut before the first push has nothing to lose.
#[tokio::test(flavor = "multi_thread")]
async fn the_first_start_and_a_push() {
    let disk = SimulatedDisk::new();
    let drive = Drive::start(disk, Faults::None).await;
    let founded = drive.disk.moments();
    drive.push_blob(&drive.image("app"), &noise(100)).await;
    let tally = power_cuts(&drive, founded).await;
    assert!(tally.states >= 10, "{tally:?}");
}

async fn push_an_image(drive: &Drive) {
    let (image, config, layer) = (drive.image("app"), b"{}".to_vec(), noise(90));
    drive.push_blob(&image, &config).await;
    drive.push_chunks(&image, &[&layer[..40], &layer[40..]]).await;
    drive.push_blob(&drive.image("other"), &layer).await;
    drive.put(&image, "latest", &manifest_of(&config, &[&layer])).await;
}

/// Lets each call fail once and gives what became of it. The client tries again.
async fn with_a_fault_at_every_call(error: io::ErrorKind, answer: ErrorKind) -> Vec<(Call, Drive)> {
    let drive = start().await;
    let first = drive.disk.calls().len();
    push_an_image(&drive).await;
    let calls = drive.disk.calls();
    assert!(calls.len() > first + 10, "{calls:?}");
    let mut driven = Vec::new();
    for (call, name) in calls.into_iter().enumerate().skip(first) {
        let drive = Drive::start(formatted(), Faults::Some(answer)).await;
        drive.disk.fail(call, error);
        push_an_image(&drive).await;
        driven.push((name, drive));
    }
    driven
}

/// The failed call is not made again as if it had worked: a power cut at any moment after loses nothing.
#[tokio::test(flavor = "multi_thread")]
async fn an_error_of_the_disk_at_every_call() {
    for (call, drive) in with_a_fault_at_every_call(io::ErrorKind::Other, ErrorKind::Internal).await {
        let tally = power_cuts(&drive, 0).await;
        assert!(tally.states > 10, "{call:?}: {tally:?}");
    }
}

/// Everything goes on when there is room again.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_at_every_call() {
    for (_, drive) in with_a_fault_at_every_call(io::ErrorKind::StorageFull, ErrorKind::Unavailable).await {
        power_cuts(&drive, drive.disk.moments()).await;
    }
}
