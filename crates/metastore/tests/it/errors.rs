//! Which error is which, alike on both engines.

use wharfinger_metastore::{Args, Error, Statement, Store};
use wharfinger_testkit::on_each_engine;

use crate::shelf::*;

async fn fail(
    store: &Store,
    body: impl Fn(&mut wharfinger_metastore::Tx<'_>) -> Result<(), Error> + Send + 'static,
) -> Error {
    store.write(&PUT, body).await.unwrap_err()
}

on_each_engine! {
    async fn a_taken_key_is_unique(store: Store) {
        install(&store).await;
        store.write(&PUT, put("taken")).await.unwrap();
        let error = fail(&store, |tx| tx.run(&ITEM_INSERT, &[&1_i64, &"taken", &1_i64]).map(drop)).await;
        let Error::Unique { constraint } = error else { panic!("{error:?}") };
        assert_eq!(constraint, "item.shelf_id, item.name");
    }

    async fn a_missing_parent_is_a_foreign_key(store: Store) {
        install(&store).await;
        let error = fail(&store, |tx| tx.run(&ITEM_INSERT, &[&404_i64, &"lost", &1_i64]).map(drop)).await;
        assert!(matches!(error, Error::ForeignKey { statement: "ITEM_INSERT" }), "{error:?}");
    }

    async fn a_missing_parent_is_seen_by_a_statement_that_returns_a_row(store: Store) {
        install(&store).await;
        let error = fail(&store, |tx| {
            tx.opt::<String>(&ITEM_INSERT_RETURNING, &[&404_i64, &"lost", &1_i64]).map(drop)
        }).await;
        assert!(matches!(error, Error::ForeignKey { .. }), "{error:?}");
    }

    async fn a_parent_in_use_is_a_foreign_key(store: Store) {
        install(&store).await;
        store.write(&PUT, put("kept")).await.unwrap();
        let error = fail(&store, |tx| tx.run(&SHELF_DELETE, &[&1_i64]).map(drop)).await;
        assert!(matches!(error, Error::ForeignKey { statement: "SHELF_DELETE" }), "{error:?}");
    }

    async fn a_value_out_of_range_is_a_check(store: Store) {
        install(&store).await;
        let error = fail(&store, |tx| tx.run(&ITEM_INSERT, &[&1_i64, &"odd", &-1_i64]).map(drop)).await;
        let Error::Check { constraint } = error else { panic!("{error:?}") };
        assert_eq!(constraint, "item_size_positive");
    }

    async fn a_statement_that_gives_no_row_is_named(store: Store) {
        install(&store).await;
        let error = fail(&store, |tx| tx.one::<i64>(&ITEM_SIZE, &[&1_i64, &"absent"]).map(drop)).await;
        assert!(matches!(error, Error::NoRow { statement: "ITEM_SIZE" }), "{error:?}");
    }

    async fn a_column_of_another_type_is_an_error(store: Store) {
        install(&store).await;
        store.write::<_, Error, _>(&PUT, |tx| {
            tx.run(&ITEM_INSERT, &[&1_i64, &"null", &None::<i64>])
        }).await.unwrap();
        let args: Args<'_> = &[&1_i64, &"null"];
        let null = store.opt::<Option<i64>>(&ITEM_SIZE, args).await.unwrap();
        assert_eq!(null, Some(None));
        for error in [
            store.opt::<i64>(&ITEM_SIZE, args).await.unwrap_err(),
            store.opt::<String>(&ITEM_SIZE, args).await.unwrap_err(),
        ] {
            assert!(matches!(error, Error::Sql { statement: "ITEM_SIZE", .. }), "{error:?}");
        }
    }

    async fn a_statement_that_does_not_prepare_is_named(store: Store) {
        let error = fail(&store, |tx| tx.opt::<i64>(&NO_SUCH_TABLE, &[&1_i64]).map(drop)).await;
        assert!(matches!(error, Error::Sql { statement: "NO_SUCH_TABLE", .. }), "{error:?}");
        let error = store.opt::<i64>(&NO_SUCH_TABLE, &[&1_i64]).await.unwrap_err();
        assert!(matches!(error, Error::Sql { statement: "NO_SUCH_TABLE", .. }), "{error:?}");
    }

    async fn a_missing_argument_is_an_error(store: Store) {
        install(&store).await;
        let error = store.opt::<i64>(&ITEM_SIZE, &[&1_i64]).await.unwrap_err();
        assert!(matches!(error, Error::Sql { .. }), "{error:?}");
    }

    async fn a_read_cannot_write(store: Store) {
        install(&store).await;
        let statement: &Statement = &ITEM_INSERT_RETURNING;
        let error = store.opt::<String>(statement, &[&1_i64, &"sneaked", &1_i64]).await.unwrap_err();
        assert!(matches!(error, Error::Sql { .. }), "{error:?}");
        assert_eq!(count(&store).await, 0);
    }
}
