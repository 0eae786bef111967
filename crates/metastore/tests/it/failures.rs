//! Commits that fail, and a disk that is full.

use wharfinger_metastore::{EngineKind, Error, Store, Tx, check, statements};
use wharfinger_testkit::{engines, on_each_engine};

use crate::shelf::*;

statements! {
    SYNCHRONOUS = "SELECT synchronous FROM pragma_synchronous";
}

on_each_engine! {
    /// The deferred key is broken by one body and noticed at COMMIT, which is the batch's on SQLite.
    async fn a_commit_that_fails_fails_every_body_of_its_transaction(store: Store) {
        install(&store).await;
        let (release, held) = hold_writer(&store).await;
        let before = enqueue(store.write(&PUT, put("before"))).await;
        let bad = enqueue(store.write(&PUT, |tx| {
            Ok(tx.run(&LOAN_INSERT, &[&1_i64, &404_i64])?)
        })).await;
        let after = enqueue(store.write(&PUT, put("after"))).await;
        drop(release);
        held.await.unwrap();
        let bad = bad.await;
        assert!(matches!(bad, Err(Failure::Store(Error::CommitFailed))), "{bad:?}");
        for neighbour in [before.await, after.await] {
            match store.engine() {
                EngineKind::Sqlite => assert!(
                    matches!(neighbour, Err(Failure::Store(Error::CommitFailed))),
                    "{neighbour:?}"
                ),
                EngineKind::Postgres => assert_eq!(neighbour.unwrap(), 1),
            }
        }
        let kept = match store.engine() {
            EngineKind::Sqlite => 0,
            EngineKind::Postgres => 2,
        };
        assert_eq!(count(&store).await, kept);
        store.write(&PUT, put("later")).await.unwrap();
        assert_eq!(count(&store).await, kept + 1);
    }
}

/// SQLite ends the whole transaction when the disk is full; what runs after that must not commit
/// by itself.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_fails_the_batch_and_nothing_commits_by_itself() {
    let test = engines::open(EngineKind::Sqlite).await;
    let store = &test.store;
    install(store).await;
    // Pages that the schema has left free would be used first.
    check::execute(store, "PRAGMA max_page_count = 1").await.unwrap();
    let (release, held) = hold_writer(store).await;
    let before = enqueue(store.write(&PUT, put("before"))).await;
    let bad = enqueue(store.write(&PUT, |tx| {
        let large = "x".repeat(1_000_000);
        let full = tx.run(&ITEM_INSERT, &[&1_i64, &large, &1_i64]);
        assert!(matches!(full, Err(Error::Sql { .. })), "{full:?}");
        let next = put("by itself")(tx);
        assert!(matches!(next, Err(Failure::Store(Error::Poisoned))), "{next:?}");
        Ok(())
    }))
    .await;
    let after = enqueue(store.write(&PUT, put("after"))).await;
    drop(release);
    // The holder is a body of the batch before.
    held.await.unwrap();
    let failed = |answer: &Failure| matches!(answer, Failure::Store(Error::CommitFailed));
    assert!(before.await.is_err_and(|error| failed(&error)));
    assert!(bad.await.is_err_and(|error| failed(&error)));
    assert!(after.await.is_err_and(|error| failed(&error)));
    assert_eq!(count(store).await, 0);
    check::execute(store, "PRAGMA max_page_count = 1000000").await.unwrap();
    store.write(&PUT, put("later")).await.unwrap();
    assert_eq!(names(store).await, ["later"]);
    store.close().await;
}

/// 1 is NORMAL, which does not sync at commit; 2 is FULL.
#[tokio::test(flavor = "multi_thread")]
async fn a_batch_is_synced_unless_all_its_bodies_are_relaxed() {
    let test = engines::open(EngineKind::Sqlite).await;
    let store = &test.store;
    let level = |tx: &mut Tx<'_>| Ok::<i64, Failure>(tx.one(&SYNCHRONOUS, &[])?);
    assert_eq!(store.write(&PUT_RELAXED, level).await.unwrap(), 1);
    assert_eq!(store.write(&PUT, level).await.unwrap(), 2);
    let (release, held) = hold_writer(store).await;
    let relaxed = enqueue(store.write(&PUT_RELAXED, level)).await;
    let durable = enqueue(store.write(&PUT, level)).await;
    drop(release);
    held.await.unwrap();
    assert_eq!((relaxed.await.unwrap(), durable.await.unwrap()), (2, 2));
    assert_eq!(store.write(&PUT_RELAXED, level).await.unwrap(), 1);
    store.close().await;
}

/// Another process that holds the lock for too long is "try again later", not "failed".
#[tokio::test(flavor = "multi_thread")]
async fn a_database_locked_by_another_process_is_unavailable() {
    let test = engines::open(EngineKind::Sqlite).await;
    install(&test.store).await;
    let wharfinger_metastore::Location::Sqlite(path) = &test.location else { unreachable!() };
    let other = rusqlite::Connection::open(path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let answer = test.store.write(&PUT, put("kept out")).await;
    assert!(matches!(answer, Err(Failure::Store(Error::Unavailable(_)))), "{answer:?}");
    other.execute_batch("ROLLBACK").unwrap();
    test.store.write(&PUT, put("let in")).await.unwrap();
    assert_eq!(names(&test.store).await, ["let in"]);
    test.store.close().await;
}
