//! The policy language through its public interface.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod catalog;
mod comparison;
mod corpus;
mod generate;
mod hostile;
mod laws;
mod policies;
mod scale;
mod statements;

use wharfinger_policy::{Group, scenario};
use wharfinger_types::Ocid;

fn id(kind: &str, name: &str) -> Ocid {
    scenario::id(kind, &[name]).unwrap()
}

fn group(name: &str) -> Group {
    scenario::group("group", name).unwrap()
}
