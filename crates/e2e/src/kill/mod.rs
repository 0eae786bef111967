//! Servers that are killed, and lied to by their disks and databases, in the middle of pushes, mounts, deletions,
//! restores and collections.
//!
//! A round has one trouble. Kills and errors come at system calls, by strace: the program is the one that is
//! shipped and has no part in it. What the seed decides is who does what and where the trouble is; the threads'
//! timing is the machine's.

mod writer;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::RwLock;
use tokio::task::{JoinError, JoinSet};
use tokio::time::sleep;
use wharfinger_testkit::http::Dice;
use wharfinger_testkit::program::{EngineKind, Program};

use crate::syscalls::{fault, tracer_of};
use crate::wait_until;
use writer::Writer;

const WRITERS: usize = 4;
/// A trouble that does not come by then is not waited for.
const ENOUGH: usize = 40;
/// How long a server may take to end when nobody gets an answer any more.
const PATIENCE: Duration = Duration::from_secs(20);
/// Images go soon; blobs only when no push can be about them any more.
const AGES: [(&str, &str); 4] = [
    ("WHARFINGER__REGISTRY__UNDELETE_WINDOW", "3s"),
    ("WHARFINGER__REGISTRY__UNLINKED_BLOB_AGE", "5m"),
    ("WHARFINGER__REGISTRY__UPLOAD_MAX_AGE", "5m"),
    ("WHARFINGER__GC__READER_GRACE", "0s"),
];

/// What goes wrong in a round.
#[derive(Debug, Clone)]
enum Trouble {
    /// A kill after that many acknowledgements.
    Kill(usize),
    /// A kill at a call: which, and the how many-th of a thread.
    KillAt(&'static str, usize),
    /// An error at calls: which, what error, the first of a thread and how many there are between two.
    Errors(&'static str, &'static str, usize, usize),
    /// The database's connections are cut again and again.
    Cuts,
    /// The database crashes.
    DatabaseCrash,
}

/// Calls at which a thread may be killed, and how many of each one in a round may be.
const KILLED_AT: [(&str, usize); 5] = [
    ("pwrite64", 90),
    ("fsync,fdatasync", 12),
    ("unlinkat", 3),
    ("writev,sendto", 60),
    ("openat,mkdirat", 30),
];
const ERRORS: [(&str, &str); 3] =
    [("pwrite64", "error=EIO"), ("fsync,fdatasync", "error=EIO"), ("pwrite64", "error=ENOSPC")];

/// What the rounds met, for the report of a proof.
#[derive(Debug, Default, Clone, Copy)]
pub struct Counts {
    pub kills: usize,
    /// Of these, at a system call.
    pub at_calls: usize,
    /// Troubles that came while the server started.
    pub at_starts: usize,
    pub acknowledged: usize,
    /// Requests that were answered with an error of the server.
    pub errors: usize,
    pub sessions: usize,
    pub collections: usize,
    /// Rounds whose trouble was no kill.
    pub other_troubles: usize,
}

/// Whether the database of this process's tests may be crashed: nobody else's tests run beside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Database {
    Shared,
    Own,
}

/// A crash of the database is felt by every server: its round is the only one.
static ROUNDS: RwLock<()> = RwLock::const_new(());

/// Runs rounds until there were so many kills.
pub async fn kill_in_traffic(engine: EngineKind, database: Database, kills: usize, seed: u64) -> Counts {
    let mut program = Program::start_with(engine, &AGES);
    program.kill();
    let mut dice = Dice::new(seed);
    let mut counts = Counts::default();
    let mut writers: Vec<Writer> = (0..WRITERS).map(|number| Writer::new(number, dice.roll())).collect();
    for round in 0.. {
        if counts.kills >= kills {
            break;
        }
        let trouble = choose(engine, database, &mut dice);
        let context = format!("seed {seed}, round {round}, {trouble:?}");
        let alone = matches!(trouble, Trouble::DatabaseCrash);
        let _alone = if alone { Some(ROUNDS.write().await) } else { None };
        let _beside = if alone { None } else { Some(ROUNDS.read().await) };
        if !program.restart_under(&wrapper(&trouble)) {
            counts.at_starts += 1;
            counts.kills += usize::from(matches!(trouble, Trouble::KillAt(..)));
            assert!(program.restart_under(&[]), "{context}: no start after a trouble at the start");
        }
        let ended = traffic(&mut program, &mut writers, &trouble, &mut counts, &context).await;
        if matches!(trouble, Trouble::Errors(..)) && !ended {
            program.stop();
        } else {
            program.kill();
            counts.kills += 1;
            counts.at_calls += usize::from(ended);
        }
        assert!(program.restart_under(&[]), "{context}: no start after the round");
        for writer in &mut writers {
            counts.sessions += writer.sessions();
            let checked = writer.verify(&program).await;
            checked.unwrap_or_else(|error| panic!("{context}: {error:#}"));
        }
        wait_until("no open transaction", async || program.idle_transactions() == 0).await;
        // The next round starts it under its own trouble.
        program.kill();
    }
    let _alone = ROUNDS.read().await;
    assert!(program.restart_under(&[]), "seed {seed}: no start at the end");
    for writer in &mut writers {
        writer.doubt_everything();
        let checked = writer.verify(&program).await;
        checked.unwrap_or_else(|error| panic!("seed {seed}, at the end: {error:#}"));
    }
    program.stop();
    counts
}

fn choose(engine: EngineKind, database: Database, dice: &mut Dice) -> Trouble {
    match (engine, dice.below(10)) {
        (_, 0..=2) => Trouble::Kill(1 + dice.below(30)),
        (_, 3..=6) => {
            let (calls, most) = KILLED_AT[dice.below(KILLED_AT.len())];
            Trouble::KillAt(calls, 1 + dice.below(most))
        }
        (EngineKind::Postgres, 7) => Trouble::Cuts,
        (EngineKind::Postgres, 8) if database == Database::Own => Trouble::DatabaseCrash,
        _ => {
            let (calls, error) = ERRORS[dice.below(ERRORS.len())];
            Trouble::Errors(calls, error, 8 + dice.below(20), 5 + dice.below(40))
        }
    }
}

fn wrapper(trouble: &Trouble) -> Vec<String> {
    let nowhere = Path::new("/dev/null");
    match trouble {
        Trouble::KillAt(calls, number) => {
            fault(tracer_of(calls, nowhere), calls, "signal=KILL", &number.to_string())
        }
        Trouble::Errors(calls, error, first, between) => {
            fault(tracer_of(calls, nowhere), calls, error, &format!("{first}+{between}"))
        }
        Trouble::Kill(_) | Trouble::Cuts | Trouble::DatabaseCrash => Vec::new(),
    }
}

/// Lets the writers work until the trouble has come, or until there was enough without it; whether the server
/// ended of it.
async fn traffic(
    program: &mut Program,
    writers: &mut Vec<Writer>,
    trouble: &Trouble,
    counts: &mut Counts,
    context: &str,
) -> bool {
    let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let may_forget = matches!(trouble, Trouble::DatabaseCrash);
    let may_fail = may_forget || matches!(trouble, Trouble::Errors(..) | Trouble::Cuts);
    let mut tasks = JoinSet::new();
    for writer in writers.drain(..) {
        let (access, stop, done) =
            (writer::Access::new(program, may_fail, may_forget), Arc::clone(&stop), Arc::clone(&done));
        tasks.spawn(writer.work(access, stop, done));
    }
    let enough = match trouble {
        Trouble::Kill(acknowledgements) => *acknowledgements,
        _ => ENOUGH,
    };
    let (mut next_cut, mut gave_up) = (4, None);
    let ended = loop {
        let acknowledged = done.load(Ordering::Relaxed);
        if program.has_ended() {
            break true;
        }
        if acknowledged >= enough {
            break false;
        }
        if let Some(ended) = tasks.try_join_next() {
            take_back(writers, ended, context);
        }
        if tasks.is_empty() {
            // They may know of its end before the tracer does.
            let since = *gave_up.get_or_insert_with(Instant::now);
            assert!(since.elapsed() < PATIENCE, "{context}: all writers gave up, and the server goes on");
        }
        if acknowledged >= next_cut {
            next_cut += 8;
            match trouble {
                Trouble::Cuts => program.cut_database_connections(),
                Trouble::DatabaseCrash if next_cut % 24 == 4 => wharfinger_testkit::postgres::crash(),
                _ => {}
            }
        }
        sleep(Duration::from_millis(2)).await;
    };
    if matches!(trouble, Trouble::Kill(_) | Trouble::KillAt(..)) {
        program.end_at_once();
    }
    stop.store(true, Ordering::Relaxed);
    while let Some(ended) = tasks.join_next().await {
        take_back(writers, ended, context);
    }
    writers.sort_by_key(Writer::number);
    counts.acknowledged += done.load(Ordering::Relaxed);
    for writer in writers {
        counts.errors += writer.take_errors();
        counts.collections += writer.take_collections();
    }
    counts.other_troubles += usize::from(may_fail);
    ended
}

fn take_back(writers: &mut Vec<Writer>, ended: Result<anyhow::Result<Writer>, JoinError>, context: &str) {
    let writer = ended.expect("a writer does not panic");
    writers.push(writer.unwrap_or_else(|error| panic!("{context}: {error:#}")));
}
