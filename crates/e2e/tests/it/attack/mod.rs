//! Every operation is attacked with every kind of credential that must not do: the answer is the one
//! in `table.txt`, it tells nothing, and nothing has changed.

mod control;
mod credentials;
mod permissions;
mod refresh;
mod server;

use std::collections::{BTreeSet, HashMap};

use wharfinger_testkit::http::Client;
use wharfinger_testkit::program::EngineKind;

use crate::answers::send;
use credentials::Credentials;
use server::{Request, Server, answer_of, count};

const TABLE: &str = include_str!("table.txt");
/// Words of a row before its answers.
const LEAD: usize = 4;
/// The one that may.
const ADMINISTRATOR: &str = "administrator";
/// Who is no administrator and yet may read: a repository that is not there need not look like one that is.
const MAY_READ: [&str; 2] = ["pull", "pull-login"];

/// A row: a request, and its answer by credential.
#[derive(Debug)]
struct Row {
    operation: &'static str,
    request: Request,
    answers: HashMap<&'static str, &'static str>,
}

/// The columns and rows of the table.
fn table() -> (Vec<&'static str>, Vec<Row>) {
    let mut lines = TABLE.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty());
    let columns: Vec<&str> = lines.next().expect("a line of titles").split_whitespace().skip(LEAD).collect();
    let row = |line: &'static str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        assert_eq!(words.len(), LEAD + columns.len(), "an answer for every credential: {line}");
        Row {
            operation: words[0],
            request: Request { method: words[1], target: words[2], body: words[3] },
            answers: columns.iter().copied().zip(words[LEAD..].iter().copied()).collect(),
        }
    };
    let rows = lines.map(row).collect();
    (columns, rows)
}

#[test]
fn every_operation_is_attacked() {
    let (_, rows) = table();
    let attacked: BTreeSet<&str> =
        rows.iter().map(|row| row.operation).filter(|name| *name != "other").collect();
    let control = wharfinger_api_control::operations().into_iter();
    let control = control.chain(wharfinger_api_control::oracle_operations());
    let all: BTreeSet<&str> =
        wharfinger_api_distribution::OPERATIONS.iter().copied().chain(control).collect();
    assert_eq!(attacked, all, "attack/table.txt has a row for each operation and for nothing else");
}

async fn nobody_gets_in_sees_or_changes_anything(engine: EngineKind) {
    let server = Server::start(engine, &[]).await;
    let credentials = Credentials::new(&server).await;
    let administration = server.administration();
    let (columns, rows) = table();
    let mut wrong = Vec::new();
    for row in &rows {
        let (before, counted) = (server.state().await, count(&server.program, row.operation).await);
        let mut sent = 0;
        for column in columns.iter().filter(|column| **column != ADMINISTRATOR) {
            let expected = row.answers[column];
            for (kind, client) in credentials.of(column) {
                let own = server.send(client, &row.request, &server.image).await;
                sent += 1;
                let got = answer_of(&own);
                if got != expected {
                    wrong.push(format!("{} with {column} ({kind}): {got}, not {expected}", row.request));
                }
                if MAY_READ.contains(column) {
                    continue;
                }
                let own = server.seen(&own, &row.request, &server.image);
                if let Some(secret) = server.secrets_for(&row.request).find(|secret| own.contains(*secret)) {
                    wrong.push(format!("{} with {column} ({kind}) shows `{secret}`: {own}", row.request));
                }
                // Forged tokens fail before anything is looked up; one of them for each row will do.
                let is_first = *kind == credentials.of(column)[0].0;
                for other in server.others().into_iter().filter(|_| is_first && row.request.names_image()) {
                    let answer = server.send(client, &row.request, other).await;
                    sent += 1;
                    let seen = server.seen(&answer, &row.request, other);
                    if seen != own {
                        wrong.push(format!(
                            "{} with {column} ({kind}) differs for {other}: {own} / {seen}",
                            row.request
                        ));
                    }
                }
            }
        }
        let counted = count(&server.program, row.operation).await - counted;
        // The question for the figures is itself such a request.
        if row.operation != "other" && counted != sent {
            wrong.push(format!("{}: {sent} requests, {counted} counted as {}", row.request, row.operation));
        }
        let after = server.state().await;
        if before != after {
            wrong.push(format!("{} changed something: {before:#?} / {after:#?}", row.request));
        }
    }
    assert!(wrong.is_empty(), "{} wrong answers:\n{}", wrong.len(), wrong.join("\n"));
    assert_eq!(server.administration(), administration);

    // The same requests are good ones: whom they are meant for they serve.
    let administrator = server.program.administrator();
    for row in &rows {
        let answer = server.send(&administrator, &row.request, &server.image).await;
        assert_eq!(answer_of(&answer), row.answers[ADMINISTRATOR], "{}: {answer:?}", row.request);
    }
}

/// Each forged token is refused, and one made in the same way with nothing wrong is taken: the
/// machinery that forges works.
async fn cve_2025_24976_a_token_is_verified_with_our_keys_alone(engine: EngineKind) {
    let server = Server::start(engine, &[]).await;
    let credentials = Credentials::new(&server).await;
    let target = format!("/v2/{}/tags/list", server.image);
    let bearer = |token: &str| Client::new(server.program.address()).bearer(token);
    let genuine = send(&bearer(&credentials.forger.genuine()), "GET", &target).await;
    assert_eq!(answer_of(&genuine), "200");
    for (what, token) in credentials.forger.forged() {
        for target in ["/v2/", &target] {
            let answer = send(&bearer(&token), "GET", target).await;
            assert_eq!(answer_of(&answer), "I", "{what}: {target}: {answer:?}");
        }
    }
    let log = server.program.log();
    let error = log.lines().find(|line| line.contains(r#""level":"ERROR""#));
    assert_eq!(error, None, "a forged token is no fault of the server");
}

wharfinger_e2e::on_each_engine! {
    nobody_gets_in_sees_or_changes_anything
    cve_2025_24976_a_token_is_verified_with_our_keys_alone
}
