//! Security tokens: who gets one, and when it ends.

use wharfinger_httpsig::{KeyId, PrivateKey};
use wharfinger_iam::{Cap, Ctx, Error, LoginFailure, SignatureFailure, api_keys, security_tokens, users};
use wharfinger_metastore::Store;
use wharfinger_testkit::on_each_engine;
use wharfinger_testkit::services::{found, request};

use crate::signatures::{Signer, cause};

on_each_engine! {
    async fn a_session_signs_until_its_time_its_key_or_its_user_ends(store: Store) {
        let installation = found(store).await;
        let (local, tenancy) = (installation.local(), &installation.tenancy);
        let (user, signer) = Signer::add(&installation, "alice").await;
        let alice = signer.get(&installation).await.unwrap();
        let session = PrivateKey::generate().unwrap();
        let pem = session.public_key().to_pem().unwrap();
        let signs = async |token: &KeyId, seconds| {
            let signer = Signer { key: PrivateKey::from_pem(&session.to_pem().unwrap()).unwrap(), key_id: token.clone() };
            signer.get_at(&installation, seconds).await
        };
        let generate = async |ctx: &Ctx, minutes| {
            let token = security_tokens::generate_user_security_token(ctx, &pem, minutes).await?;
            Ok::<_, Error>(KeyId::SecurityToken(token.reveal().to_owned()))
        };
        for minutes in [0, 4, 61, -1] {
            let refused = generate(&alice, Some(minutes)).await;
            assert!(matches!(refused, Err(Error::Invalid { .. })), "{refused:?}");
        }
        let wrong = security_tokens::generate_user_security_token(&alice, "no key", None).await;
        assert!(matches!(wrong, Err(Error::Invalid { field: "key", .. })), "{wrong:?}");
        let nobody = security_tokens::generate_user_security_token(&local, &pem, None).await;
        assert!(matches!(nobody, Err(Error::Unauthenticated)), "{nobody:?}");

        let token = generate(&alice, Some(5)).await.unwrap();
        let ctx = signs(&token, 10).await.unwrap();
        assert_eq!(ctx.origin().principal_id, user.ocid);
        // With another key than its own, or as a registry token, it is no good.
        let other = Signer { key: signer.key, key_id: token.clone() };
        assert!(matches!(cause(other.get_at(&installation, 10).await), SignatureFailure::Form(_)));
        let KeyId::SecurityToken(text) = &token else { panic!() };
        assert!(installation.iam.bearer(request(), text).await.is_err());
        let registry = installation.iam.issue_registry_token(&ctx, Cap::None).await.unwrap();
        assert_eq!(registry.expires_in_secs, 290);
        let as_session = KeyId::SecurityToken(registry.token.reveal().to_owned());
        let invalid = SignatureFailure::SecurityToken(LoginFailure::InvalidToken);
        assert_eq!(cause(signs(&as_session, 10).await), invalid);
        // What is asked for with a session ends with it.
        let further = generate(&ctx, None).await.unwrap();
        let expired = SignatureFailure::SecurityToken(LoginFailure::ExpiredToken);
        for token in [&token, &further] {
            assert!(signs(token, 299).await.is_ok());
            assert_eq!(cause(signs(token, 300).await), expired);
        }

        users::update_user_state(&local, tenancy, "alice", false).await.unwrap();
        assert_eq!(cause(signs(&token, 20).await), SignatureFailure::Inactive);
        users::update_user_state(&local, tenancy, "alice", true).await.unwrap();
        let keys = api_keys::list_api_keys(&local, tenancy, "alice").await.unwrap();
        api_keys::delete_api_key(&local, tenancy, "alice", &keys[0].fingerprint).await.unwrap();
        assert_eq!(cause(signs(&token, 20).await), SignatureFailure::UnknownKey);
    }
}
