//! Creates that come again under the same retry token.

use tokio::task::JoinSet;
use wharfinger_iam::{Conditions, Ctx, Error, Request, api_keys, auth_tokens, groups, users};
use wharfinger_metastore::Store;
use wharfinger_testkit::on_each_engine;
use wharfinger_testkit::services::{Installation, NOW, found, request};

use crate::signatures::public_key;

fn with_token(installation: &Installation, token: &str, body: &str) -> Ctx {
    let conditions = Conditions::new(None, Some(token), "/target", body.as_bytes()).unwrap();
    installation.local().under(conditions)
}

on_each_engine! {
    async fn the_same_create_makes_one_thing_however_often_it_comes(store: Store) {
        let installation = found(store).await;
        let attempts = (0..10).map(|_| {
            let installation = installation.clone();
            async move {
                let ctx = with_token(&installation, "t", "alice");
                users::create_user(&ctx, &installation.tenancy, "alice").await.unwrap().ocid
            }
        });
        let outcomes: std::collections::HashSet<String> =
            attempts.collect::<JoinSet<_>>().join_all().await.into_iter().collect();
        assert_eq!(outcomes.len(), 1);
        let records = installation.audited_operations().await;
        assert_eq!(records.iter().filter(|operation| *operation == "create_user").count(), 1);

        let ctx = &with_token(&installation, "t", "more");
        let tenancy = &installation.tenancy;
        // Another operation is another request, whatever the token.
        let group = groups::create_group(ctx, tenancy, "g").await.unwrap();
        assert_eq!(groups::create_group(ctx, tenancy, "g").await.unwrap().ocid, group.ocid);
        let added = groups::add_user_to_group(ctx, tenancy, "g", "alice").await.unwrap();
        assert_eq!(groups::add_user_to_group(ctx, tenancy, "g", "alice").await.unwrap().ocid, added.ocid);
        let pem = public_key();
        let key = api_keys::upload_api_key(ctx, tenancy, "alice", &pem).await.unwrap();
        assert_eq!(api_keys::upload_api_key(ctx, tenancy, "alice", &pem).await.unwrap().ocid, key.ocid);
    }

    async fn a_token_is_of_no_use_for_another_request_or_for_what_is_gone(store: Store) {
        let installation = found(store).await;
        let tenancy = &installation.tenancy;
        let invalidated = |error: Error| matches!(error, Error::RetryTokenInvalidated(_));
        users::create_user(&with_token(&installation, "t", "a"), tenancy, "alice").await.unwrap();
        let other = users::create_user(&with_token(&installation, "t", "b"), tenancy, "bob").await;
        assert!(invalidated(other.unwrap_err()));
        users::delete_user(&installation.local(), tenancy, "alice").await.unwrap();
        let gone = users::create_user(&with_token(&installation, "t", "a"), tenancy, "alice").await;
        assert!(invalidated(gone.unwrap_err()));
        // A day later the token is forgotten.
        let later = Request { now: NOW.plus_seconds(86_401), ..request() };
        let conditions = Conditions::new(None, Some("t"), "/target", b"a").unwrap();
        let later = installation.iam.local_administrator(later).under(conditions);
        users::create_user(&later, tenancy, "alice").await.unwrap();
        for bad in ["", "a\0b", &"x".repeat(65)] {
            assert!(matches!(Conditions::new(None, Some(bad), "", b""), Err(Error::Invalid { .. })));
        }
    }

    async fn the_secret_of_an_auth_token_is_shown_once_even_to_a_retry(store: Store) {
        let installation = found(store).await;
        let (local, tenancy) = (installation.local(), &installation.tenancy);
        users::create_user(&local, tenancy, "alice").await.unwrap();
        let ctx = with_token(&installation, "t", "x");
        let (token, _) = auth_tokens::create_auth_token(&ctx, tenancy, "alice", "x").await.unwrap();
        let again = auth_tokens::create_auth_token(&ctx, tenancy, "alice", "x").await.unwrap_err();
        assert!(matches!(again, Error::RetryTokenInvalidated(_)) && again.to_string().contains(&token.ocid));
        assert_eq!(auth_tokens::list_auth_tokens(&local, tenancy, "alice").await.unwrap().len(), 1);
    }
}
