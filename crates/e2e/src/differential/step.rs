//! One request, the same for both sides, and what it changes if it is accepted.

use bytes::Bytes;

use super::model::Model;

/// What acceptance by both sides means for the model.
#[derive(Debug, Clone)]
pub(crate) enum Effect {
    None,
    /// A session starts, for this blob.
    Start {
        repository: usize,
        blob: usize,
    },
    /// The blob is there, if its digest was right; a side may ask for it in a PUT instead (end-4b).
    SinglePost {
        repository: usize,
        blob: usize,
        digest: String,
    },
    /// The blob is there, or a session starts.
    Mount {
        repository: usize,
        blob: usize,
    },
    Append {
        session: usize,
        bytes: usize,
    },
    /// The blob is there and the session has ended.
    Finish {
        session: usize,
        blob: usize,
    },
    Status {
        session: usize,
    },
    Cancel {
        session: usize,
    },
    DeleteBlob {
        repository: usize,
        blob: usize,
    },
    PutManifest {
        repository: usize,
        manifest: usize,
        tag: Option<&'static str>,
    },
    DeleteManifest {
        repository: usize,
        manifest: usize,
    },
    DeleteTag {
        repository: usize,
        tag: &'static str,
    },
}

/// Where a request goes.
#[derive(Debug, Clone)]
pub(crate) enum Target {
    Path(String),
    /// The Location that each side gave last, and parameters of the query to add.
    Session(usize, String),
}

/// A request of the sequence.
#[derive(Debug, Clone)]
pub(crate) struct Step {
    /// The operation's name, as in ours.
    pub(crate) operation: &'static str,
    /// What is special about it.
    pub(crate) case: String,
    pub(crate) method: &'static str,
    pub(crate) target: Target,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Bytes,
    pub(crate) effect: Effect,
    /// The tags that we list; the peer lists all of them whatever is asked for.
    pub(crate) page: Option<String>,
}

impl Step {
    /// A request without headers, body or effect.
    pub(crate) fn new(operation: &'static str, case: &str, method: &'static str, path: String) -> Self {
        Self {
            operation,
            case: case.to_owned(),
            method,
            target: Target::Path(path),
            headers: Vec::new(),
            body: Bytes::new(),
            effect: Effect::None,
            page: None,
        }
    }

    /// The same on a session.
    pub(crate) fn on_session(
        operation: &'static str,
        case: &str,
        method: &'static str,
        session: usize,
    ) -> Self {
        let target = Target::Session(session, String::new());
        Self { target, ..Self::new(operation, case, method, String::new()) }
    }

    /// The operation and the case, by which intended differences name it.
    pub(crate) fn name(&self) -> String {
        format!("{}/{}", self.operation, self.case)
    }

    /// The request target for a side.
    pub(crate) fn target(&self, model: &Model, side: usize) -> String {
        match &self.target {
            Target::Path(path) => path.clone(),
            Target::Session(session, query) => join(&model.sessions[*session].locations[side], query),
        }
    }

    /// The repository it changes or looks into.
    pub(crate) fn repository(&self, model: &Model) -> Option<String> {
        let path = self.target(model, 1);
        let is_in = |name: &str| path.starts_with(&format!("/v2/{name}/"));
        model.repositories.iter().map(|repository| repository.name.clone()).find(|name| is_in(name))
    }
}

/// A Location with parameters added to its query.
pub(crate) fn join(location: &str, query: &str) -> String {
    match (query.is_empty(), location.contains('?')) {
        (true, _) => location.to_owned(),
        (false, true) => format!("{location}&{query}"),
        (false, false) => format!("{location}?{query}"),
    }
}
