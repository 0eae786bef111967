//! Fields that resources share, checked: descriptions, e-mail addresses, freeform tags.

use std::collections::BTreeMap;

use crate::Error;

/// As Oracle Cloud has it for descriptions.
const MAX_DESCRIPTION: usize = 400;
/// The longest path that SMTP carries (RFC 5321, 4.5.3.1.3), without its brackets.
const MAX_EMAIL: usize = 254;
const MAX_TAGS: usize = 10;
const MAX_TAG_KEY: usize = 100;
const MAX_TAG_VALUE: usize = 256;

/// Freeform tags by their keys.
pub type FreeformTags = BTreeMap<String, String>;

pub(crate) fn invalid(field: &'static str, value: &str, remedy: &'static str) -> Error {
    Error::Invalid { field, value: value.chars().take(120).collect(), remedy }
}

pub(crate) fn check_description(text: &str) -> Result<(), Error> {
    if text.chars().count() > MAX_DESCRIPTION || text.contains('\0') {
        return Err(invalid("description", text, "use at most 400 characters and no NUL"));
    }
    Ok(())
}

/// One that could be an address; none is written to.
pub(crate) fn check_email(text: &str) -> Result<(), Error> {
    let has_form = text.split_once('@').is_some_and(|(name, host)| !name.is_empty() && !host.is_empty());
    let is_plain = !text.contains(|c: char| c.is_whitespace() || c.is_control());
    if text.len() > MAX_EMAIL || !has_form || !is_plain {
        return Err(invalid("email", text, "write it as `name@host`, at most 254 bytes"));
    }
    Ok(())
}

/// The tags as they are stored.
pub(crate) fn tags_to_json(tags: &FreeformTags) -> Result<String, Error> {
    let field = "freeformTags";
    if tags.len() > MAX_TAGS {
        return Err(invalid(field, &tags.len().to_string(), "use at most 10 tags"));
    }
    for (key, value) in tags {
        let is_key_char = |c: char| !matches!(c, '.' | '\0') && !c.is_whitespace();
        if key.is_empty() || key.chars().count() > MAX_TAG_KEY || !key.chars().all(is_key_char) {
            return Err(invalid(field, key, "use keys of 1 to 100 characters without periods and spaces"));
        }
        if value.chars().count() > MAX_TAG_VALUE || value.contains('\0') {
            return Err(invalid(field, value, "use values of at most 256 characters and no NUL"));
        }
    }
    // A map of texts always serialises.
    Ok(serde_json::to_string(tags).unwrap_or_default())
}
