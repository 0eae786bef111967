//! Times in conditions: their text form (ISO 8601, UTC) and the calendar of a request's time.

use wharfinger_types::Timestamp;

const DAY: i64 = 86_400;
const WEEKDAYS: [&str; 7] = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];

/// A request's time, taken apart; UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Calendar {
    pub(crate) month: u8,
    pub(crate) day_of_month: u8,
    /// From Monday, 0.
    pub(crate) day_of_week: u8,
    pub(crate) second_of_day: u32,
}

impl Calendar {
    pub(crate) fn of(time: Timestamp) -> Calendar {
        let seconds = time.unix_seconds();
        let day = seconds.div_euclid(DAY);
        let (_, month, day_of_month) = civil_of_day(day);
        Calendar {
            month,
            day_of_month,
            // 1 January 1970 was a Thursday.
            day_of_week: (day + 3).rem_euclid(7).try_into().unwrap_or_default(),
            second_of_day: seconds.rem_euclid(DAY).try_into().unwrap_or_default(),
        }
    }
}

/// The day of the week of that English name, from Monday, 0.
pub(crate) fn parse_weekday(text: &str) -> Option<u8> {
    let index = WEEKDAYS.iter().position(|name| name.eq_ignore_ascii_case(text))?;
    index.try_into().ok()
}

/// A number from 1 to `most`, with or without leading zero.
pub(crate) fn parse_number(text: &str, most: u8) -> Option<u8> {
    let number = digits(text, 1..=2)?;
    u8::try_from(number).ok().filter(|number| (1..=most).contains(number))
}

/// `hh:mm:ssZ` or `hh:mmZ` as second of the day.
pub(crate) fn parse_time_of_day(text: &str) -> Option<u32> {
    let text = text.strip_suffix(['Z', 'z'])?;
    let mut parts = text.split(':');
    let hour = digits(parts.next()?, 2..=2)?;
    let minute = digits(parts.next()?, 2..=2)?;
    let second = parts.next().map_or(Some(0), |part| digits(part, 2..=2))?;
    let fits = hour < 24 && minute < 60 && second < 60 && parts.next().is_none();
    fits.then_some(hour * 3600 + minute * 60 + second)
}

/// `yyyy-mm-ddThh:mm:ssZ`, `yyyy-mm-ddThh:mmZ` or `yyyy-mm-ddZ` (the start of that day).
pub(crate) fn parse_timestamp(text: &str) -> Option<Timestamp> {
    let (date, seconds) = match text.split_once(['T', 't']) {
        Some((date, time)) => (date, parse_time_of_day(time)?),
        None => (text.strip_suffix(['Z', 'z'])?, 0),
    };
    let mut parts = date.split('-');
    let year = digits(parts.next()?, 4..=4)?;
    let month = parse_number(parts.next().filter(|part| part.len() == 2)?, 12)?;
    let day = parse_number(parts.next().filter(|part| part.len() == 2)?, 31)?;
    if parts.next().is_some() {
        return None;
    }
    let days = day_of_civil(i64::from(year), month, day);
    // A day that the month does not have comes back as one of the next month.
    if civil_of_day(days) != (i64::from(year), month, day) {
        return None;
    }
    Some(Timestamp(0).plus_seconds(days * DAY + i64::from(seconds)))
}

fn digits(text: &str, length: std::ops::RangeInclusive<usize>) -> Option<u32> {
    let is_number = length.contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().ok()).flatten()
}

/// Days since 1 January 1970 of a date of the proleptic Gregorian calendar. Years are counted from
/// March, so that the leap day is a year's last.
fn day_of_civil(year: i64, month: u8, day: u8) -> i64 {
    let month = i64::from(month);
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    let day_of_year = (153 * month + 2) / 5 + i64::from(day) - 1;
    365 * year + leap_days + day_of_year - 719_468
}

/// The inverse: year, month, day.
fn civil_of_day(days: i64) -> (i64, u8, u8) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let (year, month) = if month < 10 { (0, month + 3) } else { (1, month - 9) };
    (400 * era + year_of_era + year, month.try_into().unwrap_or_default(), day.try_into().unwrap_or_default())
}
