//! Rows by the hundred thousand, for what depends on how many there are.

use wharfinger_metastore::{Location, Store, operations, statements};

statements! {
    REPOSITORIES_INSERT =
        sqlite "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < $1)
                INSERT INTO repository (ocid, tenancy_id, compartment_id, name, is_public, created_by, created_at)
                SELECT 'ocid1.containerrepo.oc1..row' || i, t.id, c.id, printf('rows/%06d', i), i % ($2 / 10) = 0, 'rows', 0
                FROM n, (SELECT id FROM tenancy ORDER BY id LIMIT 1) t JOIN compartment c ON c.tenancy_id = t.id",
        postgres "INSERT INTO repository (ocid, tenancy_id, compartment_id, name, is_public, created_by, created_at)
                SELECT 'ocid1.containerrepo.oc1..row' || i, t.id, c.id, 'rows/' || lpad(i::text, 6, '0'), i % ($2::bigint / 10) = 0, 'rows', 0
                FROM generate_series(1, $1::bigint) n(i), (SELECT id FROM tenancy ORDER BY id LIMIT 1) t
                JOIN compartment c ON c.tenancy_id = t.id";
    TAGS_INSERT =
        sqlite "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < $1)
                INSERT INTO tag (repository_id, name, manifest_id, created_by, created_at)
                SELECT m.repository_id, printf('v%06d', i), m.id, 'rows', 0
                FROM n, (SELECT id, repository_id FROM manifest ORDER BY id LIMIT 1) m",
        postgres "INSERT INTO tag (repository_id, name, manifest_id, created_by, created_at)
                SELECT m.repository_id, 'v' || lpad(i::text, 6, '0'), m.id, 'rows', 0
                FROM generate_series(1, $1::bigint) n(i), (SELECT id, repository_id FROM manifest ORDER BY id LIMIT 1) m";
}

operations! {
    FILL = fill { Durable, Guarded, unaudited "a fixture" };
}

/// Adds that many repositories to the first tenancy, of which ten are public, and that many tags to
/// the first manifest's repository. The server must be stopped.
///
/// # Panics
/// If there is no database or the rows are there already.
pub async fn fill(location: &Location, count: i64) {
    let store = Store::open(location).await.unwrap();
    let filled = store.write(&FILL, move |tx| {
        let repositories = tx.run(&REPOSITORIES_INSERT, &[&count, &count])?;
        let tags = tx.run(&TAGS_INSERT, &[&count])?;
        Ok::<_, wharfinger_metastore::Error>((repositories, tags))
    });
    let count = u64::try_from(count).unwrap();
    assert_eq!(filled.await.unwrap(), (count, count));
    store.close().await;
}
