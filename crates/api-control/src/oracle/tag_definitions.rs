//! `/20160918/tagNamespaces/{namespace}/tags`: tag definitions, which the API calls tags.

use axum::extract::Path;
use axum::routing::{delete, get, post, put};
use serde::Deserialize;
use serde_json::{Value, json};
use wharfinger_iam::Error;
use wharfinger_iam::tag_definitions::{self, TagDefinition, TagDefinitionText, Validator};

use super::caller::{Caller, required};
use super::query::Parameters;
use super::tags::{TagField, changes, with_tags};
use super::{Answer, accepted, page, resource, time};
use crate::error::Failure;
use crate::v1::Entry;

pub(super) fn routes() -> Vec<Entry> {
    let (all, one) =
        ("/20160918/tagNamespaces/{namespace}/tags", "/20160918/tagNamespaces/{namespace}/tags/{tag}");
    vec![
        ("list_tag_definitions", all, get(list_tag_definitions)),
        ("create_tag_definition", all, post(create_tag_definition)),
        ("get_tag_definition", one, get(get_tag_definition)),
        ("update_tag_definition", one, put(update_tag_definition)),
        ("delete_tag_definition", one, delete(delete_tag_definition)),
    ]
}

/// As a list has it.
fn summary(tag: &TagDefinition) -> Value {
    let view = json!({
        "id": tag.ocid,
        "compartmentId": tag.compartment,
        "name": tag.name,
        "description": tag.description,
        "isRetired": tag.is_retired,
        "lifecycleState": tag.state().as_str(),
        "timeCreated": time(tag.created_at),
        "isCostTracking": tag.is_cost_tracking,
    });
    with_tags(view, &tag.tags)
}

fn answer(tag: &TagDefinition) -> Answer {
    let mut view = summary(tag);
    if let Some(fields) = view.as_object_mut() {
        let validator =
            tag.allowed_values().map(|values| json!({ "validatorType": "ENUM", "values": values }));
        fields.insert("tagNamespaceId".to_owned(), tag.namespace.clone().into());
        fields.insert("tagNamespaceName".to_owned(), tag.namespace_name.clone().into());
        fields.insert("validator".to_owned(), validator.into());
    }
    resource(view, tag.revision)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct TagValidator {
    validator_type: Option<String>,
    values: Option<Vec<String>>,
}

impl TagValidator {
    fn read(self) -> Result<Validator, Failure> {
        match self.validator_type.as_deref() {
            Some("DEFAULT") => Ok(Validator::Default),
            Some("ENUM") => Ok(Validator::Enum(required("validator.values", self.values)?)),
            other => {
                let value = other.unwrap_or_default().chars().take(40).collect();
                let remedy = "use ENUM with `values`, or DEFAULT";
                Err(Error::Invalid { field: "validator.validatorType", value, remedy }.into())
            }
        }
    }
}

/// What both bodies have in common; a name stands in that of a create only, `isRetired` in that of an update.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct TagDetails {
    name: Option<String>,
    description: Option<String>,
    is_retired: Option<bool>,
    is_cost_tracking: Option<bool>,
    validator: Option<TagValidator>,
    freeform_tags: TagField,
    defined_tags: TagField,
}

impl TagDetails {
    fn text(self) -> Result<TagDefinitionText, Failure> {
        Ok(TagDefinitionText {
            description: self.description,
            is_retired: self.is_retired,
            is_cost_tracking: self.is_cost_tracking,
            validator: self.validator.map(TagValidator::read).transpose()?,
            tags: changes(self.freeform_tags, self.defined_tags)?,
        })
    }
}

async fn create_tag_definition(Path(namespace): Path<String>, caller: Caller) -> Answer {
    let mut body: TagDetails = caller.body()?;
    let name = required("name", body.name.take())?;
    required("description", body.description.as_ref())?;
    if body.is_retired == Some(true) {
        let remedy = "a new tag is in use: retire it afterwards";
        return Err(Error::Invalid { field: "isRetired", value: "true".to_owned(), remedy }.into());
    }
    let text = body.text()?;
    answer(&tag_definitions::create_tag_definition(&caller.ctx, &namespace, &name, text).await?)
}

async fn list_tag_definitions(
    Path(namespace): Path<String>,
    parameters: Parameters,
    caller: Caller,
) -> Answer {
    let listing = parameters?.0.listing()?;
    let listed = tag_definitions::list_tag_definitions(&caller.ctx, &namespace, &listing).await?;
    page(listed.rows.iter().map(summary).collect(), listed.next_page)
}

async fn get_tag_definition(Path((namespace, tag)): Path<(String, String)>, caller: Caller) -> Answer {
    answer(&tag_definitions::get_tag_definition(&caller.ctx, &namespace, &tag).await?)
}

async fn update_tag_definition(Path((namespace, tag)): Path<(String, String)>, caller: Caller) -> Answer {
    let body: TagDetails = caller.body()?;
    if let Some(name) = &body.name {
        let value = name.chars().take(120).collect();
        return Err(Error::Invalid { field: "name", value, remedy: "a tag keeps its name" }.into());
    }
    let text = body.text()?;
    answer(&tag_definitions::update_tag_definition(&caller.ctx, &namespace, &tag, text).await?)
}

async fn delete_tag_definition(Path((namespace, tag)): Path<(String, String)>, caller: Caller) -> Answer {
    accepted(&tag_definitions::delete_tag_definition(&caller.ctx, &namespace, &tag).await?)
}
