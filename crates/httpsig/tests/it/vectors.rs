//! Requests recorded from Oracle's SDKs (see `vectors/README.md`).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use wharfinger_httpsig::{ContentHeaders, Error, KeyId, PrivateKey, Unverified, sign};

use crate::message::{Message, NOW, TEST_KEY, private_key, public_key};

macro_rules! vectors {
    ($($name:literal)+) => { [$(($name, include_bytes!(concat!("../vectors/", $name, ".http")).as_slice())),+] };
}

const VECTORS: [(&str, &[u8]); 14] = vectors! {
    "python-get" "python-list" "python-post" "python-put" "python-delete" "python-empty-post"
    "python-doubled-slash" "python-security-token"
    "go-get" "go-list" "go-post" "go-put" "go-delete" "go-empty-post"
};
const UNSIGNED_UPLOAD: &[u8] = include_bytes!("../vectors/python-unsigned-upload.http");

#[test]
fn what_the_sdks_sent_is_verified() {
    for (name, bytes) in VECTORS {
        let verified = Message::recorded(bytes).check().unwrap_or_else(|error| panic!("{name}: {error}"));
        match verified.key_id() {
            KeyId::ApiKey { tenancy, user, fingerprint } => {
                assert_eq!(tenancy, "ocid1.tenancy.oc1..aaaatenancy", "{name}");
                assert_eq!(user, "ocid1.user.oc1..aaaatester", "{name}");
                assert_eq!(*fingerprint, public_key().fingerprint(), "{name}");
            }
            KeyId::SecurityToken(token) => {
                assert_eq!(name, "python-security-token");
                assert_eq!(token, "eyJhbGciOiJSUzI1NiJ9.eyJleHAiOjQxMDI0NDQ4MDB9.c2ln");
            }
        }
    }
}

#[test]
fn we_sign_as_the_sdks_do() {
    for (name, bytes) in VECTORS {
        let mut recorded = Message::recorded(bytes);
        let authorization = recorded.header("authorization").to_owned();
        let verified = recorded.check().unwrap();
        recorded = recorded.without("authorization");
        let key = private_key();
        let added = sign(&recorded.request(), &recorded.body, verified.key_id(), &key, NOW).unwrap();
        assert_eq!(added.len(), 1, "{name}: {added:?}");
        let ours = added["authorization"].to_str().unwrap();
        assert!(ours.contains(&STANDARD.encode(verified.signature())), "{name}: {ours}");
        // The Go SDK orders the parameters differently.
        assert_eq!(ours == authorization, name.starts_with("python"), "{name}: {ours}");
    }
}

#[test]
fn what_a_proxy_changes_in_the_target_is_noticed() {
    for (name, from, to) in [
        ("python-doubled-slash", "//2016", "/2016"),
        ("python-list", "%2F", "/"),
        ("python-list", "%2F", "%2f"),
        ("python-list", "team+a", "team%20a"),
        (
            "go-list",
            "limit=25&repositoryName=team+a%2Fweb%2Bapi",
            "repositoryName=team+a%2Fweb%2Bapi&limit=25",
        ),
    ] {
        let (_, bytes) = VECTORS.into_iter().find(|(known, _)| *known == name).unwrap();
        let mut message = Message::recorded(bytes);
        let target = message.parts.uri.to_string();
        assert!(target.contains(from), "{target}");
        message.parts.uri = target.replacen(from, to, 1).parse().unwrap();
        assert_eq!(message.check().unwrap_err(), Error::WrongSignature, "{name}: {from} became {to}");
    }
}

#[test]
fn an_upload_with_an_unsigned_body_is_for_routes_that_take_it() {
    let upload = Message::recorded(UNSIGNED_UPLOAD);
    assert_eq!(upload.check().unwrap_err(), Error::NotSigned("content-length"));
    let unverified = Unverified::read(&upload.request(), ContentHeaders::Optional, NOW).unwrap();
    let verified = unverified.verify(&public_key()).unwrap();
    assert_eq!(verified.check_body(&upload.body).unwrap_err(), Error::UnsignedBody);
}

#[test]
fn both_forms_of_a_private_key_sign_alike() {
    let pkcs1 = include_str!("../vectors/test-key-pkcs1.pem");
    let message = Message::new("GET", "/n", &[("host", "h")], b"");
    let id = "ST$token".parse().unwrap();
    let [one, other] = [TEST_KEY, pkcs1].map(|pem| {
        let key = PrivateKey::from_pem(pem).unwrap();
        sign(&message.request(), b"", &id, &key, NOW).unwrap()
    });
    assert_eq!(one, other);
}
