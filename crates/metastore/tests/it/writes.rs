//! Bodies, batches, callers that go away, and what is promised to whom.

use wharfinger_metastore::{Error, Store};
use wharfinger_testkit::on_each_engine;

use crate::shelf::*;

/// Queues a good body, `bad`, and another good one as one batch; the answer of the bad one.
macro_rules! between_good_ones {
    ($store:expr, $operation:expr, $bad:expr) => {{
        let (release, held) = hold_writer(&$store).await;
        let before = enqueue($store.write(&PUT, put("before"))).await;
        let bad = enqueue($store.write($operation, $bad)).await;
        let after = enqueue($store.write(&PUT, put("after"))).await;
        drop(release);
        held.await.unwrap();
        assert_eq!(before.await.unwrap(), 1);
        assert_eq!(after.await.unwrap(), 1);
        assert_eq!(names(&$store).await, ["after", "before"]);
        bad.await
    }};
}

on_each_engine! {
    async fn a_body_that_refuses_leaves_its_neighbours_committed(store: Store) {
        install(&store).await;
        let answer = between_good_ones!(store, &PUT, |tx| {
            tx.run(&ITEM_INSERT, &[&1_i64, &"refused", &1_i64])?;
            Err::<(), _>(Failure::Refused)
        });
        assert!(matches!(answer, Err(Failure::Refused)), "{answer:?}");
    }

    async fn a_body_that_breaks_a_foreign_key_leaves_its_neighbours_committed(store: Store) {
        install(&store).await;
        let answer = between_good_ones!(store, &PUT, |tx| {
            tx.run(&ITEM_INSERT, &[&1_i64, &"first", &1_i64])?;
            Ok(tx.run(&ITEM_INSERT, &[&404_i64, &"second", &1_i64])?)
        });
        assert!(matches!(answer, Err(Failure::Store(Error::ForeignKey { .. }))), "{answer:?}");
    }

    async fn a_body_that_panics_leaves_its_neighbours_committed(store: Store) {
        install(&store).await;
        let answer = between_good_ones!(store, &PUT, |tx| -> Result<u64, Failure> {
            tx.run(&ITEM_INSERT, &[&1_i64, &"panicked", &1_i64])?;
            panic!("this test panics on purpose");
        });
        assert!(matches!(answer, Err(Failure::Store(Error::Panicked))), "{answer:?}");
    }

    async fn a_body_that_swallows_an_error_fails_with_it(store: Store) {
        install(&store).await;
        let answer = between_good_ones!(store, &PUT, |tx| {
            tx.run(&ITEM_INSERT, &[&1_i64, &"same", &1_i64])?;
            let second = tx.run(&ITEM_INSERT, &[&1_i64, &"same", &1_i64]);
            assert!(matches!(second, Err(Error::Unique { .. })), "{second:?}");
            let third = tx.run(&ITEM_INSERT, &[&1_i64, &"other", &1_i64]);
            assert!(matches!(third, Err(Error::Poisoned)), "{third:?}");
            Ok(())
        });
        assert!(matches!(answer, Err(Failure::Store(Error::Unique { .. }))), "{answer:?}");
    }

    async fn a_body_may_answer_an_error_with_its_own(store: Store) {
        install(&store).await;
        store.write(&PUT, put("taken")).await.unwrap();
        let answer = store.write(&PUT, |tx| match put("taken")(tx) {
            Err(Failure::Store(Error::Unique { .. })) => Err(Failure::Refused),
            other => other,
        }).await;
        assert!(matches!(answer, Err(Failure::Refused)), "{answer:?}");
    }

    async fn a_body_without_its_audit_record_is_rolled_back(store: Store) {
        install(&store).await;
        let answer = between_good_ones!(store, &PUT_AUDITED, put("unrecorded"));
        assert!(
            matches!(answer, Err(Failure::Store(Error::RecordMissing { operation: "put_audited", found: 0 }))),
            "{answer:?}"
        );
    }

    async fn a_body_with_two_audit_records_is_rolled_back(store: Store) {
        install(&store).await;
        let answer = between_good_ones!(store, &PUT_AUDITED, |tx| {
            tx.count_record();
            tx.count_record();
            put("recorded twice")(tx)
        });
        assert!(matches!(answer, Err(Failure::Store(Error::RecordMissing { found: 2, .. }))), "{answer:?}");
    }

    async fn an_unaudited_body_with_an_audit_record_is_rolled_back(store: Store) {
        install(&store).await;
        let answer = between_good_ones!(store, &PUT, |tx| {
            tx.count_record();
            put("recorded")(tx)
        });
        assert!(matches!(answer, Err(Failure::Store(Error::RecordMissing { found: 1, .. }))), "{answer:?}");
    }

    async fn a_body_with_its_audit_record_is_committed(store: Store) {
        install(&store).await;
        let operation = store.write(&PUT_AUDITED, |tx| {
            tx.count_record();
            put("recorded")(tx)?;
            Ok::<_, Failure>(tx.operation().name)
        }).await.unwrap();
        assert_eq!(operation, "put_audited");
        assert_eq!(names(&store).await, ["recorded"]);
    }

    async fn a_write_is_done_although_its_caller_has_gone(store: Store) {
        install(&store).await;
        let (release, held) = hold_writer(&store).await;
        for number in 0..20 {
            drop(enqueue(store.write(&PUT, put(&format!("item {number}")))).await);
        }
        drop(release);
        held.await.unwrap();
        until("all twenty items are there", async || count(&store).await == 20).await;
        // A transaction left open would keep SQLite's only writer, or a lock on the shelf.
        store.write(&PUT, |tx| {
            tx.run(&SHELF_TOUCH, &[&1_i64])?;
            put("last")(tx)
        }).await.unwrap();
        assert_eq!(count(&store).await, 21);
    }

    async fn a_durable_write_is_read_at_once(store: Store) {
        install(&store).await;
        for number in 1..=50 {
            store.write(&PUT, put(&format!("item {number}"))).await.unwrap();
            assert_eq!(count(&store).await, number);
        }
    }

    async fn a_relaxed_write_is_read_at_once(store: Store) {
        install(&store).await;
        for number in 1..=50 {
            store.write(&PUT_RELAXED, put(&format!("item {number}"))).await.unwrap();
            assert_eq!(count(&store).await, number);
        }
        store.write(&PUT, put("durable")).await.unwrap();
        assert_eq!(count(&store).await, 51);
    }

    async fn closing_finishes_what_is_queued(store: Store) {
        install(&store).await;
        let (release, held) = hold_writer(&store).await;
        let mut answers = Vec::new();
        for number in 0..300 {
            answers.push(enqueue(store.write(&PUT, put(&format!("item {number}")))).await);
        }
        drop(release);
        store.close().await;
        held.await.unwrap();
        for answer in answers {
            assert_eq!(answer.await.unwrap(), 1);
        }
    }

    async fn a_closed_store_says_so(store: Store) {
        install(&store).await;
        store.close().await;
        store.close().await;
        let write = store.write(&PUT, put("late")).await;
        assert!(matches!(write, Err(Failure::Store(Error::Closed))), "{write:?}");
        let read = store.opt::<i64>(&ITEM_COUNT, &[&1_i64]).await;
        assert!(matches!(read, Err(Error::Closed)), "{read:?}");
    }
}

/// The futures of a service must be `Send`, or it cannot be served.
#[test]
fn the_futures_are_send() {
    fn is_send<T: Send>(_: impl Fn(Store) -> T) {}
    is_send(|store| async move { store.write(&PUT, put("one")).await });
    is_send(|store| async move {
        let name = String::from("one");
        store.opt::<i64>(&ITEM_SIZE, &[&1_i64, &name]).await
    });
    is_send(|store| async move { store.all::<String>(&ITEM_NAMES, &[&1_i64]).await });
    is_send(|store| async move { store.close().await });
}
