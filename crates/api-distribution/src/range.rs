//! Byte ranges: of reads (RFC 9110, section 14) and of upload chunks (Distribution spec, "Pushing a blob in chunks").

use std::ops::Range;

use wharfinger_registry::uploads::ChunkRange;

/// Which part of a blob a request wants.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// All of it: no range, or one that is to be ignored.
    Whole,
    /// These bytes.
    Part(Range<u64>),
    /// Bytes that it does not have.
    Unsatisfiable,
}

/// Reads a `Range` header for a blob of `size` bytes. Other units and lists of ranges are ignored, as
/// the RFC allows.
pub(crate) fn wanted(header: Option<&str>, size: u64) -> Wanted {
    let Some(spec) = header.and_then(|header| header.trim().strip_prefix("bytes=")) else {
        return Wanted::Whole;
    };
    let Some((first, last)) = spec.trim().split_once('-') else {
        return Wanted::Whole;
    };
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(first) || !is_number(last) || (first.is_empty() && last.is_empty()) {
        return Wanted::Whole;
    }
    // A number too large for u64 is beyond the end of anything.
    let number = |text: &str| text.parse().unwrap_or(u64::MAX);
    let range = if first.is_empty() {
        size.saturating_sub(number(last))..size
    } else if last.is_empty() {
        number(first)..size
    } else {
        number(first)..number(last).saturating_add(1).min(size)
    };
    if range.is_empty() { Wanted::Unsatisfiable } else { Wanted::Part(range) }
}

/// Reads the `Content-Range` of an upload chunk, `first-last` with both included.
pub(crate) fn chunk(header: &str) -> Option<ChunkRange> {
    let (first, last) = header.trim().split_once('-')?;
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(first) || !is_number(last) {
        return None;
    }
    let (start, last): (u64, u64) = (first.parse().ok()?, last.parse().ok()?);
    let length = last.checked_sub(start)?.checked_add(1)?;
    Some(ChunkRange { start, length })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ranges_as_the_conformance_suite_asks_for_them() {
        let wanted = |header| super::wanted(Some(header), 2048);
        assert_eq!(wanted("bytes=500-1499"), Wanted::Part(500..1500));
        assert_eq!(wanted("bytes=500-"), Wanted::Part(500..2048));
        assert_eq!(wanted("bytes=-500"), Wanted::Part(1548..2048));
        assert_eq!(wanted("bytes=2000-5000"), Wanted::Part(2000..2048));
        assert_eq!(wanted("bytes=500-0"), Wanted::Unsatisfiable);
        assert_eq!(wanted("bytes=5000-10000"), Wanted::Unsatisfiable);
        assert_eq!(wanted("bytes=-0"), Wanted::Unsatisfiable);
        assert_eq!(wanted("bytes=99999999999999999999999-"), Wanted::Unsatisfiable);
        for ignored in ["items=0-1", "bytes=a-b", "bytes=-", "bytes=0-1,3-4", "bytes=+1-2", "bytes"] {
            assert_eq!(wanted(ignored), Wanted::Whole, "{ignored}");
        }
        assert_eq!(super::wanted(Some("bytes=0-"), 0), Wanted::Unsatisfiable);
    }

    #[test]
    fn chunk_ranges_have_two_numbers_in_order() {
        assert_eq!(chunk("0-1023"), Some(ChunkRange { start: 0, length: 1024 }));
        for bad in ["", "-", "5", "5-4", "a-b", "bytes 0-1", "0-18446744073709551615", "+1-2"] {
            assert_eq!(chunk(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn a_part_is_never_empty_and_never_beyond_the_end(header in "bytes=[0-9]{0,22}-[0-9]{0,22}", size in any::<u64>()) {
            if let Wanted::Part(range) = wanted(Some(&header), size) {
                prop_assert!(range.start < range.end && range.end <= size);
            }
        }
    }
}
