//! Images of a repository and their restore, and that of repositories.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query};
use axum::response::Response;
use serde::Deserialize;
use utoipa::ToSchema;
use wharfinger_iam::Error as IamError;
use wharfinger_registry::Error;
use wharfinger_registry::images::{self, ImageState};
use wharfinger_registry::repositories;
use wharfinger_types::{Digest, RepositoryName, Tag};

use super::{Answer, Body, Caller, PageParameters, page_of, views};
use crate::error::Failure;

#[derive(Deserialize)]
pub(super) struct ListImagesQuery {
    #[serde(default)]
    deleted: bool,
}

pub(super) async fn list_images(
    caller: Caller,
    Path(name): Path<String>,
    query: Result<Query<ListImagesQuery>, QueryRejection>,
    page: PageParameters,
) -> Result<Response, Failure> {
    let Query(ListImagesQuery { deleted }) = query?;
    let (name, page) = (name.parse::<RepositoryName>()?, page?.0.page()?);
    let state = if deleted { ImageState::Deleted } else { ImageState::Available };
    let images = images::list_images(&caller.ctx, &caller.tenancy, &name, state, &page).await?;
    let next = images.last().filter(|_| images.len() >= page.limit).map(|image| image.digest.clone());
    Ok(page_of(images.iter().map(|image| views::Image::new(&name, image)).collect(), next))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RestoreImageBody {
    version: Option<String>,
}

pub(super) async fn restore_image(
    caller: Caller,
    Path((name, digest)): Path<(String, String)>,
    body: Body<RestoreImageBody>,
) -> Answer<views::Image> {
    let Json(RestoreImageBody { version }) = body?;
    let name: RepositoryName = name.parse()?;
    let digest: Digest = digest.parse().map_err(Error::from)?;
    let remedy = "use up to 128 letters, digits, `_`, `-` and `.`, not beginning with the last two";
    let parse = |text: String| {
        text.parse::<Tag>().map_err(|_| IamError::Invalid {
            field: "version",
            value: text.chars().take(128).collect(),
            remedy,
        })
    };
    let version = version.map(parse).transpose()?;
    let Caller { ctx, tenancy } = &caller;
    let image = images::restore_image(ctx, tenancy, &name, &digest, version.as_ref()).await?;
    Ok(Json(views::Image::new(&name, &image)))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct RestoreRepositoryBody {
    /// Another name for it.
    display_name: Option<String>,
}

pub(super) async fn restore_repository(
    caller: Caller,
    Path(name): Path<String>,
    body: Body<RestoreRepositoryBody>,
) -> Answer<views::Repository> {
    let Json(RestoreRepositoryBody { display_name }) = body?;
    let name: RepositoryName = name.parse()?;
    let new_name = display_name.map(|name| name.parse::<RepositoryName>()).transpose()?;
    let Caller { ctx, tenancy } = &caller;
    let repository = repositories::restore_repository(ctx, tenancy, &name, new_name.as_ref()).await?;
    Ok(Json(views::Repository::new(tenancy, &repository)))
}
