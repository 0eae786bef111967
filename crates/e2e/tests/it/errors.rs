//! What goes wrong at start and stop is said so that a person can mend it: what, its value, what to do.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use http::StatusCode;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use wharfinger_e2e::upload::blob_matches;
use wharfinger_e2e::wait_until;
use wharfinger_testkit::TempDir;
use wharfinger_testkit::http::{Client, Dice, digest};
use wharfinger_testkit::program::{EngineKind, Program, binary, wait};

/// Exit code and standard error of a run that is to end by itself.
fn run(mut command: Command) -> (Option<i32>, String) {
    let log = TempDir::new();
    let path = log.path().join("stderr");
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(fs::File::create(&path).unwrap())
        .spawn()
        .unwrap();
    let status = wait(&mut child, Duration::from_secs(30));
    if status.is_none() {
        let _ = child.kill();
        let _ = child.wait();
    }
    let said = fs::read_to_string(&path).unwrap();
    let status = status.unwrap_or_else(|| panic!("it runs on: {command:?}: {said}"));
    (status.code(), said)
}

/// `serve` in that data directory, on a free port unless arguments say otherwise.
fn serve(data: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(binary());
    command.arg("--data-dir").arg(data).arg("serve").env("WHARFINGER__MANAGEMENT__LISTEN", "");
    if !arguments.contains(&"--listen") {
        command.args(["--listen", "127.0.0.1:0"]);
    }
    command.args(arguments);
    command
}

#[track_caller]
fn refuses(command: Command, code: i32, parts: &[&str]) {
    let shown = format!("{command:?}");
    let (status, said) = run(command);
    assert_eq!(status, Some(code), "{shown}: {said}");
    for part in parts {
        assert!(said.contains(part), "`{part}` is not in what {shown} said: {said}");
    }
    assert!(!said.contains("panicked"), "{shown} ends in a panic: {said}");
}

#[track_caller]
fn refuses_settings(text: &str, parts: &[&str]) {
    let directory = TempDir::new();
    let file = directory.path().join("wharfinger.toml");
    fs::write(&file, text).unwrap();
    let file = file.to_str().unwrap();
    let command = serve(&directory.path().join("data"), &["--config", file]);
    refuses(command, 1, &[&[file][..], parts].concat());
}

#[test]
fn an_unknown_setting_is_named_with_its_line() {
    refuses_settings("# settings\n[server]\nlissten = \"127.0.0.1:0\"\n", &["line 3", "lissten", "listen"]);
    refuses_settings("[sever]\n", &["line 1", "sever", "server"]);
}

#[test]
fn a_wrong_value_is_named_with_its_line_and_a_right_one() {
    refuses_settings("[tokens]\nlifetime = \"soon\"\n", &["line 2", "soon", "90s"]);
    refuses_settings(
        "[server]\ntrusted_proxies = [\"10.0.0.0/99\"]\n",
        &["line 2", "10.0.0.0/99", "10.0.0.0/8"],
    );
    refuses_settings("[server]\nlisten = \"localhost\"\n", &["line 2", "localhost", "127.0.0.1:5000"]);
    refuses_settings("[server\n", &["line 1"]);
    // What is wrong beyond its form is named without the place, which may be a variable.
    let data = TempDir::new();
    for (variable, value, parts) in [
        ("WHARFINGER__TOKENS__LIFETIME", "1s", ["tokens.lifetime", "1s", "at least 60s"]),
        (
            "WHARFINGER__TENANCY__NAMESPACE",
            "No Such Thing",
            ["tenancy.namespace", "No Such Thing", "lower-case"],
        ),
    ] {
        let mut command = serve(&data.path().join("data"), &[]);
        command.env(variable, value);
        refuses(command, 1, &parts);
    }
}

#[test]
fn a_wrong_variable_is_named() {
    let data = TempDir::new();
    let with = |name: &str, value: &str| {
        let mut command = serve(&data.path().join("data"), &[]);
        command.env(name, value);
        command
    };
    refuses(
        with("WHARFINGER__SERVER__LISSTEN", "127.0.0.1:0"),
        1,
        &["WHARFINGER__SERVER__LISSTEN", "server.lissten"],
    );
    refuses(
        with("WHARFINGER__TLS__TERMINATED_BY_PROXY", "maybe"),
        1,
        &["WHARFINGER__TLS__TERMINATED_BY_PROXY", "maybe", "boolean"],
    );
    refuses(
        with("WHARFINGER__DATABASE__URL_FILE", "/no/such/file"),
        1,
        &["WHARFINGER__DATABASE__URL_FILE", "/no/such/file"],
    );
    refuses(with("WHARFINGER__LOG__FILTER", "loud=very"), 1, &["log.filter", "loud=very"]);
}

#[test]
fn a_settings_file_that_is_not_there_is_named() {
    let data = TempDir::new();
    let command = serve(data.path(), &["--config", "/no/such/wharfinger.toml"]);
    refuses(command, 1, &["/no/such/wharfinger.toml", "No such file"]);
}

#[test]
fn a_port_that_is_taken_is_named_with_its_setting() {
    let data = TempDir::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    refuses(
        serve(&data.path().join("data"), &["--listen", &address]),
        1,
        &[&address, "server.listen", "choose another"],
    );
    let mut command = serve(&data.path().join("data"), &[]);
    command.env("WHARFINGER__MANAGEMENT__LISTEN", &address);
    refuses(command, 1, &[&address, "management.listen", "choose another"]);
}

#[test]
fn an_address_beyond_loopback_needs_tls() {
    let data = TempDir::new();
    refuses(
        serve(&data.path().join("data"), &["--listen", "0.0.0.0:0"]),
        1,
        &["server.listen", "0.0.0.0:0", "tls.terminated_by_proxy", "loopback"],
    );
}

#[test]
fn a_data_directory_that_cannot_be_written_is_named() {
    let scratch = TempDir::new();
    let data = scratch.path().join("data");
    fs::create_dir(&data).unwrap();
    fs::set_permissions(&data, fs::Permissions::from_mode(0o555)).unwrap();
    let shown = data.to_str().unwrap();
    let missing = data.join("below");
    for (directory, parts) in [
        (&data, [shown, "--data-dir", "Permission denied"]),
        (&missing, [shown, "--data-dir", "Permission denied"]),
    ] {
        let command = serve(directory, &[]);
        refuses(as_nobody(&command, scratch.path()), 1, &parts);
    }
    let file = scratch.path().join("file");
    fs::write(&file, "").unwrap();
    refuses(serve(&file, &[]), 1, &[file.to_str().unwrap(), "--data-dir"]);
}

/// The command as a user who may write nothing, since root may write everything.
fn as_nobody(command: &Command, scratch: &Path) -> Command {
    // Nobody may not look into the directory of the build.
    let program = scratch.join("wharfinger");
    if !program.exists() {
        fs::copy(command.get_program(), &program).unwrap();
    }
    let mut nobody = Command::new("setpriv");
    if rustix::process::geteuid().is_root() {
        nobody.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
    }
    nobody.arg(program).args(command.get_args());
    nobody.env("WHARFINGER__MANAGEMENT__LISTEN", "");
    nobody
}

#[test]
fn a_data_directory_in_use_is_named() {
    let program = Program::start(EngineKind::Sqlite);
    let data = program.data_dir();
    refuses(serve(&data, &[]), 1, &[data.to_str().unwrap(), "in use", "--data-dir"]);
    // The one that runs has not noticed.
    program.admin(&["user", "list"]);
}

#[test]
fn a_database_of_a_newer_version_is_refused_untouched() {
    let mut program = Program::start(EngineKind::Sqlite);
    program.stop();
    let database = program.data_dir().join("wharfinger.db");
    let python = "import sqlite3, sys
database = sqlite3.connect(sys.argv[1])
database.execute('UPDATE schema_version SET version = 4711')
database.commit()";
    let status = Command::new("python3").args(["-c", python]).arg(&database).status();
    assert!(status.expect("python3 is installed").success());
    let parts = [database.to_str().unwrap(), "4711", "newer"];
    refuses(serve(&program.data_dir(), &[]), 1, &parts);
    refuses(serve(&program.data_dir(), &[]), 1, &parts);
}

#[test]
fn a_database_server_that_does_not_answer_is_named_without_its_password() {
    let data = TempDir::new();
    let mut command = serve(&data.path().join("data"), &[]);
    let url = "postgres://wharf:opensesame@127.0.0.1:1/wharf";
    command.env("WHARFINGER__DATABASE__URL", url);
    let (code, said) = run(command);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("database.url"), "{said}");
    assert!(said.contains("Connection refused"), "{said}");
    assert!(!said.contains("opensesame"), "{said}");
}

#[test]
fn wrong_usage_exits_with_2() {
    let usage = |arguments: &[&str]| {
        let mut command = Command::new(binary());
        command.args(arguments);
        command
    };
    refuses(usage(&["sreve"]), 2, &["sreve", "serve"]);
    refuses(usage(&["serve", "--lissten"]), 2, &["--lissten"]);
    refuses(usage(&[]), 2, &["Usage"]);
    refuses(usage(&["admin"]), 2, &["Usage"]);
    refuses(usage(&["admin", "user", "frobnicate"]), 2, &["frobnicate"]);
    refuses(usage(&["admin", "user", "create"]), 2, &["NAME"]);
    refuses(usage(&["admin", "user", "update", "u", "--active", "maybe"]), 2, &["maybe", "--active"]);
}

#[test]
fn an_admin_command_without_a_server_says_how_to_start_one() {
    let data = TempDir::new();
    let mut command = Command::new(binary());
    command.arg("--data-dir").arg(data.path()).args(["admin", "user", "list"]);
    refuses(command, 1, &["control.sock", "wharfinger serve", "--data-dir"]);
}

#[test]
fn a_refused_admin_command_exits_with_1_and_says_why() {
    let program = Program::start(EngineKind::Sqlite);
    program.admin(&["user", "create", "alice"]);
    for (arguments, parts) in [
        (&["user", "create", "alice"][..], &["alice", "already"][..]),
        (&["user", "delete", "nobody"], &["nobody"]),
        (&["user", "create", "not a name"], &["not a name"]),
        (&["repository", "create", "Upper/Case"], &["Upper/Case"]),
        (&["repository", "delete", "no/such"], &["no/such"]),
        (&["--tenancy", "nosuch", "user", "list"], &["nosuch"]),
    ] {
        let output = program.admin_output(arguments);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {said}");
        for part in parts {
            assert!(said.contains(part), "{arguments:?}: no `{part}` in: {said}");
        }
    }
}

/// A server that is told to stop takes no more connections, but lets a transfer end.
async fn a_stop_waits_for_a_slow_upload(engine: EngineKind) {
    let mut program = Program::start(engine);
    let client = program.administrator();
    let image = program.image("slow/app");
    let blob = Dice::new(1).bytes(300_000);
    let location = client.start_upload(&image).await.unwrap();
    let mut stream = TcpStream::connect(program.address()).await.unwrap();
    let head = format!(
        "PUT {location}?digest={} HTTP/1.1\r\nhost: registry\r\nauthorization: {}\r\ncontent-length: {}\r\n\r\n",
        digest(&blob),
        client.authorization().unwrap(),
        blob.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&blob[..100_000]).await.unwrap();
    // Answered only when the session is free, or never: then the upload has begun.
    let other = client.start_upload(&image).await.unwrap();
    assert_ne!(other, location);

    program.terminate();
    let address = program.address();
    wait_until("no more connections", async || Client::new(address).get("/healthz").await.is_err()).await;
    stream.write_all(&blob[100_000..]).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.starts_with("HTTP/1.1 201 "), "{answer}");
    program.wait_for_stop();
    assert!(!program.data_dir().join("addresses.json").exists());

    program.restart();
    let client = program.administrator();
    assert!(blob_matches(&client, &image, &blob).await.unwrap());
    let ready = client.get("/readyz").await.unwrap();
    assert_eq!(ready.status(), StatusCode::OK);
}

wharfinger_e2e::on_each_engine! { a_stop_waits_for_a_slow_upload }
