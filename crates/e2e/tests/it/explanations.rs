//! `wharfinger admin explain` and `wharfinger admin rights`, against the real program.

use std::process::{Command, Output};

use serde_json::json;
use wharfinger_testkit::http::Client;
use wharfinger_testkit::program::{EngineKind, Program, binary};

const STATEMENT: &str = "Allow group Administrators to manage all-resources in tenancy";

fn text(output: &[u8]) -> String {
    String::from_utf8(output.to_vec()).unwrap()
}

async fn decisions_and_rights_are_explained(engine: EngineKind) {
    let program = Program::start(engine);
    program.admin(&["repository", "create", "app"]);
    program.admin(&["repository", "create", "open", "--public"]);
    for user in ["alice", "bob"] {
        program.admin(&["user", "create", user]);
    }
    program.admin(&["auth-token", "create", "--user", "alice", "--description", "laptop"]);
    program.admin(&["group", "add-user", "Administrators", "alice"]);
    let explain = ["explain", "--permission", "REPOSITORY_UPDATE", "--user"];
    let alice = program.admin(&[&explain[..], &["alice", "--repository", "app"]].concat());
    assert_eq!(
        alice,
        json!({
            "allowed": true, "statement": STATEMENT, "policy": "Tenant Admin Policy", "missing": null,
            "nearest": [], "notes": [],
        })
    );
    let bob = program.admin(&[&explain[..], &["bob", "--compartment", ""]].concat());
    assert_eq!(bob["missing"], json!({ "permission": "REPOSITORY_UPDATE", "compartment": "tenancy" }));
    assert_eq!(bob["nearest"][0]["clause"], "subject");

    let table = |arguments: &[&str]| {
        let mut command = Command::new(binary());
        command.arg("--data-dir").arg(program.data_dir()).arg("admin").args(arguments).output().unwrap()
    };
    let asked = ["bob", "--repository", "open", "--at", "2026-04-01T15:00:00Z", "--from", "192.0.2.7"];
    let bob = text(&table(&[&explain[..], &asked].concat()).stdout);
    assert_eq!(
        bob.lines().collect::<Vec<_>>(),
        [
            "denied: bob: no statement grants REPOSITORY_UPDATE in tenancy",
            "  statement 1 of policy `Tenant Admin Policy` fails at its subject `group Administrators`",
            "  note: the repository is public: anybody may inspect and read it",
            "  note: user `bob` has no auth token, so `docker login` fails: create one",
            "  note: user `bob` is in no group: only statements about `any-user` name it",
            "  note: no statement of any policy names user `bob` or one of its groups",
        ]
    );

    let refused = |arguments: &[&str], reason: &str| {
        let Output { status, stderr, .. } = table(arguments);
        let said = text(&stderr);
        assert!(!status.success() && said.contains(reason), "{arguments:?}: {said}");
    };
    let on_app = ["--repository", "app"];
    refused(&[&explain[..], &["nobody"], &on_app].concat(), "user `nobody` does not exist");
    refused(&[&explain[..], &["bob", "--repository", "none"]].concat(), "repository `none` does not exist");
    refused(&[&explain[..], &["bob", "--compartment", "none"]].concat(), "compartment `none` does not exist");
    refused(&[&explain[..], &["bob", "--at", "noon"], &on_app].concat(), "at `noon` is not valid");
    refused(&[&explain[..], &["bob", "--from", "here"], &on_app].concat(), "from `here` is not valid");
    let unknown = ["explain", "--user", "bob", "--permission", "REPOSITORY_PULL", "--repository", "app"];
    refused(&unknown, "permission `REPOSITORY_PULL` is not valid");
    refused(&["explain", "--user", "bob", "--permission", "REPOSITORY_READ"], "--repository");

    let of_alice = program.admin(&["rights", "--user", "alice"]);
    assert_eq!(of_alice[0]["statement"], STATEMENT);
    assert_eq!(program.admin(&["rights", "--user", "bob"]), json!([]));
    let on_open = program.admin(&["rights", "--repository", "open"]);
    let whom: Vec<_> = on_open.as_array().unwrap().iter().map(|right| &right["subject"]).collect();
    assert_eq!(whom, ["anybody", "group Administrators"]);
    let shown = text(&table(&["rights", "--repository", "open"]).stdout);
    assert_eq!(
        shown.lines().collect::<Vec<_>>(),
        [
            "allow anybody in tenancy: REPOSITORY_INSPECT REPOSITORY_READ",
            "  because the repository is public",
            "allow group Administrators in tenancy: REPOSITORY_INSPECT REPOSITORY_READ REPOSITORY_CREATE REPOSITORY_DELETE REPOSITORY_UPDATE REPOSITORY_MANAGE",
            &format!("  statement 1 of policy `Tenant Admin Policy`: {STATEMENT}"),
        ]
    );
}

/// The client reads one text for all failed log-ins, and nothing of a repository that it may not see; who may read
/// the log or ask for an explanation learns the cause.
async fn each_cause_of_a_refusal_is_in_the_log_or_explained(engine: EngineKind) {
    let program = Program::start(engine);
    program.admin(&["repository", "create", "app"]);
    let new_user = |name: &str| {
        program.admin(&["user", "create", name]);
        let token = program.admin(&["auth-token", "create", "--user", name, "--description", "d"]);
        token["token"].as_str().unwrap().to_owned()
    };
    let (alice, carol) = (new_user("alice"), new_user("carol"));
    program.admin(&["user", "update", "carol", "--active", "false"]);
    let anonymous = program.anonymous();
    let namespace = &program.bootstrap.namespace;
    let name = |user: &str| format!("{namespace}/{user}");
    let manifest = format!("/v2/{namespace}/app/manifests/1");
    let ask = async |client: &Client| {
        let answer = client.get(&manifest).await.unwrap();
        (answer.status().as_u16(), String::from_utf8_lossy(answer.body()).into_owned())
    };
    // Each cause, and what is said to the client and in the log.
    let not_logged_in = ask(&anonymous).await;
    let no_policy = ask(&anonymous.basic(&name("alice"), &alice)).await;
    let bare_name = ask(&anonymous.basic("alice", &alice)).await;
    let no_token = ask(&anonymous.basic(&name("alice"), "my console password")).await;
    let inactive = ask(&anonymous.basic(&name("carol"), &carol)).await;
    let statuses = [&not_logged_in, &no_policy, &bare_name, &no_token, &inactive].map(|(status, _)| *status);
    assert_eq!(statuses, [401, 403, 401, 401, 401]);
    assert_eq!((&bare_name.1, &bare_name.1), (&no_token.1, &inactive.1));
    assert_ne!(not_logged_in.1, no_token.1);
    let log = program.log();
    let lines: Vec<serde_json::Value> =
        log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let said = |message: &str, field: &str, part: &str| {
        let mut found = lines.iter().filter(|line| {
            line["message"] == message && line[field].as_str().is_some_and(|text| text.contains(part))
        });
        found.next().unwrap_or_else(|| panic!("`{part}` is not in the log"))
    };
    assert_eq!(said("denied", "reason", "nobody is logged in")["principal"], "anonymous");
    let denied = said("denied", "reason", "no statement grants REPOSITORY_READ");
    assert!(denied["principal"].as_str().unwrap().starts_with("ocid1.user."), "{denied}");
    assert!(said("log-in failed", "cause", "must be `<namespace>/<user>`")["user"].is_null());
    assert_eq!(said("log-in failed", "cause", "none of the user's auth tokens")["user"], name("alice"));
    assert_eq!(said("log-in failed", "cause", "the user is inactive")["user"], name("carol"));
    assert!(!log.contains("my console password") && !log.contains(&alice));
    let explain = |user: &str| {
        program.admin(&["explain", "--user", user, "--permission", "REPOSITORY_READ", "--repository", "app"])
    };
    assert!(explain("alice")["notes"].to_string().contains("is in no group"));
    assert!(explain("carol")["notes"].to_string().contains("is inactive"));
}

wharfinger_e2e::on_each_engine! {
    each_cause_of_a_refusal_is_in_the_log_or_explained
    decisions_and_rights_are_explained
}
