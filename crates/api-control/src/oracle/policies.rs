//! `/20160918/policies`.

use axum::extract::Path;
use axum::routing::{delete, get, post, put};
use serde::Deserialize;
use serde_json::{Value, json};
use wharfinger_iam::LifecycleState;
use wharfinger_iam::policies::{self, Policy, PolicyText};

use super::caller::{Caller, required};
use super::query::Parameters;
use super::tags::{TagField, changes, with_tags};
use super::{Answer, nothing, page, resource, time};
use crate::v1::Entry;

pub(super) fn routes() -> Vec<Entry> {
    vec![
        ("list_policies", "/20160918/policies", get(list_policies)),
        ("create_policy", "/20160918/policies", post(create_policy)),
        ("get_policy", "/20160918/policies/{policy}", get(get_policy)),
        ("update_policy", "/20160918/policies/{policy}", put(update_policy)),
        ("delete_policy", "/20160918/policies/{policy}", delete(delete_policy)),
    ]
}

fn view(policy: &Policy) -> Value {
    let view = json!({
        "id": policy.ocid,
        "compartmentId": policy.compartment,
        "name": policy.name,
        "description": policy.description,
        "statements": policy.statements(),
        "versionDate": policy.version_date,
        "timeCreated": time(policy.created_at),
        "lifecycleState": LifecycleState::Active.as_str(),
    });
    with_tags(view, &policy.tags)
}

fn answer(policy: &Policy) -> Answer {
    resource(view(policy), policy.revision)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct CreatePolicyDetails {
    compartment_id: Option<String>,
    name: Option<String>,
    description: Option<String>,
    statements: Option<Vec<String>>,
    version_date: Option<String>,
    freeform_tags: TagField,
    defined_tags: TagField,
}

async fn create_policy(caller: Caller) -> Answer {
    let body: CreatePolicyDetails = caller.body()?;
    let compartment = required("compartmentId", body.compartment_id)?;
    let name = required("name", body.name)?;
    let text = PolicyText {
        description: Some(required("description", body.description)?),
        statements: Some(required("statements", body.statements)?),
        version_date: body.version_date,
        tags: changes(body.freeform_tags, body.defined_tags)?,
    };
    answer(&policies::create_policy(&caller.ctx, &compartment, &name, text).await?)
}

async fn list_policies(parameters: Parameters, caller: Caller) -> Answer {
    let query = parameters?.0;
    let listing = query.listing()?;
    let compartment = required("compartmentId", query.compartment())?;
    let listed = policies::list_policies(&caller.ctx, compartment, &listing).await?;
    page(listed.rows.iter().map(view).collect(), listed.next_page)
}

async fn get_policy(Path(policy): Path<String>, caller: Caller) -> Answer {
    answer(&policies::get_policy(&caller.ctx, &policy).await?)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct UpdatePolicyDetails {
    description: Option<String>,
    statements: Option<Vec<String>>,
    version_date: Option<String>,
    freeform_tags: TagField,
    defined_tags: TagField,
}

async fn update_policy(Path(policy): Path<String>, caller: Caller) -> Answer {
    let body: UpdatePolicyDetails = caller.body()?;
    let text = PolicyText {
        description: body.description,
        statements: body.statements,
        version_date: body.version_date,
        tags: changes(body.freeform_tags, body.defined_tags)?,
    };
    answer(&policies::update_policy(&caller.ctx, &policy, text).await?)
}

async fn delete_policy(Path(policy): Path<String>, caller: Caller) -> Answer {
    policies::delete_policy(&caller.ctx, &policy).await?;
    nothing()
}
