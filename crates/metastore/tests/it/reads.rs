//! What reads give.

use wharfinger_metastore::{Error, Store, row, statements};
use wharfinger_testkit::on_each_engine;

use crate::shelf::*;

row! {
    struct ItemRow {
        name: String,
        size: Option<i64>,
        is_large: bool,
    }
}

statements! {
    ITEMS = "SELECT name, size, size > 10 AS is_large FROM item WHERE shelf_id = $1 ORDER BY name";
    BYTES = sqlite "SELECT CAST($1 AS BLOB)", postgres "SELECT CAST($1 AS BYTEA)";
    NAMED = sqlite "SELECT i.name FROM json_each($1) j
            CROSS JOIN item i ON i.shelf_id = $2 AND i.name = j.value ORDER BY i.name",
        postgres "SELECT i.name FROM json_array_elements_text($1::text::json) j(value)
            JOIN item i ON i.shelf_id = $2 AND i.name = j.value ORDER BY i.name";
}

const UNORDERED: [&str; 11] =
    ["app/web", "App/web", "app", "app0", "äpfel", "zoo", "Zoo", "app-1", "app_1", "日本", "ab"];

async fn install_names(store: &Store) -> Vec<String> {
    install(store).await;
    store
        .write::<_, Error, _>(&PUT, |tx| {
            for name in UNORDERED {
                tx.run(&ITEM_INSERT, &[&1_i64, &name, &1_i64])?;
            }
            Ok(())
        })
        .await
        .unwrap();
    let mut sorted = UNORDERED.map(str::to_owned).to_vec();
    sorted.sort();
    sorted
}

on_each_engine! {
    async fn pages_follow_byte_order(store: Store) {
        let sorted = install_names(&store).await;
        let mut seen: Vec<String> = Vec::new();
        loop {
            let last = seen.last().cloned().unwrap_or_default();
            let page: Vec<String> =
                store.all(&ITEM_NAMES_AFTER, &[&1_i64, &last, &3_i64]).await.unwrap();
            if page.is_empty() {
                break;
            }
            assert!(page.len() <= 3);
            seen.extend(page);
        }
        assert_eq!(seen, sorted);
    }

    async fn a_prefix_is_a_range(store: Store) {
        install_names(&store).await;
        let found: Vec<String> =
            store.all(&ITEM_NAMES_BETWEEN, &[&1_i64, &"app/", &"app0"]).await.unwrap();
        assert_eq!(found, ["app/web"]);
    }

    async fn rows_are_read_by_position(store: Store) {
        install(&store).await;
        store.write::<_, Error, _>(&PUT, |tx| {
            tx.run(&ITEM_INSERT, &[&1_i64, &"large", &11_i64])?;
            tx.run(&ITEM_INSERT, &[&1_i64, &"small", &Some(10_i64)])
        }).await.unwrap();
        let rows: Vec<ItemRow> = store.all(&ITEMS, &[&1_i64]).await.unwrap();
        let read: Vec<_> = rows.iter().map(|row| (row.name.as_str(), row.size, row.is_large)).collect();
        assert_eq!(read, [("large", Some(11), true), ("small", Some(10), false)]);
    }

    async fn opt_gives_the_first_row_or_none(store: Store) {
        let sorted = install_names(&store).await;
        let first: Option<String> = store.opt(&ITEM_NAMES, &[&1_i64]).await.unwrap();
        assert_eq!(first.as_ref(), sorted.first());
        let none: Option<String> = store.opt(&ITEM_NAMES, &[&2_i64]).await.unwrap();
        assert_eq!(none, None);
    }

    async fn bytes_come_back_as_they_were(store: Store) {
        let bytes: Vec<u8> = (0..=255).collect();
        let read: Option<Vec<u8>> = store.opt(&BYTES, &[&bytes]).await.unwrap();
        assert_eq!(read, Some(bytes));
    }

    async fn a_list_is_bound_as_json(store: Store) {
        install_names(&store).await;
        let list = String::from(r#"["zoo", "absent", "app"]"#);
        let found: Vec<String> = store.all(&NAMED, &[&list, &1_i64]).await.unwrap();
        assert_eq!(found, ["app", "zoo"]);
    }

    async fn a_body_sees_its_own_writes(store: Store) {
        install(&store).await;
        let counts = store.write::<_, Error, _>(&PUT, |tx| {
            let before = tx.one::<i64>(&ITEM_COUNT, &[&1_i64])?;
            let name = tx.one::<String>(&ITEM_INSERT_RETURNING, &[&1_i64, &"new", &1_i64])?;
            assert_eq!(tx.all::<String>(&ITEM_NAMES, &[&1_i64])?, [name]);
            Ok((before, tx.one::<i64>(&ITEM_COUNT, &[&1_i64])?))
        }).await.unwrap();
        assert_eq!(counts, (0, 1));
    }
}
