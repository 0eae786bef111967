//! Scrub, verification and backup on demand, and how far they are.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use wharfinger_iam::Error as IamError;
use wharfinger_registry::Registry;
use wharfinger_registry::scrub::Pace;

use super::{Answer, Body, Caller};

/// The reports so far of what is under way, by operation.
#[derive(Debug, Clone, Default)]
pub(super) struct Progress(Arc<Mutex<BTreeMap<&'static str, Value>>>);

/// Takes the operation off again.
struct Shown(Progress, &'static str);

impl Progress {
    fn show(&self, operation: &'static str) -> Shown {
        Shown(self.clone(), operation)
    }
}

impl Shown {
    fn is(&self, report: &impl Serialize) {
        let mut shown = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        shown.insert(self.1, json(report));
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner).remove(self.1);
    }
}

/// Numbers and texts always serialise.
fn json(report: &impl Serialize) -> Value {
    serde_json::to_value(report).unwrap_or_default()
}

pub(super) async fn get_upkeep(_caller: Caller, Extension(progress): Extension<Progress>) -> Answer {
    Ok(Json(json(&*progress.0.lock().unwrap_or_else(PoisonError::into_inner))))
}

pub(super) async fn scrub(
    caller: Caller,
    Extension(registry): Extension<Registry>,
    Extension(progress): Extension<Progress>,
) -> Answer {
    let shown = progress.show("scrub");
    let mut pace = Pace::new(None);
    let report = registry.scrub(&caller.ctx, &mut pace, |report| shown.is(report)).await?;
    Ok(Json(json(&report)))
}

pub(super) async fn verify(
    caller: Caller,
    Extension(registry): Extension<Registry>,
    Extension(progress): Extension<Progress>,
) -> Answer {
    let shown = progress.show("verify");
    let report = registry.verify(&caller.ctx, |report| shown.is(report)).await?;
    Ok(Json(json(&report)))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CreateBackupBody {
    directory: PathBuf,
}

pub(super) async fn create_backup(
    caller: Caller,
    Extension(registry): Extension<Registry>,
    Extension(progress): Extension<Progress>,
    body: Body<CreateBackupBody>,
) -> Answer {
    let Json(CreateBackupBody { directory }) = body?;
    if !directory.is_absolute() {
        let (value, remedy) =
            (directory.display().to_string(), "give an absolute path of the server's machine");
        return Err(IamError::Invalid { field: "directory", value, remedy }.into());
    }
    let shown = progress.show("create_backup");
    let report = registry.create_backup(&caller.ctx, &directory, |report| shown.is(report)).await?;
    Ok(Json(json(&report)))
}
