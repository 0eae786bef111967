//! One case for each thing that can be wrong with a request.

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use wharfinger_httpsig::{ContentHeaders, Error, MAX_AUTHORIZATION_BYTES, PrivateKey, Unverified};

use crate::message::{Message, NOW};

fn refusal(message: &Message) -> Error {
    message.check().unwrap_err()
}

fn post() -> Message {
    Message::signed("POST", "/n", &[], b"{}")
}

#[test]
fn without_credentials() {
    assert_eq!(refusal(&Message::get().without("authorization")), Error::NoAuthorization);
}

#[test]
fn with_two_credentials() {
    let message = Message::get();
    let same = message.header("authorization").to_owned();
    assert_eq!(refusal(&message.with_another("authorization", &same)), Error::SeveralAuthorizations);
}

#[test]
fn with_credentials_of_another_kind() {
    for text in ["Basic dXNlcjpwYXNz", "Bearer x", "Signature", "", "Signatures version=\"1\""] {
        assert_eq!(refusal(&Message::get().with("authorization", text)), Error::OtherScheme, "{text}");
    }
}

#[test]
fn with_an_overlong_header() {
    let longest = "a".repeat(MAX_AUTHORIZATION_BYTES - "Signature ".len());
    let message = Message::get().with("authorization", &format!("Signature {longest}"));
    assert_eq!(refusal(&message), Error::AuthorizationSyntax);
    let message = Message::get().with("authorization", &format!("Signature {longest}a"));
    assert_eq!(refusal(&message), Error::AuthorizationTooLong(MAX_AUTHORIZATION_BYTES + 1));
}

#[test]
fn with_malformed_parameters() {
    for text in [
        "",
        "version",
        "version=1",
        "version=\"1",
        "=\"1\"",
        "a b=\"1\"",
        "a=\"1\"b=\"2\"",
        "a=\"1\",",
        "ä=\"\"",
    ] {
        let message = Message::get().with("authorization", &format!("Signature {text}"));
        assert!(matches!(refusal(&message), Error::AuthorizationSyntax), "{text}");
    }
}

#[test]
fn but_not_for_spaces_unknown_parameters_case_or_a_missing_version() {
    let message = Message::get();
    let text =
        message.header("authorization").replace(",", " ,  ").replace(r#",  version="1""#, r#", x-y="z""#);
    let text =
        text.replace("Signature ", "sIGNATURE   ").replace("keyId", "keyid").replace(" host", "   HOST");
    message.with("authorization", &text).check().unwrap();
}

#[test]
fn with_a_parameter_twice() {
    let message = Message::get().altered(",version", ",version=\"1\",Version");
    assert_eq!(refusal(&message), Error::RepeatedParameter("version"));
}

#[test]
fn without_a_parameter() {
    for name in ["algorithm", "headers", "keyId", "signature"] {
        let message = Message::get().altered(&format!("{name}=\""), "unknown=\"");
        assert_eq!(refusal(&message), Error::MissingParameter(name));
    }
}

#[test]
fn of_another_version_or_algorithm() {
    let message = Message::get().altered("version=\"1\"", "version=\"2\"");
    assert_eq!(refusal(&message), Error::UnknownVersion("2".into()));
    for algorithm in ["hs2019", "rsa-sha1", "RSA-SHA256", ""] {
        let message = Message::get().altered("\"rsa-sha256\"", &format!("\"{algorithm}\""));
        assert_eq!(refusal(&message), Error::UnknownAlgorithm(algorithm.into()));
    }
}

#[test]
fn with_a_malformed_key_id() {
    assert_eq!(refusal(&Message::get().altered("ocid1.tenancy.oc1..t/", "")), Error::KeyIdSyntax);
    assert_eq!(refusal(&Message::get().altered("8d:7d", "8d7d")), Error::FingerprintSyntax);
}

#[test]
fn with_a_malformed_signature() {
    assert_eq!(refusal(&Message::get().altered("signature=\"", "signature=\"!")), Error::SignatureSyntax);
}

#[test]
fn with_a_list_that_names_no_headers() {
    for word in ["(created)", "a:b", "a@b"] {
        let message = Message::get().altered(" host", &format!(" host {word}"));
        assert_eq!(refusal(&message), Error::SignedHeaderSyntax(word.into()));
    }
    assert_eq!(
        refusal(&Message::get().altered("date (request-target) host", "")),
        Error::NotSigned("(request-target)")
    );
}

#[test]
fn with_too_long_a_list() {
    for (more, expected) in
        [(29, Error::AbsentHeader("h0".parse().unwrap())), (30, Error::TooManySignedHeaders)]
    {
        let names: String = (0..more).map(|index| format!(" h{index}")).collect();
        assert_eq!(refusal(&Message::get().altered(" host", &format!(" host{names}"))), expected);
    }
}

#[test]
fn with_a_name_twice_in_the_list() {
    for word in ["Host", "(request-target)"] {
        let message = Message::get().altered(" host", &format!(" host {word}"));
        assert_eq!(refusal(&message), Error::SignedTwice(word.into()));
    }
}

#[test]
fn with_a_required_header_unsigned() {
    for name in ["date", "(request-target)", "host"] {
        for method in ["GET", "HEAD", "DELETE", "POST", "PUT", "PATCH"] {
            let message = Message::signed(method, "/n", &[], b"").altered(name, "accept");
            assert_eq!(refusal(&message), Error::NotSigned(name));
        }
    }
    for name in ["content-length", "content-type", "x-content-sha256"] {
        for method in ["POST", "PUT", "PATCH"] {
            let message = Message::signed(method, "/n", &[], b"").altered(name, "accept");
            assert_eq!(refusal(&message), Error::NotSigned(name));
        }
    }
}

#[test]
fn with_a_signed_header_absent() {
    for name in ["date", "host", "content-length", "content-type", "x-content-sha256"] {
        assert_eq!(refusal(&post().without(name)), Error::AbsentHeader(name.parse().unwrap()));
    }
}

#[test]
fn of_another_method() {
    let mut message = Message::get();
    for method in ["OPTIONS", "CONNECT", "TRACE", "get"] {
        message.parts.method = method.parse().unwrap();
        assert_eq!(refusal(&message), Error::UnknownMethod(method.parse().unwrap()));
    }
}

#[test]
fn with_a_date_that_is_none() {
    for text in ["", "yesterday", "2026-11-24T12:01:00Z", "1795521660", "Mon, 24 Nov 2026 12:01:00 GMT"] {
        let error = refusal(&Message::get().with("date", text));
        assert_eq!(error, Error::DateSyntax("date".parse().unwrap()), "{text}");
    }
}

#[test]
fn with_a_clock_at_the_end_of_time() {
    for now in [i64::MIN, i64::MAX] {
        assert_eq!(Message::get().sign(now).unwrap_err(), Error::Clock(now));
        let read = Unverified::read(&Message::get().request(), ContentHeaders::Required, now);
        assert!(matches!(read.unwrap_err(), Error::Skew { .. }));
    }
}

#[test]
fn with_a_body_hash_that_is_none() {
    let hexadecimal = "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";
    for text in ["", "AAAA", hexadecimal, "!"] {
        assert_eq!(refusal(&post().with("x-content-sha256", text)), Error::BodyHashSyntax, "{text}");
    }
}

#[test]
fn with_a_signature_that_is_too_long_or_too_short() {
    assert_eq!(refusal(&Message::get().altered("signature=\"", "signature=\"AAAA")), Error::WrongSignature);
    for length in [0, 4] {
        let message = Message::get();
        let text = message.header("authorization");
        let (_, signature) = text.split_once("signature=\"").unwrap();
        let (signature, _) = signature.split_once('"').unwrap();
        let (whole, cut) = (signature.to_owned(), signature[..length].to_owned());
        assert_eq!(refusal(&message.altered(&whole, &cut)), Error::WrongSignature, "{length}");
    }
}

#[test]
fn with_a_signature_by_another_key() {
    let other = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    let der: Pkcs8V1Der<'_> = other.as_der().unwrap();
    let content = STANDARD.encode(der.as_ref());
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{content}\n-----END PRIVATE KEY-----\n");
    let other = PrivateKey::from_pem(&pem).unwrap();
    let unverified = Message::get().read().unwrap();
    assert_eq!(unverified.verify(other.public_key()).unwrap_err(), Error::WrongSignature);
}

#[test]
fn with_another_body() {
    for body in [&b""[..], b"{ }", b"{}\n"] {
        let mut message = post();
        message.body = body.to_vec();
        assert_eq!(refusal(&message), Error::WrongBody);
    }
}

#[test]
fn with_a_body_that_is_not_signed() {
    let mut message = Message::signed("DELETE", "/n", &[], b"");
    message.check().unwrap();
    message.body = b"{}".to_vec();
    assert_eq!(refusal(&message), Error::UnsignedBody);
}

#[test]
fn signing_needs_a_host() {
    let message = Message::new("GET", "/n", &[], b"");
    assert_eq!(message.sign(NOW).unwrap_err(), Error::AbsentHeader("host".parse().unwrap()));
}
