//! The policy language through its public interface.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod catalog;
mod comparison;
mod corpus;
mod follow;
mod generate;
mod grants;
mod hostile;
mod laws;
mod matching;
mod policies;
mod scale;
mod scenario;
mod statements;

use wharfinger_policy::Group;
use wharfinger_types::Ocid;

fn id(kind: &str, name: &str) -> Ocid {
    wharfinger_policy::scenario::id(kind, &[name]).unwrap()
}

fn group(name: &str) -> Group {
    wharfinger_policy::scenario::group("group", name).unwrap()
}
