//! The only place that reads the clocks of the machine.

use piper_core::time::{Monotonic, Now, Timestamp};
use std::time::{Duration, Instant, SystemTime};

/// Both clocks of one build: wall time is read once, and goes on with the monotonic clock, so that it never jumps within a build.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    wall: Timestamp,
    origin: Instant,
}

impl Clock {
    /// Begins now.
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the place from which time comes"
    )]
    pub fn start() -> Self {
        Self {
            wall: wall(),
            origin: Instant::now(),
        }
    }

    /// The time on both clocks; the monotonic one counts from the start.
    pub fn now(&self) -> Now {
        let elapsed = self.origin.elapsed();
        Now {
            wall: self.wall + elapsed,
            mono: Monotonic(elapsed),
        }
    }
}

/// What the wall clock says.
#[expect(
    clippy::disallowed_methods,
    reason = "this is the place from which time comes"
)]
pub fn wall() -> Timestamp {
    let since = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or(Duration::ZERO);
    Timestamp(since.as_micros() as u64)
}
