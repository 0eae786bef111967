//! Kills and faults by the hundred, several servers at once.

use std::time::Instant;

use tokio::task::JoinSet;
use wharfinger_e2e::kill::{Counts, Database, kill_in_traffic};

/// Servers at once on each engine.
const SERVERS: usize = 4;

fn setting(name: &str) -> Option<Vec<usize>> {
    let value = std::env::var_os(name)?.into_string().expect("it is text");
    Some(value.split(',').map(|number| number.parse().expect("it is a number")).collect())
}

pub(crate) async fn lose_nothing() {
    let kills = setting("WHARFINGER_KILLS").unwrap_or_else(|| vec![1000, 500]);
    let seed = setting("WHARFINGER_SEED").map_or(1, |seeds| seeds[0]);
    for (engine, kills) in super::ENGINES.into_iter().zip(kills) {
        let started = Instant::now();
        let mut servers = JoinSet::new();
        for server in 0..SERVERS {
            let seed = (seed + server) as u64;
            let share = kills / SERVERS + usize::from(server < kills % SERVERS);
            servers.spawn(async move { (seed, kill_in_traffic(engine, Database::Own, share, seed).await) });
        }
        while let Some(ended) = servers.join_next().await {
            let (seed, counts): (u64, Counts) = ended.unwrap();
            println!("{engine:?}, seed {seed}: {counts:?}");
        }
        println!(
            "{engine:?}: {kills} kills lost nothing in {:.1} minutes",
            started.elapsed().as_secs_f64() / 60.0
        );
    }
}
