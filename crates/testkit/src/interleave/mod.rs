//! Runs write bodies on PostgreSQL in every order in which their statements can meet.
//!
//! Each body has a store of its own, whose writers reach the database through a [`gate`]. One
//! statement runs at a time, the next one is taken by a [`Search`]. A statement that waits for a lock
//! of another body stands aside until that has gone on.

mod gate;
mod search;

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio_postgres::{Client, NoTls};
use wharfinger_metastore::{Location, Store};

use crate::postgres;
use gate::{Event, Gate};
pub use search::{Order, Orders, Search};

/// How long a statement runs before it is asked whether it waits for a lock.
const LOCK_CHECK: Duration = Duration::from_millis(1);
/// After so many milliseconds of waiting for a lock the server looks for a deadlock, once.
const DEADLOCK_MS: u64 = 1;
/// How the first statement of a body starts.
const BEGIN: &str = "BEGIN";
/// A body that does nothing for so long hangs.
const PATIENCE: Duration = Duration::from_secs(30);

/// Stores over one database, whose writes go where they are told.
#[derive(Debug)]
pub struct Interleaving {
    stores: Vec<Store>,
    gates: Vec<Gate>,
    events: mpsc::UnboundedReceiver<Event>,
    database: Client,
    _connection: JoinSet<()>,
}

/// Where a body stands.
#[derive(Debug)]
enum Actor {
    /// Between two statements.
    Thinking,
    /// Before a statement.
    Waiting {
        pid: i32,
        statement: String,
        permit: oneshot::Sender<()>,
    },
    /// In a statement, which may have waited for a lock before.
    Running {
        pid: i32,
        has_waited: bool,
    },
    /// In a statement that waits for a lock.
    Locked {
        pid: i32,
    },
    Done,
}

impl Interleaving {
    /// A new database with so many stores.
    ///
    /// # Panics
    /// If they cannot be opened.
    pub async fn open(actors: usize) -> Interleaving {
        let url = postgres::database();
        let (database, connection) = tokio_postgres::connect(&url, NoTls).await.unwrap();
        let mut connections = JoinSet::new();
        connections.spawn(async move {
            let _ = connection.await;
        });
        let name = url.rsplit('/').next().unwrap();
        database
            .batch_execute(&format!("ALTER DATABASE {name} SET deadlock_timeout = '{DEADLOCK_MS}ms'"))
            .await
            .unwrap();
        let server = url.split(['@', '/']).nth(3).unwrap().parse().unwrap();
        let (sender, events) = mpsc::unbounded_channel();
        let (mut stores, mut gates) = (Vec::new(), Vec::new());
        for actor in 0..actors {
            let gate = Gate::open(server, actor, sender.clone()).await;
            let through = Location::Postgres(url.replace(&server.to_string(), &gate.address.to_string()));
            stores.push(Store::open(&through).await.unwrap());
            gates.push(gate);
        }
        Interleaving { stores, gates, events, database, _connection: connections }
    }

    /// The store of each body.
    #[must_use]
    pub fn stores(&self) -> &[Store] {
        &self.stores
    }

    /// Runs SQL beside the bodies, to prepare or to break something.
    ///
    /// # Panics
    /// If it fails.
    pub async fn execute(&self, sql: &str) {
        self.database.batch_execute(sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    }

    /// Runs one body a store, in that order; answers with what each gave.
    ///
    /// # Panics
    /// If a body panics or hangs.
    pub async fn run<T: Send + 'static>(
        &mut self,
        bodies: Vec<impl Future<Output = T> + Send + 'static>,
        order: &mut Order,
    ) -> Vec<T> {
        for gate in &self.gates {
            gate.armed.store(true, Ordering::SeqCst);
        }
        let mut actors: Vec<Actor> = bodies.iter().map(|_| Actor::Thinking).collect();
        let mut tasks = JoinSet::new();
        for (actor, body) in bodies.into_iter().enumerate() {
            tasks.spawn(async move { (actor, body.await) });
        }
        let mut outcomes: Vec<Option<T>> = actors.iter().map(|_| None).collect();
        let mut starts = vec![0; actors.len()];
        let mut last = None;
        loop {
            self.settle(&mut actors, &mut tasks, &mut outcomes, order).await;
            let able = able(&actors, &starts);
            if able.is_empty() {
                break;
            }
            let actor = order.choose(able, last);
            let Actor::Waiting { pid, statement, permit } =
                std::mem::replace(&mut actors[actor], Actor::Thinking)
            else {
                unreachable!("only those that wait are able");
            };
            starts[actor] += usize::from(statement.starts_with(BEGIN));
            order.note(actor, statement);
            actors[actor] = Actor::Running { pid, has_waited: false };
            let _ = permit.send(());
            last = Some(actor);
        }
        for gate in &self.gates {
            gate.armed.store(false, Ordering::SeqCst);
        }
        outcomes.into_iter().map(|outcome| outcome.expect("every body has ended")).collect()
    }

    /// Waits until every body is before a statement, waits for a lock, or has ended; and until one can
    /// go on, as bodies that wait for each other are parted by the database.
    async fn settle<T: Send + 'static>(
        &mut self,
        actors: &mut [Actor],
        tasks: &mut JoinSet<(usize, T)>,
        outcomes: &mut [Option<T>],
        order: &Order,
    ) {
        let hung = tokio::time::sleep(PATIENCE);
        tokio::pin!(hung);
        loop {
            let is_any = |state: fn(&Actor) -> bool| actors.iter().any(state);
            let is_stuck =
                !is_any(Actor::is_waiting) && is_any(|actor| matches!(actor, Actor::Locked { .. }));
            let is_busy = is_any(|actor| matches!(actor, Actor::Thinking | Actor::Running { .. }));
            if !is_busy && !is_stuck {
                return;
            }
            tokio::select! {
                biased;
                Some(event) = self.events.recv() => match event {
                    Event::Wants { actor, pid, statement, permit } => {
                        actors[actor] = Actor::Waiting { pid, statement, permit };
                    }
                    Event::Answered { actor } => {
                        actors[actor] = Actor::Thinking;
                        // It may have let those go on that waited.
                        self.find_locked(actors, Actor::has_waited).await;
                    }
                },
                Some(ended) = tasks.join_next() => {
                    let (actor, outcome) = ended.unwrap_or_else(|error| panic!("a body panicked: {error}\n{order}"));
                    actors[actor] = Actor::Done;
                    outcomes[actor] = Some(outcome);
                }
                () = tokio::time::sleep(LOCK_CHECK) => self.find_locked(actors, |_| true).await,
                () = &mut hung => panic!("no body goes on: {actors:?}\n{order}"),
            }
        }
    }

    /// Asks of those who are in a statement whether they wait for a lock.
    async fn find_locked(&self, actors: &mut [Actor], which: fn(&Actor) -> bool) {
        for actor in actors.iter_mut().filter(|actor| which(actor)) {
            let (pid, has_waited) = match *actor {
                Actor::Running { pid, has_waited } => (pid, has_waited),
                Actor::Locked { pid } => (pid, true),
                _ => continue,
            };
            let asked = "SELECT cardinality(pg_blocking_pids($1)) > 0";
            let is_locked: bool = self.database.query_one(asked, &[&pid]).await.unwrap().get(0);
            if is_locked && !has_waited {
                // Its look for a deadlock has passed when the next body comes: who closes the circle is
                // who is refused, every time.
                tokio::time::sleep(Duration::from_millis(2 * DEADLOCK_MS)).await;
            }
            *actor = if is_locked { Actor::Locked { pid } } else { Actor::Running { pid, has_waited } };
        }
    }
}

impl Actor {
    fn is_waiting(&self) -> bool {
        matches!(self, Actor::Waiting { .. })
    }

    fn has_waited(&self) -> bool {
        matches!(self, Actor::Locked { .. } | Actor::Running { has_waited: true, .. })
    }
}

/// Those that can take a step. A body that begins anew for the second time, as it met the same conflict
/// again, lets the others go on first.
fn able(actors: &[Actor], starts: &[usize]) -> Vec<usize> {
    let waiting = (0..actors.len()).filter(|actor| actors[*actor].is_waiting());
    let (patient, able): (Vec<usize>, Vec<usize>) = waiting.partition(|actor| match &actors[*actor] {
        Actor::Waiting { statement, .. } => starts[*actor] > 1 && statement.starts_with(BEGIN),
        _ => false,
    });
    if able.is_empty() { patient } else { able }
}
