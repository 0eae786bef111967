//! What tests need to run against real engines and the real program.
//!
//! It fails by panicking: there is nothing a test could do about a missing server.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod directory;
pub mod engines;
pub mod http;
pub mod interleave;
pub mod postgres;
pub mod program;
pub mod rows;
pub mod services;

pub use directory::TempDir;
