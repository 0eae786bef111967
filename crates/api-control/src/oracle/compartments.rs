//! `/20160918/compartments`.

use axum::extract::Path;
use axum::routing::{delete, get, post, put};
use serde::Deserialize;
use serde_json::{Value, json};
use wharfinger_iam::compartments::{self, Compartment, CompartmentText};

use super::caller::{Caller, required};
use super::query::Parameters;
use super::tags::{TagField, changes, with_tags};
use super::{Answer, accepted, page, resource, time};
use crate::v1::Entry;

pub(super) fn routes() -> Vec<Entry> {
    vec![
        ("list_compartments", "/20160918/compartments", get(list_compartments)),
        ("create_compartment", "/20160918/compartments", post(create_compartment)),
        ("get_compartment", "/20160918/compartments/{compartment}", get(get_compartment)),
        ("update_compartment", "/20160918/compartments/{compartment}", put(update_compartment)),
        ("delete_compartment", "/20160918/compartments/{compartment}", delete(delete_compartment)),
        (
            "recover_compartment",
            "/20160918/compartments/{compartment}/actions/recoverCompartment",
            post(recover_compartment),
        ),
        (
            "move_compartment",
            "/20160918/compartments/{compartment}/actions/moveCompartment",
            post(move_compartment),
        ),
    ]
}

fn view(compartment: &Compartment) -> Value {
    let view = json!({
        "id": compartment.ocid,
        // The root names itself, as it does in Oracle Cloud.
        "compartmentId": compartment.parent.as_deref().unwrap_or(&compartment.ocid),
        "name": compartment.name,
        "description": compartment.description,
        "timeCreated": time(compartment.created_at),
        "lifecycleState": compartment.lifecycle_state().as_str(),
        "isAccessible": true,
    });
    with_tags(view, &compartment.tags)
}

fn answer(compartment: &Compartment) -> Answer {
    resource(view(compartment), compartment.revision)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct CreateCompartmentDetails {
    compartment_id: Option<String>,
    name: Option<String>,
    description: Option<String>,
    freeform_tags: TagField,
    defined_tags: TagField,
}

async fn create_compartment(caller: Caller) -> Answer {
    let body: CreateCompartmentDetails = caller.body()?;
    let parent = required("compartmentId", body.compartment_id)?;
    let name = required("name", body.name)?;
    let text = CompartmentText {
        description: Some(required("description", body.description)?),
        tags: changes(body.freeform_tags, body.defined_tags)?,
    };
    answer(&compartments::create_compartment(&caller.ctx, &parent, &name, text).await?)
}

async fn list_compartments(parameters: Parameters, caller: Caller) -> Answer {
    let query = parameters?.0;
    let listing = query.listing()?;
    let parent = required("compartmentId", query.compartment())?;
    let subtree = query.compartment_id_in_subtree.unwrap_or(false);
    let access = query.access_level()?;
    let listed = compartments::list_compartments(&caller.ctx, parent, subtree, access, &listing).await?;
    page(listed.rows.iter().map(view).collect(), listed.next_page)
}

async fn get_compartment(Path(compartment): Path<String>, caller: Caller) -> Answer {
    answer(&compartments::get_compartment(&caller.ctx, &compartment).await?)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct UpdateCompartmentDetails {
    name: Option<String>,
    description: Option<String>,
    freeform_tags: TagField,
    defined_tags: TagField,
}

async fn update_compartment(Path(compartment): Path<String>, caller: Caller) -> Answer {
    let body: UpdateCompartmentDetails = caller.body()?;
    let tags = changes(body.freeform_tags, body.defined_tags)?;
    let text = CompartmentText { description: body.description, tags };
    answer(&compartments::update_compartment(&caller.ctx, &compartment, body.name.as_deref(), text).await?)
}

async fn delete_compartment(Path(compartment): Path<String>, caller: Caller) -> Answer {
    accepted(&compartments::delete_compartment(&caller.ctx, &compartment).await?)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct MoveCompartmentDetails {
    target_compartment_id: Option<String>,
}

async fn move_compartment(Path(compartment): Path<String>, caller: Caller) -> Answer {
    let body: MoveCompartmentDetails = caller.body()?;
    let target = required("targetCompartmentId", body.target_compartment_id)?;
    accepted(&compartments::move_compartment(&caller.ctx, &compartment, &target).await?)
}

async fn recover_compartment(Path(compartment): Path<String>, caller: Caller) -> Answer {
    answer(&compartments::recover_compartment(&caller.ctx, &compartment).await?)
}
