//! Tag namespaces and tags, and what may be set of them on resources.

use serde_json::{Value, json};
use tokio::task::JoinSet;
use wharfinger_iam::compartments::CompartmentText;
use wharfinger_iam::groups::{GroupChanges, NewGroup};
use wharfinger_iam::network_sources::{self, NetworkSourceText};
use wharfinger_iam::policies::{self, PolicyText};
use wharfinger_iam::tag_definitions::{self, TagDefinition, TagDefinitionText, Validator};
use wharfinger_iam::tag_namespaces::{self, TagNamespace, TagNamespaceText};
use wharfinger_iam::tags::{NO_TAGS, NewTags};
use wharfinger_iam::users::{NewUser, UserChanges};
use wharfinger_iam::{
    Conditions, Ctx, Error, LifecycleState, Listing, TagChanges, Tags, compartments, groups, memberships,
    users, work_requests,
};
use wharfinger_metastore::{Store, operations};
use wharfinger_testkit::on_each_engine;
use wharfinger_testkit::services::{Installation, found, request};

operations! {
    PUT_TAGS = put_tags { Durable, Serializable, unaudited "changes nothing" };
}

/// Defined tags as a request would set them.
pub(crate) fn defined(tags: Value) -> TagChanges {
    TagChanges { freeform: None, defined: serde_json::from_value(tags).unwrap() }
}

pub(crate) async fn namespace(installation: &Installation, compartment: &str, name: &str) -> TagNamespace {
    let text = TagNamespaceText::default();
    tag_namespaces::create_tag_namespace(&installation.local(), compartment, name, text).await.unwrap()
}

pub(crate) async fn tag(installation: &Installation, namespace: &TagNamespace, name: &str) -> TagDefinition {
    let text = TagDefinitionText::default();
    let local = installation.local();
    tag_definitions::create_tag_definition(&local, &namespace.ocid, name, text).await.unwrap()
}

/// The namespace `Ops` with the tags `Stage`, of which there are two, and `Note`.
pub(crate) async fn ops(installation: &Installation) -> TagNamespace {
    let ops = namespace(installation, &installation.tenancy.root_ocid, "Ops").await;
    tag(installation, &ops, "Note").await;
    tag(installation, &ops, "Stage").await;
    let stages = Validator::Enum(vec!["test".to_owned(), "prod".to_owned()]);
    change(installation, &ops, "Stage", TagDefinitionText { validator: Some(stages), ..Default::default() })
        .await;
    ops
}

async fn change(installation: &Installation, namespace: &TagNamespace, name: &str, text: TagDefinitionText) {
    let local = installation.local();
    tag_definitions::update_tag_definition(&local, &namespace.ocid, name, text).await.unwrap();
}

pub(crate) async fn retire(
    installation: &Installation,
    namespace: &TagNamespace,
    name: &str,
    is_retired: bool,
) {
    let text = TagDefinitionText { is_retired: Some(is_retired), ..Default::default() };
    change(installation, namespace, name, text).await;
}

/// Sets defined tags on the group of that name; answers with what it has then.
async fn set(ctx: &Ctx, installation: &Installation, group: &str, tags: Value) -> Result<Value, Error> {
    let changes = GroupChanges { tags: defined(tags), ..GroupChanges::default() };
    let group = groups::update_group(ctx, &installation.tenancy, group, changes).await?;
    Ok(json!(Tags::from_column(&group.tags).defined))
}

fn lists(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

on_each_engine! {
    async fn names_are_taken_in_any_case_of_letters(store: Store) {
        let installation = found(store).await;
        let (local, root) = (&installation.local(), &installation.tenancy.root_ocid);
        let ops = namespace(&installation, root, "Ops~!{}\"'/x").await;
        let text = TagNamespaceText::default;
        let again = tag_namespaces::create_tag_namespace(local, root, "oPS~!{}\"'/X", text()).await;
        assert!(matches!(again, Err(Error::NameTaken { what: "tag namespace", .. })), "{again:?}");
        tag(&installation, &ops, "Stage").await;
        let of_tag = TagDefinitionText::default;
        let again = tag_definitions::create_tag_definition(local, &ops.ocid, "STAGE", of_tag()).await;
        assert!(matches!(again, Err(Error::NameTaken { what: "tag", .. })), "{again:?}");
        for bad in ["", "a b", "a.b", "ä", "a\0b", "a\nb", &"x".repeat(101)] {
            let refused = tag_namespaces::create_tag_namespace(local, root, bad, text()).await;
            assert!(matches!(refused, Err(Error::Invalid { field: "name", .. })), "{bad}: {refused:?}");
            let refused = tag_definitions::create_tag_definition(local, &ops.ocid, bad, of_tag()).await;
            assert!(matches!(refused, Err(Error::Invalid { field: "name", .. })), "{bad}: {refused:?}");
            let missing = tag_definitions::get_tag_definition(local, &ops.ocid, bad).await;
            assert!(matches!(missing, Err(Error::NotFound { what: "tag", .. })), "{bad}: {missing:?}");
        }
        let found = tag_definitions::get_tag_definition(local, &ops.ocid, "sTAGE").await.unwrap();
        assert_eq!((found.name.as_str(), found.namespace_name.as_str()), ("Stage", "Ops~!{}\"'/x"));
        groups::create_group(local, &installation.tenancy, "g").await.unwrap();
        let seen = set(local, &installation, "g", json!({ "ops~!{}\"'/x": { "stage": "1" } })).await.unwrap();
        assert_eq!(seen, json!({ "Ops~!{}\"'/x": { "Stage": "1" } }));
    }

    async fn a_namespace_is_retired_with_its_tags_and_comes_back_without(store: Store) {
        let installation = found(store).await;
        let local = &installation.local();
        let ops = ops(&installation).await;
        let switch = async |is_retired| {
            let text = TagNamespaceText { is_retired: Some(is_retired), ..Default::default() };
            tag_namespaces::update_tag_namespace(local, &ops.ocid, text).await.unwrap()
        };
        let retired = switch(true).await;
        assert_eq!((retired.state(), retired.revision), (LifecycleState::Inactive, 2));
        let of = async |state| {
            let listing = Listing { state, ..Listing::by_name(10, None) };
            let listed = tag_definitions::list_tag_definitions(local, &ops.ocid, &listing).await.unwrap();
            listed.rows.into_iter().map(|tag| tag.name).collect::<Vec<_>>()
        };
        assert_eq!(of(Some(LifecycleState::Inactive)).await, lists(&["Note", "Stage"]));
        let made = tag_definitions::create_tag_definition(local, &ops.ocid, "New", Default::default()).await;
        assert!(matches!(made, Err(Error::Conflict(_))), "{made:?}");
        let back = || TagDefinitionText { is_retired: Some(false), ..Default::default() };
        let early = tag_definitions::update_tag_definition(local, &ops.ocid, "Note", back()).await;
        assert!(matches!(early, Err(Error::Conflict(_))), "{early:?}");
        assert_eq!(switch(false).await.state(), LifecycleState::Active);
        assert_eq!(of(Some(LifecycleState::Active)).await, lists(&[]));
        tag_definitions::update_tag_definition(local, &ops.ocid, "Note", back()).await.unwrap();
        assert_eq!(of(Some(LifecycleState::Active)).await, lists(&["Note"]));
        assert_eq!(of(None).await, lists(&["Note", "Stage"]));
        let first = tag_definitions::list_tag_definitions(local, &ops.ocid, &Listing::by_name(1, None)).await.unwrap();
        let rest = Listing::by_name(1, first.next_page);
        let rest = tag_definitions::list_tag_definitions(local, &ops.ocid, &rest).await.unwrap();
        assert_eq!((rest.rows[0].name.as_str(), rest.next_page), ("Stage", None));
    }

    async fn what_is_set_must_be_defined_in_use_and_allowed(store: Store) {
        let installation = found(store).await;
        let local = &installation.local();
        let ops = ops(&installation).await;
        groups::create_group(local, &installation.tenancy, "g").await.unwrap();
        let long = "x".repeat(257);
        for (tags, part) in [
            (json!({ "Ops": { "Stage": "live" } }), "Ops.Stage = live"),
            (json!({ "Ops": { "Stage": "" } }), "validator"),
            (json!({ "Ops": { "Stage": "Prod" } }), "validator"),
            (json!({ "Ops": { "Other": "x" } }), "Ops.Other"),
            (json!({ "Ops": { "": "x" } }), "no such key"),
            (json!({ "Ops": { "Note": null } }), "Ops.Note"),
            (json!({ "Ops": { "Note": ["x"] } }), "a text, a number or a boolean"),
            (json!({ "Ops": { "Note": {} } }), "Ops.Note"),
            (json!({ "Ops": { "Note": long } }), "256"),
            (json!({ "Ops": { "Note": "a\0b" } }), "NUL"),
            (json!({ "Ops": { "Note": "a", "note": "b" } }), "once"),
            (json!({ "Ops": { "Note": "a" }, "OPS": { "Note": "a" } }), "once"),
        ] {
            let refused = set(local, &installation, "g", tags.clone()).await.unwrap_err();
            assert!(matches!(refused, Error::Invalid { field: "definedTags", .. }), "{tags}: {refused:?}");
            assert!(refused.to_string().contains(part), "{tags}: {refused}");
        }
        for missing in ["Elsewhere", "", "a\0b", "Ops.Note"] {
            let refused = set(local, &installation, "g", json!({ missing: { "Note": "x" } })).await.unwrap_err();
            assert!(matches!(refused, Error::Related { field: "definedTags", .. }), "{refused:?}");
        }
        let kept = json!({ "Ops": { "Note": 4, "Stage": "test" } });
        assert_eq!(set(local, &installation, "g", kept.clone()).await.unwrap(), kept);
        assert_eq!(set(local, &installation, "g", json!({ "ops": { "note": true } })).await.unwrap(), json!({ "Ops": { "Note": true } }));

        // What a resource has, it may keep, whatever became of the definition.
        set(local, &installation, "g", kept.clone()).await.unwrap();
        let other = Validator::Enum(vec!["live".to_owned()]);
        change(&installation, &ops, "Stage", TagDefinitionText { validator: Some(other), ..Default::default() }).await;
        retire(&installation, &ops, "Note", true).await;
        assert_eq!(set(local, &installation, "g", kept.clone()).await.unwrap(), kept);
        let changed = set(local, &installation, "g", json!({ "Ops": { "Note": 5, "Stage": "test" } })).await.unwrap_err();
        assert!(changed.to_string().contains("retired"), "{changed}");
        assert_eq!(set(local, &installation, "g", json!({ "Ops": {} })).await.unwrap(), json!({}));
        let gone = set(local, &installation, "g", json!({ "Ops": { "Note": 4 } })).await.unwrap_err();
        assert!(gone.to_string().contains("retired"), "{gone}");
        change(&installation, &ops, "Stage", TagDefinitionText { validator: Some(Validator::Default), ..Default::default() }).await;
        set(local, &installation, "g", json!({ "Ops": { "Stage": "anything" } })).await.unwrap();
    }

    async fn tags_definitions_and_namespaces_are_limited(store: Store) {
        let installation = found(store).await;
        let (local, root) = (&installation.local(), &installation.tenancy.root_ocid);
        let ops = namespace(&installation, root, "Ops").await;
        for number in 0..100 {
            let text = TagDefinitionText { is_cost_tracking: Some(number < 10), ..Default::default() };
            let name = format!("k{number}");
            tag_definitions::create_tag_definition(local, &ops.ocid, &name, text).await.unwrap();
        }
        let more = tag_definitions::create_tag_definition(local, &ops.ocid, "more", Default::default()).await;
        assert!(matches!(more, Err(Error::LimitExceeded(_))), "{more:?}");
        let tracking = || TagDefinitionText { is_cost_tracking: Some(true), ..Default::default() };
        // Those that count already may be told so again; a retired one counts too.
        retire(&installation, &ops, "k0", true).await;
        tag_definitions::update_tag_definition(local, &ops.ocid, "k0", tracking()).await.unwrap();
        let eleventh = tag_definitions::update_tag_definition(local, &ops.ocid, "k99", tracking()).await;
        assert!(matches!(eleventh, Err(Error::LimitExceeded(_))), "{eleventh:?}");
        for wrong in [vec![], vec!["a"; 2], vec![""], (0..101).map(|_| "x").collect::<Vec<_>>()] {
            let values = wrong.iter().map(|value| (*value).to_owned()).collect();
            let text = TagDefinitionText { validator: Some(Validator::Enum(values)), ..Default::default() };
            let refused = tag_definitions::update_tag_definition(local, &ops.ocid, "k1", text).await;
            assert!(matches!(refused, Err(Error::Invalid { field: "validator", .. })), "{refused:?}");
        }

        groups::create_group(local, &installation.tenancy, "g").await.unwrap();
        let all = |count: usize, value: &str| {
            let keys = (1..=count).map(|number| (format!("k{number}"), json!(value)));
            json!({ "Ops": keys.collect::<serde_json::Map<_, _>>() })
        };
        set(local, &installation, "g", all(64, "x")).await.unwrap();
        for (tags, part) in [(all(65, "x"), "64"), (all(30, &"x".repeat(256)), "5 KiB")] {
            let refused = set(local, &installation, "g", tags).await.unwrap_err();
            assert!(refused.to_string().contains(part), "{refused}");
        }
        let freeform = |count: usize, key: &str, value: &str| {
            let tags = (0..count).map(|number| (format!("{key}{number}"), value.to_owned()));
            TagChanges { freeform: Some(tags.collect()), defined: None }
        };
        let update = async |tags| {
            groups::update_group(local, &installation.tenancy, "g", GroupChanges { description: None, tags }).await
        };
        let group = update(freeform(10, "ä", "ö")).await.unwrap();
        let tags = Tags::from_column(&group.tags);
        assert_eq!((tags.freeform.len(), tags.defined["Ops"].len()), (10, 64));
        let long = "x".repeat(257);
        for wrong in [freeform(11, "k", "x"), freeform(1, "a b", "x"), freeform(1, &long[..100], "x"), freeform(1, "k", &long)] {
            let refused = update(wrong).await;
            assert!(matches!(refused, Err(Error::Invalid { field: "freeformTags", .. })), "{refused:?}");
        }
        for number in 1..100 {
            namespace(&installation, root, &format!("n{number}")).await;
        }
        let more = tag_namespaces::create_tag_namespace(local, root, "more", Default::default()).await;
        assert!(matches!(more, Err(Error::LimitExceeded(_))), "{more:?}");
    }

    async fn every_kind_of_resource_keeps_its_tags_and_loses_those_that_are_deleted(store: Store) {
        let installation = found(store).await;
        let (local, tenancy) = (&installation.local(), &installation.tenancy);
        let ops = ops(&installation).await;
        let both = || TagChanges {
            freeform: Some([("team".to_owned(), "a".to_owned())].into()),
            ..defined(json!({ "Ops": { "Note": "n", "Stage": "prod" } }))
        };
        let user = NewUser { name: "alice", tags: both(), ..NewUser::default() };
        let user = users::create_user(local, tenancy, user).await.unwrap();
        let group = NewGroup { name: "g", tags: both(), ..NewGroup::default() };
        let group = groups::create_group(local, tenancy, group).await.unwrap();
        let text = CompartmentText { tags: both(), ..CompartmentText::default() };
        let dev = compartments::create_compartment(local, &tenancy.root_ocid, "dev", text).await.unwrap();
        let text = CompartmentText { tags: both(), ..CompartmentText::default() };
        let gone = compartments::create_compartment(local, &tenancy.root_ocid, "gone", text).await.unwrap();
        compartments::delete_compartment(local, &gone.ocid).await.unwrap();
        let text = CompartmentText { tags: both(), ..CompartmentText::default() };
        compartments::update_compartment(local, &tenancy.root_ocid, None, text).await.unwrap();
        let statements = Some(vec!["Allow any-user to inspect users in tenancy".to_owned()]);
        let text = PolicyText { statements, tags: both(), ..PolicyText::default() };
        let policy = policies::create_policy(local, &tenancy.root_ocid, "p", text).await.unwrap();
        let text = NetworkSourceText { tags: both(), ..NetworkSourceText::default() };
        let source = network_sources::create_network_source(local, tenancy, "s", text).await.unwrap();
        let text = TagNamespaceText { tags: both(), ..TagNamespaceText::default() };
        let costs = tag_namespaces::create_tag_namespace(local, &dev.ocid, "Costs", text).await.unwrap();
        let text = TagDefinitionText { tags: both(), ..TagDefinitionText::default() };
        let center = tag_definitions::create_tag_definition(local, &costs.ocid, "Center", text).await.unwrap();

        let states = async || {
            [
                (users::get_user(local, tenancy, &user.ocid).await.unwrap().tags),
                (groups::get_group(local, tenancy, &group.ocid).await.unwrap().tags),
                (compartments::get_compartment(local, &dev.ocid).await.unwrap().tags),
                (compartments::get_compartment(local, &gone.ocid).await.unwrap().tags),
                (wharfinger_iam::home::tags(local, tenancy).await.unwrap()),
                (policies::get_policy(local, &policy.ocid).await.unwrap().tags),
                (network_sources::get_network_source(local, tenancy, &source.ocid).await.unwrap().tags),
                (tag_namespaces::get_tag_namespace(local, &costs.ocid).await.unwrap().tags),
                (tag_definitions::get_tag_definition(local, &costs.ocid, &center.name).await.unwrap().tags),
            ]
        };
        let expected = |defined: Value| json!({ "freeform": { "team": "a" }, "defined": defined });
        let is_everywhere = async |wanted: Value| {
            for state in states().await {
                assert_eq!(serde_json::from_str::<Value>(&state).unwrap(), wanted);
            }
        };
        is_everywhere(expected(json!({ "Ops": { "Note": "n", "Stage": "prod" } }))).await;

        let early = tag_definitions::delete_tag_definition(local, &ops.ocid, "Note").await;
        assert!(matches!(early, Err(Error::Conflict(_))), "{early:?}");
        retire(&installation, &ops, "Note", true).await;
        is_everywhere(expected(json!({ "Ops": { "Note": "n", "Stage": "prod" } }))).await;
        let request = tag_definitions::delete_tag_definition(local, &ops.ocid, "note").await.unwrap();
        assert_eq!((request.resource_kind(), &request.failure), ("tagdefinition", &None));
        is_everywhere(expected(json!({ "Ops": { "Stage": "prod" } }))).await;
        let user = users::get_user(local, tenancy, &user.ocid).await.unwrap();
        assert_eq!(user.revision, 2);
        // The name is free, and what is made under it is another tag.
        tag(&installation, &ops, "Note").await;
        is_everywhere(expected(json!({ "Ops": { "Stage": "prod" } }))).await;

        let full = tag_namespaces::delete_tag_namespace(local, &ops.ocid).await;
        assert!(matches!(full, Err(Error::Conflict(_))), "{full:?}");
        let early = tag_namespaces::cascade_delete_tag_namespace(local, &ops.ocid).await;
        assert!(matches!(early, Err(Error::Conflict(_))), "{early:?}");
        let text = TagNamespaceText { is_retired: Some(true), ..Default::default() };
        tag_namespaces::update_tag_namespace(local, &ops.ocid, text).await.unwrap();
        let request = tag_namespaces::cascade_delete_tag_namespace(local, &ops.ocid).await.unwrap();
        let again = work_requests::get_tagging_work_request(local, &request.ocid).await.unwrap();
        assert_eq!(again.resource, ops.ocid);
        for state in states().await {
            assert_eq!(state, r#"{"freeform":{"team":"a"}}"#);
        }
        let gone = tag_namespaces::get_tag_namespace(local, &ops.ocid).await;
        assert!(matches!(gone, Err(Error::NotFound { .. })), "{gone:?}");

        // A compartment with a tag namespace is not empty.
        let held = compartments::delete_compartment(local, &dev.ocid).await.unwrap();
        assert!(held.failure.as_deref().is_some_and(|failure| failure.contains("tag namespace Costs")), "{held:?}");
        let other = work_requests::get_tagging_work_request(local, &held.ocid).await;
        assert!(matches!(other, Err(Error::NotFound { .. })), "{other:?}");
    }

    async fn only_who_may_use_a_namespace_sets_changes_and_removes_its_tags(store: Store) {
        let installation = found(store).await;
        let (local, tenancy) = (&installation.local(), &installation.tenancy);
        ops(&installation).await;
        groups::create_group(local, tenancy, "g").await.unwrap();
        let secret = installation.add_user("alice").await;
        groups::create_group(local, tenancy, "Builders").await.unwrap();
        memberships::add_user_to_group(local, tenancy, "Builders", "alice").await.unwrap();
        let allow = async |name: &str, what: &str| {
            let statements = Some(vec![format!("Allow group Builders to {what}")]);
            let text = PolicyText { statements, ..PolicyText::default() };
            policies::create_policy(local, &tenancy.root_ocid, name, text).await.unwrap();
        };
        let alice = async || installation.iam.login(request(), "acme/alice", &secret).await.unwrap();
        let note = || json!({ "Ops": { "Note": "x" } });
        allow("groups", "manage groups in tenancy").await;
        let there = set(&alice().await, &installation, "g", note()).await.unwrap_err().to_string();
        let missing = set(&alice().await, &installation, "g", json!({ "Oops": { "Note": "x" } })).await.unwrap_err().to_string();
        assert_eq!(there.replace("Ops", ""), missing.replace("Oops", ""));
        allow("inspect", "inspect tag-namespaces in tenancy").await;
        let told = set(&alice().await, &installation, "g", note()).await.unwrap_err();
        assert!(matches!(told, Error::Related { .. }) && told.to_string().contains("TAG_NAMESPACE_USE"), "{told}");
        let refused = groups::create_group(&alice().await, tenancy, NewGroup { name: "h", tags: defined(note()), ..NewGroup::default() }).await;
        assert!(matches!(refused, Err(Error::Related { .. })), "{refused:?}");

        set(local, &installation, "g", note()).await.unwrap();
        // Unchanged they need no right; neither do freeform ones.
        set(&alice().await, &installation, "g", note()).await.unwrap();
        let freeform = TagChanges { freeform: Some([("a".to_owned(), "b".to_owned())].into()), defined: None };
        let changes = GroupChanges { tags: freeform, ..GroupChanges::default() };
        groups::update_group(&alice().await, tenancy, "g", changes).await.unwrap();
        for other in [json!({}), json!({ "Ops": { "Note": "y" } }), json!({ "Ops": { "Note": "x", "Stage": "prod" } })] {
            let refused = set(&alice().await, &installation, "g", other.clone()).await;
            assert!(matches!(refused, Err(Error::Related { .. })), "{other}: {refused:?}");
        }
        allow("use", "use tag-namespaces in tenancy where target.tag-namespace.name = 'ops'").await;
        assert_eq!(set(&alice().await, &installation, "g", json!({})).await.unwrap(), json!({}));
        namespace(&installation, &tenancy.root_ocid, "Other").await;
        let other = set(&alice().await, &installation, "g", json!({ "Other": { "Note": "x" } })).await;
        assert!(matches!(other, Err(Error::Related { .. })), "{other:?}");
        set(&alice().await, &installation, "g", note()).await.unwrap();
    }

    async fn namespaces_are_listed_where_they_are_and_moved(store: Store) {
        let installation = found(store).await;
        let (local, root) = (&installation.local(), &installation.tenancy.root_ocid);
        let dev = compartments::create_compartment(local, root, "dev", "").await.unwrap();
        let team = compartments::create_compartment(local, &dev.ocid, "team", "").await.unwrap();
        let prod = compartments::create_compartment(local, root, "prod", "").await.unwrap();
        for (compartment, name) in [(root, "top"), (&dev.ocid, "dev"), (&team.ocid, "team"), (&prod.ocid, "prod")] {
            namespace(&installation, compartment, name).await;
        }
        let list = async |ctx: &Ctx, compartment: &str, below| {
            let listing = Listing::by_name(10, None);
            let listed = tag_namespaces::list_tag_namespaces(ctx, compartment, below, &listing).await;
            listed.map(|listed| listed.rows.into_iter().map(|row| row.name).collect::<Vec<_>>())
        };
        assert_eq!(list(local, root, false).await.unwrap(), lists(&["top"]));
        assert_eq!(list(local, root, true).await.unwrap(), lists(&["dev", "prod", "team", "top"]));
        assert_eq!(list(local, &dev.ocid, true).await.unwrap(), lists(&["dev", "team"]));
        let listing = Listing { name: Some("team".to_owned()), ..Listing::by_name(1, None) };
        let moved = tag_namespaces::list_tag_namespaces(local, &team.ocid, false, &listing).await.unwrap().rows.remove(0);

        let secret = installation.add_user("alice").await;
        groups::create_group(local, &installation.tenancy, "Builders").await.unwrap();
        memberships::add_user_to_group(local, &installation.tenancy, "Builders", "alice").await.unwrap();
        let statements = Some(vec!["Allow group Builders to manage tag-namespaces in compartment dev".to_owned()]);
        policies::create_policy(local, root, "dev", PolicyText { statements, ..PolicyText::default() }).await.unwrap();
        let alice = installation.iam.login(request(), "acme/alice", &secret).await.unwrap();
        assert_eq!(list(&alice, &dev.ocid, true).await.unwrap(), lists(&["dev", "team"]));
        assert!(list(&alice, root, true).await.is_err());
        let refused = tag_namespaces::change_tag_namespace_compartment(&alice, &moved.ocid, &prod.ocid).await;
        assert!(matches!(refused, Err(Error::Denied { .. })), "{refused:?}");
        tag_namespaces::change_tag_namespace_compartment(&alice, &moved.ocid, &dev.ocid).await.unwrap();
        assert_eq!(list(local, &dev.ocid, false).await.unwrap(), lists(&["dev", "team"]));
        let stale = installation.local().under(Conditions::new(Some("1"), None, "", b"").unwrap());
        let stale = tag_namespaces::delete_tag_namespace(&stale, &moved.ocid).await;
        assert!(matches!(stale, Err(Error::NoEtagMatch)), "{stale:?}");
        tag_namespaces::delete_tag_namespace(&alice, &moved.ocid).await.unwrap();

        // Of another tenancy nobody sees anything, and nothing is moved there.
        let other = wharfinger_iam::tenancies::create_tenancy(local, "Other", Some("other".parse().unwrap())).await.unwrap();
        let foreign = installation.iam.login(request(), "other/admin", other.auth_token.reveal()).await.unwrap();
        let top = list(local, root, false).await.unwrap();
        assert_eq!(top, lists(&["top"]));
        let seen = tag_namespaces::get_tag_namespace(&foreign, &moved.ocid).await;
        assert!(matches!(seen, Err(Error::Denied { .. })), "{seen:?}");
    }

    async fn a_repeated_create_makes_one(store: Store) {
        let installation = found(store).await;
        let root = &installation.tenancy.root_ocid;
        let again = || installation.local().under(Conditions::new(None, Some("t"), "/", b"").unwrap());
        let create = async || tag_namespaces::create_tag_namespace(&again(), root, "Ops", Default::default()).await.unwrap().ocid;
        let ops = create().await;
        assert_eq!(create().await, ops);
        let define = async || tag_definitions::create_tag_definition(&again(), &ops, "Note", Default::default()).await.unwrap().ocid;
        assert_eq!(define().await, define().await);
        let dev = compartments::create_compartment(&installation.local(), root, "dev", "").await.unwrap();
        for _ in 0..2 {
            tag_namespaces::change_tag_namespace_compartment(&again(), &ops, &dev.ocid).await.unwrap();
        }
        assert_eq!(tag_namespaces::get_tag_namespace(&again(), &ops).await.unwrap().revision, 2);
    }

    async fn of_many_creates_of_one_name_one_is_made(store: Store) {
        let installation = found(store).await;
        let mut creating = JoinSet::new();
        for number in 0..50 {
            let (local, root) = (installation.local(), installation.tenancy.root_ocid.clone());
            let name = if number % 2 == 0 { "Ops" } else { "OPS" };
            creating.spawn(async move {
                tag_namespaces::create_tag_namespace(&local, &root, name, Default::default()).await.ok()
            });
        }
        let made: Vec<TagNamespace> = creating.join_all().await.into_iter().flatten().collect();
        let [ops] = made.as_slice() else { panic!("{made:?}") };
        let mut creating = JoinSet::new();
        for number in 0..50 {
            let (local, ops) = (installation.local(), ops.ocid.clone());
            let name = if number % 2 == 0 { "Note" } else { "note" };
            creating.spawn(async move {
                tag_definitions::create_tag_definition(&local, &ops, name, Default::default()).await.is_ok()
            });
        }
        let made = creating.join_all().await.into_iter().filter(|made| *made).count();
        assert_eq!(made, 1);
    }

    async fn what_was_checked_must_still_hold_when_it_is_written(store: Store) {
        let installation = found(store).await;
        let local = &installation.local();
        let ops = ops(&installation).await;
        let check = async |key: &str| {
            let changes = defined(json!({ "Ops": { key: "test" } }));
            changes.check(local, installation.tenancy.id, NO_TAGS).await.unwrap()
        };
        let (note, stage) = (check("Note").await, check("Stage").await);
        let put = async |tags: NewTags, current: &'static str| {
            installation.store.write(&PUT_TAGS, move |tx| tags.put(tx, current)).await
        };
        assert_eq!(put(note.clone(), NO_TAGS).await.unwrap(), r#"{"defined":{"Ops":{"Note":"test"}}}"#);
        let other = put(note.clone(), r#"{"freeform":{"a":"b"}}"#).await;
        assert!(matches!(other, Err(Error::Conflict(_))), "{other:?}");
        retire(&installation, &ops, "Note", true).await;
        retire(&installation, &ops, "Stage", true).await;
        tag_definitions::delete_tag_definition(local, &ops.ocid, "Stage").await.unwrap();
        for tags in [note, stage] {
            let late = put(tags, NO_TAGS).await;
            assert!(matches!(late, Err(Error::Conflict(_))), "{late:?}");
        }
    }

    async fn no_resource_keeps_a_tag_that_is_deleted_while_it_is_set(store: Store) {
        let installation = found(store).await;
        let (local, tenancy) = (&installation.local(), &installation.tenancy);
        let ops = ops(&installation).await;
        for number in 0..10 {
            users::create_user(local, tenancy, &format!("user{number}")).await.unwrap();
        }
        let mut racing = JoinSet::new();
        for number in 0..20 {
            let (installation, ops) = (installation.clone(), ops.ocid.clone());
            racing.spawn(async move {
                let (local, tenancy) = (&installation.local(), &installation.tenancy);
                let tags = defined(json!({ "Ops": { "Note": "x", "Stage": "prod" } }));
                let text = || TagDefinitionText { is_retired: Some(true), ..Default::default() };
                match number {
                    0..10 => {
                        let changes = UserChanges { tags, ..UserChanges::default() };
                        users::update_user(local, tenancy, &format!("user{number}"), changes).await.map(drop)
                    }
                    10..19 => {
                        let name = format!("group{number}");
                        let group = NewGroup { name: &name, tags, ..NewGroup::default() };
                        groups::create_group(local, tenancy, group).await.map(drop)
                    }
                    _ => {
                        tag_definitions::update_tag_definition(local, &ops, "Note", text()).await.unwrap();
                        tag_definitions::delete_tag_definition(local, &ops, "Note").await.unwrap();
                        Ok(())
                    }
                }
            });
        }
        for outcome in racing.join_all().await {
            // A tag that is gone or about to be is refused, whatever else is set with it.
            assert!(matches!(outcome, Ok(()) | Err(Error::Invalid { .. } | Error::Conflict(_))), "{outcome:?}");
        }
        let users = users::list_users(local, tenancy, &Listing::by_name(100, None)).await.unwrap().rows;
        let groups = groups::list_groups(local, tenancy, &Listing::by_name(100, None)).await.unwrap().rows;
        let tags = users.into_iter().map(|user| user.tags).chain(groups.into_iter().map(|group| group.tags));
        for column in tags {
            assert!(!column.contains("Note"), "{column}");
        }
    }
}
