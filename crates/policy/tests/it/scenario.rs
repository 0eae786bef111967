//! Identifiers that scenarios make from names.

use proptest::collection::vec;
use proptest::prelude::*;
use wharfinger_policy::scenario::id;

fn names() -> impl Strategy<Value = Vec<String>> {
    vec("[aA _.-9é]{1,3}", 1..3)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn two_names_never_share_an_identifier(one in names(), other in names()) {
        let made = |names: &[String]| id("group", &names.iter().map(String::as_str).collect::<Vec<_>>()).unwrap();
        prop_assert_eq!(made(&one) == made(&other), one == other);
    }
}
