//! Identity through its public functions, on both engines.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod administration;
mod api_keys;
mod directory;
mod explanations;
mod login;
mod network_sources;
mod retries;
mod rights;
mod signatures;
mod statements;
mod tag_conditions;
mod tags;
mod tokens;
