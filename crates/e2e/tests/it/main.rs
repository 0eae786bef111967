//! The program as its users meet it: real clients, real files, real signals.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    reason = "tests"
)]

mod conformance;
mod errors;
mod hang_up;
mod kill;
mod races;
mod rights;
mod surface;
mod tour;
