//! The program as its users meet it: real clients, real files, real signals.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    reason = "tests"
)]

mod answers;
mod attack;
mod backup;
mod collection;
mod conditions;
mod conformance;
mod differential;
mod docker;
mod errors;
mod explanations;
mod full_disk;
mod hang_up;
mod incidents;
mod kill;
mod manifests;
mod oci;
mod policy;
mod quirks;
mod races;
mod rights;
mod signatures;
mod signer;
mod surface;
mod syscalls;
mod team;
mod tour;
mod uploads;
