//! Garbage collection: what nobody can reach any more goes, in small transactions, while everybody works.
//!
//! Every step deletes rows that foreign keys let go, and looks at them once more in the statement that deletes:
//! whoever takes hold of a row in between makes the deletion fail, or finds the row gone and is told so. What a
//! run has done is in the database alone, so that one that was cut off is finished by the next.
//! docs/garbage-collection.md has the argument.

pub(crate) mod blobs;
pub(crate) mod links;
pub(crate) mod manifests;
pub(crate) mod objects;
pub(crate) mod orphans;
mod report;
pub(crate) mod repositories;
pub(crate) mod uploads;

use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;
use wharfinger_audit::Origin;
use wharfinger_iam::{Ctx, Error as IamError};
use wharfinger_metastore::{Error as StoreError, Operation, Tx};

use crate::{Error, Registry, local_only};
pub use report::{Collected, Progress, Reason, Totals};

/// Rows of a transaction.
const BATCH: i64 = 100;
/// Rows of a page that is looked through.
const PAGE: i64 = 500;
/// How often a step is tried whose rows others take hold of. The next run tries again.
const ATTEMPTS: usize = 4;
/// How much longer than a step of a whole run its rest is: pulls beside it keep nine tenths of the machine at least.
const REST: u32 = 9;
/// The longest rest after a step.
const LONGEST_REST: Duration = Duration::from_secs(1);
/// Between two looks at whether another replica has finished.
const TURN: Duration = Duration::from_secs(1);
/// What replicas know the task by.
const TASK: &str = "garbage collection";

/// How long things are kept that nobody needs, in seconds.
#[derive(Debug, Clone, Copy)]
pub struct Ages {
    /// How long a deleted image or repository can be restored.
    pub undelete_window: i64,
    /// How long a blob that no manifest uses stays in a repository after it was last pushed, mounted or asked for.
    pub unlinked_blob_age: i64,
    /// How long an upload may take.
    pub upload_max_age: i64,
    /// How long an object stays after its row has gone, for those who are about to read it.
    pub reader_grace: i64,
}

impl Default for Ages {
    fn default() -> Ages {
        let day = 86_400;
        Ages { undelete_window: 2 * day, unlinked_blob_age: day, upload_max_age: day, reader_grace: 300 }
    }
}

impl Ages {
    /// How old the renewal of a link must be before a HEAD renews it again, in microseconds: an hour, or half of
    /// the age at which it is collected if that is less.
    pub(crate) fn renewal(&self) -> i64 {
        (self.unlinked_blob_age / 2).min(3_600) * MICROSECONDS
    }
}

const MICROSECONDS: i64 = 1_000_000;

/// One run of the collector, or a part of one: each step can be called by itself, in any order, at any time.
#[derive(Debug)]
pub struct Collection<'a> {
    registry: &'a Registry,
    ctx: &'a Ctx,
    is_dry_run: bool,
    /// How much longer than a step its rest is.
    rest: u32,
    started: Instant,
    collected: Collected,
}

/// Why a body wrote nothing.
#[derive(Debug)]
enum Halt {
    /// There is nothing left to do in it.
    Nothing,
    Failed(StoreError),
}

impl From<StoreError> for Halt {
    fn from(error: StoreError) -> Halt {
        Halt::Failed(error)
    }
}

/// An object to be removed, as it stands in a list of them.
#[derive(Debug, Clone, Serialize)]
struct Doomed {
    object: String,
    size_bytes: i64,
}

impl Registry {
    /// Collects all garbage, or says what would go. Waits for a run that is under way, here or in another
    /// replica, and for the grace of readers.
    ///
    /// # Errors
    /// [`Error::Stopping`] if the process ends first; what was done until then stays done.
    pub async fn collect_garbage(&self, ctx: &Ctx, is_dry_run: bool) -> Result<Collected, Error> {
        let collection = self.collection(ctx, is_dry_run)?;
        let _turn = self.0.collecting.lock().await;
        let _task = loop {
            match ctx.store().take_over(TASK).await? {
                Some(task) => break task,
                None => self.sleep(TURN).await?,
            }
        };
        collection.run().await
    }

    /// Collects garbage unless a run is under way, here or in another replica.
    ///
    /// # Errors
    /// As [`Registry::collect_garbage`].
    pub async fn collect_garbage_if_due(&self, ctx: &Ctx) -> Result<Option<Collected>, Error> {
        let collection = self.collection(ctx, false)?;
        let Ok(_turn) = self.0.collecting.try_lock() else { return Ok(None) };
        match ctx.store().take_over(TASK).await? {
            Some(_task) => collection.run().await.map(Some),
            None => Ok(None),
        }
    }

    /// A run whose steps the caller chooses, without rests between them. Only the local administrator may have one: it is the installation's,
    /// not a tenancy's.
    ///
    /// # Errors
    /// A refusal.
    pub fn collection<'a>(&'a self, ctx: &'a Ctx, is_dry_run: bool) -> Result<Collection<'a>, Error> {
        local_only(ctx)?;
        let collected = Collected { dry_run: is_dry_run, ..Collected::default() };
        Ok(Collection { registry: self, ctx, is_dry_run, rest: 0, started: Instant::now(), collected })
    }

    /// Ends runs that are under way, at their next step, and lets none begin: the process is about to end.
    pub fn stop_collecting(&self) {
        self.0.stopping.send_replace(true);
    }

    pub(crate) async fn sleep(&self, time: Duration) -> Result<(), Error> {
        let mut stopping = self.0.stopping.subscribe();
        // The sender lives as long as the registry.
        let stopped = tokio::time::timeout(time, stopping.wait_for(|is_stopping| *is_stopping)).await;
        if stopped.is_ok() { Err(Error::Stopping) } else { Ok(()) }
    }
}

impl Collection<'_> {
    /// All steps, those first whose rows others refer to.
    async fn run(mut self) -> Result<Collected, Error> {
        self.rest = REST;
        let run = async {
            self.uploads().await?;
            self.repositories().await?;
            self.manifests().await?;
            self.links().await?;
            self.blobs().await?;
            self.orphans().await?;
            self.empty_repositories().await?;
            self.objects().await
        };
        let outcome = run.await;
        let collected = self.finish();
        let Collected { manifests, links, blobs, objects, bytes, seconds, dry_run, .. } = collected;
        tracing::info!(
            manifests,
            links,
            blobs,
            objects,
            bytes,
            seconds,
            dry_run,
            error = outcome.as_ref().err().map(tracing::field::display),
            "garbage collection ended"
        );
        outcome.map(|()| collected)
    }

    /// What the steps have done so far.
    pub fn finish(mut self) -> Collected {
        self.collected.seconds = self.started.elapsed().as_secs_f64();
        self.registry.note_end(&self.collected);
        self.collected
    }

    /// When something is done now: a run takes longer than a request may.
    fn now(&self) -> i64 {
        let elapsed = i64::try_from(self.started.elapsed().as_micros()).unwrap_or(i64::MAX);
        self.ctx.now().0.saturating_add(elapsed)
    }

    /// What came before it is older than `seconds`.
    fn cutoff(&self, seconds: i64) -> i64 {
        self.now().saturating_sub(seconds.saturating_mul(MICROSECONDS))
    }

    fn ages(&self) -> &Ages {
        &self.registry.0.ages
    }

    /// Who removes what nobody else asked to be removed.
    fn origin(&self) -> Origin {
        let name = "garbage-collector".to_owned();
        Origin { principal_id: name.clone(), principal_name: name, ..self.ctx.origin() }
    }

    /// Runs a body, again if somebody referred to one of its rows at that moment: then it leaves that one out.
    /// `None` if there was nothing to do.
    async fn write<T: Send + 'static>(
        &self,
        operation: &'static Operation,
        body: impl Fn(&mut Tx<'_>) -> Result<T, Halt> + Clone + Send + 'static,
    ) -> Result<Option<T>, Error> {
        for _ in 0..ATTEMPTS {
            match self.ctx.store().write(operation, body.clone()).await {
                Ok(done) => return Ok(Some(done)),
                Err(Halt::Nothing) => return Ok(None),
                Err(Halt::Failed(StoreError::ForeignKey { .. })) => {}
                Err(Halt::Failed(error)) => return Err(IamError::from(error).into()),
            }
        }
        Ok(None)
    }

    /// Leaves the others more time than the step took, and shows how far the run is.
    async fn rest(&self, step: &'static str, since: Instant) -> Result<(), Error> {
        self.registry.note_progress(step, &self.collected);
        self.registry.sleep(since.elapsed().saturating_mul(self.rest).min(LONGEST_REST)).await
    }

    /// Objects that will go once their rows have; a dry run counts them as gone.
    fn note_doomed(&mut self, why: &'static str, doomed: &[Doomed]) {
        for one in doomed {
            self.collected.note("objects", why, one.size_bytes, || one.object.clone());
            if self.is_dry_run {
                self.collected.count_object(one.size_bytes);
            }
        }
    }
}

/// Ids or texts as a JSON list.
fn json<T: Serialize>(values: &[T]) -> String {
    // Numbers and texts always serialise.
    serde_json::to_string(values).unwrap_or_default()
}

/// The rows of a page in runs of one repository, each at most a batch long.
fn by_repository<T>(rows: &[T], repository: impl Fn(&T) -> i64) -> impl Iterator<Item = &[T]> {
    let most = usize::try_from(BATCH).unwrap_or(usize::MAX);
    rows.chunk_by(move |one, other| repository(one) == repository(other))
        .flat_map(move |run| run.chunks(most))
}
