//! Byte ranges: of reads (RFC 9110, section 14) and of upload chunks (Distribution spec, "Pushing a blob in chunks").

use std::ops::Range;

use wharfinger_registry::uploads::ChunkRange;

/// Parts that one request may ask for: lazy pullers ask for a few dozen at most.
const MAX_PARTS: usize = 128;

/// Which part of a blob a request wants.
#[derive(Debug, PartialEq, Eq)]
pub enum Wanted {
    /// All of it: no range, or one that is to be ignored.
    Whole,
    /// These bytes, in this order; at least one part, none of them empty, none overlapping another.
    Parts(Vec<Range<u64>>),
    /// Bytes that it does not have.
    Unsatisfiable,
}

/// Reads a `Range` header for a blob of `size` bytes. Parts beyond the end are left out. Other units,
/// overlapping parts and very many of them are ignored, as the RFC allows: nobody gets more bytes out
/// of a request than the blob has.
pub fn wanted(header: Option<&str>, size: u64) -> Wanted {
    let Some(spec) = header.and_then(|header| header.trim().strip_prefix("bytes=")) else {
        return Wanted::Whole;
    };
    let parts = spec.split(',').map(str::trim).filter(|part| !part.is_empty());
    let Some(parts) = parts.map(|part| one(part, size)).collect::<Option<Vec<_>>>() else {
        return Wanted::Whole;
    };
    if parts.is_empty() || parts.len() > MAX_PARTS {
        return Wanted::Whole;
    }
    let parts: Vec<_> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    if parts.is_empty() {
        return Wanted::Unsatisfiable;
    }
    let mut sorted: Vec<_> = parts.iter().collect();
    sorted.sort_by_key(|part| part.start);
    if sorted.is_sorted_by(|before, after| before.end <= after.start) {
        Wanted::Parts(parts)
    } else {
        Wanted::Whole
    }
}

/// One range of the list; empty if the blob has none of it, `None` if it is none.
fn one(spec: &str, size: u64) -> Option<Range<u64>> {
    let (first, last) = spec.split_once('-')?;
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(first) || !is_number(last) || (first.is_empty() && last.is_empty()) {
        return None;
    }
    // A number too large for u64 is beyond the end of anything.
    let number = |text: &str| text.parse().unwrap_or(u64::MAX);
    // The last bytes of nothing are all of it (section 14.1.2), and no `Content-Range` can say so.
    if first.is_empty() && size == 0 && number(last) > 0 {
        return None;
    }
    Some(if first.is_empty() {
        size.saturating_sub(number(last))..size
    } else if last.is_empty() {
        number(first)..size
    } else {
        number(first)..number(last).saturating_add(1).min(size)
    })
}

/// Reads the `Content-Range` of an upload chunk, `first-last` with both included.
pub fn chunk(header: &str) -> Option<ChunkRange> {
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
        let part = |part| Wanted::Parts(vec![part]);
        assert_eq!(wanted("bytes=500-1499"), part(500..1500));
        assert_eq!(wanted("bytes=500-"), part(500..2048));
        assert_eq!(wanted("bytes=-500"), part(1548..2048));
        assert_eq!(wanted("bytes=2000-5000"), part(2000..2048));
        assert_eq!(wanted("bytes=500-0"), Wanted::Unsatisfiable);
        assert_eq!(wanted("bytes=5000-10000"), Wanted::Unsatisfiable);
        assert_eq!(wanted("bytes=-0"), Wanted::Unsatisfiable);
        assert_eq!(wanted("bytes=99999999999999999999999-"), Wanted::Unsatisfiable);
        for ignored in ["items=0-1", "bytes=a-b", "bytes=-", "bytes=", "bytes=0-1,x", "bytes=+1-2", "bytes"] {
            assert_eq!(wanted(ignored), Wanted::Whole, "{ignored}");
        }
        assert_eq!(super::wanted(Some("bytes=0-"), 0), Wanted::Unsatisfiable);
        assert_eq!(super::wanted(Some("bytes=-0"), 0), Wanted::Unsatisfiable);
        assert_eq!(super::wanted(Some("bytes=-5"), 0), Wanted::Whole);
    }

    #[test]
    fn several_ranges_are_several_parts_unless_they_overlap() {
        let wanted = |header: &str| super::wanted(Some(header), 100);
        assert_eq!(wanted("bytes=50-59, 0-9,-10"), Wanted::Parts(vec![50..60, 0..10, 90..100]));
        assert_eq!(wanted("bytes=0-9,200-"), wanted("bytes=0-9"));
        assert_eq!(wanted("bytes=200-,300-"), Wanted::Unsatisfiable);
        assert_eq!(wanted("bytes=0-9,9-10"), Wanted::Whole);
        assert_eq!(wanted("bytes=0-,0-,0-"), Wanted::Whole);
        let many = |count: u64| (0..count).map(|n| format!("{n}-{n},")).collect::<String>();
        assert!(matches!(super::wanted(Some(&format!("bytes={}", many(128))), 1000), Wanted::Parts(_)));
        assert_eq!(super::wanted(Some(&format!("bytes={}", many(129))), 1000), Wanted::Whole);
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
        fn parts_are_not_empty_not_beyond_the_end_and_not_more_than_the_blob(
            header in "bytes=([0-9]{0,3}-[0-9]{0,3},?){1,4}|bytes=[0-9]{0,22}-[0-9]{0,22}",
            size in prop_oneof![0..1000u64, any::<u64>()],
        ) {
            if let Wanted::Parts(parts) = wanted(Some(&header), size) {
                prop_assert!(!parts.is_empty());
                prop_assert!(parts.iter().all(|part| part.start < part.end && part.end <= size));
                let total: u128 = parts.iter().map(|part| u128::from(part.end - part.start)).sum();
                prop_assert!(total <= u128::from(size));
            }
        }
    }
}
