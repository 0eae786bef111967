//! Identity through its public functions, on both engines.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod administration;
mod api_keys;
mod directory;
mod dynamic_groups;
mod explanations;
mod home;
mod login;
mod moves;
mod network_sources;
mod retries;
mod rights;
mod security_tokens;
mod signatures;
mod statements;
mod tag_conditions;
mod tags;
mod target_conditions;
mod tokens;
