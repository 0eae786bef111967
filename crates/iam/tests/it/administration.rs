//! Users, groups, auth tokens, tenancies: rules, rights and records.

use std::collections::HashSet;

use tokio::task::JoinSet;
use wharfinger_iam::dynamic_groups::{self, DynamicGroupText};
use wharfinger_iam::groups::GroupChanges;
use wharfinger_iam::home::NamespaceChanges;
use wharfinger_iam::network_sources::{self, NetworkSourceText};
use wharfinger_iam::policies::{self, PolicyText};
use wharfinger_iam::tag_definitions::{self, TagDefinitionText};
use wharfinger_iam::tag_namespaces::{self, TagNamespaceText};
use wharfinger_iam::users::UserChanges;
use wharfinger_iam::{
    Cap, Ctx, Error, Iam, Limits, Listing, Request, api_keys, auth_tokens, compartments, domains, groups,
    home, tenancies, users,
};
use wharfinger_metastore::{Record, Store};
use wharfinger_testkit::on_each_engine;
use wharfinger_testkit::services::{Installation, NOW, found, request};

use crate::signatures::public_key;

/// Runs every operation of the crate once.
async fn run_everything(installation: &Installation) {
    let (local, tenancy) = (&installation.local(), &installation.tenancy);
    users::create_user(local, tenancy, "alice").await.unwrap();
    users::update_user(local, tenancy, "alice", UserChanges::default()).await.unwrap();
    users::update_user_state(local, tenancy, "alice", false).await.unwrap();
    users::update_user_capabilities(local, tenancy, "alice", |all| all).await.unwrap();
    groups::create_group(local, tenancy, "Builders").await.unwrap();
    groups::update_group(local, tenancy, "Builders", GroupChanges::default()).await.unwrap();
    groups::add_user_to_group(local, tenancy, "Builders", "alice").await.unwrap();
    groups::remove_user_from_group(local, tenancy, "Builders", "alice").await.unwrap();
    groups::delete_group(local, tenancy, "Builders").await.unwrap();
    let (token, _) = auth_tokens::create_auth_token(local, tenancy, "alice", "laptop").await.unwrap();
    auth_tokens::update_auth_token(local, tenancy, "alice", &token.ocid, Some("desk")).await.unwrap();
    auth_tokens::delete_auth_token(local, tenancy, "alice", &token.ocid).await.unwrap();
    let key = api_keys::upload_api_key(local, tenancy, "alice", &public_key()).await.unwrap();
    api_keys::delete_api_key(local, tenancy, "alice", &key.fingerprint).await.unwrap();
    users::delete_user(local, tenancy, "alice").await.unwrap();
    tenancies::create_tenancy(local, "Other", None).await.unwrap();
    tenancies::update_tenancy(local, &tenancy.name).await.unwrap();
    domains::create_domain(local, tenancy, "Partners").await.unwrap();
    domains::delete_domain(local, tenancy, "Partners").await.unwrap();
    let changes = NamespaceChanges::default();
    home::update_namespace_metadata(local, tenancy, &changes).await.unwrap();
    let dev = compartments::create_compartment(local, &tenancy.root_ocid, "dev", "").await.unwrap();
    let dev =
        compartments::update_compartment(local, &dev.ocid, None, "For developers".into()).await.unwrap();
    let text = PolicyText {
        statements: Some(vec!["Allow group Builders to read repos in compartment dev".to_owned()]),
        ..PolicyText::default()
    };
    let policy = policies::create_policy(local, &tenancy.root_ocid, "builders", text.clone()).await.unwrap();
    policies::update_policy(local, &policy.ocid, text).await.unwrap();
    policies::delete_policy(local, &policy.ocid).await.unwrap();
    let none = NetworkSourceText::default;
    let source = network_sources::create_network_source(local, tenancy, "office", none()).await.unwrap();
    network_sources::update_network_source(local, tenancy, &source.ocid, none()).await.unwrap();
    network_sources::delete_network_source(local, tenancy, &source.ocid).await.unwrap();
    let prod = compartments::create_compartment(local, &tenancy.root_ocid, "prod", "").await.unwrap();
    compartments::move_compartment(local, &dev.ocid, &prod.ocid).await.unwrap();
    let none =
        || DynamicGroupText { matching_rule: Some("resource.id = 'x'".to_owned()), ..Default::default() };
    let machines = dynamic_groups::create_dynamic_group(local, tenancy, "machines", none()).await.unwrap();
    dynamic_groups::update_dynamic_group(local, tenancy, &machines.ocid, none()).await.unwrap();
    dynamic_groups::delete_dynamic_group(local, tenancy, &machines.ocid).await.unwrap();
    run_everything_on_tags(local, &tenancy.root_ocid, &dev.ocid).await;
    compartments::delete_compartment(local, &dev.ocid).await.unwrap();
    compartments::recover_compartment(local, &dev.ocid).await.unwrap();
    let much_later =
        installation.iam.local_administrator(Request { now: NOW.plus_seconds(31 * 86_400), ..request() });
    installation.iam.issue_registry_token(&much_later, Cap::None).await.unwrap();
}

async fn run_everything_on_tags(local: &Ctx, root: &str, elsewhere: &str) {
    let of_namespace = TagNamespaceText::default;
    let ops = tag_namespaces::create_tag_namespace(local, root, "Ops", of_namespace()).await.unwrap();
    tag_namespaces::change_tag_namespace_compartment(local, &ops.ocid, elsewhere).await.unwrap();
    let of_tag = TagDefinitionText::default;
    tag_definitions::create_tag_definition(local, &ops.ocid, "Stage", of_tag()).await.unwrap();
    let retired = TagDefinitionText { is_retired: Some(true), ..of_tag() };
    tag_definitions::update_tag_definition(local, &ops.ocid, "stage", retired).await.unwrap();
    tag_definitions::delete_tag_definition(local, &ops.ocid, "STAGE").await.unwrap();
    let retired = TagNamespaceText { is_retired: Some(true), ..of_namespace() };
    tag_namespaces::update_tag_namespace(local, &ops.ocid, retired).await.unwrap();
    tag_namespaces::cascade_delete_tag_namespace(local, &ops.ocid).await.unwrap();
    let again = tag_namespaces::create_tag_namespace(local, root, "ops", of_namespace()).await.unwrap();
    tag_namespaces::delete_tag_namespace(local, &again.ocid).await.unwrap();
}

on_each_engine! {
    async fn every_operation_leaves_exactly_one_record(store: Store) {
        let installation = found(store).await;
        run_everything(&installation).await;
        let audited = installation.audited_operations().await;
        let distinct: HashSet<&str> = audited.iter().map(String::as_str).collect();
        let declared = wharfinger_iam::OPERATIONS.iter().copied().flatten();
        let declared: HashSet<&str> =
            declared.filter(|operation| operation.record == Record::One).map(|operation| operation.name).collect();
        assert_eq!(distinct, declared, "an operation is not run by this test, or leaves no record");
        // The name of a tag namespace is taken twice, and a compartment is moved into a second one.
        assert_eq!(audited.len(), declared.len() + 2);
    }

    async fn a_record_says_who_what_and_when_and_holds_no_secret(store: Store) {
        let installation = found(store).await;
        let secret = installation.add_user("alice").await;
        let records = installation.audit_records().await;
        let record = records.last().unwrap();
        assert_eq!(record["operation"], "create_auth_token");
        assert_eq!(record["principalId"], "local-administrator");
        assert_eq!(record["eventTime"], "2027-01-15T08:00:00.000Z");
        assert_eq!(record["requestId"], "test");
        let all = serde_json::to_string(&records).unwrap();
        assert!(!all.contains(&secret) && !all.contains(installation.founding.auth_token.reveal()));
    }

    async fn a_user_has_two_tokens_at_most_however_many_ask_at_once(store: Store) {
        let installation = found(store).await;
        users::create_user(&installation.local(), &installation.tenancy, "alice").await.unwrap();
        let attempts = (0..50).map(|_| {
            let installation = installation.clone();
            async move {
                auth_tokens::create_auth_token(&installation.local(), &installation.tenancy, "alice", "x").await.is_ok()
            }
        });
        let outcomes = attempts.collect::<JoinSet<_>>().join_all().await;
        let made = outcomes.into_iter().filter(|made| *made).count();
        assert_eq!(made, 2);
        let tokens = auth_tokens::list_auth_tokens(&installation.local(), &installation.tenancy, "alice").await.unwrap();
        assert_eq!(tokens.len(), 2);
    }

    async fn names_are_checked_and_taken_once(store: Store) {
        let installation = found(store).await;
        let (local, tenancy) = (installation.local(), &installation.tenancy);
        users::create_user(&local, tenancy, "alice").await.unwrap();
        let again = users::create_user(&local, tenancy, "Default/alice").await;
        assert!(matches!(again, Err(Error::NameTaken { .. })), "{again:?}");
        for bad in ["", "a b", "a\0b", "ä", "Nowhere/x/y", &"x".repeat(101)] {
            let refused = users::create_user(&local, tenancy, bad).await;
            assert!(matches!(refused, Err(Error::Invalid { .. })), "{bad}: {refused:?}");
        }
        let elsewhere = users::create_user(&local, tenancy, "Nowhere/alice").await;
        assert!(matches!(elsewhere, Err(Error::NotFound { what: "domain", .. })), "{elsewhere:?}");
        let again = tenancies::create_tenancy(&local, "acme", Some("acme".parse().unwrap())).await;
        assert!(matches!(again, Err(Error::NameTaken { what: "tenancy", .. })), "{again:?}");
    }

    async fn only_administrators_administer_and_only_their_own_tenancy(store: Store) {
        let installation = found(store).await;
        let tenancy = &installation.tenancy;
        let secret = installation.add_user("alice").await;
        let alice = installation.iam.login(request(), "acme/alice", &secret).await.unwrap();
        let refused = users::create_user(&alice, tenancy, "bob").await;
        assert!(matches!(refused, Err(Error::Denied { .. })), "{refused:?}");
        let refused = users::create_user(&installation.anonymous(), tenancy, "bob").await;
        assert!(matches!(refused, Err(Error::Unauthenticated)), "{refused:?}");
        // A user that is there and one that is not look alike.
        let (there, missing) =
            (users::delete_user(&alice, tenancy, "alice").await, users::delete_user(&alice, tenancy, "nobody").await);
        assert_eq!(there.unwrap_err().to_string(), missing.unwrap_err().to_string());

        let other = tenancies::create_tenancy(&installation.local(), "Other", Some("other".parse().unwrap())).await.unwrap();
        let foreign = installation.iam.login(request(), "other/admin", other.auth_token.reveal()).await.unwrap();
        let refused = users::create_user(&foreign, tenancy, "bob").await;
        assert!(matches!(refused, Err(Error::Denied { .. })), "{refused:?}");
        let refused = tenancies::create_tenancy(&installation.administrator().await, "Third", None).await;
        assert!(matches!(refused, Err(Error::Denied { .. })), "{refused:?}");
    }

    async fn users_are_listed_page_by_page_in_order(store: Store) {
        let installation = found(store).await;
        let (local, tenancy) = (installation.local(), &installation.tenancy);
        for name in ["bob", "Zoe", "alice"] {
            users::create_user(&local, tenancy, name).await.unwrap();
        }
        let mut seen = Vec::new();
        let mut last = None;
        loop {
            let page = users::list_users(&local, tenancy, &Listing::by_name(2, last)).await.unwrap();
            seen.extend(page.rows.iter().map(|user| user.name.clone()));
            last = page.next_page;
            if last.is_none() {
                break;
            }
        }
        assert_eq!(seen, ["Zoe", "admin", "alice", "bob"]);
    }

    async fn two_first_starts_at_once_found_one_tenancy(store: Store) {
        let starts = (0..4).map(|_| {
            let iam = Iam::new(store.clone(), 3600, Limits::default());
            async move {
                let settings = wharfinger_iam::FoundingSettings {
                    namespace: None,
                    tenancy_id: None,
                    region: "local-1".to_owned(),
                    region_key: "LCL".to_owned(),
                    create_on_first_push: true,
                };
                iam.bootstrap(request(), settings, |_| Ok(())).await.unwrap().is_some()
            }
        });
        let outcomes = starts.collect::<JoinSet<_>>().join_all().await;
        let founded = outcomes.into_iter().filter(|founded| *founded).count();
        assert_eq!(founded, 1);
    }
}
