//! `wharfinger serve`: from an empty directory to a running registry, and down again.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use axum::routing::get;
use http::{StatusCode, header};
use serde_json::json;
use tokio::net::{TcpListener, UnixListener};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio_util::task::TaskTracker;
use wharfinger_api_distribution::Distribution;
use wharfinger_blobstore::FileStore;
use wharfinger_iam::{Founding, FoundingSettings, Iam, tenancies};
use wharfinger_metastore::{Location, Store};
use wharfinger_registry::Registry;
use wharfinger_registry::scrub::{Pace, Scrubbed};

use crate::data_dir::{self, DataDir};
use crate::incoming::{self, Incoming};
use crate::listener::{self, Socket};
use crate::settings::{OptionalAddress, Settings};
use crate::telemetry::Metrics;
use crate::{output, telemetry};
use rustix::process::{Resource, getrlimit, setrlimit};

const DEFAULT_MANAGEMENT: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 5001);
/// How long a stop waits for transfers that are under way.
const DRAIN: Duration = Duration::from_secs(60);
/// Between two looks at whether a scrub is due.
const SCRUB_PAUSE: Duration = Duration::from_secs(60);
const ADDRESSES: &str = "addresses.json";
const BOOTSTRAP: &str = "bootstrap.json";
const API_KEY: &str = "oci_api_key.pem";
const CLI_CONFIG: &str = "oci-config";

/// Runs the server until a signal ends it.
pub(crate) fn run(data_dir: &Path, settings: Settings) -> anyhow::Result<()> {
    telemetry::start_logging(&settings.log.filter)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let outcome = runtime.block_on(serve(data_dir, settings));
    // What still runs after the drain is cut off here; a crash would do no worse.
    runtime.shutdown_timeout(Duration::from_secs(1));
    outcome
}

async fn serve(data_dir: &Path, settings: Settings) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let data_dir = DataDir::open(data_dir)?;
    data_dir.require_whole()?;
    // Left by a process that was killed: who waits for it would go to the wrong port.
    data_dir.remove(ADDRESSES);
    let open_files = raise_open_files();
    let listener = bind(settings.server.listen.0, "server.listen").await?;
    let management = bind_management(settings.management.listen).await?;
    let store = open_store(&data_dir, &settings).await?;
    let blobs =
        FileStore::open(&data_dir.join("objects")).await.context("cannot open the object directory")?;
    let iam = Iam::new(store.clone(), settings.tokens.lifetime.0, settings.limits.limits());
    let founding = bootstrap(&iam, &data_dir, &settings).await?;

    let metrics = Arc::new(Metrics::new());
    let (stop, stopping) = watch::channel(false);
    let health = health_router(iam.clone(), stopping.clone());
    let ages = settings.registry.ages(&settings.gc);
    let registry = Registry::with_ages(Arc::new(blobs), settings.registry.sparse(), ages);
    let distribution = Distribution { iam: iam.clone(), registry: registry.clone() };
    let router = wharfinger_api_distribution::router(distribution)
        .merge(wharfinger_api_control::router(iam.clone(), registry.clone()))
        .merge(health.clone());
    let incoming = Arc::new(Incoming {
        router,
        metrics: Arc::clone(&metrics),
        trusted_proxies: settings.server.trusted_proxies,
        public_url: settings.server.public_url.map(|url| url.0),
        is_behind_proxy: settings.tls.terminated_by_proxy,
        writes: TaskTracker::new(),
    });
    let control = bind_control(&data_dir)?;
    let listen = listener.local_addr()?;
    let management_address = management.as_ref().map(TcpListener::local_addr).transpose()?;

    let limit = listener::connection_limit(open_files);
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(listener::serve(Socket::Network(listener), Arc::clone(&incoming), limit, stopping.clone()));
    tasks.spawn(listener::serve(Socket::Control(control), Arc::clone(&incoming), limit, stopping.clone()));
    if let Some(management) = management {
        let incoming = management_incoming(health, metrics, registry.clone());
        tasks.spawn(listener::serve(Socket::Network(management), incoming, limit, stopping.clone()));
    }

    if let Some(interval) = settings.gc.interval() {
        tasks.spawn(collect_regularly(registry.clone(), iam.clone(), interval, stopping.clone()));
    }
    if let Some(interval) = settings.scrub.interval() {
        let pace = Pace::new(settings.scrub.rate.0);
        tasks.spawn(scrub_regularly(registry.clone(), iam, interval, pace, stopping.clone()));
    }

    let addresses =
        json!({ "listen": listen.to_string(), "management": management_address.map(|a| a.to_string()) });
    data_dir.write_private(ADDRESSES, &addresses.to_string()).context("cannot write addresses.json")?;
    greet(&data_dir, listen, founding.as_ref());
    tracing::info!(%listen, data_dir = %data_dir.path().display(), engine = ?store.engine(), "ready");

    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("stopping: no new connections, waiting for transfers; a second signal ends at once");
    data_dir.remove(ADDRESSES);
    data_dir.remove("control.sock");
    let _ = stop.send(true);
    registry.stop_collecting();
    incoming.writes.close();
    let drained = async {
        while tasks.join_next().await.is_some() {}
        incoming.writes.wait().await;
    };
    tokio::select! {
        ended = tokio::time::timeout(DRAIN, drained) => if ended.is_err() {
            tracing::warn!("some transfers did not end in time and are cut off");
        },
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    store.close().await;
    tracing::info!("stopped");
    Ok(())
}

async fn bind(address: SocketAddr, setting: &str) -> anyhow::Result<TcpListener> {
    let bound = TcpListener::bind(address).await;
    bound.with_context(|| {
        format!("cannot listen on {address} ({setting}): choose another address or end what holds the port")
    })
}

async fn bind_management(setting: Option<OptionalAddress>) -> anyhow::Result<Option<TcpListener>> {
    match setting {
        Some(OptionalAddress(None)) => Ok(None),
        Some(OptionalAddress(Some(address))) => bind(address, "management.listen").await.map(Some),
        None => match TcpListener::bind(DEFAULT_MANAGEMENT).await {
            Ok(listener) => Ok(Some(listener)),
            Err(error) => {
                tracing::warn!(%error, address = %DEFAULT_MANAGEMENT, "no management listener: set management.listen to another address");
                Ok(None)
            }
        },
    }
}

async fn open_store(data_dir: &DataDir, settings: &Settings) -> anyhow::Result<Store> {
    let location = location(data_dir, settings);
    Store::open(&location).await.with_context(|| match &location {
        Location::Sqlite(path) => format!("cannot open the database {}", path.display()),
        Location::Postgres(_) => "cannot open the PostgreSQL database of database.url".to_owned(),
    })
}

/// Where the settings say that the database is.
pub(crate) fn location(data_dir: &DataDir, settings: &Settings) -> Location {
    match settings.database.url.as_str() {
        "" => Location::Sqlite(data_dir.join("wharfinger.db")),
        url => Location::Postgres(url.to_owned()),
    }
}

async fn bootstrap(iam: &Iam, data_dir: &DataDir, settings: &Settings) -> anyhow::Result<Option<Founding>> {
    let tenancy = &settings.tenancy;
    let founding = FoundingSettings {
        namespace: tenancy.namespace.as_deref().map(str::parse).transpose()?,
        tenancy_id: tenancy.id.as_deref().map(str::parse).transpose()?,
        region: tenancy.region.clone(),
        region_key: tenancy.region_key.clone(),
        create_on_first_push: settings.registry.create_on_first_push,
    };
    let mut kept = false;
    let founded = iam
        .bootstrap(incoming::own_request(), founding, |founding| {
            let written = write_credentials(data_dir, founding);
            kept = written.is_ok();
            written.map_err(|error| {
                wharfinger_iam::Error::Conflict(format!("cannot write {BOOTSTRAP}: {error}"))
            })
        })
        .await
        .context("cannot found the first tenancy");
    // Another process founded first, so these open nothing. After an error they may be the right ones.
    if kept && matches!(founded, Ok(None)) {
        for name in [BOOTSTRAP, CLI_CONFIG, API_KEY] {
            data_dir.remove(name);
        }
    }
    founded
}

/// Writes the administrator's auth token, its signing key, and a profile for Oracle Cloud's command line.
fn write_credentials(data_dir: &DataDir, founding: &Founding) -> std::io::Result<()> {
    // Oracle's tools warn of a key without that line.
    data_dir.write_private(API_KEY, &format!("{}OCI_API_KEY\n", founding.private_key.reveal()))?;
    let (key_file, config_file) = (data_dir.join(API_KEY), data_dir.join(CLI_CONFIG));
    let profile = format!(
        "[DEFAULT]\nuser={}\nfingerprint={}\ntenancy={}\nregion={}\nkey_file={}\n",
        founding.user_id,
        founding.fingerprint,
        founding.tenancy_id,
        founding.region,
        key_file.display()
    );
    data_dir.write_private(CLI_CONFIG, &profile)?;
    let mut bootstrap = serde_json::to_value(founding).unwrap_or_default();
    if let Some(fields) = bootstrap.as_object_mut() {
        fields.insert("key_file".to_owned(), key_file.display().to_string().into());
        fields.insert("cli_config_file".to_owned(), config_file.display().to_string().into());
    }
    data_dir.write_private(BOOTSTRAP, &format!("{bootstrap:#}"))
}

fn bind_control(data_dir: &DataDir) -> anyhow::Result<UnixListener> {
    let path = data_dir::control_socket(data_dir.path());
    // Nobody else serves this directory, so a socket in it is a leftover.
    data_dir.remove("control.sock");
    let listener = UnixListener::bind(&path)
        .with_context(|| format!("cannot make the control socket {}", path.display()))?;
    Ok(listener)
}

/// Lets the process open as many files as it is allowed to, and says how many that is.
fn raise_open_files() -> usize {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum.or(limit.current);
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::warn!(%error, "cannot raise the limit of open files");
    }
    getrlimit(Resource::Nofile)
        .current
        .map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX))
}

/// `/healthz`: the process answers. `/readyz`: it takes requests and its database answers.
fn health_router(iam: Iam, stopping: watch::Receiver<bool>) -> Router {
    let ready = move || {
        let (iam, is_stopping) = (iam.clone(), *stopping.borrow());
        async move {
            if is_stopping {
                return (StatusCode::SERVICE_UNAVAILABLE, "stopping\n");
            }
            match tenancies::first(&iam).await {
                Ok(_) => (StatusCode::OK, "ready\n"),
                Err(error) => {
                    tracing::warn!(%error, "not ready: the database does not answer");
                    (StatusCode::SERVICE_UNAVAILABLE, "the database does not answer\n")
                }
            }
        }
    };
    Router::new().route("/healthz", get(async || "ok\n")).route("/readyz", get(ready))
}

/// Collects garbage each time that `interval` has passed since the last run, until the process ends.
async fn collect_regularly(
    registry: Registry,
    iam: Iam,
    interval: Duration,
    mut stopping: watch::Receiver<bool>,
) {
    loop {
        tokio::select! {
            _ = stopping.wait_for(|is_stopping| *is_stopping) => return,
            () = tokio::time::sleep(interval) => {}
        }
        let ctx = iam.local_administrator(incoming::own_request());
        match registry.collect_garbage_if_due(&ctx).await {
            Ok(_) | Err(wharfinger_registry::Error::Stopping) => {}
            Err(error) => {
                tracing::error!(error = ?error, "garbage collection broke off; the next run goes on");
            }
        }
    }
}

/// Scrubs slowly: a pass begins when `interval` has passed since the last one began, on whichever replica.
async fn scrub_regularly(
    registry: Registry,
    iam: Iam,
    interval: Duration,
    mut pace: Pace,
    mut stopping: watch::Receiver<bool>,
) {
    loop {
        let request = incoming::own_request();
        let due = request.now.plus_seconds(-i64::try_from(interval.as_secs()).unwrap_or(i64::MAX));
        let ctx = iam.local_administrator(request);
        let rest = match registry.scrub_page(&ctx, &mut pace, due).await {
            Ok(Some(Scrubbed::Page(_))) => Duration::ZERO,
            Ok(Some(Scrubbed::Finished(report))) => {
                let (blobs, bytes, faults) = (report.blobs, report.bytes, report.faults.len());
                tracing::info!(blobs, bytes, manifests = report.manifests, faults, "scrub ended");
                SCRUB_PAUSE
            }
            Ok(None) | Err(wharfinger_registry::Error::Stopping) => SCRUB_PAUSE,
            Err(error) => {
                tracing::error!(error = ?error, "scrub broke off; it goes on from there");
                SCRUB_PAUSE
            }
        };
        tokio::select! {
            biased;
            _ = stopping.wait_for(|is_stopping| *is_stopping) => return,
            () = tokio::time::sleep(rest) => {}
        }
    }
}

fn management_incoming(health: Router, metrics: Arc<Metrics>, registry: Registry) -> Arc<Incoming> {
    let shown = Arc::clone(&metrics);
    let encode = async move || {
        shown.collected(&registry.collection_totals());
        shown.scrubbed(registry.scrubbed_bytes(), registry.damaged_blobs());
        let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
        ([(header::CONTENT_TYPE, content_type)], shown.encode())
    };
    Arc::new(Incoming {
        router: health.route("/metrics", get(encode)),
        metrics,
        trusted_proxies: Vec::new(),
        public_url: None,
        is_behind_proxy: false,
        writes: TaskTracker::new(),
    })
}

/// Prints what a person types next.
fn greet(data_dir: &DataDir, listen: SocketAddr, founding: Option<&Founding>) {
    output::say(&format!("wharfinger listens on http://{listen}"));
    let Some(founding) = founding else { return };
    let (namespace, username) = (&founding.namespace, &founding.username);
    let (bootstrap, config) = (data_dir.join(BOOTSTRAP), data_dir.join(CLI_CONFIG));
    output::say(&format!(
        "\nA tenancy was founded. Its administrator's auth token is in {}; remove the file when you have noted it.\n\
         Next:\n  docker login -u {namespace}/{username} {listen}\n  docker push {listen}/{namespace}/<repository>:<version>\n  \
         oci --config-file {} --endpoint http://{listen} iam user list",
        bootstrap.display(),
        config.display()
    ));
}
