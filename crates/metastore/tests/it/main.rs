//! The contract of the store, on both engines.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod checks;
mod errors;
mod failures;
mod interleavings;
mod isolation;
mod postgres_connections;
mod reads;
mod schema;
mod shelf;
mod transfer;
mod writes;
