//! The only place that reads the clocks of the machine.

use piper_core::time::{Monotonic, Now, Timestamp};
use std::{
    mem::MaybeUninit,
    time::{Duration, Instant, SystemTime},
};

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

/// The kernel's ticks since boot, by which it tells when a process started.
pub fn boot_ticks() -> u64 {
    let mut now = MaybeUninit::<libc::timespec>::zeroed();
    // SAFETY: a time of zeroes is valid, and the call fills it in; the other takes a number.
    let (now, rate) = unsafe {
        libc::clock_gettime(libc::CLOCK_BOOTTIME, now.as_mut_ptr());
        (now.assume_init(), libc::sysconf(libc::_SC_CLK_TCK))
    };
    let rate = u64::try_from(rate).unwrap_or(100);
    now.tv_sec as u64 * rate + now.tv_nsec as u64 * rate / 1_000_000_000
}
