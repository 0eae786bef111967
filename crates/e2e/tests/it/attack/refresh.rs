//! Refresh tokens: as good as the auth token that each stands for, no longer and no better.

use bytes::Bytes;
use http::{Response, StatusCode};
use serde_json::json;
use wharfinger_e2e::token::{claims, header, token};
use wharfinger_testkit::http::Client;
use wharfinger_testkit::program::{EngineKind, Program};

use super::server::login_form;
use crate::answers::{is, json_of};

async fn post(client: &Client, form: String) -> Response<Bytes> {
    let headers = [("content-type", "application/x-www-form-urlencoded")];
    client.send("POST", "/20180419/docker/token", &headers, form).await.unwrap()
}

/// What the client gets to ask for registry tokens with.
pub(super) async fn refresh_token(client: &Client) -> Option<String> {
    let issued = post(client, format!("{}&access_type=offline", login_form(client))).await;
    assert_eq!(issued.status(), StatusCode::OK, "{issued:?}");
    json_of(&issued).get("refresh_token").map(|token| token.as_str().unwrap().to_owned())
}

async fn a_refresh_token_is_no_better_than_its_auth_token(engine: EngineKind) {
    let program = Program::start_with(engine, &[("WHARFINGER__LIMITS__FAILED_LOGINS_PER_MINUTE", "0")]);
    let administrator = program.administrator();
    let refresh = async |token: &str| {
        let form = format!("grant_type=refresh_token&service=wharfinger&refresh_token={token}");
        post(&program.anonymous(), form).await
    };
    let own = refresh_token(&administrator).await.expect("a refresh token");
    assert_eq!(refresh(&own).await.status(), StatusCode::OK);

    let [gone, inactive] = ["gone", "inactive"].map(|name| program.new_user(name));
    let gones = refresh_token(&gone).await.expect("a refresh token");
    let inactives = refresh_token(&inactive).await.expect("a refresh token");
    for token in [&gones, &inactives] {
        assert_eq!(refresh(token).await.status(), StatusCode::OK);
    }
    let id = program.admin(&["auth-token", "list", "--user", "gone"])[0]["id"].clone();
    program.admin(&["auth-token", "delete", "--user", "gone", id.as_str().unwrap()]);
    program.admin(&["user", "update", "inactive", "--active", "false"]);

    let (head, said, key) = (header(&own), claims(&own), program.token_key().await);
    let (signed, signature) = own.rsplit_once('.').unwrap();
    let registry_token = administrator.token(&[]).await.unwrap();
    let mut other = head.clone();
    other["kid"] = header(&inactives)["kid"].clone();
    let other = token(&other, &said, b"");
    let unsigned = token(&json!({ "alg": "none", "kid": head["kid"] }), &said, b"");
    let unsigned = format!("{}.", unsigned.rsplit_once('.').unwrap().0);
    for (what, token) in [
        ("of an auth token that was deleted", gones),
        ("of a user who is inactive", inactives),
        ("signed with nothing", token(&head, &said, b"")),
        ("signed with the key of registry tokens", token(&head, &said, &key.secret)),
        ("of that key's id", token(&json!({ "alg": "HS256", "kid": key.kid }), &said, &key.secret)),
        ("of another's credential", other),
        ("without algorithm", unsigned),
        ("without signature", signed.to_owned()),
        ("with a signature cut short", format!("{signed}.{}", &signature[..signature.len() - 2])),
        ("that is a registry token", registry_token.clone()),
        ("that is an auth token", program.bootstrap.auth_token.clone()),
        ("that is nothing", String::new()),
    ] {
        let refused = refresh(&token).await;
        is(&refused, StatusCode::UNAUTHORIZED, "UNAUTHORIZED");
        assert!(refused.headers().contains_key("www-authenticate"), "{what}");
    }
    // What is exchanged outlives nothing that was shown.
    let shown = program.anonymous().basic("BEARER_TOKEN", &registry_token);
    assert_eq!(refresh_token(&shown).await, None);
    assert_eq!(refresh(&own).await.status(), StatusCode::OK);
}

wharfinger_e2e::on_each_engine! { a_refresh_token_is_no_better_than_its_auth_token }
