//! What a power cut at any moment may leave, opened again and asked.

use std::collections::hash_map::{DefaultHasher, Entry};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::hash::{Hash, Hasher};

use wharfinger_blobstore::simulated::{Image, SimulatedDisk};
use wharfinger_iam::Ctx;
use wharfinger_metastore::{Promise, Store};
use wharfinger_testkit::TempDir;
use wharfinger_testkit::services::{Installation, request};
use wharfinger_types::{Digest, ErrorKind};

use super::drive::{Drive, Faults, Note, Session, Thing, installation, look};
use crate::images::sent;

const SEED: u64 = 7;
const HOUR: i64 = 3_600;

/// What each thing may show.
type Expected = BTreeMap<Thing, BTreeSet<Option<Vec<u8>>>>;

/// How much was looked at.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) moments: usize,
    pub(crate) images: usize,
    pub(crate) states: usize,
    pub(crate) resumed: usize,
}

/// Cuts the power at every moment from `first` on, in every way; panics at the first broken promise.
pub(crate) async fn power_cuts(drive: &Drive, first: usize) -> Tally {
    let mut tally = Tally::default();
    let mut opened: HashMap<u64, (Store, TempDir)> = HashMap::new();
    let (mut seen, mut resumed) = (HashSet::new(), HashSet::new());
    for moment in first..=drive.disk.moments() {
        tally.moments += 1;
        let notes = drive.notes_before(moment);
        let expected = expected(&notes);
        let images = drive.disk.power_cut(moment, SEED);
        tally.images += images.len();
        for log_bytes in databases(drive, &notes) {
            let (database, _) = match opened.entry(log_bytes) {
                Entry::Occupied(opened) => opened.into_mut(),
                Entry::Vacant(free) => free.insert(drive.metadata(log_bytes).await),
            };
            for image in &images {
                if !seen.insert((log_bytes, hash(image), hash(&expected))) {
                    continue;
                }
                tally.states += 1;
                let state = installation(database.clone(), &SimulatedDisk::restored(image)).await;
                let shown = format!("power cut at moment {moment}, {log_bytes} bytes of the log, {image:?}");
                promises_kept(&state, &expected).await.unwrap_or_else(|broken| panic!("{broken}\n{shown}"));
                if drive.faults == Faults::None && resumed.insert((log_bytes, hash(image))) {
                    tally.resumed += 1;
                    clients_come_back(drive, log_bytes, image, &expected)
                        .await
                        .unwrap_or_else(|broken| panic!("{broken}\n{shown}"));
                }
            }
        }
    }
    tally
}

fn hash(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

/// What was acknowledged last, and everything that has been asked for since.
fn expected(notes: &[Note]) -> Expected {
    let mut expected = Expected::new();
    for note in notes {
        match note {
            Note::Asked(thing, after) => {
                let may_show = expected.entry(thing.clone()).or_insert_with(|| BTreeSet::from([None]));
                may_show.insert(after.clone());
            }
            Note::Acknowledged(thing, after) => {
                expected.insert(thing.clone(), BTreeSet::from([after.clone()]));
            }
            Note::CommitBegun | Note::Committed(..) => {}
        }
    }
    expected
}

/// The lengths of the log that a power cut may leave: the last durable commit and what came after it.
fn databases(drive: &Drive, notes: &[Note]) -> BTreeSet<u64> {
    let mut lengths = BTreeSet::from([0]);
    let mut under_way = false;
    for note in notes {
        match note {
            Note::CommitBegun => under_way = true,
            Note::Committed(log_bytes, promise) => {
                under_way = false;
                if *promise == Promise::Durable {
                    lengths.clear();
                }
                lengths.insert(*log_bytes);
            }
            Note::Asked(..) | Note::Acknowledged(..) => {}
        }
    }
    if under_way {
        let later = drive.notes_before(drive.disk.moments());
        let end = later[notes.len()..].iter().find_map(|note| match note {
            Note::Committed(log_bytes, _) => Some(*log_bytes),
            _ => None,
        });
        lengths.extend(end);
    }
    lengths
}

/// Invariants 1 and 2 of the design.
async fn promises_kept(state: &Installation, expected: &Expected) -> Result<(), String> {
    let ctx = state.iam.local_administrator(request());
    for (thing, may_show) in expected {
        let shown =
            look(state, &ctx, thing).await.map_err(|error| format!("{thing:?} is half there: {error}"))?;
        if !may_show.contains(&shown) {
            let length = shown.map(|bytes| bytes.len());
            return Err(format!("{thing:?} shows {length:?} bytes where it must not"));
        }
        if let (Thing::Manifest(image, _), Some(manifest)) = (thing, &shown) {
            can_be_pulled(state, &ctx, image, manifest).await?;
        }
    }
    Ok(())
}

async fn can_be_pulled(state: &Installation, ctx: &Ctx, image: &str, manifest: &[u8]) -> Result<(), String> {
    let manifest: serde_json::Value = serde_json::from_slice(manifest).map_err(|error| error.to_string())?;
    let layers = manifest["layers"].as_array().ok_or("layers")?;
    for blob in layers.iter().chain([&manifest["config"]]) {
        let digest: Digest = blob["digest"].as_str().ok_or("digest")?.parse().map_err(|_| "digest")?;
        let found = look(state, ctx, &Thing::Blob(image.to_owned(), digest.clone())).await;
        let is_whole = matches!(&found, Ok(Some(bytes)) if Digest::sha256(bytes) == digest);
        if !is_whole {
            return Err(format!("a manifest can be pulled whose blob {digest} can't: {found:?}"));
        }
    }
    Ok(())
}

/// Clients go on with their sessions, and push anew what they had asked for.
async fn clients_come_back(
    drive: &Drive,
    log_bytes: u64,
    image: &Image,
    expected: &Expected,
) -> Result<(), String> {
    let (store, _directory) = drive.metadata(log_bytes).await;
    let state = installation(store, &SimulatedDisk::restored(image)).await;
    let ctx = state.iam.local_administrator(request());
    // Objects are older than any upload by then, and what is linked is not.
    let collected = state.registry.collect_garbage(&state.later(HOUR), false).await;
    collected.map_err(|error| format!("garbage is not collected: {error}"))?;
    promises_kept(&state, expected).await.map_err(|broken| format!("after collecting: {broken}"))?;
    let sessions = drive.sessions.lock().unwrap().clone();
    for session in &sessions {
        go_on(&state, &ctx, session).await?;
    }
    for (thing, states) in expected {
        let (Thing::Blob(name, digest), Some(bytes)) = (thing, states.iter().flatten().next()) else {
            continue;
        };
        let pushed = state.registry.upload_blob(&ctx, &name.parse().unwrap(), digest, sent(bytes)).await;
        pushed.map_err(|error| format!("{thing:?} can't be pushed again: {error}"))?;
        if !matches!(look(&state, &ctx, thing).await, Ok(Some(found)) if found == *bytes) {
            return Err(format!("{thing:?} was pushed again and is not there"));
        }
    }
    state.store.close().await;
    Ok(())
}

/// A client goes on from where it is told, or is told that its session is gone.
async fn go_on(state: &Installation, ctx: &Ctx, session: &Session) -> Result<(), String> {
    let Session { image: name, uuid, bytes } = session;
    let upload = match state.registry.get_upload(ctx, name, uuid).await {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        other => other.map_err(|error| format!("session {uuid}: {error}"))?,
    };
    let rest = usize::try_from(upload.offset).ok().and_then(|offset| bytes.get(offset..));
    let rest = rest.ok_or_else(|| format!("session {uuid} has {} bytes", upload.offset))?;
    let digest = Digest::sha256(bytes);
    match state.registry.finish_upload(ctx, name, uuid, None, &digest, sent(rest)).await {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        other => other.map_err(|error| format!("session {uuid} from {}: {error}", upload.offset))?,
    }
    let found = look(state, ctx, &Thing::Blob(name.to_string(), digest)).await;
    match found {
        Ok(Some(found)) if found == *bytes => Ok(()),
        other => Err(format!("session {uuid} from {} ended in {other:?}", upload.offset)),
    }
}
