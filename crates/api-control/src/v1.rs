//! `/api/v1/`: users, groups, auth tokens, repositories, images, tenancies, decisions, rights, garbage
//! collection, scrub, backup.
//!
//! Only the control socket has a principal here so far; over the network every route answers 401.

mod collection;
mod explanations;
mod images;
mod openapi;
mod upkeep;
mod views;

use std::sync::Arc;

use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{FromRequestParts, Path, Query, Request};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::Router;
use axum::{Extension, Json, RequestPartsExt};
use http::request::Parts;
use http::{HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use utoipa::openapi::path::HttpMethod;
use wharfinger_iam::auth_tokens;
use wharfinger_iam::domains;
use wharfinger_iam::groups;
use wharfinger_iam::users;
use wharfinger_iam::{Ctx, Error as IamError, Iam, Listener, Listing, Tenancy, compartments, tenancies};
use wharfinger_registry::Registry;
use wharfinger_registry::backup::BackupReport;
use wharfinger_registry::collection::{Collected, Progress};
use wharfinger_registry::repositories::{self, Visibility};
use wharfinger_registry::scrub::ScrubReport;
use wharfinger_types::{Namespace, OperationName, Page, Permission, RepositoryName, Timestamp};

use self::openapi::Operation;
use crate::error::Failure;

/// Where the next page of a list starts, as Oracle Cloud names it.
const NEXT_PAGE: HeaderName = HeaderName::from_static("opc-next-page");
const DEFAULT_LIMIT: usize = 100;
const MAX_LIMIT: usize = 1_000;

/// Every operation: router, list of names and document are all made from it.
fn operations() -> Vec<Operation> {
    use HttpMethod::{Delete, Get, Patch, Post, Put};
    let on = "/api/v1/users/{user}/auth-tokens";
    let one = "/api/v1/users/{user}/auth-tokens/{id}";
    let member = "/api/v1/groups/{group}/users/{user}";
    let restore = "/api/v1/repositories/{name}/actions/restore";
    let restore_image = "/api/v1/repositories/{name}/images/{digest}/actions/restore";
    vec![
        Operation::new("list_users", Get, "/api/v1/users", list_users).pages::<views::User>(),
        Operation::new("create_user", Post, "/api/v1/users", create_user)
            .takes::<NameBody>()
            .answers::<views::User>(),
        Operation::new("update_user_state", Patch, "/api/v1/users/{user}", update_user_state)
            .takes::<UpdateUserStateBody>()
            .answers::<views::User>(),
        Operation::new("delete_user", Delete, "/api/v1/users/{user}", delete_user).answers::<views::User>(),
        Operation::new("list_auth_tokens", Get, on, list_auth_tokens).lists::<views::AuthToken>(),
        Operation::new("create_auth_token", Post, on, create_auth_token)
            .takes::<CreateAuthTokenBody>()
            .answers::<views::AuthToken>(),
        Operation::new("delete_auth_token", Delete, one, delete_auth_token).answers::<views::Deleted>(),
        Operation::new("create_group", Post, "/api/v1/groups", create_group)
            .takes::<NameBody>()
            .answers::<views::Group>(),
        Operation::new("add_user_to_group", Put, member, add_user_to_group).answers::<views::Membership>(),
        Operation::new("remove_user_from_group", Delete, member, remove_user_from_group)
            .answers::<views::Membership>(),
        Operation::new("list_repositories", Get, "/api/v1/repositories", list_repositories)
            .pages::<views::Repository>(),
        Operation::new("create_repository", Post, "/api/v1/repositories", create_repository)
            .takes::<CreateRepositoryBody>()
            .answers::<views::Repository>(),
        Operation::new("update_repository", Patch, "/api/v1/repositories/{name}", update_repository)
            .takes::<UpdateRepositoryBody>()
            .answers::<views::Repository>(),
        Operation::new("delete_repository", Delete, "/api/v1/repositories/{name}", delete_repository)
            .answers::<views::Repository>(),
        Operation::new("restore_repository", Post, restore, images::restore_repository)
            .takes::<images::RestoreRepositoryBody>()
            .answers::<views::Repository>(),
        Operation::new("list_images", Get, "/api/v1/repositories/{name}/images", images::list_images)
            .pages::<views::Image>()
            .asks(&["deleted"]),
        Operation::new("restore_image", Post, restore_image, images::restore_image)
            .takes::<images::RestoreImageBody>()
            .answers::<views::Image>(),
        Operation::new("collect_garbage", Post, "/api/v1/garbage-collections", collection::collect_garbage)
            .takes::<collection::CollectGarbageBody>()
            .answers::<Collected>(),
        Operation::new(
            "get_garbage_collection",
            Get,
            "/api/v1/garbage-collections",
            collection::get_garbage_collection,
        )
        .answers::<Progress>(),
        Operation::new("scrub", Post, "/api/v1/scrubs", upkeep::scrub).answers::<ScrubReport>(),
        Operation::new("verify", Post, "/api/v1/verifications", upkeep::verify).answers::<ScrubReport>(),
        Operation::new("create_backup", Post, "/api/v1/backups", upkeep::create_backup)
            .takes::<upkeep::CreateBackupBody>()
            .answers::<BackupReport>(),
        Operation::new("get_upkeep", Get, "/api/v1/upkeep", upkeep::get_upkeep).answers::<upkeep::Upkeep>(),
        Operation::new("create_tenancy", Post, "/api/v1/tenancies", create_tenancy)
            .takes::<CreateTenancyBody>()
            .answers::<views::Founding>(),
        Operation::new("update_tenancy", Patch, "/api/v1/tenancies/{name}", update_tenancy)
            .takes::<UpdateTenancyBody>()
            .answers::<views::Tenancy>(),
        Operation::new("list_domains", Get, "/api/v1/domains", list_domains).pages::<views::Domain>(),
        Operation::new("create_domain", Post, "/api/v1/domains", create_domain)
            .takes::<NameBody>()
            .answers::<views::Domain>(),
        Operation::new("delete_domain", Delete, "/api/v1/domains/{name}", delete_domain)
            .answers::<views::Domain>(),
        Operation::new("explain_decision", Post, "/api/v1/decisions", explanations::explain_decision)
            .takes::<explanations::ExplainDecisionBody>()
            .answers::<views::Decision>(),
        Operation::new("list_rights", Get, "/api/v1/rights", explanations::list_rights)
            .pages::<views::Right>()
            .asks(&["user", "repository"]),
    ]
}

/// Every operation with its path and handler.
pub(crate) fn routes() -> Vec<Entry> {
    operations().into_iter().map(Operation::entry).collect()
}

/// The OpenAPI document.
pub(crate) fn document() -> Value {
    openapi::document(&operations())
}

pub(crate) fn router(iam: Iam, registry: Registry) -> Router {
    mount(routes()).layer(Extension(registry)).layer(Extension(upkeep::Shows::default())).with_state(iam)
}

/// An operation with its path and handler.
pub(crate) type Entry = (&'static str, &'static str, Routed);

/// A router of these.
pub(crate) fn mount(routes: Vec<Entry>) -> Router<Iam> {
    let add = |router: Router<Iam>, (operation, path, route)| router.route(path, named(route, operation));
    routes.into_iter().fold(Router::new(), add)
}

type Routed = axum::routing::MethodRouter<Iam>;

/// Tells a route's requests the operation's name, for conditions, and its answers, for metric and log.
fn named(route: Routed, operation: &'static str) -> Routed {
    let in_oracle_cloud: Arc<str> = in_oracle_cloud(operation).into();
    route.layer(middleware::from_fn(move |mut request: Request, next: Next| {
        if let Some(incoming) = request.extensions_mut().get_mut::<wharfinger_iam::Request>() {
            incoming.operation = Some(Arc::clone(&in_oracle_cloud));
        }
        async move {
            let mut response = next.run(request).await;
            response.extensions_mut().insert(OperationName(operation));
            response
        }
    }))
}

/// `get_user` is `GetUser` there, and `get_tag_definition` is `GetTag`.
fn in_oracle_cloud(operation: &str) -> String {
    let words = operation.replace("tag_definition", "tag");
    let words = words.split('_').filter_map(|word| word.split_at_checked(1));
    words.map(|(first, rest)| first.to_ascii_uppercase() + rest).collect()
}

/// Who asks, and in which tenancy: the one named by `?tenancy=`, else the first.
struct Caller {
    ctx: Ctx,
    tenancy: Tenancy,
}

#[derive(Deserialize)]
struct TenancyQuery {
    tenancy: Option<String>,
}

impl FromRequestParts<Iam> for Caller {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, iam: &Iam) -> Result<Self, Failure> {
        let request = parts.extensions.get::<wharfinger_iam::Request>().cloned();
        let request = request.filter(|request| request.listener == Listener::ControlSocket);
        let ctx = iam.local_administrator(request.ok_or(IamError::Unauthenticated)?);
        let tenancy = named_tenancy(&ctx, parts).await?;
        Ok(Caller { ctx, tenancy })
    }
}

/// The tenancy that the local administrator names with `?tenancy=`, else the first.
pub(crate) async fn named_tenancy(ctx: &Ctx, parts: &mut Parts) -> Result<Tenancy, Failure> {
    let Query(query): Query<TenancyQuery> = parts.extract().await?;
    match query.tenancy {
        Some(namespace) => Ok(ctx.tenancy(&namespace.parse::<Namespace>()?, Permission::UserInspect).await?),
        None => Ok(tenancies::first(ctx.iam()).await?),
    }
}

type Answer<T> = Result<Json<T>, Failure>;
type Body<T> = Result<Json<T>, JsonRejection>;

fn time(microseconds: i64) -> String {
    Timestamp(microseconds).to_string()
}

/// A view with one more field.
pub(crate) fn with(mut view: Value, field: &str, value: impl Into<Value>) -> Value {
    if let Some(fields) = view.as_object_mut() {
        fields.insert(field.to_owned(), value.into());
    }
    view
}

#[derive(Deserialize)]
struct PageQuery {
    limit: Option<usize>,
    page: Option<String>,
}

impl PageQuery {
    fn page(self) -> Result<Page, Failure> {
        let limit = self.limit.unwrap_or(DEFAULT_LIMIT).clamp(1, MAX_LIMIT);
        let remedy = "use the `opc-next-page` header of the answer before";
        let invalid = || IamError::Invalid { field: "page", value: String::new(), remedy };
        Ok(Page::after(limit, self.page).ok_or_else(invalid)?)
    }
}

type PageParameters = Result<Query<PageQuery>, QueryRejection>;

/// A page, with the header that leads to the next one.
pub(crate) fn page_of(views: Vec<impl Serialize>, next: Option<String>) -> Response {
    let mut response = Json(views).into_response();
    if let Some(next) = next
        && let Ok(next) = HeaderValue::from_str(&next)
    {
        response.headers_mut().insert(NEXT_PAGE, next);
    }
    response
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NameBody {
    name: String,
}

async fn create_user(caller: Caller, body: Body<NameBody>) -> Answer<views::User> {
    let Json(body) = body?;
    let user = users::create_user(&caller.ctx, &caller.tenancy, body.name.as_str()).await?;
    Ok(Json(views::User::from(&user)))
}

async fn list_users(caller: Caller, page: PageParameters) -> Result<Response, Failure> {
    let page = page?.0.page()?;
    let listing = Listing::by_name(page.limit, page.last);
    let users = users::list_users(&caller.ctx, &caller.tenancy, &listing).await?;
    Ok(page_of(users.rows.iter().map(views::User::from).collect(), users.next_page))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct UpdateUserStateBody {
    is_active: bool,
}

async fn update_user_state(
    caller: Caller,
    Path(user): Path<String>,
    body: Body<UpdateUserStateBody>,
) -> Answer<views::User> {
    let Json(body) = body?;
    let user = users::update_user_state(&caller.ctx, &caller.tenancy, &user, body.is_active).await?;
    Ok(Json(views::User::from(&user)))
}

async fn delete_user(caller: Caller, Path(user): Path<String>) -> Answer<views::User> {
    let user = users::delete_user(&caller.ctx, &caller.tenancy, &user).await?;
    Ok(Json(views::User::from(&user).deleted()))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct CreateAuthTokenBody {
    description: String,
}

async fn create_auth_token(
    caller: Caller,
    Path(user): Path<String>,
    body: Body<CreateAuthTokenBody>,
) -> Answer<views::AuthToken> {
    let Json(body) = body?;
    let (token, secret) =
        auth_tokens::create_auth_token(&caller.ctx, &caller.tenancy, &user, &body.description).await?;
    Ok(Json(views::AuthToken::from(&token).with(secret.reveal())))
}

async fn list_auth_tokens(caller: Caller, Path(user): Path<String>) -> Answer<Vec<views::AuthToken>> {
    let tokens = auth_tokens::list_auth_tokens(&caller.ctx, &caller.tenancy, &user).await?;
    Ok(Json(tokens.iter().map(views::AuthToken::from).collect()))
}

async fn delete_auth_token(
    caller: Caller,
    Path((user, id)): Path<(String, String)>,
) -> Answer<views::Deleted> {
    auth_tokens::delete_auth_token(&caller.ctx, &caller.tenancy, &user, &id).await?;
    Ok(Json(views::Deleted::new(id)))
}

async fn create_group(caller: Caller, body: Body<NameBody>) -> Answer<views::Group> {
    let Json(body) = body?;
    let group = groups::create_group(&caller.ctx, &caller.tenancy, body.name.as_str()).await?;
    Ok(Json(views::Group::from(&group)))
}

async fn add_user_to_group(
    caller: Caller,
    Path((group, user)): Path<(String, String)>,
) -> Answer<views::Membership> {
    let membership = groups::add_user_to_group(&caller.ctx, &caller.tenancy, &group, &user).await?;
    Ok(Json(views::Membership::from(&membership)))
}

async fn remove_user_from_group(
    caller: Caller,
    Path((group, user)): Path<(String, String)>,
) -> Answer<views::Membership> {
    let membership = groups::remove_user_from_group(&caller.ctx, &caller.tenancy, &group, &user).await?;
    Ok(Json(views::Membership::from(&membership).deleted()))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct CreateRepositoryBody {
    display_name: String,
    /// Names of compartments below the root, such as `dev:team`; the root if absent.
    compartment: Option<String>,
    #[serde(default)]
    is_public: bool,
}

fn visibility(is_public: bool) -> Visibility {
    if is_public { Visibility::Public } else { Visibility::Private }
}

async fn create_repository(caller: Caller, body: Body<CreateRepositoryBody>) -> Answer<views::Repository> {
    let Json(body) = body?;
    let name: RepositoryName = body.display_name.parse()?;
    let Caller { ctx, tenancy } = &caller;
    let path = body.compartment.as_deref().unwrap_or_default();
    let compartment = compartments::by_path(ctx, tenancy, path, Permission::RepositoryCreate).await?;
    let visibility = visibility(body.is_public);
    let repository =
        repositories::create_repository(ctx, tenancy, &compartment.ocid, &name, visibility).await?;
    Ok(Json(views::Repository::new(&caller.tenancy, &repository)))
}

async fn list_repositories(caller: Caller, page: PageParameters) -> Result<Response, Failure> {
    let page = page?.0.page()?;
    let repositories = repositories::list_repositories(&caller.ctx, &caller.tenancy, &page).await?;
    let is_full = repositories.len() >= page.limit;
    let next = repositories.last().filter(|_| is_full).map(|repository| repository.name.clone());
    let views = repositories.iter().map(|repository| views::Repository::new(&caller.tenancy, repository));
    Ok(page_of(views.collect(), next))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct UpdateRepositoryBody {
    is_public: bool,
}

async fn update_repository(
    caller: Caller,
    Path(name): Path<String>,
    body: Body<UpdateRepositoryBody>,
) -> Answer<views::Repository> {
    let Json(body) = body?;
    let name: RepositoryName = name.parse()?;
    let repository =
        repositories::update_repository(&caller.ctx, &caller.tenancy, &name, visibility(body.is_public))
            .await?;
    Ok(Json(views::Repository::new(&caller.tenancy, &repository)))
}

async fn delete_repository(caller: Caller, Path(name): Path<String>) -> Answer<views::Repository> {
    let name: RepositoryName = name.parse()?;
    let repository = repositories::delete_repository(&caller.ctx, &caller.tenancy, &name).await?;
    Ok(Json(views::Repository::new(&caller.tenancy, &repository).deleted()))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct CreateTenancyBody {
    name: String,
    namespace: Option<String>,
}

async fn create_tenancy(caller: Caller, body: Body<CreateTenancyBody>) -> Answer<views::Founding> {
    let Json(body) = body?;
    let namespace = body.namespace.map(|namespace| namespace.parse::<Namespace>()).transpose()?;
    let founding = tenancies::create_tenancy(&caller.ctx, &body.name, namespace).await?;
    Ok(Json(views::Founding::from(founding)))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct UpdateTenancyBody {
    deny_policies: bool,
}

async fn update_tenancy(
    caller: Caller,
    Path(name): Path<String>,
    body: Body<UpdateTenancyBody>,
) -> Answer<views::Tenancy> {
    let Json(body) = body?;
    if !body.deny_policies {
        let remedy = "deny statements are switched on for good: use `true`";
        return Err(IamError::Invalid { field: "denyPolicies", value: "false".to_owned(), remedy }.into());
    }
    let tenancy = tenancies::update_tenancy(&caller.ctx, &name).await?;
    Ok(Json(views::Tenancy::from(&tenancy)))
}

async fn create_domain(caller: Caller, body: Body<NameBody>) -> Answer<views::Domain> {
    let Json(body) = body?;
    let domain = domains::create_domain(&caller.ctx, &caller.tenancy, &body.name).await?;
    Ok(Json(views::Domain::from(&domain)))
}

async fn list_domains(caller: Caller, page: PageParameters) -> Result<Response, Failure> {
    let page = page?.0.page()?;
    let listing = Listing::by_name(page.limit, page.last);
    let domains = domains::list_domains(&caller.ctx, &caller.tenancy, &listing).await?;
    Ok(page_of(domains.rows.iter().map(views::Domain::from).collect(), domains.next_page))
}

async fn delete_domain(caller: Caller, Path(name): Path<String>) -> Answer<views::Domain> {
    let domain = domains::delete_domain(&caller.ctx, &caller.tenancy, &name).await?;
    Ok(Json(views::Domain::from(&domain).deleted()))
}
