//! What all answers have in common: pages, ids, figures, and nothing secret in the log.

use bytes::Bytes;
use http::StatusCode;
use serde_json::json;
use wharfinger_testkit::http::{Client, IMAGE_MANIFEST, LAYER, descriptor, expect, text};
use wharfinger_testkit::program::{EngineKind, Program};

use crate::answers::{is, json_of, send};

/// Follows `Link` from the first page to the last.
async fn pages(client: &Client, first: &str, field: &str) -> Vec<Vec<String>> {
    let mut pages = Vec::new();
    let mut next = Some(first.to_owned());
    while let Some(target) = next {
        let answer = expect(send(client, "GET", &target).await, StatusCode::OK).unwrap();
        let entries = json_of(&answer)[field].clone();
        pages.push(serde_json::from_value(entries).unwrap());
        let link = text(answer.headers(), "link");
        next = link.strip_prefix('<').map(|link| {
            let (target, relation) = link.split_once('>').unwrap();
            assert_eq!(relation, "; rel=\"next\"");
            assert!(target.starts_with("/v2/"), "{link}");
            target.to_owned()
        });
        assert!(pages.len() < 50, "the pages never end");
    }
    pages
}

async fn lists_are_paged_in_byte_order(engine: EngineKind) {
    let program = Program::start(engine);
    let client = program.administrator();
    let image = program.image("surface/lists");
    let manifest = client.push_image(&image, "b", &Bytes::from_static(b"layer")).await.unwrap();
    // Bytes, not words: capitals first, and `_` after them.
    let tags = ["10", "9", "B", "Z-1", "_x", "a", "a.1", "a_1", "b", "c"];
    for tag in tags {
        let put = client.put_manifest(&image, tag, IMAGE_MANIFEST, &manifest);
        put.await.unwrap();
    }
    let list = format!("/v2/{image}/tags/list");
    assert_eq!(pages(&client, &list, "tags").await, [tags.to_vec()]);
    let in_fours = pages(&client, &format!("{list}?n=4"), "tags").await;
    assert_eq!(in_fours, [&tags[..4], &tags[4..8], &tags[8..]]);
    // A last page that is full has no successor.
    let in_fives = pages(&client, &format!("{list}?n=5"), "tags").await;
    assert_eq!(in_fives, [&tags[..5], &tags[5..]]);
    let after = pages(&client, &format!("{list}?last=a.1"), "tags").await;
    assert_eq!(after, [&tags[7..]]);
    // `last` need not be an entry.
    let after = pages(&client, &format!("{list}?last=a.0&n=100"), "tags").await;
    assert_eq!(after, [&tags[6..]]);
    let none = pages(&client, &format!("{list}?n=0"), "tags").await;
    assert_eq!(none, [Vec::<String>::new()]);
    for bad in ["n=-1", "n=x", "n=1.5", "n="] {
        let answer = send(&client, "GET", &format!("{list}?{bad}")).await;
        is(&answer, StatusCode::BAD_REQUEST, "PAGINATION_NUMBER_INVALID");
    }
    let huge = pages(&client, &format!("{list}?n=18446744073709551615"), "tags").await;
    assert_eq!(huge, [tags.to_vec()]);
    let name = json_of(&send(&client, "GET", &list).await)["name"].clone();
    assert_eq!(name, json!(image));

    for name in ["surface/b", "surface/a-1", "surface/a_1", "surface/a"] {
        program.admin(&["repository", "create", name]);
    }
    let names = ["a", "a-1", "a_1", "b", "lists"].map(|name| program.image(&format!("surface/{name}")));
    let catalog = pages(&client, "/v2/_catalog", "repositories").await;
    assert_eq!(catalog, [names.to_vec()]);
    let in_twos = pages(&client, "/v2/_catalog?n=2", "repositories").await;
    assert_eq!(in_twos, [&names[..2], &names[2..4], &names[4..]]);
    let missing = send(&client, "GET", &format!("/v2/{image}/no/tags/list")).await;
    is(&missing, StatusCode::NOT_FOUND, "NAME_UNKNOWN");
}

#[tokio::test(flavor = "multi_thread")]
async fn health_and_metrics_are_where_they_belong() {
    let program = Program::start(EngineKind::Sqlite);
    let main = program.anonymous();
    let management = Client::new(program.management());
    for client in [&main, &management] {
        for target in ["/healthz", "/readyz"] {
            assert_eq!(send(client, "GET", target).await.status(), StatusCode::OK);
        }
    }
    assert_eq!(send(&main, "GET", "/metrics").await.status(), StatusCode::NOT_FOUND, "not for the world");
    let client = program.administrator();
    let image = program.image("surface/metrics");
    client.push_image(&image, "1", &Bytes::from_static(b"layer")).await.unwrap();
    let metrics = send(&management, "GET", "/metrics").await;
    let kind = text(metrics.headers(), "content-type");
    assert!(kind.starts_with("application/openmetrics-text"), "{kind}");
    let metrics = String::from_utf8_lossy(metrics.body()).into_owned();
    for line in [
        r#"wharfinger_requests_total{operation="put_manifest",status="201"} 1"#,
        r#"wharfinger_requests_total{operation="start_upload",status="202"} 2"#,
        "# EOF",
    ] {
        assert!(metrics.contains(line), "{line}: {metrics}");
    }
    assert!(!metrics.contains("surface/metrics"), "no names in labels");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_carries_the_request_id_that_the_log_has() {
    let program = Program::start(EngineKind::Sqlite);
    let client = program.administrator();
    let image = program.image("surface/ids");
    let mut ids = Vec::new();
    for (client, method, target) in [
        (&client, "GET", "/v2/".to_owned()),
        (&program.anonymous(), "GET", "/v2/".to_owned()),
        (&client, "POST", format!("/v2/{image}/blobs/uploads/")),
        (&client, "GET", format!("/v2/{image}/manifests/none")),
        (&client, "HEAD", format!("/v2/{image}/manifests/none")),
        (&client, "TRACE", format!("/v2/{image}/manifests/none")),
        (&client, "GET", "/v2/UPPER/manifests/x".to_owned()),
        (&client, "GET", "/no/such/path".to_owned()),
        (&client, "GET", "/healthz".to_owned()),
        (&client, "GET", "/20180419/docker/token".to_owned()),
        (&client, "DELETE", "/20180419/docker/token".to_owned()),
        (&client, "GET", "/api/v1/users".to_owned()),
    ] {
        let answer = send(client, method, &target).await;
        let id = text(answer.headers(), "x-request-id").to_owned();
        assert!(!id.is_empty(), "{method} {target}: {answer:?}");
        assert!(!answer.status().is_server_error(), "{method} {target}");
        if !answer.status().is_success() {
            assert!(program.log().contains(&id), "{method} {target}");
        }
        ids.push(id);
    }
    let count = ids.len();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), count, "no two requests share an id");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_reaches_the_log() {
    let mut program = Program::start_with(EngineKind::Sqlite, &[("WHARFINGER__LOG__FILTER", "trace")]);
    let client = program.administrator();
    let image = program.image("surface/secrets");
    let token = client.token(&[]).await.unwrap();
    client.bearer(&token).push_image(&image, "1", &Bytes::from_static(b"layer")).await.unwrap();
    let user = program.new_user("bob");
    let users_token = user.token(&[]).await.unwrap();
    let namespace = program.bootstrap.namespace.clone();
    let wrong = program.anonymous();
    let wrong = wrong.basic(&format!("{namespace}/bob"), "a-wrong-password");
    assert_eq!(send(&wrong, "GET", "/v2/").await.status(), StatusCode::UNAUTHORIZED);
    let form = format!(
        "grant_type=password&username={namespace}/bob&password=another-wrong-password&service=wharfinger"
    );
    let headers = [("content-type", "application/x-www-form-urlencoded")];
    let refused = wrong.send("POST", "/20180419/docker/token", &headers, form);
    assert_eq!(refused.await.unwrap().status(), StatusCode::UNAUTHORIZED);
    program.stop();
    let log = program.log();
    assert!(log.contains("put_manifest"), "it logs at all: {log}");
    let header = |client: &Client| {
        let (_, value) = client.authorization().unwrap().split_once(' ').unwrap();
        value.to_owned()
    };
    for secret in [
        program.bootstrap.auth_token.clone(),
        token.clone(),
        token.rsplit('.').next().unwrap().to_owned(),
        users_token,
        header(&client),
        header(&user),
        header(&wrong),
        "a-wrong-password".to_owned(),
        "another-wrong-password".to_owned(),
    ] {
        let at = log.lines().find(|line| line.contains(&secret));
        assert!(at.is_none(), "{secret}: {at:?}");
    }
    let stdout = std::fs::read_to_string(program.data_dir().join("../stdout.log")).unwrap();
    assert!(!stdout.contains(&program.bootstrap.auth_token), "{stdout}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_path_or_method_says_what_is_there() {
    let program = Program::start(EngineKind::Sqlite);
    let client = program.administrator();
    let image = program.image("surface/paths");
    let answer = send(&client, "PATCH", &format!("/v2/{image}/tags/list")).await;
    is(&answer, StatusCode::METHOD_NOT_ALLOWED, "UNSUPPORTED");
    assert!(text(answer.headers(), "allow").contains("GET"), "{answer:?}");
    let answer = send(&client, "GET", &format!("/v2/{image}/no/such")).await;
    is(&answer, StatusCode::NOT_FOUND, "UNSUPPORTED");
    let layer = descriptor(LAYER, b"layer");
    let bad = layer["digest"].as_str().unwrap().replace("sha256:", "sha256:zz");
    let answer = send(&client, "GET", &format!("/v2/{image}/blobs/{bad}")).await;
    assert!(matches!(answer.status(), StatusCode::BAD_REQUEST | StatusCode::NOT_FOUND), "{answer:?}");
}

wharfinger_e2e::on_each_engine! { lists_are_paged_in_byte_order }
