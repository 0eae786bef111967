//! Tags on resources: freeform ones are kept, defined ones are not there yet.

use serde_json::{Map, Value, json};
use wharfinger_iam::{Error, FreeformTags};

use crate::error::Failure;

/// By namespace, then by key.
pub(super) type DefinedTags = Map<String, Value>;

/// No tag namespace exists, so no tag of one can be set.
pub(super) fn refuse_defined_tags(tags: Option<&DefinedTags>) -> Result<(), Failure> {
    match tags.and_then(|tags| tags.keys().next()) {
        None => Ok(()),
        Some(namespace) => Err(Error::Invalid {
            field: "definedTags",
            value: namespace.chars().take(40).collect(),
            remedy: "there are no tag namespaces: leave it empty and use `freeformTags`",
        }
        .into()),
    }
}

/// For resources that keep no tags yet.
pub(super) fn refuse_freeform_tags(tags: Option<&FreeformTags>) -> Result<(), Failure> {
    match tags.and_then(|tags| tags.keys().next()) {
        None => Ok(()),
        Some(key) => Err(Error::Invalid {
            field: "freeformTags",
            value: key.chars().take(40).collect(),
            remedy: "resources of this kind keep no tags yet: leave it empty",
        }
        .into()),
    }
}

/// Adds both fields to a view.
pub(super) fn with_tags(mut view: Value, freeform_tags: &str) -> Value {
    if let Some(fields) = view.as_object_mut() {
        // What is stored was written as JSON.
        let tags = serde_json::from_str(freeform_tags).unwrap_or_else(|_| json!({}));
        fields.insert("freeformTags".to_owned(), tags);
        fields.insert("definedTags".to_owned(), json!({}));
    }
    view
}
