//! Random statements, policies and requests.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use wharfinger_policy::{
    Action, Comparison, Condition, Define, DefineKind, Effect, Form, GroupName, Location, Members, Pattern,
    Rule, Span, Spanned, Statement, Subject, Tenancy, Test, Value, Verb, With,
};
use wharfinger_types::Ocid;

fn at<T>(value: T) -> Spanned<T> {
    Spanned::new(value, Span::default())
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        "[A-Za-z][A-Za-z0-9_.@+-]{0,8}",
        "[A-Za-z0-9 äß/:,;{}()=!\"*-]{0,6}[A-Za-z0-9é]",
        select(vec!["to", "IN", "where", "of", "as", "with", "id", "any", "Allow"]).prop_map(str::to_owned),
    ]
}

fn ocid(kind: &'static str) -> impl Strategy<Value = Ocid> {
    "[a-z0-9]{1,8}".prop_map(move |unique| format!("ocid1.{kind}.oc1..{unique}").parse().unwrap())
}

fn text() -> impl Strategy<Value = String> {
    "[A-Za-z0-9 ./*\\\\,{}()=ÄßİΣ-]{0,8}"
}

fn members() -> impl Strategy<Value = Members> {
    let group = (option::of(name()), name()).prop_map(|(domain, name)| at(GroupName { domain, name }));
    prop_oneof![
        vec(group, 1..4).prop_map(Members::Names),
        vec(ocid("group").prop_map(at), 1..3).prop_map(Members::Ids),
    ]
}

fn subject() -> impl Strategy<Value = Subject> {
    prop_oneof![
        Just(Subject::AnyUser),
        Just(Subject::AnyGroup),
        members().prop_map(Subject::Group),
        members().prop_map(Subject::DynamicGroup),
        vec(name().prop_map(at), 1..3).prop_map(Subject::Service),
        (name(), vec(name().prop_map(at), 1..3))
            .prop_map(|(kind, names)| Subject::Resource { kind: at(kind), names }),
    ]
}

fn resource() -> impl Strategy<Value = Spanned<String>> {
    let names = vec!["repos", "users", "groups", "policies", "vss-family", "all-resources", "instances"];
    select(names).prop_map(|name| at(name.to_owned()))
}

fn verb_action() -> impl Strategy<Value = Action> {
    (select(Verb::ALL.to_vec()), resource()).prop_map(|(verb, resource)| Action::Verb(verb, resource))
}

fn action() -> impl Strategy<Value = Action> {
    let permissions: Vec<&str> = wharfinger_policy::permissions().chain(["INSTANCE_READ"]).collect();
    let permission = select(permissions).prop_map(|name| at(name.to_owned()));
    prop_oneof![verb_action(), vec(permission, 1..4).prop_map(Action::Permissions)]
}

fn local() -> impl Strategy<Value = Location> {
    prop_oneof![
        Just(Location::Tenancy),
        vec(name(), 1..4).prop_map(Location::Path),
        ocid("compartment").prop_map(Location::Id),
    ]
}

fn tenancy() -> impl Strategy<Value = Tenancy> {
    prop_oneof![Just(Tenancy::Any), name().prop_map(Tenancy::Defined)]
}

fn value() -> impl Strategy<Value = Value> {
    let pattern = "[A-Za-z0-9 ./*\\\\,{}'()äΣ-]{1,8}";
    prop_oneof![
        text().prop_map(Value::Text),
        pattern.prop_map(|pattern| Value::Pattern(Pattern(pattern))),
        select(vec!["request.user.id", "target.resource.tag.a.b:c:", "request.region"])
            .prop_map(|name| Value::Variable(name.to_owned())),
    ]
}

fn number(most: u8) -> impl Strategy<Value = Spanned<Value>> {
    (1..=most).prop_map(|number| at(Value::Text(number.to_string())))
}

fn comparison() -> impl Strategy<Value = Comparison> {
    let texts = vec![
        "request.user.id",
        "REQUEST.groups.ID",
        "request.permission",
        "request.operation",
        "request.networkSource.name",
        "target.compartment.name",
        "request.principal.type",
        "target.resource.tag.Ops.Stage",
        "target.resource.compartment.tag.o@p-s.a:b",
    ];
    let test = prop_oneof![
        value().prop_map(|value| Test::Equal(at(value))),
        value().prop_map(|value| Test::NotEqual(at(value))),
        vec(text().prop_map(at), 1..3).prop_map(Test::SetsEqual),
        Just(Test::Absent),
    ];
    let values = || vec(value().prop_map(at), 1..3);
    let of_tag = prop_oneof![values().prop_map(Test::In), values().prop_map(Test::NotIn)];
    let time = || {
        (1970..2100, 1..=12, 1..=28, 0..24)
            .prop_map(|(year, month, day, hour)| at(format!("{year}-{month:02}-{day:02}T{hour:02}:30:00Z")))
    };
    let of_time = prop_oneof![time().prop_map(Test::Before), time().prop_map(Test::After)];
    let of_day = (0..24, 0..24).prop_map(|(from, until)| {
        Test::Between(at(format!("{from:02}:00Z")), at(format!("{until:02}:59:59Z")))
    });
    let of_month = prop_oneof![
        vec(number(12), 1..4).prop_map(Test::In),
        number(12).prop_map(Test::Equal),
        number(12).prop_map(Test::NotEqual),
    ];
    let with = |name: &'static str| move |test| (name.to_owned(), test);
    prop_oneof![
        4 => (select(texts).prop_map(str::to_owned), test),
        1 => of_tag.prop_map(with("request.principal.group.tag.Ops.Team")),
        1 => of_time.prop_map(with("request.utc-timestamp")),
        1 => of_day.prop_map(with("request.utc-timestamp.time-of-day")),
        1 => of_month.prop_map(with("request.utc-timestamp.month-of-year")),
    ]
    .prop_map(|(variable, test)| Comparison { variable: at(variable), test })
}

pub(crate) fn condition() -> impl Strategy<Value = Condition> {
    comparison().prop_map(Condition::Comparison).prop_recursive(4, 12, 3, |inner| {
        prop_oneof![
            vec(inner.clone().prop_map(at), 1..4).prop_map(Condition::All),
            vec(inner.prop_map(at), 1..4).prop_map(Condition::Any),
        ]
    })
}

fn rule() -> impl Strategy<Value = Rule> {
    let effect = select(vec![Effect::Allow, Effect::Deny]);
    let foreign = || prop_oneof![local(), tenancy().prop_map(Location::Foreign)];
    let with =
        (resource(), foreign().prop_map(at)).prop_map(|(resource, location)| With { resource, location });
    let associate = (resource(), foreign(), with)
        .prop_map(|(resource, location, with)| (Action::Associate(resource), location, Some(with)));
    let inner = prop_oneof![
        3 => (Just(Form::Local), action(), local(), Just(None)),
        1 => (Just(Form::Endorse), action(), tenancy().prop_map(Location::Foreign), Just(None)),
        1 => (tenancy().prop_map(|tenancy| Form::Admit(at(tenancy))), action(), local(), Just(None)),
        1 => (Just(Form::Endorse), associate).prop_map(|(form, (action, location, with))| (form, action, location, with)),
    ];
    (effect, subject(), inner, option::of(condition())).prop_map(
        |(effect, subject, (form, action, location, with), condition)| Rule {
            effect,
            form,
            subject: at(subject),
            action: at(action),
            location: at(location),
            with,
            condition: condition.map(at),
        },
    )
}

/// Any statement that has no error.
pub(crate) fn statement() -> impl Strategy<Value = Statement> {
    let kinds = vec![
        (DefineKind::Tenancy, "tenancy"),
        (DefineKind::Group, "group"),
        (DefineKind::DynamicGroup, "dynamicgroup"),
        (DefineKind::Compartment, "compartment"),
    ];
    let define = (select(kinds), name(), "[a-z0-9]{1,8}").prop_map(|((kind, word), name, unique)| Define {
        kind,
        name: at(name),
        id: at(format!("ocid1.{word}.oc1..{unique}").parse().unwrap()),
    });
    prop_oneof![
        9 => rule().prop_map(|rule| Statement::Rule(Box::new(rule))),
        1 => define.prop_map(Statement::Define),
    ]
}

/// Texts made of the language's own pieces in any order.
pub(crate) fn word_salad() -> impl Strategy<Value = String> {
    let pieces = vec![
        "Allow",
        "Deny",
        "Define",
        "Endorse",
        "Admit",
        "group",
        "dynamic-group",
        "any-user",
        "service",
        "resource",
        "id",
        "ocid1.group.oc1..a",
        "A",
        "'B c'",
        "D/",
        "to",
        "of",
        "in",
        "as",
        "with",
        "where",
        "tenancy",
        "any-tenancy",
        "compartment",
        "X:Y",
        "read",
        "manage",
        "associate",
        "repos",
        "repositorys",
        "all-resources",
        "instances",
        "{",
        "}",
        "(",
        ")",
        ",",
        ":",
        "=",
        "!=",
        "!",
        "/",
        "/a*/",
        "/a",
        "'",
        "\"",
        "any",
        "all",
        "not",
        "before",
        "after",
        "between",
        "and",
        "sets-equal",
        "request.region",
        "target.repo.name",
        "request.utc-timestamp",
        "target.resource.tag.a.b",
        "'2026-01-01Z'",
        "'05:00:00Z'",
        "REPOSITORY_READ",
        ";",
        "\n",
        "é",
        "\\",
    ];
    vec(select(pieces), 0..40).prop_map(|pieces| pieces.join(" "))
}

/// A statement with pieces cut out, doubled or replaced.
pub(crate) fn damaged_statement() -> impl Strategy<Value = String> {
    (statement(), vec((0..200_usize, 0..6_usize, word_salad()), 1..4)).prop_map(|(statement, cuts)| {
        let mut text: Vec<char> = statement.to_string().chars().collect();
        for (start, length, salad) in cuts {
            let start = start.min(text.len());
            let end = (start + length).min(text.len());
            let salad = salad.chars().take(length);
            text.splice(start..end, salad.collect::<Vec<_>>());
        }
        text.into_iter().collect()
    })
}
