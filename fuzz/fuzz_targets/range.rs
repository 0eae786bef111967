//! `Range` and `Content-Range`: the bytes chosen are those that the header names, by a count that cannot overflow.
//! The first line of the input is the blob's size.
#![no_main]

use std::ops::Range;

use wharfinger_api_distribution::range::{Wanted, chunk, wanted};

libfuzzer_sys::fuzz_target!(|input: &str| {
    let (size, header) = input.split_once('\n').unwrap_or(("2048", input));
    let size = size.parse().unwrap_or(u64::MAX);
    let found = wanted(Some(header), size);
    assert_eq!(found, expected(header, size));
    if let Wanted::Part(Range { start, end }) = found {
        assert!(start < end && end <= size);
        assert_eq!(wanted(Some(&format!("bytes={start}-{}", end - 1)), size), Wanted::Part(start..end));
    }
    assert_eq!(wanted(None, size), Wanted::Whole);

    if let Some(found) = chunk(header) {
        let last = u128::from(found.start) + u128::from(found.length) - 1;
        assert!(found.length >= 1 && last <= u128::from(u64::MAX));
        assert_eq!(chunk(&format!("{}-{last}", found.start)), Some(found));
        assert!(
            header
                .chars()
                .all(|character| character.is_ascii_digit() || character == '-' || character.is_whitespace())
        );
    }
});

fn expected(header: &str, size: u64) -> Wanted {
    let Some((first, last)) = numbers(header) else {
        return Wanted::Whole;
    };
    let size = u128::from(size);
    let part = match (first, last) {
        (None, None) => return Wanted::Whole,
        (None, Some(length)) => size.saturating_sub(length)..size,
        (Some(first), None) => first..size,
        (Some(first), Some(last)) => first..size.min(last.saturating_add(1)),
    };
    match (u64::try_from(part.start), u64::try_from(part.end)) {
        (Ok(start), Ok(end)) if start < end => Wanted::Part(start..end),
        _ => Wanted::Unsatisfiable,
    }
}

/// The two numbers of a single range of bytes, either of which may be left out. Too large ones are `u128::MAX`.
fn numbers(header: &str) -> Option<(Option<u128>, Option<u128>)> {
    let (unit, range) = header.trim().split_once('=')?;
    let (first, last) = range.trim().split_once('-')?;
    let number = |text: &str| {
        let is_number = text.chars().all(|character| character.is_ascii_digit());
        is_number.then(|| (!text.is_empty()).then(|| text.parse().unwrap_or(u128::MAX)))
    };
    (unit == "bytes").then_some((number(first)?, number(last)?))
}
