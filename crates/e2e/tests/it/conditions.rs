//! Policies that look at where a request comes from, what it asks, and at tags, against the real program.

use bytes::Bytes;
use http::StatusCode;
use serde_json::{Value, json};
use wharfinger_testkit::http::{Client, digest};
use wharfinger_testkit::program::{EngineKind, Program};

use crate::answers::json_of;
use crate::signer::Signer;

const OFFICE: &str = "10.1.0.7";
const ELSEWHERE: &str = "192.0.2.1";

/// Makes something in the tenancy; answers with its OCID.
async fn create(admin: &Signer, kind: &str, mut details: Value) -> String {
    details["compartmentId"] = admin.tenancy.clone().into();
    details["description"] = "".into();
    let answer = admin.send("POST", &format!("/20160918/{kind}"), &details.to_string()).await;
    assert_eq!(answer.status(), StatusCode::OK, "{answer:?}");
    json_of(&answer)["id"].as_str().unwrap().to_owned()
}

/// A server on which the group of `bob` reads from the office only, and its repository `app`; the source.
async fn server(program: &Program, networks: &[&str]) -> (Signer, Client, String) {
    let admin = Signer::administrator(program);
    let office = json!({ "name": "office", "publicSourceList": networks });
    let source = create(&admin, "networkSources", office).await;
    create(&admin, "groups", json!({ "name": "Builders" })).await;
    let statement =
        "Allow group Builders to read repos in tenancy where request.networkSource.name = 'office'";
    create(&admin, "policies", json!({ "name": "office", "statements": [statement] })).await;
    let bob = program.new_user("bob");
    program.admin(&["group", "add-user", "Builders", "bob"]);
    let image = program.image("app");
    program.administrator().push_image(&image, "1", &Bytes::from_static(b"a layer")).await.unwrap();
    let token = bob.token(&[&format!("repository:{image}:pull")]).await.unwrap();
    (admin, bob.bearer(&token), source)
}

/// What a pull is answered, if these are the addresses in `X-Forwarded-For`.
async fn pull(program: &Program, client: &Client, forwarded: &str) -> StatusCode {
    let headers = [("x-forwarded-for", forwarded)];
    let headers = if forwarded.is_empty() { &headers[..0] } else { &headers[..] };
    let target = format!("/v2/{}/manifests/1", program.image("app"));
    client.send("GET", &target, headers, Bytes::new()).await.unwrap().status()
}

async fn a_forwarded_address_counts_from_a_trusted_proxy_only(engine: EngineKind) {
    let behind_proxy = Program::start_with(engine, &[("WHARFINGER__SERVER__TRUSTED_PROXIES", "127.0.0.1")]);
    let (_, bob, _) = server(&behind_proxy, &["10.1.0.0/16"]).await;
    for (forwarded, expected) in [
        (OFFICE, StatusCode::OK),
        (ELSEWHERE, StatusCode::FORBIDDEN),
        (&format!("{OFFICE}, {ELSEWHERE}"), StatusCode::FORBIDDEN),
        (&format!("{ELSEWHERE}, {OFFICE}"), StatusCode::OK),
        ("", StatusCode::FORBIDDEN),
    ] {
        assert_eq!(pull(&behind_proxy, &bob, forwarded).await, expected, "{forwarded}");
    }

    let direct = Program::start(engine);
    let (admin, bob, source) = server(&direct, &["10.1.0.0/16"]).await;
    for forwarded in [OFFICE, ""] {
        assert_eq!(pull(&direct, &bob, forwarded).await, StatusCode::FORBIDDEN, "{forwarded}");
    }
    // The same token, from where the client really is.
    let target = format!("/20160918/networkSources/{source}");
    let here = json!({ "publicSourceList": ["127.0.0.0/8"] }).to_string();
    assert_eq!(admin.send("PUT", &target, &here).await.status(), StatusCode::OK);
    assert_eq!(pull(&direct, &bob, "").await, StatusCode::OK);
    assert_eq!(pull(&direct, &bob, ELSEWHERE).await, StatusCode::OK);
    assert_eq!(admin.send("DELETE", &target, "").await.status(), StatusCode::NO_CONTENT);
    assert_eq!(pull(&direct, &bob, "").await, StatusCode::FORBIDDEN);
}

async fn a_policy_for_an_operation_gives_no_other(engine: EngineKind) {
    let program = Program::start(engine);
    let admin = Signer::administrator(&program);
    let carol = admin.add("carol").await;
    let bob = program.new_user("bob");
    create(&admin, "groups", json!({ "name": "Builders" })).await;
    for user in ["bob", "carol"] {
        program.admin(&["group", "add-user", "Builders", user]);
    }
    let statements = [
        "Allow group Builders to inspect users in tenancy where request.operation = 'GetUser'",
        "Allow group Builders to read repos in tenancy where request.operation = 'ReadDockerRepositoryManifest'",
    ];
    create(&admin, "policies", json!({ "name": "operations", "statements": statements })).await;

    let user = format!("/20160918/users/{}", admin.user);
    let all = format!("/20160918/users?compartmentId={}", admin.tenancy);
    assert_eq!(carol.send("GET", &user, "").await.status(), StatusCode::OK);
    assert_eq!(carol.send("GET", &all, "").await.status(), StatusCode::NOT_FOUND);

    let image = program.image("app");
    let layer = Bytes::from_static(b"a layer");
    program.administrator().push_image(&image, "1", &layer).await.unwrap();
    for (target, expected) in [
        (format!("/v2/{image}/manifests/1"), StatusCode::OK),
        (format!("/v2/{image}/blobs/{}", digest(&layer)), StatusCode::FORBIDDEN),
        (format!("/v2/{image}/tags/list"), StatusCode::FORBIDDEN),
    ] {
        assert_eq!(bob.get(&target).await.unwrap().status(), expected, "{target}");
    }
}

async fn defined_tags_decide_from_the_next_request_on(engine: EngineKind) {
    let program = Program::start(engine);
    let admin = Signer::administrator(&program);
    let group = create(&admin, "groups", json!({ "name": "Builders" })).await;
    let ops = create(&admin, "tagNamespaces", json!({ "name": "Ops" })).await;
    let team = json!({ "name": "Team", "description": "" }).to_string();
    let tags = format!("/20160918/tagNamespaces/{ops}/tags");
    assert_eq!(admin.send("POST", &tags, &team).await.status(), StatusCode::OK);
    let statement = "Allow any-user to read repos in tenancy where \
                     request.principal.group.tag.Ops.Team = target.resource.compartment.tag.Ops.Team";
    create(&admin, "policies", json!({ "name": "teams", "statements": [statement] })).await;
    let bob = program.new_user("bob");
    program.admin(&["group", "add-user", "Builders", "bob"]);
    let image = program.image("app");
    program.administrator().push_image(&image, "1", &Bytes::from_static(b"a layer")).await.unwrap();
    let bob = bob.bearer(&bob.token(&[&format!("repository:{image}:pull")]).await.unwrap());

    let change = async |target: String, body: Value| {
        let answer = admin.send("PUT", &format!("/20160918/{target}"), &body.to_string()).await;
        assert_eq!(answer.status(), StatusCode::OK, "{answer:?}");
    };
    let tag = |value: &str| json!({ "definedTags": { "Ops": { "Team": value } } });
    let compartment = format!("compartments/{}", admin.tenancy);
    assert_eq!(pull(&program, &bob, "").await, StatusCode::FORBIDDEN);
    change(format!("groups/{group}"), tag("blue")).await;
    assert_eq!(pull(&program, &bob, "").await, StatusCode::FORBIDDEN);
    change(compartment.clone(), tag("red")).await;
    let explain = ["explain", "--user", "bob", "--permission", "REPOSITORY_READ", "--repository", "app"];
    let explained = program.admin(&explain);
    assert_eq!(explained["allowed"], false, "{explained}");
    assert_eq!(explained["nearest"][0]["clause"], "condition", "{explained}");
    assert_eq!(pull(&program, &bob, "").await, StatusCode::FORBIDDEN);
    change(compartment, tag("Blue")).await;
    assert_eq!(pull(&program, &bob, "").await, StatusCode::OK);
    assert_eq!(program.admin(&explain)["policy"], "teams");

    // Deleted, it is on neither any more.
    change(format!("tagNamespaces/{ops}/tags/team"), json!({ "isRetired": true })).await;
    assert_eq!(pull(&program, &bob, "").await, StatusCode::OK);
    assert_eq!(admin.send("DELETE", &format!("{tags}/team"), "").await.status(), StatusCode::ACCEPTED);
    assert_eq!(pull(&program, &bob, "").await, StatusCode::FORBIDDEN);
}

wharfinger_e2e::on_each_engine! {
    defined_tags_decide_from_the_next_request_on
    a_policy_for_an_operation_gives_no_other
    a_forwarded_address_counts_from_a_trusted_proxy_only
}
