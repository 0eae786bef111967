//! A signed request: `METHOD target`, header lines, an empty line, the body. What is read without a key is well
//! formed and within its limits; what was not signed with the key is refused; what was, is taken, and no longer
//! when one byte of it is changed.
#![no_main]

use std::sync::LazyLock;

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use wharfinger_httpsig::{
    ContentHeaders, Error, KeyId, MAX_AUTHORIZATION_BYTES, PrivateKey, PublicKey, Request, Unverified, sign,
};

const NOW: i64 = 1_795_521_660;

static KEY: LazyLock<(PrivateKey, PublicKey)> = LazyLock::new(|| {
    let pem = include_str!("../../crates/httpsig/tests/vectors/test-key.pem");
    let key = PrivateKey::from_pem(pem).unwrap();
    let public =
        PublicKey::from_pem(include_str!("../../crates/httpsig/tests/vectors/test-key.pub.pem")).unwrap();
    (key, public)
});

libfuzzer_sys::fuzz_target!(|text: &[u8]| {
    let Some((head, body)) = split(text) else { return };
    let Some((method, target, headers)) = parse(head) else { return };
    let request = Request { method: &method, target: &target, headers: &headers };
    for content in [ContentHeaders::Required, ContentHeaders::Optional] {
        let Ok(unverified) = Unverified::read(&request, content, NOW) else { continue };
        let authorization = headers.get("authorization").unwrap();
        assert!(authorization.len() <= MAX_AUTHORIZATION_BYTES);
        let _ = unverified.key_id().to_string();
        // Only the recorded requests among the seeds are signed with the key.
        let verified = unverified.verify(&KEY.1);
        assert!(matches!(verified, Ok(_) | Err(Error::WrongSignature)), "{verified:?}");
    }
    if text.len().is_multiple_of(16) {
        sign_and_alter(&request, body, text.len());
    }
});

/// Where the head ends.
fn split(text: &[u8]) -> Option<(&str, &[u8])> {
    let end = text.windows(2).position(|pair| pair == b"\n\n")?;
    Some((std::str::from_utf8(&text[..end]).ok()?, &text[end + 2..]))
}

fn parse(head: &str) -> Option<(Method, String, HeaderMap)> {
    let mut lines = head.split('\n');
    let (method, target) = lines.next()?.split_once(' ')?;
    let mut headers = HeaderMap::new();
    for line in lines {
        let (name, value) = line.split_once(':')?;
        headers.append(name.parse::<HeaderName>().ok()?, HeaderValue::from_str(value.trim()).ok()?);
    }
    Some((method.parse().ok()?, target.to_owned(), headers))
}

fn sign_and_alter(request: &Request<'_>, body: &[u8], seed: usize) {
    let key_id: KeyId =
        "ocid1.tenancy.oc1..a/ocid1.user.oc1..b/20:3b:97:13:55:1c:5b:0d:d3:37:d8:50:4e:c5:3a:34"
            .parse()
            .unwrap();
    let mut headers = request.headers.clone();
    for name in ["authorization", "date", "x-date", "content-length", "x-content-sha256"] {
        headers.remove(name);
    }
    let unsigned = Request { headers: &headers, ..*request };
    let Ok(added) = sign(&unsigned, body, &key_id, &KEY.0, NOW) else { return };
    let mut headers = headers.clone();
    headers.extend(added);
    let check = |target: &str, headers: &HeaderMap, body: &[u8]| {
        let request = Request { method: request.method, target, headers };
        let unverified = Unverified::read(&request, ContentHeaders::Required, NOW)?;
        unverified.verify(&KEY.1)?.check_body(body)
    };
    let has_content = headers.contains_key("x-content-sha256");
    let signed_body = if has_content { body } else { b"" };
    check(request.target, &headers, signed_body).unwrap();

    let mut target = request.target.to_owned();
    target.push('x');
    assert!(check(&target, &headers, signed_body).is_err());
    let mut longer = signed_body.to_vec();
    longer.push(0);
    assert!(check(request.target, &headers, &longer).is_err());
    let names: Vec<HeaderName> = headers.keys().cloned().collect();
    let name = &names[seed % names.len()];
    let content = ["content-length", "content-type", "x-content-sha256"];
    if name == "host" || has_content && content.contains(&name.as_str()) {
        let mut value = headers[name].as_bytes().to_vec();
        value.push(b'1');
        headers.insert(name, HeaderValue::from_bytes(&value).unwrap());
        assert!(check(request.target, &headers, signed_body).is_err());
    }
}
