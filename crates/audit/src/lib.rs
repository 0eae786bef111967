//! The audit record: who did what to which resource, from where, when.
//!
//! A record is written in the transaction of the change that it tells of, so that there is none
//! without the other; the store refuses to commit an audited operation that wrote none or two.
//! This crate knows nothing of rights: everybody above it writes records.

use std::net::IpAddr;

use serde::Serialize;
use wharfinger_metastore::{Error, Tx, statements};
use wharfinger_types::Timestamp;

statements! {
    /// Appends a record. Records are never changed.
    AUDIT_RECORD_INSERT =
        "INSERT INTO audit_record (tenancy_id, recorded_at, operation, record) VALUES ($1, $2, $3, $4)";
}

/// Who asked for a change, and how the request came in.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Origin {
    /// The principal's OCID, or a fixed word for one that has none (`local-administrator`, `anonymous`).
    pub principal_id: String,
    /// The principal's name as people know it.
    pub principal_name: String,
    /// The request's id, as in the log and in the answer's header.
    pub request_id: String,
    /// Where the request came from; absent for the control socket.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_address: Option<IpAddr>,
    /// When the request came in.
    #[serde(skip)]
    pub at: Timestamp,
}

/// What was changed. Names in here are bounded by their types: a record stays far below the 65,535
/// bytes that a log entry may have.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Subject {
    /// The changed resource: an OCID, or a digest where the resource has none.
    pub resource_id: String,
    /// Its name as people know it.
    pub resource_name: String,
    /// What else tells the change apart, such as a digest or a new value. Never a secret.
    #[serde(skip_serializing_if = "serde_json::Map::is_empty")]
    pub details: serde_json::Map<String, serde_json::Value>,
}

impl Subject {
    /// A subject without details.
    pub fn new(resource_id: impl Into<String>, resource_name: impl Into<String>) -> Subject {
        Subject {
            resource_id: resource_id.into(),
            resource_name: resource_name.into(),
            details: serde_json::Map::new(),
        }
    }

    /// Adds one detail.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<serde_json::Value>) -> Subject {
        self.details.insert(name.to_owned(), value.into());
        self
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Record<'a> {
    operation: &'a str,
    event_time: String,
    #[serde(flatten)]
    origin: &'a Origin,
    #[serde(flatten)]
    subject: &'a Subject,
}

/// Writes the record of the operation that `tx` runs, for the tenancy that owns the resource.
pub fn record(tx: &mut Tx, tenancy_id: i64, origin: &Origin, subject: &Subject) -> Result<(), Error> {
    let operation = tx.operation().name;
    let record = Record { operation, event_time: origin.at.to_string(), origin, subject };
    // Maps with text keys and plain values always serialise.
    let record = serde_json::to_string(&record).unwrap_or_default();
    tx.run(&AUDIT_RECORD_INSERT, &[&tenancy_id, &origin.at.0, &operation, &record])?;
    tx.count_record();
    Ok(())
}
