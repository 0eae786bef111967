//! Request signatures as Oracle's own command line and SDK make them: ours are the same, and theirs are
//! verified.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, UNIX_EPOCH};

use http::request::Parts;
use http::{HeaderMap, Request as HttpRequest, Uri};
use serde_json::{Value, json};
use wharfinger_e2e::tool;
use wharfinger_httpsig::{ContentHeaders, Error, KeyId, PrivateKey, Request, Unverified, Verified, sign};
use wharfinger_testkit::TempDir;

const TENANCY: &str = "ocid1.tenancy.oc1..t";
const USER: &str = "ocid1.user.oc1..u";
const REPOSITORY: &str = "ocid1.containerrepo.oc1..r";

#[test]
fn the_command_line_is_verified() {
    let profile = Profile::new();
    let commands: [&[&str]; 5] = [
        &["get", "--repository-id", REPOSITORY],
        &[
            "list",
            "--compartment-id",
            TENANCY,
            "--display-name",
            "a b/c",
            "--limit",
            "7",
            "--sort-order",
            "ASC",
        ],
        &["create", "--compartment-id", TENANCY, "--display-name", "team/größe", "--is-public", "true"],
        &["update", "--repository-id", REPOSITORY, "--is-public", "false"],
        &["delete", "--repository-id", REPOSITORY, "--force"],
    ];
    let requests = record(|address| {
        let start = |arguments: &&[&str]| {
            let mut command = profile.command("oci");
            command.arg("--config-file").arg(profile.config()).args(["--no-retry", "--endpoint"]);
            command.arg(format!("http://{address}")).args(["artifacts", "container", "repository"]);
            command.args(*arguments).spawn().unwrap()
        };
        let children: Vec<Child> = commands.iter().map(start).collect();
        for child in children {
            output(child);
        }
    });
    let mut methods: Vec<&str> = requests.iter().map(|request| request.parts.method.as_str()).collect();
    methods.sort_unstable();
    assert_eq!(methods, ["DELETE", "GET", "GET", "POST", "PUT"]);
    for request in &requests {
        profile.check(request);
    }
}

#[test]
fn the_sdk_is_verified_and_its_signer_signs_as_ours() {
    let profile = Profile::new();
    let cases = json!([
        { "method": "GET", "url": "http://h:81/n?b=%2F&a=+", "headers": {}, "body": "" },
        { "method": "DELETE", "url": "https://h//n", "headers": { "if-match": "x" }, "body": "" },
        { "method": "POST", "url": "https://h/n", "headers": { "content-type": "text/plain" }, "body": "größe" },
        { "method": "PATCH", "url": "https://h/n", "headers": {}, "body": "" },
    ]);
    let mut cases = cases.as_array().unwrap().clone();
    for case in &mut cases {
        case["headers"]["date"] = "Tue, 24 Nov 2026 12:01:00 GMT".into();
    }
    let mut signed = Vec::new();
    let requests = record(|address| {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/signatures.py");
        let mut command = profile.command("python");
        command.arg(script).arg(profile.config()).arg(format!("http://{address}"));
        let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(json!(cases).to_string().as_bytes()).unwrap();
        signed = serde_json::from_slice::<Vec<String>>(&output(child).stdout).unwrap();
    });

    let lines: Vec<String> = requests.iter().map(Recorded::line).collect();
    let of = |path: &str| format!("/20160918/{path}");
    assert_eq!(
        lines,
        [
            format!("GET {}", of(&format!("container/repositories/{REPOSITORY}"))),
            format!(
                "GET {}?compartmentId={TENANCY}&repositoryName=team+a%2Fweb%2Bapi&version=v1.0&limit=25\
                 &sortBy=TIMECREATED",
                of("container/images")
            ),
            format!("POST {}", of("container/repositories")),
            format!("PUT {}", of(&format!("container/repositories/{REPOSITORY}"))),
            format!("DELETE {}", of(&format!("container/repositories/{REPOSITORY}"))),
            format!("GET /{}?compartmentId={TENANCY}&displayName=a%2Fb", of("container/repositories")),
            format!("POST {}", of(&format!("users/{USER}/uiPassword"))),
            format!("GET {}", of(&format!("container/repositories/{REPOSITORY}"))),
        ]
    );
    let (session, with_api_key) = requests.split_last().unwrap();
    for request in with_api_key {
        profile.check(request);
    }
    let verified = profile.verify(session).unwrap();
    assert_eq!(verified.key_id().to_string(), "ST$e30.eyJleHAiOjQxMDI0NDQ4MDB9.c2ln");

    assert_eq!(signed.len(), cases.len());
    for (case, theirs) in cases.iter().zip(signed) {
        assert_eq!(profile.sign(case), theirs, "{case}");
    }
}

/// A user's configuration of Oracle's tools, with a new key.
struct Profile {
    directory: TempDir,
    key: PrivateKey,
}

impl Profile {
    fn new() -> Self {
        let directory = TempDir::new();
        let generated = Command::new("openssl").args(["genrsa", "2048"]).output().unwrap();
        let pem = String::from_utf8(generated.stdout).unwrap();
        let key = PrivateKey::from_pem(&pem).unwrap();
        let key_file = directory.path().join("key.pem");
        // Without that line the tools ask for it.
        fs::write(&key_file, format!("{pem}OCI_API_KEY\n")).unwrap();
        let config = format!(
            "[DEFAULT]\nuser={USER}\ntenancy={TENANCY}\nfingerprint={}\nkey_file={}\nregion=local-1\n",
            key.public_key().fingerprint(),
            key_file.display()
        );
        let profile = Self { directory, key };
        fs::write(profile.config(), config).unwrap();
        profile
    }

    fn config(&self) -> PathBuf {
        self.directory.path().join("config")
    }

    fn command(&self, program: &str) -> Command {
        oracle(program, self.directory.path())
    }

    fn verify(&self, request: &Recorded) -> Result<Verified, Error> {
        let now = i64::try_from(UNIX_EPOCH.elapsed().unwrap().as_secs()).unwrap();
        let unverified = Unverified::read(&Request::from(&request.parts), ContentHeaders::Required, now)?;
        let verified = unverified.verify(self.key.public_key())?;
        verified.check_body(&request.body)?;
        Ok(verified)
    }

    fn key_id(&self) -> KeyId {
        let fingerprint = self.key.public_key().fingerprint();
        KeyId::ApiKey { tenancy: TENANCY.to_owned(), user: USER.to_owned(), fingerprint }
    }

    /// The request is verified, would be signed by us just so, and is refused with any of it changed.
    fn check(&self, request: &Recorded) {
        let verified = self.verify(request).unwrap_or_else(|error| panic!("{request:?}: {error}"));
        assert_eq!(*verified.key_id(), self.key_id());

        let mut again = request.clone();
        let theirs = again.parts.headers.remove("authorization").unwrap();
        let parts = Request::from(&again.parts);
        let ours = sign(&parts, &again.body, &self.key_id(), &self.key, 0).unwrap();
        assert_eq!(ours["authorization"], theirs);

        let mut moved = request.clone();
        moved.parts.uri = format!("{}x", moved.parts.uri).parse().unwrap();
        assert_eq!(self.verify(&moved).unwrap_err(), Error::WrongSignature);
        let mut altered = request.clone();
        altered.body.push(b' ');
        let error = self.verify(&altered).unwrap_err();
        assert!(matches!(error, Error::WrongBody | Error::UnsignedBody), "{error}");
    }

    /// The `authorization` header that we make for a case.
    fn sign(&self, case: &Value) -> String {
        let url: Uri = case["url"].as_str().unwrap().parse().unwrap();
        let mut request = HttpRequest::builder().method(case["method"].as_str().unwrap()).uri(&url);
        for (name, value) in case["headers"].as_object().unwrap() {
            request = request.header(name, value.as_str().unwrap());
        }
        let request = request.header("host", url.authority().unwrap().as_str()).body(()).unwrap();
        let (parts, ()) = request.into_parts();
        let body = case["body"].as_str().unwrap().as_bytes();
        let added = sign(&Request::from(&parts), body, &self.key_id(), &self.key, 0).unwrap();
        added["authorization"].to_str().unwrap().to_owned()
    }
}

/// A program of Oracle's tools, in a home and an environment of its own.
pub(crate) fn oracle(program: &str, home: &Path) -> Command {
    let mut command = Command::new("timeout");
    command.arg("300").arg(tool(&format!("oci-cli/bin/{program}")));
    command.env_clear().env("HOME", home).env("PATH", "/usr/bin:/bin").env("LANG", "C.UTF-8");
    command.env("OCI_CLI_SUPPRESS_FILE_PERMISSIONS_WARNING", "True").env("PYTHONDONTWRITEBYTECODE", "1");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn output(child: Child) -> Output {
    let output = child.wait_with_output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{:?} {errors}", output.status);
    output
}

/// One request as it came over the wire.
#[derive(Debug, Clone)]
struct Recorded {
    parts: Parts,
    body: Vec<u8>,
}

impl Recorded {
    fn line(&self) -> String {
        format!("{} {}", self.parts.method, self.parts.uri)
    }

    /// `None` if the connection ends before a request begins.
    fn read(stream: &TcpStream) -> Option<Self> {
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let mut reader = BufReader::new(stream);
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        let mut words = line.split_whitespace();
        let mut request = HttpRequest::builder().method(words.next()?).uri(words.next()?);
        loop {
            line.clear();
            reader.read_line(&mut line).unwrap();
            let Some((name, value)) = line.trim_end().split_once(": ") else {
                break;
            };
            request = request.header(name, value);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        let mut body = vec![0; content_length(&parts.headers)];
        reader.read_exact(&mut body).unwrap();
        Some(Self { parts, body })
    }
}

fn content_length(headers: &HeaderMap) -> usize {
    headers.get("content-length").map_or(0, |length| length.to_str().unwrap().parse().unwrap())
}

/// What the clients send to a listener that answers everything with an empty object.
fn record(clients: impl FnOnce(SocketAddr)) -> Vec<Recorded> {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let recorder = thread::spawn(move || {
        let mut requests = Vec::new();
        loop {
            let (mut stream, _) = listener.accept().unwrap();
            let Some(request) = Recorded::read(&stream) else {
                return requests;
            };
            requests.push(request);
            let head =
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\nconnection: close";
            stream.write_all(format!("{head}\r\n\r\n{{}}").as_bytes()).unwrap();
        }
    });
    clients(address);
    // A connection without a request ends the recording.
    drop(TcpStream::connect(address).unwrap());
    recorder.join().unwrap()
}
