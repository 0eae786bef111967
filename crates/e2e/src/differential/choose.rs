//! Chooses the next request of a sequence, by the dice and by what is there.

use wharfinger_testkit::http::{Dice, digest};

use super::model::Model;
use super::pool::Pool;
use super::step::{Effect, Step, Target, join};

/// A repository that never gets anything.
pub(crate) const UNKNOWN: &str = "wharf/never/pushed";
pub(crate) const BAD_DIGESTS: [&str; 6] = [
    "sha256:short",
    "sha256:",
    "md5:d41d8cd98f00b204e9800998ecf8427e",
    "sha256%3Ashort",
    "nothing",
    "sha257:00",
];

/// The source of steps.
#[derive(Debug)]
pub(crate) struct Chooser<'a> {
    pub(crate) dice: Dice,
    pub(crate) pool: &'a Pool,
}

impl Chooser<'_> {
    /// The next request.
    pub(crate) fn next(&mut self, model: &Model) -> Step {
        match self.dice.below(100) {
            0..10 => self.start_upload(model),
            10..34 => self.session(model),
            34..46 => self.read_blob(model),
            46..51 => self.delete_blob(model),
            51..68 => self.put_manifest(model),
            68..79 => self.read_manifest(model),
            79..84 => self.delete_manifest(model),
            84..92 => self.list(model),
            _ => self.odd(model),
        }
    }

    pub(crate) fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.dice.below(from.len())].clone()
    }

    pub(crate) fn one_in(&mut self, times: usize) -> bool {
        self.dice.below(times) == 0
    }

    pub(crate) fn repository(&mut self, model: &Model) -> usize {
        self.dice.below(model.repositories.len())
    }

    /// A blob, rather one that the repository has.
    pub(crate) fn blob(&mut self, model: &Model, repository: usize) -> usize {
        let there: Vec<usize> = model.repositories[repository].blobs.iter().copied().collect();
        if there.is_empty() || self.one_in(4) {
            self.dice.below(self.pool.blobs.len())
        } else {
            self.pick(&there)
        }
    }

    /// A manifest, rather one that the repository has.
    pub(crate) fn manifest(&mut self, model: &Model, repository: usize) -> usize {
        let there: Vec<usize> = model.repositories[repository].manifests.iter().copied().collect();
        if there.is_empty() || self.one_in(4) {
            // But for the last, which is empty and has the digest of a blob: the peer takes it for that.
            self.dice.below(self.pool.manifests.len() - 1)
        } else {
            self.pick(&there)
        }
    }

    fn start_upload(&mut self, model: &Model) -> Step {
        let repository = self.repository(model);
        let name = &model.repositories[repository].name;
        let blob = self.dice.below(self.pool.blobs.len());
        let digest_of = self.pool.blobs[blob].digest.clone();
        let uploads = format!("/v2/{name}/blobs/uploads/");
        let post =
            |case: &str, query: String| Step::new("start_upload", case, "POST", uploads.clone() + &query);
        let mount = Effect::Mount { repository, blob };
        match self.dice.below(12) {
            0..3 => Step { effect: Effect::Start { repository, blob }, ..post("", String::new()) },
            3..5 => {
                let digest = if self.one_in(4) { digest(b"another") } else { digest_of };
                let case =
                    if digest == self.pool.blobs[blob].digest { "single" } else { "single, wrong digest" };
                let step = post(case, format!("?digest={digest}"));
                let effect = Effect::SinglePost { repository, blob, digest };
                Step { body: self.pool.blobs[blob].bytes.clone(), effect, ..step }
            }
            5 => post("single, bad digest", format!("?digest={}", self.pick(&BAD_DIGESTS))),
            6..9 => {
                let from = self.repository(model);
                let source = &model.repositories[from];
                let case = if source.blobs.contains(&blob) { "mount" } else { "mount what is not there" };
                let query = format!("?mount={digest_of}&from={}", source.name);
                Step { effect: mount, ..post(case, query) }
            }
            9 => Step { effect: mount, ..post("mount from anywhere", format!("?mount={digest_of}")) },
            10 => {
                let from = self.pick(&[UNKNOWN, "no/namespace/of/ours", "UPPER", ""]);
                let case = format!("mount from `{from}`");
                Step { effect: mount, ..post(&case, format!("?mount={digest_of}&from={from}")) }
            }
            _ => {
                let query = format!("?mount={}&from={name}", self.pick(&BAD_DIGESTS));
                Step { effect: mount, ..post("mount of bad digest", query) }
            }
        }
    }

    /// A request on an upload, open or not.
    fn session(&mut self, model: &Model) -> Step {
        if model.sessions.is_empty() {
            return self.start_upload(model);
        }
        let session = self.dice.below(model.sessions.len());
        let is_open = model.sessions[session].is_open;
        let mut step = self.on_session(model, session);
        if !is_open {
            step.case = format!("ended, {}", step.case);
        } else if self.one_in(25) {
            let name = &model.repositories[model.sessions[session].repository].name;
            let uuid = self.pick(&["00000000-0000-4000-8000-000000000000", "no-uuid"]);
            let Target::Session(_, query) = step.target else { unreachable!("it is on a session") };
            step.target = Target::Path(join(&format!("/v2/{name}/blobs/uploads/{uuid}"), &query));
            step.case = format!("unknown, {}", step.case);
            step.effect = Effect::None;
        }
        step
    }

    fn on_session(&mut self, model: &Model, session: usize) -> Step {
        let state = &model.sessions[session];
        let blob = &self.pool.blobs[state.blob];
        let (offset, all) = (state.offset, blob.bytes.len());
        let on = |operation, case: &str, method| Step::on_session(operation, case, method, session);
        let end = offset + self.dice.below(all - offset + 1);
        let chunk = blob.bytes.slice(offset..end);
        let ranged = |mut step: Step, range: String| {
            step.headers.push(("content-range", range));
            step
        };
        let effect = Effect::Append { session, bytes: chunk.len() };
        let append = |case: &str| Step {
            body: chunk.clone(),
            effect: effect.clone(),
            ..on("append_upload", case, "PATCH")
        };
        let rest = blob.bytes.slice(offset..);
        let finish = |case: &str, digest: &str| Step {
            target: Target::Session(
                session,
                if digest.is_empty() { String::new() } else { format!("digest={digest}") },
            ),
            body: rest.clone(),
            effect: Effect::Finish { session, blob: state.blob },
            ..on("finish_upload", case, "PUT")
        };
        match self.dice.below(26) {
            0..3 => Step { effect: Effect::Status { session }, ..on("get_upload", "", "GET") },
            3..6 => append(""),
            6..8 if !chunk.is_empty() => ranged(append("with range"), format!("{offset}-{}", end - 1)),
            8 if !chunk.is_empty() => ranged(append("gap"), format!("{}-{}", offset + 7, end + 6)),
            9 if !chunk.is_empty() && offset > 0 => {
                ranged(append("repeated"), format!("0-{}", chunk.len() - 1))
            }
            10 if !chunk.is_empty() => {
                ranged(append("shorter than its range"), format!("{offset}-{}", end + 3))
            }
            11 => {
                ranged(append("malformed range"), self.pick(&["5", "a-b", "bytes 0-1/2", "9-3"]).to_owned())
            }
            12 => {
                let mut step = append("as JSON");
                step.headers.push(("content-type", "application/json".to_owned()));
                step
            }
            13..19 => finish("", &blob.digest),
            19 => finish("encoded digest", &blob.digest.replace(':', "%3A")),
            20 => finish("wrong digest", &digest(b"another")),
            21 => finish("bad digest", self.pick(&BAD_DIGESTS)),
            22 => finish("no digest", ""),
            23 => finish("sha512", &blob.sha512),
            24 if !rest.is_empty() => {
                ranged(finish("gap", &blob.digest), format!("{}-{}", offset + 7, all + 6))
            }
            _ => Step { effect: Effect::Cancel { session }, ..on("cancel_upload", "", "DELETE") },
        }
    }
}
