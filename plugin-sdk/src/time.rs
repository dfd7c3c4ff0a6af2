//! Points in time, as piper tells them.

use crate::host;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Microseconds since the Unix epoch, UTC. Displays as RFC 3339: `2026-03-01T12:00:00.000000Z`.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// Whole seconds since the epoch.
    pub fn seconds(self) -> u64 {
        self.0 / 1_000_000
    }
}

/// The time, for what must be signed with it. In planners and in checks of configurations it stands at 0; in tests it is what
/// [`Fake::now`](crate::testing::Fake::now) says.
pub fn now() -> Timestamp {
    host::now()
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, micros) = (self.0 / 1_000_000, self.0 % 1_000_000);
        let (mut days, of_day) = (seconds / 86_400, seconds % 86_400);
        // Counted in eras of 400 years from the first of March of year 0, so that a leap day is the last of its year.
        days += 719_468;
        let era = days / 146_097;
        let day = days % 146_097;
        let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
        let day = day - (365 * year + year / 4 - year / 100);
        let march = (5 * day + 2) / 153;
        let (month, day) = ((march + 2) % 12 + 1, day - (153 * march + 2) / 5 + 1);
        let year = era * 400 + year + u64::from(month <= 2);
        let (hour, minute, second) = (of_day / 3_600, of_day / 60 % 60, of_day % 60);
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}Z"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::Timestamp;
    use proptest::prelude::*;
    use test_case::test_case;

    /// The last microsecond of the year 9999.
    const LAST: u64 = 253_402_300_799_999_999;

    #[test_case(0, "1970-01-01T00:00:00.000000Z")]
    #[test_case(951_782_399_999_999, "2000-02-28T23:59:59.999999Z")]
    #[test_case(951_782_400_000_000, "2000-02-29T00:00:00.000000Z"; "a leap day")]
    #[test_case(1_772_366_400_000_001, "2026-03-01T12:00:00.000001Z")]
    #[test_case(4_107_542_400_000_000, "2100-03-01T00:00:00.000000Z"; "no leap day")]
    fn a_time_is_written_as_people_do(micros: u64, expected: &str) {
        assert_eq!(Timestamp(micros).to_string(), expected);
    }

    proptest! {
        #[test]
        fn times_sort_as_their_texts(one in 0..=LAST, other in 0..=LAST) {
            let (one, other) = (Timestamp(one), Timestamp(other));
            prop_assert_eq!(one.cmp(&other), one.to_string().cmp(&other.to_string()));
        }
    }
}
