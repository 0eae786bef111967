//! What the answers mean for the state, and how both sides come to the same one where they differ.

use anyhow::Result;
use bytes::Bytes;
use http::Response;
use wharfinger_testkit::http::text;

use super::model::{OURS, PEER, Repository, Session};
use super::step::{Effect, Step, join};
use super::{Answers, Run};

/// More than these would dilute a sequence; the oldest goes.
const SESSIONS: usize = 8;

fn status(answer: &Result<Response<Bytes>>) -> u16 {
    answer.as_ref().map_or(0, |answer| answer.status().as_u16())
}

fn location(answer: &Result<Response<Bytes>>) -> String {
    answer.as_ref().map_or("", |answer| text(answer.headers(), "location")).to_owned()
}

impl Run<'_> {
    /// Applies what both sides accepted; where only one did, evens the difference out.
    pub(crate) async fn reconcile(&mut self, step: &Step, answers: &Answers) {
        let statuses = [status(&answers[PEER]), status(&answers[OURS])];
        let is_accepted = |status: u16| (200..300).contains(&status);
        let both = statuses.iter().all(|status| is_accepted(*status));
        let one = !both && statuses.iter().any(|status| is_accepted(*status));
        match step.effect.clone() {
            Effect::None => {}
            Effect::Start { repository, blob } => {
                if both {
                    self.open_session(repository, blob, answers);
                }
            }
            Effect::SinglePost { repository, blob, digest } => {
                self.finish_single_post(step, answers, &digest).await;
                if digest == self.pool.blobs[blob].digest {
                    self.model.repositories[repository].blobs.insert(blob);
                }
            }
            Effect::Mount { repository, blob } => match statuses {
                [202, 202] => self.open_session(repository, blob, answers),
                [201, 201] => {
                    self.model.repositories[repository].blobs.insert(blob);
                }
                _ => {
                    self.cancel_started(answers).await;
                    if statuses.contains(&201) {
                        self.push(repository, blob, statuses.map(|status| status != 201)).await;
                    }
                }
            },
            Effect::Append { session, bytes } => {
                self.move_locations(session, answers);
                if one {
                    self.drop_session(session).await;
                } else if both {
                    self.model.sessions[session].offset += bytes;
                } else {
                    self.ask_status(session);
                }
            }
            Effect::Finish { session, blob } => {
                let repository = self.model.sessions[session].repository;
                if statuses == [201, 201] {
                    self.model.sessions[session].is_open = false;
                    // Known here by the digest that it was pushed with, there by its sha256.
                    if step.case == "sha512" {
                        self.push(repository, blob, [false, true]).await;
                    }
                    self.model.repositories[repository].blobs.insert(blob);
                } else if one {
                    self.drop_session(session).await;
                    self.push(repository, blob, statuses.map(|status| status != 201)).await;
                } else {
                    self.ask_status(session);
                }
            }
            Effect::Status { session } | Effect::Cancel { session } => {
                let is_cancel = matches!(step.effect, Effect::Cancel { .. });
                if one {
                    self.drop_session(session).await;
                } else if is_cancel || !both {
                    self.model.sessions[session].is_open = false;
                } else {
                    self.move_locations(session, answers);
                }
            }
            Effect::DeleteBlob { repository, blob } => {
                if both {
                    self.model.repositories[repository].blobs.remove(&blob);
                } else if one {
                    self.push(repository, blob, statuses.map(is_accepted)).await;
                }
            }
            Effect::PutManifest { repository, manifest, tag } => {
                if both {
                    self.model.repositories[repository].manifests.insert(manifest);
                    if let Some(tag) = tag {
                        self.model.repositories[repository].tags.insert(tag, manifest);
                    }
                } else if one {
                    self.withdraw(repository, manifest, tag).await;
                } else if step.case.ends_with("at bad digest")
                    && !self.model.repositories[repository].manifests.contains(&manifest)
                {
                    // The peer stores it before it finds that the reference is none.
                    self.withdraw(repository, manifest, None).await;
                }
            }
            Effect::DeleteManifest { repository, manifest } => {
                if both {
                    self.forget_manifest(repository, manifest);
                } else if one {
                    self.withdraw(repository, manifest, None).await;
                }
            }
            Effect::DeleteTag { repository, tag } => {
                if both {
                    self.model.repositories[repository].tags.remove(tag);
                } else if one && let Some(manifest) = self.model.repositories[repository].tags.get(tag) {
                    self.even_tag(repository, tag, *manifest).await;
                }
            }
        }
    }

    /// A repository that both know: an upload alone makes one here, but not there.
    pub(crate) async fn prime(&mut self, repository: usize) {
        self.push(repository, 0, [true, true]).await;
    }

    fn open_session(&mut self, repository: usize, blob: usize, answers: &Answers) {
        let locations = [location(&answers[PEER]), location(&answers[OURS])];
        if self.model.sessions.len() == SESSIONS {
            self.model.sessions.remove(0);
        }
        self.model.sessions.push(Session { repository, locations, blob, offset: 0, is_open: true });
    }

    fn move_locations(&mut self, session: usize, answers: &Answers) {
        for (side, answer) in answers.iter().enumerate() {
            let moved = location(answer);
            if !moved.is_empty() {
                self.model.sessions[session].locations[side] = moved;
            }
        }
    }

    /// After a refusal both sides are asked what is left.
    fn ask_status(&mut self, session: usize) {
        let step = Step::on_session("get_upload", "after a refusal", "GET", session);
        self.next = Some(Step { effect: Effect::Status { session }, ..step });
    }

    async fn drop_session(&mut self, session: usize) {
        let locations = self.model.sessions.remove(session).locations;
        for (side, location) in locations.iter().enumerate() {
            let _ = self.clients[side].delete(location).await;
        }
    }

    /// What was started on one side only.
    async fn cancel_started(&self, answers: &Answers) {
        for (side, answer) in answers.iter().enumerate() {
            if status(answer) == 202 {
                let _ = self.clients[side].delete(&location(answer)).await;
            }
        }
    }

    /// A side that answers 202 gets the content in a PUT, as clients do.
    async fn finish_single_post(&self, step: &Step, answers: &Answers, digest: &str) {
        for (side, answer) in answers.iter().enumerate() {
            if status(answer) == 202 {
                let target = join(&location(answer), &format!("digest={digest}"));
                let _ = self.clients[side].send("PUT", &target, &[], step.body.clone()).await;
            }
        }
    }

    /// The sides that lack the blob get it.
    async fn push(&mut self, repository: usize, blob: usize, lacks: [bool; 2]) {
        let Repository { name, blobs, .. } = &mut self.model.repositories[repository];
        blobs.insert(blob);
        let blob = &self.pool.blobs[blob];
        for (client, _) in self.clients.iter().zip(lacks).filter(|(_, lacks)| *lacks) {
            let location = client.start_upload(name).await.expect("both start uploads");
            let target = join(&location, &format!("digest={}", blob.digest));
            let answer = client.send("PUT", &target, &[], blob.bytes.clone()).await;
            assert_eq!(status(&answer), 201, "both take a blob: {answer:?}");
        }
    }

    /// Neither side keeps the manifest; a tag that it took goes back to what it was.
    async fn withdraw(&mut self, repository: usize, manifest: usize, tag: Option<&'static str>) {
        let before = tag.and_then(|tag| self.model.repositories[repository].tags.get(tag).copied());
        let target = format!(
            "/v2/{}/manifests/{}",
            self.model.repositories[repository].name, self.pool.manifests[manifest].digest
        );
        for client in &self.clients {
            let _ = client.delete(&target).await;
        }
        self.forget_manifest(repository, manifest);
        if let (Some(tag), Some(before)) = (tag, before)
            && before != manifest
        {
            self.even_tag(repository, tag, before).await;
        }
    }

    /// The tag names the manifest on both sides.
    async fn even_tag(&mut self, repository: usize, tag: &'static str, manifest: usize) {
        let target = format!("/v2/{}/manifests/{tag}", self.model.repositories[repository].name);
        let manifest = &self.pool.manifests[manifest];
        let headers = [("content-type", manifest.media_type)];
        for side in [PEER, OURS] {
            let answer = self.clients[side].send("PUT", &target, &headers, manifest.bytes.clone()).await;
            if status(&answer) != 201 {
                // Something that it needs is gone.
                self.model.replace(repository);
                self.prime(repository).await;
                return;
            }
        }
    }

    fn forget_manifest(&mut self, repository: usize, manifest: usize) {
        let repository = &mut self.model.repositories[repository];
        repository.manifests.remove(&manifest);
        repository.tags.retain(|_, named| *named != manifest);
    }
}
