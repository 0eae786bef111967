//! Tokens for tokens, keys that change, and how often one may ask.

use std::num::NonZeroU32;

use tokio::task::JoinSet;
use wharfinger_iam::{Cap, Ctx, Error, Iam, Limits, LoginFailure, Request, auth_tokens, users};
use wharfinger_metastore::Store;
use wharfinger_testkit::on_each_engine;
use wharfinger_testkit::services::{Installation, NOW, found, request};

const DAY: i64 = 86_400;

fn request_at(seconds: i64) -> Request {
    Request { now: NOW.plus_seconds(seconds), ..request() }
}

fn cap(scope: &str) -> Cap {
    Cap::from_scopes([scope].into_iter())
}

async fn issue(installation: &Installation, ctx: &Ctx, cap: Cap) -> String {
    installation.iam.issue_registry_token(ctx, cap).await.unwrap().token.reveal().to_owned()
}

fn failure<T: std::fmt::Debug>(outcome: Result<T, Error>) -> LoginFailure {
    match outcome {
        Err(Error::LoginFailed(cause)) => cause,
        other => panic!("{other:?}"),
    }
}

fn kid(token: &str) -> String {
    jsonwebtoken::decode_header(token).unwrap().kid.unwrap()
}

on_each_engine! {
    async fn a_token_for_a_token_keeps_its_cap_and_its_expiry(store: Store) {
        let installation = found(store).await;
        let iam = &installation.iam;
        let admin = installation.administrator().await;
        let first = issue(&installation, &admin, cap("repository:acme/app:pull,push")).await;
        for shown in [
            iam.login(request_at(3000), "BEARER_TOKEN", &first).await.unwrap(),
            iam.bearer(request_at(3000), &first).await.unwrap(),
        ] {
            for asked in [cap("repository:acme/app:push,delete repository:acme/other:pull"), Cap::None] {
                let is_wide = asked == Cap::None;
                let second = iam.issue_registry_token(&shown, asked).await.unwrap();
                assert_eq!(second.expires_in_secs, 600);
                let ctx = iam.bearer(request_at(3599), second.token.reveal()).await.unwrap();
                ctx.within_cap("repository", &"acme/app", "push").unwrap();
                assert_eq!(ctx.within_cap("repository", &"acme/app", "pull").is_ok(), is_wide);
                for (name, action) in [("acme/app", "delete"), ("acme/other", "pull")] {
                    let refused = ctx.within_cap("repository", &name, action);
                    assert!(matches!(refused, Err(Error::BeyondCap { .. })), "{action} on {name}: {refused:?}");
                }
                let expired = iam.bearer(request_at(3600), second.token.reveal()).await;
                assert_eq!(failure(expired), LoginFailure::ExpiredToken);
            }
            assert!(iam.issue_refresh_token(&shown).await.unwrap().is_none(), "a token begets no longer one");
        }
        let expired = iam.login(request_at(3600), "BEARER_TOKEN", &first).await;
        assert_eq!(failure(expired), LoginFailure::ExpiredToken);
        assert_eq!(failure(iam.login(request(), "BEARER_TOKEN", "x").await), LoginFailure::InvalidToken);
    }

    async fn a_refresh_token_lives_as_long_as_its_auth_token(store: Store) {
        let installation = found(store).await;
        let (local, tenancy, iam) = (installation.local(), &installation.tenancy, &installation.iam);
        let secret = installation.add_user("alice").await;
        let alice = iam.login(request(), "acme/alice", &secret).await.unwrap();
        let refresh = iam.issue_refresh_token(&alice).await.unwrap().unwrap().reveal().to_owned();
        let access = issue(&installation, &alice, Cap::None).await;
        let anonymous = installation.anonymous();
        assert!(iam.issue_refresh_token(&anonymous).await.unwrap().is_none());

        // One kind of token never passes for the other.
        assert_eq!(failure(iam.bearer(request(), &refresh).await), LoginFailure::InvalidToken);
        assert_eq!(failure(iam.refresh(request(), &access).await), LoginFailure::RevokedCredential);
        let altered = format!("{}x", &refresh[..refresh.len() - 1]);
        assert_eq!(failure(iam.refresh(request(), &altered).await), LoginFailure::InvalidToken);
        assert_eq!(failure(iam.refresh(request(), "x").await), LoginFailure::InvalidToken);

        let again = iam.refresh(request_at(400 * DAY), &refresh).await.unwrap();
        let issued = iam.issue_registry_token(&again, Cap::None).await.unwrap();
        assert_eq!(issued.expires_in_secs, 3600);

        users::update_user_state(&local, tenancy, "alice", false).await.unwrap();
        assert_eq!(failure(iam.refresh(request(), &refresh).await), LoginFailure::Inactive);
        users::update_user_state(&local, tenancy, "alice", true).await.unwrap();
        iam.refresh(request(), &refresh).await.unwrap();
        let tokens = auth_tokens::list_auth_tokens(&local, tenancy, "alice").await.unwrap();
        auth_tokens::delete_auth_token(&local, tenancy, "alice", &tokens[0].ocid).await.unwrap();
        assert_eq!(failure(iam.refresh(request(), &refresh).await), LoginFailure::RevokedCredential);
    }

    async fn a_new_key_takes_over_and_the_old_one_verifies_what_it_signed(store: Store) {
        let installation = found(store.clone()).await;
        let name = format!("acme/{}", installation.founding.username);
        let login = async |iam: &Iam, seconds: i64| {
            let password = installation.founding.auth_token.reveal();
            iam.login(request_at(seconds), &name, password).await.unwrap()
        };
        let iam = &installation.iam;
        let first = issue(&installation, &login(iam, 30 * DAY - 1).await, Cap::None).await;

        // Two replicas notice at once, and a third process had no key in memory.
        let replicas = [iam.clone(), iam.clone(), Iam::new(store.clone(), 3600, Limits::default())];
        let mut issuing = JoinSet::new();
        for replica in replicas.clone() {
            let ctx = login(&replica, 30 * DAY).await;
            issuing.spawn(async move {
                replica.issue_registry_token(&ctx, Cap::None).await.unwrap().token.reveal().to_owned()
            });
        }
        let tokens = issuing.join_all().await;
        let rotations = installation.audited_operations().await;
        assert_eq!(rotations.iter().filter(|operation| *operation == "rotate_token_key").count(), 1);
        for token in &tokens {
            assert_ne!(kid(token), kid(&first));
            for replica in &replicas {
                replica.bearer(request_at(30 * DAY + 1), token).await.unwrap();
                replica.bearer(request_at(30 * DAY + 1), &first).await.unwrap();
            }
        }

        // A month later the first key is still known: a token may live that long. After another it is gone.
        for (seconds, is_known) in [(60 * DAY, true), (90 * DAY, false)] {
            issue(&installation, &login(iam, seconds).await, Cap::None).await;
            let other = Iam::new(store.clone(), 3600, Limits::default());
            let expected = if is_known { LoginFailure::ExpiredToken } else { LoginFailure::InvalidToken };
            assert_eq!(failure(other.bearer(request_at(seconds), &first).await), expected);
        }
    }

    async fn requests_are_counted_by_user_or_else_by_address(store: Store) {
        let installation = found(store.clone()).await;
        let secret = installation.add_user("alice").await;
        let one_a_second = Limits { requests_per_second: NonZeroU32::new(1), ..Limits::default() };
        let iam = Iam::new(store, 3600, one_a_second);
        let from = |address: &str| Request { client_address: address.parse().ok(), ..request() };
        let is_limited = |outcome: Result<Ctx, Error>| match outcome {
            Err(Error::TooManyRequests { retry_after_secs }) => {
                assert_eq!(retry_after_secs, 1);
                true
            }
            _ => false,
        };

        let alice = iam.login(from("10.0.0.1"), "acme/alice", &secret).await.unwrap();
        let token = iam.issue_registry_token(&alice, Cap::None).await.unwrap().token;
        // Another address, another credential: the same user.
        assert!(is_limited(iam.bearer(from("10.0.0.2"), token.reveal()).await));
        let exchanged = iam.login(from("10.0.0.3"), "BEARER_TOKEN", token.reveal()).await;
        assert!(is_limited(exchanged));
        // The address is not charged for it.
        assert!(!is_limited(iam.anonymous(from("10.0.0.1"))));
        // Bad credentials and anonymous tokens are no way to another bucket.
        assert!(is_limited(iam.anonymous(from("10.0.0.1"))));
        assert!(is_limited(iam.bearer(from("10.0.0.1"), "x").await));
        assert!(is_limited(iam.login(from("10.0.0.1"), "acme/alice", "wrong").await));
        assert!(!is_limited(iam.anonymous(from("10.0.0.4"))));
        // The control socket has no limit.
        iam.local_administrator(Request { client_address: None, ..request() });
    }

    async fn a_good_log_in_never_waits_for_those_that_failed(store: Store) {
        let installation = found(store.clone()).await;
        let secret = installation.add_user("alice").await;
        let one_a_minute = Limits { failed_logins_per_minute: NonZeroU32::new(1), ..Limits::default() };
        let iam = Iam::new(store, 3600, one_a_minute);
        let wrong = iam.login(request(), "acme/alice", "wrong").await;
        assert_eq!(failure(wrong), LoginFailure::WrongPassword);
        // The next failure has to wait a minute; the good log-in begins later and is answered first.
        let slowed = iam.login(request(), "acme/alice", "wrong");
        let mut slowed = std::pin::pin!(slowed);
        let good = async {
            for _ in 0..20 {
                iam.login(request(), "acme/alice", &secret).await.unwrap();
            }
        };
        tokio::select! {
            biased;
            outcome = &mut slowed => panic!("{outcome:?}"),
            () = good => {}
        }
    }
}
