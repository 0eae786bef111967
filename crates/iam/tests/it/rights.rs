//! Compartments and policies, and what they let people do.

use tokio::task::JoinSet;
use wharfinger_iam::compartments::{AccessLevel, CompartmentText};
use wharfinger_iam::policies::{self, Policy, PolicyText};
use wharfinger_iam::{
    Conditions, Ctx, Error, Listing, Target, compartments, domains, groups, memberships, tenancies,
    work_requests,
};
use wharfinger_metastore::Store;
use wharfinger_testkit::on_each_engine;
use wharfinger_testkit::services::{Installation, found, request};
use wharfinger_types::Permission;

pub(crate) async fn policy(
    installation: &Installation,
    at: &str,
    name: &str,
    statements: &[&str],
) -> Result<Policy, Error> {
    let statements = Some(statements.iter().map(|text| (*text).to_owned()).collect());
    let text = PolicyText { statements, ..PolicyText::default() };
    policies::create_policy(&installation.local(), at, name, text).await
}

pub(crate) async fn compartment(installation: &Installation, parent: &str, name: &str) -> String {
    compartments::create_compartment(&installation.local(), parent, name, "").await.unwrap().ocid
}

/// A member of the group `Builders`.
pub(crate) async fn builder(installation: &Installation) -> String {
    let secret = installation.add_user("alice").await;
    groups::create_group(&installation.local(), &installation.tenancy, "Builders").await.unwrap();
    memberships::add_user_to_group(&installation.local(), &installation.tenancy, "Builders", "alice")
        .await
        .unwrap();
    secret
}

pub(crate) fn repository(installation: &Installation, compartment: &str, name: &str) -> Target {
    Target {
        compartment: Some(compartment.parse().unwrap()),
        repository: Some(name.to_owned()),
        ..Target::tenancy(installation.tenancy.id)
    }
}

on_each_engine! {
    async fn a_statement_holds_below_its_compartment_and_from_the_next_request_on(store: Store) {
        let installation = found(store).await;
        let root = installation.tenancy.root_ocid.clone();
        let secret = builder(&installation).await;
        let dev = compartment(&installation, &root, "dev").await;
        let team = compartment(&installation, &dev, "team").await;
        let prod = compartment(&installation, &root, "prod").await;
        let login = async || installation.iam.login(request(), "acme/alice", &secret).await.unwrap();
        let reads = |ctx: &Ctx, place: &str| {
            ctx.allows(Permission::RepositoryRead, &repository(&installation, place, "app"))
        };
        let before = login().await;
        assert!(!reads(&before, &dev));

        let given = policy(&installation, &root, "dev", &["Allow group Builders to read repos in compartment dev"]);
        let given = given.await.unwrap();
        let ctx = login().await;
        assert!(reads(&ctx, &dev) && reads(&ctx, &team) && !reads(&ctx, &prod) && !reads(&ctx, &root));
        assert!(!ctx.allows(Permission::RepositoryUpdate, &repository(&installation, &dev, "app")));
        // A request is decided by what held when it came in.
        assert!(!reads(&before, &dev));
        let inspected = ctx.compartments_with(Permission::RepositoryInspect, installation.tenancy.id);
        assert_eq!(inspected.map(|compartments| compartments.len()), Some(2));

        let text = PolicyText {
            statements: Some(vec!["Allow group Builders to read repos in compartment prod".to_owned()]),
            ..PolicyText::default()
        };
        policies::update_policy(&installation.local(), &given.ocid, text).await.unwrap();
        let ctx = login().await;
        assert!(!reads(&ctx, &dev) && reads(&ctx, &prod));

        // A renamed compartment is not the one that the statement names.
        compartments::update_compartment(&installation.local(), &prod, Some("live"), CompartmentText::default()).await.unwrap();
        assert!(!reads(&login().await, &prod));
        policies::delete_policy(&installation.local(), &given.ocid).await.unwrap();
        assert!(!reads(&login().await, &prod));
    }

    async fn a_condition_on_the_name_is_no_right_to_list(store: Store) {
        let installation = found(store).await;
        let root = installation.tenancy.root_ocid.clone();
        let secret = builder(&installation).await;
        let statement = "Allow group Builders to manage repos in tenancy where target.repo.name = /team-*/";
        policy(&installation, &root, "team", &[statement]).await.unwrap();
        let ctx = installation.iam.login(request(), "acme/alice", &secret).await.unwrap();
        assert!(ctx.allows(Permission::RepositoryUpdate, &repository(&installation, &root, "team-a")));
        assert!(!ctx.allows(Permission::RepositoryUpdate, &repository(&installation, &root, "other")));
        let inspected = ctx.compartments_with(Permission::RepositoryInspect, installation.tenancy.id);
        assert_eq!(inspected, Some(vec![]));
    }

    async fn a_condition_may_look_at_the_region(store: Store) {
        let installation = found(store).await;
        let root = installation.tenancy.root_ocid.clone();
        let secret = builder(&installation).await;
        for (number, (region, holds)) in [("PHX", false), ("lcl", true)].into_iter().enumerate() {
            let statement = format!("Allow group Builders to read repos in tenancy where request.region = '{region}'");
            policy(&installation, &root, &format!("region{number}"), &[&statement]).await.unwrap();
            let ctx = installation.iam.login(request(), "acme/alice", &secret).await.unwrap();
            assert_eq!(ctx.allows(Permission::RepositoryRead, &repository(&installation, &root, "app")), holds, "{region}");
        }
    }

    async fn a_refusal_names_what_is_missing_to_one_who_may_see(store: Store) {
        let installation = found(store).await;
        let root = installation.tenancy.root_ocid.clone();
        let secret = builder(&installation).await;
        let dev = compartment(&installation, &root, "dev").await;
        let target = repository(&installation, &dev, "app");
        let refusal = async || {
            let ctx = installation.iam.login(request(), "acme/alice", &secret).await.unwrap();
            ctx.require(Permission::RepositoryUpdate, &target).unwrap_err().to_string()
        };
        assert_eq!(refusal().await, "access denied, or no such resource");
        policy(&installation, &root, "dev", &["Allow group Builders to inspect repos in compartment dev"]).await.unwrap();
        assert_eq!(refusal().await, "access denied: REPOSITORY_UPDATE in compartment `dev` is missing");
    }

    async fn every_mistake_in_statements_is_named_and_nothing_is_stored(store: Store) {
        let installation = found(store).await;
        let root = installation.tenancy.root_ocid.clone();
        let statements = [
            "Allow group Builders to read repositorys in tenancy",
            "Allow group Builders to read repos in compartment nowhere",
        ];
        let refused = policy(&installation, &root, "wrong", &statements).await.unwrap_err().to_string();
        for part in ["statement 1", "repositorys", "repos", "statement 2", "nowhere"] {
            assert!(refused.contains(part), "`{part}` is not in: {refused}");
        }
        assert!(matches!(policy(&installation, &root, "none", &[]).await, Err(Error::Statements(_))));
        let all = policies::list_policies(&installation.local(), &root, &Listing::by_name(10, None)).await.unwrap();
        assert_eq!(all.rows.iter().map(|policy| policy.name.as_str()).collect::<Vec<_>>(), ["Tenant Admin Policy"]);
    }

    async fn the_systems_own_policy_can_not_be_changed(store: Store) {
        let installation = found(store).await;
        let root = installation.tenancy.root_ocid.clone();
        let admin = installation.administrator().await;
        let own = policies::list_policies(&admin, &root, &Listing::by_name(10, None)).await.unwrap().rows.remove(0);
        assert!(own.is_default);
        let deleted = policies::delete_policy(&admin, &own.ocid).await;
        assert!(matches!(deleted, Err(Error::Invalid { field: "policyId", .. })), "{deleted:?}");
        let updated = policies::update_policy(&admin, &own.ocid, PolicyText::default()).await;
        assert!(matches!(updated, Err(Error::Invalid { field: "policyId", .. })), "{updated:?}");
        let taken = policy(&installation, &root, "other", &["Allow any-user to read repos in tenancy"]).await.unwrap();
        let again = policy(&installation, &root, &taken.name, &["Allow any-user to read repos in tenancy"]).await;
        assert!(matches!(again, Err(Error::NameTaken { .. })), "{again:?}");
    }

    async fn people_of_a_compartment_administer_it_and_nothing_above(store: Store) {
        let installation = found(store).await;
        let root = installation.tenancy.root_ocid.clone();
        let secret = builder(&installation).await;
        let dev = compartment(&installation, &root, "dev").await;
        policy(&installation, &root, "dev", &["Allow group Builders to manage all-resources in compartment dev"]).await.unwrap();
        let alice = installation.iam.login(request(), "acme/alice", &secret).await.unwrap();
        let team = compartments::create_compartment(&alice, &dev, "team", "").await.unwrap();
        let text = |statement: &str| PolicyText { statements: Some(vec![statement.to_owned()]), ..PolicyText::default() };
        let inside = "Allow any-user to read repos in compartment team";
        policies::create_policy(&alice, &dev, "team", text(inside)).await.unwrap();
        for (at, statement) in [(&root, inside), (&dev, "Allow any-user to read repos in tenancy")] {
            let refused = policies::create_policy(&alice, at, "more", text(statement)).await;
            assert!(refused.is_err(), "{statement}");
        }
        assert!(compartments::create_compartment(&alice, &root, "mine", "").await.is_err());
        // What came after a request came in, it has no rights on.
        assert!(compartments::delete_compartment(&alice, &team.ocid).await.is_err());
        let alice = installation.iam.login(request(), "acme/alice", &secret).await.unwrap();
        compartments::delete_compartment(&alice, &team.ocid).await.unwrap();
        assert!(compartments::list_compartments(&alice, &root, false, AccessLevel::Any, &Listing::by_name(10, None)).await.is_err());
    }

    async fn compartments_are_six_levels_deep_and_names_unique_in_each(store: Store) {
        let installation = found(store).await;
        let local = installation.local();
        let root = installation.tenancy.root_ocid.clone();
        let mut at = root.clone();
        for level in 1..=6 {
            at = compartment(&installation, &at, &format!("level{level}")).await;
        }
        let seventh = compartments::create_compartment(&local, &at, "level7", "").await;
        assert!(matches!(seventh, Err(Error::Conflict(_))), "{seventh:?}");
        let again = compartments::create_compartment(&local, &root, "level1", "").await;
        assert!(matches!(again, Err(Error::NameTaken { .. })), "{again:?}");
        for bad in ["", "a b", "ä", "a/b", &"x".repeat(101)] {
            let refused = compartments::create_compartment(&local, &root, bad, "").await;
            assert!(matches!(refused, Err(Error::Invalid { .. })), "{bad}");
        }
        let count = async |subtree: bool| {
            let listing = Listing::by_name(10, None);
            compartments::list_compartments(&local, &root, subtree, AccessLevel::Any, &listing).await.unwrap().rows.len()
        };
        assert_eq!((count(true).await, count(false).await), (6, 1));
        let first = compartments::list_compartments(&local, &root, true, AccessLevel::Any, &Listing::by_name(4, None)).await.unwrap();
        let rest = Listing::by_name(4, first.next_page);
        let rest = compartments::list_compartments(&local, &root, true, AccessLevel::Any, &rest).await.unwrap();
        assert_eq!(rest.rows.iter().map(|row| row.name.as_str()).collect::<Vec<_>>(), ["level5", "level6"]);
        assert_eq!(rest.next_page, None);
    }

    async fn a_deleted_compartment_frees_its_name_and_can_come_back(store: Store) {
        let installation = found(store).await;
        let local = installation.local();
        let root = installation.tenancy.root_ocid.clone();
        let dev = compartment(&installation, &root, "dev").await;
        let team = compartment(&installation, &dev, "team").await;
        let full = compartments::delete_compartment(&local, &dev).await.unwrap();
        assert!(full.failure.as_deref().is_some_and(|failure| failure.contains("team")), "{full:?}");
        assert!(compartments::get_compartment(&local, &dev).await.unwrap().deleted_at.is_none());
        let found = work_requests::get_work_request(&local, &full.ocid).await.unwrap();
        assert_eq!(found.failure, full.failure);
        let expecting = |version: &str| {
            installation.local().under(Conditions::new(Some(version), None, "", b"").unwrap())
        };
        let stale = compartments::delete_compartment(&expecting("7"), &team).await;
        assert!(matches!(stale, Err(Error::NoEtagMatch)), "{stale:?}");
        compartments::delete_compartment(&expecting("0"), &team).await.unwrap();
        assert_eq!(compartments::delete_compartment(&local, &dev).await.unwrap().failure, None);
        let gone = compartments::get_compartment(&local, &dev).await.unwrap();
        assert!(gone.deleted_at.is_some() && gone.name.starts_with("dev."), "{gone:?}");
        let again = compartment(&installation, &root, "dev").await;
        assert_ne!(again, dev);
        assert!(compartments::create_compartment(&local, &dev, "in", "").await.is_err());
        let orphan = compartments::recover_compartment(&local, &team).await;
        assert!(matches!(orphan, Err(Error::Conflict(_))), "{orphan:?}");
        let back = compartments::recover_compartment(&local, &dev).await.unwrap();
        assert_eq!(back.name, gone.name);
        compartments::recover_compartment(&local, &team).await.unwrap();
    }

    async fn of_fifty_compartments_of_one_name_one_is_made(store: Store) {
        let installation = found(store).await;
        let root = installation.tenancy.root_ocid.clone();
        let mut creating = JoinSet::new();
        for _ in 0..50 {
            let (local, root) = (installation.local(), root.clone());
            creating.spawn(async move { compartments::create_compartment(&local, &root, "dev", "").await.is_ok() });
        }
        let made = creating.join_all().await.into_iter().filter(|made| *made).count();
        assert_eq!(made, 1);
    }

    async fn deny_statements_count_once_switched_on_and_then_beat_every_allow(store: Store) {
        let installation = found(store).await;
        let root = installation.tenancy.root_ocid.clone();
        let secret = builder(&installation).await;
        let dev = compartment(&installation, &root, "dev").await;
        let reads = async |place: &str| {
            let ctx = installation.iam.login(request(), "acme/alice", &secret).await.unwrap();
            ctx.allows(Permission::RepositoryRead, &repository(&installation, place, "app"))
        };
        policy(&installation, &root, "allow", &["Allow group Builders to read repos in tenancy"]).await.unwrap();
        let deny = "Deny group Builders to inspect repos in compartment dev";
        // Until then such a statement is a mistake, or at least takes nothing.
        let early = policy(&installation, &root, "early", &[deny]).await;
        assert!(reads(&dev).await);
        tenancies::update_tenancy(&installation.local(), &installation.tenancy.name).await.unwrap();
        assert_eq!(reads(&dev).await, early.is_err());
        policy(&installation, &root, "deny", &[deny]).await.unwrap();
        assert!(!reads(&dev).await && reads(&root).await);
        // An allow that is nearer or newer is no stronger.
        policy(&installation, &dev, "again", &["Allow group Builders to manage all-resources in compartment dev"])
            .await
            .unwrap();
        assert!(!reads(&dev).await);
        // It stays on, and a second time changes nothing.
        let records = installation.audited_operations().await.len();
        tenancies::update_tenancy(&installation.local(), &installation.tenancy.name).await.unwrap();
        assert_eq!(installation.audited_operations().await.len(), records);
        assert!(!reads(&dev).await);
        // No statement reaches the administrators.
        policy(&installation, &root, "all", &["Deny any-user to inspect all-resources in tenancy"]).await.unwrap();
        let admin = installation.administrator().await;
        assert!(admin.allows(Permission::RepositoryUpdate, &repository(&installation, &dev, "app")));
        assert!(!reads(&root).await);
    }

    async fn administrators_alone_switch_deny_statements_on_and_write_them(store: Store) {
        let installation = found(store).await;
        let (root, name) = (installation.tenancy.root_ocid.clone(), installation.tenancy.name.clone());
        let secret = builder(&installation).await;
        // Everything that a policy can give.
        policy(&installation, &root, "all", &["Allow group Builders to manage all-resources in tenancy"]).await.unwrap();
        let alice = async || installation.iam.login(request(), "acme/alice", &secret).await.unwrap();
        let refused = tenancies::update_tenancy(&alice().await, &name).await;
        assert!(matches!(refused, Err(Error::Denied { .. })), "{refused:?}");
        let other = tenancies::create_tenancy(&installation.local(), "Other", Some("other".parse().unwrap())).await.unwrap();
        let foreign = installation.iam.login(request(), "other/admin", other.auth_token.reveal()).await.unwrap();
        let (there, missing) =
            (tenancies::update_tenancy(&foreign, &name).await, tenancies::update_tenancy(&foreign, "nowhere").await);
        assert_eq!(there.unwrap_err().to_string(), missing.unwrap_err().to_string());

        let admin = installation.administrator().await;
        tenancies::update_tenancy(&admin, &name).await.unwrap();
        let listing = Listing::by_name(10, None);
        let policies = policies::list_policies(&admin, &root, &listing).await.unwrap().rows;
        let guard = policies.iter().find(|policy| policy.name == "Deny Policy Guard").unwrap();
        assert!(guard.statements()[0].contains(&installation.founding.user_id), "{:?}", guard.statements());

        let text = |statements: &[&str]| PolicyText {
            statements: Some(statements.iter().map(|text| (*text).to_owned()).collect()),
            ..PolicyText::default()
        };
        let (allow, deny) = ("Allow any-user to read repos in tenancy", "Deny any-user to use repos in tenancy");
        let ctx = alice().await;
        let own = policies::create_policy(&ctx, &root, "own", text(&[allow])).await.unwrap();
        for statements in [&[deny][..], &[allow, deny], &["\u{9}deny any-user to use repos in tenancy"]] {
            let created = policies::create_policy(&ctx, &root, "more", text(statements)).await;
            assert!(matches!(created, Err(Error::Denied { .. })), "{created:?}");
            let updated = policies::update_policy(&ctx, &own.ocid, text(statements)).await;
            assert!(matches!(updated, Err(Error::Denied { .. })), "{updated:?}");
        }
        // Nor can she change or delete what holds one, and so not the guard either.
        let admins = policies::create_policy(&admin, &root, "admins", text(&[allow, deny])).await.unwrap();
        for policy in [&guard.ocid, &admins.ocid] {
            assert!(policies::get_policy(&ctx, policy).await.is_ok());
            let updated = policies::update_policy(&ctx, policy, text(&[allow])).await;
            assert!(matches!(updated, Err(Error::Denied { .. })), "{updated:?}");
            let deleted = policies::delete_policy(&ctx, policy).await;
            assert!(matches!(deleted, Err(Error::Denied { .. })), "{deleted:?}");
        }
        policies::update_policy(&ctx, &own.ocid, text(&[allow])).await.unwrap();
        policies::delete_policy(&ctx, &own.ocid).await.unwrap();
    }

    async fn users_and_groups_of_a_domain_are_others_than_those_of_that_name_elsewhere(store: Store) {
        let installation = found(store).await;
        let (local, tenancy) = (installation.local(), &installation.tenancy);
        let root = tenancy.root_ocid.clone();
        let missing = groups::create_group(&local, tenancy, "Partners/Builders").await;
        assert!(matches!(missing, Err(Error::NotFound { what: "domain", .. })), "{missing:?}");
        domains::create_domain(&local, tenancy, "Partners").await.unwrap();
        for taken in ["Partners", "Default"] {
            let again = domains::create_domain(&local, tenancy, taken).await;
            assert!(matches!(again, Err(Error::NameTaken { what: "domain", .. })), "{again:?}");
        }
        for bad in ["", "a/b", "a\0b", "ocid1.domain.oc1..x"] {
            let refused = domains::create_domain(&local, tenancy, bad).await;
            assert!(matches!(refused, Err(Error::Invalid { .. })), "{bad}: {refused:?}");
        }

        let listed = async || domains::list_domains(&local, tenancy, &Listing::by_name(10, None)).await.unwrap().rows;
        assert_eq!(listed().await.iter().map(|domain| domain.name.as_str()).collect::<Vec<_>>(), ["Default", "Partners"]);
        let ours = builder(&installation).await;
        let theirs = installation.add_user("Partners/alice").await;
        groups::create_group(&local, tenancy, "Partners/Builders").await.unwrap();
        memberships::add_user_to_group(&local, tenancy, "Partners/Builders", "Partners/alice").await.unwrap();
        policy(&installation, &root, "partners", &["Allow group Partners/Builders to read repos in tenancy"]).await.unwrap();
        let reads = async |name: &str, secret: &str| {
            let ctx = installation.iam.login(request(), name, secret).await?;
            Ok::<_, Error>(ctx.allows(Permission::RepositoryRead, &repository(&installation, &root, "app")))
        };
        assert!(reads("acme/Partners/alice", &theirs).await.unwrap());
        assert!(!reads("acme/alice", &ours).await.unwrap());
        assert!(!reads("acme/Default/alice", &ours).await.unwrap());
        for (name, secret) in [("acme/alice", &theirs), ("acme/Partners/alice", &ours), ("acme/Nowhere/alice", &theirs)] {
            let refused = reads(name, secret).await;
            assert!(matches!(refused, Err(Error::LoginFailed(_))), "{name}: {refused:?}");
        }

        let secret = installation.add_user("bob").await;
        let bob = installation.iam.login(request(), "acme/bob", &secret).await.unwrap();
        let refused = domains::create_domain(&bob, tenancy, "Bobs").await;
        assert!(matches!(refused, Err(Error::Denied { .. })), "{refused:?}");
        let refused = domains::list_domains(&bob, tenancy, &Listing::by_name(10, None)).await;
        assert!(matches!(refused, Err(Error::Denied { .. })), "{refused:?}");
        let (there, missing) =
            (domains::delete_domain(&bob, tenancy, "Partners").await, domains::delete_domain(&bob, tenancy, "None").await);
        assert_eq!(there.unwrap_err().to_string(), missing.unwrap_err().to_string());
        for held in ["Default", "Partners"] {
            let refused = domains::delete_domain(&local, tenancy, held).await;
            assert!(matches!(refused, Err(Error::Conflict(_))), "{held}: {refused:?}");
        }
        domains::create_domain(&local, tenancy, "Empty").await.unwrap();
        domains::delete_domain(&local, tenancy, "Empty").await.unwrap();
        let missing = domains::delete_domain(&local, tenancy, "Empty").await;
        assert!(matches!(missing, Err(Error::NotFound { .. })), "{missing:?}");
        assert_eq!(listed().await.len(), 2);
    }
}
