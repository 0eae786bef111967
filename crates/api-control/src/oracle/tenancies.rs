//! What an installation has one of: the tenancy with its namespace, the region, the availability domain.

use axum::Json;
use axum::extract::Path;
use axum::response::IntoResponse;
use axum::routing::{get, post, put};
use serde::Deserialize;
use serde_json::{Value, json};
use wharfinger_iam::home::{NamespaceChanges, NamespaceMetadata};
use wharfinger_iam::{Tenancy, home};
use wharfinger_types::Permission;

use super::Answer;
use super::caller::{Caller, required};
use super::query::Parameters;
use super::tags::with_tags;
use crate::error::Failure;
use crate::v1::Entry;

pub(super) fn routes() -> Vec<Entry> {
    vec![
        ("get_tenancy", "/20160918/tenancies/{tenancy}", get(get_tenancy)),
        (
            "list_region_subscriptions",
            "/20160918/tenancies/{tenancy}/regionSubscriptions",
            get(list_region_subscriptions),
        ),
        (
            "create_region_subscription",
            "/20160918/tenancies/{tenancy}/regionSubscriptions",
            post(create_region_subscription),
        ),
        ("list_regions", "/20160918/regions", get(list_regions)),
        ("list_availability_domains", "/20160918/availabilityDomains", get(list_availability_domains)),
        ("get_namespace", "/n", get(get_namespace)),
        ("get_namespace_metadata", "/n/{namespace}", get(get_namespace_metadata)),
        ("update_namespace_metadata", "/n/{namespace}", put(update_namespace_metadata)),
    ]
}

fn json_answer(value: Value) -> Answer {
    Ok(Json(value).into_response())
}

async fn get_tenancy(Path(tenancy): Path<String>, caller: Caller) -> Answer {
    let tenancy = home::tenancy(&caller.ctx, &tenancy, Permission::TenancyInspect).await?;
    let view = json!({
        "id": tenancy.ocid,
        "name": tenancy.name,
        "description": "",
        "homeRegionKey": tenancy.region_key,
    });
    json_answer(with_tags(view, &home::tags(&caller.ctx, &tenancy).await?))
}

/// The caller's region; everybody may know it.
async fn list_regions(caller: Caller) -> Answer {
    let Tenancy { region, region_key, .. } = &caller.tenancy;
    json_answer(json!([{ "key": region_key, "name": region }]))
}

async fn list_region_subscriptions(Path(tenancy): Path<String>, caller: Caller) -> Answer {
    let tenancy = home::tenancy(&caller.ctx, &tenancy, Permission::TenancyInspect).await?;
    json_answer(json!([subscription(&tenancy)]))
}

fn subscription(tenancy: &Tenancy) -> Value {
    json!({
        "regionKey": tenancy.region_key,
        "regionName": tenancy.region,
        "status": "READY",
        "isHomeRegion": true,
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct CreateRegionSubscriptionDetails {
    region_key: Option<String>,
}

async fn create_region_subscription(Path(tenancy): Path<String>, caller: Caller) -> Answer {
    let body: CreateRegionSubscriptionDetails = caller.body()?;
    let key = required("regionKey", body.region_key)?;
    json_answer(subscription(&home::create_region_subscription(&caller.ctx, &tenancy, &key).await?))
}

async fn list_availability_domains(parameters: Parameters, caller: Caller) -> Answer {
    let tenancy = parameters?.0.tenancy(&caller.ctx, Permission::CompartmentInspect).await?;
    json_answer(json!([{
        "id": format!("ocid1.availabilitydomain.oc1..{}", tenancy.region),
        "name": format!("{}-AD-1", tenancy.region_key),
        "compartmentId": tenancy.ocid,
    }]))
}

/// A bare JSON string.
async fn get_namespace(parameters: Parameters, caller: Caller) -> Answer {
    let namespace = match parameters?.0.compartment() {
        None => caller.tenancy.namespace.clone(),
        Some(ocid) => {
            home::tenancy_of_compartment(&caller.ctx, ocid, Permission::NamespaceRead).await?.namespace
        }
    };
    json_answer(namespace.into())
}

/// The tenancy of a namespace; another than the caller's own is refused like one that is not there.
fn of_namespace<'a>(caller: &'a Caller, namespace: &str) -> Result<&'a Tenancy, Failure> {
    match &caller.tenancy {
        own if own.namespace == namespace => Ok(own),
        _ => Err(Failure::no_such_namespace(namespace)),
    }
}

fn metadata_view(namespace: &str, metadata: &NamespaceMetadata) -> Value {
    json!({
        "namespace": namespace,
        "defaultS3CompartmentId": metadata.s3_compartment,
        "defaultSwiftCompartmentId": metadata.swift_compartment,
    })
}

async fn get_namespace_metadata(Path(namespace): Path<String>, caller: Caller) -> Answer {
    home::tenancy(&caller.ctx, &caller.tenancy.ocid, Permission::NamespaceRead).await?;
    let tenancy = of_namespace(&caller, &namespace)?;
    let metadata = home::get_namespace_metadata(&caller.ctx, tenancy).await?;
    json_answer(metadata_view(&namespace, &metadata))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct UpdateNamespaceMetadataDetails {
    #[serde(rename = "defaultS3CompartmentId")]
    default_s3_compartment_id: Option<String>,
    default_swift_compartment_id: Option<String>,
}

async fn update_namespace_metadata(Path(namespace): Path<String>, caller: Caller) -> Answer {
    let body: UpdateNamespaceMetadataDetails = caller.body()?;
    home::tenancy(&caller.ctx, &caller.tenancy.ocid, Permission::NamespaceUpdate).await?;
    let tenancy = of_namespace(&caller, &namespace)?;
    let changes = NamespaceChanges {
        s3_compartment: body.default_s3_compartment_id,
        swift_compartment: body.default_swift_compartment_id,
    };
    let metadata = home::update_namespace_metadata(&caller.ctx, tenancy, &changes).await?;
    json_answer(metadata_view(&namespace, &metadata))
}
