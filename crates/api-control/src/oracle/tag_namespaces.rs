//! `/20160918/tagNamespaces`. Nothing here is ever locked, so `isLockOverride` changes nothing.

use axum::extract::Path;
use axum::routing::{delete, get, post, put};
use serde::Deserialize;
use serde_json::{Value, json};
use wharfinger_iam::Error;
use wharfinger_iam::tag_namespaces::{self, TagNamespace, TagNamespaceText};

use super::caller::{Caller, required};
use super::query::Parameters;
use super::tags::{TagField, changes, with_tags};
use super::{Answer, accepted, nothing, page, resource, time};
use crate::v1::Entry;

pub(super) fn routes() -> Vec<Entry> {
    vec![
        ("list_tag_namespaces", "/20160918/tagNamespaces", get(list_tag_namespaces)),
        ("create_tag_namespace", "/20160918/tagNamespaces", post(create_tag_namespace)),
        ("get_tag_namespace", "/20160918/tagNamespaces/{namespace}", get(get_tag_namespace)),
        ("update_tag_namespace", "/20160918/tagNamespaces/{namespace}", put(update_tag_namespace)),
        ("delete_tag_namespace", "/20160918/tagNamespaces/{namespace}", delete(delete_tag_namespace)),
        (
            "cascade_delete_tag_namespace",
            "/20160918/tagNamespaces/{namespace}/actions/cascadeDelete",
            post(cascade_delete_tag_namespace),
        ),
        (
            "change_tag_namespace_compartment",
            "/20160918/tagNamespaces/{namespace}/actions/changeCompartment",
            post(change_tag_namespace_compartment),
        ),
    ]
}

fn view(namespace: &TagNamespace) -> Value {
    let view = json!({
        "id": namespace.ocid,
        "compartmentId": namespace.compartment,
        "name": namespace.name,
        "description": namespace.description,
        "isRetired": namespace.is_retired,
        "lifecycleState": namespace.state().as_str(),
        "timeCreated": time(namespace.created_at),
        "locks": [],
    });
    with_tags(view, &namespace.tags)
}

fn answer(namespace: &TagNamespace) -> Answer {
    resource(view(namespace), namespace.revision)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct CreateTagNamespaceDetails {
    compartment_id: Option<String>,
    name: Option<String>,
    description: Option<String>,
    locks: Option<Vec<Value>>,
    freeform_tags: TagField,
    defined_tags: TagField,
}

async fn create_tag_namespace(caller: Caller) -> Answer {
    let body: CreateTagNamespaceDetails = caller.body()?;
    if let Some(lock) = body.locks.and_then(|locks| locks.into_iter().next()) {
        let value = lock.to_string().chars().take(120).collect();
        let remedy = "there are no resource locks here: leave it out";
        return Err(Error::Invalid { field: "locks", value, remedy }.into());
    }
    let compartment = required("compartmentId", body.compartment_id)?;
    let name = required("name", body.name)?;
    let text = TagNamespaceText {
        description: Some(required("description", body.description)?),
        is_retired: None,
        tags: changes(body.freeform_tags, body.defined_tags)?,
    };
    answer(&tag_namespaces::create_tag_namespace(&caller.ctx, &compartment, &name, text).await?)
}

async fn list_tag_namespaces(parameters: Parameters, caller: Caller) -> Answer {
    let query = parameters?.0;
    let listing = query.listing()?;
    let compartment = required("compartmentId", query.compartment())?;
    let below = query.include_subcompartments.unwrap_or(false);
    let listed = tag_namespaces::list_tag_namespaces(&caller.ctx, compartment, below, &listing).await?;
    page(listed.rows.iter().map(view).collect(), listed.next_page)
}

async fn get_tag_namespace(Path(namespace): Path<String>, caller: Caller) -> Answer {
    answer(&tag_namespaces::get_tag_namespace(&caller.ctx, &namespace).await?)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct UpdateTagNamespaceDetails {
    description: Option<String>,
    is_retired: Option<bool>,
    freeform_tags: TagField,
    defined_tags: TagField,
}

async fn update_tag_namespace(Path(namespace): Path<String>, caller: Caller) -> Answer {
    let body: UpdateTagNamespaceDetails = caller.body()?;
    let text = TagNamespaceText {
        description: body.description,
        is_retired: body.is_retired,
        tags: changes(body.freeform_tags, body.defined_tags)?,
    };
    answer(&tag_namespaces::update_tag_namespace(&caller.ctx, &namespace, text).await?)
}

async fn delete_tag_namespace(Path(namespace): Path<String>, caller: Caller) -> Answer {
    tag_namespaces::delete_tag_namespace(&caller.ctx, &namespace).await?;
    nothing()
}

async fn cascade_delete_tag_namespace(Path(namespace): Path<String>, caller: Caller) -> Answer {
    accepted(&tag_namespaces::cascade_delete_tag_namespace(&caller.ctx, &namespace).await?)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ChangeTagNamespaceCompartmentDetail {
    compartment_id: Option<String>,
}

async fn change_tag_namespace_compartment(Path(namespace): Path<String>, caller: Caller) -> Answer {
    let body: ChangeTagNamespaceCompartmentDetail = caller.body()?;
    let compartment = required("compartmentId", body.compartment_id)?;
    tag_namespaces::change_tag_namespace_compartment(&caller.ctx, &namespace, &compartment).await?;
    nothing()
}
