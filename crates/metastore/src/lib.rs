//! One store over SQLite and PostgreSQL: named statements, one primitive for writing, reads beside it.
//!
//! A service names its SQL with [`statements!`], its rows with [`row!`] and its writes with
//! [`operations!`], and then calls [`Store::write`], [`Store::opt`] and [`Store::all`]. Nothing
//! outside this crate sees a driver, a connection or a transaction's begin and end.
//!
//! It must not know what any table means, and holds no SQL but the migrations', its own version
//! table's and the catalogs'.

mod catalog;
#[cfg(feature = "check")]
pub mod check;
mod error;
mod migrate;
mod operation;
mod postgres;
mod queue;
mod sqlite;
mod statement;
mod store;
mod transfer;
mod tx;

pub use error::{Cause, Error};
pub use migrate::{OPERATIONS, STATEMENTS};
pub use operation::{Isolation, Operation, Promise, Record};
pub use sqlite::CommitStep;
pub use statement::{Args, Column, FromRow, Param, Row, Statement};
pub use store::{EngineKind, Exclusive, Location, Store};
pub use transfer::{CopiedRows, RowCounts};
pub use tx::Tx;
