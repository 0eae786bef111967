//! Migrations, and that both engines end up with one schema.

use wharfinger_metastore::{EngineKind, Error, Store, check, statements};
use wharfinger_testkit::engines;

statements! {
    VERSIONS = "SELECT version FROM schema_version ORDER BY version";
}

async fn versions(store: &Store) -> Vec<i64> {
    store.all(&VERSIONS, &[]).await.unwrap()
}

async fn opening_again_changes_nothing(engine: EngineKind) {
    let first = engines::open(engine).await;
    let applied = versions(&first.store).await;
    assert!(!applied.is_empty());
    let again = Store::open(&first.location).await.unwrap();
    assert_eq!(versions(&again).await, applied);
    again.close().await;
    first.store.close().await;
}

async fn a_newer_schema_is_refused(engine: EngineKind) {
    let first = engines::open(engine).await;
    let known = versions(&first.store).await.pop().unwrap();
    check::execute(&first.store, "INSERT INTO schema_version VALUES (999, 'from the future', 0)")
        .await
        .unwrap();
    first.store.close().await;
    let error = Store::open(&first.location).await.unwrap_err();
    assert!(
        matches!(error, Error::NewerSchema { found: 999, known: newest } if newest == known),
        "{error:?}"
    );
    assert!(error.to_string().contains("run the newer program"), "{error}");
}

async fn many_may_open_at_once(engine: EngineKind) {
    let directory = wharfinger_testkit::TempDir::new();
    let location = match engine {
        EngineKind::Sqlite => wharfinger_metastore::Location::Sqlite(directory.path().join("metadata.db")),
        EngineKind::Postgres => {
            wharfinger_metastore::Location::Postgres(wharfinger_testkit::postgres::database())
        }
    };
    let mut openers = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let location = location.clone();
        openers.spawn(async move { Store::open(&location).await });
    }
    let stores = openers.join_all().await;
    for store in stores {
        let store = store.unwrap();
        assert!(!versions(&store).await.is_empty());
        store.close().await;
    }
}

macro_rules! on_both {
    ($($name:ident)+) => {$(
        mod $name {
            #[tokio::test(flavor = "multi_thread")]
            async fn sqlite() {
                super::$name(super::EngineKind::Sqlite).await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn postgres() {
                super::$name(super::EngineKind::Postgres).await;
            }
        }
    )+};
}

on_both! {
    opening_again_changes_nothing
    a_newer_schema_is_refused
    many_may_open_at_once
}

#[tokio::test(flavor = "multi_thread")]
async fn both_engines_have_one_schema() {
    let sqlite = engines::open(EngineKind::Sqlite).await;
    let postgres = engines::open(EngineKind::Postgres).await;
    let of_sqlite = check::schema(&sqlite.store).await;
    let of_postgres = check::schema(&postgres.store).await;
    assert!(of_sqlite.contains(&"schema_version.version not null".to_owned()), "{of_sqlite:?}");
    let only = |here: &[String], there: &[String]| -> Vec<String> {
        here.iter().filter(|line| !there.contains(line)).cloned().collect()
    };
    assert_eq!(only(&of_sqlite, &of_postgres), [""; 0], "only in SQLite");
    assert_eq!(only(&of_postgres, &of_sqlite), [""; 0], "only in PostgreSQL");
    sqlite.store.close().await;
    postgres.store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_difference_between_the_engines_is_seen() {
    let sqlite = engines::open(EngineKind::Sqlite).await;
    let postgres = engines::open(EngineKind::Postgres).await;
    check::execute(
        &sqlite.store,
        "CREATE TABLE odd (id INTEGER PRIMARY KEY, name TEXT NOT NULL, other TEXT);
         CREATE UNIQUE INDEX odd_name ON odd (name, other);",
    )
    .await
    .unwrap();
    check::execute(
        &postgres.store,
        "CREATE TABLE odd (id BIGINT PRIMARY KEY REFERENCES odd (id) ON DELETE CASCADE,
             name TEXT NOT NULL, other TEXT COLLATE \"C\" NOT NULL);",
    )
    .await
    .unwrap();
    let odd = |lines: Vec<String>| -> Vec<String> {
        lines.into_iter().filter(|line| line.starts_with("odd")).collect()
    };
    assert_eq!(
        odd(check::schema(&sqlite.store).await),
        [
            "odd unique (id)",
            "odd unique (name, other)",
            "odd.id not null",
            "odd.name not null",
            "odd.other null",
        ]
    );
    assert_eq!(
        odd(check::schema(&postgres.store).await),
        [
            "odd references odd (id) on delete cascade",
            "odd unique (id)",
            "odd.id not null",
            "odd.name has a collation other than \"C\"",
            "odd.name not null",
            "odd.other not null",
        ]
    );
    sqlite.store.close().await;
    postgres.store.close().await;
}
