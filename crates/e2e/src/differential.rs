//! The same requests to our program and to the reference registry, and what they answer differently.
//!
//! A run is told by its seed alone. What the two may differ in is listed in `intended`; anything else is
//! a finding. After an intended difference of outcome both are brought to the same state again, so that
//! the run goes on comparing like with like.

mod answer;
mod choose;
mod content;
mod intended;
mod model;
mod peer;
mod pool;
mod reconcile;
mod step;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use anyhow::Result;
use bytes::Bytes;
use http::Response;
use wharfinger_testkit::http::{Client, Dice};
use wharfinger_testkit::program::{EngineKind, Program};

use answer::Difference;
use choose::Chooser;
use intended::Intended;
use model::{Model, NAMESPACE, OURS, PEER};
use peer::Peer;
use pool::Pool;
use step::Step;

/// Earlier steps on the same repository that a finding shows.
const TRACE: usize = 12;
/// Findings that are shown whole; the others are counted.
const SHOWN: usize = 20;

/// Both sides' answers to a request.
type Answers = [Result<Response<Bytes>>; 2];

/// A sequence in progress.
#[derive(Debug)]
struct Run<'a> {
    seed: u64,
    clients: [Client; 2],
    model: Model,
    pool: &'a Pool,
    /// A request that a former one calls for.
    next: Option<Step>,
    trace: VecDeque<(Option<String>, String)>,
    met: BTreeSet<&'static Intended>,
    findings: BTreeMap<(String, Difference), (usize, String)>,
}

/// Sends `count` requests of each seed to the engine beside it and to the reference registry, and gives
/// the intended differences that were never met. `WHARFINGER_SEED` replaces the seeds.
///
/// # Panics
/// If the answers differ in anything that is not intended.
pub async fn compare(runs: &[(EngineKind, u64)], count: usize) -> Vec<&'static Intended> {
    intended::check();
    let replayed = std::env::var_os("WHARFINGER_SEED");
    let replayed: Option<u64> =
        replayed.map(|seed| seed.to_str().and_then(|seed| seed.parse().ok()).unwrap());
    let pool = Pool::new();
    let mut met = BTreeSet::new();
    let mut findings = BTreeMap::new();
    for (engine, seed) in runs {
        let program = Program::start_with(*engine, &[("WHARFINGER__TENANCY__NAMESPACE", NAMESPACE)]);
        let peer = Peer::start();
        let mut run = Run {
            seed: replayed.unwrap_or(*seed),
            clients: [peer.client(), program.administrator()],
            model: Model::new(),
            pool: &pool,
            next: None,
            trace: VecDeque::new(),
            met: BTreeSet::new(),
            findings: BTreeMap::new(),
        };
        run.go(count).await;
        met.append(&mut run.met);
        findings.append(&mut run.findings);
    }
    report(&findings);
    intended::LIST.iter().filter(|entry| !met.contains(entry)).collect()
}

impl Run<'_> {
    async fn go(&mut self, count: usize) {
        for repository in 0..self.model.repositories.len() {
            self.prime(repository).await;
        }
        let mut chooser = Chooser { dice: Dice::new(self.seed), pool: self.pool };
        for number in 0..count {
            let step = match self.next.take() {
                Some(step) => step,
                None => chooser.next(&self.model),
            };
            let answers: Answers = tokio::join!(self.send(&step, PEER), self.send(&step, OURS)).into();
            self.look(number, &step, &answers);
            self.reconcile(&step, &answers).await;
        }
    }

    async fn send(&self, step: &Step, side: usize) -> Result<Response<Bytes>> {
        let headers: Vec<(&str, &str)> =
            step.headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let target = step.target(&self.model, side);
        self.clients[side].send(step.method, &target, &headers, step.body.clone()).await
    }

    /// Notes what the answers differ in.
    fn look(&mut self, number: usize, step: &Step, answers: &Answers) {
        let [peer, ours] = answers;
        let repository = step.repository(&self.model);
        let name = step.name();
        let status = |answer: &Result<Response<Bytes>>| {
            answer.as_ref().map_or("broken off".to_owned(), |answer| answer.status().as_u16().to_string())
        };
        let line = format!(
            "{number} {name}: {} {} {:?} {} bytes: peer {}, ours {}",
            step.method,
            step.target(&self.model, OURS),
            step.headers,
            step.body.len(),
            status(peer),
            status(ours)
        );
        for mut difference in answer::compare(step.method == "HEAD", peer, ours) {
            if difference.field == "body tags" && difference.ours == step.page {
                difference.ours = Some("<the page>".to_owned());
            }
            if let Some(entry) = intended::find(&name, &difference) {
                self.met.insert(entry);
                continue;
            }
            let key = (name.clone(), difference);
            if let Some((times, _)) = self.findings.get_mut(&key) {
                *times += 1;
                continue;
            }
            let related: Vec<&str> = self
                .trace
                .iter()
                .filter(|(of, _)| *of == repository)
                .map(|(_, line)| line.as_str())
                .collect();
            let text = format!(
                "seed {}, step {line}\n  peer: {}\n  ours: {}\n  before:\n    {}",
                self.seed,
                show(peer),
                show(ours),
                related[related.len().saturating_sub(TRACE)..].join("\n    ")
            );
            self.findings.insert(key, (1, text));
        }
        self.trace.push_back((repository, line));
        if self.trace.len() > TRACE * 8 {
            self.trace.pop_front();
        }
    }
}

fn show(answer: &Result<Response<Bytes>>) -> String {
    match answer {
        Ok(answer) => {
            let body: String = String::from_utf8_lossy(answer.body()).chars().take(500).collect();
            format!("{} {:?} {body}", answer.status(), answer.headers())
        }
        Err(error) => format!("{error:#}"),
    }
}

fn report(findings: &BTreeMap<(String, Difference), (usize, String)>) {
    use std::fmt::Write as _;
    let mut text = String::new();
    for ((name, difference), (times, _)) in findings {
        let _ = writeln!(text, "{times:5} x {name}: {difference}");
    }
    for ((name, difference), (_, shown)) in findings.iter().take(SHOWN) {
        let _ = writeln!(text, "\n{name}: {difference}\n  {shown}");
    }
    assert!(findings.is_empty(), "{} differences that are not intended:\n{text}", findings.len());
}
