//! Compartments that are moved: what comes along, what is refused, who may, and what happens at once.

use tokio::task::JoinSet;
use wharfinger_iam::compartments::AccessLevel;
use wharfinger_iam::policies::{self, PolicyText};
use wharfinger_iam::work_requests;
use wharfinger_iam::{Conditions, Ctx, Error, Listing, Target, compartments};
use wharfinger_metastore::Store;
use wharfinger_testkit::on_each_engine;
use wharfinger_testkit::services::{Installation, found, request};
use wharfinger_types::Permission;

use crate::rights::{builder, compartment, policy, repository};

fn under(installation: &Installation, if_match: Option<&str>, retry: Option<&str>, body: &[u8]) -> Ctx {
    installation.local().under(Conditions::new(if_match, retry, "", body).unwrap())
}

/// The compartments as `name < parent`, in order.
async fn tree(installation: &Installation) -> Vec<String> {
    let (local, root) = (installation.local(), &installation.tenancy.root_ocid);
    let listing = Listing::by_name(100, None);
    let rows =
        compartments::list_compartments(&local, root, true, AccessLevel::Any, &listing).await.unwrap().rows;
    let name = |ocid: &str| rows.iter().find(|row| row.ocid == ocid).map_or("root", |row| row.name.as_str());
    rows.iter()
        .map(|row| format!("{} < {}", row.name, name(row.parent.as_deref().unwrap_or_default())))
        .collect()
}

on_each_engine! {
    async fn a_compartment_moves_with_its_contents_and_the_rights_of_its_place(store: Store) {
        let installation = found(store).await;
        let (local, root) = (installation.local(), installation.tenancy.root_ocid.clone());
        let secret = builder(&installation).await;
        let dev = compartment(&installation, &root, "dev").await;
        let team = compartment(&installation, &dev, "team").await;
        let inner = compartment(&installation, &team, "inner").await;
        let prod = compartment(&installation, &root, "prod").await;
        let to = |place: &str| format!("Allow group Builders to read repos in compartment {place}");
        let above = policy(&installation, &root, "above", &[&to("dev:team:inner"), &to("prod")]).await.unwrap();
        let between = policy(&installation, &dev, "between", &[&to("team")]).await.unwrap();
        let inside = policy(&installation, &team, "inside", &[&to("inner")]).await.unwrap();
        let reads = async |place: &str| {
            let ctx = installation.iam.login(request(), "acme/alice", &secret).await.unwrap();
            ctx.allows(Permission::RepositoryRead, &repository(&installation, place, "app"))
        };
        assert!(reads(&team).await && reads(&inner).await);

        let done = compartments::move_compartment(&local, &team, &prod).await.unwrap();
        assert_eq!((done.failure.as_deref(), done.operation.as_str()), (None, "MOVE_COMPARTMENT"));
        assert_eq!(done.compartment, dev);
        assert_eq!(work_requests::get_work_request(&local, &done.ocid).await.unwrap().resource, team);
        let listed = async |resource| {
            work_requests::list_work_requests(&local, &dev, resource, "", 10).await.unwrap().len()
        };
        assert_eq!((listed(None).await, listed(Some(&team)).await, listed(Some(&prod)).await), (1, 1, 0));
        assert_eq!(tree(&installation).await, ["dev < root", "inner < team", "prod < root", "team < prod"]);
        let moved = compartments::get_compartment(&local, &team).await.unwrap();
        assert_eq!((moved.parent.as_deref(), moved.revision), (Some(prod.as_str()), 1));
        // The policy above both places follows, with a new entity tag; the one at the old place names nothing now.
        let text = async |ocid: &str| policies::get_policy(&local, ocid).await.unwrap();
        assert_eq!(text(&above.ocid).await.statements(), [to("prod:team:inner"), to("prod")]);
        assert_eq!(text(&above.ocid).await.revision, 1);
        assert_eq!(text(&between.ocid).await.statements(), [to("team")]);
        assert_eq!((text(&inside.ocid).await.statements(), text(&inside.ocid).await.revision), (vec![to("inner")], 0));
        assert!(reads(&team).await, "as all that is in prod");
        let without = PolicyText { statements: Some(vec![to("prod:team:inner")]), ..PolicyText::default() };
        policies::update_policy(&local, &above.ocid, without).await.unwrap();
        assert!(!reads(&team).await && reads(&inner).await);
        let record = installation.audit_records().await.into_iter()
            .find(|record| record["operation"] == "move_compartment").unwrap();
        assert!(record.to_string().contains(&above.ocid) && record.to_string().contains(&prod), "{record}");
    }

    async fn a_place_that_breaks_the_tree_is_refused(store: Store) {
        let installation = found(store).await;
        let (local, root) = (installation.local(), installation.tenancy.root_ocid.clone());
        let mut deep = vec![root.clone()];
        for level in 1..=5 {
            let at = deep.last().unwrap().clone();
            deep.push(compartment(&installation, &at, &format!("level{level}")).await);
        }
        let pair = compartment(&installation, &root, "pair").await;
        let below = compartment(&installation, &pair, "below").await;
        let twin = compartment(&installation, &root, "twin").await;
        let child = compartment(&installation, &twin, "pair").await;
        let before = tree(&installation).await;
        let at = async |what: &str, to: &str| compartments::move_compartment(&local, what, to).await.unwrap_err();
        for (what, to) in [(&deep[1], &deep[1]), (&deep[1], &deep[5]), (&pair, &root), (&root, &pair)] {
            let refused = at(what, to).await;
            assert!(matches!(refused, Error::Invalid { field: "targetCompartmentId", .. }), "{refused:?}");
        }
        // Its children would be on a seventh level, deleted ones too while they can be recovered.
        let refused = at(&pair, &deep[5]).await;
        assert!(matches!(&refused, Error::Conflict(text) if text.contains("6 levels")), "{refused:?}");
        assert!(matches!(at(&pair, &twin).await, Error::NameTaken { .. }));
        let refused = at(&pair, &child).await;
        assert!(matches!(&refused, Error::Conflict(text) if text.contains("named `pair` too")), "{refused:?}");
        assert!(matches!(at(&pair, "ocid1.compartment.oc1..none").await, Error::NotFound { .. }));
        compartments::delete_compartment(&local, &below).await.unwrap();
        assert!(matches!(at(&pair, &deep[5]).await, Error::Conflict(_)));
        assert!(matches!(at(&below, &root).await, Error::NotFound { .. }));
        assert!(matches!(at(&twin, &below).await, Error::NotFound { .. }));
        let before: Vec<&String> = before.iter().filter(|row| !row.starts_with("below")).collect();
        assert_eq!(tree(&installation).await.iter().filter(|row| !row.starts_with("below")).collect::<Vec<_>>(), before);
        compartments::move_compartment(&local, &deep[5], &twin).await.unwrap();
        compartments::move_compartment(&local, &pair, &deep[4]).await.unwrap();
    }

    async fn a_move_is_done_once_and_from_the_expected_state(store: Store) {
        let installation = found(store).await;
        let root = installation.tenancy.root_ocid.clone();
        let dev = compartment(&installation, &root, "dev").await;
        let prod = compartment(&installation, &root, "prod").await;
        let stale = compartments::move_compartment(&under(&installation, Some("7"), None, b""), &dev, &prod).await;
        assert!(matches!(stale, Err(Error::NoEtagMatch)), "{stale:?}");
        let again = || under(&installation, None, Some("token"), b"one");
        let first = compartments::move_compartment(&again(), &dev, &prod).await.unwrap();
        let second = compartments::move_compartment(&again(), &dev, &prod).await.unwrap();
        assert_eq!(first.ocid, second.ocid);
        let other = under(&installation, None, Some("token"), b"other");
        let other = compartments::move_compartment(&other, &dev, &root).await;
        assert!(matches!(other, Err(Error::RetryTokenInvalidated(_))), "{other:?}");
    }

    async fn who_manages_everything_above_both_places_may_move(store: Store) {
        let installation = found(store).await;
        let root = installation.tenancy.root_ocid.clone();
        let secret = builder(&installation).await;
        let area = compartment(&installation, &root, "area").await;
        let dev = compartment(&installation, &area, "dev").await;
        let prod = compartment(&installation, &area, "prod").await;
        let outside = compartment(&installation, &root, "outside").await;
        let alice = async || installation.iam.login(request(), "acme/alice", &secret).await.unwrap();
        let attempt = async |to: &str| compartments::move_compartment(&alice().await, &dev, to).await;
        let (there, missing) = (attempt(&prod).await, attempt("ocid1.compartment.oc1..none").await);
        assert_eq!(there.unwrap_err().to_string(), missing.unwrap_err().to_string());
        for statement in [
            "Allow group Builders to manage compartments in compartment area",
            "Allow group Builders to manage all-resources in compartment area:dev",
            "Allow group Builders to manage all-resources in compartment area:prod",
        ] {
            let name = statement.rsplit([' ', ':']).next().unwrap();
            policy(&installation, &root, name, &[statement]).await.unwrap();
            let refused = attempt(&prod).await;
            assert!(matches!(refused, Err(Error::Denied { .. })), "{statement}: {refused:?}");
        }
        policy(&installation, &root, "all", &["Allow group Builders to manage all-resources in compartment area"])
            .await
            .unwrap();
        assert!(matches!(attempt(&outside).await, Err(Error::Denied { compartment: None, .. })));
        attempt(&prod).await.unwrap();
    }

    async fn a_deleted_compartment_keeps_its_statements_for_its_return(store: Store) {
        let installation = found(store).await;
        let (local, root) = (installation.local(), installation.tenancy.root_ocid.clone());
        let secret = builder(&installation).await;
        let dev = compartment(&installation, &root, "dev").await;
        policy(&installation, &root, "dev", &["Allow group Builders to read repos in compartment dev"]).await.unwrap();
        let reads = async |place: &str| {
            let ctx = installation.iam.login(request(), "acme/alice", &secret).await.unwrap();
            let target: Target = repository(&installation, place, "app");
            ctx.allows(Permission::RepositoryRead, &target)
        };
        assert!(reads(&dev).await);
        compartments::delete_compartment(&local, &dev).await.unwrap();
        let other = compartment(&installation, &root, "dev").await;
        assert!(!reads(&other).await, "a new compartment of that name is another one");
        compartments::recover_compartment(&local, &dev).await.unwrap();
        assert!(reads(&dev).await && !reads(&other).await);
    }

    async fn two_moves_that_would_make_a_circle_do_not_both_happen(store: Store) {
        let installation = found(store).await;
        let root = installation.tenancy.root_ocid.clone();
        for round in 0..5 {
            let one = compartment(&installation, &root, &format!("one{round}")).await;
            let other = compartment(&installation, &root, &format!("other{round}")).await;
            let mut moving = JoinSet::new();
            for (what, to) in [(&one, &other), (&other, &one)].repeat(5) {
                let (local, what, to) = (installation.local(), what.clone(), to.clone());
                moving.spawn(async move { compartments::move_compartment(&local, &what, &to).await.is_ok() });
            }
            let moved = moving.join_all().await.into_iter().filter(|moved| *moved).count();
            assert_eq!(moved, 1);
            let below: Vec<String> = tree(&installation).await.into_iter().filter(|row| row.contains(&format!("{round} < o"))).collect();
            assert_eq!(below.len(), 1, "{below:?}");
        }
    }

    async fn nothing_is_moved_into_what_is_being_deleted(store: Store) {
        let installation = found(store).await;
        let root = installation.tenancy.root_ocid.clone();
        for round in 0..10 {
            let what = compartment(&installation, &root, &format!("what{round}")).await;
            let to = compartment(&installation, &root, &format!("to{round}")).await;
            let local = installation.local();
            let (moved, deleted) = tokio::join!(
                compartments::move_compartment(&local, &what, &to),
                compartments::delete_compartment(&local, &to),
            );
            let target = compartments::get_compartment(&local, &to).await.unwrap();
            let is_in = compartments::get_compartment(&local, &what).await.unwrap().parent.as_deref() == Some(&to);
            assert_eq!(moved.is_ok(), is_in, "{moved:?}");
            assert!(!(is_in && target.deleted_at.is_some()), "{moved:?} {deleted:?}");
            assert!(is_in || target.deleted_at.is_some(), "{moved:?} {deleted:?}");
        }
    }
}
