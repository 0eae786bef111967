//! What a statement says, as a tree. Equality leaves out where things were written.

use wharfinger_types::Ocid;

use crate::span::Spanned;

/// One statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Statement {
    /// `Allow`, `Deny`, `Endorse`, `Admit`.
    Rule(Box<Rule>),
    /// `Define`.
    Define(Define),
}

/// `Define <kind> <name> as <ocid>`: a name for something of another tenancy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Define {
    /// What is named.
    pub kind: DefineKind,
    /// The name that the policy's other statements use.
    pub name: Spanned<String>,
    /// What it stands for.
    pub id: Spanned<Ocid>,
}

/// What a `Define` may name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is the word it is written as")]
pub enum DefineKind {
    Tenancy,
    Group,
    DynamicGroup,
    Compartment,
}

/// A statement that gives or takes rights.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Gives or takes.
    pub effect: Effect,
    /// Within the tenancy or over its border.
    pub form: Form,
    /// Who.
    pub subject: Spanned<Subject>,
    /// What.
    pub action: Spanned<Action>,
    /// Where.
    pub location: Spanned<Location>,
    /// The other end of an `associate`.
    pub with: Option<With>,
    /// When.
    pub condition: Option<Spanned<Condition>>,
}

/// Whether a rule gives rights or takes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Gives.
    Allow,
    /// Takes; beats every `Allow`.
    Deny,
}

/// Whether a rule speaks about one tenancy or two.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Form {
    /// `Allow …`, `Deny …`.
    Local,
    /// `Endorse …`: our people in another tenancy.
    Endorse,
    /// `Admit … of <tenancy> …`: another tenancy's people in ours.
    Admit(Spanned<Tenancy>),
}

/// Another tenancy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tenancy {
    /// `any-tenancy`
    Any,
    /// `tenancy <name>`, a name that a `Define` gave.
    Defined(String),
}

/// Who a rule is about: one kind of subject, any number of that kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// `any-user`: every principal.
    AnyUser,
    /// `any-group`: every principal in a group or dynamic group.
    AnyGroup,
    /// `group …`
    Group(Members),
    /// `dynamic-group …`
    DynamicGroup(Members),
    /// `service …`
    Service(Vec<Spanned<String>>),
    /// `resource <kind> …`
    Resource {
        /// The resource type.
        kind: Spanned<String>,
        /// Their names.
        names: Vec<Spanned<String>>,
    },
}

/// Groups by name or by identifier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Members {
    /// `[domain/]name, …`
    Names(Vec<Spanned<GroupName>>),
    /// `id <ocid>, id <ocid>, …`
    Ids(Vec<Spanned<Ocid>>),
}

/// A group's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupName {
    /// The identity domain; `Default` when left out.
    pub domain: Option<String>,
    /// The name in that domain.
    pub name: String,
}

/// What a rule is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// A verb and a resource type, family, or `all-resources`, in lower case.
    Verb(Verb, Spanned<String>),
    /// `{PERMISSION, …}`, in upper case.
    Permissions(Vec<Spanned<String>>),
    /// `associate <type> in … with …`: network peering over a tenancy's border.
    Associate(Spanned<String>),
}

/// The four verbs; each holds the ones before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "each is the word it is written as")]
pub enum Verb {
    Inspect,
    Read,
    Use,
    Manage,
}

impl Verb {
    /// All of them, the weakest first.
    pub const ALL: [Verb; 4] = [Verb::Inspect, Verb::Read, Verb::Use, Verb::Manage];

    /// The word it is written as.
    pub fn as_str(self) -> &'static str {
        match self {
            Verb::Inspect => "inspect",
            Verb::Read => "read",
            Verb::Use => "use",
            Verb::Manage => "manage",
        }
    }
}

/// Where a rule holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// `tenancy`
    Tenancy,
    /// `compartment A:B:C`, from below the policy's own compartment.
    Path(Vec<String>),
    /// `compartment id <ocid>`
    Id(Ocid),
    /// `any-tenancy`, `tenancy <name>`: in `Endorse` and `associate` only.
    Foreign(Tenancy),
}

/// `with <type> in <location>`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct With {
    /// The resource type at the other end.
    pub resource: Spanned<String>,
    /// Where the other end is.
    pub location: Spanned<Location>,
}

/// When a rule holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// `all {…}`
    All(Vec<Spanned<Condition>>),
    /// `any {…}`
    Any(Vec<Spanned<Condition>>),
    /// One comparison.
    Comparison(Comparison),
}

/// One comparison of a variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comparison {
    /// Its name as written; any case.
    pub variable: Spanned<String>,
    /// What is asked of it.
    pub test: Test,
}

/// What a comparison asks of its variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Test {
    /// `variable = value`
    Equal(Spanned<Value>),
    /// `variable != value`
    NotEqual(Spanned<Value>),
    /// `variable in (value, …)`
    In(Vec<Spanned<Value>>),
    /// `variable not in (value, …)`
    NotIn(Vec<Spanned<Value>>),
    /// `variable before 'time'`
    Before(Spanned<String>),
    /// `variable after 'time'`
    After(Spanned<String>),
    /// `variable between 'time' and 'time'`
    Between(Spanned<String>, Spanned<String>),
    /// `sets-equal(variable, 'text', …)`
    SetsEqual(Vec<Spanned<String>>),
    /// `!variable`: the request has no such variable.
    Absent,
}

/// The right side of a comparison.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// `'text'`
    Text(String),
    /// `/pattern/` without its slashes and escapes.
    Pattern(Pattern),
    /// Another variable.
    Variable(String),
}

/// A pattern: `*` stands for any characters, all else for itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern(pub String);
