//! Keys and their names.

use wharfinger_httpsig::{Error, Fingerprint, KeyId, PrivateKey, PublicKey};

use crate::message::{TEST_KEY, TEST_KEY_PUBLIC, private_key, public_key};

/// As `openssl rsa -pubin -outform DER | openssl md5 -c` prints it for the test key.
const FINGERPRINT: &str = "8d:7d:eb:38:36:be:28:91:cd:94:b0:70:bc:20:58:39";

#[test]
fn a_fingerprint_is_the_md5_of_the_public_key() {
    assert_eq!(public_key().fingerprint().to_string(), FINGERPRINT);
    assert_eq!(private_key().public_key().fingerprint().to_string(), FINGERPRINT);
    assert_eq!(FINGERPRINT.parse(), Ok(public_key().fingerprint()));
}

#[test]
fn a_key_may_stand_in_other_text_and_have_any_line_ends() {
    let text = format!("a remark\r\n{}\r\nOCI_API_KEY", TEST_KEY_PUBLIC.replace('\n', "\r\n"));
    assert_eq!(PublicKey::from_pem(&text).unwrap().fingerprint().to_string(), FINGERPRINT);
}

#[test]
fn a_new_key_is_read_from_its_own_pem() {
    let key = PrivateKey::generate().unwrap();
    let fingerprint = key.public_key().fingerprint();
    let public = key.public_key().to_pem().unwrap();
    assert_eq!(PublicKey::from_pem(&public).unwrap().fingerprint(), fingerprint);
    assert!(public.lines().all(|line| line.len() <= 64));
    let again = PrivateKey::from_pem(&key.to_pem().unwrap()).unwrap();
    assert_eq!(again.public_key().fingerprint(), fingerprint);
    assert_ne!(PrivateKey::generate().unwrap().public_key().fingerprint(), fingerprint);
    // What openssl wrote, we write.
    assert_eq!(public_key().to_pem().unwrap(), TEST_KEY_PUBLIC);
}

#[test]
fn unfit_keys_are_refused() {
    let short = include_str!("../vectors/short.pub.pem");
    let elliptic = include_str!("../vectors/ec.pub.pem");
    let damaged = TEST_KEY_PUBLIC.replacen("MII", "AII", 1);
    for pem in [short, elliptic, &damaged] {
        let error = PublicKey::from_pem(pem).unwrap_err();
        assert!(matches!(error, Error::UnfitKey(_)), "{error}");
    }
    let mixed = TEST_KEY.replace("PRIVATE KEY", "RSA PRIVATE KEY");
    assert!(matches!(PrivateKey::from_pem(&mixed).unwrap_err(), Error::UnfitKey(_)));
}

#[test]
fn text_without_a_key_is_refused() {
    let cut = TEST_KEY_PUBLIC.replace("-----END", "");
    let not_base64 = "-----BEGIN PUBLIC KEY-----\n!\n-----END PUBLIC KEY-----";
    for text in ["", TEST_KEY, &cut, not_base64] {
        assert_eq!(PublicKey::from_pem(text).unwrap_err(), Error::NoPem("PUBLIC KEY"));
    }
    assert_eq!(PrivateKey::from_pem(TEST_KEY_PUBLIC).unwrap_err(), Error::NoPem("PRIVATE KEY"));
}

#[test]
fn an_encrypted_private_key_is_named_so() {
    for text in [
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMII=\n-----END ENCRYPTED PRIVATE KEY-----",
        "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nMII=\n-----END RSA PRIVATE KEY-----",
    ] {
        assert_eq!(PrivateKey::from_pem(text).unwrap_err(), Error::EncryptedKey);
    }
}

#[test]
fn a_key_id_reads_back_as_it_was_written() {
    let longest = format!("{0}/{0}/{FINGERPRINT}", "t".repeat(255));
    for text in [&format!("ocid1.tenancy.oc1..t/ocid1.user.oc1..u/{FINGERPRINT}"), &longest, "ST$a.b-c_d.e="]
    {
        assert_eq!(text.parse::<KeyId>().unwrap().to_string(), *text);
    }
}

#[test]
fn a_malformed_key_id_is_refused() {
    let long = format!("{}/u/{FINGERPRINT}", "t".repeat(256));
    let extra = format!("t/u/{FINGERPRINT}/x");
    let no_user = format!("t//{FINGERPRINT}");
    let space = format!("t/u u/{FINGERPRINT}");
    for text in ["", "t/u", "ST$", "ST$a b", "ST$a\"", "st$token", &long, &extra, &no_user, &space] {
        assert_eq!(text.parse::<KeyId>(), Err(Error::KeyIdSyntax), "{text}");
    }
}

#[test]
fn a_malformed_fingerprint_is_refused() {
    let upper = FINGERPRINT.to_uppercase();
    let more = format!("{FINGERPRINT}:00");
    let signed = FINGERPRINT.replace("8d", "+d");
    for text in ["", &FINGERPRINT[3..], &FINGERPRINT.replace(':', ""), &upper, &more, &signed] {
        assert_eq!(text.parse::<Fingerprint>(), Err(Error::FingerprintSyntax), "{text}");
        assert_eq!(format!("t/u/{text}").parse::<KeyId>(), Err(Error::FingerprintSyntax), "{text}");
    }
}

#[test]
fn debug_text_shows_neither_token_nor_key() {
    let id: KeyId = "ST$secret".parse().unwrap();
    assert!(!format!("{id:?}").contains("secret"));
    assert_eq!(format!("{:?}", private_key()), format!("PrivateKey({FINGERPRINT})"));
}
