//! What both sides are known to hold, so that requests find something and their cases are told apart.

use std::collections::{BTreeMap, BTreeSet};

/// The two registries, as indexes.
pub(crate) const PEER: usize = 0;
pub(crate) const OURS: usize = 1;
/// The tenancy of ours; to the peer just the first part of every name.
pub(crate) const NAMESPACE: &str = "wharf";
/// Names made of words of the API are names like any other.
const NAMES: [&str; 3] = ["app", "team/web", "blobs/manifests"];

/// A repository, with what both sides have in it.
#[derive(Debug, Clone)]
pub(crate) struct Repository {
    /// With the namespace.
    pub(crate) name: String,
    /// Indexes in the pool, like the others.
    pub(crate) blobs: BTreeSet<usize>,
    pub(crate) manifests: BTreeSet<usize>,
    pub(crate) tags: BTreeMap<&'static str, usize>,
}

/// An upload that both sides started.
#[derive(Debug, Clone)]
pub(crate) struct Session {
    pub(crate) repository: usize,
    /// Of each side.
    pub(crate) locations: [String; 2],
    /// The blob that its chunks are of.
    pub(crate) blob: usize,
    pub(crate) offset: usize,
    /// Whether both sides still take bytes.
    pub(crate) is_open: bool,
}

/// The state that the two sides share.
#[derive(Debug, Clone)]
pub(crate) struct Model {
    pub(crate) repositories: Vec<Repository>,
    pub(crate) sessions: Vec<Session>,
    generation: usize,
}

impl Model {
    /// Nothing pushed yet.
    pub(crate) fn new() -> Self {
        let mut model = Self { repositories: Vec::new(), sessions: Vec::new(), generation: 0 };
        for index in 0..NAMES.len() {
            let repository = model.fresh(index);
            model.repositories.push(repository);
        }
        model
    }

    /// Puts an empty repository of a new name in the place of one whose two sides no longer agree.
    pub(crate) fn replace(&mut self, index: usize) {
        self.generation += 1;
        self.repositories[index] = self.fresh(index);
        self.sessions.retain(|session| session.repository != index);
    }

    fn fresh(&self, index: usize) -> Repository {
        Repository {
            name: format!("{NAMESPACE}/{}-{}", NAMES[index], self.generation),
            blobs: BTreeSet::new(),
            manifests: BTreeSet::new(),
            tags: BTreeMap::new(),
        }
    }
}

impl Default for Model {
    fn default() -> Self {
        Self::new()
    }
}
