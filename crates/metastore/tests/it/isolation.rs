//! "At most two", asked for by fifty at once.

use tokio::task::JoinSet;
use wharfinger_metastore::{Operation, Store, Tx};
use wharfinger_testkit::on_each_engine;

use crate::shelf::*;

const RACERS: usize = 50;
const MOST: i64 = 2;

/// How many of the racers that put an item each were let in.
async fn race(
    store: &Store,
    operation: &'static Operation,
    guard: impl Fn(&mut Tx<'_>) -> Result<(), Failure> + Send + Copy + 'static,
) -> usize {
    let mut racers = JoinSet::new();
    for number in 0..RACERS {
        let store = store.clone();
        racers.spawn(async move {
            store
                .write(operation, move |tx| {
                    guard(tx)?;
                    if tx.one::<i64>(&ITEM_COUNT, &[&1_i64])? >= MOST {
                        return Err(Failure::Refused);
                    }
                    put(&format!("racer {number}"))(tx)
                })
                .await
        });
    }
    let answers = racers.join_all().await;
    for answer in &answers {
        assert!(matches!(answer, Ok(1) | Err(Failure::Refused)), "{answer:?}");
    }
    answers.iter().filter(|answer| answer.is_ok()).count()
}

on_each_engine! {
    async fn serializable_bodies_keep_at_most_two(store: Store) {
        install(&store).await;
        assert_eq!(race(&store, &PUT_SERIALIZABLE, |_| Ok(())).await, 2);
        assert_eq!(count(&store).await, MOST);
    }

    async fn guarded_bodies_with_a_guard_row_keep_at_most_two(store: Store) {
        install(&store).await;
        let accepted = race(&store, &PUT, |tx| {
            tx.run(&SHELF_TOUCH, &[&1_i64])?;
            Ok(())
        }).await;
        assert_eq!(accepted, 2);
        assert_eq!(count(&store).await, MOST);
    }
}
