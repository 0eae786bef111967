//! Servers that are killed in the middle of pushes.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use http::StatusCode;
use serde_json::Value;
use tokio::task::JoinSet;
use wharfinger_testkit::http::{Client, Dice, IMAGE_MANIFEST, digest, expect, image_manifest};
use wharfinger_testkit::program::{EngineKind, Program};

use crate::upload::{Loss, is_broken_off, resume};
use crate::wait_until;

const WRITERS: usize = 6;
const REPOSITORIES: [&str; 2] = ["kill/one", "kill/two"];

/// What the server has acknowledged, and what it had begun.
#[derive(Debug, Default)]
struct Ledger {
    /// Repository and digest.
    blobs: Vec<(String, String)>,
    /// Repository, tag and digest.
    tags: Vec<(String, String, String)>,
    /// Repository, Location and what is being uploaded there.
    sessions: Vec<(String, String, Bytes)>,
}

/// What the kills met, for the report of a proof.
#[derive(Debug, Default, Clone, Copy)]
pub struct Counts {
    /// Blobs acknowledged and read back.
    pub blobs: usize,
    /// Tags acknowledged and read back.
    pub tags: usize,
    /// Tags that nobody was told of, and that were whole.
    pub unacknowledged: usize,
    /// Sessions that were open when a kill came.
    pub sessions: usize,
}

/// Kills that many times, each time after a number of acknowledgements that the seed decides.
pub async fn kill_in_pushes(engine: EngineKind, kills: usize, seed: u64) -> Counts {
    let mut program = Program::start(engine);
    let mut dice = Dice::new(seed);
    let mut counts = Counts::default();
    let mut all = Ledger::default();
    for round in 0..kills {
        let ledger = Arc::new(Mutex::new(Ledger::default()));
        let mut writers = JoinSet::new();
        for writer in 0..WRITERS {
            let image = program.image(REPOSITORIES[writer % REPOSITORIES.len()]);
            let (client, ledger) = (program.administrator(), Arc::clone(&ledger));
            let dice = Dice::new(dice.roll());
            let name = format!("round-{round}-writer-{writer}");
            writers.spawn(push_until_broken_off(client, image, name, ledger, dice));
        }
        let wanted = 1 + dice.below(60);
        let is_enough = async || {
            let ledger = ledger.lock().unwrap();
            ledger.blobs.len() + ledger.tags.len() >= wanted
        };
        tokio::select! {
            () = wait_until("enough acknowledgements", is_enough) => {}
            ended = writers.join_next() => panic!("a writer ended before the kill: {ended:?}"),
        }
        program.kill();
        while let Some(ended) = writers.join_next().await {
            ended.unwrap().unwrap_or_else(|error| panic!("a push was refused: {error:#}"));
        }
        program.restart();

        let ledger = std::mem::take(&mut *ledger.lock().unwrap());
        let client = program.administrator();
        counts.sessions += ledger.sessions.len();
        counts.unacknowledged += verify(&client, &ledger, &format!("round-{round}-"))
            .await
            .unwrap_or_else(|error| panic!("after kill {round} (seed {seed}): {error:#}"));
        all.blobs.extend(ledger.blobs);
        all.tags.extend(ledger.tags);
    }
    // Once more, all of it: no later kill took anything of an earlier round.
    counts.blobs = all.blobs.len();
    counts.tags = all.tags.len();
    verify(&program.administrator(), &all, "round-")
        .await
        .unwrap_or_else(|error| panic!("after the last kill (seed {seed}): {error:#}"));
    wait_until("no open transaction", async || program.idle_transactions() == 0).await;
    program.stop();
    counts
}

/// Pushes images until an exchange breaks.
///
/// # Errors
/// If the server refuses anything.
async fn push_until_broken_off(
    client: Client,
    image: String,
    name: String,
    ledger: Arc<Mutex<Ledger>>,
    mut dice: Dice,
) -> Result<()> {
    for count in 0.. {
        let tag = format!("{name}-{count}");
        match push(&client, &image, &tag, &ledger, &mut dice).await {
            Ok(()) => {}
            Err(error) if is_broken_off(&error) => break,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

async fn push(
    client: &Client,
    image: &str,
    tag: &str,
    ledger: &Mutex<Ledger>,
    dice: &mut Dice,
) -> Result<()> {
    let length = [10, 3_000, 120_000, 1_400_000][dice.below(4)];
    let layer = dice.bytes(length);
    let config = Bytes::from(format!("{{\"tag\":\"{tag}\"}}"));
    for blob in [&layer, &config] {
        let location = client.start_upload(image).await?;
        let session = (image.to_owned(), location.clone(), blob.clone());
        ledger.lock().unwrap().sessions.push(session);
        let half = blob.len() / 2;
        let chunk = client.send("PATCH", &location, &[], blob.slice(..half));
        expect(chunk.await?, StatusCode::ACCEPTED)?;
        let digest = digest(blob);
        let closing = format!("{location}?digest={digest}");
        let closed = client.send("PUT", &closing, &[], blob.slice(half..)).await?;
        expect(closed, StatusCode::CREATED)?;
        let mut ledger = ledger.lock().unwrap();
        ledger.sessions.retain(|(_, open, _)| *open != location);
        ledger.blobs.push((image.to_owned(), digest));
    }
    let manifest = image_manifest(&config, &[&layer]);
    let digest = client.put_manifest(image, tag, IMAGE_MANIFEST, &manifest).await?;
    let acknowledged = (image.to_owned(), tag.to_owned(), digest);
    ledger.lock().unwrap().tags.push(acknowledged);
    Ok(())
}

/// Reads back all that was acknowledged and all tags of that prefix that can be seen, and gives how
/// many of those nobody had been told of.
async fn verify(client: &Client, ledger: &Ledger, prefix: &str) -> Result<usize> {
    for (image, digest) in &ledger.blobs {
        read_blob(client, image, digest).await.context("an acknowledged blob")?;
    }
    for (image, tag, digest) in &ledger.tags {
        let read = read_manifest(client, image, tag).await;
        let read = read.context("an acknowledged tag")?;
        ensure!(wharfinger_testkit::http::digest(&read) == *digest, "{tag}");
    }
    let mut unacknowledged = 0;
    let images: HashSet<&String> = ledger.tags.iter().map(|(image, _, _)| image).collect();
    for image in images {
        let listed = list_tags(client, image).await?;
        let acknowledged: HashSet<&String> =
            ledger.tags.iter().filter(|(of, _, _)| of == image).map(|(_, tag, _)| tag).collect();
        for tag in &acknowledged {
            ensure!(listed.contains(*tag), "{tag} is not in the list");
        }
        for tag in &listed {
            if acknowledged.contains(tag) || !tag.starts_with(prefix) {
                continue;
            }
            unacknowledged += 1;
            let manifest = read_manifest(client, image, tag).await?;
            read_all_blobs(client, image, &manifest).await.with_context(|| format!("{tag} can be pulled"))?;
        }
    }
    for (image, location, blob) in &ledger.sessions {
        resume(client, image, location, blob, Loss::Possible).await?;
    }
    Ok(unacknowledged)
}

async fn list_tags(client: &Client, image: &str) -> Result<HashSet<String>> {
    let answer = client.get(&format!("/v2/{image}/tags/list")).await?;
    let answer = expect(answer, StatusCode::OK)?;
    let list: Value = serde_json::from_slice(answer.body())?;
    let tags = list["tags"].as_array().context("tags")?;
    Ok(tags.iter().filter_map(|tag| tag.as_str().map(str::to_owned)).collect())
}

async fn read_manifest(client: &Client, image: &str, reference: &str) -> Result<Bytes> {
    let answer = client.get(&format!("/v2/{image}/manifests/{reference}")).await?;
    Ok(expect(answer, StatusCode::OK).with_context(|| reference.to_owned())?.into_body())
}

async fn read_all_blobs(client: &Client, image: &str, manifest: &Bytes) -> Result<()> {
    let manifest: Value = serde_json::from_slice(manifest)?;
    let layers = manifest["layers"].as_array().context("layers")?;
    for blob in layers.iter().chain([&manifest["config"]]) {
        let digest = blob["digest"].as_str().context("digest")?;
        read_blob(client, image, digest).await?;
    }
    Ok(())
}

async fn read_blob(client: &Client, image: &str, digest: &str) -> Result<()> {
    let answer = client.get(&format!("/v2/{image}/blobs/{digest}")).await?;
    let answer = expect(answer, StatusCode::OK).with_context(|| digest.to_owned())?;
    ensure!(wharfinger_testkit::http::digest(answer.body()) == digest, "{digest} has other bytes");
    Ok(())
}
