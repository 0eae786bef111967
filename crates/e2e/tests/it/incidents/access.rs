//! Who may do what.

use std::os::unix::fs::PermissionsExt as _;

use bytes::Bytes;
use http::{Response, StatusCode};
use serde_json::{Value, json};
use tokio::net::UnixStream;
use wharfinger_e2e::raw;
use wharfinger_e2e::upload::blob_matches;
use wharfinger_testkit::http::{Client, IMAGE_MANIFEST, descriptor, digest, expect, text};
use wharfinger_testkit::program::{Bootstrap, EngineKind, Program};

use crate::answers::{is, json_of, send};

const LAYER: Bytes = Bytes::from_static(b"a layer");

/// A request over the control socket.
async fn control(program: &Program, method: &str, target: &str, body: &Value) -> Response<Bytes> {
    let socket = UnixStream::connect(program.data_dir().join("control.sock")).await.unwrap();
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let length = body.len().to_string();
    let headers = [("content-type", "application/json"), ("content-length", length.as_str())];
    let head = raw::head(&program.anonymous(), method, target, &headers);
    raw::parse(&raw::exchange_over(socket, format!("{head}{body}").as_bytes()).await)
}

fn stranger(program: &Program) -> (String, Client) {
    let other = Bootstrap::read(&program.admin(&["tenancy", "create", "other"]));
    let name = format!("{}/{}", other.namespace, other.username);
    let client = program.anonymous().basic(&name, &other.auth_token);
    (other.namespace, client)
}

#[tokio::test(flavor = "multi_thread")]
async fn cve_2026_41888_every_delete_needs_the_right_to_delete() {
    let program = Program::start(EngineKind::Sqlite);
    let client = program.administrator();
    let image = program.image("app");
    let manifest = client.push_image(&image, "1", &LAYER).await.unwrap();
    let token = client.token(&[&format!("repository:{image}:pull,push")]).await.unwrap();
    let pusher = program.anonymous().bearer(&token);
    let tag = format!("/v2/{image}/manifests/1");
    for target in [
        tag.clone(),
        format!("/v2/{image}/manifests/{}", digest(&manifest)),
        format!("/v2/{image}/blobs/{}", digest(&LAYER)),
    ] {
        let refused = send(&pusher, "DELETE", &target).await;
        is(&refused, StatusCode::UNAUTHORIZED, "UNAUTHORIZED");
        assert!(text(refused.headers(), "www-authenticate").contains("insufficient_scope"));
        assert_eq!(send(&pusher, "GET", &target).await.status(), StatusCode::OK, "{target}");
    }
    assert_eq!(send(&pusher, "GET", &tag).await.body(), &manifest);
}

async fn cve_2026_32589_an_upload_belongs_to_its_repository(engine: EngineKind) {
    let program = Program::start(engine);
    let client = program.administrator();
    let (namespace, stranger) = stranger(&program);
    let powerless = program.new_user("bob");
    let (own, theirs) = (program.image("app"), format!("{namespace}/app"));
    let elsewhere = program.image("elsewhere");
    for (client, image) in [(&client, &elsewhere), (&stranger, &theirs)] {
        client.start_upload(image).await.unwrap();
    }
    let location = client.start_upload(&own).await.unwrap();
    expect(client.send("PATCH", &location, &[], LAYER).await.unwrap(), StatusCode::ACCEPTED).unwrap();
    let uuid = location.rsplit('/').next().unwrap();
    let in_repository = |image: &str| format!("/v2/{image}/blobs/uploads/{uuid}");
    for (who, image, status, code) in [
        (&client, &elsewhere, StatusCode::NOT_FOUND, "BLOB_UPLOAD_UNKNOWN"),
        (&stranger, &theirs, StatusCode::NOT_FOUND, "BLOB_UPLOAD_UNKNOWN"),
        (&stranger, &own, StatusCode::FORBIDDEN, "DENIED"),
        (&powerless, &own, StatusCode::FORBIDDEN, "DENIED"),
        (&program.anonymous(), &own, StatusCode::UNAUTHORIZED, "UNAUTHORIZED"),
    ] {
        let target = in_repository(image);
        for (method, query, body) in [
            ("GET", String::new(), ""),
            ("PATCH", String::new(), "theirs"),
            ("PUT", format!("?digest={}", digest(&LAYER)), ""),
            ("PUT", format!("?digest={}", digest(b"a layertheirs")), "theirs"),
            ("DELETE", String::new(), ""),
        ] {
            let answer = who.send(method, &format!("{target}{query}"), &[], body).await.unwrap();
            is(&answer, status, code);
            assert_eq!(answer.headers().get("range"), None, "{method} {target}");
        }
    }
    let range = send(&client, "GET", &location).await;
    assert_eq!(text(range.headers(), "range"), "0-6", "nothing of it has changed");
    let closed = send(&client, "PUT", &format!("{location}?digest={}", digest(&LAYER))).await;
    assert_eq!(closed.status(), StatusCode::CREATED);
    assert!(blob_matches(&client, &own, &LAYER).await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn cve_2022_31667_an_id_of_another_owner_is_unknown() {
    let program = Program::start(EngineKind::Sqlite);
    let (namespace, _) = stranger(&program);
    let alice = program.new_user("alice");
    let _bob = program.new_user("bob");
    program.admin(&["--tenancy", &namespace, "user", "create", "alice"]);
    let id = program.admin(&["auth-token", "list", "--user", "alice"])[0]["id"].clone();
    let id = id.as_str().unwrap();
    let unknown = "ocid1.credential.oc1..none";
    for arguments in [
        &["auth-token", "delete", "--user", "bob", id][..],
        &["--tenancy", &namespace, "auth-token", "delete", "--user", "alice", id],
        &["auth-token", "delete", "--user", "alice", unknown],
    ] {
        let output = program.admin_output(arguments);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success(), "{arguments:?}");
        // The id of another is as unknown as one that never was.
        let id = arguments.last().unwrap();
        assert!(said.replace(id, "ID").contains("auth token `ID` does not exist"), "{arguments:?}: {said}");
    }
    assert_eq!(send(&alice, "GET", "/v2/").await.status(), StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn cve_2024_9683_every_byte_of_a_password_counts() {
    let program = Program::start(EngineKind::Sqlite);
    let Bootstrap { namespace, username, auth_token } = &program.bootstrap;
    let name = format!("{namespace}/{username}");
    let status = async |password: &str| {
        send(&program.anonymous().basic(&name, password), "GET", "/v2/").await.status()
    };
    assert_eq!(status(auth_token).await, StatusCode::OK);
    for password in [
        format!("{auth_token}x"),
        format!("{auth_token}\u{0}"),
        format!("{auth_token}{}", "x".repeat(100)),
        format!("{auth_token} "),
        auth_token[..auth_token.len() - 1].to_owned(),
        auth_token.to_uppercase(),
        "x".repeat(10_000),
    ] {
        assert_eq!(status(&password).await, StatusCode::UNAUTHORIZED, "{} bytes", password.len());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn cve_2026_4404_no_default_credential_opens_anything() {
    // What is guessed by the dozen would be answered ever more slowly.
    let settings = [("WHARFINGER__LIMITS__FAILED_LOGINS_PER_MINUTE", "0")];
    let [program, other] = [0, 1].map(|_| Program::start_with(EngineKind::Sqlite, &settings));
    assert_ne!(program.bootstrap.auth_token, other.bootstrap.auth_token);
    assert!(program.bootstrap.auth_token.len() >= 16, "long enough not to be guessed");
    let bootstrap = program.data_dir().join("bootstrap.json").metadata().unwrap();
    assert_eq!(bootstrap.permissions().mode() & 0o777, 0o600);
    let namespace = &program.bootstrap.namespace;
    for name in ["admin", "root", "administrator", "wharfinger", "test", "local administrator"] {
        for password in
            ["", "admin", "password", "changeme", "Harbor12345", "wharfinger", "root", "test", name]
        {
            for name in [format!("{namespace}/{name}"), name.to_owned()] {
                let answer = send(&program.anonymous().basic(&name, password), "GET", "/v2/").await;
                assert_eq!(answer.status(), StatusCode::UNAUTHORIZED, "{name}:{password}");
            }
        }
    }
    let theirs = program.anonymous().basic(&format!("{namespace}/admin"), &other.bootstrap.auth_token);
    assert_eq!(send(&theirs, "GET", "/v2/").await.status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test(flavor = "multi_thread")]
async fn cve_2019_16097_a_field_that_would_grant_is_refused() {
    let program = Program::start(EngineKind::Sqlite);
    for (method, target, mut body) in [
        ("POST", "/api/v1/users", json!({ "name": "eve" })),
        ("PATCH", "/api/v1/users/admin", json!({ "isActive": true })),
        ("POST", "/api/v1/users/admin/auth-tokens", json!({ "description": "eve" })),
        ("POST", "/api/v1/groups", json!({ "name": "eve" })),
        ("POST", "/api/v1/repositories", json!({ "displayName": "eve" })),
        ("PATCH", "/api/v1/repositories/eve", json!({ "isPublic": false })),
        ("POST", "/api/v1/tenancies", json!({ "name": "eve" })),
    ] {
        for field in
            ["isAdministrator", "is_administrators", "tenancyId", "id", "createdBy", "hash", "domain"]
        {
            body[field] = json!("1");
            let refused = control(&program, method, target, &body).await;
            assert_eq!(refused.status(), StatusCode::BAD_REQUEST, "{method} {target} {body}: {refused:?}");
            assert_eq!(json_of(&refused)["code"], "InvalidParameter");
            body.as_object_mut().unwrap().remove(field);
        }
    }
    let users = program.admin(&["user", "list"]);
    assert_eq!(users.as_array().unwrap().len(), 1, "{users}");
}

#[tokio::test(flavor = "multi_thread")]
async fn cve_2025_30086_a_list_is_filtered_by_nothing_hidden() {
    let program = Program::start(EngineKind::Sqlite);
    let client = program.administrator();
    let image = program.image("app");
    client.push_image(&image, "1", &LAYER).await.unwrap();
    let filters = ["q=hash~1", "hash=1", "filter[auth_token]=x", "sort=hash", "order=secret", "select=hash"];
    for target in ["/v2/_catalog".to_owned(), format!("/v2/{image}/tags/list")] {
        let plain = send(&client, "GET", &target).await;
        for filter in filters {
            let filtered = send(&client, "GET", &format!("{target}?{filter}")).await;
            assert_eq!((filtered.status(), filtered.body()), (plain.status(), plain.body()), "{filter}");
        }
    }
    for target in ["/api/v1/users", "/api/v1/users/admin/auth-tokens", "/api/v1/repositories"] {
        let plain = control(&program, "GET", target, &Value::Null).await;
        assert_eq!(plain.status(), StatusCode::OK);
        let shown = String::from_utf8_lossy(plain.body()).into_owned();
        assert!(!shown.contains("hash") && !shown.contains(&program.bootstrap.auth_token), "{shown}");
        for filter in filters {
            let filtered = control(&program, "GET", &format!("{target}?{filter}"), &Value::Null).await;
            assert_eq!((filtered.status(), filtered.body()), (plain.status(), plain.body()), "{filter}");
        }
    }
}

async fn cve_2024_22261_input_reaches_the_database_as_values_only(engine: EngineKind) {
    let program = Program::start(engine);
    let client = program.administrator();
    let image = program.image("app");
    let manifest = client.push_image(&image, "1", &LAYER).await.unwrap();
    let subject = digest(&manifest);
    for input in
        ["'", "' OR '1'='1", "1'; DROP TABLE tag; --", "\\", "$1", "%", "_", "\u{0}", "\u{fffd}'", "?1"]
    {
        let encoded: String = input.bytes().map(|byte| format!("%{byte:02X}")).collect();
        for target in [
            format!("/v2/{image}/tags/list?last={encoded}"),
            format!("/v2/{image}/tags/list?n={encoded}"),
            format!("/v2/_catalog?last={encoded}"),
            format!("/v2/{image}/referrers/{subject}?artifactType={encoded}"),
            format!("/v2/{image}/referrers/{subject}?after={encoded}"),
            format!("/v2/{image}/manifests/{encoded}"),
            format!("/v2/{image}/blobs/{encoded}"),
            format!("/v2/{image}/blobs/uploads/{encoded}"),
            format!("/v2/{}/tags/list", program.image(&encoded)),
            format!("/20180419/docker/token?service={encoded}&scope={encoded}&account={encoded}"),
        ] {
            let answer = send(&client, "GET", &target).await;
            assert!(answer.status().as_u16() < 500, "{target}: {answer:?}");
        }
        for (name, password) in [
            (format!("{}/{input}", program.bootstrap.namespace), "x".to_owned()),
            (format!("{input}/admin"), "x".to_owned()),
            (format!("{}/admin", program.bootstrap.namespace), input.to_owned()),
        ] {
            let answer = send(&program.anonymous().basic(&name, &password), "GET", "/v2/").await;
            is(&answer, StatusCode::UNAUTHORIZED, "UNAUTHORIZED");
        }
        let odd = json!({ "schemaVersion": 2, "mediaType": IMAGE_MANIFEST, "artifactType": input, "layers": [],
                          "config": descriptor(input, b"{}"), "subject": descriptor(IMAGE_MANIFEST, &manifest),
                          "annotations": { input: input } });
        let put = client.send("PUT", &format!("/v2/{image}/manifests/odd"), &[], odd.to_string()).await;
        assert!(put.unwrap().status().as_u16() < 500, "{odd}");
    }
    let tags = send(&client, "GET", &format!("/v2/{image}/tags/list")).await;
    assert_eq!(json_of(&tags)["tags"][0], "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_for_a_deleted_repository_is_nothing_to_its_successor() {
    let program = Program::start(EngineKind::Sqlite);
    program.admin(&["repository", "create", "app", "--public"]);
    let image = program.image("app");
    program.administrator().push_image(&image, "1", &LAYER).await.unwrap();
    let target = format!("/v2/{image}/manifests/1");
    let powerless = program.new_user("bob");
    let scope = format!("repository:{image}:pull");
    let mut tokens = Vec::new();
    for client in [program.anonymous(), powerless] {
        let token = client.bearer(&client.token(&[&scope]).await.unwrap());
        assert_eq!(send(&token, "GET", &target).await.status(), StatusCode::OK);
        tokens.push(token);
    }
    program.admin(&["repository", "delete", "app"]);
    program.administrator().push_image(&image, "1", &LAYER).await.unwrap();
    for (token, status) in tokens.iter().zip([StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN]) {
        for target in [&target, &format!("/v2/{image}/blobs/{}", digest(&LAYER))] {
            assert_eq!(send(token, "GET", target).await.status(), status, "{target}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_name_carries_a_privilege() {
    let program = Program::start(EngineKind::Sqlite);
    let image = program.image("app");
    program.administrator().push_image(&image, "1", &LAYER).await.unwrap();
    for name in [
        "root",
        "administrator",
        "Administrators",
        "local-administrator",
        "anonymous",
        "scanner-1",
        "robot-scanner",
        "Admin",
        "BEARER_TOKEN",
    ] {
        let user = program.new_user(name);
        for client in [&user, &user.bearer(&user.token(&[]).await.unwrap())] {
            is(
                &send(client, "GET", &format!("/v2/{image}/tags/list")).await,
                StatusCode::FORBIDDEN,
                "DENIED",
            );
            let push = send(client, "POST", &format!("/v2/{image}/blobs/uploads/")).await;
            is(&push, StatusCode::FORBIDDEN, "DENIED");
        }
    }
}

wharfinger_e2e::on_each_engine! {
    cve_2026_32589_an_upload_belongs_to_its_repository
    cve_2024_22261_input_reaches_the_database_as_values_only
}
