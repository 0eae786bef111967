//! What one sees of the tenancy: compartments by access, the namespace's metadata, its one region.

use wharfinger_iam::compartments::{self, AccessLevel, CompartmentText};
use wharfinger_iam::home::{self, NamespaceChanges};
use wharfinger_iam::{Error, Listing, tenancies};
use wharfinger_metastore::Store;
use wharfinger_testkit::on_each_engine;
use wharfinger_testkit::services::{found, request};

use crate::rights::{builder, compartment, policy};

on_each_engine! {
    async fn one_finds_the_way_to_what_one_may_see(store: Store) {
        let installation = found(store).await;
        let root = installation.tenancy.root_ocid.clone();
        let secret = builder(&installation).await;
        let (dev, prod) =
            (compartment(&installation, &root, "dev").await, compartment(&installation, &root, "prod").await);
        let team = compartment(&installation, &dev, "team").await;
        let inner = compartment(&installation, &team, "inner").await;
        compartment(&installation, &prod, "hidden").await;
        for ocid in [&dev, &team] {
            compartments::update_compartment(&installation.local(), ocid, None, CompartmentText { description: Some("secret".to_owned()), ..CompartmentText::default() }).await.unwrap();
        }
        let list = async |parent: &str, subtree, access| {
            let alice = installation.iam.login(request(), "acme/alice", &secret).await.unwrap();
            let listing = Listing::by_name(10, None);
            let listed = compartments::list_compartments(&alice, parent, subtree, access, &listing).await?;
            Ok::<_, Error>(listed.rows.into_iter().map(|row| format!("{} {}", row.name, row.description)).collect::<Vec<_>>())
        };
        let (there, missing) = (
            list(&root, true, AccessLevel::Accessible).await.unwrap_err(),
            list("ocid1.compartment.oc1..none", true, AccessLevel::Accessible).await.unwrap_err(),
        );
        assert_eq!(there.to_string(), missing.to_string());

        policy(&installation, &root, "team", &["Allow group Builders to inspect compartments in compartment dev:team"])
            .await
            .unwrap();
        assert!(list(&root, true, AccessLevel::Any).await.is_err());
        // Of what only leads there, no more than the name.
        assert_eq!(list(&root, true, AccessLevel::Accessible).await.unwrap(), ["dev ", "inner ", "team secret"]);
        assert_eq!(list(&root, false, AccessLevel::Accessible).await.unwrap(), ["dev "]);
        assert_eq!(list(&team, false, AccessLevel::Any).await.unwrap(), ["inner "]);
        assert!(list(&prod, false, AccessLevel::Accessible).await.is_err());
        assert!(matches!(list(&dev, true, AccessLevel::Accessible).await, Err(Error::Invalid { .. })));
        // Repositories that one may see lead to their compartment too.
        policy(&installation, &root, "repos", &["Allow group Builders to inspect repos in compartment prod"]).await.unwrap();
        let all = list(&root, true, AccessLevel::Accessible).await.unwrap();
        assert_eq!(all, ["dev ", "hidden ", "inner ", "prod ", "team secret"]);
        compartments::delete_compartment(&installation.local(), &inner).await.unwrap();
        assert_eq!(list(&root, true, AccessLevel::Accessible).await.unwrap().len(), 4);
    }

    async fn defaults_of_the_namespace_are_kept(store: Store) {
        let installation = found(store).await;
        let (local, tenancy) = (installation.local(), &installation.tenancy);
        let metadata = home::get_namespace_metadata(&local, tenancy).await.unwrap();
        assert_eq!((&metadata.s3_compartment, &metadata.swift_compartment), (&tenancy.ocid, &tenancy.ocid));
        let dev = compartment(&installation, &tenancy.root_ocid, "dev").await;
        let changes = NamespaceChanges { s3_compartment: Some(dev.clone()), swift_compartment: None };
        let metadata = home::update_namespace_metadata(&local, tenancy, &changes).await.unwrap();
        assert_eq!((&metadata.s3_compartment, &metadata.swift_compartment), (&dev, &tenancy.ocid));
        home::update_namespace_metadata(&local, tenancy, &NamespaceChanges::default()).await.unwrap();
        assert_eq!(home::get_namespace_metadata(&local, tenancy).await.unwrap().s3_compartment, dev);
        tenancies::create_tenancy(&local, "Other", Some("other".parse().unwrap())).await.unwrap();
        let other = local.tenancy(&"other".parse().unwrap(), wharfinger_types::Permission::NamespaceRead).await.unwrap();
        for wrong in [other.root_ocid, "ocid1.compartment.oc1..none".to_owned(), "none".to_owned()] {
            let changes = NamespaceChanges { s3_compartment: Some(wrong), swift_compartment: None };
            assert!(home::update_namespace_metadata(&local, tenancy, &changes).await.is_err());
        }
        let secret = builder(&installation).await;
        let alice = installation.iam.login(request(), "acme/alice", &secret).await.unwrap();
        let refused = home::update_namespace_metadata(&alice, tenancy, &NamespaceChanges::default()).await;
        assert!(matches!(refused, Err(Error::Denied { .. })), "{refused:?}");
    }

    async fn there_is_one_region_to_be_subscribed_to(store: Store) {
        let installation = found(store).await;
        let (local, tenancy) = (installation.local(), &installation.tenancy);
        home::create_region_subscription(&local, &tenancy.ocid, &tenancy.region_key).await.unwrap();
        let other = home::create_region_subscription(&local, &tenancy.ocid, "PHX").await;
        assert!(matches!(&other, Err(Error::Invalid { field: "regionKey", .. })), "{other:?}");
    }
}
