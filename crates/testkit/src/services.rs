//! A founded installation over a store, and contexts of everybody who may come along.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use wharfinger_blobstore::{BlobStore as _, MemoryStore, ObjectId};
use wharfinger_iam::{
    Ctx, Founding, FoundingSettings, Iam, Limits, Listener, Request, Tenancy, auth_tokens, tenancies, users,
};
use wharfinger_metastore::{Args, Statement, Store, row, statements};
use wharfinger_registry::{Ages, Registry, SparseManifests};
use wharfinger_types::{ImageName, Timestamp};

statements! {
    /// Rows of every table that images are in, by table.
    CONTENT_ROWS =
        "SELECT 'blob' AS name, COUNT(*) AS count FROM blob
         UNION ALL SELECT 'dead_object', COUNT(*) FROM dead_object
         UNION ALL SELECT 'link', COUNT(*) FROM link
         UNION ALL SELECT 'manifest', COUNT(*) FROM manifest
         UNION ALL SELECT 'manifest_blob', COUNT(*) FROM manifest_blob
         UNION ALL SELECT 'manifest_body', COUNT(*) FROM manifest_body
         UNION ALL SELECT 'manifest_child', COUNT(*) FROM manifest_child
         UNION ALL SELECT 'repository', COUNT(*) FROM repository
         UNION ALL SELECT 'tag', COUNT(*) FROM tag
         UNION ALL SELECT 'upload', COUNT(*) FROM upload";
    AUDIT_OPERATIONS = "SELECT operation FROM audit_record WHERE id > $1 ORDER BY id";
    AUDIT_RECORDS = "SELECT record FROM audit_record WHERE id > $1 ORDER BY id";
}

row! {
    struct Rows { name: String, count: i64 }
}

/// When requests of [`request`] come in: a fixed time, so that nothing depends on the clock.
pub const NOW: Timestamp = Timestamp(1_800_000_000_000_000);

/// A registry with one tenancy.
#[derive(Debug, Clone)]
pub struct Installation {
    /// Its store.
    pub store: Store,
    /// Its identity.
    pub iam: Iam,
    /// Its content, in memory.
    pub registry: Registry,
    /// Where the objects of its blobs are.
    pub blobs: Arc<MemoryStore>,
    /// What its administrator was told.
    pub founding: Founding,
    /// Its tenancy.
    pub tenancy: Tenancy,
}

/// A request over the network at [`NOW`].
pub fn request() -> Request {
    Request {
        id: "test".to_owned(),
        now: NOW,
        client_address: Some(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        listener: Listener::Network,
        operation: None,
    }
}

/// Founds an installation on an empty store.
///
/// # Panics
/// If that fails.
pub async fn found(store: Store) -> Installation {
    let iam = Iam::new(store.clone(), 3600, Limits::default());
    let settings = FoundingSettings {
        namespace: Some("acme".parse().unwrap()),
        tenancy_id: None,
        region: "local-1".to_owned(),
        region_key: "LCL".to_owned(),
        create_on_first_push: true,
    };
    let founding = iam.bootstrap(request(), settings, |_| Ok(())).await.unwrap().unwrap();
    let tenancy = tenancies::first(&iam).await.unwrap();
    let blobs = Arc::new(MemoryStore::new());
    let ages = Ages { reader_grace: 0, ..Ages::default() };
    let registry = Registry::with_ages(Arc::clone(&blobs) as Arc<_>, SparseManifests::Refused, ages);
    Installation { store, iam, registry, blobs, founding, tenancy }
}

impl Installation {
    /// The local administrator.
    pub fn local(&self) -> Ctx {
        self.iam.local_administrator(request())
    }

    /// The local administrator, that long after [`NOW`].
    pub fn later(&self, seconds: i64) -> Ctx {
        self.iam.local_administrator(Request { now: NOW.plus_seconds(seconds), ..request() })
    }

    /// Nobody.
    ///
    /// # Panics
    /// If nobody is let in, for too many came.
    pub fn anonymous(&self) -> Ctx {
        self.iam.anonymous(request()).unwrap()
    }

    /// The tenancy's administrator, logged in.
    ///
    /// # Panics
    /// If the log-in fails.
    pub async fn administrator(&self) -> Ctx {
        let name = format!("acme/{}", self.founding.username);
        self.iam.login(request(), &name, self.founding.auth_token.reveal()).await.unwrap()
    }

    /// Makes a user with an auth token; answers with the token.
    ///
    /// # Panics
    /// If that fails.
    pub async fn add_user(&self, name: &str) -> String {
        let local = self.local();
        users::create_user(&local, &self.tenancy, name).await.unwrap();
        let (_, secret) = auth_tokens::create_auth_token(&local, &self.tenancy, name, "test").await.unwrap();
        secret.reveal().to_owned()
    }

    /// An image name in the tenancy.
    ///
    /// # Panics
    /// If it is none.
    pub fn image(&self, repository: &str) -> ImageName {
        format!("acme/{repository}").parse().unwrap()
    }

    /// Operations of all audit records, in order.
    ///
    /// # Panics
    /// If they can't be read.
    pub async fn audited_operations(&self) -> Vec<String> {
        self.strings(&AUDIT_OPERATIONS, &[&0i64]).await
    }

    /// All audit records as JSON, in order.
    ///
    /// # Panics
    /// If they can't be read.
    pub async fn audit_records(&self) -> Vec<serde_json::Value> {
        let records = self.strings(&AUDIT_RECORDS, &[&0i64]).await;
        records.iter().map(|record| serde_json::from_str(record).unwrap()).collect()
    }

    /// Tables that images are in and that have rows, with how many.
    ///
    /// # Panics
    /// If they can't be read.
    pub async fn content_rows(&self) -> Vec<(String, i64)> {
        let rows: Vec<Rows> = self.store.all(&CONTENT_ROWS, &[]).await.unwrap();
        let rows = rows.into_iter().map(|Rows { name, count }| (name, count));
        rows.filter(|(_, count)| *count > 0).collect()
    }

    /// How many objects there are.
    ///
    /// # Panics
    /// If they can't be listed.
    pub async fn objects(&self) -> usize {
        use futures_util::TryStreamExt;
        let pages: Vec<Vec<ObjectId>> = self.blobs.list().try_collect().await.unwrap();
        pages.iter().map(Vec::len).sum()
    }

    async fn strings(&self, statement: &'static Statement, args: Args<'_>) -> Vec<String> {
        self.store.all(statement, args).await.unwrap()
    }
}
