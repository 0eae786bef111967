//! `wharfinger admin …`: a client of the running server's control socket, and nothing more.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use axum::body::Body;
use clap::{ArgGroup, Args, Subcommand};
use http::{Method, Request, StatusCode};
use http_body_util::BodyExt;
use hyper_util::rt::TokioIo;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};
use tokio::net::UnixStream;

use crate::collected::with_progress;
use crate::{Output, collected, data_dir, explained, output, upkeep};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Tenancy to work in, by namespace; the one founded at the first start if not given.
    #[arg(long, global = true, value_name = "NAMESPACE")]
    tenancy: Option<String>,
    #[command(subcommand)]
    resource: Resource,
}

#[derive(Debug, Subcommand)]
enum Resource {
    /// Users, written NAME or DOMAIN/NAME.
    #[command(subcommand)]
    User(User),
    /// Groups and their members.
    #[command(subcommand)]
    Group(Group),
    /// The passwords that registry clients log in with.
    #[command(subcommand)]
    AuthToken(AuthToken),
    /// Repositories, named without the namespace.
    #[command(subcommand)]
    Repository(Repository),
    /// Images of a repository.
    #[command(subcommand)]
    Image(Image),
    /// Remove what nobody can reach any more, and wait until it is gone.
    Gc(Gc),
    /// Read everything that is stored; keep what is damaged from readers, and mend what can be.
    Scrub,
    /// Read everything that is stored and look at the database, and change nothing.
    Verify,
    /// Make a directory of the server's machine a backup, or bring the backup in it up to date.
    Backup {
        #[arg(value_name = "DIR")]
        directory: PathBuf,
    },
    /// Tenancies.
    #[command(subcommand)]
    Tenancy(Tenancy),
    /// Identity domains: users and groups of their own, written DOMAIN/NAME.
    #[command(subcommand)]
    Domain(Domain),
    /// Say whether a user may do something, and which statement decides.
    Explain(Explain),
    /// List what the policies give a user, or whom they give what on a repository.
    Rights(Rights),
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("target").required(true).args(["repository", "compartment"]))]
struct Explain {
    /// NAME or DOMAIN/NAME.
    #[arg(long)]
    user: String,
    /// The permission, such as `REPOSITORY_READ`.
    #[arg(long)]
    permission: String,
    /// The repository, without the namespace.
    #[arg(long)]
    repository: Option<String>,
    /// The compartment, as names from below the root, such as `dev:team`; the root if empty.
    #[arg(long, value_name = "PATH")]
    compartment: Option<String>,
    /// Decide as at this time, such as `2026-04-01T15:00:00Z`; now if not given.
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
    /// Decide as for a request from this address.
    #[arg(long, value_name = "ADDRESS")]
    from: Option<String>,
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("of").required(true).args(["user", "repository"]))]
struct Rights {
    /// NAME or DOMAIN/NAME.
    #[arg(long)]
    user: Option<String>,
    /// The repository, without the namespace.
    #[arg(long)]
    repository: Option<String>,
}

#[derive(Debug, Subcommand)]
enum User {
    /// Create an active user without credentials.
    Create { name: String },
    /// List users.
    List,
    /// Switch a user on or off.
    Update {
        name: String,
        #[arg(long, value_name = "BOOL", action = clap::ArgAction::Set)]
        active: bool,
    },
    /// Delete a user with its memberships and credentials.
    Delete { name: String },
}

#[derive(Debug, Subcommand)]
enum Group {
    /// Create a group.
    Create { name: String },
    /// Add a user to a group.
    AddUser { group: String, user: String },
    /// Remove a user from a group.
    RemoveUser { group: String, user: String },
}

#[derive(Debug, Subcommand)]
enum AuthToken {
    /// Make a token; its secret is shown now and never again.
    Create {
        #[arg(long)]
        user: String,
        #[arg(long)]
        description: String,
    },
    /// List a user's tokens.
    List {
        #[arg(long)]
        user: String,
    },
    /// Delete a token.
    Delete {
        #[arg(long)]
        user: String,
        id: String,
    },
}

#[derive(Debug, Subcommand)]
enum Repository {
    /// Create an empty repository.
    Create {
        name: String,
        /// Let anybody pull from it.
        #[arg(long)]
        public: bool,
        /// The compartment to create it in, as names from below the root, such as `dev:team`.
        #[arg(long, value_name = "PATH")]
        compartment: Option<String>,
    },
    /// List repositories.
    List,
    /// Make a repository public or private.
    Update {
        name: String,
        #[arg(long, value_name = "BOOL", action = clap::ArgAction::Set)]
        public: bool,
    },
    /// Delete a repository with all its images.
    Delete { name: String },
    /// Undo the deletion of the repository of that name that was deleted last.
    Restore {
        name: String,
        /// Give it another name.
        #[arg(long = "as", value_name = "NEW")]
        new_name: Option<String>,
    },
}

#[derive(Debug, Subcommand)]
enum Image {
    /// List images.
    List {
        repository: String,
        /// Those that were deleted and can be restored.
        #[arg(long)]
        deleted: bool,
    },
    /// Undo the deletion of an image.
    Restore {
        #[arg(value_name = "REPOSITORY@DIGEST", value_parser = parse_image)]
        image: (String, String),
        /// Let that version name it, which no other image may have.
        #[arg(long, value_name = "V")]
        version: Option<String>,
    },
}

/// A repository and a digest.
fn parse_image(text: &str) -> Result<(String, String), String> {
    let parts = text.split_once('@').map(|(repository, digest)| (repository.to_owned(), digest.to_owned()));
    parts.ok_or_else(|| format!("`{text}` names no image: write REPOSITORY@DIGEST, such as `app@sha256:…`"))
}

#[derive(Debug, Args)]
struct Gc {
    /// Say what would be removed and why, and remove nothing.
    #[arg(long)]
    dry_run: bool,
}

#[derive(Debug, Subcommand)]
enum Tenancy {
    /// Found another tenancy with an administrator of its own.
    Create {
        name: String,
        /// Its namespace; random if not given.
        #[arg(long)]
        namespace: Option<String>,
    },
    /// Make deny statements count, for good.
    Update {
        name: String,
        #[arg(long, value_name = "true", action = clap::ArgAction::Set)]
        deny_policies: bool,
    },
}

#[derive(Debug, Subcommand)]
enum Domain {
    /// Create an empty domain.
    Create { name: String },
}

/// What must be encoded in a part of a URL (RFC 3986, section 2.3).
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// One call of `/api/v1/`.
pub(crate) struct Call {
    method: Method,
    path: String,
    /// Further parameters of the query; those without a value are left out.
    query: Vec<(&'static str, Option<String>)>,
    body: Option<Value>,
    is_list: bool,
}

pub(crate) fn call(method: Method, segments: &[&str], body: Option<Value>) -> Call {
    let path: String =
        segments.iter().map(|part| format!("/{}", utf8_percent_encode(part, RESERVED))).collect();
    Call { method, path: format!("/api/v1{path}"), query: Vec::new(), body, is_list: false }
}

fn list(segments: &[&str]) -> Call {
    Call { is_list: true, ..call(Method::GET, segments, None) }
}

impl Resource {
    fn call(&self) -> Call {
        match self {
            Resource::User(User::Create { name }) => {
                call(Method::POST, &["users"], Some(json!({ "name": name })))
            }
            Resource::User(User::List) => list(&["users"]),
            Resource::User(User::Update { name, active }) => {
                call(Method::PATCH, &["users", name], Some(json!({ "isActive": active })))
            }
            Resource::User(User::Delete { name }) => call(Method::DELETE, &["users", name], None),
            Resource::Group(Group::Create { name }) => {
                call(Method::POST, &["groups"], Some(json!({ "name": name })))
            }
            Resource::Group(Group::AddUser { group, user }) => {
                call(Method::PUT, &["groups", group, "users", user], None)
            }
            Resource::Group(Group::RemoveUser { group, user }) => {
                call(Method::DELETE, &["groups", group, "users", user], None)
            }
            Resource::AuthToken(AuthToken::Create { user, description }) => call(
                Method::POST,
                &["users", user, "auth-tokens"],
                Some(json!({ "description": description })),
            ),
            Resource::AuthToken(AuthToken::List { user }) => list(&["users", user, "auth-tokens"]),
            Resource::AuthToken(AuthToken::Delete { user, id }) => {
                call(Method::DELETE, &["users", user, "auth-tokens", id], None)
            }
            Resource::Repository(Repository::Create { name, public, compartment }) => call(
                Method::POST,
                &["repositories"],
                Some(json!({ "displayName": name, "isPublic": public, "compartment": compartment })),
            ),
            Resource::Repository(Repository::List) => list(&["repositories"]),
            Resource::Repository(Repository::Update { name, public }) => {
                call(Method::PATCH, &["repositories", name], Some(json!({ "isPublic": public })))
            }
            Resource::Repository(Repository::Delete { name }) => {
                call(Method::DELETE, &["repositories", name], None)
            }
            Resource::Repository(Repository::Restore { name, new_name }) => call(
                Method::POST,
                &["repositories", name, "actions", "restore"],
                Some(json!({ "displayName": new_name })),
            ),
            Resource::Image(Image::List { repository, deleted }) => {
                let query = vec![("deleted", deleted.then(|| "true".to_owned()))];
                Call { query, ..list(&["repositories", repository, "images"]) }
            }
            Resource::Image(Image::Restore { image: (repository, digest), version }) => call(
                Method::POST,
                &["repositories", repository, "images", digest, "actions", "restore"],
                Some(json!({ "version": version })),
            ),
            Resource::Gc(Gc { dry_run }) => {
                call(Method::POST, &["garbage-collections"], Some(json!({ "dryRun": dry_run })))
            }
            Resource::Scrub => call(Method::POST, &["scrubs"], None),
            Resource::Verify => call(Method::POST, &["verifications"], None),
            Resource::Backup { directory } => {
                // The server has another working directory.
                let directory = std::path::absolute(directory).unwrap_or_else(|_| directory.clone());
                call(Method::POST, &["backups"], Some(json!({ "directory": directory })))
            }
            Resource::Tenancy(Tenancy::Create { name, namespace }) => {
                call(Method::POST, &["tenancies"], Some(json!({ "name": name, "namespace": namespace })))
            }
            Resource::Tenancy(Tenancy::Update { name, deny_policies }) => {
                call(Method::PATCH, &["tenancies", name], Some(json!({ "denyPolicies": deny_policies })))
            }
            Resource::Domain(Domain::Create { name }) => {
                call(Method::POST, &["domains"], Some(json!({ "name": name })))
            }
            Resource::Explain(Explain { user, permission, repository, compartment, at, from }) => {
                let question = json!({
                    "user": user,
                    "permission": permission,
                    "repository": repository,
                    "compartment": compartment,
                    "at": at,
                    "from": from,
                });
                call(Method::POST, &["decisions"], Some(question))
            }
            Resource::Rights(Rights { user, repository }) => {
                let query = vec![("user", user.clone()), ("repository", repository.clone())];
                Call { query, ..list(&["rights"]) }
            }
        }
    }
}

impl Resource {
    /// The operation whose answer is a report of what is wrong.
    fn upkeep(&self) -> Option<&'static str> {
        match self {
            Resource::Scrub => Some("scrub"),
            Resource::Verify => Some("verify"),
            Resource::Backup { .. } => Some("create_backup"),
            _ => None,
        }
    }
}

/// Runs one command against the server of the data directory.
pub(crate) fn run(data_dir: &Path, arguments: &Arguments, output: Output) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let socket = data_dir::control_socket(data_dir);
    let call = arguments.resource.call();
    let performed = perform(&socket, &call, arguments.tenancy.as_deref());
    let value = match &arguments.resource {
        Resource::Gc(_) => {
            let waiting = with_progress(&socket, performed, "garbage-collections", collected::line);
            runtime.block_on(waiting)?
        }
        resource => match resource.upkeep() {
            Some(operation) => {
                let line = |progress: &Value| upkeep::line(operation, progress);
                let report = runtime.block_on(with_progress(&socket, performed, "upkeep", line))?;
                return Ok(upkeep::report(&report, output));
            }
            None => runtime.block_on(performed)?,
        },
    };
    match &arguments.resource {
        Resource::Gc(_) if output == Output::Table => output::say(&collected::table(&value)),
        Resource::Explain(asked) if output == Output::Table => {
            output::say(&explained::decision(&asked.user, &asked.permission, &value));
        }
        Resource::Rights(_) if output == Output::Table => output::say(&explained::rights(&value)),
        _ => output::print(&value, output),
    }
    Ok(ExitCode::SUCCESS)
}

/// Makes the call; a list is read to its end.
pub(crate) async fn perform(socket: &Path, call: &Call, tenancy: Option<&str>) -> anyhow::Result<Value> {
    let mut rows = Vec::new();
    let mut page: Option<String> = None;
    loop {
        let further = call.query.iter().map(|(name, value)| (*name, value.as_deref()));
        let parameters = [("tenancy", tenancy), ("page", page.as_deref())].into_iter().chain(further);
        let parameters = parameters.filter_map(|(name, value)| {
            value.map(|value| format!("{name}={}", utf8_percent_encode(value, RESERVED)))
        });
        let query = parameters.collect::<Vec<_>>().join("&");
        let (value, next) = send(socket, call, &format!("{}?{query}", call.path)).await?;
        match value {
            Value::Array(more) if call.is_list => rows.extend(more),
            other => return Ok(other),
        }
        if next.is_none() {
            return Ok(Value::Array(rows));
        }
        page = next;
    }
}

async fn send(socket: &Path, call: &Call, target: &str) -> anyhow::Result<(Value, Option<String>)> {
    let stream = UnixStream::connect(socket).await.with_context(|| {
        format!(
            "no server answers on {}: start `wharfinger serve`, or name its data directory with --data-dir",
            socket.display()
        )
    })?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    #[expect(clippy::disallowed_methods, reason = "drives the one connection, and ends with this program")]
    tokio::spawn(connection);
    let body = call.body.as_ref().map_or_else(String::new, Value::to_string);
    let request = Request::builder()
        .method(call.method.clone())
        .uri(target)
        .header("host", "control")
        .header("content-type", "application/json")
        .body(Body::from(body))?;
    let response = sender.send_request(request).await?;
    let status = response.status();
    let next =
        response.headers().get("opc-next-page").and_then(|value| value.to_str().ok()).map(str::to_owned);
    let body = response.into_body().collect().await?.to_bytes();
    let value: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
    if status != StatusCode::OK {
        let message = value.get("message").and_then(Value::as_str).unwrap_or("the server gave no reason");
        bail!("{message} ({status})");
    }
    Ok((value, next))
}
