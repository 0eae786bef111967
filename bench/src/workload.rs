//! What is pushed and pulled, with digests computed before anything is timed.

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

pub(crate) const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const LARGE: usize = 256 << 20;
const SMALL: usize = 64 << 10;
/// More than any server takes in one run.
const SMALL_BLOBS: u64 = 40_000;

pub(crate) struct Blob {
    pub(crate) digest: String,
    pub(crate) bytes: Vec<u8>,
}

pub(crate) struct Workload {
    pub(crate) layer: Blob,
    pub(crate) config: Blob,
    pub(crate) manifest: String,
    /// A small blob is its number (8 bytes, little-endian) and this.
    pub(crate) small_rest: Vec<u8>,
    /// Digests of the small blobs, by number.
    pub(crate) small_digests: Vec<String>,
}

impl Workload {
    pub(crate) fn new() -> Self {
        let layer = noise(LARGE);
        let layer = Blob { digest: digest(&[&layer]), bytes: layer };
        let config = Blob { digest: digest(&[b"{}"]), bytes: b"{}".to_vec() };
        let manifest = format!(
            r#"{{"schemaVersion":2,"mediaType":"{MANIFEST_TYPE}","config":{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"{}","size":2}},"layers":[{{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":"{}","size":{LARGE}}}]}}"#,
            config.digest, layer.digest
        );
        let small_rest = noise(SMALL - 8);
        let small_digests =
            (0..SMALL_BLOBS).map(|number| digest(&[&number.to_le_bytes(), &small_rest])).collect();
        Self { layer, config, manifest, small_rest, small_digests }
    }
}

fn digest(parts: &[&[u8]]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part);
    }
    let mut digest = "sha256:".to_owned();
    for byte in hash.finalize() {
        let _ = write!(digest, "{byte:02x}");
    }
    digest
}

/// Bytes that don't compress (xorshift), the same on every run.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}
