//! Conditions of policies on defined tags decide.

use serde_json::{Value, json};
use wharfinger_iam::compartments::{self, AccessLevel, Compartment, CompartmentText};
use wharfinger_iam::groups::{self, GroupChanges};
use wharfinger_iam::policies::{self, PolicyText};
use wharfinger_iam::users::UserChanges;
use wharfinger_iam::{Ctx, Error, Listing, Target, memberships, tag_definitions, tag_namespaces, users};
use wharfinger_metastore::Store;
use wharfinger_testkit::on_each_engine;
use wharfinger_testkit::services::{Installation, found, request};
use wharfinger_types::Permission;

use crate::tags::{defined, namespace, retire, tag};

/// An installation with `Ops.Stage` and `Ops.Team`, and `alice` of the groups `Builders` and `Readers`.
async fn team(store: Store) -> (Installation, String) {
    let installation = found(store).await;
    let (local, tenancy) = (&installation.local(), &installation.tenancy);
    let ops = namespace(&installation, &tenancy.root_ocid, "Ops").await;
    tag(&installation, &ops, "Stage").await;
    tag(&installation, &ops, "Team").await;
    let secret = installation.add_user("alice").await;
    for group in ["Builders", "Readers"] {
        groups::create_group(local, tenancy, group).await.unwrap();
        memberships::add_user_to_group(local, tenancy, group, "alice").await.unwrap();
    }
    (installation, secret)
}

async fn allow(installation: &Installation, name: &str, statement: &str) {
    let text = PolicyText { statements: Some(vec![statement.to_owned()]), ..PolicyText::default() };
    policies::create_policy(&installation.local(), &installation.tenancy.root_ocid, name, text)
        .await
        .unwrap();
}

async fn alice(installation: &Installation, secret: &str) -> Ctx {
    installation.iam.login(request(), "acme/alice", secret).await.unwrap()
}

async fn compartment(installation: &Installation, parent: &str, name: &str, tags: Value) -> Compartment {
    let text = CompartmentText { tags: defined(tags), ..CompartmentText::default() };
    compartments::create_compartment(&installation.local(), parent, name, text).await.unwrap()
}

async fn retag_compartment(installation: &Installation, ocid: &str, tags: Value) {
    let text = CompartmentText { tags: defined(tags), ..CompartmentText::default() };
    compartments::update_compartment(&installation.local(), ocid, None, text).await.unwrap();
}

async fn retag_group(installation: &Installation, group: &str, tags: Value) {
    let changes = GroupChanges { tags: defined(tags), ..GroupChanges::default() };
    groups::update_group(&installation.local(), &installation.tenancy, group, changes).await.unwrap();
}

async fn reads(installation: &Installation, secret: &str, place: &str) -> bool {
    let repository = Target {
        compartment: Some(place.parse().unwrap()),
        repository: Some("app".to_owned()),
        ..Target::tenancy(installation.tenancy.id)
    };
    alice(installation, secret).await.allows(Permission::RepositoryRead, &repository)
}

on_each_engine! {
    async fn the_tags_of_a_compartment_hold_for_all_below_it_from_the_next_request_on(store: Store) {
        let (installation, secret) = team(store).await;
        let root = installation.tenancy.root_ocid.clone();
        let dev = compartment(&installation, &root, "dev", json!({ "Ops": { "Stage": "Test" } })).await.ocid;
        let web = compartment(&installation, &dev, "web", json!({})).await.ocid;
        let prod = compartment(&installation, &root, "prod", json!({ "Ops": { "Stage": "prod" } })).await.ocid;
        allow(&installation, "p", "Allow group Builders to read repos in tenancy where target.resource.compartment.tag.ops.stage = 'test'").await;
        let seen = async || {
            [reads(&installation, &secret, &dev).await, reads(&installation, &secret, &web).await, reads(&installation, &secret, &prod).await]
        };
        assert_eq!(seen().await, [true, true, false]);
        retag_compartment(&installation, &prod, json!({ "Ops": { "Stage": "test" } })).await;
        retag_compartment(&installation, &dev, json!({})).await;
        assert_eq!(seen().await, [false, false, true]);
        retag_compartment(&installation, &root, json!({ "ops": { "STAGE": "test" } })).await;
        assert_eq!(seen().await, [true, true, true]);
        // A tag that is deleted grants nothing from then on.
        let listing = Listing::by_name(1, None);
        let listed = tag_namespaces::list_tag_namespaces(&installation.local(), &root, false, &listing).await;
        let ops = listed.unwrap().rows.remove(0);
        retire(&installation, &ops, "Stage", true).await;
        assert_eq!(seen().await, [true, true, true]);
        tag_definitions::delete_tag_definition(&installation.local(), &ops.ocid, "Stage").await.unwrap();
        assert_eq!(seen().await, [false, false, false]);
    }

    async fn the_tags_of_groups_and_of_the_tenancy_are_those_of_the_principal(store: Store) {
        let (installation, secret) = team(store).await;
        let root = installation.tenancy.root_ocid.clone();
        let dev = compartment(&installation, &root, "dev", json!({ "Ops": { "Team": "blue" } })).await.ocid;
        allow(&installation, "g", "Allow any-user to read repos in tenancy where request.principal.group.tag.Ops.Team = target.resource.compartment.tag.Ops.Team").await;
        assert!(!reads(&installation, &secret, &dev).await);
        retag_group(&installation, "Builders", json!({ "Ops": { "Team": "red" } })).await;
        assert!(!reads(&installation, &secret, &dev).await);
        // Any value of any group counts.
        retag_group(&installation, "Readers", json!({ "Ops": { "Team": "blue" } })).await;
        assert!(reads(&installation, &secret, &dev).await && !reads(&installation, &secret, &root).await);
        memberships::remove_user_from_group(&installation.local(), &installation.tenancy, "Readers", "alice").await.unwrap();
        assert!(!reads(&installation, &secret, &dev).await);

        allow(&installation, "c", "Allow any-user to read repos in tenancy where request.principal.compartment.tag.Ops.Stage = 'test'").await;
        assert!(!reads(&installation, &secret, &root).await);
        retag_compartment(&installation, &dev, json!({ "Ops": { "Stage": "test" } })).await;
        assert!(!reads(&installation, &secret, &root).await);
        // Users are in the tenancy's root.
        retag_compartment(&installation, &root, json!({ "Ops": { "Stage": "test" } })).await;
        assert!(reads(&installation, &secret, &root).await);
        let new = groups::NewGroup { name: "New", tags: defined(json!({ "Ops": { "Team": "green" } })), ..Default::default() };
        groups::create_group(&installation.local(), &installation.tenancy, new).await.unwrap();
        memberships::add_user_to_group(&installation.local(), &installation.tenancy, "New", "alice").await.unwrap();
        allow(&installation, "n", "Allow any-user to inspect users in tenancy where request.principal.group.tag.Ops.Team in ('green', 'yellow')").await;
        let ctx = alice(&installation, &secret).await;
        users::get_user(&ctx, &installation.tenancy, "alice").await.unwrap();
    }

    async fn a_resources_own_tags_give_rights_on_it_but_none_to_list_or_make(store: Store) {
        let (installation, secret) = team(store).await;
        let (local, tenancy) = (&installation.local(), &installation.tenancy);
        let root = &tenancy.root_ocid;
        let statement = |what: &str| format!("Allow group Builders to {what} in tenancy where target.resource.tag.Ops.Stage = 'test'");
        for (name, what) in [("u", "manage users"), ("c", "manage compartments"), ("g", "manage groups"), ("p", "manage policies")] {
            allow(&installation, name, &statement(what)).await;
        }
        allow(&installation, "tags", "Allow group Builders to use tag-namespaces in tenancy").await;
        let test = || defined(json!({ "Ops": { "Stage": "test" } }));
        users::create_user(local, tenancy, "bob").await.unwrap();
        let ctx = alice(&installation, &secret).await;
        assert!(users::get_user(&ctx, tenancy, "bob").await.is_err());
        let changes = UserChanges { tags: test(), ..UserChanges::default() };
        users::update_user(local, tenancy, "bob", changes).await.unwrap();
        users::get_user(&ctx, tenancy, "bob").await.unwrap();
        let listed = users::list_users(&ctx, tenancy, &Listing::by_name(10, None)).await;
        assert!(matches!(listed, Err(Error::Denied { .. })), "{listed:?}");
        let new = users::NewUser { name: "eve", tags: test(), ..Default::default() };
        let made = users::create_user(&ctx, tenancy, new).await;
        assert!(matches!(made, Err(Error::Denied { .. })), "{made:?}");
        // Both sides of a membership count.
        let added = memberships::add_user_to_group(&ctx, tenancy, "Builders", "bob").await;
        assert!(matches!(added, Err(Error::Denied { .. })), "{added:?}");
        retag_group(&installation, "Builders", json!({ "Ops": { "Stage": "test" } })).await;
        let ctx = alice(&installation, &secret).await;
        memberships::add_user_to_group(&ctx, tenancy, "Builders", "bob").await.unwrap();

        let dev = compartment(&installation, root, "dev", json!({ "Ops": { "Stage": "test" } })).await.ocid;
        let ctx = alice(&installation, &secret).await;
        compartments::get_compartment(&ctx, &dev).await.unwrap();
        // Being tagged is not being a place in which to make or list something.
        let within = compartments::create_compartment(&ctx, &dev, "in", "").await;
        assert!(matches!(within, Err(Error::Denied { .. })), "{within:?}");
        let listed = compartments::list_compartments(&ctx, &dev, false, AccessLevel::Any, &Listing::by_name(10, None)).await;
        assert!(matches!(listed, Err(Error::Denied { .. })), "{listed:?}");
        let text = PolicyText { statements: Some(vec!["Allow any-user to inspect users in compartment dev".to_owned()]), tags: test(), ..PolicyText::default() };
        let made = policies::create_policy(&ctx, &dev, "mine", text.clone()).await;
        assert!(matches!(made, Err(Error::Denied { .. })), "{made:?}");
        let made = policies::create_policy(local, &dev, "mine", text).await.unwrap();
        policies::get_policy(&ctx, &made.ocid).await.unwrap();
        let text = CompartmentText { description: Some("x".to_owned()), ..CompartmentText::default() };
        compartments::update_compartment(&ctx, &dev, None, text).await.unwrap();
        // Who takes the tag away loses the right with it.
        let text = CompartmentText { tags: defined(json!({})), ..CompartmentText::default() };
        compartments::update_compartment(&ctx, &dev, None, text).await.unwrap();
        let gone = compartments::get_compartment(&alice(&installation, &secret).await, &dev).await;
        assert!(matches!(gone, Err(Error::Denied { .. })), "{gone:?}");
    }
}
