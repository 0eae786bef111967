//! Names in image references: namespace, repository, tag (Distribution spec, "Pulling manifests").

use std::fmt;
use std::str::FromStr;

use crate::{Digest, ParseDigestError};

/// The longest `<namespace>/<repository>` that is accepted. The spec notes that clients limit host
/// and name together to 255.
const MAX_IMAGE_NAME: usize = 255;
const MAX_TAG: usize = 128;

/// Why a text is no name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseNameError {
    /// Not a repository name.
    #[error(
        "`{0}` is not a repository name: use lower-case letters and digits joined by `.`, `_`, `__` or `-`, in parts joined by `/`, at most 255 characters with the namespace"
    )]
    Repository(String),
    /// Not a tenancy namespace.
    #[error(
        "`{0}` is not a tenancy namespace: use 1 to 64 lower-case letters and digits, joined by `-`, `_` or `.` if need be"
    )]
    Namespace(String),
    /// No repository behind the namespace.
    #[error("`{0}` names no repository: image names are `<namespace>/<repository>`")]
    NoRepository(String),
    /// Not a tag.
    #[error(
        "`{0}` is not a tag: use letters, digits, `_`, `.` and `-`, at most 128, not starting with `.` or `-`"
    )]
    Tag(String),
    /// Looks like a digest and is none.
    #[error(transparent)]
    Digest(#[from] ParseDigestError),
}

fn shown(text: &str) -> String {
    text.chars().take(300).collect()
}

/// One path component: `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`.
fn is_component(text: &str) -> bool {
    let is_alphanumeric = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let mut separator = String::new();
    let mut after_alphanumeric = false;
    for byte in text.bytes() {
        if is_alphanumeric(byte) {
            let joined = separator.is_empty()
                || matches!(separator.as_str(), "." | "_" | "__")
                || separator.bytes().all(|byte| byte == b'-');
            if !joined {
                return false;
            }
            separator.clear();
            after_alphanumeric = true;
        } else if after_alphanumeric && matches!(byte, b'.' | b'_' | b'-') {
            separator.push(char::from(byte));
        } else {
            return false;
        }
    }
    after_alphanumeric && separator.is_empty()
}

macro_rules! text_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Box<str>);

        impl $name {
            /// The text itself.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

text_type! {
    /// A tenancy's namespace: the first component of its image names, immutable, unique in an installation.
    Namespace
}
text_type! {
    /// A repository's name without the namespace: one flat string, slashes carry no hierarchy.
    RepositoryName
}
text_type! {
    /// A tag: OCIR's word is *version*.
    Tag
}

impl FromStr for Namespace {
    type Err = ParseNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() > 64 || !is_component(text) {
            return Err(ParseNameError::Namespace(shown(text)));
        }
        Ok(Namespace(text.into()))
    }
}

impl FromStr for RepositoryName {
    type Err = ParseNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() >= MAX_IMAGE_NAME || !text.split('/').all(is_component) {
            return Err(ParseNameError::Repository(shown(text)));
        }
        Ok(RepositoryName(text.into()))
    }
}

impl FromStr for Tag {
    type Err = ParseNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        let starts_well = text.bytes().next().is_some_and(is_word);
        let is_tag = text.bytes().all(|byte| is_word(byte) || matches!(byte, b'.' | b'-'));
        if text.len() > MAX_TAG || !starts_well || !is_tag {
            return Err(ParseNameError::Tag(shown(text)));
        }
        Ok(Tag(text.into()))
    }
}

/// `<namespace>/<repository>`, as it stands in an image reference behind the host.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ImageName {
    /// Whose it is.
    pub namespace: Namespace,
    /// Which of theirs.
    pub repository: RepositoryName,
}

impl FromStr for ImageName {
    type Err = ParseNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() > MAX_IMAGE_NAME {
            return Err(ParseNameError::Repository(shown(text)));
        }
        let Some((namespace, repository)) = text.split_once('/') else {
            // A malformed single component is told so; a well-formed one lacks its repository.
            text.parse::<Namespace>()?;
            return Err(ParseNameError::NoRepository(shown(text)));
        };
        Ok(ImageName { namespace: namespace.parse()?, repository: repository.parse()? })
    }
}

impl fmt::Display for ImageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.repository)
    }
}

/// What names a manifest in a repository.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Reference {
    /// By tag, which may move.
    Tag(Tag),
    /// By digest, which may not.
    Digest(Digest),
}

impl FromStr for Reference {
    type Err = ParseNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.contains(':') {
            return Ok(Reference::Digest(text.parse()?));
        }
        Ok(Reference::Tag(text.parse()?))
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reference::Tag(tag) => tag.fmt(f),
            Reference::Digest(digest) => digest.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_follow_the_spec() {
        for good in ["a", "a/b", "a0.b_c__d-e---f/g", "0"] {
            assert!(good.parse::<RepositoryName>().is_ok(), "{good}");
        }
        for bad in [
            "", "/", "a/", "/a", "a//b", "A", "a..b", "a___b", "a._b", "-a", "a-", "a/../b", "ä", "a b",
            "a\0",
        ] {
            assert!(bad.parse::<RepositoryName>().is_err(), "{bad}");
        }
        assert!("a".repeat(255).parse::<RepositoryName>().is_err());
    }

    #[test]
    fn tags_follow_the_spec() {
        for good in ["latest", "_x", "V1.0-rc_1", &"t".repeat(128)] {
            assert!(good.parse::<Tag>().is_ok(), "{good}");
        }
        for bad in ["", ".x", "-x", "a+b", "a/b", "a:b", &"t".repeat(129)] {
            assert!(bad.parse::<Tag>().is_err(), "{bad}");
        }
    }

    #[test]
    fn an_image_name_needs_both_parts() {
        assert_eq!("ns".parse::<ImageName>(), Err(ParseNameError::NoRepository("ns".into())));
        let name: ImageName = "ns/app/web".parse().unwrap();
        assert_eq!((name.namespace.as_str(), name.repository.as_str()), ("ns", "app/web"));
    }

    #[test]
    fn a_reference_with_a_colon_is_a_digest_or_an_error() {
        assert!(matches!("sha256:baddigeststring".parse::<Reference>(), Err(ParseNameError::Digest(_))));
        assert!(matches!("v1".parse::<Reference>(), Ok(Reference::Tag(_))));
    }

    proptest! {
        #[test]
        fn whatever_parses_prints_as_it_was(text in "[a-z0-9._/-]{0,40}") {
            if let Ok(name) = text.parse::<ImageName>() {
                prop_assert_eq!(name.to_string(), text);
            }
        }
    }
}
