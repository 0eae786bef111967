//! Challenges, credentials and refusals.

use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use tokio::time::Instant;
use wharfinger_e2e::raw;
use wharfinger_testkit::http::{digest, text};

use super::{World, challenge};
use crate::answers::{is, send};

const TOKEN: &str = "/20180419/docker/token";

pub(super) async fn the_ping_is_challenged_although_anybody_may_pull(world: &World) {
    let (image, manifest) = world.public("q1/app").await;
    let pulled = send(&world.anonymous, "GET", &format!("/v2/{image}/manifests/1")).await;
    assert_eq!(pulled.body(), &manifest);
    for target in ["/v2/", "/v2"] {
        let ping = send(&world.anonymous, "GET", target).await;
        is(&ping, StatusCode::UNAUTHORIZED, "UNAUTHORIZED");
        challenge(&ping);
    }
}

pub(super) async fn one_repository_is_pulled_by_anybody_and_pushed_with_a_login(world: &World) {
    let (image, manifest) = world.public("q2/app").await;
    let target = format!("/v2/{image}/manifests/1");
    let scope = format!("repository:{image}:pull");
    let nobody = world.anonymous.bearer(&world.anonymous.token(&[&scope]).await.unwrap());
    assert_eq!(send(&nobody, "GET", &target).await.body(), &manifest);
    assert_eq!(send(&nobody, "GET", "/v2/").await.status(), StatusCode::OK);
    let uploads = format!("/v2/{image}/blobs/uploads/");
    let refused = send(&nobody, "POST", &uploads).await;
    is(&refused, StatusCode::UNAUTHORIZED, "UNAUTHORIZED");
    let scope = challenge(&refused)["scope"].clone();
    let token = world.administrator.token(&[&scope]).await.unwrap();
    let pushed = send(&world.anonymous.bearer(&token), "POST", &uploads).await;
    assert_eq!(pushed.status(), StatusCode::ACCEPTED);
}

pub(super) async fn there_is_one_challenge_and_basic_is_taken_too(world: &World) {
    let (image, manifest) = world.pushed("q3/app").await;
    let target = format!("/v2/{image}/manifests/1");
    for (method, target) in [
        ("GET", "/v2/"),
        ("GET", "/v2/_catalog"),
        ("GET", &target),
        ("HEAD", &target),
        ("PUT", &target),
        ("POST", &format!("/v2/{image}/blobs/uploads/")),
    ] {
        challenge(&send(&world.anonymous, method, target).await);
    }
    let refused = send(&world.anonymous.basic("no", "one"), "GET", TOKEN).await;
    let asks: Vec<_> = refused.headers().get_all("www-authenticate").iter().collect();
    assert_eq!(asks.len(), 1, "{refused:?}");
    let bearer = world.anonymous.bearer(&world.administrator.token(&[]).await.unwrap());
    for client in [&world.administrator, &bearer] {
        assert_eq!(send(client, "GET", &target).await.body(), &manifest);
    }
}

pub(super) async fn a_challenge_has_the_one_form_that_all_can_read(world: &World) {
    let realm = format!("http://{}{TOKEN}", world.program.address());
    let ping = send(&world.anonymous, "GET", "/v2/").await;
    let exactly = format!(r#"Bearer realm="{realm}",service="wharfinger""#);
    assert_eq!(text(ping.headers(), "www-authenticate"), exactly);
    let image = world.image("q4/app");
    for (method, target, scope) in [
        ("GET", format!("/v2/{image}/manifests/1"), format!("repository:{image}:pull")),
        ("HEAD", format!("/v2/{image}/blobs/{}", digest(b"")), format!("repository:{image}:pull")),
        ("POST", format!("/v2/{image}/blobs/uploads/"), format!("repository:{image}:pull,push")),
        ("PUT", format!("/v2/{image}/manifests/1"), format!("repository:{image}:pull,push")),
        ("DELETE", format!("/v2/{image}/manifests/1"), format!("repository:{image}:delete")),
        ("GET", "/v2/_catalog".to_owned(), "registry:catalog:*".to_owned()),
    ] {
        let values = challenge(&send(&world.anonymous, method, &target).await);
        assert_eq!(values["scope"], scope, "{method} {target}");
        for name in ["realm", "service"] {
            let value = values[name].to_lowercase();
            assert!(!value.contains("bearer") && !value.contains("basic"), "{value}");
        }
    }
}

pub(super) async fn an_error_stands_in_a_challenge_only_when_a_token_was_shown(world: &World) {
    let image = world.image("q5/app");
    let target = format!("/v2/{image}/tags/list");
    let wrong = world.anonymous.basic(&world.image("admin"), "wrong");
    for client in [&world.anonymous, &wrong] {
        let values = challenge(&send(client, "GET", &target).await);
        assert_eq!(values.get("error"), None);
    }
    let narrow = world.scoped(&world.image("q5/other"), "pull").await;
    for (client, error) in [(world.anonymous.bearer("none"), "invalid_token"), (narrow, "insufficient_scope")]
    {
        let refused = send(&client, "GET", &target).await;
        is(&refused, StatusCode::UNAUTHORIZED, "UNAUTHORIZED");
        assert_eq!(challenge(&refused)["error"], error);
    }
}

pub(super) async fn the_realm_is_where_the_client_is(world: &World) {
    // What anybody may claim of a proxy does not count.
    let claims = [("x-forwarded-proto", "https"), ("x-forwarded-host", "evil.example")];
    let address = world.program.address().to_string();
    for host in ["registry.example", "registry.example:8443", "[::1]:5000", &address] {
        let headers = [&[("host", host)], &claims[..]].concat();
        let ping = raw::send(&world.anonymous, "GET", "/v2/", &headers, b"").await;
        assert_eq!(challenge(&ping)["realm"], format!("http://{host}{TOKEN}"));
    }
    // A host that would write our header is not repeated.
    for host in ["evil\"", "evil,x", "a b", "evil/x", "user@evil"] {
        let ping = raw::send(&world.anonymous, "GET", "/v2/", &[("host", host)], b"").await;
        let said = text(ping.headers(), "www-authenticate");
        assert!(!said.contains("evil") && !said.contains("a b"), "{host}: {said}");
    }
}

pub(super) async fn the_realm_is_where_the_proxys_client_is(world: &World) {
    let headers = [("x-forwarded-proto", "https"), ("x-forwarded-host", "registry.example")];
    let ping = raw::send(&world.anonymous, "GET", "/v2/", &headers, b"").await;
    assert_eq!(challenge(&ping)["realm"], format!("https://registry.example{TOKEN}"));
    let headers = [("host", "registry.example:8443"), ("x-forwarded-proto", "https")];
    let ping = raw::send(&world.anonymous, "GET", "/v2/", &headers, b"").await;
    assert_eq!(challenge(&ping)["realm"], format!("https://registry.example:8443{TOKEN}"));
}

pub(super) async fn refusals_say_whether_a_login_would_help(world: &World) {
    let (image, _) = world.pushed("q11/app").await;
    let missing = world.image("q11/none");
    let absent = [format!("/v2/{image}/manifests/none"), format!("/v2/{image}/blobs/{}", digest(b"none"))];
    let codes = ["MANIFEST_UNKNOWN", "BLOB_UNKNOWN"];
    for (target, code) in absent.iter().zip(codes) {
        is(&send(&world.administrator, "GET", target).await, StatusCode::NOT_FOUND, code);
        let head = send(&world.administrator, "HEAD", target).await;
        assert_eq!((head.status(), head.body().len()), (StatusCode::NOT_FOUND, 0));
    }
    for image in [&image, &missing] {
        let target = format!("/v2/{image}/manifests/1");
        let unknown = send(&world.anonymous, "GET", &target).await;
        is(&unknown, StatusCode::UNAUTHORIZED, "UNAUTHORIZED");
        let refused = send(&world.powerless, "GET", &target).await;
        is(&refused, StatusCode::FORBIDDEN, "DENIED");
        for (client, status) in [(&world.anonymous, 401), (&world.powerless, 403)] {
            let head = send(client, "HEAD", &target).await;
            assert_eq!((head.status().as_u16(), head.body().len()), (status, 0));
        }
        assert_eq!(refused.headers().get("www-authenticate"), None);
    }
    let target = format!("/v2/{missing}/manifests/1");
    is(&send(&world.administrator, "GET", &target).await, StatusCode::NOT_FOUND, "NAME_UNKNOWN");
}

pub(super) async fn an_empty_name_and_password_is_nobody(world: &World) {
    let (image, manifest) = world.public("q12/app").await;
    let nobody = world.anonymous.authorized("Basic Og==");
    assert_eq!(send(&nobody, "GET", &format!("/v2/{image}/manifests/1")).await.body(), &manifest);
    challenge(&send(&nobody, "GET", "/v2/").await);
    let token = nobody.token(&[&format!("repository:{image}:pull")]).await.unwrap();
    let pulled = send(&nobody.bearer(&token), "GET", &format!("/v2/{image}/manifests/1")).await;
    assert_eq!(pulled.body(), &manifest);
}

/// A hundred log-ins, each over a connection of its own, in the time that one password hash of the slow
/// kind takes a hundred times: a tenth of a second each.
pub(super) async fn a_password_is_cheap_to_show_again(world: &World) {
    let started = Instant::now();
    for _ in 0..100 {
        let answer = raw::send(&world.administrator, "GET", "/v2/", &[], b"").await;
        assert_eq!(answer.status(), StatusCode::OK);
    }
    let took = started.elapsed();
    assert!(took < Duration::from_secs(10), "{took:?}");
}

pub(super) async fn a_mount_from_what_may_not_be_read_is_an_upload(world: &World) {
    let (image, source) = (world.image("q14/app"), world.image("q14/source"));
    let blob = world.administrator.push_blob(&source, &Bytes::from_static(b"q14")).await.unwrap();
    world.administrator.start_upload(&image).await.unwrap();
    for from in ["nosuchtenancy/app".to_owned(), world.image("q14/none"), source.clone()] {
        let target = format!("/v2/{image}/blobs/uploads/?mount={blob}&from={from}");
        let expected = if from == source { StatusCode::CREATED } else { StatusCode::ACCEPTED };
        assert_eq!(send(&world.administrator, "POST", &target).await.status(), expected, "{from}");
    }
    // A token that is too narrow for the source is sent for a wider one.
    let target = format!("/v2/{image}/blobs/uploads/?mount={blob}&from={source}");
    let narrow = world.scoped(&image, "pull,push").await;
    let refused = send(&narrow, "POST", &target).await;
    is(&refused, StatusCode::UNAUTHORIZED, "UNAUTHORIZED");
    let scopes = challenge(&refused)["scope"].clone();
    assert_eq!(scopes, format!("repository:{image}:pull,push repository:{source}:pull"));
    let wide = world.administrator.token(&[&scopes.replace(' ', "%20")]).await.unwrap();
    assert_eq!(send(&world.anonymous.bearer(&wide), "POST", &target).await.status(), StatusCode::CREATED);
}

pub(super) async fn a_pull_token_does_not_push_but_basic_and_an_uncapped_one_do(world: &World) {
    let image = world.image("q24/app");
    let target = format!("/v2/{image}/blobs/uploads/");
    let pull = world.scoped(&image, "pull").await;
    let refused = send(&pull, "POST", &target).await;
    is(&refused, StatusCode::UNAUTHORIZED, "UNAUTHORIZED");
    assert_eq!(challenge(&refused)["error"], "insufficient_scope");
    let uncapped = world.anonymous.bearer(&world.administrator.token(&[]).await.unwrap());
    for client in [&world.administrator, &uncapped] {
        assert_eq!(send(client, "POST", &target).await.status(), StatusCode::ACCEPTED);
    }
}
