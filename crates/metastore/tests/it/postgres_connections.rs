//! Connections to PostgreSQL that are lost, before, during and after COMMIT.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};
use std::thread;

use wharfinger_metastore::{EngineKind, Error, Location, Store, check, statements};
use wharfinger_testkit::engines;

use crate::shelf::*;

statements! {
    TERMINATE_SELF = "SELECT pg_terminate_backend(pg_backend_pid())";
    BACKEND = "SELECT pg_backend_pid()";
    /// The backend's id, unless it is `$1`: that one ends itself.
    BACKEND_BUT_NOT = "SELECT pg_backend_pid()
        WHERE pg_backend_pid() <> $1 OR pg_terminate_backend(pg_backend_pid())";
    TERMINATE_OTHERS = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid()";
    OTHERS = "SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid()";
    IN_TRANSACTION = "SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid() AND xact_start IS NOT NULL";
    ALWAYS_CONFLICT = "SELECT always_conflict()";
    SYNCHRONOUS_COMMIT = "SELECT current_setting('synchronous_commit')";
    ISOLATION = "SELECT current_setting('transaction_isolation')";
}

async fn open() -> engines::TestStore {
    let test = engines::open(EngineKind::Postgres).await;
    install(&test.store).await;
    test
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_lost_before_commit_is_replaced_and_the_body_runs_again() {
    let test = open().await;
    let runs = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&runs);
    let written = test
        .store
        .write(&PUT, move |tx| {
            put("once")(tx)?;
            if counted.fetch_add(1, Ordering::SeqCst) == 0 {
                tx.one::<bool>(&TERMINATE_SELF, &[])?;
            }
            Ok::<_, Failure>(())
        })
        .await;
    assert!(written.is_ok(), "{written:?}");
    assert_eq!(runs.load(Ordering::SeqCst), 2);
    assert_eq!(names(&test.store).await, ["once"]);
    test.store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_lost_twice_is_unavailable() {
    let test = open().await;
    let runs = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&runs);
    let written = test
        .store
        .write(&PUT, move |tx| {
            counted.fetch_add(1, Ordering::SeqCst);
            put("never")(tx)?;
            Ok::<_, Failure>(tx.one::<bool>(&TERMINATE_SELF, &[])?)
        })
        .await;
    assert!(matches!(written, Err(Failure::Store(Error::Unavailable(_)))), "{written:?}");
    assert_eq!(runs.load(Ordering::SeqCst), 2);
    assert_eq!(count(&test.store).await, 0);
    test.store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_the_server_closed_are_replaced() {
    let test = open().await;
    let other = Store::open(&test.location).await.unwrap();
    let put_many = async |round: &str| {
        let mut answers = Vec::new();
        for number in 0..32 {
            let name = format!("{round} {number}");
            answers.push(enqueue(test.store.write(&PUT, put(&name))).await);
        }
        for answer in answers {
            answer.await.unwrap();
        }
    };
    put_many("before").await;
    assert_eq!(count(&test.store).await, 32);
    let ended = other.opt::<i64>(&TERMINATE_OTHERS, &[]).await.unwrap().unwrap();
    assert!(ended >= 2, "{ended} connections were ended");
    until("the server has ended them", async || other.opt::<i64>(&OTHERS, &[]).await.unwrap() == Some(0))
        .await;
    assert_eq!(count(&test.store).await, 32);
    put_many("after").await;
    assert_eq!(count(&test.store).await, 64);
    other.close().await;
    test.store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_goes_away_leaves_no_transaction_open() {
    let test = open().await;
    for number in 0..32 {
        drop(enqueue(test.store.write(&PUT, put(&format!("item {number}")))).await);
    }
    until("all are written", async || count(&test.store).await == 32).await;
    until("no transaction is open", async || {
        test.store.opt::<i64>(&IN_TRANSACTION, &[]).await.unwrap() == Some(0)
    })
    .await;
    test.store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_always_meets_others_is_given_up() {
    let test = open().await;
    check::execute(
        &test.store,
        "CREATE FUNCTION always_conflict() RETURNS bigint LANGUAGE plpgsql AS
         $$ BEGIN RAISE serialization_failure; END $$",
    )
    .await
    .unwrap();
    let runs = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&runs);
    let written = test
        .store
        .write(&PUT_SERIALIZABLE, move |tx| {
            counted.fetch_add(1, Ordering::SeqCst);
            put("never")(tx)?;
            // Retried whatever the body makes of the error.
            tx.one::<i64>(&ALWAYS_CONFLICT, &[]).map_err(|_| Failure::Refused)
        })
        .await;
    assert!(matches!(written, Err(Failure::Store(Error::Unavailable(_)))), "{written:?}");
    assert_eq!(runs.load(Ordering::SeqCst), 40);
    assert_eq!(count(&test.store).await, 0);
    test.store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operation_sets_isolation_and_sync_for_its_transaction_only() {
    let test = open().await;
    for (operation, isolation, sync) in [
        (&PUT_RELAXED, "read committed", "off"),
        (&PUT_SERIALIZABLE, "serializable", "on"),
        (&PUT, "read committed", "on"),
    ] {
        // The writers take turns: each of their connections sees each operation.
        for _ in 0..32 {
            let set = test
                .store
                .write::<_, Error, _>(operation, |tx| {
                    let isolation: String = tx.one(&ISOLATION, &[])?;
                    let sync: String = tx.one(&SYNCHRONOUS_COMMIT, &[])?;
                    Ok((isolation, sync))
                })
                .await
                .unwrap();
            assert_eq!(set, (isolation.to_owned(), sync.to_owned()), "{}", operation.name);
        }
    }
    test.store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_whose_connection_is_lost_is_read_again() {
    let test = open().await;
    let first: i32 = test.store.opt(&BACKEND, &[]).await.unwrap().unwrap();
    let second: i32 = test.store.opt(&BACKEND_BUT_NOT, &[&first]).await.unwrap().unwrap();
    assert_ne!(first, second);
    let error = test.store.opt::<bool>(&TERMINATE_SELF, &[]).await.unwrap_err();
    assert!(matches!(error, Error::Unavailable(_)), "{error:?}");
    test.store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_not_there_is_unavailable() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let nowhere = Location::Postgres(format!("postgres://postgres@127.0.0.1:{port}/none"));
    let error = Store::open(&nowhere).await.unwrap_err();
    assert!(matches!(error, Error::Unavailable(_)), "{error:?}");
    let error = Store::open(&Location::Postgres("postgres://[".to_owned())).await.unwrap_err();
    assert!(matches!(error, Error::Location(_)), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_never_reached_the_server_has_an_unknown_outcome() {
    let kept = outcome_when(Cut::BeforeCommit).await;
    assert_eq!(kept, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_was_done_but_not_answered_has_an_unknown_outcome() {
    let kept = outcome_when(Cut::AfterCommit).await;
    assert_eq!(kept, ["asked once"]);
}

/// Cuts the connection at COMMIT; the names that are there afterwards.
async fn outcome_when(cut: Cut) -> Vec<String> {
    let direct = open().await;
    let Location::Postgres(url) = &direct.location else { unreachable!() };
    let proxy = Proxy::start(url);
    let store = Store::open(&Location::Postgres(proxy.url.clone())).await.unwrap();
    let runs = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&runs);
    proxy.cut(cut);
    let answer = store
        .write(&PUT, move |tx| {
            counted.fetch_add(1, Ordering::SeqCst);
            put("asked once")(tx)
        })
        .await;
    proxy.cut(Cut::Never);
    assert!(matches!(answer, Err(Failure::Store(Error::OutcomeUnknown))), "{answer:?}");
    assert_eq!(runs.load(Ordering::SeqCst), 1, "it was run again");
    until("the server has ended the transaction", async || {
        direct.store.opt::<i64>(&IN_TRANSACTION, &[]).await.unwrap() == Some(0)
    })
    .await;
    let kept = names(&direct.store).await;
    // The writer has made a new connection.
    store.write(&PUT, put("later")).await.unwrap();
    assert!(names(&direct.store).await.contains(&"later".to_owned()));
    store.close().await;
    direct.store.close().await;
    kept
}

#[derive(Clone, Copy, PartialEq)]
#[repr(u8)]
enum Cut {
    Never,
    BeforeCommit,
    AfterCommit,
}

/// Stands between a store and the server and cuts connections at COMMIT.
struct Proxy {
    url: String,
    cut: Arc<AtomicU8>,
}

impl Proxy {
    fn start(url: &str) -> Self {
        let (head, name) = url.rsplit_once('/').unwrap();
        let server = head.rsplit_once('@').unwrap().1.to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let cut = Arc::new(AtomicU8::new(Cut::Never as u8));
        let armed = Arc::clone(&cut);
        thread::spawn(move || {
            for client in listener.incoming() {
                let (client, server) = (client.unwrap(), TcpStream::connect(&server).unwrap());
                let (from, to) = (server.try_clone().unwrap(), client.try_clone().unwrap());
                let armed = Arc::clone(&armed);
                thread::spawn(move || forward(&client, &server, &armed));
                thread::spawn(move || forward(&from, &to, &AtomicU8::new(Cut::Never as u8)));
            }
        });
        Self { url: format!("postgres://postgres@127.0.0.1:{port}/{name}"), cut }
    }

    fn cut(&self, cut: Cut) {
        self.cut.store(cut as u8, Ordering::SeqCst);
    }
}

fn forward(mut from: &TcpStream, mut to: &TcpStream, cut: &AtomicU8) {
    let mut buffer = [0; 65_536];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        let is_commit = buffer[..length].windows(7).any(|window| window == b"COMMIT\0");
        let cut = cut.load(Ordering::SeqCst);
        if is_commit && cut == Cut::AfterCommit as u8 {
            // The caller hears nothing from now on; the server does.
            let _ = from.shutdown(Shutdown::Both);
            let _ = to.write_all(&buffer[..length]);
            let _ = to.shutdown(Shutdown::Write);
            return;
        }
        if is_commit && cut == Cut::BeforeCommit as u8 || to.write_all(&buffer[..length]).is_err() {
            break;
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}
