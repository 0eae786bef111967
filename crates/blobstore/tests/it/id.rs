//! Object ids: fresh ones differ, and only their own form parses.

use std::collections::HashSet;

use proptest::prelude::*;
use wharfinger_blobstore::{Error, ObjectId};

#[test]
fn fresh_ids_differ_and_end_in_random_digits() {
    let ids: HashSet<_> = (0..2000).map(|_| ObjectId::fresh().to_string()).collect();
    assert_eq!(ids.len(), 2000);
    let ends: HashSet<_> = ids.iter().map(|id| &id[30..]).collect();
    assert!(ends.len() > 200, "only {} of 256 shards used", ends.len());
}

#[test]
fn only_32_lower_case_hex_digits_are_an_id() {
    let good = "0193a5b27c4d7e8f9a0b1c2d3e4f5a6b";
    assert_eq!(good.parse::<ObjectId>().unwrap().as_str(), good);
    let upper = good.to_uppercase();
    let bad = [
        "",
        &good[1..],
        &format!("{good}0"),
        &upper,
        "0193a5b2-7c4d-7e8f-9a0b-1c2d3e4f5a",
        "../../../../../../../etc/passwd0",
        "0193a5b27c4d7e8f9a0b1c2d3e4f5aé",
    ];
    for text in bad {
        assert!(matches!(text.parse::<ObjectId>(), Err(Error::InvalidId { .. })), "{text:?}");
    }
}

proptest! {
    #[test]
    fn an_id_reads_back_from_its_text(text in "[0-9a-f]{32}") {
        prop_assert_eq!(text.parse::<ObjectId>().unwrap().to_string(), text);
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in "\\PC{0,40}") {
        let _ = text.parse::<ObjectId>();
    }
}
