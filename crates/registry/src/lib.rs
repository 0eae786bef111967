//! Repositories and what is in them: uploads, blobs, manifests, tags.
//!
//! All rules of the registry are here, one file a resource, one public function an operation. Every
//! function starts from a [`wharfinger_iam::Ctx`]; a repository is found together with the right on it. This crate
//! knows no HTTP.

pub mod backup;
pub mod blobs;
mod body;
pub mod collection;
mod damage;
pub mod document;
mod error;
pub mod images;
pub mod manifests;
mod reader;
pub mod referrers;
pub mod repositories;
pub mod scrub;
mod sessions;
pub mod tags;
pub mod uploads;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use moka::sync::Cache;
use tokio::sync::{Semaphore, watch};
use wharfinger_blobstore::{BlobStore, ChunkPool};
use wharfinger_iam::{Ctx, Principal};
use wharfinger_metastore::{Operation, Statement};
use wharfinger_types::{Digest, Permission};

pub use collection::{Ages, Collected, Collection, Progress, Totals};
pub use error::Error;
pub use reader::BlobReader;

/// Every statement of this crate, for the test that prepares them on both engines.
pub const STATEMENTS: &[&[&Statement]] = &[
    blobs::STATEMENTS,
    collection::blobs::STATEMENTS,
    collection::links::STATEMENTS,
    collection::manifests::STATEMENTS,
    collection::objects::STATEMENTS,
    collection::orphans::STATEMENTS,
    collection::repositories::STATEMENTS,
    collection::uploads::STATEMENTS,
    images::STATEMENTS,
    damage::STATEMENTS,
    manifests::STATEMENTS,
    referrers::STATEMENTS,
    repositories::STATEMENTS,
    scrub::STATEMENTS,
    scrub::BLOB_STATEMENTS,
    scrub::MANIFEST_STATEMENTS,
    tags::STATEMENTS,
    uploads::STATEMENTS,
];

/// Every operation of this crate, for the test that each leaves its audit record.
pub const OPERATIONS: &[&[&Operation]] = &[
    backup::OPERATIONS,
    blobs::OPERATIONS,
    collection::blobs::OPERATIONS,
    collection::links::OPERATIONS,
    collection::manifests::OPERATIONS,
    collection::objects::OPERATIONS,
    collection::orphans::OPERATIONS,
    collection::repositories::OPERATIONS,
    collection::uploads::OPERATIONS,
    images::OPERATIONS,
    damage::OPERATIONS,
    manifests::OPERATIONS,
    repositories::OPERATIONS,
    scrub::OPERATIONS,
    scrub::MANIFEST_OPERATIONS,
    tags::OPERATIONS,
    uploads::OPERATIONS,
];

/// Bytes of manifests kept in memory.
const MANIFEST_CACHE_BYTES: u64 = 32 << 20;

/// Manifests of more than a few KiB that are put at the same time.
const MANIFESTS_IN_MEMORY: usize = 16;

/// Buffers of 1 MiB for all uploads together.
const UPLOAD_CHUNKS: usize = 32;

/// The content of one installation. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Registry(Arc<Inner>);

/// Whether a manifest may name content that is not pushed (the conformance suite's "sparse").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SparseManifests {
    /// A manifest of which anything is missing is refused.
    Refused,
    /// Layers of an image and entries of an index may be missing.
    Allowed,
}

#[derive(Debug)]
struct Inner {
    sparse: SparseManifests,
    ages: Ages,
    blobs: Arc<dyn BlobStore>,
    chunks: ChunkPool,
    sessions: sessions::Sessions,
    /// One permit for each manifest that is read and written, up to 4 MiB.
    manifests_in_memory: Semaphore,
    /// Manifest bytes by digest: immutable, so never stale. Rights are checked before it is asked.
    bodies: Cache<Digest, Bytes>,
    /// Objects whose bytes were found to be right.
    verified: reader::Verified,
    /// Held for a page of the scrub.
    scrubbing: tokio::sync::Mutex<()>,
    /// Blobs that were found damaged since the start.
    damaged: AtomicU64,
    /// Bytes that scrubs have read since then.
    scrubbed: AtomicU64,
    /// Held by the run of the collector that is under way.
    collecting: tokio::sync::Mutex<()>,
    progress: Mutex<Progress>,
    totals: Mutex<Totals>,
    /// Whether the process is about to end.
    stopping: watch::Sender<bool>,
}

impl Registry {
    /// A registry whose blobs are in `blobs`, with the default ages.
    pub fn new(blobs: Arc<dyn BlobStore>, sparse: SparseManifests) -> Registry {
        Registry::with_ages(blobs, sparse, Ages::default())
    }

    /// A registry that keeps what nobody needs for so long.
    pub fn with_ages(blobs: Arc<dyn BlobStore>, sparse: SparseManifests, ages: Ages) -> Registry {
        let bodies = Cache::builder()
            .max_capacity(MANIFEST_CACHE_BYTES)
            .weigher(|_, body: &Bytes| u32::try_from(body.len()).unwrap_or(u32::MAX).saturating_add(256))
            .build();
        let chunks = ChunkPool::new(UPLOAD_CHUNKS);
        Registry(Arc::new(Inner {
            sparse,
            ages,
            blobs,
            chunks,
            sessions: sessions::Sessions::default(),
            manifests_in_memory: Semaphore::new(MANIFESTS_IN_MEMORY),
            bodies,
            verified: reader::Verified::default(),
            scrubbing: tokio::sync::Mutex::default(),
            damaged: AtomicU64::new(0),
            scrubbed: AtomicU64::new(0),
            collecting: tokio::sync::Mutex::default(),
            progress: Mutex::default(),
            totals: Mutex::default(),
            stopping: watch::Sender::new(false),
        }))
    }

    /// That the process is not about to end: what runs for long asks now and then.
    pub(crate) fn running(&self) -> Result<(), Error> {
        if *self.0.stopping.borrow() { Err(Error::Stopping) } else { Ok(()) }
    }

    /// How many bytes of blobs the scrubs of this process have read, for a metric.
    pub fn scrubbed_bytes(&self) -> u64 {
        self.0.scrubbed.load(Ordering::Relaxed)
    }

    /// How many blobs this process has found damaged, for a metric.
    pub fn damaged_blobs(&self) -> u64 {
        self.0.damaged.load(Ordering::Relaxed)
    }
}

/// Refuses everybody but the local administrator what is the installation's, not a tenancy's.
pub(crate) fn local_only(ctx: &Ctx) -> Result<(), Error> {
    match ctx.principal() {
        Principal::LocalAdministrator => Ok(()),
        _ => Err(ctx.refuse(Permission::RepositoryManage).into()),
    }
}

/// What a registry client does to the images of a repository. A registry token's scope speaks of
/// these words; policies speak of permissions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImageRight {
    /// Read manifests, blobs and tags.
    Pull,
    /// Upload blobs, put manifests and tags.
    Push,
    /// Delete manifests, blobs and tags.
    Delete,
}

impl ImageRight {
    /// The permission that it needs.
    pub fn permission(self) -> Permission {
        match self {
            ImageRight::Pull => Permission::RepositoryRead,
            ImageRight::Push | ImageRight::Delete => Permission::RepositoryUpdate,
        }
    }

    /// The action in a registry token's scope.
    pub fn action(self) -> &'static str {
        match self {
            ImageRight::Pull => "pull",
            ImageRight::Push => "push",
            ImageRight::Delete => "delete",
        }
    }
}
