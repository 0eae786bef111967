//! Answers as fields that can be compared one by one, and the differences between two of them.

use std::collections::BTreeMap;
use std::fmt;

use anyhow::Result;
use bytes::Bytes;
use http::{Response, StatusCode};
use serde_json::Value;
use wharfinger_testkit::http::{digest, text};

/// Longer bodies that are no JSON are compared by digest.
const SHOWN_BYTES: usize = 200;

const BROKEN: &str = "broken off";

/// One side's answer: `status`, `header NAME`, `body` or `body PATH`, each with its value.
pub(crate) type Fields = BTreeMap<String, String>;

/// A field that the sides disagree on; `None` where one does not have it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Difference {
    pub(crate) field: String,
    pub(crate) peer: Option<String>,
    pub(crate) ours: Option<String>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
        write!(f, "{}: peer `{}`, ours `{}`", self.field, shown(&self.peer), shown(&self.ours))
    }
}

/// What the two answers to the same request differ in. Where one side accepts and the other refuses,
/// redirects, breaks off or gives a part, the answers speak of different things: the outcome alone is compared.
pub(crate) fn compare(
    is_head: bool,
    peer: &Result<Response<Bytes>>,
    ours: &Result<Response<Bytes>>,
) -> Vec<Difference> {
    let same_body = match (peer, ours) {
        (Ok(peer), Ok(ours)) => peer.body() == ours.body(),
        _ => false,
    };
    let is_same_outcome = outcome(peer) == outcome(ours);
    let (peer, mut ours) = (fields(peer, is_head, same_body), fields(ours, is_head, same_body));
    // The peer may have faults in common with us, but ours are never right.
    if let Some(status) = ours.get_mut("status").filter(|status| *status == BROKEN || status.starts_with('5'))
    {
        status.push_str(", a fault");
    }
    let mut names: Vec<&String> = peer.keys().chain(ours.keys()).collect();
    names.sort();
    names.dedup();
    names.retain(|name| is_same_outcome || matches!(name.as_str(), "status" | "body errors[0].code"));
    let differing = names.into_iter().filter(|name| peer.get(*name) != ours.get(*name));
    let difference = |field: &String| Difference {
        field: field.clone(),
        peer: peer.get(field).cloned(),
        ours: ours.get(field).cloned(),
    };
    differing.map(difference).collect()
}

#[derive(PartialEq, Eq)]
enum Outcome {
    Accepted,
    InPart,
    Elsewhere,
    Refused,
    Broken,
}

fn outcome(answer: &Result<Response<Bytes>>) -> Outcome {
    match answer {
        Ok(answer) if answer.status() == StatusCode::PARTIAL_CONTENT => Outcome::InPart,
        Ok(answer) if answer.status().is_success() => Outcome::Accepted,
        Ok(answer) if answer.status().is_redirection() => Outcome::Elsewhere,
        Ok(_) => Outcome::Refused,
        Err(_) => Outcome::Broken,
    }
}

fn fields(answer: &Result<Response<Bytes>>, is_head: bool, same_body: bool) -> Fields {
    let Ok(answer) = answer else {
        return Fields::from([("status".to_owned(), BROKEN.to_owned())]);
    };
    let mut fields = Fields::from([("status".to_owned(), answer.status().as_u16().to_string())]);
    for name in answer.headers().keys() {
        let values: Vec<_> = answer.headers().get_all(name).iter().collect();
        let values: Vec<_> = values.iter().map(|value| String::from_utf8_lossy(value.as_bytes())).collect();
        fields.insert(format!("header {name}"), placeholder(name.as_str(), &values.join(" | ")));
    }
    let uuid = text(answer.headers(), "docker-upload-uuid");
    let location = text(answer.headers(), "location");
    if !location.is_empty() && !location.contains(uuid) {
        fields.insert("header docker-upload-uuid".to_owned(), "<not that of the location>".to_owned());
    }
    let length = length(answer, is_head);
    fields.remove("header transfer-encoding");
    fields.insert("header content-length".to_owned(), length);
    if same_body || answer.body().is_empty() {
        return fields;
    }
    if let Ok(value) = serde_json::from_slice::<Value>(answer.body()) {
        flatten("", &value, &mut fields);
        return fields;
    }
    let content_type = text(answer.headers(), "content-type");
    let body = match content_type.split_once("boundary=") {
        Some((_, boundary)) => parts(answer.body(), boundary),
        None => String::from_utf8_lossy(answer.body()).trim_end().to_owned(),
    };
    let body = if body.len() > SHOWN_BYTES { digest(body.as_bytes()) } else { body };
    fields.insert("body".to_owned(), body);
    fields
}

/// A `multipart` body with the lines of each part's head in order, whatever the boundary is.
fn parts(body: &[u8], boundary: &str) -> String {
    let body: String = body.iter().copied().map(char::from).collect();
    let boundary = format!("--{boundary}");
    let parts = body.split(&boundary).map(|part| match part.split_once("\r\n\r\n") {
        Some((head, content)) => format!("{}\n{content}", sorted(head.trim(), "\r\n")),
        None => part.trim().to_owned(),
    });
    parts.collect::<Vec<_>>().join("<boundary>")
}

/// How the body's length is told: errors have other texts on each side, so only whether it is right.
fn length(answer: &Response<Bytes>, is_head: bool) -> String {
    let header = |name: &str| answer.headers().get(name).and_then(|value| value.to_str().ok());
    let lacks_body = is_head || answer.status() == StatusCode::NOT_MODIFIED;
    match header("content-length") {
        None if header("transfer-encoding").is_some() => "<chunked>".to_owned(),
        None => "<none>".to_owned(),
        // That of the body that is not sent (RFC 9110, section 8.6); no refusal's is empty.
        Some("0") if lacks_body => "0".to_owned(),
        Some(_) if lacks_body && !answer.status().is_success() => "<unsent>".to_owned(),
        Some(length) if lacks_body => length.to_owned(),
        Some(length) if length == answer.body().len().to_string() => "<right>".to_owned(),
        Some(length) => format!("{length} for {} bytes", answer.body().len()),
    }
}

/// Values that are a side's own, by what they are.
fn placeholder(name: &str, value: &str) -> String {
    match name {
        "date" => "<date>".to_owned(),
        "content-type" if value.starts_with("multipart/") => {
            value.split_once('=').map_or(value, |(kind, _)| kind).to_owned() + "=<boundary>"
        }
        "x-request-id" => "<id>".to_owned(),
        "allow" => sorted(value, ", "),
        "link" => link(value),
        "docker-upload-uuid" => "<uuid>".to_owned(),
        "location" => match value.split_once("/blobs/uploads/") {
            Some((path, upload)) if !upload.is_empty() => {
                let state = if upload.contains('?') { "?<state>" } else { "" };
                format!("{path}/blobs/uploads/<uuid>{state}")
            }
            _ => value.to_owned(),
        },
        _ => value.to_owned(),
    }
}

fn sorted(list: &str, separator: &str) -> String {
    let mut items: Vec<&str> = list.split(separator).collect();
    items.sort_unstable();
    items.join(separator)
}

/// A link with its parameters in order, and unreserved or harmless characters as they are.
fn link(value: &str) -> String {
    let decoded = value.replace("%2F", "/").replace("%2D", "-").replace("%2E", ".").replace("%5F", "_");
    match decoded.split_once('?').map(|(path, rest)| (path, rest.split_once('>'))) {
        Some((path, Some((query, relation)))) => format!("{path}?{}>{relation}", sorted(query, "&")),
        _ => decoded,
    }
}

/// Every leaf of a JSON body under its path. The text of an error is no promise, but there must be one.
fn flatten(path: &str, value: &Value, fields: &mut Fields) {
    match value {
        _ if path.ends_with("].detail") => {
            fields.insert(format!("body {}", path.trim_start_matches('.')), value.to_string());
        }
        Value::Object(object) if !object.is_empty() => {
            for (name, value) in object {
                flatten(&format!("{path}.{name}"), value, fields);
            }
        }
        // One refusal is enough for us; the codes of others are one field.
        Value::Array(errors) if path == ".errors" && errors.len() > 1 => {
            flatten(".errors[0]", &errors[0], fields);
            let codes: Vec<&str> = errors[1..].iter().filter_map(|error| error["code"].as_str()).collect();
            fields.insert("body further errors".to_owned(), codes.join(" "));
        }
        // The peer lists tags in any order.
        Value::Array(tags) if path == ".tags" => {
            let tags: Vec<&str> = tags.iter().filter_map(Value::as_str).collect();
            fields.insert("body tags in order".to_owned(), tags.is_sorted().to_string());
            let listed = format!("{}: {}", tags.len(), sorted(&tags.join(" "), " "));
            fields.insert("body tags".to_owned(), listed);
        }
        Value::Array(array) if !array.is_empty() => {
            for (index, value) in array.iter().enumerate() {
                flatten(&format!("{path}[{index}]"), value, fields);
            }
        }
        Value::String(text) if path.ends_with("].message") && !text.is_empty() => {
            fields.insert(format!("body {}", path.trim_start_matches('.')), "<text>".to_owned());
        }
        Value::String(text) => {
            fields.insert(format!("body {}", path.trim_start_matches('.')), text.clone());
        }
        _ => {
            fields.insert(format!("body {}", path.trim_start_matches('.')), value.to_string());
        }
    }
}
