//! Manifests: a document that is accepted says one thing only, and what is taken from it is what stands there. The
//! first line of the input is the `Content-Type`.
#![no_main]

use serde_json::Value;
use wharfinger_fuzz::{is_digest, unfold};
use wharfinger_registry::document::{self, Document};
use wharfinger_types::{Digest, media_type};

const INDEXES: [&str; 2] = [media_type::OCI_INDEX, media_type::DOCKER_LIST];
const IMAGES: [&str; 2] = [media_type::OCI_MANIFEST, media_type::DOCKER_MANIFEST];
/// Long enough that work beyond linear takes seconds.
const LONGEST: usize = 128 << 10;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let line = input.iter().position(|byte| *byte == b'\n');
    let (sent, body) = line.map_or((&b""[..], input), |line| (&input[..line], &input[line + 1..]));
    let sent = std::str::from_utf8(sent).ok().filter(|sent| !sent.is_empty());
    let Ok(text) = std::str::from_utf8(body) else {
        assert!(document::parse(body, sent).is_err(), "JSON is UTF-8");
        return;
    };
    if let Some(long) = unfold(text, LONGEST) {
        let _ = document::parse(long.as_bytes(), sent);
        document::annotations(long.as_bytes());
        document::entries(long.as_bytes());
        return;
    }
    let Ok(found) = document::parse(text.as_bytes(), sent) else {
        return;
    };
    check(&found);
    if let Some(annotations) = document::annotations(text.as_bytes()) {
        let annotations = serde_json::to_string(&annotations).unwrap();
        serde_json::from_str::<std::collections::BTreeMap<String, String>>(&annotations).unwrap();
    }
    for entry in document::entries(text.as_bytes()) {
        serde_json::from_str::<Value>(entry.get()).unwrap();
    }
    // The general reader is the stricter one where neither looks: nesting, lone surrogates.
    if let Ok(value) = serde_json::from_str::<Value>(text) {
        check_against(&found, &value, sent);
    }
});

/// What must hold whatever the text: rows, headers and transactions rely on it.
fn check(found: &Document) {
    let can_stand_in_header =
        |kind: &str| (1..=255).contains(&kind.len()) && kind.bytes().all(|byte| byte.is_ascii_graphic());
    assert!(can_stand_in_header(&found.media_type), "{}", found.media_type);
    assert!(found.media_type.starts_with("application/") && found.media_type.ends_with("+json"));
    assert!(found.artifact_type.as_deref().is_none_or(can_stand_in_header));
    let is_index = found.blobs.is_empty();
    assert!(is_index || found.children.is_empty());
    assert!(!is_index || found.foreign_blobs.is_empty());
    assert!(!is_index || !IMAGES.contains(&found.media_type.as_str()));
    assert!(is_index || !INDEXES.contains(&found.media_type.as_str()));
    let layers = found.blobs.len().saturating_sub(1) + found.foreign_blobs.len();
    assert!(layers <= 4_096 && found.children.len() <= 4_096);
    let named = || found.blobs.iter().chain(&found.foreign_blobs).chain(&found.children);
    for digest in named().chain(&found.subject) {
        assert!(is_digest(digest.as_str()), "{digest}");
    }
    assert!(named().all(|digest| found.sizes.contains_key(digest)));
    assert!(found.sizes.keys().all(|digest| named().any(|named| named == digest)));
    // Clients and the database count in signed numbers.
    assert!(found.sizes.values().all(|size| i64::try_from(*size).is_ok()));
}

/// Compares with what the same text says when it is read without knowing what a manifest is.
fn check_against(found: &Document, value: &Value, sent: Option<&str>) {
    let has = |key: &str| value.get(key).is_some_and(|field| !field.is_null());
    let list = |key: &str| value[key].as_array().map(Vec::as_slice).unwrap_or_default();
    let text = |value: &Value, key: &str| value[key].as_str().map(str::to_owned);
    assert_eq!(value["schemaVersion"], 2);
    assert!(!has("fsLayers"));
    assert_eq!(has("manifests"), found.blobs.is_empty());
    assert!(!has("manifests") || !has("layers") && !has("config"));

    let sent = sent.and_then(|sent| sent.split(';').next()).map(str::trim).unwrap_or_default();
    assert!(![media_type::DOCKER_SCHEMA1, media_type::DOCKER_SCHEMA1_SIGNED].contains(&sent));
    if INDEXES.contains(&sent) || IMAGES.contains(&sent) {
        assert_eq!(found.media_type, sent);
    }
    assert!(text(value, "mediaType").is_none_or(|declared| declared == found.media_type));
    let artifact_type = text(value, "artifactType").filter(|kind| !kind.is_empty());
    assert!(artifact_type.is_none() || artifact_type == found.artifact_type);

    let digests = |descriptors: &[Value]| -> Vec<String> {
        descriptors.iter().filter_map(|descriptor| text(descriptor, "digest")).collect()
    };
    let shown = |digests: &[Digest]| -> Vec<String> { digests.iter().map(ToString::to_string).collect() };
    assert_eq!(digests(list("manifests")), shown(&found.children));
    assert_eq!(text(&value["subject"], "digest"), found.subject.as_ref().map(ToString::to_string));
    let is_foreign = |layer: &&Value| {
        let kind = text(layer, "mediaType").unwrap_or_default();
        kind.starts_with("application/vnd.oci.image.layer.nondistributable.v1.")
            || kind.starts_with("application/vnd.docker.image.rootfs.foreign.")
    };
    let (foreign, own): (Vec<&Value>, Vec<&Value>) = list("layers").iter().partition(is_foreign);
    let digests_of = |layers: Vec<&Value>| digests(&layers.into_iter().cloned().collect::<Vec<_>>());
    assert_eq!(digests_of(foreign), shown(&found.foreign_blobs));
    let config = text(&value["config"], "digest").into_iter();
    assert_eq!(config.chain(digests_of(own)).collect::<Vec<_>>(), shown(&found.blobs));
    for descriptor in [&value["config"]].into_iter().chain(list("layers")).chain(list("manifests")) {
        let Some(digest) = text(descriptor, "digest") else { continue };
        assert_eq!(descriptor["size"].as_u64(), found.sizes.get(&digest.parse().unwrap()).copied());
    }
}
