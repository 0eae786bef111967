//! What an actor does, as a client would.

use bytes::Bytes;
use wharfinger_iam::Ctx;
use wharfinger_registry::repositories::{delete_repository, restore_repository};
use wharfinger_registry::{Error, images};
use wharfinger_testkit::services::Installation;
use wharfinger_types::{Digest, ErrorKind};

use crate::images::{manifest, push_blob, put, sent};

/// The repository that all act on, and the one that blobs are mounted from.
pub(super) const APP: &str = "app";
pub(super) const OTHER: &str = "other";

pub(super) const CONFIG: &[u8] = b"{}";
pub(super) const LAYER: &[u8] = b"a layer";
pub(super) const NEXT_LAYER: &[u8] = b"the layer of the next version";

/// A thing to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Act {
    /// Uploads the blobs of the image.
    PushBlobs,
    /// Uploads them to the other repository.
    PushBlobsElsewhere,
    /// Puts the manifest under a tag, without a look at its blobs.
    Put(&'static str),
    /// Puts the manifest after a HEAD for each blob; those that are not there are uploaded.
    AskThenPut,
    /// The same, with a mount instead of a HEAD.
    MountThenPut,
    /// Uploads the blobs, then puts the manifest.
    PushWhole,
    /// Puts another image under the tag of the first.
    MoveTag,
    /// Puts an index of the image.
    PutIndex,
    /// Puts a referrer of the image.
    PutReferrer,
    DeleteImage,
    DeleteIndex,
    DeleteLayer,
    RestoreImage,
    RestoreThenDelete,
    RestoreIndex,
    DeleteRepository,
    RestoreRepository,
    /// One step of the collector, or several in turn.
    Collect(&'static [Step]),
}

/// A step of the collector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    Uploads,
    Repositories,
    Manifests,
    Links,
    Blobs,
    Orphans,
    EmptyRepositories,
    Objects,
}

pub(super) const EVERYTHING: &[Step] = &[
    Step::Uploads,
    Step::Repositories,
    Step::Manifests,
    Step::Links,
    Step::Blobs,
    Step::Orphans,
    Step::EmptyRepositories,
    Step::Objects,
];

/// What came of an act.
#[derive(Debug)]
pub(super) enum Outcome {
    /// Acknowledged.
    Done,
    /// Refused in a way that a client can go on from: it uploads again, or is told that the thing is gone.
    #[allow(dead_code, reason = "shown when an order goes wrong")]
    Refused(String),
    /// Told that a blob is there, and then the contrary: fine if somebody deleted it.
    Contradicted(String),
    /// Something that nobody should meet.
    Wrong(String),
}

/// The image of [`CONFIG`] and [`LAYER`].
pub(super) fn image() -> Bytes {
    manifest(&Digest::sha256(CONFIG), &[&Digest::sha256(LAYER)])
}

/// Another one of the same repository.
pub(super) fn next_image() -> Bytes {
    manifest(&Digest::sha256(CONFIG), &[&Digest::sha256(NEXT_LAYER)])
}

pub(super) fn index() -> Bytes {
    let image = image();
    let entry = serde_json::json!({
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "digest": Digest::sha256(&image).as_str(), "size": image.len(),
    });
    let index = serde_json::json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": [entry],
    });
    index.to_string().into()
}

pub(super) fn referrer() -> Bytes {
    let image = image();
    let subject = serde_json::json!({
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "digest": Digest::sha256(&image).as_str(), "size": image.len(),
    });
    let config = serde_json::json!({
        "mediaType": "application/vnd.oci.empty.v1+json",
        "digest": Digest::sha256(CONFIG).as_str(), "size": CONFIG.len(),
    });
    let referrer = serde_json::json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "artifactType": "application/vnd.example.signature", "config": config, "layers": [], "subject": subject,
    });
    referrer.to_string().into()
}

impl Act {
    /// Does it.
    pub(super) async fn perform(self, installation: Installation, ctx: Ctx) -> Outcome {
        let done = self.attempt(&installation, &ctx).await;
        match done {
            Ok(()) => Outcome::Done,
            Err(Failure::Contradicted(error)) => Outcome::Contradicted(format!("{self:?}: {error:?}")),
            Err(Failure::Error(error)) => match error.kind() {
                ErrorKind::Internal | ErrorKind::Unavailable => {
                    Outcome::Wrong(format!("{self:?}: {error:?}"))
                }
                _ => Outcome::Refused(format!("{self:?}: {error:?}")),
            },
        }
    }

    async fn attempt(self, installation: &Installation, ctx: &Ctx) -> Result<(), Failure> {
        let (registry, tenancy) = (&installation.registry, &installation.tenancy);
        let (app, name) = (installation.image(APP), APP.parse().unwrap());
        let blobs = [CONFIG, LAYER];
        match self {
            Act::PushBlobs | Act::PushBlobsElsewhere => {
                let image = installation.image(if self == Act::PushBlobs { APP } else { OTHER });
                for bytes in blobs {
                    registry.upload_blob(ctx, &image, &Digest::sha256(bytes), sent(bytes)).await?;
                }
            }
            Act::Put(tag) => {
                put(installation, ctx, &app, tag, image()).await?;
            }
            Act::AskThenPut => {
                for bytes in blobs {
                    let digest = Digest::sha256(bytes);
                    if registry.stat_blob(ctx, &app, &digest).await.is_err() {
                        registry.upload_blob(ctx, &app, &digest, sent(bytes)).await?;
                    }
                }
                promised(put(installation, ctx, &app, "asked", image()).await)?;
            }
            Act::MountThenPut => {
                for bytes in blobs {
                    let digest = Digest::sha256(bytes);
                    let other = installation.image(OTHER);
                    if !registry.mount_blob(ctx, &app, &digest, Some(&other)).await? {
                        registry.upload_blob(ctx, &app, &digest, sent(bytes)).await?;
                    }
                }
                promised(put(installation, ctx, &app, "mounted", image()).await)?;
            }
            Act::PushWhole => {
                for bytes in blobs {
                    registry.upload_blob(ctx, &app, &Digest::sha256(bytes), sent(bytes)).await?;
                }
                promised(put(installation, ctx, &app, "pushed", image()).await)?;
            }
            Act::MoveTag => {
                push_blob(installation, ctx, &app, NEXT_LAYER).await;
                put(installation, ctx, &app, "v1", next_image()).await?;
            }
            Act::PutIndex => {
                put(installation, ctx, &app, "index", index()).await?;
            }
            Act::PutReferrer => {
                put(installation, ctx, &app, Digest::sha256(&referrer()).as_str(), referrer()).await?;
            }
            Act::DeleteImage => registry.delete_manifest(ctx, &app, &Digest::sha256(&image())).await?,
            Act::DeleteIndex => registry.delete_manifest(ctx, &app, &Digest::sha256(&index())).await?,
            Act::DeleteLayer => registry.delete_blob(ctx, &app, &Digest::sha256(LAYER)).await?,
            Act::RestoreImage => {
                images::restore_image(ctx, tenancy, &name, &Digest::sha256(&image()), None).await?;
            }
            Act::RestoreThenDelete => {
                images::restore_image(ctx, tenancy, &name, &Digest::sha256(&image()), None).await?;
                registry.delete_manifest(ctx, &app, &Digest::sha256(&image())).await?;
            }
            Act::RestoreIndex => {
                images::restore_image(ctx, tenancy, &name, &Digest::sha256(&index()), None).await?;
            }
            Act::DeleteRepository => {
                delete_repository(ctx, tenancy, &name).await?;
            }
            Act::RestoreRepository => {
                restore_repository(ctx, tenancy, &name, None).await?;
            }
            Act::Collect(steps) => {
                let mut collection = registry.collection(ctx, false)?;
                for step in steps {
                    match step {
                        Step::Uploads => collection.uploads().await?,
                        Step::Repositories => collection.repositories().await?,
                        Step::Manifests => collection.manifests().await?,
                        Step::Links => collection.links().await?,
                        Step::Blobs => collection.blobs().await?,
                        Step::Orphans => collection.orphans().await?,
                        Step::EmptyRepositories => collection.empty_repositories().await?,
                        Step::Objects => collection.objects().await?,
                    }
                }
            }
        }
        Ok(())
    }
}

enum Failure {
    Error(Error),
    Contradicted(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure::Error(error)
    }
}

/// What a put gave to a client that was told that every blob is there.
fn promised<T>(put: Result<T, Error>) -> Result<T, Failure> {
    put.map_err(|error| match error {
        Error::ManifestBlobUnknown(_) => Failure::Contradicted(error),
        other => Failure::Error(other),
    })
}
