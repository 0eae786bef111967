//! Signed requests: who gets in with an API key, how often, and until when.

use http::{HeaderMap, HeaderValue, Method};
use wharfinger_httpsig::{KeyId, PrivateKey, sign};
use wharfinger_iam::users::User;
use wharfinger_iam::{
    Cap, Capability, Ctx, Error, LoginFailure, Principal, Request, SignatureFailure, SignedRequest, api_keys,
    tenancies, users,
};
use wharfinger_metastore::Store;
use wharfinger_testkit::on_each_engine;
use wharfinger_testkit::services::{Installation, NOW, found, request};

/// A new key in PEM.
pub(crate) fn public_key() -> String {
    PrivateKey::generate().unwrap().public_key().to_pem().unwrap()
}

/// A client's end: a key and the name of its public half.
pub(crate) struct Signer {
    pub(crate) key: PrivateKey,
    pub(crate) key_id: KeyId,
}

impl Signer {
    fn new(tenancy: &str, user: &str, key: PrivateKey) -> Signer {
        let fingerprint = key.public_key().fingerprint();
        Signer {
            key,
            key_id: KeyId::ApiKey { tenancy: tenancy.to_owned(), user: user.to_owned(), fingerprint },
        }
    }

    pub(crate) fn administrator(installation: &Installation) -> Signer {
        let founding = &installation.founding;
        let key = PrivateKey::from_pem(founding.private_key.reveal()).unwrap();
        Signer::new(&founding.tenancy_id, &founding.user_id, key)
    }

    /// Makes a user with a key.
    pub(crate) async fn add(installation: &Installation, name: &str) -> (User, Signer) {
        let (local, tenancy) = (installation.local(), &installation.tenancy);
        let user = users::create_user(&local, tenancy, name).await.unwrap();
        let key = PrivateKey::generate().unwrap();
        let pem = key.public_key().to_pem().unwrap();
        api_keys::upload_api_key(&local, tenancy, name, &pem).await.unwrap();
        let signer = Signer::new(&tenancy.ocid, &user.ocid, key);
        (user, signer)
    }

    fn headers(&self, method: &Method, body: &[u8], seconds: i64) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert("host", HeaderValue::from_static("registry.example"));
        let signed = SignedRequest { method, target: "/20160918/users", headers: &headers };
        let now = NOW.unix_seconds() + seconds;
        headers.extend(sign(&signed, body, &self.key_id, &self.key, now).unwrap());
        headers
    }

    /// As [`Signer::get`], so many seconds later.
    pub(crate) async fn get_at(&self, installation: &Installation, seconds: i64) -> Result<Ctx, Error> {
        let headers = self.headers(&Method::GET, b"", seconds);
        let signed = SignedRequest { method: &Method::GET, target: "/20160918/users", headers: &headers };
        let request = Request { now: NOW.plus_seconds(seconds), ..request() };
        installation.iam.signed(request, &signed, b"").await
    }

    pub(crate) async fn get(&self, installation: &Installation) -> Result<Ctx, Error> {
        enter(installation, &Method::GET, &self.headers(&Method::GET, b"", 0), b"").await
    }
}

async fn enter(
    installation: &Installation,
    method: &Method,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Ctx, Error> {
    let signed = SignedRequest { method, target: "/20160918/users", headers };
    installation.iam.signed(request(), &signed, body).await
}

pub(crate) fn cause(outcome: Result<Ctx, Error>) -> SignatureFailure {
    match outcome {
        Err(Error::SignatureRefused(cause)) => cause,
        other => panic!("{other:?}"),
    }
}

on_each_engine! {
    async fn a_key_signs_for_its_user(store: Store) {
        let installation = found(store).await;
        let ctx = Signer::administrator(&installation).get(&installation).await.unwrap();
        assert!(matches!(ctx.principal(), Principal::User(user) if user.ocid == installation.founding.user_id));
        let (alice, signer) = Signer::add(&installation, "alice").await;
        let ctx = signer.get(&installation).await.unwrap();
        assert!(matches!(ctx.principal(), Principal::User(user) if user.ocid == alice.ocid));
    }

    async fn whatever_is_wrong_the_answer_is_the_same_and_the_cause_is_known(store: Store) {
        let installation = found(store).await;
        let (alice, signer) = Signer::add(&installation, "alice").await;
        let tenancy = installation.tenancy.ocid.as_str();
        let form = |error| matches!(error, SignatureFailure::Form(_));
        let mut texts = std::collections::HashSet::new();
        let mut refused = |outcome: Result<Ctx, Error>| {
            texts.insert(outcome.as_ref().unwrap_err().to_string());
            cause(outcome)
        };

        assert!(form(refused(enter(&installation, &Method::GET, &HeaderMap::new(), b"").await)));
        let stale = signer.headers(&Method::GET, b"", -301);
        assert!(form(refused(enter(&installation, &Method::GET, &stale, b"").await)));
        let of_get = signer.headers(&Method::GET, b"", 0);
        assert!(form(refused(enter(&installation, &Method::DELETE, &of_get, b"").await)));
        let of_post = signer.headers(&Method::POST, b"{}", 0);
        assert!(form(refused(enter(&installation, &Method::POST, &of_post, b"{ }").await)));
        let other = Signer::new(tenancy, &alice.ocid, PrivateKey::generate().unwrap());
        assert_eq!(refused(other.get(&installation).await), SignatureFailure::UnknownKey);
        // Right key, wrong user; right user, wrong tenancy.
        let key = |signer: &Signer| PrivateKey::from_pem(&signer.key.to_pem().unwrap()).unwrap();
        let admin = Signer::new(tenancy, &installation.founding.user_id, key(&signer));
        assert_eq!(refused(admin.get(&installation).await), SignatureFailure::UnknownKey);
        let elsewhere = tenancies::create_tenancy(&installation.local(), "Other", None).await.unwrap();
        let foreign = Signer::new(&elsewhere.tenancy_id, &alice.ocid, key(&signer));
        assert_eq!(refused(foreign.get(&installation).await), SignatureFailure::UnknownKey);

        let (local, tenancy) = (installation.local(), &installation.tenancy);
        users::update_user_capabilities(&local, tenancy, "alice", |all| all.with(Capability::ApiKeys, false)).await.unwrap();
        assert_eq!(refused(signer.get(&installation).await), SignatureFailure::UnknownKey);
        users::update_user_capabilities(&local, tenancy, "alice", |all| all.with(Capability::ApiKeys, true)).await.unwrap();
        users::update_user_state(&local, tenancy, "alice", false).await.unwrap();
        assert_eq!(refused(signer.get(&installation).await), SignatureFailure::Inactive);
        assert_eq!(texts.len(), 1, "{texts:?}");
    }

    async fn a_signature_of_a_write_is_good_for_one_request(store: Store) {
        let installation = found(store).await;
        let signer = Signer::administrator(&installation);
        let read = signer.headers(&Method::GET, b"", 0);
        for _ in 0..2 {
            enter(&installation, &Method::GET, &read, b"").await.unwrap();
        }
        // A second process over the same store would see it as well: nothing is kept in memory.
        let write = signer.headers(&Method::POST, b"{}", 0);
        let attempts = (0..10).map(|_| {
            let (installation, write) = (installation.clone(), write.clone());
            async move { enter(&installation, &Method::POST, &write, b"{}").await }
        });
        let outcomes = attempts.collect::<tokio::task::JoinSet<_>>().join_all().await;
        assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
        assert!(outcomes.into_iter().filter_map(Result::err).all(|error| matches!(error, Error::SignatureUsed)));
        enter(&installation, &Method::POST, &signer.headers(&Method::POST, b"{}", 1), b"{}").await.unwrap();
    }

    async fn a_registry_token_made_with_a_key_ends_with_the_key(store: Store) {
        let installation = found(store).await;
        let (local, tenancy, iam) = (installation.local(), &installation.tenancy, &installation.iam);
        let (_, signer) = Signer::add(&installation, "alice").await;
        let ctx = signer.get(&installation).await.unwrap();
        let token = iam.issue_registry_token(&ctx, Cap::None).await.unwrap().token;
        let cause = async || match iam.bearer(request(), token.reveal()).await {
            Err(Error::LoginFailed(cause)) => Some(cause),
            _ => None,
        };
        assert_eq!(cause().await, None);
        assert!(iam.login(request(), "BEARER_TOKEN", token.reveal()).await.is_ok());
        users::update_user_capabilities(&local, tenancy, "alice", |all| all.with(Capability::ApiKeys, false)).await.unwrap();
        assert_eq!(cause().await, Some(LoginFailure::RevokedCredential));
        users::update_user_capabilities(&local, tenancy, "alice", |all| all.with(Capability::ApiKeys, true)).await.unwrap();
        let fingerprint = signer.key.public_key().fingerprint().to_string();
        api_keys::delete_api_key(&local, tenancy, "alice", &fingerprint).await.unwrap();
        assert_eq!(cause().await, Some(LoginFailure::RevokedCredential));
    }

    /// A refresh token is signed with the hash of an auth token, and a key has none: an empty one must not do.
    async fn no_refresh_token_stands_for_a_key(store: Store) {
        let installation = found(store).await;
        let ctx = Signer::administrator(&installation).get(&installation).await.unwrap();
        assert!(installation.iam.issue_refresh_token(&ctx).await.is_err());
        let Principal::User(user) = ctx.principal() else { panic!() };
        let header = jsonwebtoken::Header { kid: Some(user.credential.clone()), ..Default::default() };
        let claims = serde_json::json!({ "iss": "wharfinger", "aud": "wharfinger-refresh", "sub": user.ocid, "iat": 0 });
        let forged = jsonwebtoken::encode(&header, &claims, &jsonwebtoken::EncodingKey::from_secret(b"")).unwrap();
        let refused = installation.iam.refresh(Request { ..request() }, &forged).await;
        assert!(matches!(refused, Err(Error::LoginFailed(LoginFailure::InvalidToken))), "{refused:?}");
    }
}
