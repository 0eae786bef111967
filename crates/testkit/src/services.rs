//! A founded installation over a store, and contexts of everybody who may come along.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use wharfinger_blobstore::MemoryStore;
use wharfinger_iam::{
    Ctx, Founding, FoundingSettings, Iam, Limits, Listener, Request, Tenancy, auth_tokens, tenancies, users,
};
use wharfinger_metastore::{Args, Statement, Store, statements};
use wharfinger_registry::{Registry, SparseManifests};
use wharfinger_types::{ImageName, Timestamp};

statements! {
    AUDIT_OPERATIONS = "SELECT operation FROM audit_record WHERE id > $1 ORDER BY id";
    AUDIT_RECORDS = "SELECT record FROM audit_record WHERE id > $1 ORDER BY id";
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
    let registry = Registry::new(Arc::new(MemoryStore::new()), SparseManifests::Refused);
    Installation { store, iam, registry, founding, tenancy }
}

impl Installation {
    /// The local administrator.
    pub fn local(&self) -> Ctx {
        self.iam.local_administrator(request())
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

    async fn strings(&self, statement: &'static Statement, args: Args<'_>) -> Vec<String> {
        self.store.all(statement, args).await.unwrap()
    }
}
