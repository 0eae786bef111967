//! `/api/v1/`: users, groups, auth tokens, repositories, images, tenancies, decisions, rights, garbage
//! collection, scrub, backup.
//!
//! Only the control socket has a principal here so far; over the network every route answers 401.

mod collection;
mod explanations;
mod images;
mod upkeep;

use std::sync::Arc;

use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{FromRequestParts, Path, Query, Request};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{Router, delete, get, patch, post, put};
use axum::{Extension, Json, RequestPartsExt};
use http::request::Parts;
use http::{HeaderName, HeaderValue};
use serde::Deserialize;
use serde_json::{Value, json};
use wharfinger_iam::auth_tokens::{self, AuthToken};
use wharfinger_iam::groups::{self, Group};
use wharfinger_iam::memberships::Membership;
use wharfinger_iam::users::{self, User};
use wharfinger_iam::{Ctx, Error as IamError, Iam, Listener, Listing, Tenancy, compartments, tenancies};
use wharfinger_registry::Registry;
use wharfinger_registry::repositories::{self, Repository, Visibility};
use wharfinger_types::{Namespace, OperationName, Page, Permission, RepositoryName, Timestamp};

use crate::error::Failure;

/// Where the next page of a list starts, as Oracle Cloud names it.
const NEXT_PAGE: HeaderName = HeaderName::from_static("opc-next-page");
const DEFAULT_LIMIT: usize = 100;
const MAX_LIMIT: usize = 1_000;

/// Every operation with its path and handler: router and list of names are both made from it.
pub(crate) fn routes() -> Vec<Entry> {
    vec![
        ("list_users", "/api/v1/users", get(list_users)),
        ("create_user", "/api/v1/users", post(create_user)),
        ("update_user_state", "/api/v1/users/{user}", patch(update_user_state)),
        ("delete_user", "/api/v1/users/{user}", delete(delete_user)),
        ("list_auth_tokens", "/api/v1/users/{user}/auth-tokens", get(list_auth_tokens)),
        ("create_auth_token", "/api/v1/users/{user}/auth-tokens", post(create_auth_token)),
        ("delete_auth_token", "/api/v1/users/{user}/auth-tokens/{id}", delete(delete_auth_token)),
        ("create_group", "/api/v1/groups", post(create_group)),
        ("add_user_to_group", "/api/v1/groups/{group}/users/{user}", put(add_user_to_group)),
        ("remove_user_from_group", "/api/v1/groups/{group}/users/{user}", delete(remove_user_from_group)),
        ("list_repositories", "/api/v1/repositories", get(list_repositories)),
        ("create_repository", "/api/v1/repositories", post(create_repository)),
        ("update_repository", "/api/v1/repositories/{name}", patch(update_repository)),
        ("delete_repository", "/api/v1/repositories/{name}", delete(delete_repository)),
        (
            "restore_repository",
            "/api/v1/repositories/{name}/actions/restore",
            post(images::restore_repository),
        ),
        ("list_images", "/api/v1/repositories/{name}/images", get(images::list_images)),
        (
            "restore_image",
            "/api/v1/repositories/{name}/images/{digest}/actions/restore",
            post(images::restore_image),
        ),
        ("collect_garbage", "/api/v1/garbage-collections", post(collection::collect_garbage)),
        ("get_garbage_collection", "/api/v1/garbage-collections", get(collection::get_garbage_collection)),
        ("scrub", "/api/v1/scrubs", post(upkeep::scrub)),
        ("verify", "/api/v1/verifications", post(upkeep::verify)),
        ("create_backup", "/api/v1/backups", post(upkeep::create_backup)),
        ("get_upkeep", "/api/v1/upkeep", get(upkeep::get_upkeep)),
        ("create_tenancy", "/api/v1/tenancies", post(create_tenancy)),
        ("explain_decision", "/api/v1/decisions", post(explanations::explain_decision)),
        ("list_rights", "/api/v1/rights", get(explanations::list_rights)),
        ("update_tenancy", "/api/v1/tenancies/{name}", patch(update_tenancy)),
        ("create_domain", "/api/v1/domains", post(create_domain)),
    ]
}

pub(crate) fn router(iam: Iam, registry: Registry) -> Router {
    mount(routes()).layer(Extension(registry)).layer(Extension(upkeep::Progress::default())).with_state(iam)
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

type Answer = Result<Json<Value>, Failure>;
type Body<T> = Result<Json<T>, JsonRejection>;

fn time(microseconds: i64) -> String {
    Timestamp(microseconds).to_string()
}

fn user_view(user: &User) -> Value {
    json!({
        "id": user.ocid,
        "name": user.name,
        "domain": user.domain,
        "lifecycleState": if user.is_active { "ACTIVE" } else { "INACTIVE" },
        "timeCreated": time(user.created_at),
    })
}

fn group_view(group: &Group) -> Value {
    json!({ "id": group.ocid, "name": group.name, "domain": group.domain, "timeCreated": time(group.created_at) })
}

fn membership_view(membership: &Membership) -> Value {
    json!({
        "groupId": membership.group_ocid,
        "groupName": membership.group_name,
        "userId": membership.user_ocid,
        "userName": membership.user_name,
    })
}

fn auth_token_view(token: &AuthToken) -> Value {
    json!({ "id": token.ocid, "description": token.description, "timeCreated": time(token.created_at) })
}

fn repository_view(tenancy: &Tenancy, repository: &Repository, state: &str) -> Value {
    json!({
        "id": repository.ocid,
        "displayName": repository.name,
        "namespace": tenancy.namespace,
        "compartmentId": repository.compartment,
        "isPublic": repository.is_public,
        "createdBy": repository.created_by,
        "lifecycleState": state,
        "timeCreated": time(repository.created_at),
    })
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
pub(crate) fn page_of(views: Vec<Value>, next: Option<String>) -> Response {
    let mut response = Json(views).into_response();
    if let Some(next) = next
        && let Ok(next) = HeaderValue::from_str(&next)
    {
        response.headers_mut().insert(NEXT_PAGE, next);
    }
    response
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NameBody {
    name: String,
}

async fn create_user(caller: Caller, body: Body<NameBody>) -> Answer {
    let Json(body) = body?;
    let user = users::create_user(&caller.ctx, &caller.tenancy, body.name.as_str()).await?;
    Ok(Json(user_view(&user)))
}

async fn list_users(caller: Caller, page: PageParameters) -> Result<Response, Failure> {
    let page = page?.0.page()?;
    let listing = Listing::by_name(page.limit, page.last);
    let users = users::list_users(&caller.ctx, &caller.tenancy, &listing).await?;
    Ok(page_of(users.rows.iter().map(user_view).collect(), users.next_page))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct UpdateUserStateBody {
    is_active: bool,
}

async fn update_user_state(
    caller: Caller,
    Path(user): Path<String>,
    body: Body<UpdateUserStateBody>,
) -> Answer {
    let Json(body) = body?;
    let user = users::update_user_state(&caller.ctx, &caller.tenancy, &user, body.is_active).await?;
    Ok(Json(user_view(&user)))
}

async fn delete_user(caller: Caller, Path(user): Path<String>) -> Answer {
    let user = users::delete_user(&caller.ctx, &caller.tenancy, &user).await?;
    Ok(Json(with(user_view(&user), "lifecycleState", "DELETED")))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CreateAuthTokenBody {
    description: String,
}

async fn create_auth_token(
    caller: Caller,
    Path(user): Path<String>,
    body: Body<CreateAuthTokenBody>,
) -> Answer {
    let Json(body) = body?;
    let (token, secret) =
        auth_tokens::create_auth_token(&caller.ctx, &caller.tenancy, &user, &body.description).await?;
    Ok(Json(with(auth_token_view(&token), "token", secret.reveal())))
}

async fn list_auth_tokens(caller: Caller, Path(user): Path<String>) -> Answer {
    let tokens = auth_tokens::list_auth_tokens(&caller.ctx, &caller.tenancy, &user).await?;
    Ok(Json(tokens.iter().map(auth_token_view).collect()))
}

async fn delete_auth_token(caller: Caller, Path((user, id)): Path<(String, String)>) -> Answer {
    auth_tokens::delete_auth_token(&caller.ctx, &caller.tenancy, &user, &id).await?;
    Ok(Json(json!({ "id": id, "lifecycleState": "DELETED" })))
}

async fn create_group(caller: Caller, body: Body<NameBody>) -> Answer {
    let Json(body) = body?;
    let group = groups::create_group(&caller.ctx, &caller.tenancy, body.name.as_str()).await?;
    Ok(Json(group_view(&group)))
}

async fn add_user_to_group(caller: Caller, Path((group, user)): Path<(String, String)>) -> Answer {
    let membership = groups::add_user_to_group(&caller.ctx, &caller.tenancy, &group, &user).await?;
    Ok(Json(membership_view(&membership)))
}

async fn remove_user_from_group(caller: Caller, Path((group, user)): Path<(String, String)>) -> Answer {
    let membership = groups::remove_user_from_group(&caller.ctx, &caller.tenancy, &group, &user).await?;
    Ok(Json(with(membership_view(&membership), "lifecycleState", "DELETED")))
}

#[derive(Deserialize)]
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

async fn create_repository(caller: Caller, body: Body<CreateRepositoryBody>) -> Answer {
    let Json(body) = body?;
    let name: RepositoryName = body.display_name.parse()?;
    let Caller { ctx, tenancy } = &caller;
    let path = body.compartment.as_deref().unwrap_or_default();
    let compartment = compartments::by_path(ctx, tenancy, path, Permission::RepositoryCreate).await?;
    let visibility = visibility(body.is_public);
    let repository =
        repositories::create_repository(ctx, tenancy, &compartment.ocid, &name, visibility).await?;
    Ok(Json(repository_view(&caller.tenancy, &repository, "AVAILABLE")))
}

async fn list_repositories(caller: Caller, page: PageParameters) -> Result<Response, Failure> {
    let page = page?.0.page()?;
    let repositories = repositories::list_repositories(&caller.ctx, &caller.tenancy, &page).await?;
    let is_full = repositories.len() >= page.limit;
    let next = repositories.last().filter(|_| is_full).map(|repository| repository.name.clone());
    let views =
        repositories.iter().map(|repository| repository_view(&caller.tenancy, repository, "AVAILABLE"));
    Ok(page_of(views.collect(), next))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct UpdateRepositoryBody {
    is_public: bool,
}

async fn update_repository(
    caller: Caller,
    Path(name): Path<String>,
    body: Body<UpdateRepositoryBody>,
) -> Answer {
    let Json(body) = body?;
    let name: RepositoryName = name.parse()?;
    let repository =
        repositories::update_repository(&caller.ctx, &caller.tenancy, &name, visibility(body.is_public))
            .await?;
    Ok(Json(repository_view(&caller.tenancy, &repository, "AVAILABLE")))
}

async fn delete_repository(caller: Caller, Path(name): Path<String>) -> Answer {
    let name: RepositoryName = name.parse()?;
    let repository = repositories::delete_repository(&caller.ctx, &caller.tenancy, &name).await?;
    Ok(Json(repository_view(&caller.tenancy, &repository, "DELETED")))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CreateTenancyBody {
    name: String,
    namespace: Option<String>,
}

async fn create_tenancy(caller: Caller, body: Body<CreateTenancyBody>) -> Answer {
    let Json(body) = body?;
    let namespace = body.namespace.map(|namespace| namespace.parse::<Namespace>()).transpose()?;
    let founding = tenancies::create_tenancy(&caller.ctx, &body.name, namespace).await?;
    // Texts always serialise.
    let view = serde_json::to_value(&founding).unwrap_or_default();
    Ok(Json(with(view, "private_key", founding.private_key.reveal())))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct UpdateTenancyBody {
    deny_policies: bool,
}

async fn update_tenancy(caller: Caller, Path(name): Path<String>, body: Body<UpdateTenancyBody>) -> Answer {
    let Json(body) = body?;
    if !body.deny_policies {
        let remedy = "deny statements are switched on for good: use `true`";
        return Err(IamError::Invalid { field: "denyPolicies", value: "false".to_owned(), remedy }.into());
    }
    let tenancy = tenancies::update_tenancy(&caller.ctx, &name).await?;
    Ok(Json(json!({
        "id": tenancy.ocid,
        "name": tenancy.name,
        "namespace": tenancy.namespace,
        "region": tenancy.region,
        "denyPolicies": true,
    })))
}

async fn create_domain(caller: Caller, body: Body<NameBody>) -> Answer {
    let Json(body) = body?;
    let domain = tenancies::create_domain(&caller.ctx, &caller.tenancy, &body.name).await?;
    Ok(Json(json!({ "id": domain.ocid, "name": domain.name, "timeCreated": time(domain.created_at) })))
}
