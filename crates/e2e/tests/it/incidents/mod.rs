//! What went wrong in other registries, and the test that shows it does not here.

mod access;
mod content;
mod stalled;

use std::fs;
use std::path::Path;

/// The modules here.
const OWN: [&str; 3] = ["access", "content", "stalled"];

/// How an incident is met.
enum Met {
    /// By tests, each `module::function`, of another crate `crate/module::function`.
    By(&'static [&'static str]),
    /// Not yet: what it would go wrong in is not here.
    Later(&'static str),
}
use Met::{By, Later};

/// Advisories by their number, other classes by what went wrong.
const INCIDENTS: &[(&str, Met)] = &[
    // Who may do what.
    (
        "CVE-2026-41888: one way to delete did not ask",
        By(&["access::cve_2026_41888_every_delete_needs_the_right_to_delete"]),
    ),
    (
        "CVE-2026-32589: uploads of others by their id",
        By(&[
            "access::cve_2026_32589_an_upload_belongs_to_its_repository",
            "registry/uploads::a_session_belongs_to_its_repository",
        ]),
    ),
    (
        "CVE-2025-24976: a key inside the token was believed",
        By(&["attack::cve_2025_24976_a_token_is_verified_with_our_keys_alone"]),
    ),
    (
        "CVE-2025-23208: a membership that was never revoked",
        By(&["rights::a_right_is_lost_at_the_next_request"]),
    ),
    (
        "CVE-2024-39897: a blob read or mounted by its digest alone",
        By(&["rights::a_blob_of_another_repository_is_not_read_or_taken_over_by_its_digest"]),
    ),
    (
        "CVE-2024-22278: a side door to a mutation",
        By(&["attack::nobody_gets_in_sees_or_changes_anything", "attack::every_operation_is_attacked"]),
    ),
    (
        "CVE-2024-5891: a token wider than its scope",
        By(&[
            "rights::a_token_is_no_wider_than_it_was_asked_for",
            "attack::a_refresh_token_is_no_better_than_its_auth_token",
        ]),
    ),
    (
        "CVE-2024-9683: a password cut at 72 bytes",
        By(&["access::cve_2024_9683_every_byte_of_a_password_counts"]),
    ),
    (
        "CVE-2023-20902: unknown users told from known ones",
        By(&["rights::wrong_credentials_are_refused_alike_and_challenged"]),
    ),
    (
        "CVE-2022-31666 to 31671: resources of others by their id",
        By(&["access::cve_2022_31667_an_id_of_another_owner_is_unknown"]),
    ),
    (
        "CVE-2022-46463, CVE-2020-29662: names enumerated without login",
        By(&[
            "rights::the_catalog_needs_a_login_and_shows_what_may_be_seen",
            "rights::a_private_repository_and_none_look_alike",
        ]),
    ),
    (
        "CVE-2026-4404: a default password",
        By(&["access::cve_2026_4404_no_default_credential_opens_anything"]),
    ),
    (
        "CVE-2019-16097: a field of the request made an administrator",
        By(&["access::cve_2019_16097_a_field_that_would_grant_is_refused"]),
    ),
    (
        "a token for a deleted repository worked on its successor",
        By(&["access::a_token_for_a_deleted_repository_is_nothing_to_its_successor"]),
    ),
    ("a privilege derived from a name", By(&["access::no_name_carries_a_privilege"])),
    ("a metrics endpoint with rights of its own", By(&["surface::health_and_metrics_are_where_they_belong"])),
    (
        "CVE-2026-31801: a tag overwritten with the right to create",
        Later("rights finer than push come with policy statements"),
    ),
    // What is read and written.
    (
        "CVE-2026-35172: a deleted blob came back through a cache",
        By(&["content::cve_2026_35172_a_blob_deleted_here_stays_there_and_only_there"]),
    ),
    ("CVE-2025-48374: secrets in the log", By(&["surface::no_secret_reaches_the_log"])),
    (
        "CVE-2025-30086: a list filtered on a hidden field",
        By(&["access::cve_2025_30086_a_list_is_filtered_by_nothing_hidden"]),
    ),
    ("CVE-2025-32019: what was pushed ran as a page", By(&["manifests::no_manifest_is_served_as_a_page"])),
    (
        "CVE-2024-22261: SQL in a parameter",
        By(&["access::cve_2024_22261_input_reaches_the_database_as_values_only"]),
    ),
    ("CVE-2023-2253: a page of any size", By(&["content::cve_2023_2253_a_page_of_any_size_is_bounded"])),
    ("CVE-2021-41190: a document of two kinds", By(&["content::cve_2021_41190_a_document_is_of_one_kind"])),
    ("CVE-2021-3762: a path that leaves its place", By(&["content::cve_2021_3762_no_name_leaves_its_place"])),
    ("CVE-2017-11468: a manifest without end", By(&["content::cve_2017_11468_a_manifest_has_an_end"])),
    (
        "CVE-2026-32590: an upload's state run as code",
        By(&["quirks::uploads::a_location_is_taken_back_with_what_was_appended"]),
    ),
    (
        "CVE-2024-22244 and others: a redirect to anywhere",
        By(&["content::no_path_is_answered_with_a_redirect"]),
    ),
    (
        "a panic at a malformed signature tag or missing referrer",
        By(&["content::odd_signature_tags_and_lost_subjects_break_nothing"]),
    ),
    (
        "CVE-2020-13788, CVE-2026-32591: a request to an address that was sent in",
        By(&["content::an_address_in_a_manifest_is_never_asked"]),
    ),
    ("CVE-2026-33540: credentials sent to a hostile realm", Later("with mirrors")),
    ("stored credentials sent to a changed address", Later("with mirrors")),
    ("a signature of another digest shown as good", Later("with signatures")),
    (
        "CVE-2023-4956, CVE-2023-4959, CVE-2023-3384: frames, forged requests, scripts",
        Later("with the console"),
    ),
    ("an open sign-in redirect, a missing state", Later("with the console's sign-in")),
    (
        "formulas in exported tables, decompression bombs, oversized records",
        Later("with exports, the scanner and the sealed log"),
    ),
    ("an expression that takes for ever", Later("with retention rules; linear time only")),
    // Data lost or wrong.
    (
        "collection against a push, a mount, a tag",
        By(&[
            "registry/collection_races::collecting_a_blob_while_it_is_pushed",
            "registry/collection_races::collecting_a_blob_while_it_is_asked_for_and_used",
            "registry/collection_races::collecting_a_blob_while_it_is_mounted",
            "registry/collection_races::collecting_an_image_while_a_tag_moves_to_it",
            "registry/collection_races::collecting_an_upload_while_it_is_finished",
            "registry/collection_races::collecting_a_blob_while_it_is_read",
        ]),
    ),
    (
        "collection against a restore",
        By(&[
            "registry/collection_races::collecting_an_image_while_it_is_restored",
            "registry/collection_races::collecting_a_repository_while_it_is_restored",
            "registry/collection_races::collecting_while_a_manifest_is_deleted",
            "collection::images_of_docker_and_skopeo_come_back_or_leave_nothing",
        ]),
    ),
    (
        "entries of an index, or what refers to another image, collected",
        By(&[
            "registry/collection::an_entry_stays_with_its_index_and_a_referrer_by_itself",
            "registry/collection_races::collecting_the_entry_of_an_index_while_that_is_pushed",
            "registry/restore::an_index_comes_back_with_its_entries_and_its_referrers",
        ]),
    ),
    (
        "a shared blob taken from one that still used it",
        By(&[
            "content::cve_2026_35172_a_blob_deleted_here_stays_there_and_only_there",
            "races::a_put_and_a_delete_never_leave_an_image_with_a_hole",
            "registry/collection::a_shared_blob_stays_until_its_last_user_goes",
        ]),
    ),
    (
        "200 with an empty or wrong body",
        By(&[
            "content::a_damaged_object_is_never_a_whole_answer",
            "registry/damage::a_flipped_bit_is_never_finished_as_good",
            "registry/damage::a_damaged_blob_is_absent_to_pushers_and_the_push_mends_it",
            "backup::a_flipped_bit_is_found_by_scrub_verify_and_check",
        ]),
    ),
    (
        "a crash or a full disk between two steps",
        By(&[
            "kill::thirty_kills_lose_nothing_acknowledged",
            "syscalls::a_sync_of_the_log_that_failed_is_not_believed_the_next_time",
            "syscalls::a_commit_that_was_refused_does_not_come_back_with_the_next_start",
            "backup::a_kill_in_the_middle_of_a_backup_leaves_the_one_before",
            "full_disk::a_single_request_that_fills_the_disk_gives_its_room_back",
            "metastore/failures::a_commit_that_fails_fails_every_body_of_its_transaction",
            "registry/collection::objects_of_a_run_that_was_cut_off_go_with_the_next",
            "registry/collection::objects_without_a_row_go_when_they_are_older_than_an_upload",
        ]),
    ),
    ("entries lost from a list", By(&["surface::lists_are_paged_in_byte_order"])),
    ("an upload closed twice", By(&["races::a_session_is_closed_once"])),
    (
        "a cache that outlived a delete",
        By(&[
            "content::cve_2026_35172_a_blob_deleted_here_stays_there_and_only_there",
            "manifests::a_delete_hides_and_a_push_brings_back",
            "collection::a_collected_blob_is_gone_for_all_and_one_asked_for_is_not",
        ]),
    ),
    (
        "a restart that lost or reset something",
        By(&["content::a_restart_changes_nothing_that_a_client_sees"]),
    ),
    (
        "a digest changed by conversion",
        By(&[
            "manifests::manifests_of_every_kind_are_kept_exactly",
            "quirks::reads::what_is_stored_is_served_whatever_is_accepted",
        ]),
    ),
    ("counters that overflow", By(&["metastore/schema::both_engines_have_one_schema"])),
    ("an upgrade without a way back", By(&["errors::a_database_of_a_newer_version_is_refused_untouched"])),
    ("deleted content that a mirror brought back", Later("with mirrors")),
    ("retention that took what is tagged twice or refers to another", Later("with retention")),
    ("quotas that drift or fail open", Later("with limits of storage")),
    // Clients that hold on.
    (
        "slow and stalled clients",
        By(&[
            "stalled::silent_and_slow_clients_hold_up_nobody_else",
            "stalled::unfinished_manifests_hold_up_nobody_else",
            "stalled::a_refused_body_is_not_waited_for",
            "server/listener::who_sends_no_whole_head_in_a_minute_is_dropped",
            "server/listener::one_address_takes_at_most_half_of_the_connections",
            "registry/body::a_body_that_stalls_is_broken_off_and_a_slow_one_is_not",
            "registry/uploads::a_request_takes_a_session_over_from_a_client_that_fell_silent",
        ]),
    ),
];

/// The text of a module of a crate's tests, or of its own; a folder's is all that is in it.
fn module(of: &Path, path: &str) -> String {
    let places = [of.join("tests/it"), of.join("src")];
    let file = places.iter().map(|place| place.join(format!("{path}.rs"))).find(|file| file.exists());
    if let Some(file) = file {
        return fs::read_to_string(file).unwrap();
    }
    let folder = fs::read_dir(places[0].join(path));
    let folder = folder.unwrap_or_else(|error| panic!("{path} of {}: {error}", of.display()));
    folder.map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap()).collect()
}

#[test]
fn every_incident_names_tests_that_there_are() {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut named = Vec::new();
    for (incident, met) in INCIDENTS {
        let tests = match met {
            By(tests) => *tests,
            Later(when) => {
                assert!(!when.is_empty(), "{incident}: with what it comes");
                continue;
            }
        };
        assert!(!tests.is_empty(), "{incident}");
        for test in tests {
            let (of, path) = test.split_once('/').unwrap_or(("e2e", test));
            let (path, function) = path.rsplit_once("::").unwrap();
            let path = path.replace("::", "/");
            let is_own = of == "e2e" && OWN.contains(&path.as_str());
            let path = if is_own { format!("incidents/{path}") } else { path };
            if is_own {
                named.push(function);
            }
            let text = module(&crates.join(of), &path);
            assert!(text.contains(&format!("fn {function}(")), "{incident}: there is no {test}");
        }
    }
    // And none of the tests here is left out.
    for path in OWN {
        let text = module(&crates.join("e2e"), &format!("incidents/{path}"));
        let tests =
            text.split("#[tokio::test").skip(1).filter_map(|text| text.split_once("fn ")?.1.split_once('('));
        let listed = text.split("on_each_engine! {").nth(1).unwrap_or_default();
        let listed = listed.split_whitespace().filter(|word| *word != "}");
        for test in tests.map(|(name, _)| name).chain(listed) {
            assert!(named.contains(&test), "{path}::{test} meets no incident of the table");
        }
    }
}
