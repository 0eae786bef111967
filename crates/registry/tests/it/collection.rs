//! What the collector takes, when, and what it leaves.

use bytes::Bytes;
use serde_json::json;
use wharfinger_blobstore::{BlobStore as _, ObjectId};
use wharfinger_iam::Error as IamError;
use wharfinger_metastore::{Store, check};
use wharfinger_registry::images::restore_image;
use wharfinger_registry::repositories;
use wharfinger_registry::{Collected, Error};
use wharfinger_testkit::on_each_engine;
use wharfinger_testkit::services::{Installation, NOW, found};
use wharfinger_types::{Algorithm, Digest};

use crate::images::{descriptor, manifest, push_blob, push_image, put, read_blob, sent};

const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;

fn index(entries: &[&Digest]) -> Bytes {
    let entries: Vec<_> = entries.iter().map(|digest| descriptor(digest)).collect();
    json!({ "schemaVersion": 2, "manifests": entries }).to_string().into()
}

/// Collects that many seconds after [`NOW`].
async fn collect(installation: &Installation, seconds: i64) -> Collected {
    installation.registry.collect_garbage(&installation.later(seconds), false).await.unwrap()
}

fn counts(collected: &Collected) -> [u64; 4] {
    [collected.manifests, collected.links, collected.blobs, collected.objects]
}

/// Everything is gone but the repositories themselves.
async fn assert_empty(installation: &Installation, repositories: i64) {
    let rows = installation.content_rows().await;
    let expected: Vec<_> =
        (repositories > 0).then(|| ("repository".to_owned(), repositories)).into_iter().collect();
    assert_eq!(rows, expected);
    assert_eq!(installation.objects().await, 0);
}

on_each_engine! {
    async fn a_deleted_image_goes_after_the_window_and_not_before(store: Store) {
        let installation = found(store).await;
        let (ctx, image, registry) = (installation.local(), installation.image("app"), &installation.registry);
        let (digest, _) = push_image(&installation, &ctx, &image, "x", "v1").await;
        let (kept, layer) = push_image(&installation, &ctx, &image, "kept", "kept").await;
        let bytes = registry.get_manifest(&ctx, &image, &"v1".parse().unwrap()).await.unwrap().1.len();
        registry.delete_manifest(&ctx, &image, &digest).await.unwrap();
        assert_eq!(counts(&collect(&installation, 2 * DAY - 1).await), [0; 4]);
        let collected = collect(&installation, 2 * DAY + 1).await;
        assert_eq!(counts(&collected), [1, 2, 2, 2]);
        assert_eq!(collected.bytes, (bytes + "x".len() + "config of x".len()) as u64);
        assert_eq!(counts(&collect(&installation, 10 * DAY).await), [0; 4], "an image that is there is never taken");
        let name = "app".parse().unwrap();
        let gone = restore_image(&ctx, &installation.tenancy, &name, &digest, None).await;
        assert!(matches!(gone, Err(Error::NotDeleted(_))), "{gone:?}");
        assert_eq!(read_blob(&installation, &ctx, &image, &layer).await.unwrap(), b"kept");
        registry.get_manifest(&ctx, &image, &kept.as_str().parse().unwrap()).await.unwrap();
        assert_eq!(installation.objects().await, 2);
        // And it can be pushed again.
        let (again, layer) = push_image(&installation, &ctx, &image, "x", "v1").await;
        assert_eq!(again, digest);
        assert_eq!(read_blob(&installation, &ctx, &image, &layer).await.unwrap(), b"x");
    }

    /// Incident class 2: a blob that two images, or two repositories, share outlives the deletion of one.
    async fn a_shared_blob_stays_until_its_last_user_goes(store: Store) {
        let installation = found(store).await;
        let (ctx, registry) = (installation.local(), &installation.registry);
        let (one, two) = (installation.image("one"), installation.image("two"));
        let (first, layer) = push_image(&installation, &ctx, &one, "shared", "v1").await;
        let config = push_blob(&installation, &ctx, &one, b"{}").await;
        let second = put(&installation, &ctx, &one, "v2", manifest(&config, &[&layer])).await.unwrap();
        assert!(registry.mount_blob(&ctx, &two, &layer, Some(&one)).await.unwrap());
        assert!(registry.mount_blob(&ctx, &two, &config, Some(&one)).await.unwrap());
        let third = put(&installation, &ctx, &two, "v1", manifest(&config, &[&layer])).await.unwrap();

        registry.delete_manifest(&ctx, &one, &first).await.unwrap();
        assert_eq!(counts(&collect(&installation, 3 * DAY).await), [1, 1, 1, 1], "its config alone");
        assert_eq!(read_blob(&installation, &ctx, &one, &layer).await.unwrap(), b"shared");
        registry.delete_manifest(&ctx, &one, &second).await.unwrap();
        assert_eq!(counts(&collect(&installation, 6 * DAY).await), [1, 2, 0, 0], "two still uses both");
        assert_eq!(read_blob(&installation, &ctx, &two, &layer).await.unwrap(), b"shared");
        assert!(matches!(registry.stat_blob(&ctx, &one, &layer).await, Err(Error::BlobUnknown(_))));
        registry.delete_manifest(&ctx, &two, &third).await.unwrap();
        assert_eq!(counts(&collect(&installation, 9 * DAY).await), [1, 2, 2, 2]);
        assert_empty(&installation, 2).await;
    }

    /// A client that was told of a blob has a day to use it, counted from when it last asked.
    async fn a_blob_without_manifest_stays_for_a_day_after_it_was_asked_for(store: Store) {
        let installation = found(store).await;
        let (ctx, image, registry) = (installation.local(), installation.image("app"), &installation.registry);
        let asked = push_blob(&installation, &ctx, &image, b"asked for").await;
        let mounted = push_blob(&installation, &ctx, &image, b"mounted").await;
        let pushed = push_blob(&installation, &ctx, &image, b"pushed").await;
        let other = installation.image("other");
        registry.stat_blob(&installation.later(20 * HOUR), &image, &asked).await.unwrap();
        assert!(registry.mount_blob(&installation.later(20 * HOUR), &other, &mounted, Some(&image)).await.unwrap());
        push_blob(&installation, &installation.later(20 * HOUR), &image, b"pushed").await;
        assert_eq!(counts(&collect(&installation, 23 * HOUR).await), [0; 4]);
        // Only the link through which it was mounted from, which nobody asked for since.
        assert_eq!(counts(&collect(&installation, 25 * HOUR).await), [0, 1, 0, 0]);
        for (image, digest) in [(&image, &asked), (&other, &mounted), (&image, &pushed)] {
            let later = installation.later(25 * HOUR);
            read_blob(&installation, &later, image, digest).await.unwrap();
        }
        assert_eq!(counts(&collect(&installation, 45 * HOUR).await), [0, 3, 3, 3]);
        assert_empty(&installation, 2).await;
        let audited = installation.audit_records().await;
        let records: Vec<_> = audited.iter().filter(|record| record["operation"] == "collect_links").collect();
        assert_eq!(records.len(), 3, "a record for each repository and run");
        assert_eq!(records[0]["principalId"], "garbage-collector");
        assert_eq!(records[0]["details"]["digests"], json!([mounted.as_str()]));
    }

    /// Requests that overlap carry times in any order: an older one must not age a link.
    async fn a_renewal_never_goes_back(store: Store) {
        let installation = found(store).await;
        let (image, registry) = (installation.image("app"), &installation.registry);
        let (late, early) = (installation.later(20 * HOUR), installation.later(2 * HOUR));
        let digest = push_blob(&installation, &late, &image, b"bytes").await;
        push_blob(&installation, &early, &image, b"bytes").await;
        assert!(registry.mount_blob(&early, &image, &digest, Some(&image)).await.unwrap());
        registry.stat_blob(&early, &image, &digest).await.unwrap();
        assert_eq!(counts(&collect(&installation, 43 * HOUR).await), [0; 4]);
        assert_eq!(counts(&collect(&installation, 45 * HOUR).await), [0, 1, 1, 1]);
    }

    /// At most hourly, and only by one who may push.
    async fn a_head_renews_at_most_hourly_and_for_pushers(store: Store) {
        let installation = found(store).await;
        let (ctx, image, registry) = (installation.local(), installation.image("app"), &installation.registry);
        let digest = push_blob(&installation, &ctx, &image, b"bytes").await;
        registry.stat_blob(&installation.later(HOUR - 1), &image, &digest).await.unwrap();
        assert_eq!(counts(&collect(&installation, DAY + 60).await), [0, 1, 1, 1], "not within the hour");
        let name = "app".parse().unwrap();
        let public = repositories::Visibility::Public;
        repositories::update_repository(&ctx, &installation.tenancy, &name, public).await.unwrap();
        let digest = push_blob(&installation, &ctx, &image, b"bytes").await;
        let request = wharfinger_iam::Request { now: NOW.plus_seconds(20 * HOUR), ..wharfinger_testkit::services::request() };
        let nobody = installation.iam.anonymous(request).unwrap();
        registry.stat_blob(&nobody, &image, &digest).await.unwrap();
        assert_eq!(counts(&collect(&installation, DAY + 60).await), [0, 1, 1, 1], "a puller keeps nothing alive");
    }

    /// Incident class 11: entries of indexes and what refers to others.
    async fn an_entry_stays_with_its_index_and_a_referrer_by_itself(store: Store) {
        let installation = found(store).await;
        let (ctx, image, registry) = (installation.local(), installation.image("app"), &installation.registry);
        let (child, _) = push_image(&installation, &ctx, &image, "child", "child").await;
        let inner = put(&installation, &ctx, &image, "inner", index(&[&child])).await.unwrap();
        let outer = put(&installation, &ctx, &image, "outer", index(&[&inner])).await.unwrap();
        let signature = json!({
            "schemaVersion": 2, "config": descriptor(&push_blob(&installation, &ctx, &image, b"{}").await),
            "layers": [], "subject": descriptor(&outer),
        });
        let signature = put(&installation, &ctx, &image, "signature", signature.to_string().into()).await.unwrap();
        // The entries are deleted, the index is not: they stay, deleted, for as long as it does.
        for digest in [&child, &inner] {
            registry.delete_manifest(&ctx, &image, digest).await.unwrap();
        }
        assert_eq!(counts(&collect(&installation, 10 * DAY).await), [0; 4]);
        restore_image(&ctx, &installation.tenancy, &"app".parse().unwrap(), &child, None).await.unwrap();
        registry.delete_manifest(&ctx, &image, &child).await.unwrap();
        // Deleted last, the index goes first, and its entries in the same run; what referred to it stays.
        registry.delete_manifest(&installation.later(10 * DAY), &image, &outer).await.unwrap();
        assert_eq!(counts(&collect(&installation, 11 * DAY).await), [0; 4], "the index can be restored");
        let dry = registry.collect_garbage(&installation.later(13 * DAY), true).await.unwrap();
        assert_eq!(counts(&dry), [3, 2, 2, 2]);
        assert_eq!(counts(&collect(&installation, 13 * DAY).await), [3, 2, 2, 2]);
        registry.get_manifest(&ctx, &image, &signature.as_str().parse().unwrap()).await.unwrap();
        let referrers = registry.list_referrers(&ctx, &image, &outer, None, 0).await.unwrap();
        assert_eq!(referrers.manifests.len(), 1);
    }

    async fn a_deleted_repository_goes_with_everything_in_it(store: Store) {
        let installation = found(store).await;
        let (ctx, image, tenancy) = (installation.local(), installation.image("app"), &installation.tenancy);
        let (name, registry) = ("app".parse().unwrap(), &installation.registry);
        let (one, _) = push_image(&installation, &ctx, &image, "one", "v1").await;
        put(&installation, &ctx, &image, "index", index(&[&one])).await.unwrap();
        let (two, _) = push_image(&installation, &ctx, &image, "two", "v2").await;
        registry.delete_manifest(&ctx, &image, &two).await.unwrap();
        push_blob(&installation, &ctx, &image, b"of no manifest").await;
        registry.start_upload(&ctx, &image, Algorithm::Sha256).await.unwrap();
        repositories::delete_repository(&ctx, tenancy, &name).await.unwrap();
        assert_eq!(collect(&installation, 2 * DAY - 1).await.manifests, 0);
        repositories::restore_repository(&ctx, tenancy, &name, None).await.unwrap();
        repositories::delete_repository(&ctx, tenancy, &name).await.unwrap();
        let dry = registry.collect_garbage(&installation.later(3 * DAY), true).await.unwrap();
        let collected = collect(&installation, 3 * DAY).await;
        assert_eq!([collected.manifests, collected.links], [3, 4]);
        assert_eq!(counts(&dry), counts(&collected), "a dry run foretells the run");
        assert_empty(&installation, 0).await;
        let gone = repositories::restore_repository(&ctx, tenancy, &name, None).await;
        assert!(matches!(gone, Err(Error::Iam(IamError::NotFound { .. }))), "{gone:?}");
        let audited = installation.audited_operations().await;
        assert_eq!(audited.iter().filter(|operation| *operation == "purge_repository").count(), 1);
    }

    /// What was begun goes on: a mark without the rest is what a kill leaves.
    async fn a_repository_whose_collection_has_begun_is_not_restored_and_is_finished(store: Store) {
        let installation = found(store).await;
        let (ctx, image, tenancy) = (installation.local(), installation.image("app"), &installation.tenancy);
        let name = "app".parse().unwrap();
        push_image(&installation, &ctx, &image, "x", "v1").await;
        repositories::delete_repository(&ctx, tenancy, &name).await.unwrap();
        let later = installation.later(3 * DAY);
        installation.registry.collection(&later, false).unwrap().repositories().await.unwrap();
        let refused = repositories::restore_repository(&ctx, tenancy, &name, None).await;
        assert!(matches!(refused, Err(Error::Iam(IamError::NotFound { .. }))), "{refused:?}");
        assert_eq!(collect(&installation, 3 * DAY).await.manifests, 1);
        assert_empty(&installation, 0).await;
    }

    async fn uploads_that_take_too_long_end_with_their_objects(store: Store) {
        let installation = found(store).await;
        let (ctx, image, registry) = (installation.local(), installation.image("app"), &installation.registry);
        let upload = registry.start_upload(&ctx, &image, Algorithm::Sha256).await.unwrap();
        registry.append_upload(&ctx, &image, &upload.uuid, None, sent(b"part")).await.unwrap();
        assert_eq!(counts(&collect(&installation, DAY - 1).await), [0; 4]);
        registry.get_upload(&ctx, &image, &upload.uuid).await.unwrap();
        let collected = collect(&installation, DAY + 1).await;
        assert_eq!((counts(&collected), collected.bytes), ([0, 0, 0, 1], 4));
        let digest = Digest::sha256(b"part");
        let closed = registry.finish_upload(&ctx, &image, &upload.uuid, None, &digest, sent(b"")).await;
        assert!(matches!(closed, Err(Error::UploadUnknown(_))), "{closed:?}");
        assert_empty(&installation, 1).await;
    }

    /// What a crash leaves: objects that no row names.
    async fn objects_without_a_row_go_when_they_are_older_than_an_upload(store: Store) {
        let installation = found(store).await;
        let (ctx, image, registry) = (installation.local(), installation.image("app"), &installation.registry);
        let (_, layer) = push_image(&installation, &ctx, &image, "x", "v1").await;
        let upload = registry.start_upload(&ctx, &image, Algorithm::Sha256).await.unwrap();
        registry.append_upload(&ctx, &image, &upload.uuid, None, sent(b"part")).await.unwrap();
        installation.blobs.create(&ObjectId::fresh()).await.unwrap();
        let old: ObjectId = "00000000000070008000000000000001".parse().unwrap();
        installation.blobs.create(&old).await.unwrap();
        // Ids tell the time by the machine's clock, which tests leave alone: a moment before NOW, all are young.
        let age = NOW.0 / 1_000 - ObjectId::fresh().made_at_ms();
        let young = installation.later(-age / 1_000 + DAY - HOUR);
        let mut run = registry.collection(&young, false).unwrap();
        run.orphans().await.unwrap();
        run.objects().await.unwrap();
        assert_eq!(run.finish().objects, 1, "only the old one");
        assert_eq!(installation.objects().await, 4);
        let later = installation.later(-age / 1_000 + DAY + HOUR);
        let mut run = registry.collection(&later, false).unwrap();
        run.orphans().await.unwrap();
        run.objects().await.unwrap();
        assert_eq!(run.finish().objects, 1, "what a row names stays, however old it is");
        assert_eq!(read_blob(&installation, &ctx, &image, &layer).await.unwrap(), b"x");
        registry.append_upload(&ctx, &image, &upload.uuid, None, sent(b" and part")).await.unwrap();
    }

    /// A run that ends between a row and its object leaves the object to the next.
    async fn objects_of_a_run_that_was_cut_off_go_with_the_next(store: Store) {
        let installation = found(store).await;
        let (ctx, image) = (installation.local(), installation.image("app"));
        push_blob(&installation, &ctx, &image, b"bytes").await;
        let later = installation.later(3 * DAY);
        let mut run = installation.registry.collection(&later, false).unwrap();
        run.links().await.unwrap();
        run.blobs().await.unwrap();
        assert_eq!(installation.objects().await, 1);
        let dry = installation.registry.collect_garbage(&later, true).await.unwrap();
        assert_eq!(counts(&dry), [0, 0, 0, 1]);
        assert_eq!(counts(&collect(&installation, 3 * DAY).await), [0, 0, 0, 1]);
        assert_empty(&installation, 1).await;
    }

    async fn a_dry_run_says_what_and_why_and_changes_nothing(store: Store) {
        let installation = found(store).await;
        let (ctx, image, registry) = (installation.local(), installation.image("app"), &installation.registry);
        let (digest, _) = push_image(&installation, &ctx, &image, "x", "v1").await;
        registry.delete_manifest(&ctx, &image, &digest).await.unwrap();
        push_blob(&installation, &ctx, &image, b"of no manifest").await;
        registry.start_upload(&ctx, &image, Algorithm::Sha256).await.unwrap();
        let (rows, objects) = (installation.content_rows().await, installation.objects().await);
        let records = installation.audited_operations().await;
        let dry = registry.collect_garbage(&installation.later(3 * DAY), true).await.unwrap();
        assert!(dry.dry_run);
        assert_eq!(counts(&dry), [1, 3, 3, 4]);
        let reason = dry.reasons.iter().find(|reason| reason.kind == "manifests").unwrap();
        assert_eq!(reason.examples, [format!("app@{digest}")]);
        assert!(reason.why.contains("undelete_window"));
        assert_eq!((installation.content_rows().await, installation.objects().await), (rows, objects));
        assert_eq!(installation.audited_operations().await, records);
        let collected = collect(&installation, 3 * DAY).await;
        // The session never wrote, so that it had no object.
        assert_eq!((counts(&collected), collected.bytes), (counts(&dry), dry.bytes));
        assert_empty(&installation, 1).await;
    }

    async fn only_the_local_administrator_collects(store: Store) {
        let installation = found(store).await;
        for ctx in [installation.administrator().await, installation.anonymous()] {
            assert!(installation.registry.collect_garbage(&ctx, false).await.is_err());
            assert!(installation.registry.collection(&ctx, true).is_err());
        }
    }

    async fn a_process_that_ends_ends_its_run(store: Store) {
        let installation = found(store).await;
        push_blob(&installation, &installation.local(), &installation.image("app"), b"bytes").await;
        installation.registry.stop_collecting();
        let stopped = installation.registry.collect_garbage(&installation.later(3 * DAY), false).await;
        assert!(matches!(stopped, Err(Error::Stopping)), "{stopped:?}");
    }

    /// More rows than a page and a batch have.
    async fn many_are_collected_in_many_steps(store: Store) {
        let installation = found(store).await;
        push_blob(&installation, &installation.local(), &installation.image("app"), b"bytes").await;
        let series = match installation.store.engine() {
            wharfinger_metastore::EngineKind::Sqlite => {
                "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2500) SELECT i FROM n"
            }
            wharfinger_metastore::EngineKind::Postgres => "SELECT i FROM generate_series(1, 2500) n(i)",
        };
        let rows = format!(
            "INSERT INTO blob (digest, object, size_bytes, created_at) SELECT 'sha256:' || i, {object}, 1, 0 FROM ({series}) s;
             INSERT INTO link (repository_id, blob_id, renewed_at) SELECT r.id, b.id, 0 FROM blob b CROSS JOIN repository r
             WHERE b.created_at = 0",
            object = "substr('00000000000000000000000000000000' || i, -32)"
        );
        let rows = match installation.store.engine() {
            wharfinger_metastore::EngineKind::Sqlite => rows,
            wharfinger_metastore::EngineKind::Postgres => rows.replace(
                "substr('00000000000000000000000000000000' || i, -32)", "lpad(i::text, 32, '0')"
            ),
        };
        check::execute(&installation.store, &rows).await.unwrap();
        assert_eq!(counts(&collect(&installation, 0).await), [0, 2_500, 2_500, 2_500]);
        assert_eq!(installation.objects().await, 1);
        let record = installation.audit_records().await.pop().unwrap();
        assert!(record.to_string().len() < 65_535, "a record stays within its bounds");
    }
}

/// One replica at a time: a second one waits or does without.
#[tokio::test(flavor = "multi_thread")]
async fn replicas_collect_one_at_a_time() {
    use wharfinger_metastore::EngineKind;
    let test = wharfinger_testkit::engines::open(EngineKind::Postgres).await;
    let installation = found(test.store.clone()).await;
    let other = Store::open(&test.location).await.unwrap();
    let held = other.take_over("garbage collection").await.unwrap().expect("nobody has it");
    let local = installation.local();
    assert_eq!(installation.registry.collect_garbage_if_due(&local).await.unwrap(), None);
    let waiting = installation.registry.collect_garbage(&local, false);
    let mut waiting = Box::pin(waiting);
    let early = tokio::time::timeout(std::time::Duration::from_millis(50), &mut waiting).await;
    assert!(early.is_err(), "it waits for the other");
    drop(held);
    waiting.await.unwrap();
    other.close().await;
}
