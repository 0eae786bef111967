//! The registry through its public functions, on both engines.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod backup;
mod collection;
mod collection_races;
mod crashes;
mod damage;
mod images;
mod interleavings;
mod manifests;
mod mounts;
mod races;
mod referrers;
mod repositories;
mod restore;
mod statements;
mod uploads;
