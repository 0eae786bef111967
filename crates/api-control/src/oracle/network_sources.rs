//! `/20160918/networkSources`.

use axum::extract::Path;
use axum::routing::{delete, get, post, put};
use serde::Deserialize;
use serde_json::{Value, json};
use wharfinger_iam::network_sources::{self, NetworkSource, NetworkSourceText};
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
        ("list_network_sources", "/20160918/networkSources", get(list_network_sources)),
        ("create_network_source", "/20160918/networkSources", post(create_network_source)),
        ("get_network_source", "/20160918/networkSources/{source}", get(get_network_source)),
        ("update_network_source", "/20160918/networkSources/{source}", put(update_network_source)),
        ("delete_network_source", "/20160918/networkSources/{source}", delete(delete_network_source)),
    ]
}

fn view(source: &NetworkSource) -> Value {
    let view = json!({
        "id": source.ocid,
        "compartmentId": source.compartment,
        "name": source.name,
        "description": source.description,
        "publicSourceList": source.public_sources(),
        "virtualSourceList": [],
        "services": [],
        "timeCreated": time(source.created_at),
        "lifecycleState": LifecycleState::Active.as_str(),
    });
    with_tags(view, &source.tags)
}

fn answer(source: &NetworkSource) -> Answer {
    resource(view(source), source.revision)
}

/// What both bodies have in common.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct NetworkSourceDetails {
    compartment_id: Option<String>,
    name: Option<String>,
    description: Option<String>,
    public_source_list: Option<Vec<String>>,
    virtual_source_list: Option<Vec<Value>>,
    /// Has no effect in Oracle Cloud either.
    #[serde(rename = "services")]
    _services: Option<Vec<String>>,
    freeform_tags: TagField,
    defined_tags: TagField,
}

impl NetworkSourceDetails {
    fn text(self) -> Result<NetworkSourceText, Failure> {
        if let Some(network) = self.virtual_source_list.and_then(|list| list.into_iter().next()) {
            let value = network.to_string().chars().take(120).collect();
            let remedy = "there are no virtual cloud networks here: use `publicSourceList`";
            return Err(Error::Invalid { field: "virtualSourceList", value, remedy }.into());
        }
        Ok(NetworkSourceText {
            description: self.description,
            public_sources: self.public_source_list,
            tags: changes(self.freeform_tags, self.defined_tags)?,
        })
    }
}

async fn create_network_source(caller: Caller) -> Answer {
    let mut body: NetworkSourceDetails = caller.body()?;
    let compartment = required("compartmentId", body.compartment_id.take())?;
    let name = required("name", body.name.take())?;
    required("description", body.description.as_ref())?;
    let text = body.text()?;
    let tenancy = home::tenancy(&caller.ctx, &compartment, Permission::NetworkSourceCreate).await?;
    answer(&network_sources::create_network_source(&caller.ctx, &tenancy, &name, text).await?)
}

async fn list_network_sources(parameters: Parameters, caller: Caller) -> Answer {
    let query = parameters?.0;
    let listing = query.listing()?;
    let tenancy = query.tenancy(&caller.ctx, Permission::NetworkSourceInspect).await?;
    let listed = network_sources::list_network_sources(&caller.ctx, &tenancy, &listing).await?;
    page(listed.rows.iter().map(view).collect(), listed.next_page)
}

async fn get_network_source(Path(source): Path<String>, caller: Caller) -> Answer {
    answer(&network_sources::get_network_source(&caller.ctx, &caller.tenancy, &source).await?)
}

async fn update_network_source(Path(source): Path<String>, caller: Caller) -> Answer {
    let body: NetworkSourceDetails = caller.body()?;
    if let Some(value) = body.name.as_ref().or(body.compartment_id.as_ref()) {
        let value = value.chars().take(120).collect();
        let remedy = "a network source keeps its name and its compartment";
        return Err(Error::Invalid { field: "name", value, remedy }.into());
    }
    let text = body.text()?;
    answer(&network_sources::update_network_source(&caller.ctx, &caller.tenancy, &source, text).await?)
}

async fn delete_network_source(Path(source): Path<String>, caller: Caller) -> Answer {
    network_sources::delete_network_source(&caller.ctx, &caller.tenancy, &source).await?;
    nothing()
}
