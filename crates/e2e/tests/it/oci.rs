//! Oracle's own command line and SDK work against the program, and what they never send is refused.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;

use bytes::Bytes;
use http::{Response, StatusCode};
use serde_json::json;
use wharfinger_testkit::http::text;
use wharfinger_testkit::program::{EngineKind, Program};

use crate::answers::json_of;
use crate::signatures::oracle;
use crate::signer::Signer;

const LAYER: Bytes = Bytes::from_static(b"a layer pushed with a token for a signature");

async fn oracles_clients_work(engine: EngineKind) {
    let program = Program::start(engine);
    let data_dir = program.data_dir();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/oci_clients.py");
    let mut python = oracle("python", &data_dir);
    python.arg(script).arg(data_dir.join("oci-config")).arg(format!("http://{}", program.address()));
    let output = tokio::task::spawn_blocking(move || python.output().unwrap()).await.unwrap();
    let (printed, errors) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{printed}\n{errors}");

    // The script's user had a registry token, and then deleted the key that it was made with.
    let token = printed.lines().last().unwrap();
    let revoked = program.anonymous().bearer(token).get("/v2/").await.unwrap();
    assert_eq!(revoked.status(), StatusCode::UNAUTHORIZED);
}

fn is(answer: &Response<Bytes>, status: StatusCode, code: &str) {
    assert_eq!(answer.status(), status, "{answer:?}");
    assert_eq!(json_of(answer)["code"], code, "{answer:?}");
    assert!(!text(answer.headers(), "opc-request-id").is_empty(), "{answer:?}");
}

async fn requests_that_clients_never_send_are_refused(engine: EngineKind) {
    let program = Program::start(engine);
    let admin = Signer::administrator(&program);
    let list = format!("/20160918/users?compartmentId={}", admin.tenancy);

    // Not signed, signed for something else, or not at all what is signed.
    let unauthenticated = StatusCode::UNAUTHORIZED;
    is(&admin.client.get(&list).await.unwrap(), unauthenticated, "NotAuthenticated");
    is(&program.administrator().get(&list).await.unwrap(), unauthenticated, "NotAuthenticated");
    let headers = admin.signed("GET", &list, "", 0);
    let other = admin.send_with("GET", &format!("{list}&limit=1"), "", &headers, &[]).await;
    is(&other, unauthenticated, "NotAuthenticated");
    let stale = admin.signed("GET", &list, "", -400);
    is(&admin.send_with("GET", &list, "", &stale, &[]).await, unauthenticated, "NotAuthenticated");
    let create = json!({ "compartmentId": admin.tenancy, "name": "frank", "description": "" }).to_string();
    let headers = admin.signed("POST", "/20160918/users", &create, 0);
    let altered = create.replace("frank", "grace");
    let other = admin.send_with("POST", "/20160918/users", &altered, &headers, &[]).await;
    is(&other, unauthenticated, "NotAuthenticated");
    let image = program.image("a");
    let push = format!("/v2/{image}/blobs/uploads/");
    let headers = admin.signed("POST", &push, "", 0);
    assert_eq!(admin.send_with("POST", &push, "", &headers, &[]).await.status(), unauthenticated);

    // Accepted once.
    let headers = admin.signed("POST", "/20160918/users", &create, 0);
    let created = admin.send_with("POST", "/20160918/users", &create, &headers, &[]).await;
    assert_eq!(created.status(), StatusCode::OK, "{created:?}");
    let repeated = admin.send_with("POST", "/20160918/users", &create, &headers, &[]).await;
    is(&repeated, StatusCode::CONFLICT, "IncorrectState");

    // Bodies.
    for (body, status, code) in [
        ("", StatusCode::BAD_REQUEST, "CannotParseRequest"),
        ("{", StatusCode::BAD_REQUEST, "CannotParseRequest"),
        ("[]", StatusCode::BAD_REQUEST, "InvalidParameter"),
        (r#"{"colour":"red"}"#, StatusCode::BAD_REQUEST, "InvalidParameter"),
        (&" ".repeat((256 << 10) + 1), StatusCode::PAYLOAD_TOO_LARGE, "PayloadTooLarge"),
    ] {
        is(&admin.send("POST", "/20160918/users", body).await, status, code);
    }

    // Paths. A slash at the end of the endpoint doubles the one that follows, and is signed so.
    for target in [format!("/{list}"), list.replace("/users", "//users")] {
        assert_eq!(admin.send("GET", &target, "").await.status(), StatusCode::OK, "{target}");
    }
    is(&admin.send("GET", "/20160918/elephants", "").await, StatusCode::NOT_FOUND, "NotFound");
    is(&admin.client.get("/20990101/users").await.unwrap(), StatusCode::NOT_FOUND, "NotFound");
    let patched = admin.send("PATCH", "/20160918/users", "{}").await;
    is(&patched, StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed");

    // Ids: the client's own, if it is one.
    let headers = admin.signed("GET", &list, "", 0);
    for (id, echoed) in [("abc/def", true), ("a/b/c/d", false), (&"x".repeat(33), false)] {
        let answer = admin.send_with("GET", &list, "", &headers, &[("opc-request-id", id)]).await;
        assert_eq!(text(answer.headers(), "opc-request-id") == id, echoed);
    }
}

async fn a_signature_gets_a_registry_token_and_the_socket_needs_none(engine: EngineKind) {
    let program = Program::start(engine);
    let admin = Signer::administrator(&program);
    let answer = admin.send("GET", "/20180419/docker/token", "").await;
    assert_eq!(answer.status(), StatusCode::OK);
    let token = json_of(&answer)["token"].as_str().unwrap().to_owned();
    // As a bearer, and as the password that `docker login -u BEARER_TOKEN` sends.
    let image = program.image("signed/app");
    program.anonymous().bearer(&token).push_image(&image, "1", &LAYER).await.unwrap();
    let scope = format!("repository:{image}:pull");
    let exchanged = program.anonymous().basic("BEARER_TOKEN", &token).token(&[&scope]).await.unwrap();
    let pulling = program.anonymous().bearer(&exchanged);
    let pulled = pulling.get(&format!("/v2/{image}/manifests/1")).await.unwrap();
    assert_eq!(pulled.status(), StatusCode::OK);

    let mut socket = UnixStream::connect(program.data_dir().join("control.sock")).unwrap();
    let target = format!("/20160918/users/{}/apiKeys", admin.user);
    write!(socket, "GET {target} HTTP/1.1\r\nhost: control\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("BEGIN PUBLIC KEY"), "{answer}");
}

wharfinger_e2e::on_each_engine! {
    oracles_clients_work
    requests_that_clients_never_send_are_refused
    a_signature_gets_a_registry_token_and_the_socket_needs_none
}
