//! Who may do what, as a client on the network sees it.

use bytes::Bytes;
use http::{Response, StatusCode};
use serde_json::{Value, json};
use wharfinger_testkit::http::{Client, IMAGE_MANIFEST, expect, text};
use wharfinger_testkit::program::{Bootstrap, EngineKind, Program};

use crate::answers::{code, send};
use crate::signer::Signer;

const LAYER: Bytes = Bytes::from_static(b"a layer that nobody else may see");

/// A server with the private repository `app` and the public one `open`, each with a version `1`.
async fn server(engine: EngineKind) -> Program {
    let program = Program::start(engine);
    let client = program.administrator();
    for repository in ["app", "open"] {
        let image = program.image(repository);
        client.push_image(&image, "1", &LAYER).await.unwrap();
    }
    program.admin(&["repository", "update", "open", "--public", "true"]);
    program
}

async fn status(client: &Client, method: &str, target: &str) -> StatusCode {
    send(client, method, target).await.status()
}

/// What a client can see of an answer, apart from what no two answers share.
fn seen(answer: &Response<Bytes>) -> String {
    let headers: Vec<String> = answer
        .headers()
        .iter()
        .filter(|(name, _)| !["x-request-id", "date"].contains(&name.as_str()))
        .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
        .collect();
    let body = String::from_utf8_lossy(answer.body());
    format!("{} {headers:?} {body}", answer.status())
}

/// Every way to ask for something in a repository.
fn requests(image: &str) -> Vec<(&'static str, String)> {
    let digest = wharfinger_testkit::http::digest(&LAYER);
    vec![
        ("GET", format!("/v2/{image}/tags/list")),
        ("GET", format!("/v2/{image}/manifests/1")),
        ("HEAD", format!("/v2/{image}/manifests/1")),
        ("GET", format!("/v2/{image}/manifests/{digest}")),
        ("PUT", format!("/v2/{image}/manifests/1")),
        ("DELETE", format!("/v2/{image}/manifests/1")),
        ("DELETE", format!("/v2/{image}/manifests/{digest}")),
        ("GET", format!("/v2/{image}/blobs/{digest}")),
        ("HEAD", format!("/v2/{image}/blobs/{digest}")),
        ("DELETE", format!("/v2/{image}/blobs/{digest}")),
        ("POST", format!("/v2/{image}/blobs/uploads/")),
        ("POST", format!("/v2/{image}/blobs/uploads/?digest={digest}")),
        ("POST", format!("/v2/{image}/blobs/uploads/?mount={digest}&from={image}")),
        ("GET", format!("/v2/{image}/blobs/uploads/no-such-session")),
        ("PATCH", format!("/v2/{image}/blobs/uploads/no-such-session")),
        ("PUT", format!("/v2/{image}/blobs/uploads/no-such-session?digest={digest}")),
        ("DELETE", format!("/v2/{image}/blobs/uploads/no-such-session")),
    ]
}

async fn a_private_repository_and_none_look_alike(engine: EngineKind) {
    let program = server(engine).await;
    let user = program.new_user("bob");
    let other = Bootstrap::read(&program.admin(&["tenancy", "create", "other"]));
    let stranger =
        program.anonymous().basic(&format!("{}/{}", other.namespace, other.username), &other.auth_token);
    let there = program.image("app");
    let missing = program.image("xyz");
    let no_tenancy = "nosuchtenancy/app";
    for (client, who, expected) in [
        (program.anonymous(), "anonymous", StatusCode::UNAUTHORIZED),
        (user, "a user without rights", StatusCode::FORBIDDEN),
        (stranger, "another tenancy's user", StatusCode::FORBIDDEN),
    ] {
        let token = client.token(&[]).await.unwrap();
        for client in [client.clone(), client.bearer(&token)] {
            let (missing_requests, foreign_requests) = (requests(&missing), requests(no_tenancy));
            for (index, (method, target)) in requests(&there).iter().enumerate() {
                let others = [
                    (&missing_requests[index].1, missing.as_str()),
                    (&foreign_requests[index].1, no_tenancy),
                ];
                let answer = client.send(method, target, &[], Bytes::new()).await.unwrap();
                assert_eq!(answer.status(), expected, "{who}: {method} {target}");
                if *method != "HEAD" {
                    let expected = match expected {
                        StatusCode::UNAUTHORIZED => "UNAUTHORIZED",
                        _ => "DENIED",
                    };
                    assert_eq!(code(&answer), expected, "{who}: {method} {target}");
                }
                for (other_target, other_name) in others {
                    let other = client.send(method, other_target, &[], Bytes::new()).await.unwrap();
                    assert_eq!(
                        // The client knows the name that it asked for.
                        seen(&answer).replace(&there, "NAME"),
                        seen(&other).replace(other_name, "NAME"),
                        "{who}: {method} {target} against {other_target}"
                    );
                }
            }
        }
    }
}

async fn a_public_repository_is_read_by_anybody_and_written_by_none(engine: EngineKind) {
    let program = server(engine).await;
    let image = program.image("open");
    let user = program.new_user("bob");
    for (client, refusal) in [(program.anonymous(), StatusCode::UNAUTHORIZED), (user, StatusCode::FORBIDDEN)]
    {
        let token = client.token(&[&format!("repository:{image}:pull,push,delete")]).await.unwrap();
        for client in [client.clone(), client.bearer(&token)] {
            let manifest = client.get(&format!("/v2/{image}/manifests/1")).await;
            let manifest = expect(manifest.unwrap(), StatusCode::OK).unwrap();
            let manifest: Value = serde_json::from_slice(manifest.body()).unwrap();
            let layer = manifest["layers"][0]["digest"].as_str().unwrap();
            let blob = client.get(&format!("/v2/{image}/blobs/{layer}")).await;
            assert_eq!(blob.unwrap().body(), &LAYER);
            let tags = format!("/v2/{image}/tags/list");
            assert_eq!(status(&client, "GET", &tags).await, StatusCode::OK);
            for (method, target) in requests(&image) {
                if matches!(method, "GET" | "HEAD") && !target.contains("uploads") {
                    continue;
                }
                assert_eq!(status(&client, method, &target).await, refusal, "{method} {target}");
            }
        }
    }
    program.admin(&["repository", "update", "open", "--public", "false"]);
    let manifest = format!("/v2/{image}/manifests/1");
    assert_eq!(
        status(&program.anonymous(), "GET", &manifest).await,
        StatusCode::UNAUTHORIZED,
        "it is private again at once"
    );
}

async fn a_right_is_lost_at_the_next_request(engine: EngineKind) {
    let program = server(engine).await;
    let tags = format!("/v2/{}/tags/list", program.image("app"));
    let administrator = |name: &str| {
        let user = program.new_user(name);
        program.admin(&["group", "add-user", "Administrators", name]);
        user
    };
    // Each loses something else; the token was issued before.
    for (name, taken, expected) in [
        ("deleted", "user", StatusCode::UNAUTHORIZED),
        ("inactive", "active", StatusCode::UNAUTHORIZED),
        ("tokenless", "auth-token", StatusCode::UNAUTHORIZED),
        ("demoted", "membership", StatusCode::FORBIDDEN),
    ] {
        let user = administrator(name);
        let token = user.bearer(&user.token(&[]).await.unwrap());
        for client in [&user, &token] {
            assert_eq!(status(client, "GET", &tags).await, StatusCode::OK, "{name}");
        }
        match taken {
            "user" => program.admin(&["user", "delete", name]),
            "active" => program.admin(&["user", "update", name, "--active", "false"]),
            "auth-token" => {
                let tokens = program.admin(&["auth-token", "list", "--user", name]);
                let id = tokens[0]["id"].as_str().unwrap();
                program.admin(&["auth-token", "delete", "--user", name, id])
            }
            _ => program.admin(&["group", "remove-user", "Administrators", name]),
        };
        for client in [&user, &token] {
            assert_eq!(status(client, "GET", &tags).await, expected, "{name}");
        }
        if taken == "active" {
            program.admin(&["user", "update", name, "--active", "true"]);
            assert_eq!(status(&token, "GET", &tags).await, StatusCode::OK);
        }
    }
}

async fn a_token_is_no_wider_than_it_was_asked_for(engine: EngineKind) {
    let program = server(engine).await;
    let image = program.image("app");
    let administrator = program.administrator();
    let pull = administrator.token(&[&format!("repository:{image}:pull")]).await.unwrap();
    let pull = administrator.bearer(&pull);
    let manifest = format!("/v2/{image}/manifests/1");
    assert_eq!(status(&pull, "GET", &manifest).await, StatusCode::OK);
    for (method, target) in [
        ("POST", format!("/v2/{image}/blobs/uploads/")),
        ("PUT", manifest.clone()),
        ("DELETE", manifest.clone()),
        ("GET", format!("/v2/{}/tags/list", program.image("other"))),
        ("GET", "/v2/_catalog".to_owned()),
    ] {
        let answer = pull.send(method, &target, &[], Bytes::new()).await.unwrap();
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED, "{method} {target}");
        assert_eq!(code(&answer), "UNAUTHORIZED");
        let challenge = text(answer.headers(), "www-authenticate");
        assert!(challenge.contains(r#"error="insufficient_scope""#), "{challenge}");
        assert!(challenge.contains("scope=\""), "{challenge}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_credentials_are_refused_alike_and_challenged() {
    let program = server(EngineKind::Sqlite).await;
    let namespace = &program.bootstrap.namespace;
    let user = program.new_user("bob");
    program.admin(&["user", "create", "tokenless"]);
    let anonymous = program.anonymous();
    let mut answers = Vec::new();
    for (name, password) in [
        (format!("{namespace}/bob"), "wrong"),
        (format!("{namespace}/bob"), ""),
        (format!("{namespace}/nobody"), "wrong"),
        (format!("{namespace}/tokenless"), "wrong"),
        ("nosuchtenancy/bob".to_owned(), "wrong"),
        ("bob".to_owned(), "wrong"),
        (String::new(), "wrong"),
        (format!("{namespace}/nosuchdomain/bob"), "wrong"),
        (format!("{namespace}/\u{fc}ml\u{e4}ut"), "wr\u{f6}ng"),
    ] {
        let client = anonymous.basic(&name, password);
        for target in ["/v2/", "/20180419/docker/token?service=wharfinger"] {
            let answer = client.get(target).await.unwrap();
            assert_eq!(answer.status(), StatusCode::UNAUTHORIZED, "{name}: {target}");
            assert_eq!(code(&answer), "UNAUTHORIZED");
            assert!(answer.headers().contains_key("www-authenticate"));
        }
        answers.push(seen(&client.get("/v2/").await.unwrap()));
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "{answers:?}");

    // A right password with a name that only looks right.
    assert_eq!(status(&user, "GET", "/v2/").await, StatusCode::OK);
    for garbage in ["not-a-token", "a.b.c", ""] {
        let answer = anonymous.bearer(garbage).get("/v2/").await.unwrap();
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED, "{garbage}");
    }
    let token = user.token(&[]).await.unwrap();
    let (rest, signature) = token.rsplit_once('.').unwrap();
    let altered: String = signature.chars().rev().collect();
    let altered = anonymous.bearer(&format!("{rest}.{altered}"));
    assert_eq!(status(&altered, "GET", "/v2/").await, StatusCode::UNAUTHORIZED);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_form_of_a_login_name_is_the_same_user() {
    let program = server(EngineKind::Sqlite).await;
    let Bootstrap { namespace, username, auth_token } = &program.bootstrap;
    let tags = format!("/v2/{}/tags/list", program.image("app"));
    for name in [
        format!("{namespace}/{username}"),
        format!("{namespace}/Default/{username}"),
        format!("{namespace}/oracleidentitycloudservice/{username}"),
        format!("{namespace}/OracleIdentityCloudService/{username}"),
    ] {
        let client = program.anonymous().basic(&name, auth_token);
        assert_eq!(status(&client, "GET", &tags).await, StatusCode::OK, "{name}");
        let token = client.bearer(&client.token(&[]).await.unwrap());
        assert_eq!(status(&token, "GET", &tags).await, StatusCode::OK, "{name}");
        let form = format!(
            "grant_type=password&service=wharfinger&client_id=test&username={name}&password={auth_token}"
        );
        let headers = [("content-type", "application/x-www-form-urlencoded")];
        let posted = program.anonymous().send("POST", "/20180419/docker/token", &headers, form).await;
        let posted = expect(posted.unwrap(), StatusCode::OK).unwrap();
        let body: Value = serde_json::from_slice(posted.body()).unwrap();
        let token = client.bearer(body["access_token"].as_str().unwrap());
        assert_eq!(status(&token, "GET", &tags).await, StatusCode::OK, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_challenge_is_exactly_one_that_every_client_reads() {
    let program = server(EngineKind::Sqlite).await;
    let realm = format!("http://{}/20180419/docker/token", program.address());
    let anonymous = program.anonymous();
    let base = anonymous.get("/v2/").await.unwrap();
    assert_eq!(base.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(
        text(base.headers(), "www-authenticate"),
        format!(r#"Bearer realm="{realm}",service="wharfinger""#)
    );
    assert_eq!(text(base.headers(), "docker-distribution-api-version"), "registry/2.0");
    let image = program.image("app");
    let pull = anonymous.get(&format!("/v2/{image}/manifests/1")).await;
    assert_eq!(
        text(pull.unwrap().headers(), "www-authenticate"),
        format!(r#"Bearer realm="{realm}",service="wharfinger",scope="repository:{image}:pull""#)
    );
    let push = anonymous.send("POST", &format!("/v2/{image}/blobs/uploads/"), &[], "").await;
    let push = push.unwrap();
    let challenge = text(push.headers(), "www-authenticate");
    assert!(challenge.ends_with(&format!(r#"scope="repository:{image}:pull,push""#)), "{challenge}");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_authorization_headers_are_refused() {
    let program = server(EngineKind::Sqlite).await;
    let client = program.administrator();
    let second = client.authorization().unwrap().to_owned();
    let image = program.image("app");
    for target in [
        "/v2/".to_owned(),
        format!("/v2/{image}/manifests/1"),
        format!("/v2/{}/manifests/1", program.image("open")),
        "/20180419/docker/token?service=wharfinger".to_owned(),
    ] {
        let headers = [("authorization", second.as_str())];
        let answer = client.send("GET", &target, &headers, "").await.unwrap();
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST, "{target}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_catalog_needs_a_login_and_shows_what_may_be_seen() {
    let program = server(EngineKind::Sqlite).await;
    let anonymous = program.anonymous();
    let token = anonymous.bearer(&anonymous.token(&["registry:catalog:*"]).await.unwrap());
    for client in [&anonymous, &token] {
        let answer = client.get("/v2/_catalog").await.unwrap();
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
        let challenge = text(answer.headers(), "www-authenticate");
        assert!(challenge.contains(r#"scope="registry:catalog:*""#), "{challenge}");
    }
    let administrator = program.administrator();
    let scoped = administrator.token(&["registry:catalog:*"]).await.unwrap();
    for client in [&administrator, &administrator.bearer(&scoped)] {
        let answer = expect(client.get("/v2/_catalog").await.unwrap(), StatusCode::OK).unwrap();
        let body: Value = serde_json::from_slice(answer.body()).unwrap();
        let all = [program.image("app"), program.image("open")];
        assert_eq!(body, json!({ "repositories": all }));
    }
    let user = program.new_user("bob");
    let answer = user.get("/v2/_catalog").await.unwrap();
    // Whether refused or answered: what is private is not in it.
    let body = String::from_utf8_lossy(answer.body()).into_owned();
    assert!(!body.contains(&program.image("app")), "{body}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_control_plane_has_no_way_in_from_the_network() {
    let program = server(EngineKind::Sqlite).await;
    for client in [program.anonymous(), program.administrator()] {
        for (method, target) in [
            ("GET", "/api/v1/users"),
            ("POST", "/api/v1/users"),
            ("GET", "/api/v1/repositories"),
            ("POST", "/api/v1/tenancies"),
        ] {
            let answer = client.send(method, target, &[], "").await.unwrap();
            assert_eq!(answer.status(), StatusCode::UNAUTHORIZED, "{method} {target}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blob_of_another_repository_is_not_read_or_taken_over_by_its_digest() {
    let program = server(EngineKind::Sqlite).await;
    let other = Bootstrap::read(&program.admin(&["tenancy", "create", "other"]));
    let stranger =
        program.anonymous().basic(&format!("{}/{}", other.namespace, other.username), &other.auth_token);
    let own = format!("{}/mine", other.namespace);
    let layer = wharfinger_testkit::http::digest(&LAYER);
    stranger.push_image(&own, "1", &Bytes::from_static(b"own")).await.unwrap();
    let blob = format!("/v2/{own}/blobs/{layer}");
    assert_eq!(status(&stranger, "GET", &blob).await, StatusCode::NOT_FOUND);
    let from = program.image("app");
    for query in [format!("mount={layer}&from={from}"), format!("mount={layer}")] {
        let target = format!("/v2/{own}/blobs/uploads/?{query}");
        let status = status(&stranger, "POST", &target).await;
        assert_eq!(status, StatusCode::ACCEPTED, "{query}");
    }
    assert_eq!(status(&stranger, "GET", &blob).await, StatusCode::NOT_FOUND);
    let manifest = wharfinger_testkit::http::image_manifest(b"{}", &[&LAYER]);
    let headers = [("content-type", IMAGE_MANIFEST)];
    let target = format!("/v2/{own}/manifests/stolen");
    let answer = stranger.send("PUT", &target, &headers, manifest).await.unwrap();
    assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
    assert_eq!(code(&answer), "MANIFEST_BLOB_UNKNOWN");
}

/// A user of a domain of its own gets its rights from a policy that names the domain's group, and loses them to
/// one that denies.
async fn a_user_of_a_domain_reads_until_it_is_denied(engine: EngineKind) {
    let program = server(engine).await;
    let administrator = Signer::administrator(&program);
    let tags = format!("/v2/{}/tags/list", program.image("app"));
    let made = program.admin(&["domain", "create", "Partners"]);
    assert_eq!(made["name"], "Partners");
    let partner = program.new_user("Partners/bob");
    let namesake = program.new_user("bob");
    program.admin(&["group", "create", "Partners/Readers"]);
    program.admin(&["group", "add-user", "Partners/Readers", "Partners/bob"]);
    let policy = async |name: &str, statement: &str| {
        let policy = json!({
            "compartmentId": administrator.tenancy, "name": name, "description": name, "statements": [statement],
        });
        let answer = administrator.send("POST", "/20160918/policies", &policy.to_string()).await;
        assert_eq!(answer.status(), StatusCode::OK, "{answer:?}");
    };
    assert_eq!(status(&partner, "GET", &tags).await, StatusCode::FORBIDDEN);
    policy("allow", "Allow group Partners/Readers to read repos in tenancy").await;
    assert_eq!(status(&partner, "GET", &tags).await, StatusCode::OK);
    assert_eq!(status(&namesake, "GET", &tags).await, StatusCode::FORBIDDEN);

    let namespace = program.bootstrap.namespace.as_str();
    let off = program.admin_output(&["tenancy", "update", namespace, "--deny-policies", "false"]);
    assert_eq!(off.status.code(), Some(1));
    let updated = program.admin(&["tenancy", "update", namespace, "--deny-policies", "true"]);
    assert_eq!((&updated["namespace"], &updated["denyPolicies"]), (&json!(namespace), &json!(true)));
    policy("deny", "Deny group Partners/Readers to read repos in tenancy").await;
    assert_eq!(status(&partner, "GET", &tags).await, StatusCode::FORBIDDEN);
    assert_eq!(status(&program.administrator(), "GET", &tags).await, StatusCode::OK);
}

wharfinger_e2e::on_each_engine! {
    a_user_of_a_domain_reads_until_it_is_denied
    a_private_repository_and_none_look_alike
    a_public_repository_is_read_by_anybody_and_written_by_none
    a_right_is_lost_at_the_next_request
    a_token_is_no_wider_than_it_was_asked_for
}
