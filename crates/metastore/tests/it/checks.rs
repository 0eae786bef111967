//! That the checks find what they are for.

use wharfinger_metastore::{EngineKind, Store, check, statements};
use wharfinger_testkit::on_each_engine;

use crate::shelf::{self, install};

statements! {
    SCANNING = "SELECT name FROM item WHERE size = $1";
    UNORDERED = "SELECT name FROM item WHERE name = $2 AND shelf_id = $1";
    LIST_LAST = sqlite "SELECT i.name FROM item i CROSS JOIN json_each($2) j
            WHERE i.shelf_id = $1 AND i.name = j.value",
        postgres "SELECT i.name FROM item i JOIN json_array_elements_text($2::text::json) j(value)
            ON i.name = j.value WHERE i.shelf_id = $1";
    INNER = "WITH newest AS (SELECT name FROM item WHERE shelf_id = $1 LIMIT 1)
        SELECT name FROM newest UNION ALL SELECT 'none' AS name";
}

on_each_engine! {
    async fn our_own_statements_are_sound(store: Store) {
        let scans = [("SCHEMA_VERSION_NEWEST", "one row for each release")];
        let own: Vec<_> = wharfinger_metastore::STATEMENTS
            .iter()
            .copied()
            .filter(|statement| statement.name() != "SCHEMA_VERSION_CREATE")
            .collect();
        let wrong = check::statements(&store, &own, &scans).await;
        assert_eq!(wrong, [""; 0]);
    }

    async fn sound_statements_pass(store: Store) {
        install(&store).await;
        let sound = [&shelf::ITEM_NAMES_AFTER, &shelf::ITEM_INSERT_RETURNING, &shelf::SHELF_TOUCH, &INNER];
        assert_eq!(check::statements(&store, &sound, &[]).await, [""; 0]);
    }

    async fn a_scan_is_reported_unless_exempt(store: Store) {
        install(&store).await;
        let wrong = check::statements(&store, &[&SCANNING], &[]).await;
        assert!(wrong.len() == 1 && wrong[0].starts_with("SCANNING: scans: "), "{wrong:?}");
        let exempt = check::statements(&store, &[&SCANNING], &[("SCANNING", "a test's")]).await;
        assert_eq!(exempt, [""; 0]);
    }

    async fn an_exemption_of_nothing_is_reported(store: Store) {
        let wrong = check::statements(&store, &[], &[("GONE", "a test's")]).await;
        assert_eq!(wrong, ["GONE: may scan, but there is no such statement"]);
    }

    async fn a_statement_that_does_not_prepare_is_reported(store: Store) {
        let wrong = check::statements(&store, &[&shelf::NO_SUCH_TABLE], &[]).await;
        assert!(wrong.len() == 1 && wrong[0].contains("nowhere"), "{wrong:?}");
    }

    async fn what_only_sqlite_minds_is_reported_there(store: Store) {
        install(&store).await;
        let wrong = check::statements(&store, &[&UNORDERED, &LIST_LAST], &[]).await;
        let expected = match store.engine() {
            EngineKind::Sqlite => vec![
                "UNORDERED: parameter 1 is $2; use $1 to $n first in that order",
                "UNORDERED: parameter 2 is $1; use $1 to $n first in that order",
                "LIST_LAST: parameter 1 is $2; use $1 to $n first in that order",
                "LIST_LAST: parameter 2 is $1; use $1 to $n first in that order",
                "LIST_LAST: reads its list within \"SEARCH i USING COVERING INDEX sqlite_autoindex_item_1 (shelf_id=?)\"; put json_each first",
            ],
            EngineKind::Postgres => vec![],
        };
        assert_eq!(wrong, expected);
    }

    async fn columns_are_named(store: Store) {
        install(&store).await;
        assert_eq!(check::columns(&store, &shelf::ITEM_COUNT).await, ["items"]);
        assert_eq!(check::columns(&store, &shelf::ITEM_INSERT_RETURNING).await, ["name"]);
    }
}
