//! Which operation asks for which permissions, and on what: `docs/permissions.md` is what the log said while
//! everybody who may did each of them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write as _;
use std::path::Path;

use serde_json::Value;
use wharfinger_testkit::program::EngineKind;

use super::server::Server;
use super::{control, table};

/// Debug says what an operation must have, trace what a list looks for.
const LOG: (&str, &str) = ("WHARFINGER__LOG__FILTER", "info,wharfinger=debug,wharfinger_iam=trace");
const HEAD: &str = "# Permissions\n\n\
    What each operation asks for, and on what: the tenancy, a compartment or a repository. A repository may be one\n\
    that is about to be made. The right-hand column is asked for in some cases only, such as the right to create a\n\
    repository that a push names. One's own credentials need no permission, public repositories none to be read.\n\n\
    This page is what the program logged while each operation ran; a test compares the two. After a change run\n\
    that test, `attack::permissions`, with `WHARFINGER_WRITE_PERMISSIONS=1`, and look at the difference.\n";

type Asked = BTreeSet<String>;

/// Operations of a face with what each of their requests asked for.
type Face = BTreeMap<String, Vec<Asked>>;

/// The faces, in the order of the page.
const FACES: [&str; 3] = ["Distribution API and registry tokens", "Oracle Cloud's REST", "/api/v1/"];

fn face(path: &str) -> &'static str {
    let is_oracle =
        path.starts_with("/20160918/") || path.starts_with("/v1/") || path == "/n" || path.starts_with("/n/");
    if path.starts_with("/api/v1/") {
        FACES[2]
    } else if is_oracle {
        FACES[1]
    } else {
        FACES[0]
    }
}

/// Takes in what the log says of the requests that were served.
fn read(log: &str, faces: &mut HashMap<&'static str, Face>) {
    let mut open: HashMap<String, Asked> = HashMap::new();
    for line in log.lines() {
        let Ok(line) = serde_json::from_str::<Value>(line) else { continue };
        let Some(id) = line["span"]["id"].as_str() else { continue };
        if let (Some(permission), Some(on)) = (line["permission"].as_str(), line["on"].as_str()) {
            open.entry(id.to_owned()).or_default().insert(format!("{permission} on {on}"));
        }
        let Some(operation) = line["operation"].as_str().filter(|_| line["message"] == "answered") else {
            continue;
        };
        let asked = open.remove(id).unwrap_or_default();
        if line["status"].as_u64().unwrap() < 400 && operation != "other" {
            let face = face(line["span"]["path"].as_str().unwrap());
            faces.entry(face).or_default().entry(operation.to_owned()).or_default().push(asked);
        }
    }
}

fn page(faces: &HashMap<&'static str, Face>) -> String {
    let mut page = HEAD.to_owned();
    for face in FACES {
        write!(page, "\n## {face}\n\n| operation | asks for | in some cases |\n|---|---|---|\n").unwrap();
        for (operation, requests) in &faces[face] {
            let always = requests.iter().cloned().reduce(|all, asked| &all & &asked).unwrap_or_default();
            let ever = requests.iter().flatten().cloned().collect::<Asked>();
            let list = |asked: &Asked| asked.iter().cloned().collect::<Vec<_>>().join(", ");
            writeln!(page, "| `{operation}` | {} | {} |", list(&always), list(&(&ever - &always))).unwrap();
        }
    }
    page
}

async fn the_page_says_what_operations_ask_for(engine: EngineKind) {
    let mut faces = HashMap::new();
    let installation = control::Installation::start(engine, &[LOG]).await;
    for row in &control::table().1 {
        control::serve(&installation, row).await;
    }
    read(&installation.program.log(), &mut faces);

    let server = Server::start(engine, &[LOG]).await;
    let administrator = server.program.administrator();
    let (_, rows) = table();
    let (local, served): (Vec<_>, Vec<_>) =
        rows.iter().partition(|row| row.request.target.starts_with("/api/v1/"));
    for row in served {
        server.send(&administrator, &row.request, &server.image).await;
    }
    // What was made last is deleted first.
    let (deletions, others): (Vec<_>, Vec<_>) =
        local.into_iter().partition(|row| row.request.method == "DELETE");
    for row in others.into_iter().chain(deletions.into_iter().rev()) {
        if row.operation == "delete_user" {
            // The last administrator can't be deleted.
            server.program.admin(&["group", "add-user", "Administrators", "admin"]);
        }
        let answer = server.send_locally(&row.request);
        assert_eq!(answer, "HTTP/1.1 200 OK", "{}", row.request);
    }
    read(&server.program.log(), &mut faces);

    let all = [
        wharfinger_api_distribution::OPERATIONS.to_vec(),
        wharfinger_api_control::oracle_operations(),
        wharfinger_api_control::operations(),
    ];
    for (face, all) in FACES.iter().zip(all) {
        let served: BTreeSet<&str> = faces[face].keys().map(String::as_str).collect();
        assert_eq!(served, all.into_iter().collect(), "{face}: each operation was served at least once");
    }
    let page = page(&faces);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/permissions.md");
    if std::env::var_os("WHARFINGER_WRITE_PERMISSIONS").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    assert_eq!(std::fs::read_to_string(path).unwrap_or_default(), page);
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite() {
    the_page_says_what_operations_ask_for(EngineKind::Sqlite).await;
}
