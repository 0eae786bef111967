//! Fields that resources share, checked: descriptions, e-mail addresses.

use crate::Error;

/// As Oracle Cloud has it for descriptions.
const MAX_DESCRIPTION: usize = 400;
/// The longest path that SMTP carries (RFC 5321, 4.5.3.1.3), without its brackets.
const MAX_EMAIL: usize = 254;

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
