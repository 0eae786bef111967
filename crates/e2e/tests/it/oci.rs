//! Oracle's own command line and SDK work against the program, and what they never send is refused.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http::{Response, StatusCode};
use serde_json::{Value, json};
use wharfinger_httpsig::KeyId;
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

#[test]
fn the_command_that_the_first_start_prints_works() {
    let program = Program::start(EngineKind::Sqlite);
    let data_dir = program.data_dir();
    // It is printed a moment after the program is ready.
    let line = (0..1_000).find_map(|_| {
        let printed = fs::read_to_string(data_dir.parent().unwrap().join("stdout.log")).unwrap();
        let whole = printed.lines().filter(|_| printed.ends_with('\n'));
        let line = whole.filter_map(|line| line.trim().strip_prefix("oci ")).next().map(str::to_owned);
        line.or_else(|| {
            std::thread::sleep(Duration::from_millis(10));
            None
        })
    });
    let line = line.unwrap();
    let output = oracle("oci", &data_dir).arg("--no-retry").args(line.split(' ')).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let users: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(users["data"][0]["name"], "admin");
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

    // Tags of another form; the message names the field.
    let create = json!({ "compartmentId": admin.tenancy, "name": "tagged", "description": "" });
    for (field, tags) in [
        ("freeformTags", json!({ "a": 1 })),
        ("freeformTags", json!({ "a": null })),
        ("definedTags", json!({ "Ops": "x" })),
        ("definedTags", json!({ "Ops": ["x"] })),
    ] {
        let mut body = create.clone();
        body[field] = tags;
        let answer = admin.send("POST", "/20160918/groups", &body.to_string()).await;
        is(&answer, StatusCode::BAD_REQUEST, "InvalidParameter");
        assert!(json_of(&answer)["message"].as_str().unwrap().contains(field), "{answer:?}");
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

/// `METHOD path body`; in braces what is there, or a name of nothing.
const REQUESTS: &str = r#"
GET /users?compartmentId={tenancy}
POST /users {"compartmentId":"{tenancy}","name":"made","description":""}
GET /users/{user}
PUT /users/{user} {"description":"changed"}
PUT /users/{user}/state {"blocked":true}
PUT /users/{user}/capabilities {"canUseApiKeys":false}
DELETE /users/{user}
GET /users/{user}/authTokens
POST /users/{user}/authTokens {"description":"made"}
PUT /users/{user}/authTokens/{token} {"description":"changed"}
DELETE /users/{user}/authTokens/{token}
GET /users/{user}/apiKeys
POST /users/{user}/apiKeys {"key":"made"}
DELETE /users/{user}/apiKeys/{fingerprint}
GET /groups?compartmentId={tenancy}
POST /groups {"compartmentId":"{tenancy}","name":"made","description":""}
GET /groups/{group}
PUT /groups/{group} {"description":"changed"}
DELETE /groups/{group}
GET /userGroupMemberships?compartmentId={tenancy}&groupId={group}
GET /userGroupMemberships?compartmentId={tenancy}&userId={user}
POST /userGroupMemberships {"userId":"{user}","groupId":"{group}"}
GET /userGroupMemberships/{membership}
DELETE /userGroupMemberships/{membership}
GET /tenancies/{tenancy}
GET /tenancies/{tenancy}/regionSubscriptions
GET /availabilityDomains?compartmentId={tenancy}
GET /compartments/{tenancy}
POST /compartments {"compartmentId":"{tenancy}","name":"made","description":""}
PUT /compartments/{tenancy} {"description":"changed"}
DELETE /compartments/{tenancy}
POST /compartments/{tenancy}/actions/moveCompartment {"targetCompartmentId":"{tenancy}"}
GET /policies/{policy}
POST /policies {"compartmentId":"{tenancy}","name":"made","description":"","statements":["Allow group a to inspect users in tenancy"]}
PUT /policies/{policy} {"description":"changed"}
DELETE /policies/{policy}
GET /networkSources?compartmentId={tenancy}
GET /networkSources/{networksource}
POST /networkSources {"compartmentId":"{tenancy}","name":"made","description":""}
PUT /networkSources/{networksource} {"description":"changed"}
DELETE /networkSources/{networksource}
GET /dynamicGroups?compartmentId={tenancy}
GET /dynamicGroups/{dynamicgroup}
POST /dynamicGroups {"compartmentId":"{tenancy}","name":"made","description":"","matchingRule":"resource.id = 'x'"}
PUT /dynamicGroups/{dynamicgroup} {"description":"changed"}
DELETE /dynamicGroups/{dynamicgroup}
GET /tagNamespaces?compartmentId={tenancy}&includeSubcompartments=true
GET /tagNamespaces/{tagnamespace}
POST /tagNamespaces {"compartmentId":"{tenancy}","name":"made","description":""}
PUT /tagNamespaces/{tagnamespace} {"isRetired":true}
DELETE /tagNamespaces/{tagnamespace}
POST /tagNamespaces/{tagnamespace}/actions/cascadeDelete
POST /tagNamespaces/{tagnamespace}/actions/changeCompartment {"compartmentId":"{tenancy}"}
GET /tagNamespaces/{tagnamespace}/tags
POST /tagNamespaces/{tagnamespace}/tags {"name":"made","description":""}
GET /tagNamespaces/{tagnamespace}/tags/note
PUT /tagNamespaces/{tagnamespace}/tags/note {"isRetired":true}
DELETE /tagNamespaces/{tagnamespace}/tags/note
"#;

async fn a_user_without_rights_can_not_tell_what_is_there(engine: EngineKind) {
    let program = Program::start(engine);
    let admin = Signer::administrator(&program);
    let powerless = admin.add("powerless").await;
    let first = async |target: &str| {
        let listed = admin.send("GET", &format!("/20160918{target}"), "").await;
        json_of(&listed)[0]["id"].as_str().unwrap_or_default().to_owned()
    };
    let tenancy = &admin.tenancy;
    let group = first(&format!("/groups?compartmentId={tenancy}")).await;
    let memberships = format!("/userGroupMemberships?compartmentId={tenancy}&groupId={group}");
    let KeyId::ApiKey { fingerprint, .. } = &admin.key_id() else { panic!() };
    let office = json!({ "compartmentId": tenancy, "name": "office", "description": "" }).to_string();
    let office = json_of(&admin.send("POST", "/20160918/networkSources", &office).await)["id"].clone();
    let machines = json!({
        "compartmentId": tenancy, "name": "machines", "description": "",
        "matchingRule": "resource.type = 'instance'",
    });
    let machines =
        json_of(&admin.send("POST", "/20160918/dynamicGroups", &machines.to_string()).await)["id"].clone();
    let ops = json!({ "compartmentId": tenancy, "name": "ops", "description": "" }).to_string();
    let ops = json_of(&admin.send("POST", "/20160918/tagNamespaces", &ops).await)["id"].clone();
    let ops = ops.as_str().unwrap().to_owned();
    let note = json!({ "name": "note", "description": "" }).to_string();
    let note = admin.send("POST", &format!("/20160918/tagNamespaces/{ops}/tags"), &note).await;
    assert_eq!(note.status(), StatusCode::OK, "{note:?}");
    let there = [
        ("tagnamespace", ops),
        ("tenancy", tenancy.clone()),
        ("membership", first(&memberships).await),
        ("token", first(&format!("/users/{}/authTokens", admin.user)).await),
        ("policy", first(&format!("/policies?compartmentId={tenancy}")).await),
        ("fingerprint", fingerprint.to_string()),
        ("user", admin.user.clone()),
        ("group", group),
        ("dynamicgroup", machines.as_str().unwrap().to_owned()),
        ("networksource", office.as_str().unwrap().to_owned()),
    ];
    let fill = |text: &str, is_there: bool| {
        there.iter().fold(text.to_owned(), |text, (name, id)| {
            assert!(!id.is_empty(), "there is no {name}");
            let nothing = format!("ocid1.{name}.oc1..none");
            text.replace(&format!("{{{name}}}"), if is_there { id } else { &nothing })
        })
    };
    let records = async || {
        let listed = [
            admin.send("GET", &format!("/20160918/users?compartmentId={tenancy}"), "").await,
            admin.send("GET", &format!("/20160918/groups?compartmentId={tenancy}"), "").await,
            admin.send("GET", &format!("/20160918{memberships}"), "").await,
            admin.send("GET", &format!("/20160918/policies?compartmentId={tenancy}"), "").await,
            admin.send("GET", &format!("/20160918/networkSources?compartmentId={tenancy}"), "").await,
            admin.send("GET", &format!("/20160918/tagNamespaces?compartmentId={tenancy}"), "").await,
        ];
        listed.map(|answer| json_of(&answer))
    };
    let before = records().await;
    for line in REQUESTS.lines().filter(|line| !line.is_empty()) {
        let mut words = line.splitn(3, ' ');
        let (method, path) = (words.next().unwrap(), words.next().unwrap());
        let body = words.next().unwrap_or_default();
        let mut seen = Vec::new();
        for is_there in [true, false] {
            let target = format!("/20160918{}", fill(path, is_there));
            let answer = powerless.send(method, &target, &fill(body, is_there)).await;
            is(&answer, StatusCode::NOT_FOUND, "NotAuthorizedOrNotFound");
            seen.push(json_of(&answer));
        }
        assert_eq!(seen[0], seen[1], "{line}");
    }
    assert_eq!(records().await, before);
}

wharfinger_e2e::on_each_engine! {
    oracles_clients_work
    a_user_without_rights_can_not_tell_what_is_there
    requests_that_clients_never_send_are_refused
    a_signature_gets_a_registry_token_and_the_socket_needs_none
}
