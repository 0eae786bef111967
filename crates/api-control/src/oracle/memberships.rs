//! `/20160918/userGroupMemberships`.

use axum::extract::Path;
use axum::routing::{delete, get, post};
use serde::Deserialize;
use serde_json::{Value, json};
use wharfinger_iam::LifecycleState;
use wharfinger_iam::memberships::{self, Membership};
use wharfinger_types::Permission;

use super::caller::{Caller, required};
use super::query::Parameters;
use super::{Answer, nothing, page, resource, time};
use crate::v1::Entry;

pub(super) fn routes() -> Vec<Entry> {
    vec![
        ("list_user_group_memberships", "/20160918/userGroupMemberships", get(list_memberships)),
        ("add_user_to_group", "/20160918/userGroupMemberships", post(add_user_to_group)),
        ("get_user_group_membership", "/20160918/userGroupMemberships/{membership}", get(get_membership)),
        (
            "remove_user_from_group",
            "/20160918/userGroupMemberships/{membership}",
            delete(remove_user_from_group),
        ),
    ]
}

fn view(membership: &Membership) -> Value {
    json!({
        "id": membership.ocid,
        "compartmentId": membership.compartment,
        "groupId": membership.group_ocid,
        "userId": membership.user_ocid,
        "timeCreated": time(membership.created_at),
        "lifecycleState": LifecycleState::Active.as_str(),
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct AddUserToGroupDetails {
    user_id: Option<String>,
    group_id: Option<String>,
}

async fn add_user_to_group(caller: Caller) -> Answer {
    let body: AddUserToGroupDetails = caller.body()?;
    let (user, group) = (required("userId", body.user_id)?, required("groupId", body.group_id)?);
    let membership = memberships::add_user_to_group(&caller.ctx, &caller.tenancy, &group, &user).await?;
    resource(view(&membership), 1)
}

async fn list_memberships(parameters: Parameters, caller: Caller) -> Answer {
    let query = parameters?.0;
    let asked = query.page()?;
    let tenancy = query.tenancy(&caller.ctx, Permission::GroupInspect).await?;
    let (user, group) = (query.user_id.as_deref(), query.group_id.as_deref());
    let listed = memberships::list_memberships(&caller.ctx, &tenancy, user, group, asked).await?;
    page(listed.rows.iter().map(view).collect(), listed.next_page)
}

async fn get_membership(Path(membership): Path<String>, caller: Caller) -> Answer {
    let membership = memberships::get_membership(&caller.ctx, &caller.tenancy, &membership).await?;
    resource(view(&membership), 1)
}

async fn remove_user_from_group(Path(membership): Path<String>, caller: Caller) -> Answer {
    memberships::remove_membership(&caller.ctx, &caller.tenancy, &membership).await?;
    nothing()
}
