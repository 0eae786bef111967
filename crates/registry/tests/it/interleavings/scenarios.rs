//! Who meets whom, and in what situation.

use super::acts::{Act, EVERYTHING, Step};

/// A situation that is three days old, and those who meet in it.
#[derive(Debug)]
pub(super) struct Scenario {
    pub(super) name: &'static str,
    /// Done one after another before.
    pub(super) before: &'static [Act],
    /// SQL for what acts cannot do.
    pub(super) tamper: &'static str,
    actors: &'static [Act],
    /// Whether each does one thing, so that all orders can be gone through.
    pub(super) is_short: bool,
}

impl Scenario {
    pub(super) fn actors(&self) -> &'static [Act] {
        self.actors
    }
}

const fn meet(name: &'static str, before: &'static [Act], actors: &'static [Act]) -> Scenario {
    Scenario { name, before, tamper: "", actors, is_short: actors.len() == 2 }
}

/// Two that do several things, in a body each: there are too many orders.
const fn meet_at_length(name: &'static str, before: &'static [Act], actors: &'static [Act]) -> Scenario {
    Scenario { name, before, tamper: "", actors, is_short: false }
}

const LINKS: Act = Act::Collect(&[Step::Links]);
const BLOBS: Act = Act::Collect(&[Step::Blobs]);
const LINKS_AND_BLOBS: Act = Act::Collect(&[Step::Links, Step::Blobs]);
const MANIFESTS: Act = Act::Collect(&[Step::Manifests]);
const REPOSITORIES: Act = Act::Collect(&[Step::Repositories, Step::EmptyRepositories]);
const ALL: Act = Act::Collect(EVERYTHING);

/// Blobs that no manifest uses.
const BLOBS_ONLY: &[Act] = &[Act::PushBlobs];
/// The same, in the repository that a mount is from.
const BLOBS_ELSEWHERE: &[Act] = &[Act::PushBlobsElsewhere];
/// An image that was deleted longer ago than it can be restored, if the collector comes first.
const DELETED: &[Act] = &[Act::PushBlobs, Act::Put("v1"), Act::DeleteImage];
/// The same, and its tag is another image's.
const DELETED_AFTER_A_MOVE: &[Act] = &[Act::PushBlobs, Act::Put("v1"), Act::MoveTag, Act::DeleteImage];
/// An index of the image, both deleted.
const DELETED_INDEX: &[Act] =
    &[Act::PushBlobs, Act::Put("v1"), Act::PutIndex, Act::DeleteIndex, Act::DeleteImage];
/// A repository with an image, deleted.
const DELETED_REPOSITORY: &[Act] = &[Act::PushBlobs, Act::Put("v1"), Act::DeleteRepository];

pub(super) const SCENARIOS: &[Scenario] = &[
    meet("put, links", BLOBS_ONLY, &[Act::Put("v2"), LINKS]),
    meet("HEAD then put, links", BLOBS_ONLY, &[Act::AskThenPut, LINKS]),
    meet_at_length("mount then put, links and blobs", BLOBS_ELSEWHERE, &[Act::MountThenPut, LINKS_AND_BLOBS]),
    Scenario {
        name: "push, blobs",
        before: BLOBS_ONLY,
        tamper: "DELETE FROM link",
        actors: &[Act::PushWhole, BLOBS],
        is_short: true,
    },
    meet_at_length("push, everything", DELETED, &[Act::PushWhole, ALL]),
    meet("put of a deleted image, manifests", DELETED, &[Act::Put("v2"), MANIFESTS]),
    meet("move of a tag to a deleted image, manifests", DELETED_AFTER_A_MOVE, &[Act::Put("v1"), MANIFESTS]),
    meet("restore of an image, manifests", DELETED, &[Act::RestoreImage, MANIFESTS]),
    meet_at_length("restore of an index, manifests", DELETED_INDEX, &[Act::RestoreIndex, MANIFESTS]),
    meet_at_length("put of an index, manifests", DELETED_INDEX, &[Act::PutIndex, MANIFESTS]),
    meet_at_length("put of a referrer, manifests", DELETED, &[Act::PutReferrer, MANIFESTS]),
    meet(
        "restore of a repository, repositories",
        DELETED_REPOSITORY,
        &[Act::RestoreRepository, REPOSITORIES],
    ),
    meet("deletion of a layer, put", BLOBS_ONLY, &[Act::DeleteLayer, Act::Put("v2")]),
    meet("deletion of a layer, restore of its image", DELETED, &[Act::DeleteLayer, Act::RestoreImage]),
    meet(
        "HEAD then put, links and blobs, push elsewhere",
        BLOBS_ONLY,
        &[Act::AskThenPut, LINKS_AND_BLOBS, Act::PushBlobsElsewhere],
    ),
    meet("push, links, blobs", BLOBS_ONLY, &[Act::PushWhole, LINKS, BLOBS]),
    meet("put, restore, manifests", DELETED, &[Act::Put("v2"), Act::RestoreImage, MANIFESTS]),
    meet("restore, deletion, manifests", DELETED, &[Act::RestoreImage, Act::RestoreThenDelete, MANIFESTS]),
    meet(
        "restore, put of an index, manifests",
        DELETED_INDEX,
        &[Act::RestoreImage, Act::PutIndex, MANIFESTS],
    ),
];

/// What holds the collector back, taken away; and the scenario that must fail then. Other foreign keys of these
/// tables stand behind a row lock that the bodies take anyway: without them no order here goes wrong.
pub(super) const SABOTAGE: &[(&str, &str)] = &[
    ("ALTER TABLE manifest_blob DROP CONSTRAINT manifest_blob_repository_id_blob_id_fkey", "put, links"),
    ("ALTER TABLE link DROP CONSTRAINT link_blob_id_fkey", "mount then put, links and blobs"),
    (NO_RENEWAL, "HEAD then put, links"),
];

/// A link keeps the age that it has.
const NO_RENEWAL: &str = "
    CREATE FUNCTION keep_age() RETURNS trigger LANGUAGE plpgsql AS
        'BEGIN NEW.renewed_at := OLD.renewed_at; RETURN NEW; END';
    CREATE TRIGGER keep_age BEFORE UPDATE ON link FOR EACH ROW EXECUTE FUNCTION keep_age()";
