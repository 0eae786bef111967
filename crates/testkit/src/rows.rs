//! Rows by the hundred thousand, for what depends on how many there are.

use std::path::Path;

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
    /// Blobs with objects `{i:032x}` of four bytes, made at the beginning of time.
    DEAD_BLOBS_INSERT =
        sqlite "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < $1)
                INSERT INTO blob (digest, object, size_bytes, created_at)
                SELECT printf('sha256:%064x', i), printf('%032x', i), 4, 0 FROM n",
        postgres "INSERT INTO blob (digest, object, size_bytes, created_at)
                SELECT 'sha256:' || lpad(to_hex(i), 64, '0'), lpad(to_hex(i), 32, '0'), 4, 0
                FROM generate_series(1, $1::bigint) n(i)";
    DEAD_LINKS_INSERT =
        "INSERT INTO link (repository_id, blob_id, renewed_at)
         SELECT r.id, b.id, 0 FROM blob b CROSS JOIN (SELECT id FROM repository ORDER BY id LIMIT 1) r
         WHERE b.created_at = 0";
    CONTENT_COUNT =
        "SELECT (SELECT COUNT(*) FROM blob) + (SELECT COUNT(*) FROM link) + (SELECT COUNT(*) FROM dead_object) AS count";
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

/// Adds that many blobs of no manifest to the first repository, with rows from before any cutoff and objects in
/// the data directory. The server must be stopped.
///
/// # Panics
/// If there is no repository, or the rows or objects are there already.
pub async fn fill_with_dead_blobs(location: &Location, data_dir: &Path, count: i64) {
    let store = Store::open(location).await.unwrap();
    let filled = store.write(&FILL, move |tx| {
        let blobs = tx.run(&DEAD_BLOBS_INSERT, &[&count])?;
        let links = tx.run(&DEAD_LINKS_INSERT, &[])?;
        Ok::<_, wharfinger_metastore::Error>((blobs, links))
    });
    let rows = u64::try_from(count).unwrap();
    assert_eq!(filled.await.unwrap(), (rows, rows));
    store.close().await;
    for number in 1..=count {
        let name = format!("{number:032x}");
        std::fs::write(data_dir.join("objects").join(&name[30..]).join(name), b"dead").unwrap();
    }
}

/// How many rows there are of blobs, links and objects that are to be removed.
///
/// # Panics
/// If they can't be counted.
pub async fn content_count(location: &Location) -> i64 {
    let store = Store::open(location).await.unwrap();
    let count = store.opt(&CONTENT_COUNT, &[]).await.unwrap().unwrap();
    store.close().await;
    count
}
