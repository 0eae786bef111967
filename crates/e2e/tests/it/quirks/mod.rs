//! What real clients do and need, one row a quirk, tried against the real program.
//!
//! Where a quirk and the fixed interfaces differ, the interfaces hold, and the row's note says so.

mod auth;
mod reads;
mod tokens;
mod uploads;
mod wire;

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use http::Response;
use tokio::task::JoinSet;
use wharfinger_testkit::http::Client;
use wharfinger_testkit::program::{EngineKind, Program};

type Settings = &'static [(&'static str, &'static str)];
type Run = for<'a> fn(&'a World) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// A quirk, and what shows that it is met.
struct Row {
    /// The N of QN.
    quirk: u8,
    clients: &'static str,
    /// Where our own rule goes another way, or what cannot be shown yet.
    note: &'static str,
    checks: &'static [Check],
}

/// A function, and the settings of the server that it needs.
struct Check {
    settings: Settings,
    run: Run,
}

macro_rules! check {
    ($run:path) => {
        check!(&[], $run)
    };
    ($settings:expr, $run:path) => {
        Check { settings: $settings, run: |world| Box::pin($run(world)) }
    };
}

const BEHIND_A_PROXY: Settings = &[("WHARFINGER__SERVER__TRUSTED_PROXIES", "127.0.0.1")];
const FEW_REQUESTS: Settings = &[("WHARFINGER__LIMITS__REQUESTS_PER_SECOND", "5")];

const QUIRKS: &[Row] = &[
    Row {
        quirk: 1,
        clients: "docker, podman, skopeo and buildah learn the scheme from `GET /v2/` alone",
        note: "",
        checks: &[check!(auth::the_ping_is_challenged_although_anybody_may_pull)],
    },
    Row {
        quirk: 2,
        clients: "docker without a login sends no Basic: anonymous pull needs Bearer",
        note: "",
        checks: &[check!(auth::one_repository_is_pulled_by_anybody_and_pushed_with_a_login)],
    },
    Row {
        quirk: 3,
        clients: "docker acts on every challenge, others read the first only",
        note: "",
        checks: &[check!(auth::there_is_one_challenge_and_basic_is_taken_too)],
    },
    Row {
        quirk: 4,
        clients: "challenge parsers know one form: lower case, quoted, nothing empty",
        note: "on `/v2/` exactly realm and service, one space",
        checks: &[check!(auth::a_challenge_has_the_one_form_that_all_can_read)],
    },
    Row {
        quirk: 5,
        clients: "containerd gives up on `error=` when it showed no token",
        note: "",
        checks: &[check!(auth::an_error_stands_in_a_challenge_only_when_a_token_was_shown)],
    },
    Row {
        quirk: 6,
        clients: "crane and oras compare the realm's host with the registry's",
        note: "",
        checks: &[
            check!(auth::the_realm_is_where_the_client_is),
            check!(BEHIND_A_PROXY, auth::the_realm_is_where_the_proxys_client_is),
        ],
    },
    Row {
        quirk: 7,
        clients: "scopes come several, merged, in any order, with hosts, wildcards and nonsense",
        note: "a scope caps and never grants; no scope at all is no cap, where others give an empty token",
        checks: &[check!(tokens::every_form_of_a_scope_is_understood)],
    },
    Row {
        quirk: 8,
        clients: "docker, skopeo and crane ask for a token with GET and Basic",
        note: "a GET gives no refresh token, though docker asks for one (ADR 003)",
        checks: &[check!(tokens::a_get_gives_a_token_in_the_fields_that_clients_read)],
    },
    Row {
        quirk: 9,
        clients: "containerd, BuildKit and kubelet ask with a form; docker refreshes",
        note: "",
        checks: &[
            check!(tokens::a_form_gives_a_token),
            check!(tokens::a_form_gives_a_refresh_token_when_asked_and_takes_it),
        ],
    },
    Row {
        quirk: 10,
        clients: "some read the token; all refresh one that expired",
        note: "",
        checks: &[check!(tokens::a_token_has_the_claims_of_its_kind_and_ends)],
    },
    Row {
        quirk: 11,
        clients: "401, 403 and 404 each have one meaning",
        note: "without any right all is 403, there or not; 403 carries no challenge",
        checks: &[check!(auth::refusals_say_whether_a_login_would_help)],
    },
    Row {
        quirk: 12,
        clients: "skopeo, podman and old docker send `Basic Og==` when they have no login",
        note: "",
        checks: &[check!(auth::an_empty_name_and_password_is_nobody)],
    },
    Row {
        quirk: 13,
        clients: "docker opens a connection for each request",
        note: "with TLS, later: session resumption",
        checks: &[check!(auth::a_password_is_cheap_to_show_again)],
    },
    Row {
        quirk: 14,
        clients: "containerd fails a push whose mount is refused with 403",
        note: "",
        checks: &[check!(auth::a_mount_from_what_may_not_be_read_is_an_upload)],
    },
    Row {
        quirk: 15,
        clients: "uploads come as POST PATCH PUT, POST PUT, chunks with ranges, or one POST",
        note: "",
        checks: &[check!(uploads::every_order_of_requests_uploads)],
    },
    Row {
        quirk: 16,
        clients: "a started upload is 202; what is appended to its Location comes back",
        note: "our own Location has no query string",
        checks: &[check!(uploads::a_location_is_taken_back_with_what_was_appended)],
    },
    Row {
        quirk: 17,
        clients: "the Location must lead back to the same host and scheme",
        note: "path-absolute",
        checks: &[check!(uploads::a_location_names_no_host)],
    },
    Row {
        quirk: 18,
        clients: "docker reads `Range: 0-N`, regctl resumes after 416",
        note: "",
        checks: &[check!(uploads::an_upload_says_how_far_it_came)],
    },
    Row {
        quirk: 19,
        clients: "docker asks for a blob at once after its PUT",
        note: "",
        checks: &[check!(uploads::what_was_put_is_there_at_once)],
    },
    Row {
        quirk: 20,
        clients: "mounts come encoded or not, with `origin`, without `from`, from what never was",
        note: "",
        checks: &[check!(uploads::every_form_of_a_mount_is_understood)],
    },
    Row {
        quirk: 21,
        clients: "crane and kaniko cancel an upload to see whether they may push",
        note: "",
        checks: &[check!(uploads::a_right_to_push_is_enough_to_cancel)],
    },
    Row {
        quirk: 22,
        clients: "containerd closes with an empty chunked body; layers are pushed in parallel; manifests are large",
        note: "a manifest may have 4 MiB",
        checks: &[check!(uploads::empty_parallel_and_large_bodies_are_taken)],
    },
    Row {
        quirk: 23,
        clients: "manifests come without a type or with an odd one; skopeo tries again after MANIFEST_INVALID",
        note: "",
        checks: &[check!(uploads::a_manifest_is_known_by_its_content)],
    },
    Row {
        quirk: 24,
        clients: "oras-py shows its pull token to a push",
        note: "a scope caps: 401 insufficient_scope, where oras-py would need 403 and a challenge; it works with Basic, or with a token for no scope",
        checks: &[check!(auth::a_pull_token_does_not_push_but_basic_and_an_uncapped_one_do)],
    },
    Row {
        quirk: 25,
        clients: "crane fails on a HEAD without type, length or digest",
        note: "",
        checks: &[check!(reads::a_manifest_is_described_by_head)],
    },
    Row {
        quirk: 26,
        clients: "Accept comes in several lines, as lists, as a wildcard, or not at all",
        note: "",
        checks: &[check!(reads::what_is_stored_is_served_whatever_is_accepted)],
    },
    Row {
        quirk: 27,
        clients: "Go clients ask for gzip",
        note: "",
        checks: &[check!(reads::nothing_is_compressed_on_the_way)],
    },
    Row {
        quirk: 28,
        clients: "containerd, oras and docker resume with ranges",
        note: "",
        checks: &[
            check!(reads::a_blob_is_read_in_parts),
            check!(reads::several_parts_come_in_one_answer),
            check!(reads::what_a_client_has_already_is_not_sent_again),
        ],
    },
    Row {
        quirk: 29,
        clients: "crane asks for a thousand tags, others follow Link; podman searches",
        note: "the catalog needs a login",
        checks: &[check!(reads::lists_are_followed_by_link)],
    },
    Row {
        quirk: 30,
        clients: "oras takes 404 for an error; cosign keeps signatures under tags",
        note: "",
        checks: &[check!(reads::referrers_are_a_list_even_where_there_is_nothing)],
    },
    Row {
        quirk: 31,
        clients: "BuildKit, cosign, helm and Windows push documents of their own kinds",
        note: "",
        checks: &[check!(uploads::documents_of_every_tool_are_taken)],
    },
    Row {
        quirk: 32,
        clients: "crane deletes by tag, skopeo by digest",
        note: "",
        checks: &[check!(reads::tags_and_digests_are_deleted)],
    },
    Row {
        quirk: 33,
        clients: "a tag of a sha512 manifest",
        note: "",
        checks: &[check!(reads::a_tag_keeps_the_digest_that_was_pushed)],
    },
    Row {
        quirk: 34,
        clients: "docker looks for the API's version, and for errors only in JSON",
        note: "",
        checks: &[check!(wire::every_answer_names_the_version_and_every_error_is_json)],
    },
    Row {
        quirk: 35,
        clients: "containerd adds `?ns=`; some leave the slash of `/v2/` off",
        note: "",
        checks: &[check!(wire::odd_paths_and_queries_are_understood)],
    },
    Row {
        quirk: 36,
        clients: "docker, podman and crane try TLS on a plain port first",
        note: "with TLS, later: ALPN and h2",
        checks: &[check!(wire::tls_on_the_plain_port_ends_at_once)],
    },
    Row {
        quirk: 37,
        clients: "skopeo, regctl and containerd wait after 429",
        note: "",
        checks: &[check!(FEW_REQUESTS, wire::too_many_requests_are_told_when_to_come_again)],
    },
    Row {
        quirk: 38,
        clients: "skopeo, regctl, oras and containerd show warnings",
        note: "",
        checks: &[check!(wire::a_warning_has_the_one_form_that_is_shown)],
    },
];

/// A server with an administrator and a user without rights.
struct World {
    program: Program,
    administrator: Client,
    powerless: Client,
    anonymous: Client,
}

impl World {
    fn start(engine: EngineKind, settings: Settings) -> Self {
        let program = Program::start_with(engine, settings);
        let (administrator, anonymous) = (program.administrator(), program.anonymous());
        let powerless = program.new_user("bob");
        Self { program, administrator, powerless, anonymous }
    }

    fn image(&self, repository: &str) -> String {
        self.program.image(repository)
    }

    /// A public repository with one image under the tag `1`; gives its name and the manifest.
    async fn public(&self, repository: &str) -> (String, Bytes) {
        self.program.admin(&["repository", "create", repository, "--public"]);
        self.pushed(repository).await
    }

    /// A repository with one image under the tag `1`.
    async fn pushed(&self, repository: &str) -> (String, Bytes) {
        let image = self.image(repository);
        let layer = Bytes::from(format!("a layer of {repository}"));
        let manifest = self.administrator.push_image(&image, "1", &layer).await.unwrap();
        (image, manifest)
    }

    /// The administrator with a token for one scope.
    async fn scoped(&self, image: &str, actions: &str) -> Client {
        let token = self.administrator.token(&[&format!("repository:{image}:{actions}")]).await;
        self.anonymous.bearer(&token.unwrap())
    }
}

/// The values of the one challenge of an answer, by name, read as the strictest client does.
fn challenge(answer: &Response<Bytes>) -> HashMap<String, String> {
    let challenges: Vec<_> = answer.headers().get_all("www-authenticate").iter().collect();
    assert_eq!(challenges.len(), 1, "one challenge: {answer:?}");
    let challenge = challenges[0].to_str().unwrap();
    let values =
        challenge.strip_prefix("Bearer ").unwrap_or_else(|| panic!("Bearer and one space: {challenge}"));
    let read = |pair: &str| {
        let (name, value) = pair.split_once('=').unwrap_or_else(|| panic!("name=value: {challenge}"));
        let value = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
        let value = value.unwrap_or_else(|| panic!("every value is quoted: {challenge}"));
        assert!(!value.is_empty() && !value.contains('"'), "no value is empty: {challenge}");
        assert!(name.bytes().all(|byte| byte.is_ascii_lowercase()), "names are in lower case: {challenge}");
        (name.to_owned(), value.to_owned())
    };
    // A scope may hold commas of its own.
    let separated = values.replace("\",", "\"\u{0}");
    separated.split('\u{0}').map(read).collect()
}

#[test]
fn every_quirk_has_one_row() {
    let rows: Vec<u8> = QUIRKS.iter().map(|row| row.quirk).collect();
    assert_eq!(rows, (1..=38).collect::<Vec<u8>>());
    for Row { quirk, clients, note, checks } in QUIRKS {
        assert!(!clients.is_empty() && !checks.is_empty(), "Q{quirk} is shown by something");
        assert!(!note.starts_with("later"), "Q{quirk}: what can be shown now is shown");
    }
}

/// Runs all checks of these settings against one server, and fails with all that failed.
async fn run(engine: EngineKind, settings: Settings) {
    let world = Arc::new(World::start(engine, settings));
    let mut tasks = JoinSet::new();
    let mut quirks = HashMap::new();
    for row in QUIRKS {
        for check in row.checks.iter().filter(|check| check.settings == settings) {
            let world = Arc::clone(&world);
            let task = tasks.spawn(async move { (check.run)(&world).await });
            quirks.insert(task.id(), row);
        }
    }
    assert!(!tasks.is_empty(), "some check needs {settings:?}");
    let mut failed = Vec::new();
    while let Some(ended) = tasks.join_next().await {
        let Err(error) = ended else { continue };
        let Row { quirk, clients, note, .. } = quirks[&error.id()];
        let why = error.into_panic();
        let why = why
            .downcast_ref::<String>()
            .cloned()
            .or_else(|| why.downcast_ref::<&str>().map(|&why| why.to_owned()));
        failed.push(format!("Q{quirk}, {clients} ({note}): {}", why.unwrap_or_default()));
    }
    failed.sort();
    assert!(failed.is_empty(), "{} of the checks failed:\n{}", failed.len(), failed.join("\n"));
    let log = world.program.log();
    let error = log.lines().find(|line| line.contains(r#""level":"ERROR""#));
    assert_eq!(error, None, "no client is a fault of the server");
}

async fn clients_get_what_they_need(engine: EngineKind) {
    run(engine, &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_behind_a_proxy_get_what_they_need() {
    run(EngineKind::Sqlite, BEHIND_A_PROXY).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_ask_too_much_get_what_they_need() {
    run(EngineKind::Sqlite, FEW_REQUESTS).await;
}

wharfinger_e2e::on_each_engine! { clients_get_what_they_need }
