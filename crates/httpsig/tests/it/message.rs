//! Requests to verify: as recorded, or signed here.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Request as HttpRequest};
use wharfinger_httpsig::{
    ContentHeaders, Error, KeyId, PrivateKey, PublicKey, Request, Unverified, Verified, sign,
};

/// A little after the recorded requests: 24 November 2026, 12:01:00 GMT.
pub(crate) const NOW: i64 = 1_795_521_660;
pub(crate) const TEST_KEY: &str = include_str!("../vectors/test-key.pem");
pub(crate) const TEST_KEY_PUBLIC: &str = include_str!("../vectors/test-key.pub.pem");

pub(crate) fn private_key() -> PrivateKey {
    PrivateKey::from_pem(TEST_KEY).unwrap()
}

pub(crate) fn public_key() -> PublicKey {
    PublicKey::from_pem(TEST_KEY_PUBLIC).unwrap()
}

pub(crate) fn key_id() -> KeyId {
    let fingerprint = public_key().fingerprint();
    KeyId::ApiKey { tenancy: "ocid1.tenancy.oc1..t".into(), user: "ocid1.user.oc1..u".into(), fingerprint }
}

#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) parts: Parts,
    pub(crate) body: Vec<u8>,
}

impl Message {
    /// From the bytes of the wire.
    pub(crate) fn recorded(bytes: &[u8]) -> Self {
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
        let head = std::str::from_utf8(&bytes[..end]).unwrap();
        let mut lines = head.split("\r\n");
        let line: Vec<&str> = lines.next().unwrap().split(' ').collect();
        let headers: Vec<_> = lines.map(|line| line.split_once(": ").unwrap()).collect();
        Self::new(line[0], line[1], &headers, &bytes[end + 4..])
    }

    pub(crate) fn new(method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Self {
        let mut request = HttpRequest::builder().method(method).uri(target);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        Self { parts: request.body(()).unwrap().into_parts().0, body: body.to_vec() }
    }

    /// A request of our own with a right signature.
    pub(crate) fn signed(method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Self {
        let mut message =
            Self::new(method, target, &[headers, &[("host", "registry.example:5000")]].concat(), body);
        let added = message.sign(NOW).unwrap();
        message.parts.headers.extend(added);
        message
    }

    /// `GET /n`, signed.
    pub(crate) fn get() -> Self {
        Self::signed("GET", "/n", &[], b"")
    }

    pub(crate) fn request(&self) -> Request<'_> {
        Request::from(&self.parts)
    }

    pub(crate) fn sign(&self, now: i64) -> Result<HeaderMap, Error> {
        sign(&self.request(), &self.body, &key_id(), &private_key(), now)
    }

    pub(crate) fn read(&self) -> Result<Unverified, Error> {
        Unverified::read(&self.request(), ContentHeaders::Required, NOW)
    }

    /// All three steps.
    pub(crate) fn check(&self) -> Result<Verified, Error> {
        let verified = self.read()?.verify(&public_key())?;
        verified.check_body(&self.body)?;
        Ok(verified)
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.parts.headers[name].to_str().unwrap()
    }

    /// Replaces a header, or adds it.
    pub(crate) fn with(mut self, name: &'static str, value: &str) -> Self {
        self.parts.headers.insert(name, HeaderValue::try_from(value).unwrap());
        self
    }

    pub(crate) fn without(mut self, name: &str) -> Self {
        self.parts.headers.remove(name).unwrap();
        self
    }

    pub(crate) fn with_another(mut self, name: &'static str, value: &str) -> Self {
        self.parts.headers.append(name, HeaderValue::try_from(value).unwrap());
        self
    }

    /// With another text in place of one in the `authorization` header.
    pub(crate) fn altered(self, from: &str, to: &str) -> Self {
        let text = self.header("authorization");
        assert!(text.contains(from), "{text}");
        let text = text.replacen(from, to, 1);
        self.with("authorization", &text)
    }

    /// Signed by `aws-lc-rs` over a string that the test gives.
    pub(crate) fn signed_over(self, headers: &str, string: &str) -> Self {
        let der =
            TEST_KEY.lines().filter(|line| line.len() > 20 && !line.starts_with('-')).collect::<String>();
        let key = aws_lc_rs::rsa::KeyPair::from_pkcs8(&STANDARD.decode(der).unwrap()).unwrap();
        let mut signature = vec![0; key.public_modulus_len()];
        let random = aws_lc_rs::rand::SystemRandom::new();
        let padding = &aws_lc_rs::signature::RSA_PKCS1_SHA256;
        key.sign(padding, &random, string.as_bytes(), &mut signature).unwrap();
        let text = format!(
            r#"Signature headers="{headers}",keyId="{}",algorithm="rsa-sha256",signature="{}""#,
            key_id(),
            STANDARD.encode(signature)
        );
        self.with("authorization", &text)
    }
}
