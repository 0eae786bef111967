//! The queue between callers and writer threads.
//!
//! A job is owned by the queue and then by a writer, never by its caller: a caller that goes away
//! takes nothing back.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use crate::operation::Operation;
use crate::{Error, Tx};

/// A body with its caller's types erased.
pub(crate) trait Job: Send {
    fn operation(&self) -> &'static Operation;

    /// Runs the body, again if it ran before; true if its writes are to be kept.
    fn run(&mut self, tx: &mut Tx<'_>) -> bool;

    /// Tells the caller what the body gave, or what became of its transaction instead.
    fn answer(self: Box<Self>, transaction: Result<(), Error>);
}

pub(crate) struct Write<T, E, F> {
    operation: &'static Operation,
    body: F,
    result: Option<Result<T, E>>,
    reply: oneshot::Sender<Result<T, E>>,
}

impl<T, E, F> Write<T, E, F> {
    pub(crate) fn new(operation: &'static Operation, body: F) -> (Self, oneshot::Receiver<Result<T, E>>) {
        let (reply, answer) = oneshot::channel();
        (Self { operation, body, result: None, reply }, answer)
    }
}

impl<T, E, F> Job for Write<T, E, F>
where
    F: Fn(&mut Tx<'_>) -> Result<T, E> + Send,
    T: Send,
    E: From<Error> + Send,
{
    fn operation(&self) -> &'static Operation {
        self.operation
    }

    fn run(&mut self, tx: &mut Tx<'_>) -> bool {
        let returned = catch_unwind(AssertUnwindSafe(|| (self.body)(tx)))
            .unwrap_or_else(|_| Err(Error::Panicked.into()));
        let result = returned.and_then(|value| match tx.verdict() {
            Ok(()) => Ok(value),
            Err(error) => Err(error.into()),
        });
        let keep = result.is_ok();
        self.result = Some(result);
        keep
    }

    fn answer(self: Box<Self>, transaction: Result<(), Error>) {
        let result = match transaction {
            Ok(()) => self.result.unwrap_or_else(|| Err(Error::OutcomeUnknown.into())),
            Err(error) => Err(error.into()),
        };
        // Fails when the caller has gone away; what was written stays written.
        let _ = self.reply.send(result);
    }
}

#[derive(Default)]
pub(crate) struct Queue {
    state: Mutex<State>,
    ready: Condvar,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Box<dyn Job>>,
    closed: bool,
}

impl Queue {
    pub(crate) fn push(&self, job: Box<dyn Job>) -> Result<(), Error> {
        let mut state = self.lock();
        if state.closed {
            return Err(Error::Closed);
        }
        state.jobs.push_back(job);
        self.ready.notify_one();
        Ok(())
    }

    /// Refuses new jobs; writers end when those in the queue are done.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.ready.notify_all();
    }

    /// Hands jobs to `work`, at most `most` at a time, until the queue is closed and empty.
    pub(crate) fn serve(&self, most: usize, mut work: impl FnMut(Vec<Box<dyn Job>>)) {
        loop {
            let jobs = self.take(most);
            if jobs.is_empty() {
                return;
            }
            // Bodies are caught one by one; this is for what drops or converts their values.
            if catch_unwind(AssertUnwindSafe(|| work(jobs))).is_err() {
                tracing::error!(
                    "a metadata writer panicked outside a body; its callers are told the outcome is unknown"
                );
            }
        }
    }

    fn take(&self, most: usize) -> Vec<Box<dyn Job>> {
        let mut state = self
            .ready
            .wait_while(self.lock(), |state| state.jobs.is_empty() && !state.closed)
            .unwrap_or_else(PoisonError::into_inner);
        let count = state.jobs.len().min(most);
        state.jobs.drain(..count).collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
