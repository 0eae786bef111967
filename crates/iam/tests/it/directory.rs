//! Users, groups and memberships as they are found, sorted, changed and taken apart.

use tokio::task::JoinSet;
use wharfinger_iam::groups::GroupChanges;
use wharfinger_iam::users::{NewUser, UserChanges};
use wharfinger_iam::{
    Conditions, Error, LifecycleState, Listing, Request, SortBy, SortOrder, TagChanges, groups, memberships,
    users,
};
use wharfinger_metastore::Store;
use wharfinger_testkit::on_each_engine;
use wharfinger_testkit::services::{Installation, NOW, found, request};

fn if_match(etag: &str) -> Conditions {
    Conditions::new(Some(etag), None, "", b"").unwrap()
}

/// One freeform tag.
fn freeform(key: &str, value: &str) -> TagChanges {
    TagChanges { freeform: Some([(key.to_owned(), value.to_owned())].into()), defined: None }
}

/// Names of all users, read in pages of two.
async fn names(installation: &Installation, sort_by: SortBy, sort_order: SortOrder) -> Vec<String> {
    let mut names = Vec::new();
    let mut listing = Listing { sort_by, sort_order, ..Listing::by_name(2, None) };
    loop {
        let page = users::list_users(&installation.local(), &installation.tenancy, &listing).await.unwrap();
        names.extend(page.rows.into_iter().map(|user| user.name));
        listing.page = page.next_page;
        if listing.page.is_none() {
            return names;
        }
    }
}

on_each_engine! {
    async fn lists_are_sorted_both_ways_and_filtered(store: Store) {
        let installation = found(store).await;
        let tenancy = &installation.tenancy;
        for (seconds, name) in [(1, "zoe"), (2, "Bob"), (2, "alice"), (3, "bob")] {
            let at = Request { now: NOW.plus_seconds(seconds), ..request() };
            users::create_user(&installation.iam.local_administrator(at), tenancy, name).await.unwrap();
        }
        let by_name = names(&installation, SortBy::Name, SortOrder::Ascending).await;
        assert_eq!(by_name, ["Bob", "admin", "alice", "bob", "zoe"]);
        let mut reversed = names(&installation, SortBy::Name, SortOrder::Descending).await;
        reversed.reverse();
        assert_eq!(reversed, by_name);
        let by_age = names(&installation, SortBy::TimeCreated, SortOrder::Ascending).await;
        assert_eq!((by_age[0].as_str(), by_age[1].as_str(), by_age[4].as_str()), ("admin", "zoe", "bob"));
        let mut reversed = names(&installation, SortBy::TimeCreated, SortOrder::Descending).await;
        reversed.reverse();
        assert_eq!(reversed, by_age);

        let local = installation.local();
        users::update_user_state(&local, tenancy, "bob", false).await.unwrap();
        let list = async |name: Option<&str>, state| {
            let listing = Listing { name: name.map(str::to_owned), state, ..Listing::by_name(100, None) };
            let page = users::list_users(&local, tenancy, &listing).await.unwrap();
            page.rows.into_iter().map(|user| user.name).collect::<Vec<_>>()
        };
        assert_eq!(list(Some("bob"), None).await, ["bob"]);
        assert_eq!(list(None, Some(LifecycleState::Inactive)).await, ["bob"]);
        assert!(list(Some("bob"), Some(LifecycleState::Active)).await.is_empty());
        assert!(list(None, Some(LifecycleState::Deleted)).await.is_empty());
        for (page, sort_by) in [("x", SortBy::Name), ("alice:x", SortBy::TimeCreated), ("a\0:", SortBy::Name)] {
            let listing = Listing { sort_by, ..Listing::by_name(1, Some(page.to_owned())) };
            let refused = users::list_users(&local, tenancy, &listing).await;
            assert!(matches!(refused, Err(Error::Invalid { field: "page", .. })), "{refused:?}");
        }
    }

    async fn a_change_counts_and_one_that_expects_another_state_is_refused(store: Store) {
        let installation = found(store).await;
        let (local, tenancy) = (installation.local(), &installation.tenancy);
        let new = NewUser { name: "alice", description: "first", email: Some("a@b"), ..NewUser::default() };
        let user = users::create_user(&local, tenancy, new).await.unwrap();
        assert_eq!(user.revision, 1);
        let changes = || UserChanges {
            tags: freeform("team", "a"),
            ..UserChanges::default()
        };
        for (etag, passes) in [("2", false), ("1", true), ("1", false), ("\"2\"", true), ("*", true), ("x", false)] {
            let ctx = local.clone().under(if_match(etag));
            let outcome = users::update_user(&ctx, tenancy, &user.ocid, changes()).await;
            assert_eq!(outcome.is_ok(), passes, "{etag}");
            assert!(passes || matches!(outcome, Err(Error::NoEtagMatch)));
        }
        let user = users::get_user(&local, tenancy, "alice").await.unwrap();
        assert_eq!((user.revision, user.description.as_str(), user.email.as_deref()), (4, "first", Some("a@b")));
        assert_eq!(user.tags, r#"{"freeform":{"team":"a"}}"#);
        let refused = users::delete_user(&local.clone().under(if_match("3")), tenancy, "alice").await;
        assert!(matches!(refused, Err(Error::NoEtagMatch)));

        let too_long = UserChanges { description: Some("x".repeat(401)), ..UserChanges::default() };
        let bad_email = UserChanges { email: Some("nobody".to_owned()), ..UserChanges::default() };
        let bad_tag = UserChanges { tags: freeform("a.b", ""), ..UserChanges::default() };
        for (changes, wrong) in [(too_long, "description"), (bad_email, "email"), (bad_tag, "freeformTags")] {
            let refused = users::update_user(&local, tenancy, "alice", changes).await;
            assert!(matches!(refused, Err(Error::Invalid { field, .. }) if field == wrong), "{refused:?}");
        }
    }

    async fn groups_are_changed_and_deleted_when_empty(store: Store) {
        let installation = found(store).await;
        let (local, tenancy) = (installation.local(), &installation.tenancy);
        users::create_user(&local, tenancy, "alice").await.unwrap();
        let group = groups::create_group(&local, tenancy, "Builders").await.unwrap();
        let changes = GroupChanges { description: Some("they build".to_owned()), ..GroupChanges::default() };
        let group = groups::update_group(&local, tenancy, &group.ocid, changes).await.unwrap();
        assert_eq!((group.revision, group.description.as_str()), (2, "they build"));
        let added = groups::add_user_to_group(&local, tenancy, "Builders", "alice").await.unwrap();
        let again = groups::add_user_to_group(&local, tenancy, &group.ocid, "alice").await.unwrap();
        assert_eq!(added.ocid, again.ocid);
        let refused = groups::delete_group(&local, tenancy, "Builders").await;
        assert!(matches!(refused, Err(Error::Conflict(_))), "{refused:?}");

        let page = async |user, group| memberships::list_memberships(&local, tenancy, user, group, (1, None)).await;
        for (user, group) in [(Some("alice"), None), (None, Some("Builders")), (Some("alice"), Some("Builders"))] {
            let listed = page(user, group).await.unwrap();
            assert_eq!(listed.rows[0].ocid, added.ocid);
            assert_eq!(listed.next_page, None);
        }
        assert!(matches!(page(None, None).await, Err(Error::Missing { .. })));
        assert!(page(Some("alice"), Some("Administrators")).await.unwrap().rows.is_empty());
        assert_eq!(memberships::get_membership(&local, tenancy, &added.ocid).await.unwrap().user_name, "alice");

        memberships::remove_membership(&local, tenancy, &added.ocid).await.unwrap();
        let gone = memberships::remove_membership(&local, tenancy, &added.ocid).await;
        assert!(matches!(gone, Err(Error::NotFound { .. })), "{gone:?}");
        groups::delete_group(&local, tenancy, "Builders").await.unwrap();
        let refused = groups::delete_group(&local, tenancy, "Administrators").await;
        assert!(matches!(refused, Err(Error::Conflict(_))), "{refused:?}");
    }

    async fn a_tenancy_keeps_an_administrator_however_many_are_removed_at_once(store: Store) {
        let installation = found(store).await;
        let (local, tenancy) = (installation.local(), &installation.tenancy);
        for number in 0..49 {
            let name = format!("admin{number}");
            users::create_user(&local, tenancy, &name).await.unwrap();
            groups::add_user_to_group(&local, tenancy, "Administrators", &name).await.unwrap();
        }
        let listed = memberships::list_memberships(&local, tenancy, None, Some("Administrators"), (100, None));
        let members = listed.await.unwrap().rows;
        assert_eq!(members.len(), 50);
        let attempts = members.into_iter().enumerate().map(|(number, member)| {
            let installation = installation.clone();
            async move {
                let (local, tenancy) = (installation.local(), &installation.tenancy);
                if number % 2 == 0 {
                    memberships::remove_membership(&local, tenancy, &member.ocid).await.map(drop)
                } else {
                    users::delete_user(&local, tenancy, &member.user_ocid).await.map(drop)
                }
            }
        });
        let outcomes = attempts.collect::<JoinSet<_>>().join_all().await;
        let failed: Vec<Error> = outcomes.into_iter().filter_map(Result::err).collect();
        assert!(matches!(failed.as_slice(), [Error::Conflict(_)]), "{failed:?}");
        let listed = memberships::list_memberships(&local, tenancy, None, Some("Administrators"), (100, None));
        assert_eq!(listed.await.unwrap().rows.len(), 1);
    }

    async fn what_belongs_to_another_tenancy_is_as_if_it_were_not(store: Store) {
        let installation = found(store).await;
        let tenancy = &installation.tenancy;
        let other = wharfinger_iam::tenancies::create_tenancy(&installation.local(), "Other", None).await.unwrap();
        let admin = installation.administrator().await;
        let there = users::get_user(&admin, tenancy, &other.user_id).await.unwrap_err().to_string();
        let missing = users::get_user(&admin, tenancy, "ocid1.user.oc1..none").await.unwrap_err().to_string();
        assert_eq!(there.replace(&other.user_id, ""), missing.replace("ocid1.user.oc1..none", ""));
    }
}
