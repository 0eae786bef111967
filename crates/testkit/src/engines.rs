//! A fresh store on either engine, and the macro that runs a test on both.

use wharfinger_metastore::{EngineKind, Location, Store};

use crate::{TempDir, postgres};

/// A store with the current schema and no rows.
#[derive(Debug)]
pub struct TestStore {
    /// The store.
    pub store: Store,
    /// Where it is, to open it once more.
    pub location: Location,
    _directory: Option<TempDir>,
}

/// Opens a store on a database of its own.
///
/// # Panics
/// If it cannot be opened.
pub async fn open(engine: EngineKind) -> TestStore {
    let (location, directory) = match engine {
        EngineKind::Sqlite => {
            let directory = TempDir::new();
            (Location::Sqlite(directory.path().join("metadata.db")), Some(directory))
        }
        EngineKind::Postgres => (Location::Postgres(postgres::database()), None),
    };
    let store = Store::open(&location)
        .await
        .unwrap_or_else(|error| panic!("cannot open a store on {engine:?}: {error:?}"));
    TestStore { store, location, _directory: directory }
}

/// Runs each function as `name::sqlite` and `name::postgres`, with a fresh store that is closed
/// when it returns.
///
/// The crate that uses it depends on tokio with `macros` and `rt-multi-thread`.
#[macro_export]
macro_rules! on_each_engine {
    ($(
        $(#[$meta:meta])*
        async fn $name:ident($store:ident: $type:ty) $body:block
    )+) => {$(
        mod $name {
            #[allow(unused_imports, reason = "a test may need nothing from around it")]
            use super::*;

            $(#[$meta])*
            async fn body($store: $type) $body

            #[tokio::test(flavor = "multi_thread")]
            async fn sqlite() {
                let test = $crate::engines::open($crate::engines::SQLITE).await;
                body(test.store.clone()).await;
                test.store.close().await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn postgres() {
                let test = $crate::engines::open($crate::engines::POSTGRES).await;
                body(test.store.clone()).await;
                test.store.close().await;
            }
        }
    )+};
}

#[doc(hidden)]
pub const SQLITE: EngineKind = EngineKind::Sqlite;
#[doc(hidden)]
pub const POSTGRES: EngineKind = EngineKind::Postgres;
