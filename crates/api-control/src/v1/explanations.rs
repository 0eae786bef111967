//! Decisions with their reasons, and what the policies give whom.

use axum::Json;
use axum::extract::Query;
use axum::extract::rejection::QueryRejection;
use axum::response::Response;
use serde::Deserialize;
use utoipa::ToSchema;
use wharfinger_iam::explanations::{self, Question};
use wharfinger_iam::{Error as IamError, Protected, Target, compartments};
use wharfinger_registry::repositories;
use wharfinger_types::{Permission, RepositoryName, Timestamp};

use super::{Answer, Body, Caller, PageParameters, page_of, views};
use crate::error::Failure;

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ExplainDecisionBody {
    user: String,
    permission: String,
    repository: Option<String>,
    /// Names of compartments below the root, such as `dev:team`; empty is the root.
    compartment: Option<String>,
    at: Option<String>,
    from: Option<String>,
}

/// A field read by `read`, which gives `None` for a text that is none of its kind.
fn field<T>(
    field: &'static str,
    text: &str,
    remedy: &'static str,
    read: impl FnOnce(&str) -> Option<T>,
) -> Result<T, Failure> {
    let invalid = || IamError::Invalid { field, value: text.chars().take(120).collect(), remedy };
    Ok(read(text).ok_or_else(invalid)?)
}

async fn repository(caller: &Caller, name: &str) -> Result<Target, Failure> {
    let name: RepositoryName = name.parse()?;
    Ok(repositories::inspect_repository(&caller.ctx, &caller.tenancy, &name).await?.target())
}

async fn compartment(caller: &Caller, path: &str) -> Result<Target, Failure> {
    let right = Permission::CompartmentInspect;
    Ok(compartments::by_path(&caller.ctx, &caller.tenancy, path, right).await?.target())
}

pub(super) async fn explain_decision(
    caller: Caller,
    body: Body<ExplainDecisionBody>,
) -> Answer<views::Decision> {
    let Json(body) = body?;
    let at_remedy = "use a time such as `2026-04-01T15:00:00Z`";
    let at = body.at.map(|text| field("at", &text, at_remedy, Timestamp::from_rfc_3339)).transpose()?;
    let from_remedy = "use an IP address such as `192.0.2.7`";
    let from = body.from.map(|text| field("from", &text, from_remedy, |text| text.parse().ok()));
    let permission_remedy = "use a permission that an operation asks for, such as `REPOSITORY_READ`";
    let question = Question {
        user: &body.user,
        permission: field("permission", &body.permission, permission_remedy, Permission::named)?,
        target: match (&body.repository, &body.compartment) {
            (Some(name), None) => repository(&caller, name).await?,
            (None, Some(path)) => compartment(&caller, path).await?,
            _ => return Err(Failure::invalid("name either `repository` or `compartment`".to_owned())),
        },
        at,
        from: from.transpose()?,
    };
    let explanation = explanations::explain_decision(&caller.ctx, &caller.tenancy, &question).await?;
    Ok(Json(views::Decision::new(question.permission, explanation)))
}

#[derive(Deserialize)]
pub(super) struct RightsQuery {
    user: Option<String>,
    repository: Option<String>,
}

pub(super) async fn list_rights(
    caller: Caller,
    query: Result<Query<RightsQuery>, QueryRejection>,
    page: PageParameters,
) -> Result<Response, Failure> {
    let (Query(query), page) = (query?, page?.0.page()?);
    let rights = match (query.user, query.repository) {
        (Some(user), None) => {
            explanations::list_rights_of_user(&caller.ctx, &caller.tenancy, &user, &page).await?
        }
        (None, Some(name)) => {
            let target = repository(&caller, &name).await?;
            explanations::list_rights_on_repository(&caller.ctx, &caller.tenancy, &target, &page).await?
        }
        _ => return Err(Failure::invalid("name either `user` or `repository`".to_owned())),
    };
    Ok(page_of(rights.rows.iter().map(views::Right::from).collect(), rights.next_page))
}
