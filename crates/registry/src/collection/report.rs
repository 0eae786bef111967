//! What runs of the collector have done, for their caller, those who wait, and the metrics.

use std::sync::PoisonError;

use serde::Serialize;
use utoipa::ToSchema;

use crate::Registry;

/// Names that a reason shows.
const EXAMPLES: usize = 10;

/// What a run removed, or would remove.
#[derive(Debug, Clone, Default, PartialEq, Serialize, ToSchema)]
pub struct Collected {
    /// Manifests that were deleted longer ago than they can be restored.
    pub manifests: u64,
    /// Blobs that a repository had for no manifest.
    pub links: u64,
    /// Blobs that no repository has.
    pub blobs: u64,
    /// Objects of the storage.
    pub objects: u64,
    /// Bytes of manifests and objects.
    pub bytes: u64,
    /// How long it took.
    pub seconds: f64,
    /// Whether nothing was removed in fact.
    pub dry_run: bool,
    /// The same by reason.
    pub reasons: Vec<Reason>,
}

/// Why something goes.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Reason {
    /// `manifests`, `links`, `blobs` or `objects`.
    pub kind: &'static str,
    /// In words, naming the setting.
    pub why: &'static str,
    /// How many.
    pub count: u64,
    /// Their bytes.
    pub bytes: u64,
    /// The first of them by name.
    pub examples: Vec<String>,
}

/// How far a run is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, ToSchema)]
pub struct Progress {
    /// The step that it is in; `None` when there is no run.
    pub step: Option<&'static str>,
    /// What it has removed so far.
    pub manifests: u64,
    /// As in [`Collected`].
    pub links: u64,
    /// As in [`Collected`].
    pub blobs: u64,
    /// As in [`Collected`].
    pub objects: u64,
    /// As in [`Collected`].
    pub bytes: u64,
}

/// What all runs of this process have removed.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Totals {
    /// How many runs ended.
    pub runs: u64,
    /// What they removed, and their time.
    pub collected: Collected,
}

impl Collected {
    pub(super) fn note(
        &mut self,
        kind: &'static str,
        why: &'static str,
        bytes: i64,
        name: impl FnOnce() -> String,
    ) {
        let position = self.reasons.iter().position(|reason| reason.kind == kind && reason.why == why);
        let index = position.unwrap_or_else(|| {
            self.reasons.push(Reason { kind, why, count: 0, bytes: 0, examples: Vec::new() });
            self.reasons.len() - 1
        });
        if let Some(reason) = self.reasons.get_mut(index) {
            reason.count += 1;
            reason.bytes += u64::try_from(bytes).unwrap_or(0);
            if reason.examples.len() < EXAMPLES {
                reason.examples.push(name());
            }
        }
    }

    pub(super) fn count_object(&mut self, bytes: i64) {
        self.objects += 1;
        self.bytes += u64::try_from(bytes).unwrap_or(0);
    }
}

impl Registry {
    /// How far the run is that is under way in this process.
    pub fn collection_progress(&self) -> Progress {
        self.0.progress.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What the runs of this process have removed.
    pub fn collection_totals(&self) -> Totals {
        self.0.totals.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn note_progress(&self, step: &'static str, so_far: &Collected) {
        let Collected { manifests, links, blobs, objects, bytes, .. } = *so_far;
        let progress = Progress { step: Some(step), manifests, links, blobs, objects, bytes };
        *self.0.progress.lock().unwrap_or_else(PoisonError::into_inner) = progress;
    }

    pub(super) fn note_end(&self, run: &Collected) {
        *self.0.progress.lock().unwrap_or_else(PoisonError::into_inner) = Progress::default();
        if run.dry_run {
            return;
        }
        let mut totals = self.0.totals.lock().unwrap_or_else(PoisonError::into_inner);
        totals.runs += 1;
        let all = &mut totals.collected;
        all.manifests += run.manifests;
        all.links += run.links;
        all.blobs += run.blobs;
        all.objects += run.objects;
        all.bytes += run.bytes;
        all.seconds += run.seconds;
    }
}
