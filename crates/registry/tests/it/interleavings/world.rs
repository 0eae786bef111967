//! An installation whose actors have a store each, and what must hold whatever they did.

use std::sync::Arc;

use bytes::Bytes;
use wharfinger_blobstore::{BlobStore, MemoryStore};
use wharfinger_iam::{Ctx, Iam, Limits, Request};
use wharfinger_metastore::statements;
use wharfinger_registry::{Ages, Registry, SparseManifests};
use wharfinger_testkit::interleave::{Interleaving, Order};
use wharfinger_testkit::services::{Installation, found, request};
use wharfinger_types::{Digest, ImageName, Timestamp};

use super::acts::{
    Act, CONFIG, EVERYTHING, LAYER, NEXT_LAYER, OTHER, Outcome, image, index, next_image, referrer,
};
use super::scenarios::Scenario;
use crate::images::{push_blob, read_blob};

statements! {
    VISIBLE = "SELECT r.name || '@' || m.digest FROM manifest m JOIN repository r ON r.id = m.repository_id
               WHERE m.hidden_at IS NULL AND r.deleted_at IS NULL ORDER BY m.id";
    OBJECTS = "SELECT object FROM blob ORDER BY id";
    DOOMED = "SELECT b.object FROM blob b JOIN dead_object d ON d.object = b.object";
}

/// Everything that acts make.
const EMPTY: &str = "DELETE FROM tag; DELETE FROM manifest_child; DELETE FROM manifest_blob;
    DELETE FROM manifest_body; DELETE FROM manifest; DELETE FROM upload; DELETE FROM dead_object;
    DELETE FROM link; DELETE FROM blob; DELETE FROM repository; DELETE FROM audit_record";

/// How long after the situation the actors meet.
const HOURS_LATER: i64 = 72;

pub(super) struct World {
    pub(super) interleaving: Interleaving,
    actors: Vec<Installation>,
}

impl World {
    pub(super) async fn open(actors: usize) -> World {
        let interleaving = Interleaving::open(actors).await;
        let installation = found(interleaving.stores()[0].clone()).await;
        // Notes the sizes that manifests name.
        for bytes in [CONFIG, LAYER, NEXT_LAYER] {
            push_blob(&installation, &installation.local(), &installation.image(OTHER), bytes).await;
        }
        let actors = interleaving.stores().iter().map(|store| Installation {
            store: store.clone(),
            iam: Iam::new(store.clone(), 3600, Limits::default()),
            ..installation.clone()
        });
        World { actors: actors.collect(), interleaving }
    }

    /// Brings the situation about, lets the actors meet in that order, and says what is wrong then.
    pub(super) async fn run(&mut self, scenario: &Scenario, order: &mut Order) -> Result<(), String> {
        let objects = Arc::new(MemoryStore::new());
        let ages = Ages { reader_grace: 0, ..Ages::default() };
        let registry = Registry::with_ages(objects.clone(), SparseManifests::Refused, ages);
        for actor in &mut self.actors {
            actor.registry = registry.clone();
        }
        self.interleaving.execute(EMPTY).await;
        let one = self.actors[0].clone();
        for act in scenario.before {
            match act.perform(one.clone(), at(&one, 0)).await {
                Outcome::Done => {}
                other => panic!("{}: {act:?}: {other:?}", scenario.name),
            }
        }
        self.interleaving.execute(scenario.tamper).await;

        let acts = scenario.actors();
        let bodies = acts
            .iter()
            .zip(&self.actors)
            .map(|(act, actor)| act.perform(actor.clone(), at(actor, HOURS_LATER)));
        let outcomes = self.interleaving.run(bodies.collect(), order).await;

        self.check(&objects, acts, &outcomes).await.map_err(|wrong| format!("{wrong}; {outcomes:?}"))?;
        // What a later run would take wrongly is as bad.
        let later = Act::Collect(EVERYTHING).perform(one.clone(), at(&one, 2 * HOURS_LATER)).await;
        match later {
            Outcome::Done => self.check(&objects, acts, &outcomes).await,
            other => Err(format!("{other:?}")),
        }
        .map_err(|wrong| format!("after a later run: {wrong}; {outcomes:?}"))
    }

    async fn check(&self, objects: &MemoryStore, acts: &[Act], outcomes: &[Outcome]) -> Result<(), String> {
        let one = &self.actors[0];
        let ctx = at(one, HOURS_LATER);
        let deletes = |act: Act| acts.contains(&act);
        for outcome in outcomes {
            match outcome {
                Outcome::Wrong(wrong) => return Err(wrong.clone()),
                Outcome::Contradicted(wrong) if !deletes(Act::DeleteLayer) => return Err(wrong.clone()),
                _ => {}
            }
        }
        let visible: Vec<String> = one.store.all(&VISIBLE, &[]).await.unwrap();
        for (act, outcome) in acts.iter().zip(outcomes) {
            let promised = match act {
                Act::Put(_) | Act::AskThenPut | Act::MountThenPut | Act::PushWhole | Act::RestoreImage => {
                    image()
                }
                Act::MoveTag => next_image(),
                Act::PutIndex | Act::RestoreIndex => index(),
                Act::PutReferrer => referrer(),
                _ => continue,
            };
            let name = format!("app@{}", Digest::sha256(&promised));
            let may_be_deleted = deletes(Act::RestoreThenDelete) || deletes(Act::DeleteRepository);
            if matches!(outcome, Outcome::Done) && !may_be_deleted && !visible.contains(&name) {
                return Err(format!("{act:?} was acknowledged, and {name} is not there"));
            }
        }
        for name in &visible {
            let whole = pull(one, &ctx, &format!("acme/{name}")).await;
            whole.map_err(|error| format!("{name} can't be pulled: {error}"))?;
        }
        for object in one.store.all::<String>(&OBJECTS, &[]).await.unwrap() {
            if let Err(error) = objects.open(&object.parse().unwrap()).await {
                return Err(format!("a blob's object is gone: {error}"));
            }
        }
        let doomed: Vec<String> = one.store.all(&DOOMED, &[]).await.unwrap();
        if doomed.is_empty() { Ok(()) } else { Err(format!("objects of blobs will be removed: {doomed:?}")) }
    }
}

fn at(installation: &Installation, hours: i64) -> Ctx {
    let request = request();
    let now = Timestamp(request.now.0 + hours * 3_600_000_000);
    installation.iam.local_administrator(Request { now, ..request })
}

/// Reads an image with all that it names.
async fn pull(installation: &Installation, ctx: &Ctx, name: &str) -> Result<(), String> {
    let (image, digest) = name.split_once('@').unwrap();
    let image: ImageName = image.parse().unwrap();
    let got = installation.registry.get_manifest(ctx, &image, &digest.parse().unwrap()).await;
    let (_, body): (_, Bytes) = got.map_err(|error| error.to_string())?;
    if Digest::sha256(&body).as_str() != digest {
        return Err("it has other bytes".to_owned());
    }
    let document: serde_json::Value = serde_json::from_slice(&body).unwrap();
    let of = |key: &str| document[key].as_array().cloned().unwrap_or_default();
    let blobs = of("layers").into_iter().chain(document.get("config").cloned());
    for blob in blobs {
        let digest: Digest = blob["digest"].as_str().unwrap().parse().unwrap();
        let bytes = read_blob(installation, ctx, &image, &digest).await;
        if Digest::sha256(&bytes.map_err(|error| format!("{digest}: {error}"))?) != digest {
            return Err(format!("{digest} has other bytes"));
        }
    }
    Ok(())
}
