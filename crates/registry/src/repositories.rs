//! Repositories.

use wharfinger_audit::Subject;
use wharfinger_iam::{
    Ctx, Error as IamError, Principal, Protected, Target, Tenancy, compartments, tenancies,
};
use wharfinger_metastore::{Error as StoreError, Param, Tx, operations, row, statements};
use wharfinger_types::{ImageName, Ocid, Page, Permission, RepositoryName, ResourceKind};

use crate::{Error, ImageRight};

statements! {
    REPOSITORY_BY_NAME =
        "SELECT r.id, r.ocid, r.tenancy_id, c.ocid AS compartment, r.name, r.is_public, r.created_by, r.created_at
         FROM repository r JOIN compartment c ON c.id = r.compartment_id
         WHERE r.tenancy_id = $1 AND r.name = $2 AND r.deleted_at IS NULL";
    REPOSITORIES_AFTER =
        "SELECT r.id, r.ocid, r.tenancy_id, c.ocid AS compartment, r.name, r.is_public, r.created_by, r.created_at
         FROM repository r JOIN compartment c ON c.id = r.compartment_id
         WHERE r.tenancy_id = $1 AND r.name > $2 AND r.deleted_at IS NULL
         ORDER BY r.name LIMIT $3";
    PUBLIC_REPOSITORIES_AFTER =
        "SELECT r.id, r.ocid, r.tenancy_id, c.ocid AS compartment, r.name, r.is_public, r.created_by, r.created_at
         FROM repository r JOIN compartment c ON c.id = r.compartment_id
         WHERE r.tenancy_id = $1 AND r.name > $2 AND r.deleted_at IS NULL AND r.is_public
         ORDER BY r.name LIMIT $3";
    COMPARTMENT_REPOSITORIES_AFTER =
        "SELECT r.id, r.ocid, r.tenancy_id, c.ocid AS compartment, r.name, r.is_public, r.created_by, r.created_at
         FROM repository r JOIN compartment c ON c.id = r.compartment_id
         WHERE r.compartment_id = $1 AND r.name > $2 AND r.deleted_at IS NULL
         ORDER BY r.name LIMIT $3";
    REPOSITORY_INSERT =
        "INSERT INTO repository (ocid, tenancy_id, compartment_id, name, is_public, created_by, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7)
         ON CONFLICT (tenancy_id, name) WHERE deleted_at IS NULL DO NOTHING RETURNING id";
    REPOSITORY_SET_PUBLIC = "UPDATE repository SET is_public = $1 WHERE id = $2 AND deleted_at IS NULL";
    /// The newest deleted repository of a name, unless its collection has begun.
    DELETED_REPOSITORY_BY_NAME =
        "SELECT r.id, r.ocid, r.tenancy_id, c.ocid AS compartment, r.name, r.is_public, r.created_by, r.created_at
         FROM repository r JOIN compartment c ON c.id = r.compartment_id
         WHERE r.tenancy_id = $1 AND r.name = $2 AND r.deleted_at IS NOT NULL AND r.purged_at IS NULL
         ORDER BY r.deleted_at DESC, r.id DESC LIMIT 1";
    REPOSITORY_RESTORE =
        "UPDATE repository SET deleted_at = NULL, name = $1
         WHERE id = $2 AND deleted_at IS NOT NULL AND purged_at IS NULL";
    REPOSITORY_HIDE = "UPDATE repository SET deleted_at = $1 WHERE id = $2 AND deleted_at IS NULL";
    /// Holds a repository against its deletion until the transaction ends.
    REPOSITORY_GUARD =
        sqlite "SELECT id FROM repository WHERE id = $1 AND deleted_at IS NULL",
        postgres "SELECT id FROM repository WHERE id = $1 AND deleted_at IS NULL FOR SHARE";
}

row! {
    /// A repository that is not deleted.
    pub struct Repository {
        /// Internal id.
        pub id: i64,
        /// OCID.
        pub ocid: String,
        /// Internal id of the tenancy.
        pub tenancy_id: i64,
        /// OCID of the compartment.
        pub compartment: String,
        /// Name without namespace.
        pub name: String,
        /// Whether anybody may pull from it.
        pub is_public: bool,
        /// OCID of its creator.
        pub created_by: String,
        /// Microseconds since the epoch.
        pub created_at: i64,
    }
}

impl Protected for Repository {
    fn target(&self) -> Target {
        Target {
            compartment: self.compartment.parse().ok(),
            repository: Some(self.name.clone()),
            is_public: self.is_public,
            ..Target::tenancy(self.tenancy_id)
        }
    }
}

operations! {
    CREATE_REPOSITORY = create_repository { Durable, Serializable, audited };
    UPDATE_REPOSITORY = update_repository { Durable, Serializable, audited };
    DELETE_REPOSITORY = delete_repository { Durable, Serializable, audited };
    RESTORE_REPOSITORY = restore_repository { Durable, Serializable, audited };
}

/// Who may pull from a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Visibility {
    /// Those with a right to it.
    Private,
    /// Anybody.
    Public,
}

/// The repository of an image name, with the right asked for and within the token's cap.
pub(crate) async fn find(ctx: &Ctx, image: &ImageName, right: ImageRight) -> Result<Repository, Error> {
    ctx.within_cap("repository", image, right.action())?;
    let tenancy = ctx.tenancy(&image.namespace, right.permission()).await?;
    let repository = lookup(ctx, &tenancy, &image.repository, right.permission()).await?;
    if right == ImageRight::Push {
        // A pusher looks at what is there before it uploads.
        ctx.require(Permission::RepositoryRead, &repository.target())?;
    }
    Ok(repository)
}

/// A repository that the principal may pull from.
pub async fn get_repository(ctx: &Ctx, image: &ImageName) -> Result<Repository, Error> {
    find(ctx, image, ImageRight::Pull).await
}

/// Like [`find`] for a push: makes the repository if the tenancy wants that and the principal may.
pub(crate) async fn find_or_create(ctx: &Ctx, image: &ImageName) -> Result<Repository, Error> {
    match find(ctx, image, ImageRight::Push).await {
        Err(Error::Iam(IamError::NotFound { .. })) => {}
        found_or_refused => return found_or_refused,
    }
    let tenancy = ctx.tenancy(&image.namespace, Permission::RepositoryCreate).await?;
    if !tenancies::creates_on_push(ctx.iam(), tenancy.id).await? {
        return Err(Error::NotCreatedOnPush(image.to_string()));
    }
    let root = &tenancy.root_ocid;
    match create_repository(ctx, &tenancy, root, &image.repository, Visibility::Private).await {
        // Another layer of the same first push made it a moment ago.
        Err(Error::Iam(IamError::NameTaken { .. })) => find(ctx, image, ImageRight::Push).await,
        created_or_refused => created_or_refused,
    }
}

/// A repository of the tenancy, for one who may see it.
pub async fn inspect_repository(
    ctx: &Ctx,
    tenancy: &Tenancy,
    name: &RepositoryName,
) -> Result<Repository, Error> {
    lookup(ctx, tenancy, name, Permission::RepositoryInspect).await
}

/// A repository of the tenancy with a right on it.
pub(crate) async fn lookup(
    ctx: &Ctx,
    tenancy: &Tenancy,
    name: &RepositoryName,
    permission: Permission,
) -> Result<Repository, Error> {
    let (what, args) = (("repository", name.as_str()), [&tenancy.id as &dyn Param, &name.as_str()]);
    let absent = Target { repository: Some(name.to_string()), ..Target::tenancy(tenancy.id) };
    Ok(ctx.lookup_or(&REPOSITORY_BY_NAME, &args, permission, &absent, what).await?)
}

/// Creates an empty repository in a compartment of the tenancy.
pub async fn create_repository(
    ctx: &Ctx,
    tenancy: &Tenancy,
    compartment: &str,
    name: &RepositoryName,
    visibility: Visibility,
) -> Result<Repository, Error> {
    let is_public = visibility == Visibility::Public;
    let permissions: &[Permission] = match visibility {
        Visibility::Private => &[Permission::RepositoryCreate],
        Visibility::Public => &[Permission::RepositoryCreate, Permission::RepositoryManage],
    };
    let compartment = ctx.compartment_for_repository(compartment, name.as_str(), permissions).await?;
    let ocid = Ocid::new(ResourceKind::ContainerRepo, &tenancy.region, uuid::Uuid::new_v4().into_bytes());
    let origin = ctx.origin();
    let repository = Repository {
        id: 0,
        ocid: ocid.to_string(),
        tenancy_id: compartment.tenancy_id,
        compartment: compartment.ocid.clone(),
        name: name.to_string(),
        is_public,
        created_by: origin.principal_id.clone(),
        created_at: origin.at.0,
    };
    ctx.store()
        .write(&CREATE_REPOSITORY, move |tx| {
            compartments::require_live(tx, &compartment)?;
            let Repository { ocid, tenancy_id, name, is_public, created_by, created_at, .. } = &repository;
            let id = tx.opt(
                &REPOSITORY_INSERT,
                &[ocid, tenancy_id, &compartment.id, name, is_public, created_by, created_at],
            )?;
            let id: i64 = id.ok_or_else(|| IamError::NameTaken { what: "repository", name: name.clone() })?;
            let subject = Subject::new(ocid, name).with("isPublic", *is_public);
            wharfinger_audit::record(tx, *tenancy_id, &origin, &subject)?;
            Ok(Repository { id, ..repository.clone() })
        })
        .await
}

/// Makes a repository public or private.
pub async fn update_repository(
    ctx: &Ctx,
    tenancy: &Tenancy,
    name: &RepositoryName,
    visibility: Visibility,
) -> Result<Repository, Error> {
    let repository = lookup(ctx, tenancy, name, Permission::RepositoryManage).await?;
    let is_public = visibility == Visibility::Public;
    let origin = ctx.origin();
    ctx.store()
        .write(&UPDATE_REPOSITORY, move |tx| {
            if tx.run(&REPOSITORY_SET_PUBLIC, &[&is_public, &repository.id])? == 0 {
                return Err(gone(&repository));
            }
            let subject = Subject::new(&repository.ocid, &repository.name).with("isPublic", is_public);
            wharfinger_audit::record(tx, repository.tenancy_id, &origin, &subject)?;
            Ok(Repository { is_public, ..repository.clone() })
        })
        .await
}

/// Hides a repository with all its images and frees its name.
pub async fn delete_repository(
    ctx: &Ctx,
    tenancy: &Tenancy,
    name: &RepositoryName,
) -> Result<Repository, Error> {
    let repository = lookup(ctx, tenancy, name, Permission::RepositoryDelete).await?;
    let origin = ctx.origin();
    ctx.store()
        .write(&DELETE_REPOSITORY, move |tx| {
            if tx.run(&REPOSITORY_HIDE, &[&origin.at.0, &repository.id])? == 0 {
                return Err(gone(&repository));
            }
            let subject = Subject::new(&repository.ocid, &repository.name);
            wharfinger_audit::record(tx, repository.tenancy_id, &origin, &subject)?;
            Ok(repository.clone())
        })
        .await
}

/// Undoes the deletion of the newest deleted repository of that name, with all its images and tags. It takes the
/// name `new_name` if one is given, which it needs if another has its own by now. As for creating it, the right to
/// create repositories is needed, and for a public one that to manage them.
pub async fn restore_repository(
    ctx: &Ctx,
    tenancy: &Tenancy,
    name: &RepositoryName,
    new_name: Option<&RepositoryName>,
) -> Result<Repository, Error> {
    let (what, args) = (("deleted repository", name.as_str()), [&tenancy.id as &dyn Param, &name.as_str()]);
    let absent = Target { repository: Some(name.to_string()), ..Target::tenancy(tenancy.id) };
    let right = Permission::RepositoryCreate;
    let deleted: Repository = ctx.lookup_or(&DELETED_REPOSITORY_BY_NAME, &args, right, &absent, what).await?;
    let permissions: &[Permission] =
        if deleted.is_public { &[right, Permission::RepositoryManage] } else { &[right] };
    let name = new_name.unwrap_or(name);
    let compartment =
        ctx.compartment_for_repository(&deleted.compartment, name.as_str(), permissions).await?;
    let restored = Repository { name: name.to_string(), ..deleted.clone() };
    let origin = ctx.origin();
    ctx.store()
        .write(&RESTORE_REPOSITORY, move |tx| {
            compartments::require_live(tx, &compartment)?;
            let changed = match tx.run(&REPOSITORY_RESTORE, &[&restored.name, &restored.id]) {
                Err(StoreError::Unique { .. }) => {
                    return Err(
                        IamError::NameTaken { what: "repository", name: restored.name.clone() }.into()
                    );
                }
                changed => changed?,
            };
            if changed == 0 {
                return Err(gone(&deleted));
            }
            let subject =
                Subject::new(&restored.ocid, &restored.name).with("deletedName", deleted.name.as_str());
            wharfinger_audit::record(tx, restored.tenancy_id, &origin, &subject)?;
            Ok(restored.clone())
        })
        .await
}

/// The first statement of every write into a repository that was looked up before: what is pushed
/// into a deleted one would be acknowledged and never seen.
pub(crate) fn guard(tx: &mut Tx<'_>, repository: &Repository) -> Result<(), Error> {
    match tx.opt::<i64>(&REPOSITORY_GUARD, &[&repository.id])? {
        Some(_) => Ok(()),
        None => Err(gone(repository)),
    }
}

fn gone(repository: &Repository) -> Error {
    Error::Iam(IamError::NotFound { what: "repository", name: repository.name.clone() })
}

/// A page of the tenancy's repositories that the principal may see, by name: those of the compartments
/// in which it may inspect repositories, whatever their names, and public ones.
pub async fn list_repositories(ctx: &Ctx, tenancy: &Tenancy, page: &Page) -> Result<Vec<Repository>, Error> {
    let after = page.last.as_deref().unwrap_or("");
    let limit = i64::try_from(page.limit).unwrap_or(i64::MAX);
    let Some(compartments) = ctx.compartments_with(Permission::RepositoryInspect, tenancy.id) else {
        return Ok(ctx.store().all(&REPOSITORIES_AFTER, &[&tenancy.id, &after, &limit]).await?);
    };
    // A page of each, merged: every part is read in the order of an index, and no further than needed.
    let mut found: Vec<Repository> =
        ctx.store().all(&PUBLIC_REPOSITORIES_AFTER, &[&tenancy.id, &after, &limit]).await?;
    for compartment in &compartments {
        let args: [&dyn Param; 3] = [compartment, &after, &limit];
        found.extend(ctx.store().all::<Repository>(&COMPARTMENT_REPOSITORIES_AFTER, &args).await?);
    }
    found.sort_by(|one, other| one.name.cmp(&other.name));
    found.dedup_by(|one, other| one.id == other.id);
    found.truncate(page.limit);
    Ok(found)
}

/// A page of the image names in the principal's own tenancy that it may see. Nothing for one who is
/// not logged in: names of public repositories are not for everybody to enumerate.
pub async fn list_catalog(ctx: &Ctx, page: &Page) -> Result<Vec<String>, Error> {
    ctx.within_cap("registry", &"catalog", "*")?;
    let tenancy = match ctx.principal() {
        Principal::Anonymous => return Err(IamError::Unauthenticated.into()),
        Principal::LocalAdministrator => tenancies::first(ctx.iam()).await?,
        Principal::User(user) => tenancies::by_id(ctx.iam(), user.tenancy_id).await?,
    };
    let namespace = &tenancy.namespace;
    let last = page
        .last
        .as_deref()
        .map(|last| last.strip_prefix(&format!("{namespace}/")).unwrap_or(last).to_owned());
    let page = Page { limit: page.limit, last };
    let repositories = list_repositories(ctx, &tenancy, &page).await?;
    Ok(repositories.into_iter().map(|repository| format!("{namespace}/{}", repository.name)).collect())
}
