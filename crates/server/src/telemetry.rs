//! Logs and metrics.

use std::io::IsTerminal;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use tracing_subscriber::EnvFilter;
use wharfinger_registry::{Collected, Totals};

/// Starts logging to standard error: text on a terminal, JSON lines elsewhere.
pub(crate) fn start_logging(filter: &str) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(filter).with_context(|| format!("log.filter `{filter}` is not valid"))?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if std::io::stderr().is_terminal() {
        builder.init();
    } else {
        builder.json().flatten_event(true).init();
    }
    Ok(())
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    operation: &'static str,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OperationLabel {
    operation: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabel {
    kind: &'static str,
}

/// What the program counts. Labels are operations and statuses, never names of users or repositories.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    durations: Family<OperationLabel, Histogram>,
    collections: Counter,
    collected: Family<KindLabel, Counter>,
    collected_bytes: Counter,
    collection_seconds: Counter<f64, AtomicU64>,
    scrubbed_bytes: Counter,
    damaged_blobs: Counter,
    /// Connections open on the main listener and the control socket.
    pub(crate) connections: Gauge,
}

fn request_seconds() -> Histogram {
    Histogram::new([
        0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0,
    ])
}

impl Metrics {
    pub(crate) fn new() -> Metrics {
        let durations: Family<_, Histogram> = Family::new_with_constructor(request_seconds);
        let (requests, connections) = (Family::default(), Gauge::default());
        let mut registry = Registry::with_prefix("wharfinger");
        registry.register("requests", "Requests answered, by operation and status", requests.clone());
        registry.register(
            "request_duration_seconds",
            "Time from a request's head to the answer's head, by operation",
            durations.clone(),
        );
        registry.register("connections", "Open connections", connections.clone());
        let (collections, collected) = (Counter::default(), Family::default());
        let (collected_bytes, collection_seconds) = (Counter::default(), Counter::default());
        registry.register("gc_runs", "Runs of garbage collection that ended", collections.clone());
        registry.register("gc_removed", "What garbage collection removed, by kind", collected.clone());
        registry.register("gc_removed_bytes", "Bytes of that", collected_bytes.clone());
        registry.register("gc_seconds", "Time that garbage collection took", collection_seconds.clone());
        let (scrubbed_bytes, damaged_blobs) = (Counter::default(), Counter::default());
        registry.register("scrubbed_bytes", "Bytes of blobs that scrubs read", scrubbed_bytes.clone());
        registry.register("damaged_blobs", "Blobs that scrubs or reads found damaged", damaged_blobs.clone());
        Metrics {
            registry,
            requests,
            durations,
            collections,
            collected,
            collected_bytes,
            collection_seconds,
            scrubbed_bytes,
            damaged_blobs,
            connections,
        }
    }

    /// Takes over what the collector counts by itself.
    pub(crate) fn collected(&self, totals: &Totals) {
        let Collected { manifests, links, blobs, objects, bytes, seconds, .. } = totals.collected;
        self.collections.inner().store(totals.runs, Ordering::Relaxed);
        self.collected_bytes.inner().store(bytes, Ordering::Relaxed);
        self.collection_seconds.inner().store(seconds.to_bits(), Ordering::Relaxed);
        let kinds = [("manifests", manifests), ("links", links), ("blobs", blobs), ("objects", objects)];
        for (kind, count) in kinds {
            self.collected.get_or_create(&KindLabel { kind }).inner().store(count, Ordering::Relaxed);
        }
    }

    /// Takes over what scrubs and reads count by themselves.
    pub(crate) fn scrubbed(&self, bytes: u64, damaged: u64) {
        self.scrubbed_bytes.inner().store(bytes, Ordering::Relaxed);
        self.damaged_blobs.inner().store(damaged, Ordering::Relaxed);
    }

    pub(crate) fn answered(&self, operation: &'static str, status: u16, took: Duration) {
        self.requests.get_or_create(&RequestLabels { operation, status }).inc();
        self.durations.get_or_create(&OperationLabel { operation }).observe(took.as_secs_f64());
    }

    /// All of them in the OpenMetrics text format.
    pub(crate) fn encode(&self) -> String {
        let mut text = String::new();
        // Writing to a String can't fail.
        let _ = prometheus_client::encoding::text::encode(&mut text, &self.registry);
        text
    }
}
