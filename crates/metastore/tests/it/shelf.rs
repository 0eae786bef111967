//! The tests' own tables, shelves that hold items, and what the tests do to them.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Mutex;
use std::sync::mpsc::{Sender, channel};
use std::task::Poll;
use std::time::Duration;

use wharfinger_metastore::{EngineKind, Error, Store, Tx, check, operations, statements};

statements! {
    SHELF_INSERT = "INSERT INTO shelf (id, version) VALUES ($1, 0)";
    SHELF_TOUCH = "UPDATE shelf SET version = version + 1 WHERE id = $1";
    SHELF_DELETE = "DELETE FROM shelf WHERE id = $1";
    ITEM_INSERT = "INSERT INTO item (shelf_id, name, size) VALUES ($1, $2, $3)";
    ITEM_INSERT_RETURNING =
        "INSERT INTO item (shelf_id, name, size) VALUES ($1, $2, $3) RETURNING name";
    ITEM_SIZE = "SELECT size FROM item WHERE shelf_id = $1 AND name = $2";
    ITEM_COUNT = "SELECT count(*) AS items FROM item WHERE shelf_id = $1";
    ITEM_NAMES = "SELECT name FROM item WHERE shelf_id = $1 ORDER BY name";
    ITEM_NAMES_AFTER =
        "SELECT name FROM item WHERE shelf_id = $1 AND name > $2 ORDER BY name LIMIT $3";
    ITEM_NAMES_BETWEEN =
        "SELECT name FROM item WHERE shelf_id = $1 AND name >= $2 AND name < $3 ORDER BY name";
    LOAN_INSERT = "INSERT INTO loan (id, shelf_id) VALUES ($1, $2)";
    NO_SUCH_TABLE = "SELECT id FROM nowhere WHERE id = $1";
}

operations! {
    PUT = put { Durable, Guarded, unaudited "a test's" };
    PUT_RELAXED = put_relaxed { Relaxed, Guarded, unaudited "a test's" };
    PUT_SERIALIZABLE = put_serializable { Durable, Serializable, unaudited "a test's" };
    PUT_AUDITED = put_audited { Durable, Guarded, audited };
}

/// What the tests' bodies fail with.
#[derive(Debug)]
pub(crate) enum Failure {
    Store(Error),
    Refused,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Store(error)
    }
}

/// Makes the tables, and shelf 1.
pub(crate) async fn install(store: &Store) {
    let text = match store.engine() {
        EngineKind::Sqlite => "TEXT",
        EngineKind::Postgres => "TEXT COLLATE \"C\"",
    };
    let tables = format!(
        "CREATE TABLE shelf (id BIGINT NOT NULL PRIMARY KEY, version BIGINT NOT NULL);
         CREATE TABLE item (
             shelf_id BIGINT NOT NULL REFERENCES shelf (id) ON DELETE RESTRICT,
             name {text} NOT NULL,
             size BIGINT,
             PRIMARY KEY (shelf_id, name),
             CONSTRAINT item_size_positive CHECK (size >= 0)
         );
         CREATE TABLE loan (
             id BIGINT NOT NULL PRIMARY KEY,
             shelf_id BIGINT NOT NULL REFERENCES shelf (id) DEFERRABLE INITIALLY DEFERRED
         );"
    );
    check::execute(store, &tables).await.unwrap();
    store.write::<_, Error, _>(&PUT, |tx| tx.run(&SHELF_INSERT, &[&1_i64])).await.unwrap();
}

/// A body that puts one item on shelf 1.
pub(crate) fn put(name: &str) -> impl Fn(&mut Tx<'_>) -> Result<u64, Failure> + Send + use<> {
    let name = name.to_owned();
    move |tx| Ok(tx.run(&ITEM_INSERT, &[&1_i64, &name, &1_i64])?)
}

pub(crate) async fn names(store: &Store) -> Vec<String> {
    store.all(&ITEM_NAMES, &[&1_i64]).await.unwrap()
}

pub(crate) async fn count(store: &Store) -> i64 {
    store.opt(&ITEM_COUNT, &[&1_i64]).await.unwrap().unwrap()
}

pub(crate) type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, Failure>> + Send + 'a>>;

/// Polls a write once, which queues it, and gives back the answer to wait for.
pub(crate) async fn enqueue<'a, T>(
    write: impl Future<Output = Result<T, Failure>> + Send + 'a,
) -> Answer<'a, T> {
    let mut answer: Answer<'a, T> = Box::pin(write);
    poll_fn(|context| {
        assert!(answer.as_mut().poll(context).is_pending(), "a write was answered at once");
        Poll::Ready(())
    })
    .await;
    answer
}

/// Keeps SQLite's writer busy until the sender is dropped, so that what is queued meanwhile is one
/// batch. On PostgreSQL it keeps one writer of several busy.
pub(crate) async fn hold_writer(store: &Store) -> (Sender<()>, Answer<'_, ()>) {
    let (release, released) = channel::<()>();
    let (started, starts) = channel();
    let (released, started) = (Mutex::new(released), Mutex::new(started));
    let write = store.write(&PUT, move |_| {
        let _ = started.lock().unwrap().send(());
        let _ = released.lock().unwrap().recv();
        Ok(())
    });
    let answer = enqueue(write).await;
    tokio::task::block_in_place(|| starts.recv()).unwrap();
    (release, answer)
}

/// Waits until `condition` holds.
pub(crate) async fn until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    for _ in 0..1_000 {
        if condition().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("not within 10 s: {what}");
}
