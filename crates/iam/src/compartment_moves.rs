//! Moving a compartment, with all that is in it, into another one.

use wharfinger_audit::Subject;
use wharfinger_metastore::{operations, statements};
use wharfinger_types::{Ocid, Permission};

use crate::compartments::{COMPARTMENTS_BY_TENANCY, Compartment, MAX_DEPTH, is_gone};
use crate::work_requests::{self, Kind, WorkRequest};
use crate::{Ctx, Error, Protected as _, Target, conditions, rights};

statements! {
    COMPARTMENT_MOVE =
        "UPDATE compartment SET parent_id = $1, revision = revision + 1
         WHERE id = $2 AND revision = $3 AND deleted_at IS NULL";
}

operations! {
    MOVE_COMPARTMENT = move_compartment { Durable, Serializable, audited };
}

/// Moves a compartment into another one of the tenancy, with all that it holds. Statements that name it or what
/// is below it by its path follow, if their policy is attached above the old place and the new one; others name
/// nothing from then on.
pub async fn move_compartment(ctx: &Ctx, ocid: &str, target: &str) -> Result<WorkRequest, Error> {
    let moved = ctx.live_compartment(ocid, Permission::CompartmentUpdate, Compartment::target).await?;
    let target = ctx.compartment(target, Permission::CompartmentCreate).await?;
    if moved.parent.is_none() || moved.tenancy_id != target.tenancy_id {
        let remedy = "a compartment below the root can be moved within its tenancy";
        return Err(Error::Invalid { field: "targetCompartmentId", value: target.ocid, remedy });
    }
    let all: Vec<Compartment> = ctx.store().all(&COMPARTMENTS_BY_TENANCY, &[&moved.tenancy_id]).await?;
    let shared = lowest_shared(&all, &moved, &target);
    let shared: Option<Ocid> = shared.and_then(|compartment| compartment.ocid.parse().ok());
    ctx.require_all(&Target { compartment: shared.clone(), ..Target::tenancy(moved.tenancy_id) })?;
    ctx.conditions().check_revision(moved.revision)?;
    let (old_place, kind) = (moved.parent.as_deref().unwrap_or(&moved.ocid), Kind::MoveCompartment);
    let request = WorkRequest::of(kind, &moved.ocid, old_place, moved.tenancy_id, ctx.now())?;
    let (origin, once, now) = (ctx.origin(), ctx.once(), ctx.now().0);
    let done = ctx
        .store()
        .write(&MOVE_COMPARTMENT, move |tx| {
            once.check(tx)?;
            let all: Vec<Compartment> = tx.all(&COMPARTMENTS_BY_TENANCY, &[&moved.tenancy_id])?;
            let live = |id: i64| all.iter().find(|row| row.id == id && row.deleted_at.is_none());
            let (Some(here), Some(there)) = (live(moved.id), live(target.id)) else {
                return Err(Error::Conflict("one of the compartments was deleted meanwhile".to_owned()));
            };
            let still_shared = lowest_shared(&all, here, there).map(|compartment| compartment.ocid.as_str());
            if here.revision != moved.revision || still_shared != shared.as_ref().map(Ocid::as_str) {
                return Err(Error::NoEtagMatch);
            }
            check_place(&all, here, there, now)?;
            let parent = Some(there.ocid.parse()?);
            let policies = rights::follow(tx, moved.tenancy_id, &moved.ocid, |place| {
                place.parent.clone_from(&parent);
            })?;
            if tx.run(&COMPARTMENT_MOVE, &[&target.id, &moved.id, &moved.revision])? == 0 {
                return Err(Error::NoEtagMatch);
            }
            work_requests::insert(tx, &request)?;
            once.note(tx, &request.ocid)?;
            rights::changed(tx, moved.tenancy_id)?;
            let subject = Subject::new(&moved.ocid, &moved.name)
                .with("targetCompartmentId", target.ocid.as_str())
                .with("changedPolicies", policies);
            wharfinger_audit::record(tx, moved.tenancy_id, &origin, &subject)?;
            Ok(request.clone())
        })
        .await;
    match done {
        Err(Error::Repeated { made }) => {
            work_requests::get_work_request(ctx, &made).await.map_err(conditions::gone_since)
        }
        done => done,
    }
}

/// The compartment, the one it is in, and so on to the root.
fn upward<'a>(
    all: &'a [Compartment],
    from: &'a Compartment,
) -> impl Iterator<Item = &'a Compartment> + use<'a> {
    std::iter::successors(Some(from), |row| all.iter().find(|above| Some(&above.ocid) == row.parent.as_ref()))
}

/// The lowest compartment that is above the moved one and above the target, or is the target.
fn lowest_shared<'a>(
    all: &'a [Compartment],
    moved: &'a Compartment,
    target: &'a Compartment,
) -> Option<&'a Compartment> {
    let is_above_target = |above: &&Compartment| upward(all, target).any(|row| row.id == above.id);
    upward(all, moved).skip(1).find(is_above_target)
}

/// Refuses a place that would break the tree. What is deleted counts for as long as it can be recovered.
fn check_place(
    all: &[Compartment],
    moved: &Compartment,
    target: &Compartment,
    now: i64,
) -> Result<(), Error> {
    let invalid =
        |remedy| Error::Invalid { field: "targetCompartmentId", value: target.ocid.clone(), remedy };
    if moved.parent.as_ref() == Some(&target.ocid) {
        return Err(invalid("the compartment is in that one already"));
    }
    if upward(all, target).any(|row| row.id == moved.id) {
        return Err(invalid("a compartment can't be moved into itself or one below it"));
    }
    if target.name == moved.name {
        let name = &moved.name;
        return Err(Error::Conflict(format!("the target is named `{name}` too: rename one of them")));
    }
    if all.iter().any(|row| row.parent.as_ref() == Some(&target.ocid) && row.name == moved.name) {
        return Err(Error::NameTaken { what: "compartment", name: moved.name.clone() });
    }
    let levels_to = |row: &Compartment| upward(all, row).position(|above| above.id == moved.id);
    let lowest = all.iter().filter(|row| !is_gone(row, now)).filter_map(levels_to).max().unwrap_or(0);
    if upward(all, target).count() + lowest > MAX_DEPTH {
        return Err(Error::Conflict(format!("compartments are nested {MAX_DEPTH} levels deep at most")));
    }
    Ok(())
}
