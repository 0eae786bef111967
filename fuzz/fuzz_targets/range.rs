//! `Range` and `Content-Range`: the bytes chosen are those that the header names, by a count that cannot overflow, and
//! never more of them than the blob has. The first line of the input is the blob's size.
#![no_main]

use std::ops::Range;

use wharfinger_api_distribution::range::{Wanted, chunk, wanted};

libfuzzer_sys::fuzz_target!(|input: &str| {
    let (size, header) = input.split_once('\n').unwrap_or(("2048", input));
    let size = size.parse().unwrap_or(u64::MAX);
    assert_eq!(wanted(None, size), Wanted::Whole);
    let found = wanted(Some(header), size);
    assert_eq!(found, expected(header, size));
    if let Wanted::Parts(parts) = found {
        assert!((1..=128).contains(&parts.len()));
        assert!(parts.iter().all(|part| part.start < part.end && part.end <= size));
        let sent: u128 = parts.iter().map(|part| u128::from(part.end - part.start)).sum();
        assert!(sent <= u128::from(size));
        let printed: Vec<String> =
            parts.iter().map(|part| format!("{}-{}", part.start, part.end - 1)).collect();
        assert_eq!(wanted(Some(&format!("bytes={}", printed.join(","))), size), Wanted::Parts(parts));
    }

    if let Some(found) = chunk(header) {
        let last = u128::from(found.start) + u128::from(found.length) - 1;
        assert!(found.length >= 1 && last <= u128::from(u64::MAX));
        assert_eq!(chunk(&format!("{}-{last}", found.start)), Some(found));
        let is_expected = |character: char| character.is_ascii_digit() || character == '-';
        assert!(header.trim().chars().all(is_expected));
    }
});

/// The same again in wider numbers, the overlap by each pair.
fn expected(header: &str, size: u64) -> Wanted {
    let Some(("bytes", list)) = header.trim().split_once('=') else {
        return Wanted::Whole;
    };
    let specs: Vec<&str> = list.split(',').map(str::trim).filter(|spec| !spec.is_empty()).collect();
    let Some(parts) = specs.iter().map(|spec| part(spec, size.into())).collect::<Option<Vec<_>>>() else {
        return Wanted::Whole;
    };
    if parts.is_empty() || parts.len() > 128 {
        return Wanted::Whole;
    }
    let parts: Vec<Range<u64>> = parts.into_iter().flatten().collect();
    let overlaps = |(index, part): (usize, &Range<u64>)| {
        parts[..index].iter().any(|other| part.start < other.end && other.start < part.end)
    };
    if parts.iter().enumerate().any(overlaps) {
        Wanted::Whole
    } else if parts.is_empty() {
        Wanted::Unsatisfiable
    } else {
        Wanted::Parts(parts)
    }
}

/// `None` for what is no range, `Some(None)` for one of no byte of the blob.
fn part(spec: &str, size: u128) -> Option<Option<Range<u64>>> {
    let (first, last) = spec.split_once('-')?;
    let number = |text: &str| {
        let is_number = text.chars().all(|character| character.is_ascii_digit());
        is_number.then(|| (!text.is_empty()).then(|| text.parse().unwrap_or(u128::MAX)))
    };
    let range = match (number(first)?, number(last)?) {
        (None, None) => return None,
        (None, Some(length)) => size.saturating_sub(length)..size,
        (Some(first), None) => first..size,
        (Some(first), Some(last)) => first..size.min(last.saturating_add(1)),
    };
    let end = u64::try_from(range.end).ok()?;
    let start = u64::try_from(range.start).ok();
    Some(start.map(|start| start..end).filter(|range| !range.is_empty()))
}
