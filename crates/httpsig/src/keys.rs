//! RSA keys out of PEM, and the two operations on them.

use std::fmt;

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::error::KeyRejected;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::PublicEncryptingKey;
use aws_lc_rs::signature::{
    KeyPair as _, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest as _, Md5};

use crate::{Error, Fingerprint};

/// An RSA key of 2048 to 8192 bits that verifies signatures.
pub struct PublicKey {
    key: ParsedPublicKey,
    fingerprint: Fingerprint,
}

impl PublicKey {
    /// Reads the first `PUBLIC KEY` block (RFC 7468) of a text.
    ///
    /// # Errors
    /// [`Error::NoPem`], [`Error::UnfitKey`].
    pub fn from_pem(pem: &str) -> Result<Self, Error> {
        Self::from_der(&decode_pem(pem, "PUBLIC KEY").ok_or(Error::NoPem("PUBLIC KEY"))?)
    }

    fn from_der(der: &[u8]) -> Result<Self, Error> {
        // For its checks of the length and the numbers, which a `ParsedPublicKey` has only when it verifies.
        PublicEncryptingKey::from_der(der).map_err(unfit)?;
        let key = ParsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, der).map_err(unfit)?;
        let canonical = key.as_der().map_err(|_| Error::UnfitKey("it can't be encoded"))?;
        let fingerprint = Fingerprint(Md5::digest(canonical.as_ref()).into());
        Ok(Self { key, fingerprint })
    }

    /// The key's name in a [`crate::KeyId`].
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    pub(crate) fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), Error> {
        self.key.verify_sig(message, signature).map_err(|_| Error::WrongSignature)
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.fingerprint)
    }
}

/// An RSA key of 2048 to 8192 bits that makes signatures.
pub struct PrivateKey {
    key: RsaKeyPair,
    public: PublicKey,
}

impl PrivateKey {
    /// Reads the first `PRIVATE KEY` (PKCS#8) or `RSA PRIVATE KEY` (PKCS#1) block of a text.
    ///
    /// # Errors
    /// [`Error::NoPem`], [`Error::EncryptedKey`], [`Error::UnfitKey`].
    pub fn from_pem(pem: &str) -> Result<Self, Error> {
        if pem.contains("BEGIN ENCRYPTED PRIVATE KEY") || pem.contains("Proc-Type: 4,ENCRYPTED") {
            return Err(Error::EncryptedKey);
        }
        let key = if let Some(der) = decode_pem(pem, "PRIVATE KEY") {
            RsaKeyPair::from_pkcs8(&der)
        } else if let Some(der) = decode_pem(pem, "RSA PRIVATE KEY") {
            RsaKeyPair::from_der(&der)
        } else {
            return Err(Error::NoPem("PRIVATE KEY"));
        };
        let key = key.map_err(unfit)?;
        let der = key.public_key().as_der().map_err(|_| Error::UnfitKey("it can't be encoded"))?;
        let public = PublicKey::from_der(der.as_ref())?;
        Ok(Self { key, public })
    }

    /// The key that verifies what this one signs.
    pub fn public_key(&self) -> &PublicKey {
        &self.public
    }

    pub(crate) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        let mut signature = vec![0; self.key.public_modulus_len()];
        let random = SystemRandom::new();
        let signed = self.key.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature);
        signed.map_err(|_| Error::Signing)?;
        Ok(signature)
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PrivateKey({})", self.public.fingerprint)
    }
}

fn unfit(cause: KeyRejected) -> Error {
    Error::UnfitKey(cause.description_())
}

/// The content of the first block with that label; what stands around it is ignored, as Oracle's tools
/// write a line of their own behind a key.
fn decode_pem(pem: &str, label: &str) -> Option<Vec<u8>> {
    let (_, rest) = pem.split_once(&format!("-----BEGIN {label}-----"))?;
    let (content, _) = rest.split_once(&format!("-----END {label}-----"))?;
    let content: String = content.split_ascii_whitespace().collect();
    STANDARD.decode(content).ok()
}
