//! Who gets in, and for how long.

use wharfinger_iam::{Cap, Ctx, Error, LoginFailure, Principal, Target, auth_tokens, groups, users};
use wharfinger_metastore::Store;
use wharfinger_testkit::on_each_engine;
use wharfinger_testkit::services::{Installation, NOW, found, request};
use wharfinger_types::Permission;

async fn cause(installation: &Installation, username: &str, password: &str) -> LoginFailure {
    match installation.iam.login(request(), username, password).await {
        Err(Error::LoginFailed(cause)) => cause,
        other => panic!("{other:?}"),
    }
}

async fn bearer_cause(installation: &Installation, token: &str) -> LoginFailure {
    match installation.iam.bearer(request(), token).await {
        Err(Error::LoginFailed(cause)) => cause,
        other => panic!("{other:?}"),
    }
}

fn administers(installation: &Installation, ctx: &Ctx) -> bool {
    ctx.allows(Permission::UserCreate, &Target::tenancy(installation.tenancy.id))
}

on_each_engine! {
    async fn the_three_forms_of_a_user_name_log_in(store: Store) {
        let installation = found(store).await;
        let secret = installation.add_user("jdoe@acme.com").await;
        for name in ["acme/jdoe@acme.com", "acme/Default/jdoe@acme.com", "acme/oracleidentitycloudservice/jdoe@acme.com"] {
            let ctx = installation.iam.login(request(), name, &secret).await.unwrap();
            assert!(matches!(ctx.principal(), Principal::User(_)), "{name}");
            assert_eq!(ctx.origin().principal_name, "jdoe@acme.com");
            assert!(!administers(&installation, &ctx));
        }
    }

    async fn each_cause_of_a_failed_login_is_known_and_all_look_alike(store: Store) {
        let installation = found(store).await;
        let secret = installation.add_user("alice").await;
        users::create_user(&installation.local(), &installation.tenancy, "bare").await.unwrap();
        assert_eq!(cause(&installation, "alice", &secret).await, LoginFailure::UsernameForm);
        assert_eq!(cause(&installation, "acme/nobody", &secret).await, LoginFailure::UnknownUser);
        assert_eq!(cause(&installation, "other/alice", &secret).await, LoginFailure::UnknownUser);
        assert_eq!(cause(&installation, "acme/\0", &secret).await, LoginFailure::UnknownUser);
        assert_eq!(cause(&installation, "acme/bare", "").await, LoginFailure::NoAuthToken);
        assert_eq!(cause(&installation, "acme/alice", "wrong").await, LoginFailure::WrongPassword);
        users::update_user(&installation.local(), &installation.tenancy, "alice", false).await.unwrap();
        assert_eq!(cause(&installation, "acme/alice", &secret).await, LoginFailure::Inactive);
        let texts = [LoginFailure::UnknownUser, LoginFailure::WrongPassword, LoginFailure::Inactive];
        let texts: std::collections::HashSet<_> = texts.map(|cause| Error::LoginFailed(cause).to_string()).into();
        assert_eq!(texts.len(), 1);
    }

    async fn a_registry_token_carries_its_principal_and_its_cap(store: Store) {
        let installation = found(store).await;
        let ctx = installation.administrator().await;
        let cap = Cap::from_scopes(["repository:acme/app:pull"].into_iter());
        let issued = installation.iam.issue_registry_token(&ctx, cap).await.unwrap();
        assert_eq!(issued.expires_in_secs, 3600);
        let ctx = installation.iam.bearer(request(), issued.token.reveal()).await.unwrap();
        assert!(administers(&installation, &ctx));
        ctx.within_cap("repository", &"acme/app", "pull").unwrap();
        assert!(matches!(ctx.within_cap("repository", &"acme/app", "push"), Err(Error::BeyondCap { .. })));

        let anonymous = installation.iam.issue_registry_token(&installation.anonymous(), Cap::None).await.unwrap();
        let ctx = installation.iam.bearer(request(), anonymous.token.reveal()).await.unwrap();
        assert!(matches!(ctx.principal(), Principal::Anonymous));
    }

    async fn a_registry_token_ends_with_its_time_its_credential_or_its_user(store: Store) {
        let installation = found(store).await;
        let (local, tenancy) = (installation.local(), &installation.tenancy);
        let secret = installation.add_user("alice").await;
        let ctx = installation.iam.login(request(), "acme/alice", &secret).await.unwrap();
        let token = installation.iam.issue_registry_token(&ctx, Cap::None).await.unwrap().token;
        installation.iam.bearer(request(), token.reveal()).await.unwrap();

        let mut later = request();
        later.now = NOW.plus_seconds(3600);
        let expired = installation.iam.bearer(later, token.reveal()).await;
        assert!(matches!(expired, Err(Error::LoginFailed(LoginFailure::ExpiredToken))));

        users::update_user(&local, tenancy, "alice", false).await.unwrap();
        assert_eq!(bearer_cause(&installation, token.reveal()).await, LoginFailure::Inactive);
        users::update_user(&local, tenancy, "alice", true).await.unwrap();
        installation.iam.bearer(request(), token.reveal()).await.unwrap();

        let tokens = auth_tokens::list_auth_tokens(&local, tenancy, "alice").await.unwrap();
        auth_tokens::delete_auth_token(&local, tenancy, "alice", &tokens[0].ocid).await.unwrap();
        assert_eq!(bearer_cause(&installation, token.reveal()).await, LoginFailure::RevokedCredential);
    }

    /// CVE-2025-24976 and its kin: tokens that somebody else made.
    async fn tokens_not_signed_by_us_are_refused(store: Store) {
        let installation = found(store).await;
        let ctx = installation.administrator().await;
        let token = installation.iam.issue_registry_token(&ctx, Cap::None).await.unwrap().token.reveal().to_owned();
        let parts: Vec<&str> = token.split('.').collect();
        // {"alg":"none"} with our kid would be as good; without any kid it is no token of ours at all.
        let none = format!("eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.{}.", parts[1]);
        let altered = format!("{}.{}x.{}", parts[0], parts[1], parts[2]);
        let unsigned = format!("{}.{}.", parts[0], parts[1]);
        for forged in ["", "a.b.c", &none, &altered, &unsigned, &token[..token.len() - 2]] {
            assert_eq!(bearer_cause(&installation, forged).await, LoginFailure::InvalidToken, "{forged}");
        }
    }

    /// CVE-2025-23208: memberships that outlive their removal.
    async fn a_removed_membership_counts_no_more_for_tokens_already_issued(store: Store) {
        let installation = found(store).await;
        let (local, tenancy) = (installation.local(), &installation.tenancy);
        let secret = installation.add_user("alice").await;
        groups::add_user_to_group(&local, tenancy, "Administrators", "alice").await.unwrap();
        let ctx = installation.iam.login(request(), "acme/alice", &secret).await.unwrap();
        let token = installation.iam.issue_registry_token(&ctx, Cap::None).await.unwrap().token;
        let is_administrator = async || {
            let ctx = installation.iam.bearer(request(), token.reveal()).await.unwrap();
            administers(&installation, &ctx)
        };
        assert!(is_administrator().await);
        groups::remove_user_from_group(&local, tenancy, "Administrators", "alice").await.unwrap();
        assert!(!is_administrator().await);
    }
}
