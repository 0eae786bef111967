//! Lists: tags (end-8) and the catalog.

use axum::response::Response;
use http::request::Parts;
use http::{HeaderValue, StatusCode, header};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::json;
use wharfinger_iam::Ctx;
use wharfinger_registry::repositories;
use wharfinger_types::{ImageName, Page};

use crate::error::Failure;
use crate::query::Query;
use crate::{Distribution, json};

/// Entries on a page at most, and on one whose size is not asked for.
const MAX_ENTRIES: usize = 10_000;

/// Reads `n` and `last`.
fn page(parts: &Parts) -> Result<Page, Failure> {
    let query = Query::of(parts);
    let limit = match query.get("n") {
        None => MAX_ENTRIES,
        Some(n) => n.parse::<u64>().map(|n| usize::try_from(n).unwrap_or(MAX_ENTRIES)).map_err(|_| {
            let shown: String = n.chars().take(40).collect();
            let message = format!("`n` is `{shown}`: use a whole number from 0 on");
            Failure::new(StatusCode::BAD_REQUEST, "PAGINATION_NUMBER_INVALID", message)
        })?,
    };
    let page = Page::after(limit.min(MAX_ENTRIES), query.get("last").map(str::to_owned));
    page.ok_or_else(|| {
        Failure::new(StatusCode::BAD_REQUEST, "NAME_INVALID", "`last` must be an entry of the list")
    })
}

/// One entry more than wanted tells whether there is a next page.
fn one_more(page: &Page) -> Page {
    Page { limit: page.limit + 1, last: page.last.clone() }
}

/// Cuts the entry too many off, and links to the next page if there was one.
fn cut(entries: &mut Vec<String>, page: &Page, path: &str) -> Option<String> {
    let has_more = entries.len() > page.limit;
    entries.truncate(page.limit);
    let last = entries.last().filter(|_| has_more)?;
    let last = utf8_percent_encode(last, NON_ALPHANUMERIC);
    Some(format!(r#"<{path}?n={}&last={last}>; rel="next""#, page.limit))
}

fn list(body: &serde_json::Value, link: Option<String>) -> Result<Response, Failure> {
    let mut response = json(StatusCode::OK, body.to_string());
    if let Some(link) = link {
        let link = HeaderValue::from_str(&link).map_err(|_| Failure::header(&header::LINK))?;
        response.headers_mut().insert(header::LINK, link);
    }
    Ok(response)
}

pub(crate) async fn list_tags(
    state: &Distribution,
    ctx: &Ctx,
    image: &ImageName,
    parts: &Parts,
) -> Result<Response, Failure> {
    let page = page(parts)?;
    let mut tags = state.registry.list_tags(ctx, image, &one_more(&page)).await?;
    let link = cut(&mut tags, &page, &format!("/v2/{image}/tags/list"));
    list(&json!({ "name": image.to_string(), "tags": tags }), link)
}

pub(crate) async fn list_catalog(ctx: &Ctx, parts: &Parts) -> Result<Response, Failure> {
    let page = page(parts)?;
    let mut repositories = repositories::list_catalog(ctx, &one_more(&page)).await?;
    let link = cut(&mut repositories, &page, "/v2/_catalog");
    list(&json!({ "repositories": repositories }), link)
}
