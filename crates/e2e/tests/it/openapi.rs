//! `docs/openapi.json` describes `/api/v1/` as the program serves it.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;

use serde_json::{Value, json};
use wharfinger_testkit::program::{EngineKind, Program};

#[test]
fn the_committed_document_is_the_programs() {
    let document = format!("{:#}\n", wharfinger_api_control::document());
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/openapi.json");
    if std::env::var_os("WHARFINGER_WRITE_OPENAPI").is_some() {
        std::fs::write(&path, &document).unwrap();
    }
    let committed = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        committed == document,
        "run this test with WHARFINGER_WRITE_OPENAPI=1 and look at the difference"
    );
}

/// What does not fit the schema, with the path to it.
fn misfits(document: &Value, schema: &Value, value: &Value, at: &str) -> Vec<String> {
    if let Some(reference) = schema["$ref"].as_str() {
        let schema = document.pointer(&reference[1..]).unwrap_or_else(|| panic!("{reference}"));
        return misfits(document, schema, value, at);
    }
    if let Some(variants) = schema["oneOf"].as_array() {
        let fits = variants.iter().any(|schema| misfits(document, schema, value, at).is_empty());
        return if fits { Vec::new() } else { vec![format!("{at}: none of the variants")] };
    }
    let is_a = |name: &Value| match name.as_str().unwrap() {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_u64(),
        "number" => value.is_number(),
        "null" => value.is_null(),
        other => panic!("{at}: {other}"),
    };
    let kinds = schema["type"].as_array().cloned().unwrap_or_else(|| vec![schema["type"].clone()]);
    if !kinds.iter().any(is_a) {
        return vec![format!("{at}: {value} is none of {kinds:?}")];
    }
    if let Some(rows) = value.as_array() {
        return rows
            .iter()
            .flat_map(|row| misfits(document, &schema["items"], row, &format!("{at}[]")))
            .collect();
    }
    // What is under way has a report by its name.
    let Some(fields) = value.as_object().filter(|_| schema["properties"].is_object()) else {
        return Vec::new();
    };
    let required = schema["required"].as_array().into_iter().flatten().map(|name| name.as_str().unwrap());
    let missing =
        required.filter(|name| !fields.contains_key(*name)).map(|name| format!("{at}.{name}: missing"));
    let wrong = fields.iter().flat_map(|(name, value)| match &schema["properties"][name] {
        Value::Null => vec![format!("{at}.{name}: not described")],
        schema => misfits(document, schema, value, &format!("{at}.{name}")),
    });
    missing.chain(wrong).collect()
}

/// The answer's status and body.
fn call(program: &Program, method: &str, target: &str, body: Option<&Value>) -> (u16, Value) {
    let mut socket = UnixStream::connect(program.data_dir().join("control.sock")).unwrap();
    let body = body.map_or_else(String::new, Value::to_string);
    write!(
        socket,
        "{method} {target} HTTP/1.1\r\nhost: c\r\nconnection: close\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    let body = answer.split_once("\r\n\r\n").unwrap().1;
    (status, serde_json::from_str(body).unwrap())
}

#[test]
fn requests_answers_and_refusals_are_as_described() {
    let document = wharfinger_api_control::document();
    let program = Program::start(EngineKind::Sqlite);
    let mut served = BTreeSet::new();
    let mut wrong = Vec::new();
    let mut ask = |method: &str, path: &str, target: &str, body: Value| -> Value {
        let operation = &document["paths"][path][method.to_lowercase()];
        served.insert(
            operation["operationId"].as_str().unwrap_or_else(|| panic!("{method} {path}")).to_owned(),
        );
        let described = &operation["requestBody"]["content"]["application/json"]["schema"];
        assert_eq!(described.is_null(), body.is_null(), "{method} {path} has a body");
        if !body.is_null() {
            wrong.extend(misfits(&document, described, &body, &format!("{method} {path}")));
            // What is not described is refused, in the form that is.
            let (status, refusal) = call(&program, method, target, Some(&json!({ "colour": "red" })));
            let schema = &operation["responses"][status.to_string()]["content"]["application/json"]["schema"];
            assert_eq!(status, 400, "{refusal}");
            wrong.extend(misfits(&document, schema, &refusal, &format!("{method} {path} {status}")));
        }
        let (status, answer) = call(&program, method, target, Some(&body).filter(|body| !body.is_null()));
        assert_eq!(status, 200, "{method} {target}: {answer}");
        let schema = &operation["responses"]["200"]["content"]["application/json"]["schema"];
        wrong.extend(misfits(&document, schema, &answer, &format!("{method} {path} 200")));
        answer
    };
    let none = Value::Null;
    ask("POST", "/api/v1/users", "/api/v1/users", json!({ "name": "ann" }));
    ask("GET", "/api/v1/users", "/api/v1/users?limit=1", none.clone());
    ask("PATCH", "/api/v1/users/{user}", "/api/v1/users/ann", json!({ "isActive": true }));
    let (tokens, target) = ("/api/v1/users/{user}/auth-tokens", "/api/v1/users/ann/auth-tokens");
    let token = ask("POST", tokens, target, json!({ "description": "d" }));
    ask("GET", tokens, target, none.clone());
    let one = format!("{target}/{}", token["id"].as_str().unwrap());
    ask("DELETE", "/api/v1/users/{user}/auth-tokens/{id}", &one, none.clone());
    ask("POST", "/api/v1/groups", "/api/v1/groups", json!({ "name": "crew" }));
    let member = ("/api/v1/groups/{group}/users/{user}", "/api/v1/groups/crew/users/ann");
    ask("PUT", member.0, member.1, none.clone());
    let repository = json!({ "displayName": "app", "isPublic": false, "compartment": "" });
    ask("POST", "/api/v1/repositories", "/api/v1/repositories", repository);
    ask("GET", "/api/v1/repositories", "/api/v1/repositories", none.clone());
    let repository = ("/api/v1/repositories/{name}", "/api/v1/repositories/app");
    ask("PATCH", repository.0, repository.1, json!({ "isPublic": true }));
    for (user, permission) in [("ann", "REPOSITORY_UPDATE"), ("admin", "REPOSITORY_READ")] {
        let question = json!({ "user": user, "permission": permission, "repository": "app" });
        ask("POST", "/api/v1/decisions", "/api/v1/decisions", question);
    }
    ask("GET", "/api/v1/rights", "/api/v1/rights?repository=app", none.clone());
    ask("GET", "/api/v1/rights", "/api/v1/rights?user=admin", none.clone());
    ask("DELETE", repository.0, repository.1, none.clone());
    let restored =
        ("/api/v1/repositories/{name}/actions/restore", "/api/v1/repositories/app/actions/restore");
    ask("POST", restored.0, restored.1, json!({ "displayName": "app" }));
    let images = ("/api/v1/repositories/{name}/images", "/api/v1/repositories/app/images?deleted=true");
    ask("GET", images.0, images.1, none.clone());
    ask("POST", "/api/v1/garbage-collections", "/api/v1/garbage-collections", json!({ "dryRun": true }));
    ask("GET", "/api/v1/garbage-collections", "/api/v1/garbage-collections", none.clone());
    ask("POST", "/api/v1/scrubs", "/api/v1/scrubs", none.clone());
    ask("POST", "/api/v1/verifications", "/api/v1/verifications", none.clone());
    let backup = program.data_dir().with_file_name("backup");
    ask("POST", "/api/v1/backups", "/api/v1/backups", json!({ "directory": backup }));
    ask("GET", "/api/v1/upkeep", "/api/v1/upkeep", none.clone());
    ask("DELETE", member.0, member.1, none.clone());
    ask("DELETE", "/api/v1/users/{user}", "/api/v1/users/ann", none.clone());
    ask("POST", "/api/v1/domains", "/api/v1/domains", json!({ "name": "Partners" }));
    ask("GET", "/api/v1/domains", "/api/v1/domains", none.clone());
    ask("DELETE", "/api/v1/domains/{name}", "/api/v1/domains/Partners", none);
    ask("POST", "/api/v1/tenancies", "/api/v1/tenancies", json!({ "name": "other" }));
    ask("PATCH", "/api/v1/tenancies/{name}", "/api/v1/tenancies/other", json!({ "denyPolicies": true }));
    assert_eq!(wrong, Vec::<String>::new());
    let all: BTreeSet<String> = wharfinger_api_control::operations().into_iter().map(str::to_owned).collect();
    // There is no image here that was deleted.
    served.insert("restore_image".to_owned());
    assert_eq!(served, all, "each operation is described, and served here");
}
