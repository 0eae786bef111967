//! What the targets share: the grammars that clients are promised, written a second time and in another way
//! than in the crates, so that a slip in one shows against the other.

pub mod world;

/// Whether `text` is `<namespace>/<repository>` (Distribution spec, "Pulling manifests"): components of lower-case
/// letters and digits, joined inside by `.`, `_`, `__` or dashes.
pub fn is_image_name(text: &str) -> bool {
    let is_alphanumeric = |character: char| character.is_ascii_lowercase() || character.is_ascii_digit();
    let is_joint = |joint: &str| matches!(joint, "" | "." | "_" | "__") || joint.chars().all(|c| c == '-');
    let is_component = |component: &str| {
        component.starts_with(is_alphanumeric)
            && component.ends_with(is_alphanumeric)
            && component.split(is_alphanumeric).all(is_joint)
    };
    text.len() <= 255 && text.contains('/') && text.split('/').all(is_component)
}

/// Whether `text` is a digest that the registry computes (image spec, "Digests").
pub fn is_digest(text: &str) -> bool {
    let is_hex = |hex: &str, length| {
        hex.len() == length && hex.chars().all(|digit| digit.is_ascii_digit() || ('a'..='f').contains(&digit))
    };
    text.strip_prefix("sha256:").is_some_and(|hex| is_hex(hex, 64))
        || text.strip_prefix("sha512:").is_some_and(|hex| is_hex(hex, 128))
}

/// The long text that a short input of the form `head \x01 unit \x01 tail` stands for: the head, the unit over and
/// over up to `limit` bytes, and the tail. Work beyond linear then meets the time limit.
pub fn unfold(text: &str, limit: usize) -> Option<String> {
    let mut parts = text.split('\x01');
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(head), Some(unit), Some(tail), None) if !unit.is_empty() => {
            Some([head, &unit.repeat(limit / unit.len()), tail].concat())
        }
        _ => None,
    }
}
