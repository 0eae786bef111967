//! The same for the operations that Oracle Cloud's clients know, whose requests are signed: `control.txt`.

use std::collections::{BTreeSet, HashMap};

use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue, Response};
use serde_json::{Value, json};
use wharfinger_httpsig::{KeyId, PrivateKey};
use wharfinger_testkit::http::Client;
use wharfinger_testkit::program::{EngineKind, Program};

use super::server::{answer_of, count, seen_of};
use crate::answers::json_of;
use crate::signer::{Signer, signed};

const TABLE: &str = include_str!("control.txt");
/// Words of a row before its answers.
const LEAD: usize = 4;
/// Answered in the last pass: what the administrator sends, and the same bytes once more.
const LAST: [&str; 2] = ["administrator", "replayed"];
/// Dates of signatures that are too far from the server's, in seconds.
const OLD: i64 = -400;
const EARLY: i64 = 400;

/// A row: a request, and its answer by credential.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) operation: &'static str,
    method: &'static str,
    target: &'static str,
    body: &'static str,
    answers: HashMap<&'static str, &'static str>,
}

/// The columns and rows of the table.
pub(super) fn table() -> (Vec<&'static str>, Vec<Row>) {
    let mut lines = TABLE.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty());
    let columns: Vec<&str> = lines.next().expect("a line of titles").split_whitespace().skip(LEAD).collect();
    let row = |line: &'static str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        assert_eq!(words.len(), LEAD + columns.len(), "an answer for every credential: {line}");
        Row {
            operation: words[0],
            method: words[1],
            target: words[2],
            body: words[3],
            answers: columns.iter().copied().zip(words[LEAD..].iter().copied()).collect(),
        }
    };
    let rows = lines.map(row).collect();
    (columns, rows)
}

/// A request of the table with its names filled in.
#[derive(Debug)]
struct Filled {
    method: &'static str,
    target: String,
    body: String,
}

impl Filled {
    fn signed(&self, signer: &Signer, seconds: i64) -> HeaderMap {
        signer.signed(self.method, &self.target, &self.body, seconds)
    }
}

/// A program with users, groups, compartments and policies, and everybody who may come along.
pub(super) struct Installation {
    pub(super) program: Program,
    pub(super) administrator: Signer,
    /// The administrator with a registry token.
    bearer: Client,
    powerless: Signer,
    stranger: Signer,
    /// Members of Administrators who lost what they need, with the column that they belong to.
    former: [(&'static str, Signer); 3],
    /// What stands for a name in braces, and what for one that is not there.
    names: Vec<(&'static str, String, String)>,
}

impl Installation {
    pub(super) async fn start(engine: EngineKind, settings: &[(&str, &str)]) -> Self {
        // What is refused by the hundred would be answered ever more slowly.
        let unlimited = [("WHARFINGER__LIMITS__FAILED_LOGINS_PER_MINUTE", "0")];
        let program = Program::start_with(engine, &[&unlimited[..], settings].concat());
        let administrator = Signer::administrator(&program);
        let powerless = new_signer(&program, &administrator, "bob").await;
        let former = former_administrators(&program, &administrator).await;
        let other = program.admin(&["tenancy", "create", "other"]);
        let field = |name: &str| other[name].as_str().unwrap().to_owned();
        let stranger = Signer {
            client: program.anonymous(),
            tenancy: field("tenancy_id"),
            user: field("user_id"),
            key: PrivateKey::from_pem(&field("private_key")).unwrap(),
        };
        let names = names(&program, &administrator).await;
        let token = program.administrator().token(&[]).await.unwrap();
        let bearer = administrator.client.bearer(&token);
        Self { program, administrator, bearer, powerless, stranger, former, names }
    }

    /// The text with names of what is there, or of what is not.
    fn fill(&self, text: &str, is_there: bool) -> String {
        self.names.iter().fold(text.to_owned(), |text, (name, there, absent)| {
            text.replace(&format!("{{{name}}}"), if is_there { there } else { absent })
        })
    }

    fn filled(&self, row: &Row, is_there: bool) -> Filled {
        let body = match row.body {
            "-" => String::new(),
            name => body_called(name).to_string(),
        };
        Filled {
            method: row.method,
            target: self.fill(row.target, is_there),
            body: self.fill(&body, is_there).replace('\n', "\\n"),
        }
    }

    /// What is shown of a column, as the header fields of the request.
    fn shown(&self, column: &str, request: &Filled) -> Vec<(&'static str, Client, HeaderMap)> {
        let administrator = &self.administrator;
        let anonymous = &administrator.client;
        let plain = |what, client: &Client| (what, client.clone(), HeaderMap::new());
        let headers = |what, headers: HeaderMap| (what, anonymous.clone(), headers);
        let as_key = |key_id: &KeyId, key: &PrivateKey| {
            let host = anonymous.address().to_string();
            signed(key_id, key, &host, request.method, &request.target, &request.body, 0)
        };
        match column {
            "none" => vec![plain("nothing", anonymous)],
            "basic" => vec![plain("name and auth token", &self.program.administrator())],
            "token" => vec![plain("a registry token", &self.bearer)],
            "malformed" => ["Signature", "Signature version=\"1\"", "Signature , ,", "Signature \u{e4}"]
                .map(|value| plain("no signature", &anonymous.authorized(value)))
                .to_vec(),
            "wrong" => {
                let (own, bob) = (administrator.key_id(), self.powerless.key_id());
                let fingerprint = self.powerless.key.public_key().fingerprint();
                let foreign = KeyId::ApiKey {
                    tenancy: administrator.tenancy.clone(),
                    user: administrator.user.clone(),
                    fingerprint,
                };
                let elsewhere = KeyId::ApiKey {
                    tenancy: self.stranger.tenancy.clone(),
                    user: administrator.user.clone(),
                    fingerprint: administrator.key.public_key().fingerprint(),
                };
                vec![
                    headers("with another key", as_key(&own, &self.powerless.key)),
                    headers("as another", as_key(&bob, &administrator.key)),
                    headers("with another's key", as_key(&foreign, &self.powerless.key)),
                    headers("in another tenancy", as_key(&elsewhere, &administrator.key)),
                    headers(
                        "as a session",
                        as_key(&KeyId::SecurityToken("e30.e30.c2ln".to_owned()), &administrator.key),
                    ),
                    headers("altered", altered(&request.signed(administrator, 0))),
                ]
            }
            "another's" => {
                let mut others = vec![
                    ("another target", format!("{}?x", request.target), request.method, request.body.clone()),
                    ("another method", request.target.clone(), "DELETE", request.body.clone()),
                    (
                        "another body",
                        request.target.clone(),
                        request.method,
                        request.body.replacen('"', " ", 1),
                    ),
                ];
                if request.method == "DELETE" {
                    others[1].2 = "GET";
                }
                if request.body.is_empty() {
                    others.truncate(2);
                }
                let shown = others.into_iter().map(|(what, target, method, body)| {
                    headers(what, administrator.signed(method, &target, &body, 0))
                });
                let mut shown: Vec<_> = shown.collect();
                let (own, key) = (administrator.key_id(), &administrator.key);
                let Filled { method, target, body } = request;
                shown.push(headers("another host", signed(&own, key, "elsewhere", method, target, body, 0)));
                shown
            }
            "expired" => {
                [OLD, EARLY].map(|seconds| headers("a date", request.signed(administrator, seconds))).to_vec()
            }
            "stranger" => vec![headers("a signature", request.signed(&self.stranger, 0))],
            "powerless" => vec![headers("a signature", request.signed(&self.powerless, 0))],
            column => {
                let former = self.former.iter().find(|(name, _)| *name == column);
                let (_, signer) = former.unwrap_or_else(|| panic!("nothing is shown for `{column}`"));
                vec![headers("a signature", request.signed(signer, 0))]
            }
        }
    }

    async fn send(&self, client: &Client, headers: &HeaderMap, request: &Filled) -> Response<Bytes> {
        let headers: Vec<(&str, &str)> =
            headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
        client.send(request.method, &request.target, &headers, request.body.clone()).await.unwrap()
    }

    /// What the answer must not tell anybody but who asked for it by name.
    fn secrets(&self, column: &str, request: &Filled) -> impl Iterator<Item = &str> {
        let asked = format!("{} {}", request.target, request.body);
        // Everybody knows the namespace of its own tenancy.
        let is_known = column == "powerless";
        let ids = self.names.iter().filter(move |(name, ..)| !is_known || *name != "namespace");
        let ids = ids.map(|(_, there, _)| there.as_str());
        let words =
            ["victim", "crew", "deck", "dock", "harbour", "machines", "Rigging", "rope", "BEGIN PUBLIC KEY"];
        ids.chain(words).filter(move |secret| !asked.contains(secret))
    }

    /// What a client sees of an answer, but for the names that it asked for.
    fn unnamed(&self, answer: &Response<Bytes>) -> String {
        self.names.iter().fold(seen_of(answer), |seen, (name, there, absent)| {
            seen.replace(there, name).replace(absent, name)
        })
    }

    /// What the administrator sees.
    async fn state(&self) -> Vec<String> {
        let mut state = Vec::new();
        for target in [
            "/20160918/users?compartmentId={tenancy}",
            "/20160918/groups?compartmentId={tenancy}",
            "/20160918/userGroupMemberships?compartmentId={tenancy}&groupId={group}",
            "/20160918/userGroupMemberships?compartmentId={tenancy}&groupId={deck}",
            "/20160918/users/{user}/authTokens",
            "/20160918/users/{user}/apiKeys",
            "/20160918/compartments?compartmentId={tenancy}&compartmentIdInSubtree=true",
            "/20160918/compartments/{gone}",
            "/20160918/policies?compartmentId={tenancy}",
            "/20160918/workRequests?compartmentId={tenancy}",
            "/20160918/tagNamespaces?compartmentId={tenancy}&includeSubcompartments=true",
            "/20160918/tagNamespaces/{tags}/tags",
            "/20160918/networkSources?compartmentId={tenancy}",
            "/20160918/tenancies/{tenancy}",
            "/n/{namespace}",
        ] {
            let target = self.fill(target, true);
            let answer = self.administrator.send("GET", &target, "").await;
            let body = String::from_utf8_lossy(answer.body()).into_owned();
            state.push(format!("{target}: {} {body}", answer.status()));
        }
        state
    }
}

/// A new user with a key.
async fn new_signer(program: &Program, administrator: &Signer, name: &str) -> Signer {
    let user = program.admin(&["user", "create", name])["id"].as_str().unwrap().to_owned();
    let key = PrivateKey::generate().unwrap();
    let pem = key.public_key().to_pem().unwrap();
    let body = json!({ "key": pem }).to_string();
    let uploaded = administrator.send("POST", &format!("/20160918/users/{user}/apiKeys"), &body).await;
    assert_eq!(uploaded.status(), 200, "{uploaded:?}");
    Signer { client: program.anonymous(), tenancy: administrator.tenancy.clone(), user, key }
}

/// All would be mighty: it is not for lack of rights that they are refused.
async fn former_administrators(program: &Program, administrator: &Signer) -> [(&'static str, Signer); 3] {
    let mut former = Vec::new();
    for name in ["inactive", "revoked", "incapable"] {
        let signer = new_signer(program, administrator, name).await;
        program.admin(&["group", "add-user", "Administrators", name]);
        let list = format!("/20160918/users?compartmentId={}", signer.tenancy);
        assert_eq!(signer.send("GET", &list, "").await.status(), 200);
        let user = format!("/20160918/users/{}", signer.user);
        let (method, target, body) = match name {
            "inactive" => ("PUT", format!("{user}/state"), r#"{"blocked":true}"#),
            "revoked" => {
                let fingerprint = signer.key.public_key().fingerprint();
                ("DELETE", format!("{user}/apiKeys/{fingerprint}"), "")
            }
            _ => ("PUT", format!("{user}/capabilities"), r#"{"canUseApiKeys":false}"#),
        };
        let taken = administrator.send(method, &target, body).await;
        assert!(taken.status().is_success(), "{taken:?}");
        former.push((name, signer));
    }
    former.try_into().ok().unwrap()
}

/// Makes what the table is about, and names it.
async fn names(program: &Program, administrator: &Signer) -> Vec<(&'static str, String, String)> {
    let root = administrator.tenancy.clone();
    let make = async |target: &str, body: Value| {
        let made = administrator.send("POST", &format!("/20160918/{target}"), &body.to_string()).await;
        assert_eq!(made.status(), 200, "{made:?}");
        json_of(&made)
    };
    let id = |made: &Value| made["id"].as_str().unwrap().to_owned();
    let named = |name: &str| json!({ "compartmentId": root, "name": name, "description": name });
    let user = id(&make("users", named("victim")).await);
    let group = id(&make("groups", named("crew")).await);
    let deck = id(&make("groups", named("deck")).await);
    let membership = json!({ "userId": user, "groupId": group });
    let membership = id(&make("userGroupMemberships", membership).await);
    let token = make(&format!("users/{user}/authTokens"), json!({ "description": "victim" })).await;
    let pem = PrivateKey::generate().unwrap().public_key().to_pem().unwrap();
    let key = make(&format!("users/{user}/apiKeys"), json!({ "key": pem })).await;
    let fingerprint = key["fingerprint"].as_str().unwrap().to_owned();
    let dock = id(&make("compartments", named("dock")).await);
    let gone = id(&make("compartments", named("gone")).await);
    let quay = id(&make("compartments", named("quay")).await);
    let statements = json!(["Allow group crew to read repos in compartment dock"]);
    let mut harbour = named("harbour");
    harbour["statements"] = statements;
    let policy = id(&make("policies", harbour).await);
    let mut office = named("office");
    office["publicSourceList"] = json!(["192.0.2.0/24"]);
    let source = id(&make("networkSources", office).await);
    let mut machines = named("machines");
    machines["matchingRule"] = json!("any {resource.compartment.id = 'ocid1.compartment.oc1..machines'}");
    let rule = id(&make("dynamicGroups", machines).await);
    let delete = async |target: String| {
        let deleted = administrator.send("DELETE", &format!("/20160918/{target}"), "").await;
        deleted.headers()["opc-work-request-id"].to_str().unwrap().to_owned()
    };
    let request = delete(format!("compartments/{gone}")).await;
    let tags = id(&make("tagNamespaces", named("Rigging")).await);
    let empty = id(&make("tagNamespaces", named("Bilge")).await);
    let retired = id(&make("tagNamespaces", named("Ballast")).await);
    for (namespace, tag) in [(&tags, "rope"), (&tags, "knot"), (&tags, "line"), (&retired, "lead")] {
        make(&format!("tagNamespaces/{namespace}/tags"), json!({ "name": tag, "description": tag })).await;
    }
    for target in [retired.clone(), format!("{tags}/tags/knot"), format!("{tags}/tags/line")] {
        let target = format!("/20160918/tagNamespaces/{target}");
        assert_eq!(administrator.send("PUT", &target, r#"{"isRetired":true}"#).await.status(), 200);
    }
    let tagging = delete(format!("tagNamespaces/{tags}/tags/line")).await;
    let absent = |ocid: &str| {
        let (kind, unique) = ocid.rsplit_once('.').unwrap();
        format!("{kind}.{}", unique.chars().rev().collect::<String>())
    };
    let ids = [
        ("tenancy", root.clone()),
        ("user", user),
        ("group", group),
        ("deck", deck),
        ("membership", membership),
        ("token", id(&token)),
        ("dock", dock),
        ("gone", gone),
        ("quay", quay),
        ("policy", policy),
        ("source", source),
        ("rule", rule),
        ("request", request),
        ("tags", tags),
        ("empty", empty),
        ("retired", retired),
        ("tagging", tagging),
    ];
    let mut names: Vec<_> = ids
        .into_iter()
        .map(|(name, there)| {
            let absent = absent(&there);
            (name, there, absent)
        })
        .collect();
    names.push(("fingerprint", fingerprint, vec!["00"; 16].join(":")));
    let new_key = PrivateKey::generate().unwrap().public_key().to_pem().unwrap();
    names.push(("key", new_key.clone(), new_key));
    names.push(("namespace", program.bootstrap.namespace.clone(), "nosuchtenancy".to_owned()));
    names
}

fn body_called(name: &str) -> Value {
    if let Some(name) = name.strip_suffix("+tags") {
        let mut body = body_called(name);
        body["definedTags"] = json!({ "Rigging": { "rope": "hemp" } });
        if body["name"].is_string() {
            body["name"] = "tagged".into();
        }
        return body;
    }
    match name {
        "named" => json!({ "compartmentId": "{tenancy}", "name": "made", "description": "made" }),
        "policy" => json!({
            "compartmentId": "{tenancy}", "name": "made", "description": "made",
            "statements": ["Allow any-user to manage all-resources in tenancy"],
        }),
        "source" => json!({
            "compartmentId": "{tenancy}", "name": "made", "description": "made",
            "publicSourceList": ["198.51.100.0/24"],
        }),
        "rule" => json!({
            "compartmentId": "{tenancy}", "name": "made", "description": "made",
            "matchingRule": "resource.type = 'instance'",
        }),
        "tag" => json!({ "name": "made", "description": "made" }),
        "compartment" => json!({ "compartmentId": "{dock}" }),
        "membership" => json!({ "userId": "{user}", "groupId": "{deck}" }),
        "described" => json!({ "description": "changed" }),
        "statements" => json!({ "statements": ["Allow any-user to manage all-resources in tenancy"] }),
        "blocked" => json!({ "blocked": true }),
        "capabilities" => json!({ "canUseConsolePassword": false }),
        "key" => json!({ "key": "{key}" }),
        "region" => json!({ "regionKey": "LCL" }),
        "places" => json!({ "defaultS3CompartmentId": "{quay}", "defaultSwiftCompartmentId": "{tenancy}" }),
        "session" => json!({ "publicKey": "{key}", "sessionExpirationInMinutes": 5 }),
        "move" => json!({ "targetCompartmentId": "{quay}" }),
        other => panic!("there is no body called `{other}`"),
    }
}

/// The headers with another signature, of the same form.
fn altered(headers: &HeaderMap) -> HeaderMap {
    let mut headers = headers.clone();
    let authorization = headers[AUTHORIZATION].to_str().unwrap().to_owned();
    let (before, signature) = authorization.split_once("signature=\"").unwrap();
    let first = if signature.starts_with('A') { 'B' } else { 'A' };
    let altered = format!("{before}signature=\"{first}{}", &signature[1..]);
    headers.insert(AUTHORIZATION, HeaderValue::from_str(&altered).unwrap());
    headers
}

#[test]
fn every_oracle_operation_is_attacked() {
    let (_, rows) = table();
    let attacked: BTreeSet<&str> = rows.iter().map(|row| row.operation).collect();
    let all = wharfinger_api_control::oracle_operations().into_iter().chain(["issue_registry_token"]);
    let all: BTreeSet<&str> = all.collect();
    assert_eq!(attacked, all, "attack/control.txt has a row for each operation and for nothing else");
}

async fn no_signature_but_a_good_one_gets_in(engine: EngineKind) {
    let installation = Installation::start(engine, &[]).await;
    let (columns, rows) = table();
    let mut wrong = Vec::new();
    let mut before = installation.state().await;
    assert!(before.iter().all(|seen| seen.contains(": 200 OK ")), "{before:#?}");
    for row in &rows {
        let request = installation.filled(row, true);
        let absent = installation.filled(row, false);
        let names_something = request.target != absent.target || request.body != absent.body;
        let counted = count(&installation.program, row.operation).await;
        let mut sent = 0;
        for column in columns.iter().filter(|column| !LAST.contains(column)) {
            let what = format!("{} {} with {column}", row.method, row.target);
            let shown = installation.shown(column, &request);
            for (place, (kind, client, headers)) in shown.iter().enumerate() {
                let own = installation.send(client, headers, &request).await;
                sent += 1;
                let got = answer_of(&own);
                if got != row.answers[column] {
                    wrong.push(format!("{what} ({kind}): {got}, not {}", row.answers[column]));
                }
                let seen = seen_of(&own);
                if let Some(secret) =
                    installation.secrets(column, &request).find(|secret| seen.contains(secret))
                {
                    wrong.push(format!("{what} ({kind}) shows `{secret}`: {seen}"));
                }
                // What is wrong with the signature is found before anything is looked up; one of a kind will do.
                if place > 0 || !names_something {
                    continue;
                }
                let (_, client, headers) = installation.shown(column, &absent).remove(0);
                let missing = installation.send(&client, &headers, &absent).await;
                sent += 1;
                let (there, missing) = (installation.unnamed(&own), installation.unnamed(&missing));
                if there != missing {
                    wrong.push(format!("{what} differs for what is not there: {there} / {missing}"));
                }
            }
        }
        let counted = count(&installation.program, row.operation).await - counted;
        if counted != sent {
            wrong.push(format!("{} {}: {sent} sent, {counted} counted", row.method, row.target));
        }
        let after = installation.state().await;
        if before != after {
            wrong.push(format!("{} {} changed something: {before:#?} / {after:#?}", row.method, row.target));
        }
        before = after;
    }
    assert!(wrong.is_empty(), "{} wrong answers:\n{}", wrong.len(), wrong.join("\n"));

    // The same requests are good ones: the administrator is served, but no copy of a write.
    for row in &rows {
        let answers = serve(&installation, row).await;
        for (column, answer) in LAST.iter().zip(&answers) {
            assert_eq!(answer_of(answer), row.answers[column], "{} with {column}: {answer:?}", row.operation);
        }
    }
}

/// The administrator's request, and a copy of it, which changes nothing.
pub(super) async fn serve(installation: &Installation, row: &Row) -> [Response<Bytes>; 2] {
    let request = installation.filled(row, true);
    let administrator = &installation.administrator;
    let headers = request.signed(administrator, 0);
    let served = installation.send(&administrator.client, &headers, &request).await;
    let before = installation.state().await;
    let replayed = installation.send(&administrator.client, &headers, &request).await;
    assert_eq!(installation.state().await, before, "{row:?}");
    [served, replayed]
}

wharfinger_e2e::on_each_engine! {
    no_signature_but_a_good_one_gets_in
}
