//! What an installation has one of: the tenancy with its namespace, the region, the availability domain.

use axum::Json;
use axum::extract::Path;
use axum::response::IntoResponse;
use axum::routing::get;
use serde_json::{Value, json};
use wharfinger_iam::{Tenancy, home};
use wharfinger_types::Permission;

use super::Answer;
use super::caller::Caller;
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
        ("list_regions", "/20160918/regions", get(list_regions)),
        ("list_availability_domains", "/20160918/availabilityDomains", get(list_availability_domains)),
        ("get_namespace", "/n", get(get_namespace)),
        ("get_namespace_metadata", "/n/{namespace}", get(get_namespace_metadata)),
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
    json_answer(json!([{
        "regionKey": tenancy.region_key,
        "regionName": tenancy.region,
        "status": "READY",
        "isHomeRegion": true,
    }]))
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

async fn get_namespace_metadata(Path(namespace): Path<String>, caller: Caller) -> Answer {
    let tenancy = home::tenancy(&caller.ctx, &caller.tenancy.ocid, Permission::NamespaceRead).await?;
    if tenancy.namespace != namespace {
        return Err(Failure::no_such_namespace(&namespace));
    }
    json_answer(json!({
        "namespace": tenancy.namespace,
        "defaultS3CompartmentId": tenancy.root_ocid,
        "defaultSwiftCompartmentId": tenancy.root_ocid,
    }))
}
