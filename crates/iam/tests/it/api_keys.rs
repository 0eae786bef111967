//! API signing keys: which are taken, how many, and whose they are.

use tokio::task::JoinSet;
use wharfinger_iam::{Capability, Error, api_keys, auth_tokens, users};
use wharfinger_metastore::Store;
use wharfinger_testkit::on_each_engine;
use wharfinger_testkit::services::found;

use crate::signatures::{Signer, public_key};

/// RSA of 1024 bits, made for this test.
const SHORT: &str = include_str!("../../../httpsig/tests/vectors/short.pub.pem");

on_each_engine! {
    async fn keys_are_uploaded_listed_and_deleted(store: Store) {
        let installation = found(store).await;
        let (local, tenancy) = (installation.local(), &installation.tenancy);
        let user = users::create_user(&local, tenancy, "alice").await.unwrap();
        let pem = public_key();
        let key = api_keys::upload_api_key(&local, tenancy, "alice", &format!("a remark\n{pem}")).await.unwrap();
        assert_eq!((key.pem.as_str(), key.user_ocid.as_str()), (pem.as_str(), user.ocid.as_str()));
        let again = api_keys::upload_api_key(&local, tenancy, &user.ocid, &pem).await;
        assert!(matches!(again, Err(Error::NameTaken { .. })), "{again:?}");
        let listed = api_keys::list_api_keys(&local, tenancy, "alice").await.unwrap();
        assert_eq!(listed.len(), 1);
        assert_eq!(listed[0].fingerprint, key.fingerprint);
        api_keys::delete_api_key(&local, tenancy, "alice", &key.fingerprint).await.unwrap();
        let gone = api_keys::delete_api_key(&local, tenancy, "alice", &key.fingerprint).await;
        assert!(matches!(gone, Err(Error::NotFound { .. })), "{gone:?}");
    }

    async fn keys_that_are_none_or_too_short_are_refused_and_not_repeated(store: Store) {
        let installation = found(store).await;
        let (local, tenancy) = (installation.local(), &installation.tenancy);
        let private = installation.founding.private_key.reveal();
        for bad in ["", SHORT, private, &"x".repeat(9000)] {
            let refused = api_keys::upload_api_key(&local, tenancy, "admin", bad).await.unwrap_err();
            assert!(matches!(refused, Error::Invalid { field: "key", .. }), "{refused:?}");
            assert!(!refused.to_string().contains("MII"), "{refused}");
        }
    }

    async fn a_user_has_three_keys_at_most_however_many_come_at_once(store: Store) {
        let installation = found(store).await;
        users::create_user(&installation.local(), &installation.tenancy, "alice").await.unwrap();
        let keys: Vec<String> = (0..6).map(|_| public_key()).collect();
        let attempts = (0..50).map(|number| {
            let (installation, key) = (installation.clone(), keys[number % 6].clone());
            async move { api_keys::upload_api_key(&installation.local(), &installation.tenancy, "alice", &key).await }
        });
        let outcomes = attempts.collect::<JoinSet<_>>().join_all().await;
        let (made, refused): (Vec<_>, Vec<_>) = outcomes.into_iter().partition(Result::is_ok);
        assert_eq!(made.len(), 3);
        for outcome in refused {
            assert!(matches!(outcome, Err(Error::LimitExceeded(_) | Error::NameTaken { .. })), "{outcome:?}");
        }
        let listed = api_keys::list_api_keys(&installation.local(), &installation.tenancy, "alice").await.unwrap();
        assert_eq!(listed.len(), 3);
    }

    async fn own_credentials_need_no_right_and_those_of_others_do(store: Store) {
        let installation = found(store).await;
        let tenancy = &installation.tenancy;
        let (alice, signer) = Signer::add(&installation, "alice").await;
        let (bob, _) = Signer::add(&installation, "bob").await;
        let ctx = &signer.get(&installation).await.unwrap();
        let key = api_keys::upload_api_key(ctx, tenancy, &alice.ocid, &public_key()).await.unwrap();
        assert_eq!(api_keys::list_api_keys(ctx, tenancy, &alice.ocid).await.unwrap().len(), 2);
        api_keys::delete_api_key(ctx, tenancy, &alice.ocid, &key.fingerprint).await.unwrap();
        let (token, _) = auth_tokens::create_auth_token(ctx, tenancy, &alice.ocid, "mine").await.unwrap();
        auth_tokens::update_auth_token(ctx, tenancy, &alice.ocid, &token.ocid, Some("desk")).await.unwrap();
        assert_eq!(auth_tokens::list_auth_tokens(ctx, tenancy, &alice.ocid).await.unwrap()[0].description, "desk");
        auth_tokens::delete_auth_token(ctx, tenancy, &alice.ocid, &token.ocid).await.unwrap();

        let texts = [
            api_keys::upload_api_key(ctx, tenancy, &bob.ocid, &public_key()).await.unwrap_err(),
            api_keys::list_api_keys(ctx, tenancy, &bob.ocid).await.unwrap_err(),
            api_keys::delete_api_key(ctx, tenancy, &bob.ocid, "x").await.unwrap_err(),
            auth_tokens::create_auth_token(ctx, tenancy, &bob.ocid, "x").await.unwrap_err(),
            auth_tokens::list_auth_tokens(ctx, tenancy, "ocid1.user.oc1..none").await.unwrap_err(),
            users::get_user(ctx, tenancy, &alice.ocid).await.unwrap_err(),
        ];
        assert!(texts.iter().all(|error| matches!(error, Error::Denied { .. })), "{texts:?}");
    }

    async fn a_user_without_the_capability_gets_no_credential(store: Store) {
        let installation = found(store).await;
        let (local, tenancy) = (installation.local(), &installation.tenancy);
        let secret = installation.add_user("alice").await;
        let none = |all: wharfinger_iam::Capabilities| {
            all.with(Capability::ApiKeys, false).with(Capability::AuthTokens, false)
        };
        let user = users::update_user_capabilities(&local, tenancy, "alice", none).await.unwrap();
        assert!(user.capabilities().has(Capability::ConsolePassword));
        let refused = api_keys::upload_api_key(&local, tenancy, "alice", &public_key()).await;
        assert!(matches!(refused, Err(Error::Conflict(_))), "{refused:?}");
        let refused = auth_tokens::create_auth_token(&local, tenancy, "alice", "x").await;
        assert!(matches!(refused, Err(Error::Conflict(_))), "{refused:?}");
        let login = installation.iam.login(wharfinger_testkit::services::request(), "acme/alice", &secret).await;
        assert!(matches!(login, Err(Error::LoginFailed(_))), "{login:?}");
    }
}
