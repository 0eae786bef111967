//! Times in conditions: their text form (ISO 8601, UTC), and a request's time in the same terms.

use std::str::FromStr;

use jiff::SignedDuration;
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::Offset;
use wharfinger_types::Timestamp;

const WEEKDAYS: [&str; 7] = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];

/// A point in time as date and time of day, UTC. One beyond the years of the calendar is its first or last.
pub(crate) fn utc(time: Timestamp) -> DateTime {
    let time = jiff::Timestamp::UNIX_EPOCH.saturating_add(SignedDuration::from_micros(time.0));
    // Only a span of months or years can fail.
    Offset::UTC.to_datetime(time.unwrap_or_default())
}

/// The day of the week of that English name, from Monday, 0.
pub(crate) fn parse_weekday(text: &str) -> Option<i8> {
    let index = WEEKDAYS.iter().position(|name| name.eq_ignore_ascii_case(text))?;
    index.try_into().ok()
}

/// A number from 1 to `most`, with or without leading zero.
pub(crate) fn parse_number(text: &str, most: i8) -> Option<i8> {
    digits(text, 1..=2).filter(|number| (1..=most).contains(number))
}

/// `hh:mm:ssZ` or `hh:mmZ`
pub(crate) fn parse_time_of_day(text: &str) -> Option<Time> {
    let mut parts = text.strip_suffix(['Z', 'z'])?.split(':');
    let hour = digits(parts.next()?, 2..=2)?;
    let minute = digits(parts.next()?, 2..=2)?;
    let second = parts.next().map_or(Some(0), |part| digits(part, 2..=2))?;
    Time::new(hour, minute, second, 0).ok().filter(|_| parts.next().is_none())
}

/// `yyyy-mm-ddThh:mm:ssZ`, `yyyy-mm-ddThh:mmZ` or `yyyy-mm-ddZ` (the start of that day).
pub(crate) fn parse_timestamp(text: &str) -> Option<DateTime> {
    let (date, time) = match text.split_once(['T', 't']) {
        Some((date, time)) => (date, parse_time_of_day(time)?),
        None => (text.strip_suffix(['Z', 'z'])?, Time::midnight()),
    };
    let mut parts = date.split('-');
    let year = digits(parts.next()?, 4..=4)?;
    let month = digits(parts.next()?, 2..=2)?;
    let day = digits(parts.next()?, 2..=2)?;
    let date = Date::new(year, month, day).ok().filter(|_| parts.next().is_none())?;
    Some(date.to_datetime(time))
}

fn digits<T: FromStr>(text: &str, length: std::ops::RangeInclusive<usize>) -> Option<T> {
    let is_number = length.contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().ok()).flatten()
}
