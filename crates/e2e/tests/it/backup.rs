//! Backups of the running program, and what comes back from them, with real clients.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use http::StatusCode;
use serde_json::Value;
use tokio::task::JoinSet;
use wharfinger_e2e::upload::blob_matches;
use wharfinger_e2e::wait_until;
use wharfinger_testkit::http::{Client, Dice};
use wharfinger_testkit::program::{EngineKind, Program, binary};
use wharfinger_testkit::{TempDir, postgres};

use crate::answers::send;
use crate::collection::skopeo;
use crate::docker::Docker;
use crate::signatures::oracle;
use crate::team::{Person, digest_in};

const DATABASE: &str = "WHARFINGER__DATABASE__URL";

fn restore_with(data_dir: &Path, database: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(binary());
    command.arg("--data-dir").arg(data_dir).args(["--output", "json", "restore"]).args(arguments);
    command.env(DATABASE, database).output().unwrap()
}

fn report(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)))
}

pub(crate) fn new_database(engine: EngineKind) -> String {
    match engine {
        EngineKind::Sqlite => String::new(),
        EngineKind::Postgres => postgres::database(),
    }
}

/// Stops the server, puts its data directory aside, and starts it on what the backup restores.
fn replace(program: &mut Program, backup: &Path, engine: EngineKind, aside: &str) -> Value {
    program.stop();
    let data_dir = program.data_dir();
    fs::rename(&data_dir, data_dir.with_file_name(aside)).unwrap();
    let database = new_database(engine);
    let restored = restore_with(&data_dir, &database, &[backup.to_str().unwrap()]);
    assert!(restored.status.success(), "{}", String::from_utf8_lossy(&restored.stderr));
    program.restart_with(&[(DATABASE, &database)]);
    assert!(!data_dir.join("bootstrap.json").exists(), "its secrets are in no backup");
    report(&restored)
}

fn files(path: &Path) -> BTreeSet<PathBuf> {
    let entries = fs::read_dir(path).map(|entries| entries.map(|entry| entry.unwrap().path()));
    let mut found = BTreeSet::new();
    for path in entries.into_iter().flatten() {
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.insert(path);
        }
    }
    found
}

/// Pushes images until it is told to stop; answers with how many.
async fn push_until(client: Client, image: String, stop: Arc<AtomicBool>) -> u32 {
    let mut count = 0;
    while !stop.load(Ordering::Relaxed) {
        count += 1;
        let layer = Bytes::from(format!("layer {count} of {image}"));
        client.push_image(&image, &format!("v{count}"), &layer).await.unwrap();
    }
    count
}

/// Images of docker and skopeo, users and rights, backed up while others push, restored into an empty directory:
/// first on the same engine, then on the other one, and back.
async fn what_docker_and_skopeo_pushed_comes_back_with_users_and_rights(engine: EngineKind) {
    let scratch = TempDir::new();
    let docker = Docker::find_or_start(scratch.path());
    let mut program = Program::start(engine);
    let namespace = program.bootstrap.namespace.clone();
    let person = Person::new(&docker, &scratch, "administrator");
    let outsider = Person::new(&docker, &scratch, "outsider");
    program.admin(&["user", "create", "bob"]);
    let bob = program.admin(&["auth-token", "create", "--user", "bob", "--description", "old"]);
    let bob = bob["token"].as_str().unwrap().to_owned();
    let log_in = |program: &Program| {
        person.log_in(program, &program.bootstrap.username, &program.bootstrap.auth_token);
        outsider.log_in(program, "bob", &bob);
    };
    let name = |program: &Program, image: &str| format!("{}/{namespace}/{image}", program.address());
    log_in(&program);

    let context = scratch.path().join("image");
    fs::create_dir(&context).unwrap();
    fs::write(context.join("page"), Dice::new(7).bytes(700_003)).unwrap();
    fs::write(context.join("Dockerfile"), "FROM scratch\nCOPY page /page\nCMD [\"/page\"]\n").unwrap();
    let app = name(&program, "app:1");
    person.must(&["build", "-t", &app, context.to_str().unwrap()], "");
    let digest = digest_in(&person.must(&["push", &app], "")).to_owned();
    person.must(&["rmi", &app], "");

    // The first backup, while others push, skopeo among them.
    let backup = scratch.path().join("backup");
    let stop = Arc::new(AtomicBool::new(false));
    let mut pushers = JoinSet::new();
    for image in ["load/a", "load/b"] {
        pushers.spawn(push_until(program.administrator(), program.image(image), Arc::clone(&stop)));
    }
    let (from, to) = (format!("docker://{app}"), format!("docker://{}", name(&program, "copy:1")));
    let tls = ["--src-tls-verify=false", "--dest-tls-verify=false"];
    let first = tokio::task::block_in_place(|| {
        skopeo(&person.home, &["copy", "--preserve-digests", tls[0], tls[1], &from, &to]);
        program.admin(&["backup", backup.to_str().unwrap()])
    });
    stop.store(true, Ordering::Relaxed);
    let pushed: u32 = pushers.join_all().await.iter().sum();
    assert!(first["copied"].as_u64().unwrap() >= 2 && first["faults"] == serde_json::json!([]), "{first}");
    println!("{engine:?}: {pushed} images pushed beside it; {first}");

    // The second has what is new, and nothing else to copy.
    program.admin(&["backup", backup.to_str().unwrap()]);
    let before = files(&backup.join("objects"));
    program
        .administrator()
        .push_image(&program.image("late"), "1", &Bytes::from_static(b"late"))
        .await
        .unwrap();
    let second = program.admin(&["backup", backup.to_str().unwrap()]);
    let new: BTreeSet<_> = files(&backup.join("objects")).difference(&before).cloned().collect();
    assert_eq!(second["copied"].as_u64(), Some(1), "one layer; its config was pushed before: {second}");
    assert_eq!(new.len(), 1);
    for file in files(&backup) {
        let mode = fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{} is its owner's alone", file.display());
    }
    let secret = &program.bootstrap.auth_token;
    for file in files(&backup) {
        let text = fs::read(&file).unwrap();
        let has = text.windows(secret.len()).any(|window| window == secret.as_bytes());
        assert!(!has, "{} has the administrator's token", file.display());
    }
    let checked = restore_with(&program.data_dir(), "", &["--check", backup.to_str().unwrap()]);
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));

    // The administrator's key and profile are no part of a backup: they are kept by hand.
    let profile = fs::read_to_string(program.data_dir().join("oci-config")).unwrap();
    let key = scratch.path().join("key.pem");
    fs::copy(program.data_dir().join("oci_api_key.pem"), &key).unwrap();
    let of_the_server = program.data_dir().join("oci_api_key.pem").display().to_string();
    let config = scratch.path().join("oci-config");
    fs::write(&config, profile.replace(&of_the_server, &key.display().to_string())).unwrap();
    fs::set_permissions(&config, fs::Permissions::from_mode(0o600)).unwrap();

    let other = if engine == EngineKind::Sqlite { EngineKind::Postgres } else { EngineKind::Sqlite };
    let mut saved = second;
    for (round, target) in [engine, other, engine].into_iter().enumerate() {
        let restored = replace(&mut program, &backup, target, &format!("aside-{round}"));
        assert_eq!((&restored["objects"], &restored["rows"]), (&saved["objects"], &saved["rows"]));
        log_in(&program);
        for image in ["app:1", "copy:1"] {
            let image = name(&program, image);
            let pulled = person.must(&["pull", &image], "");
            person.must(&["rmi", &image], "");
            assert_eq!(digest_in(&pulled), digest);
            outsider.must_not(&["pull", &image], "");
        }
        let tags = send(&program.administrator(), "GET", &format!("/v2/{namespace}/load/a/tags/list")).await;
        assert!(tags.status() == StatusCode::OK && String::from_utf8_lossy(tags.body()).contains("v1"));
        let verified = program.admin(&["verify"]);
        assert!(verified["blobs"].as_u64() == saved["objects"].as_u64(), "{verified}");
        let endpoint = format!("http://{}", program.address());
        let mut oci = oracle("oci", scratch.path());
        oci.arg("--config-file").arg(&config).args([
            "--endpoint",
            &endpoint,
            "--no-retry",
            "iam",
            "user",
            "list",
        ]);
        let listed = tokio::task::spawn_blocking(move || oci.output().unwrap()).await.unwrap();
        let said = String::from_utf8_lossy(&listed.stdout).into_owned();
        assert!(listed.status.success() && said.contains("\"bob\""), "{listed:?}");
        // The next round begins with a backup of what was restored.
        saved = program.admin(&["backup", backup.to_str().unwrap()]);
        assert_eq!(saved["copied"].as_u64(), Some(0), "object ids are the same: {saved}");
    }
}

/// The server is killed in the middle of its second backup.
async fn a_kill_in_the_middle_of_a_backup_leaves_the_one_before(engine: EngineKind) {
    let mut program = Program::start(engine);
    let client = program.administrator();
    let image = program.image("app");
    client.push_image(&image, "1", &Bytes::from_static(b"first")).await.unwrap();
    let scratch = TempDir::new();
    let backup = scratch.path().join("backup");
    let path = backup.to_str().unwrap();
    program.admin(&["backup", path]);
    let before = files(&backup.join("objects")).len();
    let mut dice = Dice::new(1);
    for _ in 0..300 {
        client.push_blob(&image, &dice.bytes(300_000)).await.unwrap();
    }
    let mut command = Command::new(binary())
        .arg("--data-dir")
        .arg(program.data_dir())
        .args(["admin", "backup", path])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    wait_until("the backup begins", async || files(&backup.join("objects")).len() > before + 50).await;
    program.kill();
    assert!(!command.wait().unwrap().success());
    assert!(backup.join("unfinished").exists(), "it was in the middle");

    let data_dir = scratch.path().join("data");
    let database = new_database(engine);
    let restored = restore_with(&data_dir, &database, &[path]);
    assert!(restored.status.success(), "{}", String::from_utf8_lossy(&restored.stderr));
    assert_eq!(report(&restored)["objects"].as_u64(), Some(2), "the one before");

    program.restart();
    let next = program.admin(&["backup", path]);
    assert_eq!((next["objects"].as_u64(), &next["faults"]), (Some(302), &serde_json::json!([])));
    assert!(next["copied"].as_u64().unwrap() < 290, "what was copied is not copied again: {next}");
    let checked = restore_with(&data_dir, "", &["--check", path]);
    assert_eq!((checked.status.code(), report(&checked)["objects"].as_u64()), (Some(0), Some(302)));
}

/// A bit flips in the server, and one in the backup.
async fn a_flipped_bit_is_found_by_scrub_verify_and_check(engine: EngineKind) {
    let program = Program::start(engine);
    let client = program.administrator();
    let image = program.image("app");
    let layer = Bytes::from_static(b"what is damaged");
    client.push_image(&image, "1", &layer).await.unwrap();
    let scratch = TempDir::new();
    let backup = scratch.path().join("backup");
    program.admin(&["backup", backup.to_str().unwrap()]);
    assert_eq!(program.admin(&["verify"])["faults"], serde_json::json!([]));
    assert_eq!(program.admin(&["scrub"])["faults"], serde_json::json!([]));
    let flip = |below: &Path| {
        let objects = files(&below.join("objects"));
        let object = objects.iter().find(|object| fs::read(object).unwrap() == *layer).unwrap();
        let mut bytes = layer.to_vec();
        bytes[3] ^= 1;
        fs::write(object, bytes).unwrap();
    };
    flip(&program.data_dir());
    let verified = program.admin_output(&["verify"]);
    assert_eq!(verified.status.code(), Some(1));
    let faults = &report(&verified)["faults"];
    assert!(faults[0]["reason"].as_str().unwrap().contains("another digest"), "{faults}");
    let scrubbed = program.admin_output(&["scrub"]);
    assert_eq!((scrubbed.status.code(), report(&scrubbed)["quarantined"].as_u64()), (Some(1), Some(1)));
    let metrics = send(&Client::new(program.management()), "GET", "/metrics").await;
    assert!(String::from_utf8_lossy(metrics.body()).contains("wharfinger_damaged_blobs_total 1"));
    assert!(!blob_matches(&client, &image, &layer).await.unwrap(), "it is absent to its readers");
    client.push_image(&image, "1", &layer).await.unwrap();
    assert!(blob_matches(&client, &image, &layer).await.unwrap(), "a push mends it");
    assert_eq!(program.admin(&["scrub"])["faults"], serde_json::json!([]));

    flip(&backup);
    let checked = restore_with(&program.data_dir(), "", &["--check", backup.to_str().unwrap()]);
    assert_eq!((checked.status.code(), report(&checked)["faults"].as_array().unwrap().len()), (Some(1), 1));
    let data_dir = scratch.path().join("data");
    let database = new_database(engine);
    let refused = restore_with(&data_dir, &database, &[backup.to_str().unwrap()]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("--allow-damaged"), "{refused:?}");
    // Cut off, as it were: it can't be served, and be finished.
    let mut serve = Command::new(binary());
    serve
        .arg("--data-dir")
        .arg(&data_dir)
        .args(["serve", "--listen", "127.0.0.1:0"])
        .env(DATABASE, &database);
    let served = serve.output().unwrap();
    assert!(String::from_utf8_lossy(&served.stderr).contains("was cut off"), "{served:?}");
    let restored = restore_with(&data_dir, &database, &["--allow-damaged", backup.to_str().unwrap()]);
    assert!(restored.status.success(), "{restored:?}");
}

/// Nothing is restored over anything.
#[tokio::test(flavor = "multi_thread")]
async fn a_restore_takes_empty_places_only() {
    let program = Program::start(EngineKind::Sqlite);
    let scratch = TempDir::new();
    let backup = scratch.path().join("backup");
    let path = backup.to_str().unwrap();
    program.admin(&["backup", path]);
    let refused = restore_with(&program.data_dir(), "", &[path]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("in use by another"), "{refused:?}");
    let full = scratch.path().join("full");
    fs::create_dir(&full).unwrap();
    fs::write(full.join("notes"), "mine").unwrap();
    let refused = restore_with(&full, "", &[path]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("it has `notes`"), "{refused:?}");
    let occupied = Program::start(EngineKind::Postgres);
    let wharfinger_testkit::program::Location::Postgres(url) = occupied.location() else {
        panic!("it is PostgreSQL")
    };
    let refused = restore_with(&scratch.path().join("empty"), &url, &[path]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("is not empty"), "{refused:?}");
    let refused = program.admin_output(&["backup", program.data_dir().to_str().unwrap()]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("holds files, but no backup"), "{refused:?}");
}

wharfinger_e2e::on_each_engine! {
    what_docker_and_skopeo_pushed_comes_back_with_users_and_rights
    a_kill_in_the_middle_of_a_backup_leaves_the_one_before
    a_flipped_bit_is_found_by_scrub_verify_and_check
}
