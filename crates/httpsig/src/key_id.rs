//! Whose key signed: the `keyId` of a signature.

use std::fmt;
use std::str::FromStr;

use crate::Error;

/// Longer than any OCID.
const MAX_OCID_BYTES: usize = 255;

/// Names the key that a request is signed with.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum KeyId {
    /// `tenancy/user/fingerprint`: an API signing key that a user uploaded.
    ApiKey {
        /// The tenancy's OCID, unchecked.
        tenancy: String,
        /// The user's OCID, unchecked.
        user: String,
        /// Which of the user's keys.
        fingerprint: Fingerprint,
    },
    /// `ST$` and a token that names the session's key. The token is unchecked.
    SecurityToken(String),
}

impl FromStr for KeyId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        if let Some(token) = text.strip_prefix("ST$") {
            return if is_token(token) {
                Ok(Self::SecurityToken(token.to_owned()))
            } else {
                Err(Error::KeyIdSyntax)
            };
        }
        let mut parts = text.split('/');
        let (Some(tenancy), Some(user), Some(fingerprint), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(Error::KeyIdSyntax);
        };
        if !is_ocid(tenancy) || !is_ocid(user) {
            return Err(Error::KeyIdSyntax);
        }
        let fingerprint = fingerprint.parse()?;
        Ok(Self::ApiKey { tenancy: tenancy.to_owned(), user: user.to_owned(), fingerprint })
    }
}

/// Whether it has the characters and the length of an OCID; its parts are for others to check.
fn is_ocid(text: &str) -> bool {
    let is_fit = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b':' | b'-' | b'_');
    !text.is_empty() && text.len() <= MAX_OCID_BYTES && text.bytes().all(is_fit)
}

/// Whether it has the form of a bearer token (RFC 6750, 2.1), which a JWT has.
fn is_token(text: &str) -> bool {
    let is_fit = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte);
    !text.is_empty() && text.bytes().all(is_fit)
}

impl fmt::Display for KeyId {
    /// As in the header; a security token in full.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ApiKey { tenancy, user, fingerprint } => write!(f, "{tenancy}/{user}/{fingerprint}"),
            Self::SecurityToken(token) => write!(f, "ST${token}"),
        }
    }
}

impl fmt::Debug for KeyId {
    /// Without the security token, which must be in no log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ApiKey { .. } => write!(f, "{self}"),
            Self::SecurityToken(_) => f.write_str("ST$…"),
        }
    }
}

/// Names a public key: the MD5 of its DER (`SubjectPublicKeyInfo`, RFC 5280), as Oracle Cloud counts it.
///
/// It tells a user's keys apart and protects nothing, so MD5 does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fingerprint(pub(crate) [u8; 16]);

impl FromStr for Fingerprint {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let mut bytes = [0; 16];
        let mut pairs = text.split(':');
        for byte in &mut bytes {
            *byte = pairs.next().and_then(parse_pair).ok_or(Error::FingerprintSyntax)?;
        }
        if pairs.next().is_some() {
            return Err(Error::FingerprintSyntax);
        }
        Ok(Self(bytes))
    }
}

fn parse_pair(pair: &str) -> Option<u8> {
    let is_hex = pair.len() == 2 && pair.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    is_hex.then(|| u8::from_str_radix(pair, 16).ok())?
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, byte) in self.0.iter().enumerate() {
            let colon = if index == 0 { "" } else { ":" };
            write!(f, "{colon}{byte:02x}")?;
        }
        Ok(())
    }
}
