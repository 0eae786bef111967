//! A registry over a simulated disk and a real SQLite file, and notes of what it was asked and said.

use std::path::Path;
use std::sync::{Arc, Mutex};

use futures_util::TryStreamExt as _;
use tokio::sync::OnceCell;
use wharfinger_blobstore::FileStore;
use wharfinger_blobstore::simulated::{Image, SimulatedDisk};
use wharfinger_iam::{Ctx, Iam, Limits, tenancies};
use wharfinger_metastore::{CommitStep, Location, Promise, Store, check};
use wharfinger_registry::images::restore_image;
use wharfinger_registry::{Ages, Collected, Error, Registry, SparseManifests};
use wharfinger_testkit::TempDir;
use wharfinger_testkit::services::{Installation, found, request};
use wharfinger_types::{Algorithm, Digest, ErrorKind, ImageName, Reference};

use crate::images::sent;

/// The metadata of a new installation, all of it in one file.
#[derive(Debug)]
struct Founded {
    database: Vec<u8>,
    installation: Installation,
}

async fn founded() -> &'static Founded {
    static FOUNDED: OnceCell<Founded> = OnceCell::const_new();
    let found = async || {
        let directory = TempDir::new();
        let path = directory.path().join("metadata.db");
        let location = Location::Sqlite(path.clone());
        let installation = found(Store::open(&location).await.unwrap()).await;
        installation.store.close().await;
        // The last connection that closes takes the log into the file; a reader's may have been that.
        Store::open(&location).await.unwrap().close().await;
        assert!(!directory.path().join("metadata.db-wal").exists(), "all is in one file");
        Founded { database: std::fs::read(path).unwrap(), installation }
    };
    FOUNDED.get_or_init(found).await
}

/// What a reader may look at.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Thing {
    Blob(String, Digest),
    Manifest(String, String),
}

/// An upload session that a client may come back to.
#[derive(Debug, Clone)]
pub(crate) struct Session {
    pub(crate) image: ImageName,
    pub(crate) uuid: String,
    pub(crate) bytes: Vec<u8>,
}

#[derive(Debug, Clone)]
pub(crate) enum Note {
    /// Somebody asked for a change to what a thing shows.
    Asked(Thing, Option<Vec<u8>>),
    /// The change was acknowledged.
    Acknowledged(Thing, Option<Vec<u8>>),
    CommitBegun,
    /// The length of the database's log then, in bytes.
    Committed(u64, Promise),
}

/// A registry that is driven, and what it did.
#[derive(Debug)]
pub(crate) struct Drive {
    pub(crate) installation: Installation,
    pub(crate) ctx: Ctx,
    pub(crate) disk: SimulatedDisk,
    pub(crate) sessions: Mutex<Vec<Session>>,
    notes: Notes,
    directory: TempDir,
    pub(crate) faults: Faults,
}

/// Whether calls of the disk fail, so that a client has to try again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Faults {
    None,
    Some(ErrorKind),
}

#[derive(Debug, Clone, Default)]
struct Notes(Arc<Mutex<Vec<Note>>>);

impl Notes {
    fn take(&self, disk: &SimulatedDisk, note: Note) {
        let mut notes = self.0.lock().unwrap();
        disk.note(notes.len());
        notes.push(note);
    }
}

/// A registry over that disk and that store.
pub(crate) async fn installation(store: Store, disk: &SimulatedDisk) -> Installation {
    let blobs = FileStore::on(Arc::new(disk.clone())).unwrap();
    let ages = Ages { reader_grace: 0, ..Ages::default() };
    let registry = Registry::with_ages(Arc::new(blobs), SparseManifests::Refused, ages);
    let iam = Iam::new(store.clone(), 3600, Limits::default());
    let tenancy = tenancies::first(&iam).await.unwrap();
    Installation { store, iam, registry, tenancy, ..founded().await.installation.clone() }
}

fn log_bytes(directory: &Path) -> u64 {
    std::fs::metadata(directory.join("metadata.db-wal")).map_or(0, |log| log.len())
}

impl Drive {
    pub(crate) async fn start(disk: SimulatedDisk, faults: Faults) -> Drive {
        let directory = TempDir::new();
        let path = directory.path().join("metadata.db");
        std::fs::write(&path, &founded().await.database).unwrap();
        let notes = Notes::default();
        let watch = {
            let (notes, disk, directory) = (notes.clone(), disk.clone(), directory.path().to_owned());
            move |step| {
                let note = match step {
                    CommitStep::Begun => Note::CommitBegun,
                    CommitStep::Done(promise) => Note::Committed(log_bytes(&directory), promise),
                };
                notes.take(&disk, note);
            }
        };
        let store = check::watched(&path, watch).await.unwrap();
        let installation = installation(store, &disk).await;
        let ctx = installation.iam.local_administrator(request());
        Drive { installation, ctx, disk, sessions: Mutex::default(), notes, directory, faults }
    }

    /// The process ends and another one starts; the machine goes on.
    pub(crate) async fn restart(&mut self) {
        self.installation = installation(self.installation.store.clone(), &self.disk).await;
        self.ctx = self.installation.iam.local_administrator(request());
    }

    pub(crate) fn image(&self, name: &str) -> ImageName {
        self.installation.image(name)
    }

    /// Asks for a change until it is acknowledged: once, or twice where calls of the disk fail.
    async fn ask(&self, thing: Thing, after: Option<&[u8]>, change: impl AsyncFn() -> Result<(), Error>) {
        let after = after.map(<[u8]>::to_vec);
        self.notes.take(&self.disk, Note::Asked(thing.clone(), after.clone()));
        if let Err(error) = change().await {
            let Faults::Some(expected) = self.faults else { panic!("{thing:?}: {error}") };
            // An object that a sync failed on is refused as a fault of the storage, whatever the cause was.
            let answers = [expected, ErrorKind::Internal];
            assert!(answers.contains(&error.kind()), "{thing:?}: {error}");
            change().await.unwrap_or_else(|error| panic!("{thing:?}, second try: {error}"));
        }
        self.notes.take(&self.disk, Note::Acknowledged(thing, after));
    }

    pub(crate) async fn push_blob(&self, image: &ImageName, bytes: &[u8]) -> Digest {
        let digest = Digest::sha256(bytes);
        let push = async || {
            let registry = &self.installation.registry;
            registry.upload_blob(&self.ctx, image, &digest, sent(bytes)).await
        };
        self.ask(Thing::Blob(image.to_string(), digest.clone()), Some(bytes), push).await;
        digest
    }

    /// Pushes in a session: each chunk by its own request, the last with the closing one.
    pub(crate) async fn push_chunks(&self, image: &ImageName, chunks: &[&[u8]]) -> Digest {
        let bytes = chunks.concat();
        let digest = Digest::sha256(&bytes);
        let push = async || {
            let uuid = self.start_session(image, &bytes).await?;
            let (last, first) = chunks.split_last().unwrap();
            for chunk in first {
                self.append(image, &uuid, chunk).await?;
            }
            self.finish(image, &uuid, &digest, last).await
        };
        self.ask(Thing::Blob(image.to_string(), digest.clone()), Some(&bytes), push).await;
        digest
    }

    pub(crate) async fn start_session(&self, image: &ImageName, bytes: &[u8]) -> Result<String, Error> {
        let registry = &self.installation.registry;
        let uuid = registry.start_upload(&self.ctx, image, Algorithm::Sha256).await?.uuid;
        let session = Session { image: image.clone(), uuid: uuid.clone(), bytes: bytes.to_vec() };
        self.sessions.lock().unwrap().push(session);
        Ok(uuid)
    }

    pub(crate) async fn append(&self, image: &ImageName, uuid: &str, chunk: &[u8]) -> Result<(), Error> {
        let registry = &self.installation.registry;
        registry.append_upload(&self.ctx, image, uuid, None, sent(chunk)).await.map(drop)
    }

    /// Closes a session whose blob nobody has asked for yet.
    pub(crate) async fn close_session(&self, image: &ImageName, uuid: &str, bytes: &[u8], last: &[u8]) {
        let digest = Digest::sha256(bytes);
        let close = async || self.finish(image, uuid, &digest, last).await;
        self.ask(Thing::Blob(image.to_string(), digest.clone()), Some(bytes), close).await;
    }

    async fn finish(&self, image: &ImageName, uuid: &str, digest: &Digest, last: &[u8]) -> Result<(), Error> {
        let registry = &self.installation.registry;
        registry.finish_upload(&self.ctx, image, uuid, None, digest, sent(last)).await
    }

    pub(crate) async fn mount(&self, image: &ImageName, digest: &Digest, from: &ImageName, bytes: &[u8]) {
        let registry = &self.installation.registry;
        let mount = async || {
            assert!(registry.mount_blob(&self.ctx, image, digest, Some(from)).await?);
            Ok(())
        };
        self.ask(Thing::Blob(image.to_string(), digest.clone()), Some(bytes), mount).await;
    }

    /// Puts a manifest, which is then seen by tag and by digest.
    pub(crate) async fn put(&self, image: &ImageName, tag: &str, manifest: &[u8]) -> Digest {
        let digest = Digest::sha256(manifest);
        let reference: Reference = tag.parse().unwrap();
        let put = async || {
            let registry = &self.installation.registry;
            registry.put_manifest(&self.ctx, image, &reference, &[], None, sent(manifest)).await.map(drop)
        };
        let by_digest = Thing::Manifest(image.to_string(), digest.to_string());
        self.notes.take(&self.disk, Note::Asked(by_digest.clone(), Some(manifest.to_vec())));
        self.ask(Thing::Manifest(image.to_string(), tag.to_owned()), Some(manifest), put).await;
        self.notes.take(&self.disk, Note::Acknowledged(by_digest, Some(manifest.to_vec())));
        digest
    }

    pub(crate) async fn delete_manifest(&self, image: &ImageName, digest: &Digest, tag: &str) {
        let delete = async || {
            let registry = &self.installation.registry;
            registry.delete_manifest(&self.ctx, image, digest).await
        };
        let by_tag = Thing::Manifest(image.to_string(), tag.to_owned());
        self.notes.take(&self.disk, Note::Asked(by_tag.clone(), None));
        self.ask(Thing::Manifest(image.to_string(), digest.to_string()), None, delete).await;
        self.notes.take(&self.disk, Note::Acknowledged(by_tag, None));
    }

    /// Attaches the tag again, too.
    pub(crate) async fn restore(&self, image: &ImageName, digest: &Digest, tag: &str, manifest: &[u8]) {
        let tenancy = &self.installation.tenancy;
        let name = image.repository.clone();
        let restore = async || {
            let tag = tag.parse().unwrap();
            restore_image(&self.ctx, tenancy, &name, digest, Some(&tag)).await.map(drop)
        };
        let by_tag = Thing::Manifest(image.to_string(), tag.to_owned());
        self.notes.take(&self.disk, Note::Asked(by_tag.clone(), Some(manifest.to_vec())));
        let by_digest = Thing::Manifest(image.to_string(), digest.to_string());
        self.ask(by_digest, Some(manifest), restore).await;
        self.notes.take(&self.disk, Note::Acknowledged(by_tag, Some(manifest.to_vec())));
    }

    /// From here on the collector may take the blob or not.
    pub(crate) fn forget(&self, image: &ImageName, bytes: &[u8]) {
        let blob = Thing::Blob(image.to_string(), Digest::sha256(bytes));
        self.notes.take(&self.disk, Note::Asked(blob, None));
    }

    /// Collects as if that many seconds had passed.
    pub(crate) async fn collect(&self, seconds: i64) -> Collected {
        let later = self.installation.later(seconds);
        self.installation.registry.collect_garbage(&later, false).await.unwrap()
    }

    pub(crate) async fn delete_blob(&self, image: &ImageName, digest: &Digest) {
        let delete = async || {
            let registry = &self.installation.registry;
            registry.delete_blob(&self.ctx, image, digest).await
        };
        self.ask(Thing::Blob(image.to_string(), digest.clone()), None, delete).await;
    }

    /// What was noted before a moment of the disk's history.
    pub(crate) fn notes_before(&self, moment: usize) -> Vec<Note> {
        let notes = self.notes.0.lock().unwrap();
        self.disk.notes_before(moment).into_iter().map(|note| notes[note].clone()).collect()
    }

    /// The metadata as a power cut leaves it that keeps so many bytes of the log.
    pub(crate) async fn metadata(&self, log_bytes: u64) -> (Store, TempDir) {
        let directory = TempDir::new();
        let path = directory.path().join("metadata.db");
        std::fs::write(&path, &founded().await.database).unwrap();
        let log = std::fs::read(self.directory.path().join("metadata.db-wal")).unwrap_or_default();
        let kept = log.get(..usize::try_from(log_bytes).unwrap()).expect("the log only grows");
        std::fs::write(directory.path().join("metadata.db-wal"), kept).unwrap();
        (Store::open(&Location::Sqlite(path)).await.unwrap(), directory)
    }
}

/// What a reader sees of a thing.
pub(crate) async fn look(
    installation: &Installation,
    ctx: &Ctx,
    thing: &Thing,
) -> Result<Option<Vec<u8>>, Error> {
    let found = match thing {
        Thing::Blob(image, digest) => read_blob(installation, ctx, &image.parse().unwrap(), digest).await,
        Thing::Manifest(image, reference) => {
            let (image, reference) = (image.parse().unwrap(), reference.parse().unwrap());
            let manifest = installation.registry.get_manifest(ctx, &image, &reference).await;
            manifest.map(|(_, body)| body.to_vec())
        }
    };
    match found {
        Ok(bytes) => Ok(Some(bytes)),
        // A row without its object is no blob that is not there.
        Err(error) if error.kind() == ErrorKind::NotFound && !matches!(error, Error::Quarantined(_)) => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

async fn read_blob(
    installation: &Installation,
    ctx: &Ctx,
    image: &ImageName,
    digest: &Digest,
) -> Result<Vec<u8>, Error> {
    let reader = installation.registry.open_blob(ctx, image, digest).await?;
    let parts: Vec<bytes::Bytes> = reader.read(0..reader.size()).await?.try_collect().await?;
    Ok(parts.concat())
}

/// What was on a disk that is new but for its directories.
pub(crate) fn formatted() -> SimulatedDisk {
    let disk = SimulatedDisk::new();
    FileStore::on(Arc::new(disk.clone())).unwrap();
    let image: Image = disk.image();
    SimulatedDisk::restored(&image)
}
