//! One client that pushes, mounts, moves tags, deletes, restores and collects in repositories of its own, and
//! keeps a ledger of what each may show.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use http::StatusCode;
use serde_json::Value;
use tokio::time::{Instant, sleep};
use wharfinger_testkit::http::{Client, Dice, IMAGE_MANIFEST, Refused, digest, expect, image_manifest};
use wharfinger_testkit::program::{Program, binary};

use crate::upload::{Loss, is_broken_off, resume};

/// How a writer reaches the server.
pub(super) struct Access {
    client: Client,
    namespace: String,
    data: PathBuf,
    /// Whether the server may answer with its own errors.
    may_fail: bool,
    /// Whether the database may forget what it was not asked to make durable: how far uploads are.
    may_forget: bool,
}

impl Access {
    pub(super) fn new(program: &Program, may_fail: bool, may_forget: bool) -> Self {
        let namespace = program.bootstrap.namespace.clone();
        Self { client: program.administrator(), namespace, data: program.data_dir(), may_fail, may_forget }
    }

    /// Runs an administrator's command; whether it succeeded.
    async fn admin(&self, arguments: Vec<String>) -> bool {
        let data = self.data.clone();
        let run = move || {
            let mut command = Command::new(binary());
            command.arg("--data-dir").arg(data).args(["--output", "json", "admin"]).args(arguments);
            command.output().is_ok_and(|output| output.status.success())
        };
        tokio::task::spawn_blocking(run).await.unwrap_or(false)
    }
}

/// An image and a tag or digest in it.
type Thing = (String, String);

pub(super) struct Writer {
    number: usize,
    dice: Dice,
    /// Digests that a thing may show; more than one only while an outcome is unknown.
    may_show: BTreeMap<Thing, BTreeSet<Option<String>>>,
    /// What has to be looked at.
    doubtful: BTreeSet<Thing>,
    /// Image, Location and what is uploaded there.
    sessions: Vec<(String, String, Bytes)>,
    /// Blobs that were acknowledged in this round.
    blobs: Vec<(String, String)>,
    errors: usize,
    collections: usize,
}

impl Writer {
    pub(super) fn new(number: usize, seed: u64) -> Self {
        Self {
            number,
            dice: Dice::new(seed),
            may_show: BTreeMap::new(),
            doubtful: BTreeSet::new(),
            sessions: Vec::new(),
            blobs: Vec::new(),
            errors: 0,
            collections: 0,
        }
    }

    pub(super) fn number(&self) -> usize {
        self.number
    }

    pub(super) fn sessions(&self) -> usize {
        self.sessions.len()
    }

    pub(super) fn take_errors(&mut self) -> usize {
        std::mem::take(&mut self.errors)
    }

    pub(super) fn take_collections(&mut self) -> usize {
        std::mem::take(&mut self.collections)
    }

    pub(super) fn doubt_everything(&mut self) {
        self.doubtful.extend(self.may_show.keys().cloned());
    }

    /// Works until an exchange breaks, or it is told to stop.
    pub(super) async fn work(
        mut self,
        access: Access,
        stop: Arc<AtomicBool>,
        done: Arc<AtomicUsize>,
    ) -> Result<Self> {
        while !stop.load(Ordering::Relaxed) {
            match self.step(&access, &done).await {
                Ok(()) => {}
                Err(error) if is_broken_off(&error) && !access.may_fail => break,
                Err(error) if access.may_fail && is_fault(&error) => {
                    self.errors += 1;
                    if !self.settle(&access).await? {
                        break;
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Ok(self)
    }

    async fn step(&mut self, access: &Access, done: &AtomicUsize) -> Result<()> {
        let repository = format!("{}/kill/{}", access.namespace, self.number);
        match self.dice.below(12) {
            0 => self.delete(access).await?,
            1 => self.restore(access).await?,
            2 if self.number == 0 => {
                self.collections += usize::from(access.admin(vec!["gc".to_owned()]).await);
            }
            3 => self.push_and_delete_a_blob(access, &repository).await?,
            _ => self.push_an_image(access, &repository, done).await?,
        }
        done.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    async fn push_an_image(&mut self, access: &Access, image: &str, done: &AtomicUsize) -> Result<()> {
        let client = &access.client;
        let length = [10, 3_000, 120_000, 1_400_000][self.dice.below(4)];
        let layer = self.dice.bytes(length);
        let config = Bytes::from(format!("{{\"of\":{}}}", self.dice.roll()));
        if !self.push_in_a_session(access, image, &layer).await? {
            return Ok(());
        }
        done.fetch_add(1, Ordering::Relaxed);
        self.push_in_one_request(client, image, &config).await?;
        let target = match self.dice.below(3) {
            0 => {
                let mounted = format!("{image}/mounted");
                for blob in [&layer, &config] {
                    let target = format!("/v2/{mounted}/blobs/uploads/?mount={}&from={image}", digest(blob));
                    expect(client.send("POST", &target, &[], Bytes::new()).await?, StatusCode::CREATED)?;
                    self.blobs.push((mounted.clone(), digest(blob)));
                }
                mounted
            }
            _ => image.to_owned(),
        };
        let manifest = image_manifest(&config, &[&layer]);
        let (tag, digest) = (format!("t{}", self.dice.below(6)), digest(&manifest));
        let things = [(target.clone(), tag.clone()), (target.clone(), digest.clone())];
        self.asked(&things, Some(&digest));
        client.put_manifest(&target, &tag, IMAGE_MANIFEST, &manifest).await?;
        self.acknowledged(&things, Some(&digest));
        Ok(())
    }

    /// `false` if the server has forgotten how far the upload is, as it may.
    async fn push_in_a_session(&mut self, access: &Access, image: &str, blob: &Bytes) -> Result<bool> {
        let client = &access.client;
        let location = client.start_upload(image).await?;
        self.sessions.push((image.to_owned(), location.clone(), blob.clone()));
        let (half, closing) = (blob.len() / 2, format!("{location}?digest={}", digest(blob)));
        let requests = [
            ("PATCH", &location, 0..half, StatusCode::ACCEPTED),
            ("PUT", &closing, half..blob.len(), StatusCode::CREATED),
        ];
        for (method, target, part, wanted) in requests {
            let range = format!("{}-{}", part.start, part.end - 1);
            let range = [("content-range", range.as_str())];
            let headers = if access.may_forget { &range[..] } else { &[] };
            let answer = client.send(method, target, headers, blob.slice(part)).await?;
            let forgotten = [StatusCode::NOT_FOUND, StatusCode::RANGE_NOT_SATISFIABLE];
            if access.may_forget && forgotten.contains(&answer.status()) {
                return Ok(false);
            }
            expect(answer, wanted)?;
        }
        self.sessions.retain(|(_, open, _)| *open != location);
        self.blobs.push((image.to_owned(), digest(blob)));
        Ok(true)
    }

    async fn push_in_one_request(&mut self, client: &Client, image: &str, blob: &Bytes) -> Result<()> {
        let target = format!("/v2/{image}/blobs/uploads/?digest={}", digest(blob));
        let pushed = client.send("POST", &target, &[], blob.clone()).await?;
        expect(pushed, StatusCode::CREATED)?;
        self.blobs.push((image.to_owned(), digest(blob)));
        Ok(())
    }

    async fn push_and_delete_a_blob(&mut self, access: &Access, image: &str) -> Result<()> {
        let blob = self.dice.bytes(500);
        self.push_in_one_request(&access.client, image, &blob).await?;
        self.blobs.pop();
        let target = format!("/v2/{image}/blobs/{}", digest(&blob));
        expect(access.client.delete(&target).await?, StatusCode::ACCEPTED)?;
        expect(access.client.head(&target).await?, StatusCode::NOT_FOUND)?;
        Ok(())
    }

    /// An image that is certainly there, or certainly was deleted.
    fn pick(&mut self, is_there: bool) -> Option<Thing> {
        let certain = |(thing, states): (&Thing, &BTreeSet<Option<String>>)| {
            let is_digest = thing.1.starts_with("sha256:");
            let is_so = states.len() == 1 && states.iter().all(|state| state.is_some() == is_there);
            (is_digest && is_so).then(|| thing.clone())
        };
        let known: Vec<Thing> = self.may_show.iter().filter_map(certain).collect();
        (!known.is_empty()).then(|| known[self.dice.below(known.len())].clone())
    }

    async fn delete(&mut self, access: &Access) -> Result<()> {
        let Some((image, digest)) = self.pick(true) else { return Ok(()) };
        let shown = Some(digest.clone());
        let is_it = |(thing, states): (&Thing, &BTreeSet<Option<String>>)| {
            (thing.0 == image && states.contains(&shown)).then(|| thing.clone())
        };
        let things: Vec<Thing> = self.may_show.iter().filter_map(is_it).collect();
        self.asked(&things, None);
        let target = format!("/v2/{image}/manifests/{digest}");
        expect(access.client.delete(&target).await?, StatusCode::ACCEPTED)?;
        self.acknowledged(&things, None);
        Ok(())
    }

    /// May be refused: the window of what was deleted is short.
    async fn restore(&mut self, access: &Access) -> Result<()> {
        let Some(thing) = self.pick(false) else { return Ok(()) };
        let (image, digest) = thing.clone();
        let things = [thing];
        self.asked(&things, Some(&digest));
        let name = image.strip_prefix(&format!("{}/", access.namespace)).context("a name")?;
        let arguments = ["image", "restore", &format!("{name}@{digest}")].map(str::to_owned);
        if access.admin(arguments.to_vec()).await {
            self.acknowledged(&things, Some(&digest));
            return Ok(());
        }
        self.look(&access.client, &things[0]).await.map(drop)
    }

    fn asked(&mut self, things: &[Thing], state: Option<&str>) {
        for thing in things {
            let states = self.may_show.entry(thing.clone()).or_insert_with(|| BTreeSet::from([None]));
            states.insert(state.map(str::to_owned));
            self.doubtful.insert(thing.clone());
        }
    }

    fn acknowledged(&mut self, things: &[Thing], state: Option<&str>) {
        for thing in things {
            self.may_show.insert(thing.clone(), BTreeSet::from([state.map(str::to_owned)]));
        }
    }

    /// After an error: what was asked for is done or not, and stays open: a commit may come late, and one whose
    /// sync failed with the next start. `false` if the server has ended.
    async fn settle(&mut self, access: &Access) -> Result<bool> {
        let unknown = self.may_show.iter().filter(|(_, states)| states.len() > 1);
        let unknown: Vec<Thing> = unknown.map(|(thing, _)| thing.clone()).collect();
        let deadline = Instant::now() + Duration::from_secs(30);
        for thing in unknown {
            loop {
                match self.look(&access.client, &thing).await {
                    Ok(_) => break,
                    Err(error) if is_fault(&error) && Instant::now() < deadline => {
                        if tokio::net::TcpStream::connect(access.client.address()).await.is_err() {
                            return Ok(false);
                        }
                        sleep(Duration::from_millis(5)).await;
                    }
                    Err(error) => return Err(error.context("the server does not go on after an error")),
                }
            }
        }
        Ok(tokio::net::TcpStream::connect(access.client.address()).await.is_ok())
    }

    /// Checks what a thing shows.
    async fn look(&self, client: &Client, thing: &Thing) -> Result<Option<String>> {
        let shown = read_manifest(client, thing).await?.map(|manifest| digest(&manifest));
        let may_show = self.may_show.get(thing).cloned().unwrap_or_default();
        ensure!(may_show.contains(&shown), "{thing:?} shows {shown:?}, which is none of {may_show:?}");
        Ok(shown)
    }

    /// Checks everything that was touched since the last time: nothing acknowledged is lost, nothing is half there.
    pub(super) async fn verify(&mut self, program: &Program) -> Result<()> {
        let client = program.administrator();
        let mut read = HashSet::new();
        for (image, digest) in std::mem::take(&mut self.blobs) {
            read_blob(&client, &image, &digest, &mut read).await.context("an acknowledged blob")?;
        }
        for thing in std::mem::take(&mut self.doubtful) {
            let shown = self.look(&client, &thing).await?;
            self.may_show.insert(thing.clone(), BTreeSet::from([shown]));
            if let Some(manifest) = read_manifest(&client, &thing).await? {
                let manifest: Value = serde_json::from_slice(&manifest)?;
                let layers = manifest["layers"].as_array().context("layers")?;
                for blob in layers.iter().chain([&manifest["config"]]) {
                    let digest = blob["digest"].as_str().context("digest")?;
                    let found = read_blob(&client, &thing.0, digest, &mut read).await;
                    found.with_context(|| format!("{thing:?} can be pulled"))?;
                }
            }
        }
        for (image, location, blob) in std::mem::take(&mut self.sessions) {
            resume(&client, &image, &location, &blob, Loss::Possible).await?;
        }
        Ok(())
    }
}

async fn read_manifest(client: &Client, (image, reference): &Thing) -> Result<Option<Bytes>> {
    let answer = client.get(&format!("/v2/{image}/manifests/{reference}")).await?;
    // 403 until the repository is there.
    if [StatusCode::NOT_FOUND, StatusCode::FORBIDDEN].contains(&answer.status()) {
        return Ok(None);
    }
    Ok(Some(expect(answer, StatusCode::OK)?.into_body()))
}

async fn read_blob(client: &Client, image: &str, name: &str, read: &mut HashSet<String>) -> Result<()> {
    if !read.insert(format!("{image}@{name}")) {
        return Ok(());
    }
    let answer = client.get(&format!("/v2/{image}/blobs/{name}")).await?;
    let answer = expect(answer, StatusCode::OK).with_context(|| name.to_owned())?;
    ensure!(digest(answer.body()) == name, "{name} has other bytes");
    Ok(())
}

/// Whether an exchange broke, or was answered with the server's own error.
fn is_fault(error: &anyhow::Error) -> bool {
    error.downcast_ref::<Refused>().is_none_or(|refused| refused.status.is_server_error())
}
