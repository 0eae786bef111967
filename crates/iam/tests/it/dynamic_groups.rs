//! Dynamic groups: their rules are checked, and nobody is in one.

use wharfinger_iam::dynamic_groups::{self, DynamicGroup, DynamicGroupText};
use wharfinger_iam::policies::{self, PolicyText};
use wharfinger_iam::{Conditions, Error, Listing};
use wharfinger_metastore::Store;
use wharfinger_testkit::on_each_engine;
use wharfinger_testkit::services::{Installation, found, request};
use wharfinger_types::Permission;

use crate::rights::{builder, repository};

fn rule(text: &str) -> DynamicGroupText {
    DynamicGroupText { matching_rule: Some(text.to_owned()), ..DynamicGroupText::default() }
}

async fn machines(installation: &Installation, text: &str) -> Result<DynamicGroup, Error> {
    dynamic_groups::create_dynamic_group(&installation.local(), &installation.tenancy, "machines", rule(text))
        .await
}

on_each_engine! {
    async fn a_rule_is_checked_and_a_mistake_named_with_its_place(store: Store) {
        let installation = found(store).await;
        let (local, tenancy) = (installation.local(), &installation.tenancy);
        for (text, expected) in [
            ("resource.typ = 'instance'", "1:1: error: expected `instance.id`"),
            ("", "1:1: error: expected a comparison"),
            ("resource.id = 'a\0b'", "use no NUL"),
        ] {
            let refused = machines(&installation, text).await.unwrap_err();
            assert!(matches!(&refused, Error::MatchingRule(message) if message.contains(expected)), "{refused:?}");
        }
        let made = machines(&installation, "resource.type = 'instance'").await.unwrap();
        assert!(matches!(machines(&installation, "resource.id = 'x'").await, Err(Error::NameTaken { .. })));
        let stale = local.clone().under(Conditions::new(Some("7"), None, "", b"").unwrap());
        let stale = dynamic_groups::update_dynamic_group(&stale, tenancy, &made.ocid, rule("resource.id = 'x'")).await;
        assert!(matches!(stale, Err(Error::NoEtagMatch)), "{stale:?}");
        let wrong = dynamic_groups::update_dynamic_group(&local, tenancy, &made.ocid, rule("any {}")).await;
        assert!(matches!(wrong, Err(Error::MatchingRule(_))), "{wrong:?}");
        let changed = dynamic_groups::update_dynamic_group(&local, tenancy, &made.ocid, rule("resource.id = 'x'")).await;
        assert_eq!(changed.unwrap().revision, 2);
        let listed = dynamic_groups::list_dynamic_groups(&local, tenancy, &Listing::by_name(10, None)).await.unwrap();
        assert_eq!(listed.rows[0].matching_rule, "resource.id = 'x'");
        dynamic_groups::delete_dynamic_group(&local, tenancy, &made.ocid).await.unwrap();
        let gone = dynamic_groups::get_dynamic_group(&local, tenancy, &made.ocid).await;
        assert!(matches!(gone, Err(Error::NotFound { .. })), "{gone:?}");
    }

    async fn a_statement_about_a_dynamic_group_is_about_nobody(store: Store) {
        let installation = found(store).await;
        let (local, root) = (installation.local(), installation.tenancy.root_ocid.clone());
        let secret = builder(&installation).await;
        // Not even if users are in a group of that name.
        for name in ["Builders", "machines"] {
            dynamic_groups::create_dynamic_group(&local, &installation.tenancy, name, rule("resource.id = 'x'"))
                .await
                .unwrap();
        }
        let statement = "Allow dynamic-group Builders, machines to manage all-resources in tenancy".to_owned();
        let text = PolicyText { statements: Some(vec![statement]), ..PolicyText::default() };
        policies::create_policy(&local, &root, "machines", text).await.unwrap();
        let alice = installation.iam.login(request(), "acme/alice", &secret).await.unwrap();
        assert!(!alice.allows(Permission::RepositoryRead, &repository(&installation, &root, "app")));
        let refused = dynamic_groups::list_dynamic_groups(&alice, &installation.tenancy, &Listing::by_name(10, None)).await;
        assert!(matches!(refused, Err(Error::Denied { .. })), "{refused:?}");
    }
}
