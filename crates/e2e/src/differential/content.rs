//! Chooses requests about blobs, manifests and lists, and requests that no API has.

use wharfinger_testkit::http::{IMAGE_INDEX, digest};

use super::choose::{BAD_DIGESTS, Chooser, UNKNOWN};
use super::model::{Model, NAMESPACE, Repository};
use super::pool::{SCHEMA_1, TAGS};
use super::step::{Effect, Step};

const BAD_NAMES: [&str; 9] =
    ["UPPER/app", "app_", "-app", "a..b", "a___b", "a//b", "a/../b", "a%2Fb", "%C3%A4"];
const BAD_TAGS: [&str; 4] = [".hidden", "-dash", "a%2Bb", "a%20b"];
const RANGES: [(&str, &str); 15] = [
    ("first bytes", "bytes=0-9"),
    ("one byte", "bytes=0-0"),
    ("from the middle", "bytes=150-"),
    ("last bytes", "bytes=-5"),
    ("more than all last bytes", "bytes=-999999"),
    ("beyond the end", "bytes=1-999999"),
    ("unsatisfiable", "bytes=999999-"),
    ("unsatisfiable", "bytes=999999-9999999"),
    ("no last bytes", "bytes=-0"),
    ("backwards", "bytes=9-0"),
    ("malformed", "bytes=a-b"),
    ("malformed", "bytes=-"),
    ("other unit", "items=0-9"),
    ("several", "bytes=0-1,4-5"),
    ("several, adjacent", "bytes=0-1,2-3"),
];

/// What clients that know every kind of manifest accept.
const EVERYTHING: &str = "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, \
    application/vnd.docker.distribution.manifest.v2+json, \
    application/vnd.docker.distribution.manifest.list.v2+json";

/// A query, and what it asks for: how many entries after which.
const PAGES: [(&str, usize, &str); 8] = [
    ("n=0", 0, ""),
    ("n=1", 1, ""),
    ("n=2", 2, ""),
    ("n=100", 100, ""),
    ("last=latest", 100, "latest"),
    ("n=2&last=10", 2, "10"),
    ("n=-1", 0, ""),
    ("n=x", 0, ""),
];

impl Chooser<'_> {
    pub(crate) fn read_blob(&mut self, model: &Model) -> Step {
        let repository = self.repository(model);
        let index = self.blob(model, repository);
        let blob = &self.pool.blobs[index];
        let repository = &model.repositories[repository];
        let digests = |digest: &str| format!("/v2/{}/blobs/{digest}", repository.name);
        let (operation, method) = if self.one_in(3) { ("stat_blob", "HEAD") } else { ("open_blob", "GET") };
        let mut step = Step::new(operation, "", method, digests(&blob.digest));
        let size = blob.bytes.len();
        match self.dice.below(12) {
            0..3 => {}
            3..8 => {
                let (case, range) = self.pick(&RANGES);
                let first =
                    range.trim_start_matches("bytes=").split('-').next().and_then(|first| first.parse().ok());
                // Which ranges can be satisfied depends on the blob.
                let is_beyond =
                    first.is_some_and(|first: usize| first >= size) && !case.starts_with("several");
                let case = if is_beyond { "unsatisfiable" } else { case };
                step.case = format!("range, {case}{}", if size == 0 { ", of nothing" } else { "" });
                step.headers.push(("range", range.to_owned()));
            }
            8 if size > 0 => {
                step.case = "if none match".to_owned();
                step.headers.push(("if-none-match", format!("\"{}\"", blob.digest)));
            }
            9 if size > 0 => {
                let (case, tag) = self.pick(&[("if range", &blob.digest), ("if other range", &blob.sha512)]);
                step.case = case.to_owned();
                step.headers.push(("range", "bytes=0-0".to_owned()));
                step.headers.push(("if-range", format!("\"{tag}\"")));
            }
            10 => return Step::new(operation, "encoded", method, digests(&blob.digest.replace(':', "%3A"))),
            _ => {
                let bad = format!("/v2/{}/blobs/{}", repository.name, self.pick(&BAD_DIGESTS));
                let unknown = digests(&digest(b"another"));
                let elsewhere = format!("/v2/{UNKNOWN}/blobs/{}", blob.digest);
                let (case, path) = self.pick(&[
                    ("bad digest", bad),
                    ("unknown", unknown),
                    ("unknown repository", elsewhere),
                ]);
                return Step::new(operation, case, method, path);
            }
        }
        if !repository.blobs.contains(&index) {
            step.case = "not there".to_owned();
        }
        step
    }

    pub(crate) fn delete_blob(&mut self, model: &Model) -> Step {
        let repository = self.repository(model);
        let blob = self.blob(model, repository);
        let name = &model.repositories[repository].name;
        if self.one_in(8) {
            let bad = ("bad digest", self.pick(&BAD_DIGESTS).to_owned());
            let (case, digest) = self.pick(&[bad, ("unknown", digest(b"another"))]);
            return Step::new("delete_blob", case, "DELETE", format!("/v2/{name}/blobs/{digest}"));
        }
        let users = model.repositories[repository].manifests.iter();
        let is_used = users.copied().any(|user| self.pool.manifests[user].blobs.contains(&blob));
        let case = if is_used { "in use" } else { "" };
        let path = format!("/v2/{name}/blobs/{}", self.pool.blobs[blob].digest);
        Step {
            effect: Effect::DeleteBlob { repository, blob },
            ..Step::new("delete_blob", case, "DELETE", path)
        }
    }

    pub(crate) fn put_manifest(&mut self, model: &Model) -> Step {
        let repository = self.repository(model);
        let index = self.dice.below(self.pool.manifests.len());
        let manifest = &self.pool.manifests[index];
        let name = &model.repositories[repository].name;
        let (mut kind, mut media_type) = (manifest.kind.to_owned(), manifest.media_type);
        let (mut reference, mut tag) = (manifest.digest.clone(), None);
        if !self.one_in(3) {
            let chosen = self.pick(&TAGS);
            (reference, tag) = (chosen.to_owned(), Some(chosen));
        }
        // One oddity at a time, or their cases could not be told apart.
        if manifest.kind == "image" {
            match self.dice.below(12) {
                0 => (kind, media_type) = ("image without type".to_owned(), ""),
                1 => (kind, media_type) = ("image as text".to_owned(), "text/plain"),
                2 => (kind, media_type) = ("image as JSON".to_owned(), "application/json"),
                3 => (kind, media_type) = ("image as index".to_owned(), IMAGE_INDEX),
                4 => (kind, media_type) = ("image as schema 1".to_owned(), SCHEMA_1),
                5 => {
                    let parameters = "application/vnd.oci.image.manifest.v1+json; charset=utf-8";
                    (kind, media_type) = ("image with parameters".to_owned(), parameters);
                }
                6 => (kind, reference, tag) = ("image at wrong digest".to_owned(), digest(b"another"), None),
                7 => {
                    (kind, reference, tag) =
                        ("image at bad digest".to_owned(), self.pick(&BAD_DIGESTS[..4]).to_owned(), None);
                }
                8 => {
                    (kind, reference, tag) =
                        ("image at bad tag".to_owned(), self.pick(&BAD_TAGS).to_owned(), None);
                }
                _ => {}
            }
        }
        let mut step = Step::new("put_manifest", &kind, "PUT", format!("/v2/{name}/manifests/{reference}"));
        if !media_type.is_empty() {
            step.headers.push(("content-type", media_type.to_owned()));
        }
        let effect = Effect::PutManifest { repository, manifest: index, tag };
        Step { body: manifest.bytes.clone(), effect, ..step }
    }

    pub(crate) fn read_manifest(&mut self, model: &Model) -> Step {
        let (operation, method) =
            if self.one_in(2) { ("stat_manifest", "HEAD") } else { ("get_manifest", "GET") };
        let repository = self.repository(model);
        let index = self.manifest(model, repository);
        let manifest = &self.pool.manifests[index];
        let repository = &model.repositories[repository];
        let path = |name: &str, reference: &str| format!("/v2/{name}/manifests/{reference}");
        match self.dice.below(12) {
            0 => Step::new(
                operation,
                "bad digest",
                method,
                path(&repository.name, self.pick(&BAD_DIGESTS[..4])),
            ),
            1 => Step::new(operation, "bad tag", method, path(&repository.name, self.pick(&BAD_TAGS))),
            2 => Step::new(operation, "unknown repository", method, path(UNKNOWN, "latest")),
            number => {
                let (case, reference) =
                    if number < 7 { ("", manifest.digest.as_str()) } else { ("by tag", self.pick(&TAGS)) };
                let mut step = Step::new(operation, case, method, path(&repository.name, reference));
                let mut accept = EVERYTHING;
                match self.dice.below(8) {
                    0 => (step.case, accept) = (format!("{case} if none match"), EVERYTHING),
                    1 => (step.case, accept) = (format!("{case} accepting anything"), "*/*"),
                    2 => (step.case, accept) = (format!("{case} accepting an index"), IMAGE_INDEX),
                    3 => (step.case, accept) = (format!("{case} accepting schema 1"), SCHEMA_1),
                    _ => {}
                }
                step.headers.push(("accept", accept.to_owned()));
                if step.case.ends_with("if none match") {
                    step.headers.push(("if-none-match", format!("\"{}\"", manifest.digest)));
                }
                if !repository.manifests.contains(&index) && number < 7 {
                    step.case = format!("not there {}", step.case);
                }
                step
            }
        }
    }

    pub(crate) fn delete_manifest(&mut self, model: &Model) -> Step {
        let repository = self.repository(model);
        let manifest = self.manifest(model, repository);
        let name = &model.repositories[repository].name;
        let path = |reference: &str| format!("/v2/{name}/manifests/{reference}");
        match self.dice.below(8) {
            0 => {
                let tag = self.pick(&TAGS);
                let is_there = model.repositories[repository].tags.contains_key(tag);
                let case = if is_there { "" } else { "not there" };
                let effect = Effect::DeleteTag { repository, tag };
                Step { effect, ..Step::new("delete_tag", case, "DELETE", path(tag)) }
            }
            1 => {
                let bad = ("bad digest", self.pick(&BAD_DIGESTS[..4]).to_owned());
                let (case, digest) = self.pick(&[bad, ("unknown", digest(b"another"))]);
                Step::new("delete_manifest", case, "DELETE", path(&digest))
            }
            _ => {
                let is_there = model.repositories[repository].manifests.contains(&manifest);
                let case = if is_there { "" } else { "not there" };
                let effect = Effect::DeleteManifest { repository, manifest };
                let digest = &self.pool.manifests[manifest].digest;
                Step { effect, ..Step::new("delete_manifest", case, "DELETE", path(digest)) }
            }
        }
    }

    pub(crate) fn list(&mut self, model: &Model) -> Step {
        let repository = self.repository(model);
        let Repository { name, tags, .. } = &model.repositories[repository];
        let page = self.pick(&PAGES);
        let (query, n, last) = if self.one_in(2) { page } else { ("", 0, "") };
        match self.dice.below(7) {
            0..3 => {
                let case = if tags.is_empty() { format!("without tags {query}") } else { query.to_owned() };
                let path = format!("/v2/{name}/tags/list?{query}");
                let shown: Vec<&str> = tags.keys().copied().filter(|tag| *tag > last).take(n).collect();
                let page = format!("{}: {}", shown.len(), shown.join(" "));
                Step {
                    page: Some(page).filter(|_| !query.is_empty()),
                    ..Step::new("list_tags", case.trim(), "GET", path)
                }
            }
            3 => Step::new("list_tags", "unknown repository", "GET", format!("/v2/{UNKNOWN}/tags/list")),
            4..6 => {
                let (last, other) = ("last=wharf%2Fapp-0", "last=wharf/b");
                let path = query.replace("last=latest", last).replace("last=10", other);
                Step::new("list_catalog", query, "GET", format!("/v2/_catalog?{path}"))
            }
            _ => {
                let known = ("", self.pool.manifests[0].digest.clone());
                let bad = ("bad digest", "sha256:short".to_owned());
                let (case, digest) = self.pick(&[known, ("", digest(b"another")), bad]);
                Step::new("list_referrers", case, "GET", format!("/v2/{name}/referrers/{digest}"))
            }
        }
    }

    /// Bad names, paths that are none, and methods that a path does not have.
    pub(crate) fn odd(&mut self, model: &Model) -> Step {
        let repository = self.repository(model);
        let name = model.repositories[repository].name.clone();
        let digest = digest(b"another");
        let of = |name: &str| {
            [
                ("list_tags", "GET", format!("/v2/{name}/tags/list")),
                ("get_manifest", "GET", format!("/v2/{name}/manifests/latest")),
                ("stat_blob", "HEAD", format!("/v2/{name}/blobs/{digest}")),
                ("start_upload", "POST", format!("/v2/{name}/blobs/uploads/")),
            ]
        };
        match self.dice.below(8) {
            0..3 => {
                let bad = self.pick(&BAD_NAMES);
                let (operation, method, path) = self.pick(&of(&format!("{NAMESPACE}/{bad}")));
                Step::new(operation, &format!("name `{bad}`"), method, path)
            }
            3 => {
                let (_, method, path) = self.pick(&of(&"n".repeat(300)));
                Step::new("any", "name too long", method, path)
            }
            4 => {
                let paths = ["/v2", "/v2/"].map(str::to_owned);
                let path = self.pick(&paths);
                let method = self.pick(&["GET", "HEAD"]);
                Step::new("get_base", &format!("{method} {path}"), method, path)
            }
            5 => {
                let method = self.pick(&["GET", "POST", "DELETE"]);
                let below = self.pick(&[
                    "tags",
                    "tags/other",
                    "nothing",
                    "blobs",
                    "blobs/",
                    "manifests/",
                    "tags/list/",
                ]);
                Step::new("no route", below, method, format!("/v2/{name}/{below}"))
            }
            6 => {
                let path = self.pick(&["/v1/_ping", "/v2/x", "/v2//", "/v2/_catalog/"]);
                Step::new("no route", path, "GET", path.to_owned())
            }
            _ => {
                let method = self.pick(&["PUT", "PATCH", "OPTIONS", "TRACE", "PROPFIND"]);
                let (operation, _, path) = self.pick(&of(&name));
                let has_method = operation == "get_manifest" && method == "PUT";
                let method = if has_method { "POST" } else { method };
                Step::new("wrong method", operation, method, path)
            }
        }
    }
}
