//! Small content for the tests: bodies, blobs, manifests.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Mutex;

use bytes::Bytes;
use futures_util::{Stream, stream};
use wharfinger_iam::Ctx;
use wharfinger_registry::Error;
use wharfinger_testkit::services::Installation;
use wharfinger_types::{Digest, ImageName};

/// A body in one piece.
pub(crate) fn sent(bytes: &[u8]) -> impl Stream<Item = Result<Bytes, Infallible>> + Unpin + use<> {
    stream::iter([Ok(Bytes::copy_from_slice(bytes))])
}

/// A body whose client hangs up after `bytes`.
pub(crate) fn cut_off(bytes: &[u8]) -> impl Stream<Item = Result<Bytes, &'static str>> + Unpin + use<> {
    stream::iter([Ok(Bytes::copy_from_slice(bytes)), Err("connection reset")])
}

/// Sizes of everything that was pushed, for descriptors.
static SIZES: Mutex<BTreeMap<String, usize>> = Mutex::new(BTreeMap::new());

/// A descriptor of something that was pushed.
pub(crate) fn descriptor(digest: &Digest) -> serde_json::Value {
    let size = SIZES.lock().unwrap().get(digest.as_str()).copied().unwrap_or(1);
    serde_json::json!({ "digest": digest.as_str(), "size": size })
}

/// Uploads a blob in one request.
pub(crate) async fn push_blob(
    installation: &Installation,
    ctx: &Ctx,
    image: &ImageName,
    bytes: &[u8],
) -> Digest {
    let digest = Digest::sha256(bytes);
    SIZES.lock().unwrap().insert(digest.to_string(), bytes.len());
    installation.registry.upload_blob(ctx, image, &digest, sent(bytes)).await.unwrap();
    digest
}

/// An image manifest over the bytes of a config and of layers.
pub(crate) fn manifest_of(config: &[u8], layers: &[&[u8]]) -> Bytes {
    let describe =
        |bytes: &[u8]| serde_json::json!({ "digest": Digest::sha256(bytes).as_str(), "size": bytes.len() });
    let layers: Vec<_> = layers.iter().map(|layer| describe(layer)).collect();
    serde_json::json!({ "schemaVersion": 2, "config": describe(config), "layers": layers }).to_string().into()
}

/// An image manifest over a config and layers.
pub(crate) fn manifest(config: &Digest, layers: &[&Digest]) -> Bytes {
    let layers: Vec<_> = layers.iter().map(|layer| descriptor(layer)).collect();
    serde_json::json!({ "schemaVersion": 2, "config": descriptor(config), "layers": layers })
        .to_string()
        .into()
}

/// Pushes an image of one config and one layer, tagged; answers with the digests of manifest and layer.
pub(crate) async fn push_image(
    installation: &Installation,
    ctx: &Ctx,
    image: &ImageName,
    content: &str,
    tag: &str,
) -> (Digest, Digest) {
    let config = push_blob(installation, ctx, image, format!("config of {content}").as_bytes()).await;
    let layer = push_blob(installation, ctx, image, content.as_bytes()).await;
    let bytes = manifest(&config, &[&layer]);
    let digest = put(installation, ctx, image, tag, bytes).await.unwrap();
    (digest, layer)
}

/// Puts a manifest by tag or digest.
pub(crate) async fn put(
    installation: &Installation,
    ctx: &Ctx,
    image: &ImageName,
    reference: &str,
    bytes: Bytes,
) -> Result<Digest, Error> {
    SIZES.lock().unwrap().insert(Digest::sha256(&bytes).to_string(), bytes.len());
    installation
        .registry
        .put_manifest(ctx, image, &reference.parse().unwrap(), &[], None, sent(&bytes))
        .await
        .map(|put| put.digest)
}

/// Reads a whole blob.
pub(crate) async fn read_blob(
    installation: &Installation,
    ctx: &Ctx,
    image: &ImageName,
    digest: &Digest,
) -> Result<Vec<u8>, Error> {
    use futures_util::TryStreamExt;
    let reader = installation.registry.open_blob(ctx, image, digest).await?;
    let size = reader.size();
    let parts: Vec<Bytes> = reader.read(0..size).await?.try_collect().await?;
    Ok(parts.concat())
}
