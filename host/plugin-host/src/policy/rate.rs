//! How often something may happen: so many times a second, and so many at once.
//!
//! No clock is read: the time comes in as an argument.

use piper_core::time::Monotonic;
use std::time::Duration;

/// Counts by the time at which all that was taken will have been earned again, so that no rounding adds up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rate {
    /// How long it takes to earn one.
    interval: Duration,
    /// How much may be owed.
    credit: Duration,
    /// When nothing is owed any more.
    settled: Monotonic,
}

impl Rate {
    /// `per_second` times a second, and `burst` at once; both are at least one.
    pub fn new(per_second: u32, burst: u32) -> Self {
        let interval = Duration::from_secs(1) / per_second.max(1);
        Self {
            interval,
            credit: interval * burst.max(1),
            settled: Monotonic::default(),
        }
    }

    /// Takes one.
    ///
    /// # Errors
    ///
    /// When there is none, with how long it takes until there is one.
    pub fn take(&mut self, now: Monotonic) -> Result<(), Duration> {
        let settled = self.settled.max(now) + self.interval;
        let owed = settled.since(now);
        if owed > self.credit {
            return Err(owed - self.credit);
        }
        self.settled = settled;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(millis: u64) -> Monotonic {
        Monotonic(Duration::from_millis(millis))
    }

    #[test]
    fn a_burst_is_taken_at_once_and_earned_again_one_by_one() {
        let mut rate = Rate::new(10, 3);
        let mut taken = |millis| rate.take(at(millis));
        assert_eq!([taken(5), taken(5), taken(5)], [Ok(()); 3]);
        assert_eq!(taken(5), Err(Duration::from_millis(100)));
        assert_eq!(taken(104), Err(Duration::from_millis(1)));
        assert_eq!(taken(105), Ok(()));
        assert_eq!(taken(105), Err(Duration::from_millis(100)));
        assert_eq!([taken(9000), taken(9000), taken(9000)], [Ok(()); 3]);
        assert!(taken(9000).is_err(), "no more than the burst is saved");
    }

    proptest! {
        #[test]
        fn no_span_of_time_has_more_than_the_burst_and_what_is_earned_in_it(
            per_second in 1_u32..50,
            burst in 1_u32..20,
            steps in proptest::collection::vec(0_u64..200, 1..200),
        ) {
            let mut rate = Rate::new(per_second, burst);
            let mut now = 0;
            let mut taken = Vec::new();
            for step in steps {
                now += step;
                match rate.take(at(now)) {
                    Ok(()) => taken.push(now),
                    Err(wait) => {
                        let mut later = rate.clone();
                        prop_assert!(later.take(at(now) + wait).is_ok(), "the wait is long enough");
                    }
                }
            }
            for (i, first) in taken.iter().enumerate() {
                for (j, last) in taken.iter().enumerate().skip(i) {
                    let earned = u64::from(per_second) * (last - first) / 1000 + u64::from(burst);
                    prop_assert!((j - i) as u64 <= earned);
                }
            }
        }
    }
}
