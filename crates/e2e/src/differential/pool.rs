//! What the requests are about: few names, blobs and manifests, so that they meet again and again.

use bytes::Bytes;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha512};
use wharfinger_testkit::http::{Dice, IMAGE_CONFIG, IMAGE_INDEX, IMAGE_MANIFEST, LAYER, descriptor, digest};

/// Tags that the requests use.
pub(crate) const TAGS: [&str; 5] = ["latest", "v1", "V1.0-rc_1", "_x", "10"];
pub(crate) const DOCKER: &str = "application/vnd.docker.distribution.manifest.v2+json";
const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
const DOCKER_LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";
pub(crate) const SCHEMA_1: &str = "application/vnd.docker.distribution.manifest.v1+json";

/// A blob with its digests.
#[derive(Debug, Clone)]
pub(crate) struct Blob {
    pub(crate) bytes: Bytes,
    pub(crate) digest: String,
    pub(crate) sha512: String,
}

/// A manifest, and what of the pool it needs.
#[derive(Debug, Clone)]
pub(crate) struct Manifest {
    /// What is special about it; part of the name of the requests' case.
    pub(crate) kind: &'static str,
    pub(crate) media_type: &'static str,
    pub(crate) bytes: Bytes,
    pub(crate) digest: String,
    /// Indexes of blobs.
    pub(crate) blobs: Vec<usize>,
}

/// Everything that a run may push.
#[derive(Debug, Clone)]
pub(crate) struct Pool {
    pub(crate) blobs: Vec<Blob>,
    pub(crate) manifests: Vec<Manifest>,
}

impl Pool {
    /// The pool, the same at every call.
    pub(crate) fn new() -> Self {
        let mut dice = Dice::new(1);
        let sizes = [1, 16, 300, 5_000, 70_000];
        let contents = [Bytes::from_static(b"{}"), Bytes::new()].into_iter();
        let contents = contents.chain(sizes.into_iter().map(|size| dice.bytes(size)));
        let blobs: Vec<Blob> = contents.map(blob).collect();
        let manifests = manifests(&blobs);
        Self { blobs, manifests }
    }
}

impl Default for Pool {
    fn default() -> Self {
        Self::new()
    }
}

fn blob(bytes: Bytes) -> Blob {
    let sha512: String = Sha512::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    Blob { digest: digest(&bytes), sha512: format!("sha512:{sha512}"), bytes }
}

fn manifests(blobs: &[Blob]) -> Vec<Manifest> {
    let of = |media_type: &str, index: usize| descriptor(media_type, &blobs[index].bytes);
    let config = of(IMAGE_CONFIG, 0);
    let image = |extra: Value, layers: Vec<Value>| {
        merge(
            json!({ "schemaVersion": 2, "mediaType": IMAGE_MANIFEST, "config": config, "layers": layers }),
            extra,
        )
    };
    let index = |extra: Value, entries: Vec<Value>| {
        merge(json!({ "schemaVersion": 2, "mediaType": IMAGE_INDEX, "manifests": entries }), extra)
    };
    let docker = |layers: Vec<Value>| json!({ "schemaVersion": 2, "mediaType": DOCKER, "config": of(DOCKER_CONFIG, 0), "layers": layers });
    let none = || json!({});
    let plain = image(none(), vec![of(LAYER, 4)]).to_string();
    let plain_descriptor = descriptor(IMAGE_MANIFEST, plain.as_bytes());
    let two_layers = image(none(), vec![of(LAYER, 4), of(LAYER, 5), of(LAYER, 4)]).to_string();
    let docker_image = docker(vec![of(DOCKER_LAYER, 3)]).to_string();
    let docker_list = json!({ "schemaVersion": 2, "mediaType": DOCKER_LIST, "manifests": [merge(
        descriptor(DOCKER, docker_image.as_bytes()),
        json!({ "platform": { "architecture": "amd64", "os": "linux" } }))] });
    let plain_index = index(none(), vec![plain_descriptor.clone()]).to_string();
    let foreign = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";
    let foreign = merge(descriptor(foreign, b"elsewhere"), json!({ "urls": ["https://registry.example/x"] }));
    let restricted = "application/vnd.oci.image.layer.nondistributable.v1.tar";
    let restricted = descriptor(restricted, b"elsewhere");
    let unknown = descriptor(LAYER, b"never pushed");
    let empty = "application/vnd.oci.empty.v1+json";
    let spaced = format!(
        "{{ \"schemaVersion\" :2,\n\t\"config\": {config}, \"layers\": [ {} ],\n \"x-own\": [1, null] }}\n",
        of(LAYER, 4)
    );
    let wrong_size = merge(of(LAYER, 4), json!({ "size": 301 }));
    let bad_digest = json!({ "mediaType": LAYER, "digest": "sha256:short", "size": 1 });
    let schema_1 = json!({ "schemaVersion": 1, "name": "wharf/app", "tag": "v1", "architecture": "amd64",
        "fsLayers": [{ "blobSum": blobs[4].digest }], "history": [{ "v1Compatibility": "{}" }] });
    let doubled = plain.replacen("\"schemaVersion\":2", "\"schemaVersion\":2,\"schemaVersion\":2", 1);
    assert_ne!(doubled, plain);
    let with = |kind, media_type, text: String, blobs: &[usize]| Manifest {
        kind,
        media_type,
        digest: digest(text.as_bytes()),
        bytes: text.into(),
        blobs: blobs.to_vec(),
    };
    let subject = |of: &Value| json!({ "subject": of });
    vec![
        with("image", IMAGE_MANIFEST, plain.clone(), &[0, 4]),
        with("image", IMAGE_MANIFEST, two_layers.clone(), &[0, 4, 5]),
        with("docker image", DOCKER, docker_image.clone(), &[0, 3]),
        with("index", IMAGE_INDEX, plain_index.clone(), &[]),
        with("docker list", DOCKER_LIST, docker_list.to_string(), &[]),
        with("image", IMAGE_MANIFEST, image(json!({ "annotations": { "a": "ü" } }), vec![of(LAYER, 6)]).to_string(), &[0, 6]),
        with("image", IMAGE_MANIFEST, image(none(), vec![of(LAYER, 1), of(LAYER, 2)]).to_string(), &[0, 1, 2]),
        with("spaced image", IMAGE_MANIFEST, spaced, &[0, 4]),
        with("no layers", IMAGE_MANIFEST, image(none(), vec![]).to_string(), &[0]),
        with("index", IMAGE_INDEX, index(json!({ "annotations": {} }), vec![
            plain_descriptor.clone(), descriptor(IMAGE_MANIFEST, two_layers.as_bytes())]).to_string(), &[]),
        with("nested index", IMAGE_INDEX, index(none(), vec![descriptor(IMAGE_INDEX, plain_index.as_bytes())]).to_string(), &[]),
        with("empty index", IMAGE_INDEX, index(none(), vec![]).to_string(), &[]),
        with("artifact", IMAGE_MANIFEST, merge(
            json!({ "schemaVersion": 2, "mediaType": IMAGE_MANIFEST, "artifactType": "application/vnd.example" }),
            json!({ "config": of(empty, 0), "layers": [of("text/plain", 3)] })).to_string(), &[0, 3]),
        with("with subject", IMAGE_MANIFEST, image(subject(&plain_descriptor), vec![]).to_string(), &[0]),
        with("with subject", IMAGE_MANIFEST, image(subject(&unknown), vec![of(LAYER, 3)]).to_string(), &[0, 3]),
        with("index with subject", IMAGE_INDEX, index(subject(&plain_descriptor), vec![]).to_string(), &[]),
        with("foreign layer", DOCKER, docker(vec![foreign]).to_string(), &[0]),
        with("restricted layer", IMAGE_MANIFEST, image(none(), vec![restricted]).to_string(), &[0]),
        with("unknown layer", IMAGE_MANIFEST, image(none(), vec![unknown.clone()]).to_string(), &[0]),
        with("unknown entry", IMAGE_INDEX, index(none(), vec![unknown.clone()]).to_string(), &[]),
        with("layer as entry", IMAGE_INDEX, index(none(), vec![of(LAYER, 4)]).to_string(), &[4]),
        with("wrong size", IMAGE_MANIFEST, image(none(), vec![wrong_size]).to_string(), &[0, 4]),
        with("bad digest in it", IMAGE_MANIFEST, image(none(), vec![bad_digest]).to_string(), &[0]),
        with("image and index", IMAGE_MANIFEST, image(json!({ "manifests": [] }), vec![]).to_string(), &[0]),
        with("other mediaType", IMAGE_INDEX, plain.clone(), &[0, 4]),
        with("schema 1", SCHEMA_1, schema_1.to_string(), &[4]),
        with("schema 1", IMAGE_MANIFEST, schema_1.to_string(), &[4]),
        with("schema 3", IMAGE_MANIFEST, image(json!({ "schemaVersion": 3 }), vec![]).to_string(), &[0]),
        with("no schema", IMAGE_MANIFEST, json!({ "config": config, "layers": [] }).to_string(), &[0]),
        with("no config", IMAGE_MANIFEST, json!({ "schemaVersion": 2, "layers": [] }).to_string(), &[]),
        with("doubled field", IMAGE_MANIFEST, doubled, &[0, 4]),
        with("no object", IMAGE_MANIFEST, "[]".to_owned(), &[]),
        with("cut off", IMAGE_MANIFEST, plain[..plain.len() - 1].to_owned(), &[]),
        with("empty body", IMAGE_MANIFEST, String::new(), &[]),
    ]
}

fn merge(mut object: Value, extra: Value) -> Value {
    let (Some(fields), Value::Object(extra)) = (object.as_object_mut(), extra) else {
        unreachable!("both are objects");
    };
    fields.extend(extra);
    object
}
