//! Request signatures through the public interface.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod duplicates;
mod keys;
mod message;
mod properties;
mod refusals;
mod vectors;
