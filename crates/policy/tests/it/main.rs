//! The policy language through its public interface.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod catalog;
mod corpus;
mod generate;
mod hostile;
mod laws;
mod policies;
mod scale;
mod scenario;
mod statements;
