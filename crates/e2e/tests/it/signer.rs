//! Requests signed with an API key, as Oracle Cloud's clients send them.

use std::fs;
use std::time::UNIX_EPOCH;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use serde_json::{Value, json};
use wharfinger_httpsig::{KeyId, PrivateKey, Request, sign};
use wharfinger_testkit::http::Client;
use wharfinger_testkit::program::Program;

use crate::answers::json_of;

/// A user with a signing key, and where its requests go.
pub(crate) struct Signer {
    pub(crate) client: Client,
    pub(crate) tenancy: String,
    pub(crate) user: String,
    pub(crate) key: PrivateKey,
}

impl Signer {
    /// The program's first administrator.
    pub(crate) fn administrator(program: &Program) -> Signer {
        let bootstrap = fs::read(program.data_dir().join("bootstrap.json")).unwrap();
        let bootstrap: Value = serde_json::from_slice(&bootstrap).unwrap();
        let field = |name: &str| bootstrap[name].as_str().unwrap().to_owned();
        let pem = fs::read_to_string(field("key_file")).unwrap();
        assert!(pem.ends_with("\nOCI_API_KEY\n"));
        let key = PrivateKey::from_pem(&pem).unwrap();
        assert_eq!(key.public_key().fingerprint().to_string(), field("fingerprint"));
        Signer { client: program.anonymous(), tenancy: field("tenancy_id"), user: field("user_id"), key }
    }

    /// Makes a user without any right.
    pub(crate) async fn add(&self, name: &str) -> Signer {
        let create = json!({ "compartmentId": self.tenancy, "name": name, "description": "" });
        let created = self.send("POST", "/20160918/users", &create.to_string()).await;
        let user = json_of(&created)["id"].as_str().unwrap().to_owned();
        let key = PrivateKey::generate().unwrap();
        let upload = json!({ "key": key.public_key().to_pem().unwrap() });
        let keys = format!("/20160918/users/{user}/apiKeys");
        assert_eq!(self.send("POST", &keys, &upload.to_string()).await.status(), StatusCode::OK);
        Signer { client: self.client.clone(), tenancy: self.tenancy.clone(), user, key }
    }

    /// What its signatures call its key.
    pub(crate) fn key_id(&self) -> KeyId {
        let fingerprint = self.key.public_key().fingerprint();
        KeyId::ApiKey { tenancy: self.tenancy.clone(), user: self.user.clone(), fingerprint }
    }

    /// The headers of a request signed `seconds` from now, so that no two signatures are alike.
    pub(crate) fn signed(&self, method: &str, target: &str, body: &str, seconds: i64) -> HeaderMap {
        let host = self.client.address().to_string();
        signed(&self.key_id(), &self.key, &host, method, target, body, seconds)
    }

    pub(crate) async fn send_with(
        &self,
        method: &str,
        target: &str,
        body: &str,
        headers: &HeaderMap,
        further: &[(&str, &str)],
    ) -> Response<Bytes> {
        let signed = headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap()));
        let headers: Vec<(&str, &str)> = signed.chain(further.iter().copied()).collect();
        self.client.send(method, target, &headers, body.to_owned()).await.unwrap()
    }

    pub(crate) async fn send(&self, method: &str, target: &str, body: &str) -> Response<Bytes> {
        self.send_with(method, target, body, &self.signed(method, target, body, 0), &[]).await
    }
}

/// The headers of a request to `host` that says it is signed with the key of that id.
pub(crate) fn signed(
    key_id: &KeyId,
    key: &PrivateKey,
    host: &str,
    method: &str,
    target: &str,
    body: &str,
    seconds: i64,
) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert("host", HeaderValue::from_str(host).unwrap());
    let method: Method = method.parse().unwrap();
    let request = Request { method: &method, target, headers: &headers };
    let now = i64::try_from(UNIX_EPOCH.elapsed().unwrap().as_secs()).unwrap() + seconds;
    sign(&request, body.as_bytes(), key_id, key, now).unwrap()
}
