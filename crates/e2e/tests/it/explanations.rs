//! `wharfinger admin explain` and `wharfinger admin rights`, against the real program.

use std::process::{Command, Output};

use serde_json::json;
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

wharfinger_e2e::on_each_engine! {
    decisions_and_rights_are_explained
}
