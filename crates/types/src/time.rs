//! Points in time as the database holds them.

use std::fmt;

/// Microseconds since the Unix epoch. The clock that makes one lives in `server`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// The same point in seconds since the epoch, rounded down.
    pub fn unix_seconds(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// The point that an RFC 3339 text such as `2026-04-01T15:00:00Z` names; any offset, nothing below a
    /// microsecond.
    pub fn from_rfc_3339(text: &str) -> Option<Timestamp> {
        text.parse::<jiff::Timestamp>().ok().map(|time| Timestamp(time.as_microsecond()))
    }

    /// The point `seconds` later.
    pub fn plus_seconds(self, seconds: i64) -> Timestamp {
        Timestamp(self.0.saturating_add(seconds.saturating_mul(1_000_000)))
    }
}

impl fmt::Display for Timestamp {
    /// RFC 3339 in UTC with milliseconds, the precision that Oracle's clients print.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_microsecond(self.0) {
            Ok(timestamp) => write!(f, "{timestamp:.3}"),
            Err(_) => write!(f, "{}us", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_as_rfc_3339() {
        assert_eq!(Timestamp(0).to_string(), "1970-01-01T00:00:00.000Z");
        assert_eq!(Timestamp(1_700_000_000_123_456).to_string(), "2023-11-14T22:13:20.123Z");
    }

    #[test]
    fn reads_rfc_3339() {
        let time = Some(Timestamp(1_700_000_000_123_456));
        assert_eq!(Timestamp::from_rfc_3339("2023-11-14T22:13:20.123456Z"), time);
        assert_eq!(Timestamp::from_rfc_3339("2023-11-14T23:13:20.123456+01:00"), time);
        for bad in ["", "now", "2023-11-14", "2023-11-14T22:13:20"] {
            assert_eq!(Timestamp::from_rfc_3339(bad), None, "{bad}");
        }
    }
}
