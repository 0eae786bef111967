//! Oracle Cloud identifiers: `ocid1.<kind>.<realm>.<region>.<unique>`.

use std::fmt;
use std::str::FromStr;

/// The kinds of resource that have an identifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each is the resource it names")]
pub enum ResourceKind {
    Tenancy,
    Compartment,
    Domain,
    User,
    Group,
    GroupMembership,
    AuthToken,
    Policy,
    NetworkSource,
    DynamicGroup,
    TagNamespace,
    TagDefinition,
    WorkRequest,
    ApiKey,
    ContainerRepo,
}

impl ResourceKind {
    /// The word in the second place of the identifier.
    pub fn as_str(self) -> &'static str {
        match self {
            ResourceKind::Tenancy => "tenancy",
            ResourceKind::Compartment => "compartment",
            ResourceKind::Domain => "domain",
            ResourceKind::User => "user",
            ResourceKind::Group => "group",
            ResourceKind::GroupMembership => "groupmembership",
            ResourceKind::AuthToken => "credential",
            ResourceKind::Policy => "policy",
            ResourceKind::NetworkSource => "networksource",
            ResourceKind::DynamicGroup => "dynamicgroup",
            ResourceKind::TagNamespace => "tagnamespace",
            ResourceKind::TagDefinition => "tagdefinition",
            ResourceKind::WorkRequest => "workrequest",
            ResourceKind::ApiKey => "apikey",
            ResourceKind::ContainerRepo => "containerrepo",
        }
    }
}

/// An identifier that never changes and is never used again.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ocid(Box<str>);

/// Why a text is no identifier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an OCID: expected `ocid1.<kind>.<realm>.<region>.<unique>`")]
pub struct ParseOcidError(String);

impl Ocid {
    /// The identifier of a resource of `kind`; `region` is empty for what belongs to no region, and
    /// `unique` are 16 random bytes.
    pub fn new(kind: ResourceKind, region: &str, unique: [u8; 16]) -> Ocid {
        let unique: String = unique.iter().map(|byte| format!("{byte:02x}")).collect();
        Ocid(format!("ocid1.{}.oc1.{region}.{unique}", kind.as_str()).into())
    }

    /// The text itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Ocid {
    type Err = ParseOcidError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
        let has_form = text.starts_with("ocid1.")
            && text.len() <= 255
            && text.bytes().all(is_allowed)
            && text.split('.').count() >= 5
            && !text.ends_with('.');
        if !has_form {
            return Err(ParseOcidError(text.chars().take(255).collect()));
        }
        Ok(Ocid(text.into()))
    }
}

impl fmt::Display for Ocid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Ocid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_identifier_parses_again() {
        let id = Ocid::new(ResourceKind::User, "", [7; 16]);
        assert_eq!(id.as_str(), "ocid1.user.oc1..07070707070707070707070707070707");
        assert_eq!(id.as_str().parse::<Ocid>(), Ok(id));
        for bad in ["", "ocid1.user", "ocid1.user.oc1..", "ocid2.user.oc1..a", "ocid1.us er.oc1..a"] {
            assert!(bad.parse::<Ocid>().is_err(), "{bad}");
        }
    }
}
