//! Network sources, and policies that look at where and when a request was made.

use std::net::IpAddr;

use wharfinger_iam::network_sources::{self, NetworkSource, NetworkSourceText};
use wharfinger_iam::policies::{self, Policy, PolicyText};
use wharfinger_iam::{
    Cap, Conditions, Ctx, Error, Listing, Request, Target, groups, memberships, tenancies, users,
};
use wharfinger_metastore::Store;
use wharfinger_testkit::on_each_engine;
use wharfinger_testkit::services::{Installation, NOW, found, request};
use wharfinger_types::Permission;

/// [`NOW`] is a Friday, 08:00 UTC.
const HOUR: i64 = 3600;
const OFFICE: &str = "10.1.0.7";
const ELSEWHERE: &str = "192.0.2.1";

/// A request from an address, some seconds after [`NOW`].
fn from(address: &str, seconds: i64) -> Request {
    let client_address: IpAddr = address.parse().unwrap();
    Request { now: NOW.plus_seconds(seconds), client_address: Some(client_address), ..request() }
}

fn networks(networks: &[&str]) -> NetworkSourceText {
    let public_sources = networks.iter().map(|text| (*text).to_owned()).collect();
    NetworkSourceText { public_sources: Some(public_sources), ..NetworkSourceText::default() }
}

async fn source(
    installation: &Installation,
    name: &str,
    text: NetworkSourceText,
) -> Result<NetworkSource, Error> {
    network_sources::create_network_source(&installation.local(), &installation.tenancy, name, text).await
}

async fn allow(installation: &Installation, name: &str, statement: &str) -> Policy {
    let text = PolicyText { statements: Some(vec![statement.to_owned()]), ..PolicyText::default() };
    let root = &installation.tenancy.root_ocid;
    policies::create_policy(&installation.local(), root, name, text).await.unwrap()
}

/// `alice`, of the group `Builders`; her auth token.
async fn builder(installation: &Installation) -> String {
    let secret = installation.add_user("alice").await;
    let (local, tenancy) = (installation.local(), &installation.tenancy);
    groups::create_group(&local, tenancy, "Builders").await.unwrap();
    memberships::add_user_to_group(&local, tenancy, "Builders", "alice").await.unwrap();
    secret
}

async fn login(installation: &Installation, secret: &str, request: Request) -> Ctx {
    installation.iam.login(request, "acme/alice", secret).await.unwrap()
}

fn reads(installation: &Installation, ctx: &Ctx) -> bool {
    ctx.allows(Permission::RepositoryRead, &Target::tenancy(installation.tenancy.id))
}

on_each_engine! {
    async fn a_policy_for_the_office_and_its_hours_holds_there_and_then_only(store: Store) {
        let installation = found(store).await;
        let secret = builder(&installation).await;
        source(&installation, "office", networks(&["10.1.0.0/16", "2001:db8:1::/48", "198.51.100.7"])).await.unwrap();
        let statement = "Allow group Builders to read repos in tenancy where all {
            request.networkSource.name = 'office',
            request.utc-timestamp.time-of-day between '08:00:00Z' and '17:00:00Z',
            request.utc-timestamp.day-of-week in ('monday', 'tuesday', 'wednesday', 'thursday', 'friday')}";
        allow(&installation, "office", statement).await;
        for (address, seconds, is_allowed) in [
            (OFFICE, 0, true),
            (OFFICE, 9 * HOUR, true),
            (OFFICE, 9 * HOUR + 1, false),
            (OFFICE, -1, false),
            (OFFICE, 24 * HOUR, false),
            (OFFICE, 72 * HOUR, true),
            (ELSEWHERE, 0, false),
            ("10.2.0.7", 0, false),
            ("198.51.100.7", 0, true),
            ("198.51.100.8", 0, false),
            ("2001:db8:1:2::3", 0, true),
            ("2001:db8:2::3", 0, false),
            ("::ffff:10.1.0.7", 0, true),
        ] {
            let ctx = login(&installation, &secret, from(address, seconds)).await;
            assert_eq!(reads(&installation, &ctx), is_allowed, "{address} at {seconds} s");
        }
    }

    async fn the_request_after_a_change_of_a_source_is_decided_anew(store: Store) {
        let installation = found(store).await;
        let (local, tenancy, iam) = (installation.local(), &installation.tenancy, &installation.iam);
        let secret = builder(&installation).await;
        let office = source(&installation, "office", networks(&["10.1.0.0/16"])).await.unwrap();
        allow(&installation, "office", "Allow group Builders to read repos in tenancy where request.networkSource.name = 'office'").await;
        // A registry token carries no place with it.
        let inside = login(&installation, &secret, from(OFFICE, 0)).await;
        let token = iam.issue_registry_token(&inside, Cap::None).await.unwrap();
        let reads_from = async |address: &str| {
            reads(&installation, &iam.bearer(from(address, 1), token.token.reveal()).await.unwrap())
        };
        assert!(reads_from(OFFICE).await && !reads_from(ELSEWHERE).await);

        let update = network_sources::update_network_source(&local, tenancy, &office.ocid, networks(&["192.0.2.0/24"]));
        assert_eq!(update.await.unwrap().public_sources(), ["192.0.2.0/24"]);
        assert!(!reads_from(OFFICE).await && reads_from(ELSEWHERE).await);
        network_sources::delete_network_source(&local, tenancy, &office.ocid).await.unwrap();
        assert!(!reads_from(OFFICE).await && !reads_from(ELSEWHERE).await);
        source(&installation, "office", networks(&[OFFICE])).await.unwrap();
        assert!(reads_from(OFFICE).await && !reads_from(ELSEWHERE).await);
        // What was decided for a request stays so.
        assert!(reads(&installation, &inside));
    }

    async fn a_request_is_in_every_source_that_has_its_address(store: Store) {
        let installation = found(store).await;
        let secret = builder(&installation).await;
        source(&installation, "company", networks(&["10.0.0.0/8"])).await.unwrap();
        source(&installation, "office", networks(&["10.1.0.0/16"])).await.unwrap();
        source(&installation, "nobody", NetworkSourceText::default()).await.unwrap();
        for (name, condition, inside, outside) in [
            ("a", "= 'company'", true, false),
            ("b", "= 'OFFICE'", true, false),
            ("c", "= 'nobody'", false, false),
            ("d", "!= 'office'", false, true),
            ("e", "= 'nowhere'", false, false),
            ("f", "= /off*/", true, false),
        ] {
            let statement =
                format!("Allow group Builders to read repos in tenancy where request.networkSource.name {condition}");
            let made = allow(&installation, name, &statement).await;
            for (address, expected) in [(OFFICE, inside), (ELSEWHERE, outside)] {
                let ctx = login(&installation, &secret, from(address, 0)).await;
                assert_eq!(reads(&installation, &ctx), expected, "{condition} from {address}");
            }
            policies::delete_policy(&installation.local(), &made.ocid).await.unwrap();
        }
    }

    async fn a_policy_for_one_operation_gives_no_other(store: Store) {
        let installation = found(store).await;
        let secret = builder(&installation).await;
        allow(&installation, "get", "Allow group Builders to read users in tenancy where request.operation = 'GetUser'").await;
        for (operation, is_allowed) in [(Some("GetUser"), true), (Some("ListUsers"), false), (None, false)] {
            let asked = Request { operation: operation.map(Into::into), ..request() };
            let ctx = login(&installation, &secret, asked).await;
            let found = users::get_user(&ctx, &installation.tenancy, "admin").await;
            assert_eq!(found.is_ok(), is_allowed, "{operation:?}");
        }
    }

    async fn names_addresses_and_numbers_are_checked(store: Store) {
        let installation = found(store).await;
        let (local, tenancy) = (installation.local(), &installation.tenancy);
        let office = source(&installation, "office", networks(&["10.0.0.0/8"])).await.unwrap();
        let again = source(&installation, "office", networks(&[])).await;
        assert!(matches!(again, Err(Error::NameTaken { .. })), "{again:?}");
        for bad in ["", "a b", "a\0b", "a/b", &"x".repeat(101)] {
            let refused = source(&installation, bad, networks(&[])).await;
            assert!(matches!(refused, Err(Error::Invalid { field: "name", .. })), "{bad}: {refused:?}");
        }
        for bad in ["", "10.0.0.0/33", "10.0.0", "host.example", "10.0.0.1-10.0.0.9", "10.0.0.1\0", " 10.0.0.1"] {
            let refused = source(&installation, "bad", networks(&["10.0.0.1", bad])).await;
            assert!(matches!(refused, Err(Error::Invalid { field: "publicSourceList", .. })), "{bad}: {refused:?}");
            let refused = network_sources::update_network_source(&local, tenancy, &office.ocid, networks(&[bad])).await;
            assert!(matches!(refused, Err(Error::Invalid { field: "publicSourceList", .. })), "{bad}: {refused:?}");
        }
        let refused = source(&installation, "many", networks(&["10.0.0.1"; 51])).await;
        assert!(matches!(refused, Err(Error::Invalid { field: "publicSourceList", .. })), "{refused:?}");
        for number in 1..50 {
            source(&installation, &format!("source{number}"), networks(&[])).await.unwrap();
        }
        let refused = source(&installation, "one-more", networks(&[])).await;
        assert!(matches!(refused, Err(Error::LimitExceeded(_))), "{refused:?}");

        let stale = local.clone().under(Conditions::new(Some("7"), None, "", b"").unwrap());
        let refused = network_sources::delete_network_source(&stale, tenancy, &office.ocid).await;
        assert!(matches!(refused, Err(Error::NoEtagMatch)), "{refused:?}");
        let refused = network_sources::update_network_source(&stale, tenancy, &office.ocid, networks(&[])).await;
        assert!(matches!(refused, Err(Error::NoEtagMatch)), "{refused:?}");
        let unchanged = network_sources::get_network_source(&local, tenancy, &office.ocid).await.unwrap();
        assert_eq!((unchanged.revision, unchanged.public_sources()), (1, vec!["10.0.0.0/8".to_owned()]));
    }

    async fn sources_are_seen_and_changed_by_those_who_may_and_in_their_tenancy_only(store: Store) {
        let installation = found(store).await;
        let tenancy = &installation.tenancy;
        let secret = builder(&installation).await;
        let office = source(&installation, "office", networks(&[OFFICE])).await.unwrap();
        let other = tenancies::create_tenancy(&installation.local(), "Other", Some("other".parse().unwrap())).await.unwrap();
        let foreign = installation.iam.login(request(), "other/admin", other.auth_token.reveal()).await.unwrap();
        let alice = login(&installation, &secret, request()).await;
        let all = Listing::by_name(10, None);
        for ctx in [&alice, &foreign] {
            let mut refusals = Vec::new();
            for ocid in [office.ocid.as_str(), "ocid1.networksource.oc1..none"] {
                refusals.push(network_sources::get_network_source(ctx, tenancy, ocid).await.unwrap_err());
                let update = network_sources::update_network_source(ctx, tenancy, ocid, networks(&[]));
                refusals.push(update.await.unwrap_err());
                refusals.push(network_sources::delete_network_source(ctx, tenancy, ocid).await.unwrap_err());
            }
            refusals.push(network_sources::list_network_sources(ctx, tenancy, &all).await.unwrap_err());
            refusals.push(network_sources::create_network_source(ctx, tenancy, "office", networks(&[])).await.unwrap_err());
            for refusal in refusals {
                assert_eq!(refusal.to_string(), "access denied, or no such resource");
            }
        }

        allow(&installation, "use", "Allow group Builders to use network-sources in tenancy").await;
        let alice = login(&installation, &secret, request()).await;
        network_sources::update_network_source(&alice, tenancy, &office.ocid, networks(&[ELSEWHERE])).await.unwrap();
        let listed = network_sources::list_network_sources(&alice, tenancy, &all).await.unwrap();
        assert_eq!(listed.rows.iter().map(|row| row.name.as_str()).collect::<Vec<_>>(), ["office"]);
        let refused = network_sources::delete_network_source(&alice, tenancy, &office.ocid).await.unwrap_err();
        assert!(refused.to_string().contains("NETWORK_SOURCE_DELETE"), "{refused}");
    }
}
