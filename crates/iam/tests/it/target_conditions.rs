//! Conditions of policies on the name or id of what is asked for.

use wharfinger_iam::dynamic_groups::{self, DynamicGroupText};
use wharfinger_iam::groups::{self, GroupChanges};
use wharfinger_iam::network_sources::{self, NetworkSourceText};
use wharfinger_iam::policies::{self, PolicyText};
use wharfinger_iam::users::UserChanges;
use wharfinger_iam::{Ctx, Error, memberships, users};
use wharfinger_metastore::Store;
use wharfinger_testkit::on_each_engine;
use wharfinger_testkit::services::{Installation, found, request};

use crate::rights::{builder, policy};

/// `alice` of the group `Builders`, to whom these statements apply.
async fn alice(installation: &Installation, statements: &[&str]) -> Ctx {
    let secret = builder(installation).await;
    policy(installation, &installation.tenancy.root_ocid, "alice", statements).await.unwrap();
    installation.iam.login(request(), "acme/alice", &secret).await.unwrap()
}

fn is_refused<T>(outcome: Result<T, Error>) {
    let refused = outcome.err();
    assert!(matches!(refused, Some(Error::Denied { compartment: None, .. })), "{refused:?}");
}

on_each_engine! {
    async fn a_condition_keeps_a_group_from_being_joined_or_left(store: Store) {
        let installation = found(store).await;
        let (local, tenancy) = (installation.local(), &installation.tenancy);
        groups::create_group(&local, tenancy, "crew").await.unwrap();
        users::create_user(&local, tenancy, "bob").await.unwrap();
        let there = memberships::list_memberships(&local, tenancy, None, Some("Administrators"), (1, None));
        let there = there.await.unwrap().rows.remove(0);
        let alice = alice(&installation, &[
            "Allow group Builders to use users in tenancy where target.group.name != 'Administrators'",
            "Allow group Builders to use groups in tenancy where target.group.name != 'Administrators'",
        ]).await;
        let added = groups::add_user_to_group(&alice, tenancy, "crew", "bob").await.unwrap();
        memberships::get_membership(&alice, tenancy, &added.ocid).await.unwrap();
        memberships::list_memberships(&alice, tenancy, Some("bob"), Some("crew"), (1, None)).await.unwrap();
        memberships::remove_membership(&alice, tenancy, &added.ocid).await.unwrap();
        groups::add_user_to_group(&alice, tenancy, "crew", "bob").await.unwrap();
        groups::remove_user_from_group(&alice, tenancy, "crew", "bob").await.unwrap();

        is_refused(groups::add_user_to_group(&alice, tenancy, "Administrators", "bob").await);
        is_refused(groups::remove_user_from_group(&alice, tenancy, "Administrators", "admin").await);
        is_refused(memberships::remove_membership(&alice, tenancy, &there.ocid).await);
        is_refused(memberships::get_membership(&alice, tenancy, &there.ocid).await);
        // Where one of the two is not there, it is as without any right.
        is_refused(groups::add_user_to_group(&alice, tenancy, "nobodys", "bob").await);
        is_refused(groups::add_user_to_group(&alice, tenancy, "crew", "nobody").await);
        // A user alone is in no group that is asked for.
        is_refused(users::update_user(&alice, tenancy, "bob", UserChanges::default()).await);
        let changes = || GroupChanges { description: Some("d".to_owned()), ..GroupChanges::default() };
        groups::update_group(&alice, tenancy, "crew", changes()).await.unwrap();
        is_refused(groups::update_group(&alice, tenancy, "Administrators", changes()).await);
        for (group, user) in [("nobodys", "bob"), ("crew", "nobody")] {
            let absent = groups::add_user_to_group(&local, tenancy, group, user).await;
            assert!(matches!(absent, Err(Error::NotFound { .. })), "{absent:?}");
        }
    }

    async fn a_condition_on_the_user_holds_for_it_and_its_memberships(store: Store) {
        let installation = found(store).await;
        let (local, tenancy) = (installation.local(), &installation.tenancy);
        users::create_user(&local, tenancy, "bob").await.unwrap();
        let carol = users::create_user(&local, tenancy, "carol").await.unwrap();
        let by_id = format!("Allow group Builders to inspect users in tenancy where target.user.id = '{}'", carol.ocid);
        let alice = alice(&installation, &[
            "Allow group Builders to use users in tenancy where target.user.name = 'bob'",
            "Allow group Builders to use groups in tenancy where target.user.name = 'bob'",
            &by_id,
        ]).await;
        users::update_user(&alice, tenancy, "bob", UserChanges::default()).await.unwrap();
        groups::add_user_to_group(&alice, tenancy, "Builders", "bob").await.unwrap();
        users::get_user(&alice, tenancy, "carol").await.unwrap();
        is_refused(users::get_user(&alice, tenancy, "admin").await);
        is_refused(users::update_user(&alice, tenancy, "admin", UserChanges::default()).await);
        is_refused(groups::add_user_to_group(&alice, tenancy, "Builders", "carol").await);
        is_refused(groups::get_group(&alice, tenancy, "Builders").await);
    }

    async fn a_policy_a_network_source_and_a_dynamic_group_by_name(store: Store) {
        let installation = found(store).await;
        let (local, tenancy) = (installation.local(), &installation.tenancy);
        let mut ocids = Vec::new();
        for name in ["ours", "theirs"] {
            let statements = ["Allow any-user to inspect repos in tenancy"];
            let policy = policy(&installation, &tenancy.root_ocid, name, &statements).await.unwrap();
            let source = network_sources::create_network_source(&local, tenancy, name, NetworkSourceText::default());
            let rule = Some("resource.id = 'x'".to_owned());
            let text = DynamicGroupText { matching_rule: rule, ..DynamicGroupText::default() };
            let group = dynamic_groups::create_dynamic_group(&local, tenancy, name, text);
            ocids.push((policy.ocid, source.await.unwrap().ocid, group.await.unwrap().ocid));
        }
        let alice = alice(&installation, &[
            "Allow group Builders to manage policies in tenancy where target.policy.name = 'ours'",
            "Allow group Builders to manage network-sources in tenancy where target.network-source.name = 'ours'",
            "Allow group Builders to manage dynamic-groups in tenancy where target.dynamic-group.name = 'ours'",
        ]).await;
        let [(policy, source, group), (others_policy, others_source, others_group)] = ocids.as_slice() else {
            panic!("{ocids:?}")
        };
        let text = || PolicyText {
            statements: Some(vec!["Allow any-user to read repos in tenancy".to_owned()]),
            ..PolicyText::default()
        };
        policies::update_policy(&alice, policy, text()).await.unwrap();
        is_refused(policies::update_policy(&alice, others_policy, text()).await);
        let text = NetworkSourceText::default;
        network_sources::update_network_source(&alice, tenancy, source, text()).await.unwrap();
        is_refused(network_sources::update_network_source(&alice, tenancy, others_source, text()).await);
        dynamic_groups::delete_dynamic_group(&alice, tenancy, group).await.unwrap();
        is_refused(dynamic_groups::delete_dynamic_group(&alice, tenancy, others_group).await);
    }
}
