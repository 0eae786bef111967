//! Matching rules of dynamic groups.

use wharfinger_policy::check_matching_rule;

#[test]
fn rules_as_oracle_writes_them_are_taken() {
    for rule in [
        "resource.type = 'instance'",
        "instance.id='ocid1.instance.oc1..a'",
        "ANY {instance.id = 'ocid1.instance.oc1..a', instance.compartment.id != 'ocid1.compartment.oc1..b'}",
        "All { resource.type = 'fnfunc', resource.compartment.id = 'ocid1.compartment.oc1..b' }",
        "all {resource.id = 'x', any {tag.department.operations.value, tag.department.owner.value = 'a b'}}",
        "tag.department.operations.value",
        "any\n{\n  resource.type = 'instance'\n}",
    ] {
        assert_eq!(check_matching_rule(rule), Ok(()), "{rule}");
    }
}

#[test]
fn the_first_mistake_is_named_with_its_place() {
    for (rule, expected) in [
        (
            "",
            "1:1: error: expected a comparison such as `resource.type = 'instance'`, `any {…}` or `all {…}`, found the end",
        ),
        ("resource.kind = 'x'", "found `resource.kind`; did you mean `resource.id`?"),
        ("resource.type", "1:14: error: expected `=` or `!=`, found the end"),
        ("resource.type = instance", "1:17: error: expected a value in single quotes, found `instance`"),
        ("resource.type = 'a' 'b'", "1:21: error: expected the end of the rule, found `'b'`"),
        ("any resource.type = 'a'", "1:5: error: expected `{`, found `resource.type`"),
        ("any {}", "1:6: error: expected a comparison"),
        ("any {resource.type = 'a'", "1:25: error: expected `,` or `}`, found the end"),
        ("any {\n resource.type = 'a';}", "2:21: error: expected `,` or `}`, found `;`"),
        ("resource.type = 'a", "1:17: error: expected a value in single quotes"),
        ("tag.a.value", "found `tag.a.value`"),
        ("{resource.type = 'a'}", "1:1: error: expected a comparison"),
    ] {
        let found = check_matching_rule(rule).unwrap_err().to_string();
        assert!(found.contains(expected), "{rule}: {found}");
    }
    let deep = format!("{}resource.type = 'a'{}", "any {".repeat(5_000), "}".repeat(5_000));
    assert!(check_matching_rule(&deep).is_err());
    assert!(check_matching_rule(&"x".repeat(100_000)).is_err());
}
