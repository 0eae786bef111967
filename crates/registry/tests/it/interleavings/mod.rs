//! The collector meets pushes, mounts, deletions and restores on PostgreSQL, statement by statement.
//!
//! [`scenarios`] says who meets whom. Tests go through a few orders, `cargo xtask prove interleavings`
//! through all of two bodies and very many of more.

mod acts;
mod scenarios;
mod world;

use tokio::task::JoinSet;
use wharfinger_testkit::interleave::{Orders, Search};

use scenarios::{SABOTAGE, SCENARIOS, Scenario};
use world::World;

/// Scenarios that are gone through at a time: most of the time is waiting for the database.
const AT_ONCE: usize = 6;

/// A few orders of each scenario.
fn some(scenario: &Scenario) -> Vec<Orders> {
    match scenario.actors().len() {
        2 => vec![Orders::Switches(1)],
        _ => vec![Orders::Switches(0), Orders::Random { seed: 1, count: 10 }],
    }
}

/// All orders of two bodies; of more those with at most two switches, and random ones.
fn all(scenario: &Scenario) -> Vec<Orders> {
    if scenario.is_short {
        return vec![Orders::Switches(usize::MAX)];
    }
    vec![Orders::Switches(2), Orders::Random { seed: 1, count: 2_000 }]
}

/// How often a long exploration says how far it is.
const PROGRESS: usize = 1_000;

/// Goes through orders of a scenario; how many there are, or what is wrong after the first bad one.
#[expect(clippy::print_stdout, reason = "figures of the proof")]
async fn explore(scenario: &Scenario, orders: Orders, sabotage: &str) -> Result<usize, String> {
    let mut world = World::open(scenario.actors().len()).await;
    world.interleaving.execute(sabotage).await;
    let mut search = Search::new(orders);
    while let Some(mut order) = search.begin() {
        let checked = world.run(scenario, &mut order).await;
        checked.map_err(|wrong| format!("{}: {wrong}\n{order}", scenario.name))?;
        search.end(order);
        if search.tried().is_multiple_of(PROGRESS) {
            println!("{:6} orders so far: {}", search.tried(), scenario.name);
        }
    }
    Ok(search.tried())
}

#[expect(clippy::print_stdout, reason = "figures of the proof")]
async fn explore_each(orders: fn(&Scenario) -> Vec<Orders>) {
    let mut running = JoinSet::new();
    for scenario in SCENARIOS {
        if running.len() == AT_ONCE {
            running.join_next().await.unwrap().unwrap();
        }
        running.spawn(async move {
            for orders in orders(scenario) {
                let tried = explore(scenario, orders, "").await.unwrap_or_else(|wrong| panic!("{wrong}"));
                println!("{tried:6} orders, {orders:?}: {}", scenario.name);
            }
        });
    }
    running.join_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_in_any_order() {
    let is_proof = std::env::var_os("WHARFINGER_EVERY_ORDER").is_some();
    explore_each(if is_proof { all } else { some }).await;
}

/// The exploration would see what the foreign keys and the renewal prevent.
#[tokio::test(flavor = "multi_thread")]
async fn without_what_holds_the_collector_back_something_is_lost() {
    for (sabotage, name) in SABOTAGE {
        let scenario = SCENARIOS.iter().find(|scenario| scenario.name == *name).unwrap();
        let wrong = explore(scenario, Orders::Switches(2), sabotage).await.expect_err(sabotage);
        println!("{sabotage}\n{wrong}");
    }
}
