//! Registry tokens of the tests' own making: JWTs (RFC 7519) signed with HMAC (RFC 2104).
//!
//! Written against the RFCs and the program's database, so that it shares no code with what it tests.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use sha2::{Digest, Sha256, Sha512};
use wharfinger_testkit::http::Client;
use wharfinger_testkit::program::{Program, TokenKey};

/// Makes tokens that look like those of one holder.
#[derive(Debug)]
pub struct Forger {
    kid: String,
    secret: Vec<u8>,
    claims: Value,
}

impl Forger {
    /// With the program's own key, and the claims of a token that it gave to `holder`.
    pub async fn new(program: &Program, holder: &Client) -> Self {
        let TokenKey { kid, secret } = program.token_key().await;
        let token = holder.token(&[]).await.expect("the holder gets a token");
        Self { kid, secret, claims: claims(&token) }
    }

    /// A token that the program must take for one of its own.
    #[must_use]
    pub fn genuine(&self) -> String {
        self.signed(&self.claims)
    }

    /// One that was good until a second ago.
    #[must_use]
    pub fn expired(&self) -> String {
        let exp = unix_seconds() - 1;
        self.signed(&with(&self.claims, &[("exp", json!(exp)), ("iat", json!(exp - 3600))]))
    }

    fn signed(&self, claims: &Value) -> String {
        token(&json!({ "alg": "HS256", "typ": "JWT", "kid": self.kid }), claims, &self.secret)
    }

    /// Tokens that must not be taken, each with what is wrong with it.
    #[must_use]
    pub fn forged(&self) -> Vec<(&'static str, String)> {
        let Self { kid, secret, claims } = self;
        let theirs: &[u8] = b"a key of the attacker, as long as ours";
        let jwk = json!({ "kty": "oct", "kid": kid, "alg": "HS256", "k": encode(theirs) });
        let header = |fields: Value| with(&json!({ "alg": "HS256", "kid": kid }), &pairs(&fields));
        let theirs = |fields: Value| token(&header(fields), claims, theirs);
        let ours = |fields: Value| token(&header(fields), claims, secret);
        let changed = |name: &str, value: Value| self.signed(&with(claims, &[(name, value)]));
        let without = |name: &str| {
            let mut claims = claims.clone();
            claims.as_object_mut().expect("claims are an object").remove(name);
            self.signed(&claims)
        };
        let unsigned = |algorithm: &str| {
            let header = json!({ "alg": algorithm, "kid": kid });
            format!("{}.{}.", encode(header.to_string().as_bytes()), encode(claims.to_string().as_bytes()))
        };
        let genuine = self.genuine();
        let (signed, signature) = genuine.rsplit_once('.').expect("a token has three parts");
        let (head, _) = signed.split_once('.').expect("a token has three parts");
        let wider = with(claims, &[("credential", json!("ocid1.credential.oc1..other"))]);
        let long_hash = json!({ "alg": "HS512", "kid": kid });
        let long_hash =
            format!("{}.{}", encode(long_hash.to_string().as_bytes()), encode(claims.to_string().as_bytes()));
        let long_hash = format!("{long_hash}.{}", encode(&hmac::<Sha512>(128, secret, long_hash.as_bytes())));
        vec![
            ("another key", theirs(json!({}))),
            ("the attacker's key in the header", theirs(json!({ "jwk": jwk.clone() }))),
            ("the attacker's key in the header, without an id", theirs(json!({ "kid": null, "jwk": jwk }))),
            ("a certificate in the header", theirs(json!({ "x5c": [STANDARD_NONSENSE] }))),
            (
                "an address of keys",
                theirs(json!({ "jku": "http://127.0.0.1:9/keys", "x5u": "http://127.0.0.1:9/cert" })),
            ),
            ("no algorithm", unsigned("none")),
            ("no algorithm, in capitals", unsigned("NONE")),
            ("an unsigned token that claims HS256", unsigned("HS256")),
            ("another hash under the right key", long_hash),
            ("a public-key algorithm over our key", ours(json!({ "alg": "RS256" }))),
            ("an unknown key id", ours(json!({ "kid": "0123456789abcdef" }))),
            ("no key id", ours(json!({ "kid": null }))),
            ("a path as key id", theirs(json!({ "kid": "../../../../dev/null" }))),
            ("SQL as key id", theirs(json!({ "kid": "' OR '1'='1" }))),
            ("a NUL as key id", theirs(json!({ "kid": "\u{0}" }))),
            ("a number as key id", theirs(json!({ "kid": 1 }))),
            ("an unknown critical extension with another key", theirs(json!({ "crit": ["x"], "x": 1 }))),
            ("no expiry", without("exp")),
            ("no time of issue", without("iat")),
            ("no audience", without("aud")),
            ("no issuer", without("iss")),
            ("another audience", changed("aud", json!("another-registry"))),
            ("another issuer", changed("iss", json!("another-registry"))),
            ("an expiry in words", changed("exp", json!("never"))),
            ("an expiry before the epoch", changed("exp", json!(-1))),
            ("an infinite expiry", changed("exp", json!(1e300))),
            ("a credential that is not there", changed("credential", json!("ocid1.credential.oc1..none"))),
            ("a credential that is no name", changed("credential", json!(["x"]))),
            (
                "other claims under the signature",
                format!("{head}.{}.{signature}", encode(wider.to_string().as_bytes())),
            ),
            ("a signature that is cut", genuine[..genuine.len() - 2].to_owned()),
            ("no signature", signed.to_owned()),
            ("a fourth part", format!("{genuine}.{signature}")),
            ("claims that are no JSON", format!("{head}.{}.{signature}", encode(b"{"))),
            ("no token", "not-a-token".to_owned()),
            ("dots", "..".to_owned()),
            ("a very long token", format!("{signed}{}.{signature}", "A".repeat(16 << 10))),
        ]
    }
}

/// What stands where a certificate should.
const STANDARD_NONSENSE: &str = "bm8gY2VydGlmaWNhdGU=";

/// The claims of a token, unverified.
#[must_use]
pub fn claims(token: &str) -> Value {
    part(token, 1)
}

/// The header of a token, unverified.
#[must_use]
pub fn header(token: &str) -> Value {
    part(token, 0)
}

fn part(token: &str, index: usize) -> Value {
    let part = token.split('.').nth(index).expect("a token has three parts");
    let bytes = URL_SAFE_NO_PAD.decode(part).expect("base64url");
    serde_json::from_slice(&bytes).expect("JSON")
}

/// Seconds since the epoch.
#[must_use]
pub fn unix_seconds() -> i64 {
    #[expect(clippy::disallowed_methods, reason = "tokens expire by the server's clock, which is this one")]
    let now = std::time::SystemTime::now();
    let since = now.duration_since(std::time::UNIX_EPOCH).expect("the clock is right");
    i64::try_from(since.as_secs()).expect("it fits")
}

/// A token with this header and these claims, signed with HMAC-SHA-256 whatever the header says.
#[must_use]
pub fn token(header: &Value, claims: &Value, key: &[u8]) -> String {
    let signed =
        format!("{}.{}", encode(header.to_string().as_bytes()), encode(claims.to_string().as_bytes()));
    let signature = hmac::<Sha256>(64, key, signed.as_bytes());
    format!("{signed}.{}", encode(&signature))
}

/// HMAC (RFC 2104) over a hash whose blocks have that length. The key is no longer than one.
fn hmac<D: Digest>(block: usize, key: &[u8], message: &[u8]) -> Vec<u8> {
    let mut padded = key.to_vec();
    padded.resize(block, 0);
    let pad = |byte: u8| -> Vec<u8> { padded.iter().map(|key| key ^ byte).collect() };
    let inner = D::new_with_prefix(pad(0x36)).chain_update(message).finalize();
    D::new_with_prefix(pad(0x5c)).chain_update(inner).finalize().to_vec()
}

fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn pairs(object: &Value) -> Vec<(&str, Value)> {
    let object = object.as_object().expect("an object");
    object.iter().map(|(name, value)| (name.as_str(), value.clone())).collect()
}

/// The object with these fields set; null takes one out.
fn with(object: &Value, fields: &[(&str, Value)]) -> Value {
    let mut object = object.as_object().expect("an object").clone();
    for (name, value) in fields {
        match value {
            Value::Null => object.remove(*name),
            value => object.insert((*name).to_owned(), value.clone()),
        };
    }
    Value::Object(object)
}
