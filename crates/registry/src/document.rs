//! Reading a manifest: what kind it is and what it needs. The bytes themselves are never changed.
//!
//! Image spec: "Image Manifest", "Image Index"; Docker image manifest version 2, schema 2.

use std::collections::{BTreeMap, HashMap};

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;
use serde_json::value::RawValue;
use wharfinger_types::{Digest, media_type};

use crate::Error;

/// Layers of an image or entries of an index. Each is looked up and locked in one transaction.
const MAX_ENTRIES: usize = 4_096;

/// What the registry has to know of a manifest.
#[derive(Debug, PartialEq, Eq)]
pub struct Document {
    /// The media type it is served as.
    pub media_type: String,
    /// Blobs that the repository must have.
    pub blobs: Vec<Digest>,
    /// Blobs that clients can fetch elsewhere, linked if the repository has them.
    pub foreign_blobs: Vec<Digest>,
    /// Entries of an index: manifests, or blobs in some build caches.
    pub children: Vec<Digest>,
    /// What the document says of the size in bytes of each digest it names.
    pub sizes: HashMap<Digest, u64>,
    /// The manifest that this one is about, which need not exist.
    pub subject: Option<Digest>,
    /// What kind of artifact it is: its `artifactType`, else an image's config type.
    pub artifact_type: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct View {
    schema_version: Option<i64>,
    media_type: Option<String>,
    config: Option<Descriptor>,
    layers: Option<Vec<Descriptor>>,
    manifests: Option<Vec<Descriptor>>,
    fs_layers: Option<IgnoredAny>,
    subject: Option<Descriptor>,
    artifact_type: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    media_type: Option<String>,
    digest: String,
    size: u64,
}

impl Descriptor {
    fn digest(&self) -> Result<Digest, Error> {
        self.digest.parse().map_err(|error| invalid(format!("descriptor: {error}")))
    }

    fn is_foreign(&self) -> bool {
        self.media_type.as_deref().is_some_and(media_type::is_nondistributable)
    }
}

fn invalid(reason: impl Into<String>) -> Error {
    Error::ManifestInvalid(reason.into())
}

/// Reads a manifest that was sent with the given `Content-Type`.
pub fn parse(bytes: &[u8], content_type: Option<&str>) -> Result<Document, Error> {
    // The JSON reader looks at no text that it skips, but clients do (RFC 8259, section 8.1).
    let text = std::str::from_utf8(bytes).map_err(|error| invalid(format!("not UTF-8: {error}")))?;
    let view: View = serde_json::from_str(text)
        .map_err(|error| invalid(format!("not a manifest document: {}", cut(&error.to_string()))))?;
    // Parameters of a media type make no difference (Distribution spec, "Pushing Manifests").
    let sent = content_type.and_then(|value| value.split(';').next()).map(str::trim);
    let is_schema1 =
        |kind: &str| matches!(kind, media_type::DOCKER_SCHEMA1 | media_type::DOCKER_SCHEMA1_SIGNED);
    if view.schema_version == Some(1) || view.fs_layers.is_some() || sent.is_some_and(is_schema1) {
        return Err(invalid("Docker schema 1 is not supported: push the image in schema 2 or OCI format"));
    }
    if view.schema_version != Some(2) {
        return Err(invalid("`schemaVersion` must be 2"));
    }
    let is_index = match (&view.manifests, view.config.is_some() || view.layers.is_some()) {
        (Some(_), false) => true,
        (None, true) => false,
        (Some(_), true) => {
            return Err(invalid(
                "has `manifests` beside `config` or `layers`: it must be an index or an image, not both",
            ));
        }
        (None, false) => return Err(invalid("has neither `manifests` nor `config`")),
    };
    let media_type = resolve_media_type(view.media_type.as_deref(), sent, is_index)?;
    let entries = view.layers.as_ref().map_or(0, Vec::len) + view.manifests.as_ref().map_or(0, Vec::len);
    if entries > MAX_ENTRIES {
        return Err(invalid(format!("has {entries} entries, more than the {MAX_ENTRIES} that are taken")));
    }
    let subject = view.subject.as_ref().map(Descriptor::digest).transpose()?;
    let artifact_type = view.artifact_type.filter(|kind| !kind.is_empty());
    if artifact_type.as_deref().is_some_and(|kind| !is_media_type(kind)) {
        return Err(invalid("`artifactType` is not a media type"));
    }
    let descriptors =
        view.config.iter().chain(view.layers.iter().flatten()).chain(view.manifests.iter().flatten());
    let mut sizes = HashMap::new();
    for descriptor in descriptors {
        let digest = descriptor.digest()?;
        // Clients and the database count in signed numbers.
        if i64::try_from(descriptor.size).is_err() {
            return Err(invalid(format!("{digest} has size {}, more than any blob", descriptor.size)));
        }
        let known = *sizes.entry(digest.clone()).or_insert(descriptor.size);
        if known != descriptor.size {
            return Err(invalid(format!("{digest} has two sizes, {known} and {}", descriptor.size)));
        }
    }
    let mut document = Document {
        media_type,
        blobs: Vec::new(),
        foreign_blobs: Vec::new(),
        children: Vec::new(),
        sizes,
        subject,
        artifact_type,
    };
    for entry in view.manifests.iter().flatten() {
        document.children.push(entry.digest()?);
    }
    if is_index {
        return Ok(document);
    }
    let config = view.config.ok_or_else(|| invalid("`config` is missing"))?;
    document.blobs.push(config.digest()?);
    document.artifact_type = document.artifact_type.or(config.media_type.filter(|kind| is_media_type(kind)));
    for layer in view.layers.iter().flatten() {
        let list = if layer.is_foreign() { &mut document.foreign_blobs } else { &mut document.blobs };
        list.push(layer.digest()?);
    }
    Ok(document)
}

/// Enough of a client's text to find the fault.
fn cut(text: &str) -> String {
    text.chars().take(300).collect()
}

/// What may stand in a header and in a row; the grammar of RFC 6838 is left to its readers.
fn is_media_type(text: &str) -> bool {
    !text.is_empty() && text.len() <= 255 && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// The annotations of a manifest or index, for a list of referrers; `None` also for those that are not
/// names and texts, which would spoil the list for clients that rely on it.
pub fn annotations(bytes: &[u8]) -> Option<BTreeMap<String, String>> {
    #[derive(Deserialize)]
    struct Annotated {
        annotations: Option<BTreeMap<String, String>>,
    }
    serde_json::from_slice::<Annotated>(bytes).ok()?.annotations
}

/// The entries of an index, as they stand there, but for those that a strict reader refuses.
pub fn entries(bytes: &[u8]) -> Vec<Box<RawValue>> {
    #[derive(Deserialize)]
    struct Index {
        manifests: Option<Vec<Box<RawValue>>>,
    }
    let index = serde_json::from_slice::<Index>(bytes).ok();
    let mut entries = index.and_then(|index| index.manifests).unwrap_or_default();
    entries.retain(|entry| serde_json::from_str::<Value>(entry.get()).is_ok());
    entries
}

/// The document's own word wins; a `Content-Type` that names a manifest type must agree with it, and
/// both with the content. Anything else a client sends as `Content-Type` says nothing.
fn resolve_media_type(declared: Option<&str>, sent: Option<&str>, is_index: bool) -> Result<String, Error> {
    let sent = sent.filter(|kind| media_type::is_manifest(kind));
    if let (Some(declared), Some(sent)) = (declared, sent)
        && declared != sent
    {
        return Err(invalid(format!("`mediaType` is `{}`, but the Content-Type is `{sent}`", cut(declared))));
    }
    let resolved =
        declared.or(sent).unwrap_or(if is_index { media_type::OCI_INDEX } else { media_type::OCI_MANIFEST });
    let names_index = matches!(resolved, media_type::OCI_INDEX | media_type::DOCKER_LIST);
    if names_index != is_index && media_type::is_manifest(resolved) {
        return Err(invalid(format!("the content is not what its media type `{resolved}` says")));
    }
    // Served as it is: a type that browsers run, such as `text/html`, would be ours to answer for.
    let is_json = resolved.starts_with("application/") && resolved.ends_with("+json");
    if !is_json || !is_media_type(resolved) {
        return Err(invalid("`mediaType` is not one of a manifest: expected `application/….+json`"));
    }
    Ok(resolved.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn digest(text: &str) -> Digest {
        Digest::sha256(text.as_bytes())
    }

    fn reason(json: &str, content_type: Option<&str>) -> String {
        parse(json.as_bytes(), content_type).unwrap_err().to_string()
    }

    #[test]
    fn an_image_needs_its_config_and_layers_but_not_its_foreign_layers() {
        let json = format!(
            r#"{{"schemaVersion":2,"config":{{"digest":"{}","size":1}},"layers":[{{"digest":"{}","size":1}},
                {{"mediaType":"application/vnd.docker.image.rootfs.foreign.diff.tar.gzip","digest":"{}","size":1}}],"extra":1}}"#,
            digest("c"),
            digest("l"),
            digest("f")
        );
        let document = parse(json.as_bytes(), Some("application/octet-stream")).unwrap();
        assert_eq!(document.media_type, media_type::OCI_MANIFEST);
        assert_eq!(document.blobs, [digest("c"), digest("l")]);
        assert_eq!(document.foreign_blobs, [digest("f")]);
    }

    #[test]
    fn an_empty_index_is_an_index() {
        let document = parse(br#"{"schemaVersion":2,"manifests":[]}"#, None).unwrap();
        assert_eq!((document.media_type.as_str(), document.children.len()), (media_type::OCI_INDEX, 0));
    }

    #[test]
    fn cve_2021_41190_ambiguous_documents_are_refused() {
        let both = format!(
            r#"{{"schemaVersion":2,"manifests":[],"config":{{"digest":"{}","size":1}}}}"#,
            digest("c")
        );
        assert!(reason(&both, None).contains("not both"));
        let index =
            format!(r#"{{"schemaVersion":2,"mediaType":"{}","manifests":[]}}"#, media_type::OCI_MANIFEST);
        assert!(reason(&index, None).contains("not what its media type"));
        let declared =
            format!(r#"{{"schemaVersion":2,"mediaType":"{}","manifests":[]}}"#, media_type::OCI_INDEX);
        assert!(reason(&declared, Some(media_type::DOCKER_LIST)).contains("Content-Type"));
        assert!(
            parse(declared.as_bytes(), Some("application/vnd.oci.image.index.v1+json; charset=utf-8"))
                .is_ok()
        );
    }

    #[test]
    fn schema_1_is_refused_with_the_way_out() {
        assert!(reason(r#"{"schemaVersion":1,"fsLayers":[]}"#, None).contains("schema 2"));
    }

    #[test]
    fn an_index_has_4096_entries_at_most() {
        let entry = format!(r#"{{"digest":"{}","size":1}}"#, digest("m"));
        let index = |entries| {
            let entries = vec![entry.as_str(); entries].join(",");
            parse(format!(r#"{{"schemaVersion":2,"manifests":[{entries}]}}"#).as_bytes(), None)
        };
        assert_eq!(index(4_096).unwrap().children.len(), 4_096);
        assert!(index(4_097).unwrap_err().to_string().contains("4097 entries"));
    }

    #[test]
    fn what_some_client_cannot_read_is_refused_or_left_out() {
        assert!(parse(b"{\"schemaVersion\":2,\"manifests\":[],\"extra\":\"\xff\"}", None).is_err());
        let sized = |size: u64| {
            format!(r#"{{"schemaVersion":2,"config":{{"digest":"{}","size":{size}}}}}"#, digest("c"))
        };
        assert!(parse(sized(i64::MAX as u64).as_bytes(), None).is_ok());
        assert!(reason(&sized(1 << 63), None).contains("more than any blob"));

        assert_eq!(annotations(br#"{"annotations":{"b":"1","a":"2"}}"#).unwrap().len(), 2);
        let deep = format!("{}{}", "[".repeat(20_000), "]".repeat(20_000));
        for odd in [r#"{"a":1}"#, r#"{"a":"\ud800"}"#, "[]", &deep] {
            assert_eq!(annotations(format!(r#"{{"annotations":{odd}}}"#).as_bytes()), None);
        }
        let index = format!(r#"{{"manifests":[{{"a":{deep}}},{{"a":"\ud800"}},{{"a":1}}]}}"#);
        let entries = entries(index.as_bytes());
        assert_eq!(entries.iter().map(|entry| entry.get()).collect::<Vec<_>>(), [r#"{"a":1}"#]);
    }

    proptest! {
        #[test]
        fn any_bytes_parse_or_fail_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&bytes, None);
        }
    }
}
