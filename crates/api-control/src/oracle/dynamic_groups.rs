//! `/20160918/dynamicGroups`.

use axum::extract::Path;
use axum::routing::{delete, get, post, put};
use serde::Deserialize;
use serde_json::{Value, json};
use wharfinger_iam::dynamic_groups::{self, DynamicGroup, DynamicGroupText};
use wharfinger_iam::{Error, LifecycleState, home};
use wharfinger_types::Permission;

use super::caller::{Caller, required};
use super::query::Parameters;
use super::tags::{TagField, changes, with_tags};
use super::{Answer, nothing, page, resource, time};
use crate::error::Failure;
use crate::v1::Entry;

pub(super) fn routes() -> Vec<Entry> {
    vec![
        ("list_dynamic_groups", "/20160918/dynamicGroups", get(list_dynamic_groups)),
        ("create_dynamic_group", "/20160918/dynamicGroups", post(create_dynamic_group)),
        ("get_dynamic_group", "/20160918/dynamicGroups/{group}", get(get_dynamic_group)),
        ("update_dynamic_group", "/20160918/dynamicGroups/{group}", put(update_dynamic_group)),
        ("delete_dynamic_group", "/20160918/dynamicGroups/{group}", delete(delete_dynamic_group)),
    ]
}

fn view(group: &DynamicGroup) -> Value {
    let view = json!({
        "id": group.ocid,
        "compartmentId": group.compartment,
        "name": group.name,
        "description": group.description,
        "matchingRule": group.matching_rule,
        "timeCreated": time(group.created_at),
        "lifecycleState": LifecycleState::Active.as_str(),
    });
    with_tags(view, &group.tags)
}

fn answer(group: &DynamicGroup) -> Answer {
    resource(view(group), group.revision)
}

/// What both bodies have in common.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct DynamicGroupDetails {
    compartment_id: Option<String>,
    name: Option<String>,
    description: Option<String>,
    matching_rule: Option<String>,
    freeform_tags: TagField,
    defined_tags: TagField,
}

impl DynamicGroupDetails {
    fn text(self) -> Result<DynamicGroupText, Failure> {
        Ok(DynamicGroupText {
            description: self.description,
            matching_rule: self.matching_rule,
            tags: changes(self.freeform_tags, self.defined_tags)?,
        })
    }
}

async fn create_dynamic_group(caller: Caller) -> Answer {
    let mut body: DynamicGroupDetails = caller.body()?;
    let compartment = required("compartmentId", body.compartment_id.take())?;
    let name = required("name", body.name.take())?;
    required("description", body.description.as_ref())?;
    required("matchingRule", body.matching_rule.as_ref())?;
    let text = body.text()?;
    let tenancy = home::tenancy(&caller.ctx, &compartment, Permission::DynamicGroupCreate).await?;
    answer(&dynamic_groups::create_dynamic_group(&caller.ctx, &tenancy, &name, text).await?)
}

async fn list_dynamic_groups(parameters: Parameters, caller: Caller) -> Answer {
    let query = parameters?.0;
    let listing = query.listing()?;
    let tenancy = query.tenancy(&caller.ctx, Permission::DynamicGroupInspect).await?;
    let listed = dynamic_groups::list_dynamic_groups(&caller.ctx, &tenancy, &listing).await?;
    page(listed.rows.iter().map(view).collect(), listed.next_page)
}

async fn get_dynamic_group(Path(group): Path<String>, caller: Caller) -> Answer {
    answer(&dynamic_groups::get_dynamic_group(&caller.ctx, &caller.tenancy, &group).await?)
}

async fn update_dynamic_group(Path(group): Path<String>, caller: Caller) -> Answer {
    let body: DynamicGroupDetails = caller.body()?;
    if let Some(value) = body.name.as_ref().or(body.compartment_id.as_ref()) {
        let value = value.chars().take(120).collect();
        let remedy = "a dynamic group keeps its name and its compartment";
        return Err(Error::Invalid { field: "name", value, remedy }.into());
    }
    let text = body.text()?;
    answer(&dynamic_groups::update_dynamic_group(&caller.ctx, &caller.tenancy, &group, text).await?)
}

async fn delete_dynamic_group(Path(group): Path<String>, caller: Caller) -> Answer {
    dynamic_groups::delete_dynamic_group(&caller.ctx, &caller.tenancy, &group).await?;
    nothing()
}
