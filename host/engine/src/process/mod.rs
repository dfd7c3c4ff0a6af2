//! The only place that starts, signals or ends a process.
//!
//! A step is a session of its own: its leader's pid names the session and the process group, so that everything it starts can be
//! found again, also what left the group. Whoever holds a [`Child`] reads its status; all others that end are reaped for nobody.

pub mod descriptors;
pub mod pty;
pub mod reaper;
pub mod sessions;
pub mod spawn;
pub mod tool;
pub mod watcher;

use piper_core::build::{Ended, Fault};
use std::{io, os::fd::OwnedFd};

/// A process id.
pub type Pid = libc::pid_t;

/// A process that was started. Dropping it leaves it to whoever reaps orphans.
#[derive(Debug)]
pub struct Child {
    /// Its id, which is also that of its session and of its process group.
    pub pid: Pid,
    /// Becomes readable when it ends.
    pub pidfd: OwnedFd,
    /// Its status was read, and its number may be somebody else's.
    reaped: bool,
}

impl Child {
    /// How it ended; `None` if it did not, or if that was told before.
    pub fn end(&mut self) -> Option<Ended> {
        if self.reaped {
            return None;
        }
        // SAFETY: an all-zero `siginfo_t` is valid; the kernel fills it in for our own child, which is reaped nowhere else.
        let (waited, info) = unsafe {
            let mut info: libc::siginfo_t = std::mem::zeroed();
            let pid = self.pid as libc::id_t;
            let options = libc::WEXITED | libc::WNOHANG;
            let waited = retry(|| check(libc::waitid(libc::P_PID, pid, &raw mut info, options)));
            (waited, info)
        };
        // SAFETY: `si_pid` is zero or was filled in.
        let nobody = unsafe { info.si_pid() } == 0;
        let how = match waited {
            Ok(_) if nobody => return None,
            Ok(_) => ended(&info),
            // Waiting for it again would find the same, for ever.
            Err(error) => Ended::NotStarted {
                why: format!("its exit status is lost: {error}"),
                fault: Fault::Machine,
            },
        };
        self.let_go();
        Some(how)
    }

    fn let_go(&mut self) {
        if !std::mem::replace(&mut self.reaped, true) {
            reaper::awaited().remove(&self.pid);
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.let_go();
    }
}

/// Turns the `-1` of a system call into an error.
pub(crate) fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result == -1 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

/// Tries again while a signal handler interrupts the call.
pub(crate) fn retry<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

/// The name of a signal, such as `SIGTERM`.
pub fn signal_name(signal: i32) -> String {
    const NAMES: [&str; 32] = [
        "0", "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV",
        "USR2", "PIPE", "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU",
        "URG", "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
    ];
    match usize::try_from(signal).ok().and_then(|n| NAMES.get(n)) {
        Some(name) => format!("SIG{name}"),
        None => format!("signal {signal}"),
    }
}

/// How a reaped process ended.
fn ended(info: &libc::siginfo_t) -> Ended {
    // SAFETY: the kernel filled `info` in for a child that ended, which is when `si_status` means something.
    let status = unsafe { info.si_status() };
    match info.si_code {
        libc::CLD_EXITED => Ended::Status(status),
        _ => Ended::Signal(status),
    }
}

/// Makes this process the one to which orphans below it fall, so that a daemonised process of a step does not escape.
pub fn adopt_orphans() {
    // Whoever started piper may ignore it, and then the kernel would throw every exit status away.
    // SAFETY: the default action installs no code.
    unsafe { libc::signal(libc::SIGCHLD, libc::SIG_DFL) };
    // SAFETY: `prctl` with this option takes one number and touches no memory. Where the kernel refuses it, orphans go to init,
    // and the watcher still finds them by their environment.
    unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) };
}
