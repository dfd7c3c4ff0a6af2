//! How many files this process may have open: as many as the system allows, while what it starts gets what piper was given.
//!
//! A running step costs piper its pipes and a descriptor of its process, so that the usual 1,024 are too few for hundreds of steps. A
//! program may misbehave with more than it asked for (`select` knows no higher number), and a step is to find the user's own limit.

use super::check;
use std::{mem::MaybeUninit, sync::OnceLock};

/// What piper has open beside what its steps need: the log, the history, the terminal, plugins.
const OWN: u64 = 64;
/// What a running step needs while it is started: five if it is a plugin, one of which is its process's or its task's.
const OF_A_STEP: u64 = 5;

/// The limit that piper was started with, once it is another one.
static GIVEN: OnceLock<libc::rlimit> = OnceLock::new();

/// How many files may be open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit(u64);

impl Limit {
    /// Raises the limit as far as it goes without being root, and returns it.
    pub fn raise() -> Self {
        let mut given = MaybeUninit::<libc::rlimit>::zeroed();
        // SAFETY: a limit of zeroes is valid, and the call fills it in.
        let given = unsafe {
            libc::getrlimit(libc::RLIMIT_NOFILE, given.as_mut_ptr());
            given.assume_init()
        };
        let most = libc::rlimit {
            rlim_cur: given.rlim_max,
            ..given
        };
        // SAFETY: the call reads one structure, which lives until it returns.
        let raised = given.rlim_cur < most.rlim_cur
            && check(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const most) }).is_ok();
        if !raised {
            return Self(given.rlim_cur);
        }
        GIVEN.get_or_init(|| given);
        Self(most.rlim_cur)
    }

    /// How many steps may run at once, at least one.
    pub fn steps(self) -> u32 {
        let steps = self.0.saturating_sub(OWN) / OF_A_STEP;
        u32::try_from(steps).unwrap_or(u32::MAX).max(1)
    }

    /// How many files may be open.
    pub fn files(self) -> u64 {
        self.0
    }
}

/// The limit that a process is to get, if it is not that of this one.
pub(super) fn given() -> Option<&'static libc::rlimit> {
    GIVEN.get()
}

#[cfg(test)]
mod tests {
    use super::*;
    use test_case::test_case;

    #[test_case(0, 1; "nothing")]
    #[test_case(69, 1; "little")]
    #[test_case(1024, 192; "what is usual")]
    #[test_case(u64::MAX, u32::MAX; "no limit")]
    fn a_limit_is_enough_for_so_many_steps(files: u64, steps: u32) {
        assert_eq!(Limit(files).steps(), steps);
    }
}
