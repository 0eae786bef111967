//! The scrub: reads everything that is stored and says what is wrong with it.
//!
//! A pass goes through blobs and then manifests by their ids, a page at a time. How far it came and what it found
//! is a row, so that it goes on after a stop, and so that the slow pass in the background and an administrator's
//! command work on the same pass: whoever has the page's lock does the next page. It holds nothing else back:
//! what pushes, deletes and collections do at the same time is looked at again before it is called wrong.

mod blobs;
mod manifests;

use std::num::NonZeroU64;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use wharfinger_iam::Ctx;
use wharfinger_metastore::{operations, statements};
use wharfinger_types::Timestamp;

use crate::{Error, Registry, local_only};

pub use blobs::STATEMENTS as BLOB_STATEMENTS;
pub use manifests::{OPERATIONS as MANIFEST_OPERATIONS, STATEMENTS as MANIFEST_STATEMENTS};

statements! {
    SCRUB_STATE = "SELECT state FROM scrub WHERE id = 1";
    SCRUB_STATE_UPSERT =
        "INSERT INTO scrub (id, state) VALUES (1, $1) ON CONFLICT (id) DO UPDATE SET state = excluded.state";
}

operations! {
    SAVE_SCRUB = save_scrub { Relaxed, Guarded, unaudited "how far a scrub came changes nothing that a reader sees" };
}

/// Faults that a report names; more are counted.
const MAX_NAMED: usize = 1_000;
/// How long to wait for the page that another process has.
const PAGE_WAIT: Duration = Duration::from_millis(200);

/// What a pass may do beside looking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Nothing.
    Look,
    /// Mark what is damaged, take the mark from what is whole, mend what there is a copy of.
    Mend,
}

/// Something that is not as it must be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// `blob`, `manifest` or `database`.
    pub kind: String,
    /// The digest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// The repository, for a manifest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<String>,
    /// What is wrong, and what was done about it.
    pub reason: String,
}

/// What a pass looked at and found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScrubReport {
    /// Blobs looked at.
    pub blobs: u64,
    /// Bytes of theirs that were read.
    pub bytes: u64,
    /// Manifests looked at.
    pub manifests: u64,
    /// Blobs found damaged now, and kept from readers from now on.
    pub quarantined: u64,
    /// Blobs that were kept from readers and turned out to be whole.
    pub released: u64,
    /// Manifests mended from a copy.
    pub mended: u64,
    /// What is wrong, those mended included.
    pub faults: Vec<Fault>,
    /// Further ones, beyond the thousand that are named.
    pub further_faults: u64,
    /// From the beginning of the pass to its end.
    pub seconds: u64,
}

impl ScrubReport {
    fn fault(&mut self, fault: Fault) {
        tracing::error!(
            kind = fault.kind,
            digest = fault.digest,
            repository = fault.repository,
            reason = fault.reason,
            "scrub found a fault"
        );
        if self.faults.len() < MAX_NAMED {
            self.faults.push(fault);
        } else {
            self.further_faults += 1;
        }
    }
}

/// Where a pass is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct State {
    started_at: i64,
    #[serde(default)]
    finished_at: Option<i64>,
    /// The last rows that were looked at.
    blob_id: i64,
    manifest_id: i64,
    report: ScrubReport,
}

/// How far a pass came.
#[derive(Debug)]
pub enum Scrubbed {
    /// Another page has been looked at.
    Page(ScrubReport),
    /// The pass has ended.
    Finished(ScrubReport),
}

/// Holds the reading of a scrub back.
#[derive(Debug)]
pub struct Pace {
    bytes_per_second: Option<NonZeroU64>,
    ready_at: Option<Instant>,
}

impl Pace {
    /// At most that many bytes a second; `None` is as fast as it goes.
    pub fn new(bytes_per_second: Option<NonZeroU64>) -> Pace {
        Pace { bytes_per_second, ready_at: None }
    }

    /// Waits after so many bytes.
    async fn after(&mut self, bytes: usize) {
        let Some(rate) = self.bytes_per_second else { return };
        let now = Instant::now();
        let took = Duration::from_secs_f64(bytes as f64 / rate.get() as f64);
        let ready_at = self.ready_at.map_or(now, |ready_at| ready_at.max(now)) + took;
        self.ready_at = Some(ready_at);
        tokio::time::sleep_until(ready_at).await;
    }
}

impl Registry {
    /// Looks at the next page of the pass that is under way. Without one a new pass begins, if the last one began
    /// at `due` or before. `None` if there is nothing to do, or another process does it.
    pub async fn scrub_page(
        &self,
        ctx: &Ctx,
        pace: &mut Pace,
        due: Timestamp,
    ) -> Result<Option<Scrubbed>, Error> {
        local_only(ctx)?;
        let _page = self.0.scrubbing.lock().await;
        let Some(_exclusive) = ctx.store().take_over("scrub").await? else {
            return Ok(None);
        };
        let state: Option<String> = ctx.store().opt(&SCRUB_STATE, &[]).await?;
        let state: Option<State> = state.and_then(|state| serde_json::from_str(&state).ok());
        let mut state = match state {
            Some(state) if state.finished_at.is_none() => state,
            Some(state) if state.started_at > due.0 => return Ok(None),
            _ => State { started_at: ctx.now().0, ..State::default() },
        };
        self.page(ctx, Mode::Mend, &mut state, pace).await?;
        let text = serde_json::to_string(&state).unwrap_or_default();
        ctx.store()
            .write(&SAVE_SCRUB, move |tx| Ok::<_, Error>(tx.run(&SCRUB_STATE_UPSERT, &[&text])?))
            .await?;
        Ok(Some(match state.finished_at {
            None => Scrubbed::Page(state.report),
            Some(_) => Scrubbed::Finished(state.report),
        }))
    }

    /// Runs a whole pass, or the rest of the one that is under way, and reports on all of it. `progress` gets the
    /// report so far, page by page.
    pub async fn scrub(
        &self,
        ctx: &Ctx,
        pace: &mut Pace,
        mut progress: impl FnMut(&ScrubReport) + Send,
    ) -> Result<ScrubReport, Error> {
        loop {
            match self.scrub_page(ctx, pace, Timestamp(i64::MAX)).await? {
                Some(Scrubbed::Page(report)) => progress(&report),
                Some(Scrubbed::Finished(report)) => return Ok(report),
                None => self.sleep(PAGE_WAIT).await?,
            }
        }
    }

    /// Reads everything as a scrub does and changes nothing; looks at the database itself as well.
    pub async fn verify(
        &self,
        ctx: &Ctx,
        mut progress: impl FnMut(&ScrubReport) + Send,
    ) -> Result<ScrubReport, Error> {
        local_only(ctx)?;
        let mut state = State { started_at: ctx.now().0, ..State::default() };
        for reason in ctx.store().contradictions().await? {
            state.report.fault(Fault { kind: "database".to_owned(), digest: None, repository: None, reason });
        }
        while state.finished_at.is_none() {
            self.page(ctx, Mode::Look, &mut state, &mut Pace::new(None)).await?;
            progress(&state.report);
        }
        Ok(state.report)
    }

    async fn page(&self, ctx: &Ctx, mode: Mode, state: &mut State, pace: &mut Pace) -> Result<(), Error> {
        let started = Instant::now();
        let is_last = !self.scrub_blobs(ctx, mode, state, pace).await?
            && !self.scrub_manifests(ctx, mode, state, pace).await?;
        state.report.seconds += started.elapsed().as_secs();
        if is_last {
            state.finished_at = Some(ctx.now().0);
        }
        Ok(())
    }
}
