//! Copies of the metadata, from either engine into either.

use std::io::{Cursor, Read};

use wharfinger_metastore::{EngineKind, Error, Location, Store, check};
use wharfinger_testkit::{TempDir, engines, on_each_engine, postgres};

/// Values of every kind, rows that refer to later ones of their own table, and a gap before the highest key.
const ROWS: &str = "
    INSERT INTO tenancy (id, ocid, namespace, name, region, region_key, create_on_first_push, has_deny_statements, rights_version, created_at)
        VALUES (3, 't', 'ns', 'Zürich ''\"\\ \n', 'r', 'k', TRUE, FALSE, 9007199254740993, -1);
    INSERT INTO token_key (kid, secret, created_at) VALUES ('k', SECRET, 0);
    INSERT INTO compartment (id, ocid, tenancy_id, parent_id, name, description, tags, created_at, revision, deleted_at) VALUES
        (2, 'c2', 3, NULL, 'root', '', '{}', 0, 0, NULL), (9, 'c9', 3, 2, 'nine', '', '{}', 0, 0, 5), (5, 'c5', 3, 9, 'five', '', '{}', 0, 0, NULL);";

async fn fill(store: &Store) {
    let secret = match store.engine() {
        EngineKind::Sqlite => "x'00ff0a'",
        EngineKind::Postgres => "'\\x00ff0a'",
    };
    check::execute(store, &ROWS.replace("SECRET", secret)).await.unwrap();
}

async fn dump(store: &Store) -> String {
    let (bytes, _) = store.dump(Vec::new(), &["upload"]).await.unwrap();
    String::from_utf8(bytes).unwrap()
}

fn empty(engine: EngineKind, directory: &TempDir) -> Location {
    match engine {
        EngineKind::Sqlite => Location::Sqlite(directory.path().join("copy.db")),
        EngineKind::Postgres => Location::Postgres(postgres::database()),
    }
}

on_each_engine! {
    async fn a_copy_is_the_same_on_either_engine(store: Store) {
        fill(&store).await;
        let copy = dump(&store).await;
        assert!(copy.contains("9007199254740993") && copy.contains("\"AP8K\"") && !copy.contains("\"upload\""), "{copy}");
        for engine in [EngineKind::Sqlite, EngineKind::Postgres] {
            let directory = TempDir::new();
            let location = empty(engine, &directory);
            let rows = Store::load(&location, Cursor::new(copy.clone())).await.unwrap();
            assert_eq!((rows["tenancy"], rows["compartment"], rows["blob"]), (1, 3, 0));
            let loaded = Store::open(&location).await.unwrap();
            let sorted = |copy: &str| { let mut lines: Vec<_> = copy.lines().map(str::to_owned).collect(); lines.sort(); lines };
            assert_eq!(sorted(&dump(&loaded).await), sorted(&copy));
            assert_eq!(loaded.contradictions().await.unwrap(), [""; 0]);
            // Keys go on behind the highest.
            let more = "INSERT INTO compartment (ocid, tenancy_id, parent_id, name, description, tags, created_at, revision)
                VALUES ('new', 3, 2, 'new', '', '{}', 0, 0)";
            check::execute(&loaded, more).await.unwrap();
            assert!(dump(&loaded).await.contains("[10,\"new\""));
            loaded.close().await;
        }
    }

    async fn only_an_empty_database_is_filled(store: Store) {
        fill(&store).await;
        let copy = dump(&store).await;
        let directory = TempDir::new();
        let location = empty(store.engine(), &directory);
        Store::load(&location, Cursor::new(copy.clone())).await.unwrap();
        let error = Store::load(&location, Cursor::new(copy)).await.unwrap_err();
        assert!(matches!(error, Error::NotEmpty), "{error:?}");
    }

    async fn a_copy_that_is_not_whole_fills_nothing(store: Store) {
        fill(&store).await;
        let copy = dump(&store).await;
        let lines: Vec<&str> = copy.lines().collect();
        let without = |left_out: usize| {
            let kept = lines.iter().enumerate().filter(|(index, _)| *index != left_out);
            kept.map(|(_, line)| format!("{line}\n")).collect::<String>()
        };
        let directory = TempDir::new();
        let location = empty(store.engine(), &directory);
        for (left_out, line) in lines.iter().enumerate() {
            let error = Store::load(&location, Cursor::new(without(left_out))).await.unwrap_err();
            let is_expected = matches!(error, Error::Input { .. } | Error::ForeignKey { .. } | Error::Sql { .. });
            assert!(is_expected, "{line}: {error:?}");
        }
        for (from, to) in [("\"format\":1", "\"format\":2"), ("\"namespace\"", "\"namespaces\""), (",true", ""), ("\"AP8K\"", "\"A*\"")] {
            if copy.contains(from) {
                let error = Store::load(&location, Cursor::new(copy.replace(from, to))).await.unwrap_err();
                assert!(matches!(error, Error::Input { .. }), "{from}: {error:?}");
            }
        }
        let newer = copy.replace("\"schema\":1", "\"schema\":99");
        let error = Store::load(&location, Cursor::new(newer)).await.unwrap_err();
        assert!(matches!(error, Error::NewerSchema { found: 99, .. }), "{error:?}");
        Store::load(&location, Cursor::new(copy)).await.unwrap();
    }

    async fn a_copy_is_one_moment_and_keeps_no_write_waiting(store: Store) {
        fill(&store).await;
        // More than a pipe holds, in a table that comes before the others: the copy waits for its reader.
        let long = "x".repeat(500_000);
        let long = format!(
            "INSERT INTO retry_token (principal, token, operation, request_hash, made, expires_at)
             SELECT 'p', 't', 'o', secret, '{long}', 0 FROM token_key"
        );
        check::execute(&store, &long).await.unwrap();
        let (mut reader, writer) = std::io::pipe().unwrap();
        let reading = async {
            let (head, mut reader) = blocking(move || {
                let mut head = [0; 8192];
                reader.read_exact(&mut head).unwrap();
                (String::from_utf8(head.to_vec()).unwrap(), reader)
            })
            .await;
            check::execute(&store, "UPDATE tenancy SET name = 'later'; UPDATE compartment SET name = 'later' || id")
                .await
                .unwrap();
            let rest = blocking(move || {
                let mut rest = String::new();
                reader.read_to_string(&mut rest).unwrap();
                rest
            });
            head + &rest.await
        };
        let dumping = async { store.dump(writer, &[]).await.map(drop) };
        let (copy, dumped) = tokio::join!(reading, dumping);
        dumped.unwrap();
        assert!(copy.contains("Zürich") && !copy.contains("later"));
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.unwrap()
}

/// What neither engine lets happen is made to happen behind its back.
#[tokio::test(flavor = "multi_thread")]
async fn rows_that_refer_to_none_are_found() {
    for engine in [EngineKind::Sqlite, EngineKind::Postgres] {
        let test = engines::open(engine).await;
        fill(&test.store).await;
        assert_eq!(test.store.contradictions().await.unwrap(), [""; 0]);
        match &test.location {
            Location::Sqlite(path) => {
                let connection = rusqlite::Connection::open(path).unwrap();
                connection.execute_batch("PRAGMA foreign_keys = OFF; DELETE FROM tenancy").unwrap();
            }
            Location::Postgres(_) => {
                let delete = "ALTER TABLE tenancy DISABLE TRIGGER ALL; DELETE FROM tenancy";
                check::execute(&test.store, delete).await.unwrap();
            }
        }
        let found = test.store.contradictions().await.unwrap();
        assert_eq!(found, ["3 rows of compartment refer to rows of tenancy that are not there"]);
        test.store.close().await;
    }
}
