//! What can go wrong in the registry.

use wharfinger_types::{Digest, ErrorKind, ParseDigestError, Reference};

/// An error of the registry. Messages are for the client's user.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Identity refused, or the repository is not there.
    #[error(transparent)]
    Iam(#[from] wharfinger_iam::Error),
    /// The repository is not there, and pushes don't create any in this tenancy.
    #[error(
        "repository `{0}` does not exist, and this tenancy does not create repositories on first push: create it first"
    )]
    NotCreatedOnPush(String),
    /// No such blob in the repository.
    #[error("blob {0} is not in this repository")]
    BlobUnknown(Digest),
    /// The blob is part of an image.
    #[error("blob {blob} is used by manifest {manifest}: delete that first")]
    BlobInUse {
        /// The blob.
        blob: Digest,
        /// A visible manifest that uses it.
        manifest: String,
    },
    /// No such upload, or of another repository.
    #[error("upload `{0}` does not exist here, has ended or was cancelled: start a new one")]
    UploadUnknown(String),
    /// A chunk does not start where the upload ends.
    #[error("the chunk starts at byte {start}, but the upload has {offset} bytes: go on from there")]
    UploadOffset {
        /// Where the chunk starts.
        start: u64,
        /// How many bytes the upload has.
        offset: u64,
    },
    /// The chunk's body is not as long as its range said.
    #[error("the chunk's range covers {announced} bytes, but {received} came")]
    ChunkLength {
        /// Length of the announced range.
        announced: u64,
        /// Bytes that came.
        received: u64,
    },
    /// The client went away, or broke the framing, in the middle of a body.
    #[error("the request body ended early: {0}")]
    BodyBroken(String),
    /// The process ends before the request does.
    #[error("the registry is stopping: try again later")]
    Stopping,
    /// The content has another digest than the client says.
    #[error("the content has digest {computed}, not {given}")]
    DigestMismatch {
        /// What the client said.
        given: Digest,
        /// What it is.
        computed: Digest,
    },
    /// The text is no digest.
    #[error(transparent)]
    Digest(#[from] ParseDigestError),
    /// No such manifest in the repository.
    #[error("manifest `{0}` is not in this repository")]
    ManifestUnknown(Reference),
    /// The image was never deleted, or can't be restored any more.
    #[error("there is no deleted image {0} in this repository: it is there, or was collected")]
    NotDeleted(Digest),
    /// Another image has the version.
    #[error(
        "version `{version}` of repository `{repository}` is another image's: restore without it, or with another"
    )]
    VersionTaken {
        /// The version.
        version: String,
        /// The repository.
        repository: String,
    },
    /// The document is no manifest that the registry takes.
    #[error("manifest invalid: {0}")]
    ManifestInvalid(String),
    /// The manifest names content that the repository does not have.
    #[error("the repository lacks what the manifest names: {}: push it first", .0.join(", "))]
    ManifestBlobUnknown(Vec<String>),
    /// The document is larger than a manifest may be.
    #[error("the manifest is larger than {limit} bytes")]
    ManifestTooLarge {
        /// The most allowed.
        limit: usize,
    },
    /// The bytes of a blob are lost or damaged, and kept from every reader.
    #[error("the stored bytes of blob {0} are lost or damaged, so nobody is given them: push the blob again")]
    Quarantined(Digest),
    /// What the database has of a blob or manifest is damaged.
    #[error("the database's row of {0} is damaged: push it again")]
    Damaged(Digest),
    /// A backup's directory can't be used, or what is in it is not right.
    #[error("{0}")]
    Directory(String),
    /// Blob storage failed.
    #[error(transparent)]
    Blobs(#[from] wharfinger_blobstore::Error),
}

impl From<wharfinger_metastore::Error> for Error {
    fn from(error: wharfinger_metastore::Error) -> Error {
        Error::Iam(error.into())
    }
}

impl Error {
    /// The class of the error, by which a face chooses the status.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Error::Iam(error) => error.kind(),
            Error::NotCreatedOnPush(_)
            | Error::BlobUnknown(_)
            | Error::Quarantined(_)
            | Error::UploadUnknown(_)
            | Error::NotDeleted(_)
            | Error::ManifestUnknown(_) => ErrorKind::NotFound,
            Error::VersionTaken { .. } => ErrorKind::Conflict,
            Error::BlobInUse { .. } => ErrorKind::Unsupported,
            Error::UploadOffset { .. } => ErrorKind::RangeNotSatisfiable,
            Error::ChunkLength { .. }
            | Error::BodyBroken(_)
            | Error::DigestMismatch { .. }
            | Error::Digest(_)
            | Error::Directory(_)
            | Error::ManifestInvalid(_)
            | Error::ManifestBlobUnknown(_) => ErrorKind::Invalid,
            Error::ManifestTooLarge { .. } => ErrorKind::TooLarge,
            Error::Stopping | Error::Blobs(wharfinger_blobstore::Error::Full { .. }) => {
                ErrorKind::Unavailable
            }
            Error::Damaged(_) | Error::Blobs(_) => ErrorKind::Internal,
        }
    }
}
