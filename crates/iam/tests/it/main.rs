//! Identity through its public functions, on both engines.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod administration;
mod login;
mod rights;
mod statements;
mod tokens;
