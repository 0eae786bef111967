//! What garbage collection did, for people, and how far it is while they wait.

use std::path::Path;
use std::pin::pin;
use std::time::Duration;

use http::Method;
use serde_json::Value;

use crate::admin::{call, perform};
use crate::output::{self, cell};

/// Between two lines of progress.
const EVERY: Duration = Duration::from_secs(2);

/// Waits for a run, and says on standard error how far it is if that takes a while: `line` of what `asked` answers.
pub(crate) async fn with_progress(
    socket: &Path,
    run: impl Future<Output = anyhow::Result<Value>>,
    asked: &'static str,
    line: impl Fn(&Value) -> String,
) -> anyhow::Result<Value> {
    let mut run = pin!(run);
    let mut last = String::new();
    loop {
        tokio::select! {
            ended = &mut run => return ended,
            () = tokio::time::sleep(EVERY) => {}
        }
        // One that can't be asked has nothing to say; the run itself tells why.
        let asked = perform(socket, &call(Method::GET, &[asked], None), None).await;
        let line = asked.map_or_else(|_| String::new(), |progress| line(&progress));
        if line != last {
            output::tell(&line);
        }
        last = line;
    }
}

/// How far a run of the collector is.
pub(crate) fn line(progress: &Value) -> String {
    let field = |name: &str| progress.get(name).map_or_else(String::new, cell);
    let step = match field("step") {
        step if step.is_empty() => "waiting for another run".to_owned(),
        step => step,
    };
    let counts = ["manifests", "links", "blobs", "objects"].map(|name| format!("{} {name}", field(name)));
    format!("garbage collection: {step}; so far {}, {} bytes", counts.join(", "), field("bytes"))
}

/// The counts in a line, and each reason with its names below.
pub(crate) fn table(collected: &Value) -> String {
    let field = |name: &str| collected.get(name).map_or_else(String::new, cell);
    let verb = if field("dry_run") == "true" { "would remove" } else { "removed" };
    let counts = ["manifests", "links", "blobs", "objects"].map(|name| format!("{} {name}", field(name)));
    let seconds = collected.get("seconds").and_then(Value::as_f64).unwrap_or_default();
    let mut lines = vec![format!("{verb} {}: {} bytes ({seconds:.1} s)", counts.join(", "), field("bytes"))];
    for reason in collected.get("reasons").and_then(Value::as_array).into_iter().flatten() {
        let part = |name: &str| reason.get(name).map_or_else(String::new, cell);
        lines.push(format!("  {} {}, {} bytes: {}", part("count"), part("kind"), part("bytes"), part("why")));
        let examples = reason.get("examples").and_then(Value::as_array).into_iter().flatten();
        lines.extend(examples.map(|example| format!("    {}", cell(example))));
    }
    lines.join("\n")
}
