//! What is read and written: bounded, whole, and only what was asked for.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use http::StatusCode;
use serde_json::{Value, json};
use wharfinger_e2e::raw;
use wharfinger_e2e::upload::blob_matches;
use wharfinger_testkit::http::{
    Client, Dice, IMAGE_CONFIG, IMAGE_INDEX, IMAGE_MANIFEST, descriptor, digest, image_manifest, text,
};
use wharfinger_testkit::program::{EngineKind, Program};

use crate::answers::{is, json_of, send};

/// What a server may need beside what it had, in bytes.
const MORE_MEMORY: u64 = 48 << 20;

async fn cve_2026_35172_a_blob_deleted_here_stays_there_and_only_there(engine: EngineKind) {
    let mut program = Program::start(engine);
    let [here, there] = ["here", "there"].map(|name| program.image(name));
    let blob = Bytes::from_static(b"shared");
    let shared = digest(&blob);
    let client = program.administrator();
    for image in [&here, &there] {
        client.push_blob(image, &blob).await.unwrap();
        // Read, so that whatever remembers reads does.
        assert!(blob_matches(&client, image, &blob).await.unwrap());
    }
    let target = format!("/v2/{here}/blobs/{shared}");
    assert_eq!(send(&client, "DELETE", &target).await.status(), StatusCode::ACCEPTED);
    let check = async |client: &Client| {
        for _ in 0..2 {
            assert!(blob_matches(client, &there, &blob).await.unwrap(), "it is still in use there");
            for method in ["GET", "HEAD", "DELETE"] {
                assert_eq!(send(client, method, &target).await.status(), StatusCode::NOT_FOUND, "{method}");
            }
        }
        let manifest = image_manifest(&blob, &[]);
        let put = client.put_manifest(&here, "1", IMAGE_MANIFEST, &manifest).await;
        assert!(put.is_err(), "what is deleted is in no image");
    };
    check(&client).await;
    program.stop();
    program.restart();
    check(&program.administrator()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cve_2023_2253_a_page_of_any_size_is_bounded() {
    let program = Program::start(EngineKind::Sqlite);
    let client = program.administrator();
    let image = program.image("app");
    let manifest = client.push_image(&image, "1", &Bytes::from_static(b"layer")).await.unwrap();
    let memory = program.rss_anon();
    let lists = ["/v2/_catalog".to_owned(), format!("/v2/{image}/tags/list")];
    for list in &lists {
        for (n, status) in [
            ("0", 200),
            ("1", 200),
            ("10000", 200),
            ("2147483648", 200),
            ("9223372036854775807", 200),
            ("9223372036854775808", 200),
            ("18446744073709551615", 200),
            ("18446744073709551616", 400),
            ("1000000000000000000000000000000", 400),
            ("-1", 400),
            ("-9223372036854775808", 400),
            ("1e9", 400),
            ("0x7fffffff", 400),
            ("NaN", 400),
        ] {
            let answer = send(&client, "GET", &format!("{list}?n={n}")).await;
            assert_eq!(answer.status().as_u16(), status, "{list}?n={n}");
        }
        let last = "x".repeat(20_000);
        let answer = send(&client, "GET", &format!("{list}?n=1&last={last}")).await;
        assert!(answer.status().as_u16() < 500, "{answer:?}");
    }
    let referrers = format!("/v2/{image}/referrers/{}", digest(&manifest));
    for after in ["-1", "0", "9223372036854775807", "9223372036854775808", "x"] {
        let answer = send(&client, "GET", &format!("{referrers}?after={after}&n=99999999999999")).await;
        assert!(answer.status().as_u16() < 500, "{after}: {answer:?}");
    }
    let grown = program.rss_anon().saturating_sub(memory);
    assert!(grown < MORE_MEMORY, "{grown} bytes for a few small lists");
}

#[tokio::test(flavor = "multi_thread")]
async fn cve_2021_41190_a_document_is_of_one_kind() {
    let program = Program::start(EngineKind::Sqlite);
    let client = program.administrator();
    let image = program.image("app");
    let config = Bytes::from_static(b"{}");
    client.push_blob(&image, &config).await.unwrap();
    let config = descriptor(IMAGE_CONFIG, &config);
    let as_image = json!({ "schemaVersion": 2, "config": config, "layers": [] });
    let as_index = json!({ "schemaVersion": 2, "manifests": [] });
    let with = |document: &Value, field: &str, value: Value| {
        let mut document = document.clone();
        document[field] = value;
        document.to_string()
    };
    let twice =
        format!(r#"{{"schemaVersion":2,"manifests":[],"manifests":[],"config":{config},"layers":[]}}"#);
    let types = format!(
        r#"{{"schemaVersion":2,"mediaType":"{IMAGE_INDEX}","mediaType":"{IMAGE_MANIFEST}","config":{config},"layers":[]}}"#
    );
    for (sent, document) in [
        (IMAGE_MANIFEST, with(&as_image, "manifests", json!([]))),
        (IMAGE_INDEX, with(&as_index, "layers", json!([]))),
        (IMAGE_INDEX, with(&as_index, "config", config.clone())),
        (IMAGE_INDEX, as_image.to_string()),
        (IMAGE_MANIFEST, as_index.to_string()),
        (IMAGE_MANIFEST, with(&as_image, "mediaType", json!(IMAGE_INDEX))),
        (IMAGE_INDEX, with(&as_image, "mediaType", json!(IMAGE_MANIFEST))),
        ("application/json", with(&as_image, "mediaType", json!(IMAGE_INDEX))),
        (IMAGE_MANIFEST, with(&as_image, "fsLayers", json!([]))),
        (IMAGE_MANIFEST, with(&as_image, "schemaVersion", json!(1))),
        ("", twice),
        ("", types),
    ] {
        let target = format!("/v2/{image}/manifests/1");
        let put = client.send("PUT", &target, &[("content-type", sent)], document.clone()).await.unwrap();
        assert_eq!(put.status(), StatusCode::BAD_REQUEST, "{sent}: {document}");
        is(&put, StatusCode::BAD_REQUEST, "MANIFEST_INVALID");
        assert_eq!(send(&client, "GET", &target).await.status(), StatusCode::NOT_FOUND);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn cve_2017_11468_a_manifest_has_an_end() {
    let program = Program::start(EngineKind::Sqlite);
    let client = program.administrator();
    let image = program.image("app");
    client.start_upload(&image).await.unwrap();
    let memory = program.rss_anon();
    let target = format!("/v2/{image}/manifests/1");
    // One byte more than there may be, with its length and without, and one that says it is far longer.
    let body = vec![b' '; (4 << 20) + 1];
    let length = body.len().to_string();
    let chunked = raw::chunked(&body, 64 << 10);
    for (headers, body) in [
        (("content-length", length.as_str()), &body),
        (("transfer-encoding", "chunked"), &chunked),
        (("content-length", "1000000000000"), &body),
    ] {
        let refused = raw::send(&client, "PUT", &target, &[headers], body).await;
        assert_eq!(refused.status(), StatusCode::PAYLOAD_TOO_LARGE, "{headers:?}");
        is(&refused, StatusCode::PAYLOAD_TOO_LARGE, "MANIFEST_INVALID");
    }
    // Nothing is unpacked: this is a gzip member (RFC 1952) that would be spaces.
    let packed = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\x53\x50\x00\x00\x00\x00\x00\x00";
    let headers = [("content-encoding", "gzip"), ("content-type", IMAGE_MANIFEST)];
    let refused = client.send("PUT", &target, &headers, &packed[..]).await.unwrap();
    is(&refused, StatusCode::BAD_REQUEST, "MANIFEST_INVALID");
    // Deep, wide, or a number without end.
    for document in [
        "[".repeat(1 << 20),
        format!("{{\"schemaVersion\":2,\"x\":{}}}", "{\"x\":".repeat(200_000)),
        format!("{{\"schemaVersion\":{}}}", "9".repeat(1 << 20)),
        format!("{{\"schemaVersion\":2,\"manifests\":[{}]}}", vec!["{}"; 500_000].join(",")),
    ] {
        let refused = client.send("PUT", &target, &headers[1..], document).await.unwrap();
        is(&refused, StatusCode::BAD_REQUEST, "MANIFEST_INVALID");
    }
    let grown = program.rss_anon().saturating_sub(memory);
    assert!(grown < MORE_MEMORY, "{grown} bytes for what was refused");
}

#[tokio::test(flavor = "multi_thread")]
async fn odd_signature_tags_and_lost_subjects_break_nothing() {
    let program = Program::start(EngineKind::Sqlite);
    let client = program.administrator();
    let image = program.image("app");
    let manifest = client.push_image(&image, "1", &Bytes::from_static(b"layer")).await.unwrap();
    let hex = digest(&manifest).replace("sha256:", "");
    for tag in [
        "sha256-.sig".to_owned(),
        "sha256-zz.sig".to_owned(),
        "sha256-.".to_owned(),
        "sha512-".to_owned(),
        format!("sha256-{hex}.sig.sig"),
        format!("sha256-{}.att", &hex[..63]),
        format!("sha256-{hex}"),
    ] {
        client.put_manifest(&image, &tag, IMAGE_MANIFEST, &manifest).await.unwrap();
    }
    // An index under the fallback tag whose entries are odd.
    let odd = json!({ "schemaVersion": 2, "mediaType": IMAGE_INDEX, "manifests": [] });
    let odd = odd.to_string().replace("[]", "[ ]");
    client.put_manifest(&image, &format!("sha256-{hex}"), IMAGE_INDEX, &Bytes::from(odd)).await.unwrap();
    for subject in [digest(&manifest), digest(b"never pushed")] {
        let about = json!({ "schemaVersion": 2, "mediaType": IMAGE_MANIFEST, "layers": [],
                            "config": descriptor(IMAGE_CONFIG, b"{}"),
                            "subject": { "mediaType": IMAGE_MANIFEST, "digest": subject, "size": 7 } });
        let about = Bytes::from(about.to_string());
        let pushed = client.put_manifest(&image, &digest(&about), IMAGE_MANIFEST, &about).await.unwrap();
        let referrers = format!("/v2/{image}/referrers/{subject}");
        let listed = send(&client, "GET", &referrers).await;
        assert_eq!(json_of(&listed)["manifests"][0]["digest"], pushed.as_str());
        send(&client, "DELETE", &format!("/v2/{image}/manifests/{pushed}")).await;
        let listed = send(&client, "GET", &referrers).await;
        assert_eq!(json_of(&listed)["manifests"], json!([]));
    }
    // One that is about itself can't be made; one about a blob or what is no digest can be sent.
    for subject in [json!({}), json!(null), json!("x"), json!({ "digest": "sha256:", "size": 1 }), json!([])]
    {
        let about = json!({ "schemaVersion": 2, "config": descriptor(IMAGE_CONFIG, b"{}"), "layers": [], "subject": subject });
        let target = format!("/v2/{image}/manifests/about");
        let status = client.send("PUT", &target, &[], about.to_string()).await.unwrap().status();
        assert!(matches!(status.as_u16(), 201 | 400), "{about}: {status}");
    }
    let log = program.log();
    assert_eq!(
        log.lines().find(|line| line.contains("panicked") || line.contains(r#""level":"ERROR""#)),
        None
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_in_a_manifest_is_never_asked() {
    let program = Program::start(EngineKind::Sqlite);
    let client = program.administrator();
    let image = program.image("app");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let url = format!("http://{}/layer", listener.local_addr().unwrap());
    let config = Bytes::from_static(b"{}");
    client.push_blob(&image, &config).await.unwrap();
    let mut foreign = descriptor("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", b"elsewhere");
    foreign["urls"] = json!([url]);
    let manifest = json!({ "schemaVersion": 2, "mediaType": IMAGE_MANIFEST, "layers": [foreign],
                           "config": descriptor(IMAGE_CONFIG, &config), "annotations": { "url": url } });
    client.put_manifest(&image, "1", IMAGE_MANIFEST, &Bytes::from(manifest.to_string())).await.unwrap();
    let elsewhere = digest(b"elsewhere");
    for (method, target) in [
        ("GET", format!("/v2/{image}/manifests/1")),
        ("GET", format!("/v2/{image}/blobs/{elsewhere}")),
        ("HEAD", format!("/v2/{image}/blobs/{elsewhere}")),
        (
            "POST",
            format!("/v2/{image}/blobs/uploads/?mount={elsewhere}&from={}/x", listener.local_addr().unwrap()),
        ),
        ("GET", format!("/v2/?ns={}", listener.local_addr().unwrap())),
    ] {
        let answer = send(&client, method, &target).await;
        assert!(answer.status().as_u16() < 500, "{target}: {answer:?}");
    }
    let asked = listener.accept();
    assert!(asked.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock), "nobody came");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_path_is_answered_with_a_redirect() {
    let program = Program::start(EngineKind::Sqlite);
    let client = program.administrator();
    for target in [
        "//evil.example",
        "//evil.example/v2/",
        "/\\evil.example",
        "/%5cevil.example",
        "/v2//evil.example/",
        "/v2/%2f%2fevil.example",
        "/v2/?next=//evil.example",
        "/v2/%0d%0alocation:%20//evil.example",
        "/http://evil.example",
        "http://evil.example/v2/",
        "/v2/evil.example@x/tags/list/",
        "/20180419/docker/token/",
    ] {
        let answer = raw::send(&client, "GET", target, &[], b"").await;
        assert!(!answer.status().is_redirection(), "{target}: {answer:?}");
        assert_eq!(text(answer.headers(), "location"), "", "{target}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn cve_2021_3762_no_name_leaves_its_place() {
    let program = Program::start(EngineKind::Sqlite);
    let client = program.administrator();
    let image = program.image("app");
    client.push_image(&image, "1", &Bytes::from_static(b"layer")).await.unwrap();
    let secret = fs::read_to_string(program.data_dir().join("bootstrap.json")).unwrap();
    for climb in [
        "..",
        "../..",
        "..%2f..%2f..%2fbootstrap.json",
        "%2e%2e/%2e%2e/bootstrap.json",
        "..%5c..%5cx",
        "....//....//x",
        "/etc/passwd",
        "%00",
        "a%00b",
    ] {
        for (method, target) in [
            ("GET", format!("/v2/{image}/blobs/{climb}")),
            ("GET", format!("/v2/{image}/manifests/{climb}")),
            ("PUT", format!("/v2/{image}/manifests/{climb}")),
            ("GET", format!("/v2/{image}/blobs/uploads/{climb}")),
            ("PATCH", format!("/v2/{image}/blobs/uploads/{climb}")),
            ("DELETE", format!("/v2/{image}/blobs/uploads/{climb}")),
            ("GET", format!("/v2/{image}/{climb}/tags/list")),
            ("POST", format!("/v2/{image}/{climb}/blobs/uploads/")),
            ("GET", format!("/v2/{climb}/tags/list")),
            ("GET", format!("/v2/{image}/referrers/{climb}")),
            ("GET", format!("/{climb}")),
        ] {
            let answer = raw::send(&client, method, &target, &[("content-length", "0")], b"").await;
            assert!(matches!(answer.status().as_u16(), 400 | 404 | 405), "{method} {target}: {answer:?}");
            let body = String::from_utf8_lossy(answer.body()).into_owned();
            assert!(!body.contains("root:") && !body.contains(&secret), "{target}");
        }
    }
    let repositories = program.admin(&["repository", "list"]);
    assert_eq!(repositories.as_array().unwrap().len(), 1, "{repositories}");
}

/// The files below a directory.
fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_object_is_never_a_whole_answer() {
    let program = Program::start(EngineKind::Sqlite);
    let client = program.administrator();
    let image = program.image("app");
    // One that is read at once, and one that is streamed.
    for (size, number) in [(10_007_u64, 1), (700_003, 2)] {
        for damage in ["cut", "longer", "empty", "flipped", "gone"] {
            let blob = Dice::new(number).bytes(usize::try_from(size).unwrap());
            let blob = Bytes::from([damage.as_bytes(), &blob[damage.len()..]].concat());
            let pushed = client.push_blob(&image, &blob).await.unwrap();
            let objects = files(&program.data_dir().join("objects"));
            let object = objects.iter().find(|path| fs::read(path).unwrap() == blob).expect("its object");
            match damage {
                "cut" => fs::write(object, &blob[..blob.len() - 1]).unwrap(),
                "longer" => fs::write(object, [&blob[..], b"x"].concat()).unwrap(),
                "empty" => fs::write(object, b"").unwrap(),
                "flipped" => {
                    // Read before, so that whatever remembers reads does.
                    assert!(blob_matches(&client, &image, &blob).await.unwrap());
                    let mut flipped = blob.to_vec();
                    flipped[size as usize - 1] ^= 1;
                    fs::write(object, flipped).unwrap();
                }
                _ => fs::remove_file(object).unwrap(),
            }
            let target = format!("/v2/{image}/blobs/{pushed}");
            if damage == "flipped" && number == 2 {
                let broken_off = client.send("GET", &target, &[], "").await;
                assert!(broken_off.is_err(), "{broken_off:?}");
            }
            for headers in [&[][..], &[("range", "bytes=0-9")]] {
                let answer = client.send("GET", &target, headers, "").await.unwrap();
                is(&answer, StatusCode::NOT_FOUND, "BLOB_UNKNOWN");
            }
            // To a pusher it is absent, and what is pushed takes its place.
            let head = send(&client, "HEAD", &target).await;
            assert_eq!(head.status(), StatusCode::NOT_FOUND, "{damage}");
            client.push_blob(&image, &blob).await.unwrap();
            assert!(blob_matches(&client, &image, &blob).await.unwrap(), "{damage}");
        }
    }
}

async fn a_restart_changes_nothing_that_a_client_sees(engine: EngineKind) {
    let mut program = Program::start(engine);
    let image = program.image("app");
    program.admin(&["repository", "create", "open", "--public"]);
    let _user = program.new_user("bob");
    let client = program.administrator();
    for tag in ["1", "2"] {
        client.push_image(&image, tag, &Bytes::from(format!("layer {tag}"))).await.unwrap();
    }
    let location = client.start_upload(&image).await.unwrap();
    client.send("PATCH", &location, &[], "0123456789").await.unwrap();
    send(&client, "DELETE", &format!("/v2/{image}/manifests/1")).await;
    let token = client.token(&[&format!("repository:{image}:pull")]).await.unwrap();
    let seen = async |program: &Program| {
        let client = program.anonymous().bearer(&token);
        let mut seen = Vec::new();
        for target in [
            format!("/v2/{image}/tags/list"),
            format!("/v2/{image}/manifests/1"),
            format!("/v2/{image}/manifests/2"),
        ] {
            let answer = send(&client, "GET", &target).await;
            seen.push(format!("{} {}", answer.status(), String::from_utf8_lossy(answer.body())));
        }
        let session = send(&program.administrator(), "GET", &location).await;
        seen.push(format!("{} {}", session.status(), text(session.headers(), "range")));
        for list in [&["repository", "list"][..], &["user", "list"], &["auth-token", "list", "--user", "bob"]]
        {
            seen.push(program.admin(list).to_string());
        }
        seen
    };
    let before = seen(&program).await;
    program.stop();
    program.restart();
    assert_eq!(seen(&program).await, before, "times, order, sessions and tokens too");
}

wharfinger_e2e::on_each_engine! {
    cve_2026_35172_a_blob_deleted_here_stays_there_and_only_there
    a_restart_changes_nothing_that_a_client_sees
}
