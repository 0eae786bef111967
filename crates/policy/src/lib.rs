//! The policy language of Oracle Cloud: statements parsed, checked, compiled, decided and explained.
//!
//! Text becomes a tree (`parse`), whose words are checked against the tables (`check`, `catalog`,
//! `variables`); a tenancy's policies and compartments become a [`PolicySet`] (`compile`), which answers
//! requests (`decide`), says which statement decided or nearly did (`explain`), and lists what each gives
//! (`grants`). When a compartment moves, statements follow it (`follow`).
//!
//! Pure: it knows no I/O, no clock and no storage; only `scenario`, a feature for commands and tests,
//! knows a format but the language's own. All it looks at is passed in. It never panics, whatever the
//! text, and its work is linear in it.

mod ast;
mod builtin;
mod catalog;
mod check;
mod compile;
mod condition;
mod decide;
mod diagnostic;
mod explain;
mod follow;
mod foreign;
mod grants;
mod instant;
mod lexer;
mod matching;
mod parse;
mod policy;
mod print;
mod request;
#[cfg(feature = "scenario")]
pub mod scenario;
mod span;
mod tree;
mod variables;

pub use ast::{
    Action, Comparison, Condition, Define, DefineKind, Effect, Form, GroupName, Location, Members, Pattern,
    Rule, Statement, Subject, Tenancy, Test, Value, Verb, With,
};
pub use builtin::{ADMINISTRATORS, TENANT_ADMIN_POLICY, TENANT_ADMIN_STATEMENT, deny_guard_statement};
pub use catalog::{ALL_RESOURCES, permissions, permissions_of, resource_types};
pub use compile::{PolicySet, StatementRef, compile};
pub use decide::{Decision, Outcome};
pub use diagnostic::{Diagnostic, Severity};
pub use explain::{Clause, MAX_NEAR_MISSES, NearMiss};
pub use follow::follow;
pub use grants::Grant;
pub use matching::check_matching_rule;
pub use parse::{MAX_NESTING, MAX_STATEMENT, Parsed, parse_document, parse_statement};
pub use policy::{DenyStatements, Options, Policy, Problem, check_policy};
pub use request::{Attribute, DEFAULT_DOMAIN, Group, Principal, PrincipalKind, Request};
pub use span::{Span, Spanned};
pub use tree::{Compartment, CompartmentTree, Error};
