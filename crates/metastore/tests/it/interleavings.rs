//! The tool that explores interleavings finds what there is to find.

use std::collections::BTreeSet;

use wharfinger_metastore::{Error, Operation, Store, operations, statements};
use wharfinger_testkit::interleave::{Interleaving, Orders, Search};

statements! {
    BALANCE = "SELECT balance FROM account WHERE id = $1";
    BALANCE_SET = "UPDATE account SET balance = $1 WHERE id = $2";
}

operations! {
    PAY_GUARDED = pay_guarded { Durable, Guarded, unaudited "a test" };
    PAY_SERIALIZABLE = pay_serializable { Durable, Serializable, unaudited "a test" };
    MOVE = move_money { Durable, Guarded, unaudited "a test" };
}

const EVERY: Orders = Orders::Switches(usize::MAX);

async fn accounts(stores: usize) -> Interleaving {
    let interleaving = Interleaving::open(stores).await;
    interleaving
        .execute("CREATE TABLE account (id BIGINT PRIMARY KEY, balance BIGINT); INSERT INTO account VALUES (1, 0), (2, 0)")
        .await;
    interleaving
}

/// Adds one, as one who forgets that others may do so too.
async fn pay(store: Store, operation: &'static Operation) -> Result<(), Error> {
    store
        .write(operation, |tx| {
            let balance: i64 = tx.one(&BALANCE, &[&1i64])?;
            tx.run(&BALANCE_SET, &[&(balance + 1), &1i64])?;
            Ok(())
        })
        .await
}

/// The balances that all orders of two payments lead to, and how many orders there were.
async fn balances(operation: &'static Operation, orders: Orders) -> (BTreeSet<i64>, usize) {
    let mut interleaving = accounts(2).await;
    let (mut search, mut found) = (Search::new(orders), BTreeSet::new());
    while let Some(mut order) = search.begin() {
        interleaving.execute("UPDATE account SET balance = 0").await;
        let bodies = interleaving.stores().iter().map(|store| pay(store.clone(), operation)).collect();
        for paid in interleaving.run(bodies, &mut order).await {
            paid.unwrap();
        }
        found.insert(interleaving.stores()[0].opt(&BALANCE, &[&1i64]).await.unwrap().unwrap());
        search.end(order);
    }
    (found, search.tried())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_update_is_found() {
    let (found, orders) = balances(&PAY_GUARDED, EVERY).await;
    assert_eq!(found, BTreeSet::from([1, 2]));
    // Two times BEGIN, SELECT, UPDATE, COMMIT: 70 orders, without those that a lock rules out.
    assert!((40..70).contains(&orders), "{orders}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_is_part_of_the_order() {
    let (found, orders) = balances(&PAY_SERIALIZABLE, EVERY).await;
    assert_eq!(found, BTreeSet::from([2]));
    assert!(orders > 40, "{orders}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_switch_the_bodies_go_one_after_another() {
    assert_eq!(balances(&PAY_GUARDED, Orders::Switches(0)).await, (BTreeSet::from([2]), 2));
    let (found, orders) = balances(&PAY_GUARDED, Orders::Switches(1)).await;
    assert_eq!(found, BTreeSet::from([1, 2]));
    assert!((5..20).contains(&orders), "{orders}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_seed_gives_the_same_orders() {
    let orders = Orders::Random { seed: 7, count: 20 };
    let first = balances(&PAY_GUARDED, orders).await;
    assert_eq!(first, (BTreeSet::from([1, 2]), 20));
    assert_eq!(balances(&PAY_GUARDED, orders).await, first);
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_wait_for_each_other_are_parted_and_try_again() {
    let mut interleaving = accounts(2).await;
    let mut search = Search::new(EVERY);
    while let Some(mut order) = search.begin() {
        let bodies = [(1i64, 2i64), (2, 1)].into_iter().zip(interleaving.stores()).map(|(ids, store)| {
            let store = store.clone();
            async move {
                store
                    .write(&MOVE, move |tx| {
                        tx.run(&BALANCE_SET, &[&7i64, &ids.0])?;
                        tx.run(&BALANCE_SET, &[&7i64, &ids.1])
                    })
                    .await
            }
        });
        for moved in interleaving.run(bodies.collect(), &mut order).await {
            assert_eq!(moved.unwrap(), 1);
        }
        search.end(order);
    }
    assert!(search.tried() > 10, "{}", search.tried());
}
