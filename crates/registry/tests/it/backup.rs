//! Backups: whole, incremental, safe against cuts and collection, and what comes back from them.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use wharfinger_blobstore::FileStore;
use wharfinger_iam::{Iam, Limits, tenancies};
use wharfinger_metastore::{EngineKind, Location, Store, check};
use wharfinger_registry::backup::{self, BackupReport, RestoreReport};
use wharfinger_registry::{Error, Registry, SparseManifests};
use wharfinger_testkit::services::{Installation, request};
use wharfinger_testkit::{TempDir, on_each_engine, postgres};
use wharfinger_types::{Digest, Reference};

use crate::damage::OnFiles;
use crate::images::{push_image, read_blob};

/// Runs every operation of backups.
pub(crate) async fn run_everything(installation: &Installation) {
    let files = OnFiles::of(installation.clone()).await;
    save(&files).await;
}

fn target(files: &OnFiles) -> PathBuf {
    files.directory.path().join("backup")
}

async fn save(files: &OnFiles) -> BackupReport {
    let local = files.installation.local();
    files.installation.registry.create_backup(&local, &target(files), |_| ()).await.unwrap()
}

async fn image(files: &OnFiles, content: &str, tag: &str) -> (Digest, Digest) {
    push_image(&files.installation, &files.ctx, &files.image, content, tag).await
}

fn empty(engine: EngineKind, directory: &Path) -> Location {
    match engine {
        EngineKind::Sqlite => Location::Sqlite(directory.join("restored.db")),
        EngineKind::Postgres => Location::Postgres(postgres::database()),
    }
}

async fn restore(
    from: &Path,
    engine: EngineKind,
    to: &TempDir,
    allow_damaged: bool,
) -> (Location, RestoreReport) {
    let location = empty(engine, to.path());
    let objects = to.path().join("objects");
    let report = backup::restore(from, &objects, &location, allow_damaged, |_| ()).await.unwrap();
    (location, report)
}

/// The installation over a restored database and its objects.
async fn reopen(files: &OnFiles, location: &Location, to: &TempDir) -> Installation {
    let store = Store::open(location).await.unwrap();
    let iam = Iam::new(store.clone(), 3600, Limits::default());
    let objects = FileStore::open(&to.path().join("objects")).await.unwrap();
    let registry = Registry::new(Arc::new(objects), SparseManifests::Refused);
    let tenancy = tenancies::first(&iam).await.unwrap();
    Installation { store, iam, registry, tenancy, ..files.installation.clone() }
}

fn files_below(path: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(path).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files_below(&path));
        } else {
            found.insert(path);
        }
    }
    found
}

on_each_engine! {
    async fn what_comes_back_is_what_there_was_on_either_engine(store: Store) {
        let files = OnFiles::found(store).await;
        let (digest, layer) = image(&files, "content", "v1").await;
        let secret = files.installation.add_user("alice").await;
        let saved = save(&files).await;
        assert_eq!((saved.objects, saved.copied, saved.removed, saved.faults.len()), (2, 2, 0, 0), "{saved:?}");
        assert_eq!((saved.rows["user_account"], saved.rows["manifest"]), (2, 1));
        assert!(!saved.rows.contains_key("upload"));
        let whole = backup::check(&target(&files), |_| ()).await.unwrap();
        assert_eq!((whole.objects, whole.bytes, whole.is_whole()), (2, saved.bytes, true));

        for engine in [EngineKind::Sqlite, EngineKind::Postgres] {
            let to = TempDir::new();
            let (location, report) = restore(&target(&files), engine, &to, false).await;
            assert_eq!((report.objects, &report.rows, report.is_whole()), (2, &saved.rows, true));
            let restored = reopen(&files, &location, &to).await;
            let admin = restored.administrator().await;
            let (info, _) = restored.registry.get_manifest(&admin, &files.image, &"v1".parse().unwrap()).await.unwrap();
            assert_eq!(info.digest, digest);
            assert_eq!(read_blob(&restored, &admin, &files.image, &layer).await.unwrap(), b"content");
            let alice = restored.iam.login(request(), "acme/alice", &secret).await.unwrap();
            let refused = restored.registry.get_manifest(&alice, &files.image, &"v1".parse().unwrap()).await;
            assert!(matches!(refused, Err(Error::Iam(_))), "{refused:?}");
            let verified = restored.registry.verify(&restored.local(), |_| ()).await.unwrap();
            assert_eq!((verified.blobs, verified.manifests, verified.faults), (2, 1, vec![]));
            // It goes on from there.
            push_image(&restored, &admin, &files.image, "more", "v2").await;
            restored.store.close().await;
        }
    }

    async fn a_second_backup_copies_what_is_new_and_removes_what_is_gone(store: Store) {
        let files = OnFiles::found(store).await;
        image(&files, "first", "v1").await;
        save(&files).await;
        let (digest, _) = image(&files, "second", "v2").await;
        let second = save(&files).await;
        assert_eq!((second.objects, second.copied, second.removed), (4, 2, 0), "{second:?}");
        let third = save(&files).await;
        assert_eq!((third.objects, third.copied, third.copied_bytes), (4, 0, 0), "{third:?}");

        files.installation.registry.delete_manifest(&files.ctx, &files.image, &digest).await.unwrap();
        let gone = "DELETE FROM manifest_body WHERE manifest_id IN (SELECT id FROM manifest WHERE hidden_at IS NOT NULL);
            DELETE FROM manifest_blob WHERE manifest_id IN (SELECT id FROM manifest WHERE hidden_at IS NOT NULL);
            DELETE FROM manifest WHERE hidden_at IS NOT NULL;
            DELETE FROM link WHERE blob_id NOT IN (SELECT blob_id FROM manifest_blob);
            DELETE FROM blob WHERE id NOT IN (SELECT blob_id FROM link);";
        check::execute(&files.installation.store, gone).await.unwrap();
        let fourth = save(&files).await;
        assert_eq!((fourth.objects, fourth.copied, fourth.removed), (2, 0, 2), "{fourth:?}");
        assert_eq!(files_below(&target(&files).join("objects")).len(), 2);
        let names = fs::read_dir(target(&files)).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
        let names: Vec<String> = names.filter(|name| name.starts_with("metadata-") || name == "unfinished").collect();
        assert_eq!(names.len(), 1, "{names:?}");
        assert!(backup::check(&target(&files), |_| ()).await.unwrap().is_whole());
    }

    async fn only_its_owner_may_read_a_backup_and_only_the_local_administrator_makes_one(store: Store) {
        let files = OnFiles::found(store).await;
        image(&files, "content", "v1").await;
        save(&files).await;
        for path in files_below(&target(&files)) {
            let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
            assert_eq!(mode, 0o600, "{}", path.display());
        }
        assert_eq!(fs::metadata(target(&files)).unwrap().permissions().mode() & 0o777, 0o700);
        let elsewhere = files.directory.path().join("elsewhere");
        let refused = files.installation.registry.create_backup(&files.ctx, &elsewhere, |_| ()).await;
        assert!(matches!(refused, Err(Error::Iam(_))), "{refused:?}");
        assert!(!elsewhere.exists());
        assert_eq!(files.records("create_backup").await, 1);
    }

    async fn a_directory_of_other_things_is_refused(store: Store) {
        let files = OnFiles::found(store).await;
        let local = files.installation.local();
        fs::create_dir(target(&files)).unwrap();
        fs::write(target(&files).join("lock"), "").unwrap();
        fs::write(target(&files).join("wharfinger.db"), "").unwrap();
        let refused = files.installation.registry.create_backup(&local, &target(&files), |_| ()).await.unwrap_err();
        assert!(refused.to_string().contains("holds files, but no backup"), "{refused}");
        let refused = backup::check(&target(&files), |_| ()).await.unwrap_err();
        assert!(refused.to_string().contains("no finished backup"), "{refused}");
    }

    /// Collection takes a blob after the metadata was copied and before its object was.
    async fn an_object_that_is_collected_meanwhile_makes_the_metadata_be_copied_again(store: Store) {
        let files = OnFiles::found(store).await;
        // More than a page, so that something is left when the first page has been copied.
        for number in 0..300 {
            files.push(format!("blob {number}").as_bytes()).await;
        }
        let last = Digest::sha256(b"blob 299");
        let object = files.object(&last).await;
        let local = files.installation.local();
        let store = files.installation.store.clone();
        let collect = format!("DELETE FROM link WHERE blob_id = (SELECT id FROM blob WHERE digest = '{last}');
            DELETE FROM blob WHERE digest = '{last}'");
        let (path, mut pages) = (target(&files), 0);
        let report = files.installation.registry.create_backup(&local, &path, |_| {
            pages += 1;
            if pages == 1 {
                let (store, collect) = (store.clone(), collect.clone());
                let deleted = async move { check::execute(&store, &collect).await.unwrap() };
                tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(deleted));
                fs::remove_file(&object).unwrap();
            }
        });
        let report = report.await.unwrap();
        assert_eq!((report.objects, report.copied, report.faults.len()), (299, 299, 0), "{report:?}");
        assert_eq!(files.records("quarantine_blob").await, 0);
        let to = TempDir::new();
        let (location, report) = restore(&target(&files), files.installation.store.engine(), &to, false).await;
        assert_eq!((report.objects, report.is_whole()), (299, true));
        let restored = reopen(&files, &location, &to).await;
        assert_eq!(restored.registry.verify(&restored.local(), |_| ()).await.unwrap().faults, []);
        restored.store.close().await;
    }

    /// A backup whose server is killed in the middle.
    async fn a_backup_that_is_cut_off_leaves_the_one_before_and_the_next_one_is_whole(store: Store) {
        let files = OnFiles::found(store).await;
        let (first, _) = image(&files, "first", "v1").await;
        save(&files).await;
        for number in 0..300 {
            files.push(format!("blob {number}").as_bytes()).await;
        }
        image(&files, "second", "v2").await;
        let (local, path) = (files.installation.local(), target(&files));
        let (cut, mut cutting) = tokio::sync::mpsc::unbounded_channel();
        let running = files.installation.registry.create_backup(&local, &path, move |_| { let _ = cut.send(()); std::thread::yield_now(); });
        tokio::select! {
            biased;
            _ = cutting.recv() => {}
            done = running => panic!("it ends before the first page: {done:?}"),
        }
        assert!(path.join("unfinished").exists());
        assert!(files_below(&path.join("objects")).len() > 2);
        // As a power cut would: one that has its size, and not its bytes.
        let blob = Digest::sha256(b"blob 0");
        let object = files.object(&blob).await;
        let copied = path.join("objects").join(object.strip_prefix(files.directory.path().join("objects")).unwrap());
        fs::write(&copied, b"\0\0\0\0\0\0").unwrap();

        let to = TempDir::new();
        let (location, report) = restore(&path, files.installation.store.engine(), &to, false).await;
        assert_eq!((report.objects, report.rows["manifest"]), (2, 1), "the one before");
        let restored = reopen(&files, &location, &to).await;
        let admin = restored.administrator().await;
        assert!(restored.registry.get_manifest(&admin, &files.image, &Reference::Digest(first)).await.is_ok());
        restored.store.close().await;

        let next = save(&files).await;
        assert_eq!((next.objects, next.faults.len()), (304, 0), "{next:?}");
        assert!(next.copied < 302, "what was copied is not copied again: {next:?}");
        assert!(backup::check(&path, |_| ()).await.unwrap().is_whole());
        assert!(!path.join("unfinished").exists());
    }

    async fn a_flipped_bit_of_a_backup_is_found_wherever_it_is(store: Store) {
        let files = OnFiles::found(store).await;
        let (_, layer) = image(&files, "content", "v1").await;
        save(&files).await;
        let path = target(&files);
        for file in files_below(&path) {
            let kept = fs::read(&file).unwrap();
            for place in [0, kept.len() / 2, kept.len().saturating_sub(1)] {
                if kept.is_empty() {
                    continue;
                }
                let mut flipped = kept.clone();
                flipped[place] ^= 4;
                fs::write(&file, flipped).unwrap();
                let checked = backup::check(&path, |_| ()).await;
                let is_found = checked.is_err() || checked.is_ok_and(|report| !report.is_whole());
                assert!(is_found, "{} at {place}", file.display());
            }
            fs::write(&file, kept).unwrap();
        }
        // And restored only if that is asked for.
        let object = files.object(&layer).await;
        let copied = path.join("objects").join(object.strip_prefix(files.directory.path().join("objects")).unwrap());
        fs::write(copied, b"contenT").unwrap();
        let (engine, to) = (files.installation.store.engine(), TempDir::new());
        let (location, refused) = restore(&path, engine, &to, false).await;
        assert_eq!((refused.faults.len(), refused.rows.len()), (1, 0), "{refused:?}");
        let report = backup::restore(&path, &to.path().join("objects"), &location, true, |_| ()).await.unwrap();
        assert!(report.rows["blob"] == 2 && !report.is_whole());
        let restored = reopen(&files, &location, &to).await;
        let admin = restored.administrator().await;
        let refused = read_blob(&restored, &admin, &files.image, &layer).await;
        assert!(matches!(refused, Err(Error::Quarantined(_))));
        restored.store.close().await;
    }

    async fn a_damaged_blob_is_reported_and_the_backup_is_whole_without_it(store: Store) {
        let files = OnFiles::found(store).await;
        let (_, kept) = image(&files, "kept", "v1").await;
        save(&files).await;
        let lost = files.push(b"lost before it was saved").await;
        files.flip(&lost).await;
        files.flip(&kept).await;
        let report = save(&files).await;
        assert_eq!((report.objects, report.faults.len()), (2, 1), "one is in the backup already: {report:?}");
        assert_eq!(report.faults[0].digest.as_deref(), Some(lost.as_str()));
        assert_eq!(files.records("quarantine_blob").await, 1);
        let checked = backup::check(&target(&files), |_| ()).await.unwrap();
        assert_eq!((checked.objects, checked.lacking, checked.is_whole()), (2, 1, true));
        let to = TempDir::new();
        let (location, _) = restore(&target(&files), files.installation.store.engine(), &to, false).await;
        let restored = reopen(&files, &location, &to).await;
        let admin = restored.administrator().await;
        assert_eq!(read_blob(&restored, &admin, &files.image, &kept).await.unwrap(), b"kept");
        let refused = read_blob(&restored, &admin, &files.image, &lost).await;
        assert!(matches!(refused, Err(Error::Quarantined(_))));
        restored.store.close().await;
    }
}
