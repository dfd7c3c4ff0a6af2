//! Points in time, of both kinds.
//!
//! Nothing here reads a clock: the engine does, and hands [`Now`] in. Deadlines use [`Monotonic`]; records use [`Timestamp`].

use std::{fmt, ops::Add, time::Duration};

/// Microseconds since the Unix epoch, UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// Microseconds from `earlier` to `self`; zero if `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }

    /// Reads what [`Display`](fmt::Display) writes: `2026-01-31T23:59:59.123456Z`, with 0 to 6 digits of a second.
    pub fn parse(text: &str) -> Option<Self> {
        let number = |from: usize, to: usize| -> Option<u64> {
            let digits = text.get(from..to)?;
            digits
                .bytes()
                .all(|b| b.is_ascii_digit())
                .then(|| digits.parse().ok())?
        };
        let separators = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')];
        let rest = text.get(19..)?.strip_suffix('Z')?;
        if separators
            .iter()
            .any(|&(at, separator)| text.as_bytes()[at] != separator)
        {
            return None;
        }
        let micros = match rest.strip_prefix('.') {
            None if rest.is_empty() => 0,
            Some(digits)
                if (1..=6).contains(&digits.len())
                    && digits.bytes().all(|b| b.is_ascii_digit()) =>
            {
                digits.parse::<u64>().ok()? * 10_u64.pow(6 - digits.len() as u32)
            }
            _ => return None,
        };
        let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
        let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
        if !(1970..).contains(&year)
            || !(1..=12).contains(&month)
            || hour > 23
            || minute > 59
            || second > 60
        {
            return None;
        }
        let days = days_from_civil(year, month, day);
        if civil_from_days(days) != (year, month, day) {
            return None;
        }
        Some(Self(
            (((days * 24 + hour) * 60 + minute) * 60 + second) * 1_000_000 + micros,
        ))
    }
}

impl fmt::Display for Timestamp {
    /// RFC 3339 in UTC, with microseconds.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0 / 1_000_000;
        let (year, month, day) = civil_from_days(seconds / 86_400);
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{:06}Z",
            seconds / 3600 % 24,
            seconds / 60 % 60,
            seconds % 60,
            self.0 % 1_000_000
        )
    }
}

impl Add<Duration> for Timestamp {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0 + duration.as_micros() as u64)
    }
}

/// The Gregorian date of a day since 1970-01-01, by the usual era arithmetic (years begin in March, so that the leap day is last).
fn civil_from_days(days: u64) -> (u64, u64, u64) {
    let z = days + 719_468;
    let (era, doe) = (z / 146_097, z % 146_097);
    let yoe = (doe - doe / 1_460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    (
        yoe + era * 400 + u64::from(month <= 2),
        month,
        doy - (153 * mp + 2) / 5 + 1,
    )
}

/// The inverse of [`civil_from_days`].
fn days_from_civil(year: u64, month: u64, day: u64) -> u64 {
    let year = year - u64::from(month <= 2);
    let (era, yoe) = (year / 400, year % 400);
    let mp = if month > 2 { month - 3 } else { month + 9 };
    let doy = (153 * mp + 2) / 5 + day.saturating_sub(1);
    era * 146_097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719_468
}

/// A point on a clock that never goes back and does not count the time while the machine sleeps; the origin means nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Monotonic(pub Duration);

impl Monotonic {
    /// From `earlier` to `self`; zero if `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

impl Add<Duration> for Monotonic {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(duration))
    }
}

/// One reading of both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Now {
    /// For records: the wall clock at the build's start plus what elapsed since, so that it never goes back within a build.
    pub wall: Timestamp,
    /// For deadlines.
    pub mono: Monotonic,
}

/// A duration as people read it: `0.4s`, `12.3s`, `4m05s`, `2h03m`.
pub struct Human(pub Duration);

impl fmt::Display for Human {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.as_millis();
        let seconds = millis / 1000;
        let text = match seconds {
            0 if millis < 100 => format!("{millis}ms"),
            0..60 => format!("{seconds}.{}s", millis % 1000 / 100),
            60..3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
            _ => format!("{}h{:02}m", seconds / 3600, seconds / 60 % 60),
        };
        f.pad(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use test_case::test_case;

    #[test_case(0, "1970-01-01T00:00:00.000000Z")]
    #[test_case(951_782_400_000_001, "2000-02-29T00:00:00.000001Z")]
    #[test_case(1_798_761_599_999_999, "2026-12-31T23:59:59.999999Z")]
    fn a_timestamp_is_written_as_rfc_3339_and_reads_back(micros: u64, text: &str) {
        assert_eq!(Timestamp(micros).to_string(), text);
        assert_eq!(Timestamp::parse(text), Some(Timestamp(micros)));
    }

    #[test_case("2026-02-29T00:00:00Z"; "no such day")]
    #[test_case("2026-13-01T00:00:00Z"; "no such month")]
    #[test_case("2026-01-01T24:00:00Z"; "no such hour")]
    #[test_case("2026-01-01T00:00:00"; "no zone")]
    #[test_case("2026-01-01T00:00:00.Z"; "no digits")]
    #[test_case("2026-01-01 00:00:00Z"; "a space")]
    fn a_wrong_timestamp_is_refused(text: &str) {
        assert_eq!(Timestamp::parse(text), None);
    }

    #[test_case(0, "0ms")]
    #[test_case(99, "99ms")]
    #[test_case(400, "0.4s")]
    #[test_case(59_990, "59.9s")]
    #[test_case(245_000, "4m05s")]
    #[test_case(7_380_000, "2h03m")]
    fn a_duration_is_shown_for_people(millis: u64, text: &str) {
        assert_eq!(Human(Duration::from_millis(millis)).to_string(), text);
    }
}
