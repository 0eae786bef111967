//! The server that is attacked: what is there to be seen, and what can be seen of it.

use std::fmt;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{Response, StatusCode};
use serde_json::{Value, json};
use wharfinger_e2e::token;
use wharfinger_testkit::http::{Client, IMAGE_MANIFEST, digest, expect, text};
use wharfinger_testkit::program::{Bootstrap, EngineKind, Program};

use crate::answers::send;

const LAYER: Bytes = Bytes::from_static(b"a layer that nobody else may see");
const SMALL: Bytes = Bytes::from_static(b"small");
/// In a repository of its own.
const APART: Bytes = Bytes::from_static(b"apart");

/// A request of the table.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) method: &'static str,
    pub(super) target: &'static str,
    pub(super) body: &'static str,
}

impl Request {
    /// Whether it is about a repository.
    pub(super) fn names_image(&self) -> bool {
        self.target.contains("{image}")
    }
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.target)
    }
}

/// A server with a private repository, uploads in progress, users and another tenancy.
pub(super) struct Server {
    pub(super) program: Program,
    pub(super) image: String,
    pub(super) powerless: Client,
    pub(super) powerless_password: String,
    pub(super) stranger: Client,
    from: String,
    manifest: Bytes,
    session: String,
    doomed: String,
    /// The digest of an image that was deleted from `from`.
    deleted: String,
    /// The id of bob's auth token.
    token: String,
    others: [String; 2],
}

impl Server {
    pub(super) async fn start(engine: EngineKind, settings: &[(&str, &str)]) -> Self {
        // What is forged by the hundred would be answered ever more slowly.
        let unlimited = [("WHARFINGER__LIMITS__FAILED_LOGINS_PER_MINUTE", "0")];
        let program = Program::start_with(engine, &[&unlimited[..], settings].concat());
        let administrator = program.administrator();
        let (image, from) = (program.image("app"), program.image("from"));
        let manifest = administrator.push_image(&image, "1", &LAYER).await.unwrap();
        administrator.push_blob(&from, &APART).await.unwrap();
        let deleted = digest(&administrator.push_image(&from, "deleted", &APART).await.unwrap());
        let path = format!("/v2/{from}/manifests/{deleted}");
        expect(administrator.delete(&path).await.unwrap(), StatusCode::ACCEPTED).unwrap();
        program.admin(&["repository", "create", "gone"]);
        program.admin(&["repository", "delete", "gone"]);
        let mut sessions = Vec::new();
        for _ in 0..2 {
            let location = administrator.start_upload(&image).await.unwrap();
            sessions.push(location.rsplit('/').next().unwrap().to_owned());
        }
        let powerless = program.new_user("bob");
        let token =
            program.admin(&["auth-token", "list", "--user", "bob"])[0]["id"].as_str().unwrap().to_owned();
        let other = Bootstrap::read(&program.admin(&["tenancy", "create", "other"]));
        let name = format!("{}/{}", other.namespace, other.username);
        let stranger = program.anonymous().basic(&name, &other.auth_token);
        let (_, powerless_password) = basic_of(&powerless).unwrap();
        let [session, doomed] = sessions.try_into().unwrap();
        Self {
            others: [program.image("xyz"), "nosuchtenancy/app".to_owned()],
            program,
            image,
            powerless,
            powerless_password,
            stranger,
            from,
            manifest,
            session,
            doomed,
            deleted,
            token,
        }
    }

    /// Repositories that are not there, in a tenancy that is and in one that is not.
    pub(super) fn others(&self) -> [&str; 2] {
        [&self.others[0], &self.others[1]]
    }

    fn fill(&self, text: &str, image: &str) -> String {
        text.replace("{image}", image)
            .replace("{from}", &self.from)
            .replace("{manifest}", &digest(&self.manifest))
            .replace("{layer}", &digest(&LAYER))
            .replace("{small}", &digest(&SMALL))
            .replace("{apart}", &digest(&APART))
            .replace("{session}", &self.session)
            .replace("{doomed}", &self.doomed)
            .replace("{deleted}", &self.deleted)
            .replace("{token}", &self.token)
    }

    /// Media type and body of a request of the table.
    fn body(&self, client: &Client, request: &Request) -> (&'static str, Bytes) {
        const JSON: &str = "application/json";
        match request.body {
            "-" => ("", Bytes::new()),
            "small" => ("application/octet-stream", SMALL),
            "manifest" => (IMAGE_MANIFEST, self.manifest.clone()),
            "form" => ("application/x-www-form-urlencoded", login_form(client).into()),
            "name" => (JSON, json!({ "name": "made" }).to_string().into()),
            "display" => (JSON, json!({ "displayName": "made" }).to_string().into()),
            "nothing" => (JSON, "{}".into()),
            "backup" => {
                let directory = self.program.data_dir().with_file_name("backup");
                (JSON, json!({ "directory": directory }).to_string().into())
            }
            "public" => (JSON, json!({ "isPublic": true }).to_string().into()),
            "inactive" => (JSON, json!({ "isActive": false }).to_string().into()),
            "deny" => (JSON, json!({ "denyPolicies": true }).to_string().into()),
            "token" => (JSON, json!({ "description": "made" }).to_string().into()),
            "question" => {
                let question = json!({ "user": "bob", "permission": "REPOSITORY_READ", "repository": "app" });
                (JSON, question.to_string().into())
            }
            other => panic!("there is no body called `{other}`"),
        }
    }

    /// Sends a request of the table about an image.
    pub(super) async fn send(&self, client: &Client, request: &Request, image: &str) -> Response<Bytes> {
        let (media_type, body) = self.body(client, request);
        let headers = [("content-type", media_type)];
        let headers = if media_type.is_empty() { &[] } else { &headers[..] };
        let target = self.fill(request.target, image);
        client.send(request.method, &target, headers, body).await.unwrap()
    }

    /// Sends a request of the table to the control socket; answers with the first line of the answer.
    pub(super) fn send_locally(&self, request: &Request) -> String {
        let (_, body) = self.body(&self.program.anonymous(), request);
        let (method, target) = (request.method, self.fill(request.target, &self.image));
        let mut socket = UnixStream::connect(self.program.data_dir().join("control.sock")).unwrap();
        let head = format!(
            "{method} {target} HTTP/1.1\r\nhost: control\r\nconnection: close\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        socket.write_all(&[head.as_bytes(), &body].concat()).unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        answer.lines().next().unwrap_or_default().to_owned()
    }

    /// What a client sees of an answer, but for what no two answers share and the name it asked for.
    pub(super) fn seen(&self, answer: &Response<Bytes>, request: &Request, image: &str) -> String {
        let mut body = String::from_utf8_lossy(answer.body()).into_owned();
        if request.target.contains("/docker/token") && answer.status() == StatusCode::OK && !body.is_empty() {
            let issued: Value = serde_json::from_str(&body).unwrap();
            body = token::claims(issued["token"].as_str().unwrap())["access"].to_string();
        }
        let seen = format!("{} {:?} {body}", answer.status(), headers_of(answer));
        if request.names_image() { seen.replace(image, "NAME") } else { seen }
    }

    /// What an answer to the request must not tell one who has no right.
    pub(super) fn secrets_for(&self, request: &Request) -> impl Iterator<Item = &'static str> + use<> {
        let asked = request.target;
        let secrets = ["/app", "/from", "a layer that nobody", "schemaVersion", "0-0"];
        secrets.into_iter().filter(move |secret| !asked.contains(secret))
    }

    /// What the administrator sees of the repositories.
    pub(super) async fn state(&self) -> Vec<String> {
        let administrator = self.program.administrator();
        let mut state = Vec::new();
        for target in [
            "/v2/_catalog",
            "/v2/{image}/tags/list",
            "/v2/{image}/manifests/1",
            "/v2/{image}/manifests/{manifest}",
            "/v2/{image}/referrers/{manifest}",
            "/v2/{image}/blobs/{layer}",
            "/v2/{image}/blobs/{small}",
            "/v2/{image}/blobs/{apart}",
            "/v2/{image}/blobs/uploads/{session}",
            "/v2/{image}/blobs/uploads/{doomed}",
            "/v2/{from}/tags/list",
        ] {
            let target = self.fill(target, &self.image);
            let answer = send(&administrator, "GET", &target).await;
            let range = text(answer.headers(), "range").to_owned();
            let body = String::from_utf8_lossy(answer.body()).into_owned();
            state.push(format!("{target}: {} {range} {body}", answer.status()));
        }
        state
    }

    /// What the local administrator sees of users, tokens and repositories.
    pub(super) fn administration(&self) -> Value {
        let lists = [
            &["user", "list"][..],
            &["auth-token", "list", "--user", "bob"],
            &["auth-token", "list", "--user", "admin"],
            &["repository", "list"],
        ];
        lists.map(|list| self.program.admin(list)).into_iter().collect()
    }
}

/// The headers but those that no two answers share.
fn headers_of(answer: &Response<Bytes>) -> Vec<String> {
    let unlike = ["x-request-id", "opc-request-id", "date", "content-length"];
    let headers = answer.headers().iter().filter(|(name, _)| !unlike.contains(&name.as_str()));
    headers.map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect()
}

/// What a client sees of an answer, but for what no two answers share.
pub(super) fn seen_of(answer: &Response<Bytes>) -> String {
    format!("{} {:?} {}", answer.status(), headers_of(answer), String::from_utf8_lossy(answer.body()))
}

/// How many requests the program answered under the operation's name.
pub(super) async fn count(program: &Program, operation: &str) -> u64 {
    let metrics = send(&Client::new(program.management()), "GET", "/metrics").await;
    let metrics = String::from_utf8_lossy(metrics.body()).into_owned();
    let prefix = format!("wharfinger_requests_total{{operation=\"{operation}\",");
    let counts = metrics.lines().filter(|line| line.starts_with(&prefix));
    counts.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
}

/// User name and password that a client shows.
fn basic_of(client: &Client) -> Option<(String, String)> {
    let encoded = client.authorization()?.strip_prefix("Basic ")?;
    let decoded = String::from_utf8(STANDARD.decode(encoded).ok()?).ok()?;
    let (name, password) = decoded.split_once(':')?;
    Some((name.to_owned(), password.to_owned()))
}

/// The OAuth2 form of what the client shows.
pub(super) fn login_form(client: &Client) -> String {
    let (name, password) = basic_of(client).unwrap_or_default();
    format!("grant_type=password&service=wharfinger&username={name}&password={password}")
}

/// An answer in the words of the table; one that the table has no word for is spelled out.
pub(super) fn answer_of(answer: &Response<Bytes>) -> String {
    let challenges: Vec<&str> =
        answer.headers().get_all("www-authenticate").iter().map(|value| value.to_str().unwrap()).collect();
    let body: Value = serde_json::from_slice(answer.body()).unwrap_or_default();
    let code = match &body["errors"][0]["code"] {
        Value::Null => body["code"].as_str().unwrap_or("-"),
        code => code.as_str().unwrap_or("?"),
    };
    // A HEAD has no body to say it in.
    let says = |expected: &str| code == expected || answer.body().is_empty();
    let bearer = |challenge: &str| {
        if !challenge.starts_with("Bearer realm=\"") {
            "?"
        } else if challenge.contains("error=\"invalid_token\"") {
            "I"
        } else if challenge.contains("error=\"insufficient_scope\"") {
            "S"
        } else if !challenge.contains("error=") {
            "U"
        } else {
            "?"
        }
    };
    let word = match (answer.status().as_u16(), challenges.as_slice()) {
        (401, ["Basic realm=\"wharfinger\""]) if says("UNAUTHORIZED") => "L",
        (401, [challenge]) if says("UNAUTHORIZED") => bearer(challenge),
        (401, []) if says("NotAuthenticated") => "C",
        (403, []) if says("DENIED") => "D",
        (404, []) if says("NotAuthorizedOrNotFound") => "N",
        (404, []) if says("NamespaceNotFound") => "F",
        (409, []) if says("IncorrectState") => "R",
        (400, []) if says("UNAUTHORIZED") => "B",
        (status, []) if status < 400 => return status.to_string(),
        _ => "?",
    };
    if word == "?" { format!("{} {challenges:?} {code}", answer.status()) } else { word.to_owned() }
}
