//! A team at work: its CI pushes to one compartment, a release is promoted to another, machines pull from
//! there, developers read along; and nobody does more than the policies say.

use std::collections::HashMap;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use bytes::Bytes;
use http::StatusCode;
use wharfinger_testkit::TempDir;
use wharfinger_testkit::http::{Client, IMAGE_MANIFEST, digest, expect, text};
use wharfinger_testkit::program::{EngineKind, Program};

use crate::answers::{is, json_of, send};
use crate::docker::Docker;
use crate::signatures::oracle;

const CONFIG: &[u8] = b"{}";
const LAYER: Bytes = Bytes::from_static(b"what the team ships");
/// What one reads who has no right at all there.
const UNSEEN: &str = "access denied, or no such resource";

fn missing(permission: &str, compartment: &str) -> String {
    format!("access denied: {permission} in compartment `{compartment}` is missing")
}

/// A server with the team of `team.py`, and the repositories `dev/app`, `prod/app` and the public `open/app`.
struct Team {
    program: Program,
    tokens: HashMap<String, String>,
}

impl Team {
    async fn new(engine: EngineKind) -> Team {
        let program = Program::start(engine);
        let data_dir = program.data_dir();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/team.py");
        let mut python = oracle("python", &data_dir);
        python.arg(script).arg(data_dir.join("oci-config")).arg(format!("http://{}", program.address()));
        let output = tokio::task::spawn_blocking(move || python.output().unwrap()).await.unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let tokens = serde_json::from_slice(&output.stdout).unwrap();
        for compartment in ["dev", "prod"] {
            let name = format!("{compartment}/app");
            program.admin(&["repository", "create", &name, "--compartment", compartment]);
        }
        program.admin(&["repository", "create", "open/app", "--public"]);
        Team { program, tokens }
    }

    fn client(&self, user: &str) -> Client {
        self.program.anonymous().basic(&login(&self.program, user), &self.tokens[user])
    }

    /// Takes a user out of its group.
    fn dismiss(&self, group: &str, user: &str) {
        self.program.admin(&["group", "remove-user", group, user]);
    }

    /// How many requests that may carry bytes of a blob were answered.
    async fn uploads(&self) -> u64 {
        let metrics = send(&Client::new(self.program.management()), "GET", "/metrics").await;
        let metrics = String::from_utf8_lossy(metrics.body()).into_owned();
        let is_upload = |line: &&str| {
            let names = ["append_upload", "finish_upload"];
            names
                .iter()
                .any(|name| line.starts_with(&format!("wharfinger_requests_total{{operation=\"{name}\",")))
        };
        let counts = metrics.lines().filter(is_upload);
        counts.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
    }
}

async fn each_of_a_team_does_its_part_and_no_more(engine: EngineKind) {
    let team = Team::new(engine).await;
    let image = |name: &str| team.program.image(name);
    let (dev, prod, open) = (image("dev/app"), image("prod/app"), image("open/app"));
    let [ci, release, cluster, dana] =
        ["ci-bot", "release-bot", "cluster", "dana"].map(|user| team.client(user));
    let (config, layer) = (digest(CONFIG), digest(&LAYER));
    let manifest_of = |image: &str| format!("/v2/{image}/manifests/1");
    let uploads_of = |image: &str| format!("/v2/{image}/blobs/uploads/");
    let mount = |blob: &str| format!("/v2/{prod}/blobs/uploads/?mount={blob}&from={dev}");

    let manifest = ci.push_image(&dev, "1", &LAYER).await.unwrap();
    team.program.administrator().push_image(&open, "1", &LAYER).await.unwrap();

    // Promoted: the same digest, and no byte goes over the wire again.
    let before = team.uploads().await;
    assert!(before > 0);
    for blob in [&config, &layer] {
        expect(send(&release, "POST", &mount(blob)).await, StatusCode::CREATED).unwrap();
    }
    release.put_manifest(&prod, "1", IMAGE_MANIFEST, &manifest).await.unwrap();
    assert_eq!(team.uploads().await, before);
    for (client, image) in
        [(&cluster, &prod), (&release, &prod), (&release, &dev), (&dana, &dev), (&ci, &dev)]
    {
        let pulled = expect(send(client, "GET", &manifest_of(image)).await, StatusCode::OK).unwrap();
        assert_eq!(text(pulled.headers(), "docker-content-digest"), digest(&manifest));
        let blob = send(client, "GET", &format!("/v2/{image}/blobs/{layer}")).await;
        assert_eq!(expect(blob, StatusCode::OK).unwrap().body(), &LAYER);
    }

    let no_push = |compartment: &str| missing("REPOSITORY_UPDATE", compartment);
    for (who, client, method, target, message) in [
        ("ci", &ci, "GET", manifest_of(&prod), UNSEEN.to_owned()),
        ("ci", &ci, "POST", uploads_of(&prod), UNSEEN.to_owned()),
        ("ci", &ci, "POST", mount(&layer), UNSEEN.to_owned()),
        ("ci", &ci, "POST", uploads_of(&image("new")), UNSEEN.to_owned()),
        ("release", &release, "POST", uploads_of(&dev), no_push("dev")),
        ("release", &release, "DELETE", manifest_of(&dev), no_push("dev")),
        ("runtime", &cluster, "GET", manifest_of(&dev), UNSEEN.to_owned()),
        ("runtime", &cluster, "POST", uploads_of(&prod), no_push("prod")),
        ("runtime", &cluster, "POST", mount(&layer), no_push("prod")),
        ("runtime", &cluster, "DELETE", manifest_of(&prod), no_push("prod")),
        ("developers", &dana, "POST", uploads_of(&dev), no_push("dev")),
        ("developers", &dana, "GET", manifest_of(&prod), missing("REPOSITORY_READ", "prod")),
        ("developers", &dana, "POST", uploads_of(&prod), no_push("prod")),
    ] {
        let answer = send(client, method, &target).await;
        is(&answer, StatusCode::FORBIDDEN, "DENIED");
        assert_eq!(json_of(&answer)["errors"][0]["message"], message, "{who}: {method} {target}");
    }

    // Out of the group, with a registry token in hand and an upload half done.
    let scope = |image: &str| format!("repository:{image}:pull,push");
    let pulling = cluster.bearer(&cluster.token(&[&scope(&prod)]).await.unwrap());
    let pushing = ci.bearer(&ci.token(&[&scope(&dev)]).await.unwrap());
    assert_eq!(send(&pulling, "GET", &manifest_of(&prod)).await.status(), StatusCode::OK);
    let session = pushing.start_upload(&dev).await.unwrap();
    team.dismiss("runtime", "cluster");
    team.dismiss("ci", "ci-bot");
    is(&send(&pulling, "GET", &manifest_of(&prod)).await, StatusCode::FORBIDDEN, "DENIED");
    let appended = pushing.send("PATCH", &session, &[], LAYER).await.unwrap();
    is(&appended, StatusCode::FORBIDDEN, "DENIED");
    is(&send(&pushing, "GET", &manifest_of(&dev)).await, StatusCode::FORBIDDEN, "DENIED");
    for client in [&cluster, &ci, &dana, &team.program.anonymous()] {
        assert_eq!(send(client, "GET", &manifest_of(&open)).await.status(), StatusCode::OK);
    }
}

/// A docker user's name.
fn login(program: &Program, user: &str) -> String {
    format!("{}/{user}", program.bootstrap.namespace)
}

/// One docker user: a directory for its log-in.
pub(crate) struct Person<'a> {
    docker: &'a Docker,
    pub(crate) home: PathBuf,
}

impl<'a> Person<'a> {
    pub(crate) fn new(docker: &'a Docker, scratch: &TempDir, name: &str) -> Person<'a> {
        let home = scratch.path().join(name);
        fs::create_dir(&home).unwrap();
        Person { docker, home }
    }

    pub(crate) fn log_in(&self, program: &Program, user: &str, token: &str) {
        let (address, user) = (program.address().to_string(), login(program, user));
        self.must(&["login", "-u", &user, "--password-stdin", &address], token);
    }

    /// Whether the command succeeded, and all that it said.
    pub(crate) fn run(&self, arguments: &[&str], input: &str) -> (bool, String) {
        let mut command = Command::new("timeout");
        command.args(["60", "docker"]).args(arguments);
        command
            .env("DOCKER_HOST", &self.docker.host)
            .env("DOCKER_CONFIG", &self.home)
            .env("HOME", &self.home);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&said).into_owned())
    }

    pub(crate) fn must(&self, arguments: &[&str], input: &str) -> String {
        let (is_done, said) = self.run(arguments, input);
        assert!(is_done, "docker {arguments:?}: {said}");
        said
    }

    pub(crate) fn must_not(&self, arguments: &[&str], reason: &str) {
        let (is_done, said) = self.run(arguments, "");
        assert!(!is_done && said.contains("denied") && said.contains(reason), "docker {arguments:?}: {said}");
    }
}

/// The digest that a push or pull ends with.
pub(crate) fn digest_in(said: &str) -> &str {
    let start = said.rfind("sha256:").unwrap();
    said[start..].split_whitespace().next().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_of_a_team_does_its_part_with_docker() {
    let scratch = TempDir::new();
    let docker = Docker::find_or_start(scratch.path());
    let team = Team::new(EngineKind::Sqlite).await;
    let image = |name: &str| format!("{}/{}:1", team.program.address(), team.program.image(name));
    let (dev, prod) = (image("dev/app"), image("prod/app"));
    let person = |user: &str| {
        let person = Person::new(&docker, &scratch, user);
        person.log_in(&team.program, user, &team.tokens[user]);
        person
    };
    let (ci, release, cluster, dana) =
        (person("ci-bot"), person("release-bot"), person("cluster"), person("dana"));

    let context = scratch.path().join("image");
    fs::create_dir(&context).unwrap();
    fs::write(context.join("page"), format!("made for {}", team.program.address())).unwrap();
    fs::write(context.join("Dockerfile"), "FROM scratch\nCOPY page /page\nCMD [\"/page\"]\n").unwrap();
    ci.must(&["build", "-t", &dev, context.to_str().unwrap()], "");
    let pushed = ci.must(&["push", &dev], "");
    let digest = digest_in(&pushed);
    assert_eq!(team.uploads().await, 4, "two blobs, each sent and closed: {pushed}");
    ci.must(&["rmi", &dev], "");

    // Docker mounts layers, and sends the configuration anew: one blob of a few hundred bytes.
    release.must(&["pull", &dev], "");
    release.must(&["tag", &dev, &prod], "");
    let promoted = release.must(&["push", &prod], "");
    assert!(promoted.contains(&format!("Mounted from {}", team.program.image("dev/app"))), "{promoted}");
    assert_eq!(digest_in(&promoted), digest);
    assert_eq!(team.uploads().await, 6, "{promoted}");
    release.must(&["rmi", &dev, &prod], "");

    cluster.must_not(&["pull", &dev], UNSEEN);
    dana.must_not(&["pull", &prod], &missing("REPOSITORY_READ", "prod"));
    ci.must_not(&["pull", &prod], UNSEEN);
    assert!(dana.must(&["pull", &dev], "").contains(digest));
    dana.must_not(&["push", &dev], &missing("REPOSITORY_UPDATE", "dev"));
    release.must_not(&["push", &dev], &missing("REPOSITORY_UPDATE", "dev"));
    ci.must(&["tag", &dev, &prod], "");
    ci.must_not(&["push", &prod], UNSEEN);
    cluster.must_not(&["push", &prod], &missing("REPOSITORY_UPDATE", "prod"));
    let public = image("open/app");
    let administrator = Person::new(&docker, &scratch, "administrator");
    let bootstrap = &team.program.bootstrap;
    administrator.log_in(&team.program, &bootstrap.username, &bootstrap.auth_token);
    administrator.must(&["tag", &dev, &public], "");
    administrator.must(&["push", &public], "");
    administrator.must(&["rmi", &dev, &prod, &public], "");
    assert!(cluster.must(&["pull", &prod], "").contains(digest));
    cluster.must(&["rmi", &prod], "");

    // Out of the group, still logged in.
    team.dismiss("runtime", "cluster");
    cluster.must_not(&["pull", &prod], UNSEEN);
    for person in [&cluster, &dana, &Person::new(&docker, &scratch, "nobody")] {
        assert!(person.must(&["pull", &public], "").contains(digest));
        person.must(&["rmi", &public], "");
    }
}

wharfinger_e2e::on_each_engine! {
    each_of_a_team_does_its_part_and_no_more
}
