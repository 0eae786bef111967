//! Tags on resources, as bodies and answers have them.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use wharfinger_iam::{DefinedTags, Error, FreeformTags, TagChanges, Tags};

use crate::error::Failure;

/// What a body has in either field; its form is checked by [`changes`], which names what is wrong.
pub(super) type TagField = Option<Map<String, Value>>;

/// The change that `freeformTags` and `definedTags` of a body ask for.
pub(super) fn changes(freeform: TagField, defined: TagField) -> Result<TagChanges, Failure> {
    let freeform =
        freeform.map(|tags| tags.into_iter().map(freeform_tag).collect::<Result<FreeformTags, _>>());
    let defined =
        defined.map(|tags| tags.into_iter().map(tags_of_namespace).collect::<Result<DefinedTags, _>>());
    Ok(TagChanges { freeform: freeform.transpose()?, defined: defined.transpose()? })
}

fn freeform_tag((key, value): (String, Value)) -> Result<(String, String), Failure> {
    match value {
        Value::String(value) => Ok((key, value)),
        _ => Err(wrong("freeformTags", &key, "give each key a text")),
    }
}

fn tags_of_namespace(
    (namespace, keys): (String, Value),
) -> Result<(String, BTreeMap<String, Value>), Failure> {
    match keys {
        Value::Object(keys) => Ok((namespace, keys.into_iter().collect())),
        _ => Err(wrong("definedTags", &namespace, "give each tag namespace an object of keys and values")),
    }
}

fn wrong(field: &'static str, value: &str, remedy: &'static str) -> Failure {
    Error::Invalid { field, value: value.chars().take(120).collect(), remedy }.into()
}

/// Adds both fields to a view.
pub(super) fn with_tags(mut view: Value, column: &str) -> Value {
    let Tags { freeform, defined } = Tags::from_column(column);
    if let Some(fields) = view.as_object_mut() {
        fields.insert("freeformTags".to_owned(), json!(freeform));
        fields.insert("definedTags".to_owned(), json!(defined));
    }
    view
}
