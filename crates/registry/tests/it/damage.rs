//! Damaged objects and rows: what readers and pushers are told, and what the scrub finds and mends.

use std::fs;
use std::num::NonZeroU64;
use std::path::PathBuf;
use std::sync::Arc;

use futures_util::StreamExt;
use wharfinger_blobstore::FileStore;
use wharfinger_iam::Ctx;
use wharfinger_metastore::{EngineKind, Store, check, statements};
use wharfinger_registry::scrub::{Pace, ScrubReport, Scrubbed};
use wharfinger_registry::{Error, Registry, SparseManifests};
use wharfinger_testkit::services::{Installation, found};
use wharfinger_testkit::{TempDir, on_each_engine};
use wharfinger_types::{Digest, ImageName, Timestamp};

use crate::images::{manifest, push_blob, push_image, put, read_blob};

statements! {
    OBJECT = "SELECT object FROM blob WHERE digest = $1";
    DEAD_OBJECT = "SELECT object FROM dead_object WHERE object = $1";
}

/// Everything at once; a pass is always due.
const NOW: Timestamp = Timestamp(i64::MAX);

/// An installation whose objects are files, so that they can be damaged behind its back.
pub(crate) struct OnFiles {
    pub(crate) installation: Installation,
    pub(crate) ctx: Ctx,
    pub(crate) image: ImageName,
    pub(crate) directory: TempDir,
}

impl OnFiles {
    pub(crate) async fn found(store: Store) -> OnFiles {
        OnFiles::of(found(store).await).await
    }

    pub(crate) async fn of(mut installation: Installation) -> OnFiles {
        let directory = TempDir::new();
        let files = FileStore::open(&directory.path().join("objects")).await.unwrap();
        installation.registry = Registry::new(Arc::new(files), SparseManifests::Refused);
        let (ctx, image) = (installation.administrator().await, installation.image("app"));
        OnFiles { installation, ctx, image, directory }
    }

    pub(crate) async fn object(&self, digest: &Digest) -> PathBuf {
        let object: String =
            self.installation.store.opt(&OBJECT, &[&digest.as_str()]).await.unwrap().unwrap();
        self.directory.path().join("objects").join(&object[30..]).join(&object)
    }

    pub(crate) async fn flip(&self, digest: &Digest) {
        let path = self.object(digest).await;
        let mut bytes = fs::read(&path).unwrap();
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        fs::write(path, bytes).unwrap();
    }

    pub(crate) async fn push(&self, bytes: &[u8]) -> Digest {
        push_blob(&self.installation, &self.ctx, &self.image, bytes).await
    }

    pub(crate) async fn read(&self, digest: &Digest) -> Result<Vec<u8>, Error> {
        read_blob(&self.installation, &self.ctx, &self.image, digest).await
    }

    pub(crate) async fn scrub(&self) -> ScrubReport {
        let registry = &self.installation.registry;
        registry.scrub(&self.installation.local(), &mut Pace::new(None), |_| ()).await.unwrap()
    }

    pub(crate) async fn verify(&self) -> ScrubReport {
        self.installation.registry.verify(&self.installation.local(), |_| ()).await.unwrap()
    }

    pub(crate) async fn records(&self, operation: &str) -> usize {
        self.installation.audited_operations().await.iter().filter(|name| *name == operation).count()
    }
}

fn large() -> Vec<u8> {
    (0..1_000_003u32).map(|i| (i * 7 % 251) as u8).collect()
}

fn reasons(report: &ScrubReport) -> Vec<String> {
    report
        .faults
        .iter()
        .map(|fault| format!("{} {}", fault.digest.as_deref().unwrap_or("-"), fault.reason))
        .collect()
}

/// Runs every operation of damage: one blob is lost and found again, one manifest mended from a copy.
pub(crate) async fn run_everything(installation: &Installation) {
    let files = OnFiles::of(installation.clone()).await;
    let (manifest, blob) = push_image(&files.installation, &files.ctx, &files.image, "damaged", "v1").await;
    push_image(&files.installation, &files.ctx, &installation.image("copy"), "damaged", "v1").await;
    let object = files.object(&blob).await;
    let kept = fs::read(&object).unwrap();
    fs::remove_file(&object).unwrap();
    let first = format!("SELECT min(id) FROM manifest WHERE digest = '{manifest}'");
    let lose = format!("DELETE FROM manifest_body WHERE manifest_id = ({first})");
    check::execute(&installation.store, &lose).await.unwrap();
    files.scrub().await;
    fs::write(&object, kept).unwrap();
    let report = files.scrub().await;
    assert_eq!(report.released, 1, "{report:?}");
}

on_each_engine! {
    async fn a_flipped_bit_is_never_finished_as_good(store: Store) {
        let files = OnFiles::found(store).await;
        for (bytes, is_large) in [(b"small".to_vec(), false), (large(), true)] {
            let digest = files.push(&bytes).await;
            // Read before, so that it is remembered as verified.
            assert_eq!(files.read(&digest).await.unwrap(), bytes);
            files.flip(&digest).await;
            let reader = files.installation.registry.open_blob(&files.ctx, &files.image, &digest).await.unwrap();
            let read = reader.read(0..reader.size()).await;
            assert_eq!(read.is_ok(), is_large, "what one read holds is refused before its head");
            if let Ok(stream) = read {
                let parts: Vec<_> = stream.collect().await;
                let (last, parts) = parts.split_last().unwrap();
                assert!(matches!(last, Err(Error::Quarantined(of)) if *of == digest));
                let sent: usize = parts.iter().map(|part| part.as_ref().unwrap().len()).sum();
                assert!(sent < bytes.len(), "the last piece is held back");
            }
            assert!(matches!(files.read(&digest).await, Err(Error::Quarantined(_))));
        }
        assert_eq!(files.records("quarantine_blob").await, 2);
        assert_eq!(files.installation.registry.damaged_blobs(), 2);
    }

    async fn a_damaged_blob_is_absent_to_pushers_and_the_push_mends_it(store: Store) {
        let files = OnFiles::found(store).await;
        let (registry, ctx, image) = (&files.installation.registry, &files.ctx, &files.image);
        let layer = files.push(b"layer").await;
        let config = files.push(b"{}").await;
        let other = files.installation.image("other");
        fs::remove_file(files.object(&config).await).unwrap();
        assert!(!registry.mount_blob(ctx, &other, &config, Some(image)).await.unwrap(), "nobody has read it");
        let config = files.push(b"{}").await;
        fs::remove_file(files.object(&layer).await).unwrap();
        assert!(matches!(registry.stat_blob(ctx, image, &layer).await, Err(Error::Quarantined(_))), "nor this");
        assert!(matches!(files.read(&layer).await, Err(Error::Quarantined(_))));
        assert!(!registry.mount_blob(ctx, &other, &layer, Some(image)).await.unwrap());
        assert!(!registry.mount_blob(ctx, &other, &layer, None).await.unwrap());
        let refused = put(&files.installation, ctx, image, "v1", manifest(&config, &[&layer])).await;
        assert!(matches!(refused, Err(Error::ManifestBlobUnknown(_))));
        let damaged = files.object(&layer).await;
        // Through another repository: the blob is one.
        push_blob(&files.installation, ctx, &other, b"layer").await;
        assert_eq!(files.read(&layer).await.unwrap(), b"layer");
        assert_ne!(files.object(&layer).await, damaged);
        let damaged = damaged.file_name().unwrap().to_str().unwrap().to_owned();
        let dead: Option<String> = files.installation.store.opt(&DEAD_OBJECT, &[&damaged]).await.unwrap();
        assert_eq!(dead, Some(damaged), "the collector knows of what was replaced");
        put(&files.installation, ctx, image, "v1", manifest(&config, &[&layer])).await.unwrap();
        assert_eq!(reasons(&files.scrub().await), [""; 0]);
    }

    async fn a_damaged_blob_can_be_deleted(store: Store) {
        let files = OnFiles::found(store).await;
        let blob = files.push(b"layer").await;
        files.flip(&blob).await;
        assert!(matches!(files.read(&blob).await, Err(Error::Quarantined(_))));
        files.installation.registry.delete_blob(&files.ctx, &files.image, &blob).await.unwrap();
    }

    async fn a_scrub_finds_what_is_lost_cut_grown_or_flipped_and_takes_the_mark_from_what_is_whole(store: Store) {
        let files = OnFiles::found(store).await;
        let mut blobs = Vec::new();
        for name in ["lost", "cut", "grown", "flipped", "whole"] {
            blobs.push(files.push(format!("{name} {}", "x".repeat(1000)).as_bytes()).await);
        }
        let [lost, cut, grown, flipped, whole] = blobs.try_into().unwrap();
        let kept = fs::read(files.object(&lost).await).unwrap();
        fs::remove_file(files.object(&lost).await).unwrap();
        fs::write(files.object(&cut).await, b"cut").unwrap();
        fs::write(files.object(&grown).await, vec![0; 2000]).unwrap();
        files.flip(&flipped).await;

        let look = files.verify().await;
        assert_eq!((look.blobs, look.quarantined, look.faults.len()), (5, 0, 4), "{look:?}");
        assert_eq!(files.records("quarantine_blob").await, 0, "a verification changes nothing");
        assert!(files.installation.registry.stat_blob(&files.ctx, &files.image, &flipped).await.is_ok());

        let found = files.scrub().await;
        assert_eq!((found.blobs, found.quarantined, found.released), (5, 4, 0), "{found:?}");
        let after = ": kept from readers until it is pushed again";
        assert_eq!(reasons(&found), [
            format!("{lost} its object is not there{after}"),
            format!("{cut} its object has 3 bytes, not 1004{after}"),
            format!("{grown} its object has 2000 bytes, not 1006{after}"),
            format!("{flipped} the bytes of its object have another digest{after}"),
        ]);
        assert!(matches!(files.read(&flipped).await, Err(Error::Quarantined(_))));
        assert!(files.read(&whole).await.is_ok());
        assert_eq!(files.records("quarantine_blob").await, 4);

        // A disk that was away is back.
        fs::write(files.object(&lost).await, kept).unwrap();
        let again = files.scrub().await;
        assert_eq!((again.quarantined, again.released, again.faults.len()), (0, 1, 3), "{again:?}");
        assert!(files.read(&lost).await.is_ok());
        assert_eq!(files.records("release_blob").await, 1);
    }

    async fn a_scrub_goes_on_where_it_stopped_and_a_command_finishes_the_pass_of_the_background(store: Store) {
        let files = OnFiles::found(store).await;
        for number in 0..300 {
            files.push(format!("blob {number}").as_bytes()).await;
        }
        let local = files.installation.local();
        let registry = &files.installation.registry;
        let mut pace = Pace::new(NonZeroU64::new(1_000_000));
        let first = registry.scrub_page(&local, &mut pace, NOW).await.unwrap();
        assert!(matches!(&first, Some(Scrubbed::Page(report)) if report.blobs == 256), "{first:?}");
        // As after a restart: nothing in memory.
        let objects = FileStore::open(&files.directory.path().join("objects")).await.unwrap();
        let restarted = Registry::new(Arc::new(objects), SparseManifests::Refused);
        let mut pages = 0;
        let report = restarted.scrub(&local, &mut Pace::new(None), |_| pages += 1).await.unwrap();
        assert_eq!((report.blobs, report.faults.len()), (300, 0));
        assert_eq!(pages, 1, "the first page is not read again");
        let early = registry.scrub_page(&local, &mut pace, Timestamp(0)).await.unwrap();
        assert!(early.is_none(), "the next pass is not due: {early:?}");
    }

    async fn a_manifest_that_differs_from_its_rows_is_found_and_mended_where_there_is_a_copy(store: Store) {
        let files = OnFiles::found(store).await;
        let (installation, ctx) = (&files.installation, &files.ctx);
        let (single, _) = push_image(installation, ctx, &files.image, "alone", "v1").await;
        let (twice, _) = push_image(installation, ctx, &files.image, "twice", "v2").await;
        push_image(installation, ctx, &installation.image("copy"), "twice", "v2").await;
        let (unlinked, _) = push_image(installation, ctx, &files.image, "unlinked", "v3").await;
        assert_eq!(reasons(&files.verify().await), [""; 0]);

        let flip = |digest: &Digest| {
            let body = match installation.store.engine() {
                EngineKind::Sqlite => "CAST(replace(CAST(body AS TEXT), 'schemaVersion', 'schemaversion') AS BLOB)",
                EngineKind::Postgres => "convert_to(replace(convert_from(body, 'UTF8'), 'schemaVersion', 'schemaversion'), 'UTF8')",
            };
            format!("UPDATE manifest_body SET body = {body} WHERE manifest_id IN
                (SELECT m.id FROM manifest m JOIN repository r ON r.id = m.repository_id WHERE m.digest = '{digest}' AND r.name = 'app');")
        };
        let damage = [
            flip(&single),
            flip(&twice),
            format!("DELETE FROM manifest_blob WHERE manifest_id = (SELECT id FROM manifest WHERE digest = '{unlinked}')"),
        ];
        check::execute(&installation.store, &damage.join(" ")).await.unwrap();
        // Nothing in memory that could help.
        let objects = FileStore::open(&files.directory.path().join("objects")).await.unwrap();
        let registry = Registry::new(Arc::new(objects), SparseManifests::Refused);
        let refused = registry.get_manifest(ctx, &files.image, &"v1".parse().unwrap()).await;
        assert!(matches!(refused, Err(Error::Damaged(_))), "{refused:?}");

        let report = registry.scrub(&installation.local(), &mut Pace::new(None), |_| ()).await.unwrap();
        let found = reasons(&report);
        assert_eq!((found.len(), report.mended), (3, 1), "{found:?}");
        assert_eq!(found[0], format!("{single} its bytes have another digest"));
        assert_eq!(found[1], format!("{twice} its bytes have another digest: mended from a copy of the same digest"));
        assert!(found[2].starts_with(&format!("{unlinked} no row leads to sha256:")), "{found:?}");
        assert!(registry.get_manifest(ctx, &files.image, &"v2".parse().unwrap()).await.is_ok());
        assert_eq!(files.records("mend_manifest").await, 1);

        // A push mends the others.
        push_image(installation, ctx, &files.image, "alone", "v1").await;
        push_image(installation, ctx, &files.image, "unlinked", "v3").await;
        let report = registry.scrub(&installation.local(), &mut Pace::new(None), |_| ()).await.unwrap();
        assert_eq!(reasons(&report), [""; 0]);
    }

    async fn what_is_pushed_and_deleted_during_a_scrub_is_no_fault(store: Store) {
        let files = OnFiles::found(store).await;
        let (installation, ctx, image) = (&files.installation, &files.ctx, &files.image);
        for number in 0..10 {
            push_image(installation, ctx, image, &format!("before {number}"), &format!("v{number}")).await;
        }
        let traffic = async {
            for number in 0..10 {
                let tag = format!("v{number}");
                let (digest, _) = push_image(installation, ctx, image, &format!("during {number}"), &tag).await;
                installation.registry.delete_manifest(ctx, image, &digest).await.unwrap();
            }
        };
        let scrubbing = async {
            let mut faults = Vec::new();
            for _ in 0..5 {
                faults.extend(reasons(&files.scrub().await));
            }
            faults
        };
        let ((), faults) = tokio::join!(traffic, scrubbing);
        assert_eq!(faults, [""; 0]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_scrub_keeps_its_pace() {
    let test = wharfinger_testkit::engines::open(EngineKind::Sqlite).await;
    let files = OnFiles::found(test.store.clone()).await;
    files.push(&large()).await;
    let started = tokio::time::Instant::now();
    let mut pace = Pace::new(NonZeroU64::new(100_000));
    files.installation.registry.scrub(&files.installation.local(), &mut pace, |_| ()).await.unwrap();
    assert_eq!(started.elapsed().as_secs(), 10, "a million bytes at a hundred thousand a second");
}
