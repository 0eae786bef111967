//! The parameters that lists have in common.

use axum::extract::Query;
use axum::extract::rejection::QueryRejection;
use serde::Deserialize;
use wharfinger_iam::compartments::AccessLevel;
use wharfinger_iam::{Ctx, Error, Listing, SortBy, SortOrder, Tenancy, home};
use wharfinger_types::Permission;

use super::caller::required;
use crate::error::Failure;

const DEFAULT_LIMIT: usize = 100;
const MAX_LIMIT: usize = 1_000;

/// Some of these each list has; what a list has not it ignores, as the service does.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ListQuery {
    compartment_id: Option<String>,
    pub(super) compartment_id_in_subtree: Option<bool>,
    pub(super) include_subcompartments: Option<bool>,
    limit: Option<usize>,
    page: Option<String>,
    name: Option<String>,
    sort_by: Option<String>,
    sort_order: Option<String>,
    lifecycle_state: Option<String>,
    resource_identifier: Option<String>,
    access_level: Option<String>,
    pub(super) user_id: Option<String>,
    pub(super) group_id: Option<String>,
}

/// As handlers take it.
pub(super) type Parameters = Result<Query<ListQuery>, QueryRejection>;

impl ListQuery {
    /// The tenancy that `compartmentId` names: what is listed here is in root compartments only.
    pub(super) async fn tenancy(&self, ctx: &Ctx, permission: Permission) -> Result<Tenancy, Failure> {
        let ocid = required("compartmentId", self.compartment_id.as_deref())?;
        Ok(home::tenancy(ctx, ocid, permission).await?)
    }

    /// The compartment asked for, if any.
    pub(super) fn compartment(&self) -> Option<&str> {
        self.compartment_id.as_deref()
    }

    /// The resource asked for, if any.
    pub(super) fn resource(&self) -> Option<&str> {
        self.resource_identifier.as_deref()
    }

    /// Which compartments are asked for.
    pub(super) fn access_level(&self) -> Result<AccessLevel, Failure> {
        match self.access_level.as_deref() {
            None | Some("ANY") => Ok(AccessLevel::Any),
            Some("ACCESSIBLE") => Ok(AccessLevel::Accessible),
            Some(other) => Err(invalid("accessLevel", other, "use ANY or ACCESSIBLE")),
        }
    }

    /// How many, and from where on.
    pub(super) fn page(&self) -> Result<(usize, Option<String>), Failure> {
        let limit = self.limit.unwrap_or(DEFAULT_LIMIT);
        if !(1..=MAX_LIMIT).contains(&limit) {
            return Err(invalid("limit", &limit.to_string(), "use 1 to 1000"));
        }
        Ok((limit, self.page.clone()))
    }

    /// Sorted and filtered: by name if nothing is said, newest first if by time.
    pub(super) fn listing(&self) -> Result<Listing, Failure> {
        let (limit, page) = self.page()?;
        let sort_by = match self.sort_by.as_deref() {
            None | Some("NAME") => SortBy::Name,
            Some("TIMECREATED") => SortBy::TimeCreated,
            Some(other) => return Err(invalid("sortBy", other, "use NAME or TIMECREATED")),
        };
        let sort_order = match (self.sort_order.as_deref(), sort_by) {
            (Some("ASC"), _) | (None, SortBy::Name) => SortOrder::Ascending,
            (Some("DESC"), _) | (None, SortBy::TimeCreated) => SortOrder::Descending,
            (Some(other), _) => return Err(invalid("sortOrder", other, "use ASC or DESC")),
        };
        let state = self.lifecycle_state.as_deref().map(str::parse).transpose()?;
        Ok(Listing { limit, page, sort_by, sort_order, name: self.name.clone(), state })
    }
}

fn invalid(field: &'static str, value: &str, remedy: &'static str) -> Failure {
    Error::Invalid { field, value: value.chars().take(40).collect(), remedy }.into()
}
