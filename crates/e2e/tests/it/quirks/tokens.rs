//! The token endpoint.

use bytes::Bytes;
use http::{Response, StatusCode};
use serde_json::Value;
use wharfinger_e2e::token::{self, Forger};
use wharfinger_testkit::http::{Client, digest, expect, text};

use super::World;
use crate::answers::{is, json_of, send};

const TOKEN: &str = "/20180419/docker/token";
const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");

async fn get(client: &Client, query: &str) -> Value {
    let answer = send(client, "GET", &format!("{TOKEN}?service=wharfinger{query}")).await;
    json_of(&expect(answer, StatusCode::OK).unwrap())
}

async fn post(world: &World, form: &str) -> Response<Bytes> {
    world.anonymous.send("POST", TOKEN, &[FORM], form.to_owned()).await.unwrap()
}

fn login(world: &World) -> String {
    let bootstrap = &world.program.bootstrap;
    let (namespace, username) = (&bootstrap.namespace, &bootstrap.username);
    format!("username={namespace}%2F{username}&password={}", bootstrap.auth_token)
}

/// Whether a token pulls, pushes and deletes.
async fn rights(world: &World, token: &str, image: &str) -> String {
    let client = world.anonymous.bearer(token);
    let requests = [
        ("GET", format!("/v2/{image}/tags/list"), "pull"),
        ("POST", format!("/v2/{image}/blobs/uploads/"), "push"),
        ("DELETE", format!("/v2/{image}/blobs/{}", digest(b"never pushed")), "delete"),
    ];
    let mut rights = Vec::new();
    for (method, target, right) in requests {
        if send(&client, method, &target).await.status() != StatusCode::UNAUTHORIZED {
            rights.push(right);
        }
    }
    rights.join(",")
}

pub(super) async fn every_form_of_a_scope_is_understood(world: &World) {
    let (image, _) = world.pushed("q7/app").await;
    let other = world.image("q7/other");
    let own = format!("repository:{image}");
    for (scopes, expected) in [
        (vec![], "pull,push,delete"),
        (vec![format!("{own}:pull")], "pull"),
        (vec![format!("{own}:pull"), format!("repository:{other}:pull,push")], "pull"),
        (vec![format!("{own}:pull"), format!("{own}:pull,push")], "pull,push"),
        (vec![format!("{own}:pull {own}:push,pull repository:{other}:pull")], "pull,push"),
        (vec![format!("{own}:push,pull")], "pull,push"),
        (vec![format!("{own}:*")], "pull,push,delete"),
        (vec![format!("{own}:delete")], "delete"),
        (vec![format!("{own}:pull,fly")], "pull"),
        (vec![format!("repository(plugin):{image}:pull")], "pull"),
        (vec![format!("repository:127.0.0.1:5000/{image}:pull")], ""),
        (vec![format!("repository:{other}:*")], ""),
        (vec!["registry:catalog:*".to_owned()], ""),
        (vec![own.clone()], ""),
        (vec!["nonsense".to_owned()], ""),
        (vec!["::".to_owned(), "a:b:c:d:e".to_owned()], ""),
        (vec![format!("{own}:")], ""),
    ] {
        let query: String =
            scopes.iter().map(|scope| format!("&scope={}", scope.replace(' ', "%20"))).collect();
        let issued = get(&world.administrator, &query).await;
        let found = rights(world, issued["token"].as_str().unwrap(), &image).await;
        assert_eq!(found, expected, "GET {scopes:?}");
        // A form names them in one value.
        let form = format!("grant_type=password&service=wharfinger&{}", login(world));
        let scope = if scopes.is_empty() { String::new() } else { format!("&scope={}", scopes.join("+")) };
        let issued = json_of(&expect(post(world, &format!("{form}{scope}")).await, StatusCode::OK).unwrap());
        let found = rights(world, issued["access_token"].as_str().unwrap(), &image).await;
        assert_eq!(found, expected, "POST {scopes:?}");
    }
    // One who may nothing gets a token for everything, and with it nothing.
    let issued = get(&world.powerless, &format!("&scope={own}:*")).await;
    let client = world.anonymous.bearer(issued["token"].as_str().unwrap());
    is(&send(&client, "GET", &format!("/v2/{image}/tags/list")).await, StatusCode::FORBIDDEN, "DENIED");
}

fn is_a_time(text: &str) -> bool {
    let shape: String = text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    shape.starts_with("0000-00-00T00:00:00") && shape.ends_with('Z')
}

fn is_a_token_answer(issued: &Value) {
    let token = issued["access_token"].as_str().unwrap();
    assert!(!token.is_empty());
    assert!(issued["expires_in"].as_i64().unwrap() >= 60, "{issued}");
    let time = issued.get("issued_at").map(|time| time.as_str().unwrap());
    assert!(time.is_none_or(is_a_time), "{issued}");
}

pub(super) async fn a_get_gives_a_token_in_the_fields_that_clients_read(world: &World) {
    for client in [&world.administrator, &world.powerless, &world.anonymous] {
        for query in
            ["", "&account=x&client_id=docker", "&scope=", "&offline_token=true&account=x&client_id=docker"]
        {
            let issued = get(client, query).await;
            is_a_token_answer(&issued);
            assert_eq!(issued["token"], issued["access_token"]);
            assert_eq!(issued.get("refresh_token"), None);
        }
    }
    let refused = send(&world.anonymous.basic("no/body", "x"), "GET", TOKEN).await;
    is(&refused, StatusCode::UNAUTHORIZED, "UNAUTHORIZED");
    assert_eq!(text(refused.headers(), "content-type"), "application/json");
}

pub(super) async fn a_form_gives_a_token(world: &World) {
    let (image, _) = world.pushed("q9/app").await;
    let scope = format!("repository:{image}:pull");
    let form =
        format!("grant_type=password&service=wharfinger&client_id=containerd&scope={scope}&{}", login(world));
    let issued = json_of(&expect(post(world, &form).await, StatusCode::OK).unwrap());
    is_a_token_answer(&issued);
    assert_eq!(issued["scope"], scope);
    assert_eq!(issued.get("refresh_token"), None, "only when asked for");
    assert_eq!(rights(world, issued["access_token"].as_str().unwrap(), &image).await, "pull");
    for wrong in [
        "grant_type=password&service=wharfinger&username=no%2Fbody&password=x",
        "grant_type=password&service=wharfinger",
    ] {
        is(&post(world, wrong).await, StatusCode::UNAUTHORIZED, "UNAUTHORIZED");
    }
    // Clients fall back to GET after any of these.
    for other in ["", "grant_type=authorization_code", "grant_type=", "grant_type=password&grant_type"] {
        let status = post(world, other).await.status();
        assert!(matches!(status.as_u16(), 400 | 401 | 404 | 405), "`{other}`: {status}");
    }
}

pub(super) async fn a_form_gives_a_refresh_token_when_asked_and_takes_it(world: &World) {
    let form = format!("grant_type=password&service=wharfinger&access_type=offline&{}", login(world));
    let issued = json_of(&expect(post(world, &form).await, StatusCode::OK).unwrap());
    let refresh = issued["refresh_token"].as_str().unwrap_or_else(|| panic!("no refresh token: {issued}"));
    takes_refresh_token(world, refresh).await;
    for wrong in ["none", "", issued["access_token"].as_str().unwrap()] {
        let form = format!("grant_type=refresh_token&service=wharfinger&refresh_token={wrong}");
        let status = post(world, &form).await.status();
        assert!(matches!(status.as_u16(), 400 | 401), "`{wrong}`: {status}");
    }
}

/// A refresh token gives tokens of the scope asked for, and is not taken in place of one.
async fn takes_refresh_token(world: &World, refresh: &str) {
    let image = world.image("refreshed/app");
    world.administrator.start_upload(&image).await.unwrap();
    let scope = format!("repository:{image}:pull");
    let form = format!(
        "grant_type=refresh_token&service=wharfinger&client_id=docker&scope={scope}&refresh_token={refresh}"
    );
    let issued = json_of(&expect(post(world, &form).await, StatusCode::OK).unwrap());
    is_a_token_answer(&issued);
    assert_eq!(rights(world, issued["access_token"].as_str().unwrap(), &image).await, "pull");
    let shown = send(&world.anonymous.bearer(refresh), "GET", "/v2/").await;
    is(&shown, StatusCode::UNAUTHORIZED, "UNAUTHORIZED");
}

pub(super) async fn a_token_has_the_claims_of_its_kind_and_ends(world: &World) {
    let image = world.image("q10/app");
    let scope = format!("repository:{image}:pull,push");
    let token = world.administrator.token(&[&scope]).await.unwrap();
    let (header, claims) = (token::header(&token), token::claims(&token));
    assert_eq!(header["alg"], "HS256");
    assert!(header["kid"].is_string(), "{header}");
    assert_eq!((&claims["iss"], &claims["aud"]), (&"wharfinger".into(), &"wharfinger".into()));
    assert!(claims["sub"].as_str().unwrap().starts_with("ocid1.user."), "{claims}");
    let now = token::unix_seconds();
    let time = |name: &str| claims[name].as_i64().unwrap();
    assert!(time("nbf") <= now && time("iat") <= now && time("exp") >= now + 60, "{claims}");
    assert_eq!(claims["access"][0]["type"], "repository");
    assert_eq!(claims["access"][0]["name"], image.as_str());
    assert_eq!(claims["access"][0]["actions"], serde_json::json!(["pull", "push"]));

    let forger = Forger::new(&world.program, &world.administrator).await;
    assert_eq!(
        send(&world.anonymous.bearer(&forger.genuine()), "GET", "/v2/").await.status(),
        StatusCode::OK
    );
    let expired = send(&world.anonymous.bearer(&forger.expired()), "GET", "/v2/").await;
    is(&expired, StatusCode::UNAUTHORIZED, "UNAUTHORIZED");
    assert_eq!(super::challenge(&expired)["error"], "invalid_token");
}
