//! `/20160918/users`.

use std::collections::BTreeMap;

use axum::extract::Path;
use axum::routing::{delete, get, post, put};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use wharfinger_iam::users::{self, NewUser, User, UserChanges};
use wharfinger_iam::{Capability, Error, home};
use wharfinger_types::Permission;

use super::caller::{Caller, required};
use super::query::Parameters;
use super::tags::{TagField, changes, with_tags};
use super::{Answer, nothing, page, resource, time};
use crate::v1::Entry;

pub(super) fn routes() -> Vec<Entry> {
    vec![
        ("list_users", "/20160918/users", get(list_users)),
        ("create_user", "/20160918/users", post(create_user)),
        ("get_user", "/20160918/users/{user}", get(get_user)),
        ("update_user", "/20160918/users/{user}", put(update_user)),
        ("delete_user", "/20160918/users/{user}", delete(delete_user)),
        ("update_user_state", "/20160918/users/{user}/state", put(update_user_state)),
        ("update_user_capabilities", "/20160918/users/{user}/capabilities", put(update_user_capabilities)),
    ]
}

/// As answers name them.
const CAPABILITIES: [(&str, Capability); 7] = [
    ("canUseConsolePassword", Capability::ConsolePassword),
    ("canUseApiKeys", Capability::ApiKeys),
    ("canUseAuthTokens", Capability::AuthTokens),
    ("canUseSmtpCredentials", Capability::SmtpCredentials),
    ("canUseDbCredentials", Capability::DbCredentials),
    ("canUseCustomerSecretKeys", Capability::CustomerSecretKeys),
    ("canUseOAuth2ClientCredentials", Capability::OAuth2ClientCredentials),
];

/// The bit of Oracle Cloud's `inactiveStatus` for a user that was blocked.
const BLOCKED: i64 = 4;

fn view(user: &User) -> Value {
    let capabilities: Map<String, Value> = CAPABILITIES
        .iter()
        .map(|(name, capability)| ((*name).to_owned(), user.capabilities().has(*capability).into()))
        .collect();
    // Users of other domains show the domain, as federated ones do in Oracle Cloud.
    let name = match user.domain.as_str() {
        users::DEFAULT_DOMAIN => user.name.clone(),
        domain => format!("{domain}/{}", user.name),
    };
    let view = json!({
        "id": user.ocid,
        "compartmentId": user.compartment,
        "name": name,
        "description": user.description,
        "email": user.email,
        "emailVerified": false,
        "timeCreated": time(user.created_at),
        "lifecycleState": user.state().as_str(),
        "inactiveStatus": (!user.is_active).then_some(BLOCKED),
        "capabilities": capabilities,
        "isMfaActivated": false,
    });
    with_tags(view, &user.tags)
}

fn answer(user: &User) -> Answer {
    resource(view(user), user.revision)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct CreateUserDetails {
    compartment_id: Option<String>,
    name: Option<String>,
    description: Option<String>,
    email: Option<String>,
    freeform_tags: TagField,
    defined_tags: TagField,
}

async fn create_user(caller: Caller) -> Answer {
    let body: CreateUserDetails = caller.body()?;
    let compartment = required("compartmentId", body.compartment_id)?;
    let (name, description) = (required("name", body.name)?, required("description", body.description)?);
    let new = NewUser {
        name: &name,
        description: &description,
        email: body.email.as_deref(),
        tags: changes(body.freeform_tags, body.defined_tags)?,
    };
    let tenancy = home::tenancy(&caller.ctx, &compartment, Permission::UserCreate).await?;
    answer(&users::create_user(&caller.ctx, &tenancy, new).await?)
}

async fn list_users(parameters: Parameters, caller: Caller) -> Answer {
    let query = parameters?.0;
    let listing = query.listing()?;
    let tenancy = query.tenancy(&caller.ctx, Permission::UserInspect).await?;
    let listed = users::list_users(&caller.ctx, &tenancy, &listing).await?;
    page(listed.rows.iter().map(view).collect(), listed.next_page)
}

async fn get_user(Path(user): Path<String>, caller: Caller) -> Answer {
    answer(&users::get_user(&caller.ctx, &caller.tenancy, &user).await?)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct UpdateUserDetails {
    description: Option<String>,
    email: Option<String>,
    freeform_tags: TagField,
    defined_tags: TagField,
}

async fn update_user(Path(user): Path<String>, caller: Caller) -> Answer {
    let body: UpdateUserDetails = caller.body()?;
    let tags = changes(body.freeform_tags, body.defined_tags)?;
    let changes = UserChanges { description: body.description, email: body.email, tags };
    answer(&users::update_user(&caller.ctx, &caller.tenancy, &user, changes).await?)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UpdateStateDetails {
    blocked: Option<bool>,
}

async fn update_user_state(Path(user): Path<String>, caller: Caller) -> Answer {
    let body: UpdateStateDetails = caller.body()?;
    let is_active = !required("blocked", body.blocked)?;
    answer(&users::update_user_state(&caller.ctx, &caller.tenancy, &user, is_active).await?)
}

async fn update_user_capabilities(Path(user): Path<String>, caller: Caller) -> Answer {
    let body: BTreeMap<String, Option<bool>> = caller.body()?;
    let mut switches = Vec::with_capacity(body.len());
    for (name, is_on) in body {
        // Requests spell this one otherwise than answers do.
        let spelled = if name == "canUseDBCredentials" { "canUseDbCredentials" } else { name.as_str() };
        let known = CAPABILITIES.iter().find(|(known, _)| *known == spelled);
        let Some((_, capability)) = known else {
            let remedy = "there is no such capability: leave it out";
            return Err(Error::Invalid {
                field: "capability",
                value: name.chars().take(40).collect(),
                remedy,
            }
            .into());
        };
        switches.extend(is_on.map(|is_on| (*capability, is_on)));
    }
    let change = move |capabilities: wharfinger_iam::Capabilities| {
        switches.iter().fold(capabilities, |all, (capability, is_on)| all.with(*capability, *is_on))
    };
    answer(&users::update_user_capabilities(&caller.ctx, &caller.tenancy, &user, change).await?)
}

async fn delete_user(Path(user): Path<String>, caller: Caller) -> Answer {
    users::delete_user(&caller.ctx, &caller.tenancy, &user).await?;
    nothing()
}
