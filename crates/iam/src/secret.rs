//! Random secrets, and the hashes by which they are known again.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};
use wharfinger_types::{Ocid, ResourceKind};

use crate::Error;

/// `N` bytes from the operating system.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], Error> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(Error::Random)?;
    Ok(bytes)
}

/// A new OCID.
pub(crate) fn new_ocid(kind: ResourceKind) -> Result<Ocid, Error> {
    Ok(Ocid::new(kind, "", random()?))
}

/// A new auth token of 256 random bits. The prefix lets secret scanners recognise a leaked one.
pub(crate) fn new_auth_token() -> Result<String, Error> {
    Ok(format!("wfa_{}", URL_SAFE_NO_PAD.encode(random::<32>()?)))
}

/// What is stored of an auth token. A plain hash is enough for a secret of 256 random bits.
pub(crate) fn hash(secret: &str) -> Vec<u8> {
    Sha256::digest(secret.as_bytes()).to_vec()
}

/// A secret on its way to the one person who may see it, once. It prints as `***` everywhere but in
/// the answer that hands it over.
#[derive(Clone, serde::Serialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    pub(crate) fn new(text: String) -> Secret {
        Secret(text)
    }

    /// The secret itself.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}
