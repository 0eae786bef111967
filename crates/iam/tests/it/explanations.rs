//! Decisions with their reasons, and what the policies give whom.

use wharfinger_iam::explanations::{self, Explanation, Question, Right};
use wharfinger_iam::policies::{self, PolicyText};
use wharfinger_iam::{Ctx, Error, Target, compartments, groups, users};
use wharfinger_metastore::Store;
use wharfinger_testkit::on_each_engine;
use wharfinger_testkit::services::{Installation, found, request};
use wharfinger_types::{Page, Permission, Timestamp};

const NIGHT: &str = "2027-01-15T23:00:00Z";
const READS: &str = "Allow group Builders to read repos in compartment dev";
const DAYTIME: &str = "Allow group Builders to manage repos in compartment dev where all {target.repo.name = /team-*/, request.utc-timestamp before '2027-01-15T20:00:00Z'}";

/// Compartments `dev`, `dev:old`, `prod`; the policy `builders` in the root; alice, of the group `Builders`,
/// with her auth token.
async fn installation(store: Store) -> (Installation, String) {
    let installation = found(store).await;
    let (local, tenancy) = (installation.local(), &installation.tenancy);
    let secret = installation.add_user("alice").await;
    groups::create_group(&local, tenancy, "Builders").await.unwrap();
    groups::add_user_to_group(&local, tenancy, "Builders", "alice").await.unwrap();
    let root = &tenancy.root_ocid;
    let dev = compartments::create_compartment(&local, root, "dev", "").await.unwrap();
    compartments::create_compartment(&local, &dev.ocid, "old", "").await.unwrap();
    compartments::create_compartment(&local, root, "prod", "").await.unwrap();
    let text = PolicyText {
        statements: Some([READS, DAYTIME].map(str::to_owned).to_vec()),
        ..PolicyText::default()
    };
    policies::create_policy(&local, root, "builders", text).await.unwrap();
    (installation, secret)
}

async fn target(installation: &Installation, path: &str, repository: &str) -> Target {
    let right = Permission::CompartmentInspect;
    let compartment = compartments::by_path(&installation.local(), &installation.tenancy, path, right).await;
    Target {
        compartment: Some(compartment.unwrap().ocid.parse().unwrap()),
        repository: Some(repository.to_owned()),
        ..Target::tenancy(installation.tenancy.id)
    }
}

fn question(user: &str, permission: Permission, target: Target) -> Question<'_> {
    Question { user, permission, target, at: None, from: None }
}

async fn explain(installation: &Installation, question: &Question<'_>) -> Explanation {
    explanations::explain_decision(&installation.local(), &installation.tenancy, question).await.unwrap()
}

fn in_short(rights: &[Right]) -> Vec<String> {
    let line = |right: &Right| {
        let effect = if right.is_denied { "-" } else { "+" };
        let by = right.statement.as_ref().map(|by| format!(" by {} {}", by.policy, by.index));
        let condition = right.condition.as_ref().map(|condition| format!(" if {condition}"));
        let permissions: Vec<_> = right.permissions.iter().map(|permission| permission.as_str()).collect();
        format!(
            "{effect} {}: {} in {}{}{}",
            right.subject,
            permissions.join(","),
            right.compartment,
            by.unwrap_or_default(),
            condition.unwrap_or_default()
        )
    };
    rights.iter().map(line).collect()
}

on_each_engine! {
    async fn an_explanation_is_the_decision_with_its_reason(store: Store) {
        let (installation, secret) = installation(store).await;
        let login = installation.iam.login(request(), "acme/alice", &secret).await.unwrap();
        for path in ["dev", "dev:old", "prod", ""] {
            for permission in [Permission::RepositoryRead, Permission::RepositoryUpdate, Permission::UserRead] {
                for repository in ["team-a", "other"] {
                    let target = target(&installation, path, repository).await;
                    let allowed = login.allows(permission, &target);
                    let explained = explain(&installation, &question("alice", permission, target)).await;
                    assert_eq!(explained.is_allowed, allowed, "{permission} on {repository} in {path}");
                    assert_eq!(explained.statement.is_some(), allowed);
                    assert_eq!(explained.missing_in.is_none(), allowed);
                    assert!(explained.notes.is_empty(), "{explained:?}");
                }
            }
        }

        let team = target(&installation, "dev:old", "team-a").await;
        let by = explain(&installation, &question("alice", Permission::RepositoryUpdate, team)).await.statement;
        let by = by.unwrap();
        assert_eq!((by.policy.as_str(), by.index, by.text.as_str()), ("builders", 2, DAYTIME));

        let other = target(&installation, "dev", "other").await;
        let refused = explain(&installation, &question("alice", Permission::RepositoryUpdate, other)).await;
        assert_eq!(refused.missing_in.as_deref(), Some("dev"));
        let nearest: Vec<_> = refused
            .nearest
            .iter()
            .map(|near| (near.statement.index, near.clause, near.text.as_str()))
            .take(2)
            .collect();
        assert_eq!(nearest, [(2, "condition", "target.repo.name = /team-*/"), (1, "action", "read repos")]);
    }

    async fn a_question_is_about_the_time_that_it_names(store: Store) {
        let (installation, _) = installation(store).await;
        let target = target(&installation, "dev", "team-a").await;
        let day = question("alice", Permission::RepositoryUpdate, target.clone());
        assert!(explain(&installation, &day).await.is_allowed);
        let night = Question { at: Timestamp::from_rfc_3339(NIGHT), ..day };
        let refused = explain(&installation, &night).await;
        assert!(!refused.is_allowed);
        assert_eq!(refused.nearest[0].text, "request.utc-timestamp before '2027-01-15T20:00:00Z'");
    }

    async fn what_keeps_a_user_out_is_said(store: Store) {
        let (installation, _) = installation(store).await;
        let (local, tenancy) = (&installation.local(), &installation.tenancy);
        let dev = target(&installation, "dev", "app").await;
        users::create_user(local, tenancy, "bob").await.unwrap();
        let bob = explain(&installation, &question("bob", Permission::RepositoryRead, dev.clone())).await;
        assert!(!bob.is_allowed);
        assert_eq!(bob.nearest[0].clause, "subject");
        assert_eq!(
            bob.notes,
            [
                "user `bob` has no auth token, so `docker login` fails: create one",
                "user `bob` is in no group: only statements about `any-user` name it",
                "no statement of any policy names user `bob` or one of its groups",
            ]
        );

        users::update_user_state(local, tenancy, "alice", false).await.unwrap();
        users::update_user_capabilities(local, tenancy, "alice", |all| all.with(wharfinger_iam::Capability::AuthTokens, false))
            .await
            .unwrap();
        let alice = explain(&installation, &question("alice", Permission::RepositoryRead, dev.clone())).await;
        assert!(!alice.is_allowed);
        assert_eq!(alice.statement, None);
        assert_eq!(
            alice.notes,
            [
                format!("user `alice` is inactive: switch it on to let it log in, then statement 1 of policy `builders` allows it: {READS}").as_str(),
                "user `alice` may not use auth tokens, so `docker login` fails: switch `canUseAuthTokens` on",
            ]
        );

        let public = Target { is_public: true, ..target(&installation, "prod", "open").await };
        let bob = explain(&installation, &question("bob", Permission::RepositoryRead, public.clone())).await;
        assert!(bob.is_allowed && bob.statement.is_none());
        assert_eq!(bob.notes[0], "the repository is public: anybody may inspect and read it");
        let bob = explain(&installation, &question("bob", Permission::RepositoryUpdate, public)).await;
        assert!(!bob.is_allowed);
    }

    async fn who_may_not_read_policies_is_shown_none(store: Store) {
        let (installation, secret) = installation(store).await;
        let tenancy = &installation.tenancy;
        let dev = target(&installation, "dev", "app").await;
        let allow = async |name: &str, what: &str| {
            let statements = Some(vec![format!("Allow group Builders to {what} in tenancy")]);
            let text = PolicyText { statements, ..PolicyText::default() };
            policies::create_policy(&installation.local(), &tenancy.root_ocid, name, text).await.unwrap()
        };
        // To see the user and the repository is not enough.
        allow("users", "inspect users").await;
        let alice = installation.iam.login(request(), "acme/alice", &secret).await.unwrap();
        let page = Page::after(10, None).unwrap();
        for ctx in [&alice, &installation.anonymous()] {
            let own = question("alice", Permission::RepositoryRead, dev.clone());
            let refusals = [
                explanations::explain_decision(ctx, tenancy, &own).await.map(drop),
                explanations::list_rights_of_user(ctx, tenancy, "alice", &page).await.map(drop),
                explanations::list_rights_on_repository(ctx, tenancy, &dev, &page).await.map(drop),
            ];
            for refused in refusals {
                let is_refused = matches!(refused, Err(Error::Denied { compartment: None, .. } | Error::Unauthenticated));
                assert!(is_refused, "{refused:?}");
            }
        }
        allow("policies", "inspect policies").await;
        let alice = installation.iam.login(request(), "acme/alice", &secret).await.unwrap();
        explanations::list_rights_of_user(&alice, tenancy, "alice", &page).await.unwrap();
        let administrator = installation.administrator().await;
        explanations::explain_decision(&administrator, tenancy, &question("alice", Permission::RepositoryRead, dev.clone()))
            .await
            .unwrap();
        let nobody = question("nobody", Permission::RepositoryRead, dev);
        let unknown = explanations::explain_decision(&administrator, tenancy, &nobody).await;
        assert!(matches!(unknown, Err(Error::NotFound { what: "user", .. })), "{unknown:?}");
    }

    async fn rights_are_listed_with_their_statements(store: Store) {
        let (installation, _) = installation(store).await;
        let (local, tenancy) = (&installation.local(), &installation.tenancy);
        let of_user = async |ctx: &Ctx, user: &str, limit: usize, last: Option<String>| {
            let page = Page::after(limit, last).unwrap();
            explanations::list_rights_of_user(ctx, tenancy, user, &page).await
        };
        let reads = "+ group Builders: REPOSITORY_INSPECT,REPOSITORY_READ in dev by builders 1";
        let manages = "+ group Builders: REPOSITORY_INSPECT,REPOSITORY_READ,REPOSITORY_CREATE,REPOSITORY_DELETE,REPOSITORY_UPDATE,REPOSITORY_MANAGE in dev by builders 2 if all {target.repo.name = /team-*/, request.utc-timestamp before '2027-01-15T20:00:00Z'}";
        assert_eq!(in_short(&of_user(local, "alice", 10, None).await.unwrap().rows), [reads, manages]);
        let first = of_user(local, "alice", 1, None).await.unwrap();
        assert_eq!(in_short(&first.rows), [reads]);
        let second = of_user(local, "alice", 1, first.next_page).await.unwrap();
        assert_eq!((in_short(&second.rows), second.next_page), (vec![manages.to_owned()], None));
        assert!(of_user(local, "alice", 1, Some("nonsense".to_owned())).await.is_err());

        let on = async |target: &Target| {
            let page = Page::after(10, None).unwrap();
            explanations::list_rights_on_repository(local, tenancy, target, &page).await.unwrap().rows
        };
        let administrators = "+ group Administrators: REPOSITORY_INSPECT,REPOSITORY_READ,REPOSITORY_CREATE,REPOSITORY_DELETE,REPOSITORY_UPDATE,REPOSITORY_MANAGE in tenancy by Tenant Admin Policy 1";
        let old = target(&installation, "dev:old", "app").await;
        assert_eq!(in_short(&on(&old).await), [administrators, reads, manages]);
        let public = Target { is_public: true, ..target(&installation, "prod", "open").await };
        let anybody = "+ anybody: REPOSITORY_INSPECT,REPOSITORY_READ in prod";
        assert_eq!(in_short(&on(&public).await), [anybody, administrators]);
    }
}
