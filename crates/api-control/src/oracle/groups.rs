//! `/20160918/groups`.

use axum::extract::Path;
use axum::routing::{delete, get, post, put};
use serde::Deserialize;
use serde_json::{Value, json};
use wharfinger_iam::groups::{self, Group, GroupChanges, NewGroup};
use wharfinger_iam::{LifecycleState, home, users};
use wharfinger_types::Permission;

use super::caller::{Caller, required};
use super::query::Parameters;
use super::tags::{TagField, changes, with_tags};
use super::{Answer, nothing, page, resource, time};
use crate::v1::Entry;

pub(super) fn routes() -> Vec<Entry> {
    vec![
        ("list_groups", "/20160918/groups", get(list_groups)),
        ("create_group", "/20160918/groups", post(create_group)),
        ("get_group", "/20160918/groups/{group}", get(get_group)),
        ("update_group", "/20160918/groups/{group}", put(update_group)),
        ("delete_group", "/20160918/groups/{group}", delete(delete_group)),
    ]
}

fn view(group: &Group) -> Value {
    let name = match group.domain.as_str() {
        users::DEFAULT_DOMAIN => group.name.clone(),
        domain => format!("{domain}/{}", group.name),
    };
    let view = json!({
        "id": group.ocid,
        "compartmentId": group.compartment,
        "name": name,
        "description": group.description,
        "timeCreated": time(group.created_at),
        "lifecycleState": LifecycleState::Active.as_str(),
    });
    with_tags(view, &group.tags)
}

fn answer(group: &Group) -> Answer {
    resource(view(group), group.revision)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct CreateGroupDetails {
    compartment_id: Option<String>,
    name: Option<String>,
    description: Option<String>,
    freeform_tags: TagField,
    defined_tags: TagField,
}

async fn create_group(caller: Caller) -> Answer {
    let body: CreateGroupDetails = caller.body()?;
    let compartment = required("compartmentId", body.compartment_id)?;
    let (name, description) = (required("name", body.name)?, required("description", body.description)?);
    let new = NewGroup {
        name: &name,
        description: &description,
        tags: changes(body.freeform_tags, body.defined_tags)?,
    };
    let tenancy = home::tenancy(&caller.ctx, &compartment, Permission::GroupCreate).await?;
    answer(&groups::create_group(&caller.ctx, &tenancy, new).await?)
}

async fn list_groups(parameters: Parameters, caller: Caller) -> Answer {
    let query = parameters?.0;
    let listing = query.listing()?;
    let tenancy = query.tenancy(&caller.ctx, Permission::GroupInspect).await?;
    let listed = groups::list_groups(&caller.ctx, &tenancy, &listing).await?;
    page(listed.rows.iter().map(view).collect(), listed.next_page)
}

async fn get_group(Path(group): Path<String>, caller: Caller) -> Answer {
    answer(&groups::get_group(&caller.ctx, &caller.tenancy, &group).await?)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct UpdateGroupDetails {
    description: Option<String>,
    freeform_tags: TagField,
    defined_tags: TagField,
}

async fn update_group(Path(group): Path<String>, caller: Caller) -> Answer {
    let body: UpdateGroupDetails = caller.body()?;
    let tags = changes(body.freeform_tags, body.defined_tags)?;
    let changes = GroupChanges { description: body.description, tags };
    answer(&groups::update_group(&caller.ctx, &caller.tenancy, &group, changes).await?)
}

async fn delete_group(Path(group): Path<String>, caller: Caller) -> Answer {
    groups::delete_group(&caller.ctx, &caller.tenancy, &group).await?;
    nothing()
}
