//! `/20160918/workRequests`.

use axum::Json;
use axum::extract::Path;
use axum::response::IntoResponse;
use axum::routing::get;
use serde_json::{Value, json};
use wharfinger_iam::work_requests::{self, Kind, WorkRequest};

use super::caller::{Caller, required};
use super::query::Parameters;
use super::{Answer, page, time};
use crate::v1::Entry;

pub(super) fn routes() -> Vec<Entry> {
    vec![
        ("list_work_requests", "/20160918/workRequests", get(list_work_requests)),
        ("get_work_request", "/20160918/workRequests/{request}", get(get_work_request)),
        (
            "get_tagging_work_request",
            "/20160918/taggingWorkRequests/{request}",
            get(get_tagging_work_request),
        ),
    ]
}

/// The kind of its resource.
fn entity(request: &WorkRequest) -> &'static str {
    match request.resource_kind() {
        "tagdefinition" => "tagDefinition",
        "tagnamespace" => "tagNamespace",
        _ => "compartment",
    }
}

/// It began and ended with the request that made it.
fn view(request: &WorkRequest) -> Value {
    let entity = entity(request);
    let at = time(request.created_at);
    let (status, action) = match request.failure {
        None if request.operation == Kind::MoveCompartment.as_str() => ("SUCCEEDED", "UPDATED"),
        None => ("SUCCEEDED", "DELETED"),
        Some(_) => ("FAILED", "FAILED"),
    };
    let errors = request.failure.iter();
    let errors: Vec<Value> = errors
        .map(|failure| json!({ "code": "IncorrectState", "message": failure, "timestamp": at }))
        .collect();
    json!({
        "id": request.ocid,
        "operationType": request.operation,
        "compartmentId": request.compartment,
        "status": status,
        "resources": [{ "identifier": request.resource, "entityType": entity, "actionType": action }],
        "errors": errors,
        "logs": [],
        "timeAccepted": at,
        "timeStarted": at,
        "timeFinished": at,
        "percentComplete": 100.0,
    })
}

async fn get_work_request(Path(request): Path<String>, caller: Caller) -> Answer {
    Ok(Json(view(&work_requests::get_work_request(&caller.ctx, &request).await?)).into_response())
}

/// What `--wait-for-state` of the command line asks for.
async fn get_tagging_work_request(Path(request): Path<String>, caller: Caller) -> Answer {
    let request = work_requests::get_tagging_work_request(&caller.ctx, &request).await?;
    let mut view = view(&request);
    if let Some(fields) = view.as_object_mut()
        && request.resource_kind() == "tagnamespace"
    {
        fields.insert("operationType".to_owned(), "DELETE_NON_EMPTY_TAG_NAMESPACE".into());
    }
    Ok(Json(view).into_response())
}

async fn list_work_requests(parameters: Parameters, caller: Caller) -> Answer {
    let query = parameters?.0;
    let (limit, after) = query.page()?;
    let compartment = required("compartmentId", query.compartment())?;
    let after = after.unwrap_or_default();
    let requests =
        work_requests::list_work_requests(&caller.ctx, compartment, query.resource(), &after, limit).await?;
    let next = requests.last().filter(|_| requests.len() == limit).map(|request| request.ocid.clone());
    page(requests.iter().map(view).collect(), next)
}
