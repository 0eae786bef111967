//! What can be changed of a user: its description, its state, what it may use.

use wharfinger_audit::Subject;
use wharfinger_metastore::{Operation, Tx, operations, statements};
use wharfinger_types::Permission;

use crate::capabilities::Capabilities;
use crate::fields;
use crate::tags::TagChanges;
use crate::users::{USER_BY_OCID, User, find};
use crate::{Ctx, Error, Protected, Tenancy};

statements! {
    USER_SET =
        "UPDATE user_account SET description = $1, email = $2, is_active = $3, capabilities = $4, tags = $5,
                                 revision = $6
         WHERE id = $7";
}

operations! {
    UPDATE_USER = update_user { Durable, Serializable, audited };
    UPDATE_USER_STATE = update_user_state { Durable, Serializable, audited };
    UPDATE_USER_CAPABILITIES = update_user_capabilities { Durable, Serializable, audited };
}

/// What to change of a user; the rest stays.
#[derive(Debug, Default)]
pub struct UserChanges {
    /// A new description.
    pub description: Option<String>,
    /// A new address.
    pub email: Option<String>,
    /// New tags.
    pub tags: TagChanges,
}

/// Changes what describes a user.
pub async fn update_user(
    ctx: &Ctx,
    tenancy: &Tenancy,
    user: &str,
    changes: UserChanges,
) -> Result<User, Error> {
    let user = find(ctx, tenancy, user, Permission::UserUpdate).await?;
    changes.description.as_deref().map_or(Ok(()), fields::check_description)?;
    changes.email.as_deref().map_or(Ok(()), fields::check_email)?;
    let tags = changes.tags.check(ctx, tenancy.id, &user.tags).await?;
    let change = move |tx: &mut Tx, user: &mut User, mut subject: Subject| {
        if let Some(description) = &changes.description {
            user.description.clone_from(description);
            subject = subject.with("description", description.as_str());
        }
        if let Some(email) = &changes.email {
            user.email = Some(email.clone());
            subject = subject.with("email", email.as_str());
        }
        if !changes.tags.is_empty() {
            user.tags = tags.put(tx, &user.tags)?;
            subject = subject.with("tags", user.tags.as_str());
        }
        Ok(subject)
    };
    change_user(ctx, &UPDATE_USER, user, change).await
}

/// Switches a user on or off. An inactive user is refused from its next request on.
pub async fn update_user_state(
    ctx: &Ctx,
    tenancy: &Tenancy,
    user: &str,
    is_active: bool,
) -> Result<User, Error> {
    let user = find(ctx, tenancy, user, Permission::UserUpdate).await?;
    if is_active {
        ctx.require(Permission::UserUnblock, &user.target())?;
    }
    let change = move |_: &mut Tx, user: &mut User, subject: Subject| {
        user.is_active = is_active;
        Ok(subject.with("isActive", is_active))
    };
    change_user(ctx, &UPDATE_USER_STATE, user, change).await
}

/// Switches what a user may use; `change` is handed what is in force.
pub async fn update_user_capabilities(
    ctx: &Ctx,
    tenancy: &Tenancy,
    user: &str,
    change: impl Fn(Capabilities) -> Capabilities + Send + 'static,
) -> Result<User, Error> {
    let user = find(ctx, tenancy, user, Permission::UserUpdate).await?;
    let change = move |_: &mut Tx, user: &mut User, subject: Subject| {
        user.capabilities = change(user.capabilities()).0;
        Ok(subject.with("capabilities", user.capabilities))
    };
    change_user(ctx, &UPDATE_USER_CAPABILITIES, user, change).await
}

async fn change_user(
    ctx: &Ctx,
    operation: &'static Operation,
    user: User,
    change: impl Fn(&mut Tx, &mut User, Subject) -> Result<Subject, Error> + Send + 'static,
) -> Result<User, Error> {
    let (origin, conditions) = (ctx.origin(), ctx.conditions().clone());
    ctx.store()
        .write(operation, move |tx| {
            let current: Option<User> = tx.opt(&USER_BY_OCID, &[&user.tenancy_id, &user.ocid])?;
            let mut current = current.ok_or_else(|| user.gone())?;
            conditions.check_revision(current.revision)?;
            let subject = change(tx, &mut current, Subject::new(&user.ocid, &user.name))?;
            current.revision += 1;
            tx.run(
                &USER_SET,
                &[
                    &current.description,
                    &current.email,
                    &current.is_active,
                    &current.capabilities,
                    &current.tags,
                    &current.revision,
                    &current.id,
                ],
            )?;
            wharfinger_audit::record(tx, user.tenancy_id, &origin, &subject)?;
            Ok(current)
        })
        .await
}
