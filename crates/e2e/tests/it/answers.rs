//! What tests look at in an answer.

use bytes::Bytes;
use http::{Response, StatusCode};
use serde_json::Value;
use wharfinger_testkit::http::Client;

pub(crate) async fn send(client: &Client, method: &str, target: &str) -> Response<Bytes> {
    client.send(method, target, &[], Bytes::new()).await.unwrap()
}

pub(crate) fn json_of(answer: &Response<Bytes>) -> Value {
    serde_json::from_slice(answer.body()).expect("the answer is JSON")
}

pub(crate) fn code(answer: &Response<Bytes>) -> String {
    let body = json_of(answer);
    body["errors"][0]["code"].as_str().unwrap().to_owned()
}

#[track_caller]
pub(crate) fn is(answer: &Response<Bytes>, status: StatusCode, code_wanted: &str) {
    assert_eq!(answer.status(), status, "{answer:?}");
    assert_eq!(code(answer), code_wanted, "{answer:?}");
    let message = json_of(answer)["errors"][0]["message"].clone();
    assert_ne!(message.as_str().unwrap_or(""), "", "{answer:?}");
}
