//! What holds for every request.

use http::{HeaderName, HeaderValue};
use proptest::prelude::*;
use wharfinger_httpsig::{KeyId, PrivateKey, PublicKey};

use crate::message::{Message, key_id};

fn methods() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["GET", "HEAD", "DELETE", "POST", "PUT", "PATCH"])
}

fn targets() -> impl Strategy<Value = String> {
    "/[a-zA-Z0-9/._~%:@!$&'()*+,;=-]{0,40}(\\?[a-zA-Z0-9/._~%:@!$&'()*+,;=?-]{0,40})?"
}

fn requests() -> impl Strategy<Value = Message> {
    let parts = (methods(), targets(), "[ -~]{0,20}", prop::collection::vec(any::<u8>(), 0..100));
    parts.prop_map(|(method, target, content_type, body)| {
        let has_content = !matches!(method, "GET" | "HEAD" | "DELETE");
        let body = if has_content { body } else { Vec::new() };
        Message::signed(method, &target, &[("content-type", &content_type)], &body)
    })
}

/// Another printable character.
fn alter(text: &mut [u8], index: prop::sample::Index) {
    let byte = index.get_mut(text);
    *byte = if *byte == b'~' { b'!' } else { *byte + 1 };
}

proptest! {
    #[test]
    fn what_is_signed_is_verified(message in requests()) {
        let verified = message.check().unwrap();
        prop_assert_eq!(verified.key_id(), &key_id());
    }

    #[test]
    fn a_changed_byte_in_a_signed_header_is_refused(mut message in requests(), index: prop::sample::Index) {
        let authorization = message.header("authorization").to_owned();
        let list = authorization.split_once("headers=\"").unwrap().1.split_once('"').unwrap().0;
        for name in list.split(' ').filter(|name| *name != "(request-target)") {
            let name: HeaderName = name.parse().unwrap();
            let right = message.parts.headers[&name].clone();
            if right.is_empty() {
                continue;
            }
            let mut altered = right.as_bytes().to_vec();
            alter(&mut altered, index);
            message.parts.headers.insert(name.clone(), HeaderValue::from_bytes(&altered).unwrap());
            prop_assert!(message.check().is_err(), "{} {:?}", name, altered);
            message.parts.headers.insert(name, right);
        }
        message.check().unwrap();
    }

    #[test]
    fn a_changed_target_method_or_body_is_refused(
        mut message in requests(), target in targets(), method in methods(), index: prop::sample::Index,
    ) {
        let uri = std::mem::replace(&mut message.parts.uri, target.parse().unwrap());
        prop_assume!(uri != message.parts.uri);
        prop_assert!(message.check().is_err());
        message.parts.uri = uri;

        let right = std::mem::replace(&mut message.parts.method, method.parse().unwrap());
        prop_assert_eq!(message.check().is_ok(), right == message.parts.method);
        message.parts.method = right;

        if message.body.is_empty() {
            message.body.push(0);
        } else {
            *index.get_mut(&mut message.body) ^= 1;
        }
        prop_assert!(message.check().is_err());
    }

    #[test]
    fn a_changed_signature_is_refused(message in requests(), index: prop::sample::Index) {
        let text = message.header("authorization").to_owned();
        let (head, rest) = text.split_once("signature=\"").unwrap();
        let (signature, tail) = rest.split_once('"').unwrap();
        let mut altered = signature.as_bytes().to_vec();
        alter(&mut altered, index);
        let altered = String::from_utf8(altered).unwrap();
        let message = message.with("authorization", &format!("{head}signature=\"{altered}\"{tail}"));
        prop_assert!(message.check().is_err());
    }

    /// Junk, and what differs from a right header in a few places.
    #[test]
    fn no_header_makes_reading_panic(
        junk in prop::collection::vec(any::<u8>(), 0..200),
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        cut: prop::sample::Index, name in prop::sample::select(vec!["authorization", "date", "x-content-sha256", "host"]),
    ) {
        let mut message = Message::signed("POST", "/n", &[], b"{}");
        let mut altered = message.header(name).as_bytes().to_vec();
        for (index, byte) in edits {
            *index.get_mut(&mut altered) = byte;
        }
        altered.truncate(cut.index(altered.len()) + 1);
        for value in [altered, junk] {
            let Ok(value) = HeaderValue::from_bytes(&value) else { continue };
            message.parts.headers.insert(name, value);
            if let Err(error) = message.check() {
                prop_assert!(!error.to_string().is_empty());
            }
        }
    }

    #[test]
    fn no_text_makes_a_key_panic(text in "(-----(BEGIN|END) (RSA )?(PUBLIC|PRIVATE) KEY-----|[a-zA-Z0-9+/=\n]{0,40}){0,6}") {
        let _ = PublicKey::from_pem(&text);
        let _ = PrivateKey::from_pem(&text);
        let _ = text.parse::<KeyId>();
    }
}

#[test]
fn the_longest_header_is_read() {
    let many = "a=\"\",".repeat(3_000);
    let message = Message::get().altered("Signature ", &format!("Signature {many}"));
    message.check().unwrap();
}
