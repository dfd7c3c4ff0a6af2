//! Who reaps which child.
//!
//! Children belong to the whole process, whichever build or tool started them, and so do the orphans that it adopts. Whoever asks
//! for *any* child that ended could take a status away that somebody waits for; so what is waited for by name stands here.

use super::Pid;
use std::{
    collections::BTreeSet,
    ptr,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// The children whose status somebody will read.
static AWAITED: Mutex<BTreeSet<Pid>> = Mutex::new(BTreeSet::new());

/// The children whose status somebody will read. Nothing is reaped for nobody while this is held: a child that is being started
/// must stand here before anybody can take it for an orphan.
pub(super) fn awaited() -> MutexGuard<'static, BTreeSet<Pid>> {
    AWAITED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Calls `start`, which starts a child by other means than [`spawn`](super::spawn) and returns its number. It is not reaped here until
/// [`let_go`] is told so.
pub fn keep(start: &mut dyn FnMut() -> Option<u32>) {
    let mut awaited = awaited();
    awaited.extend(start().and_then(|pid| Pid::try_from(pid).ok()));
}

/// Nobody waits any more for a child that was kept.
pub fn let_go(pid: u32) {
    if let Ok(pid) = Pid::try_from(pid) {
        awaited().remove(&pid);
    }
}

/// Reaps the children that ended and that nobody waits for: adopted orphans, and those whose [`Child`](super::Child) was dropped.
///
/// It stops at one that is waited for, because the system would name that one again and again; its owner reads it in a moment.
pub fn reap_adopted() {
    let awaited = awaited();
    loop {
        // SAFETY: an all-zero `siginfo_t` is valid, and the kernel only writes into it; `si_pid` is 0 if nobody ended.
        let pid = unsafe {
            let mut info: libc::siginfo_t = std::mem::zeroed();
            let options = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
            match libc::waitid(libc::P_ALL, 0, &raw mut info, options) {
                0 => info.si_pid(),
                _ => 0,
            }
        };
        if pid == 0 || awaited.contains(&pid) {
            return;
        }
        // SAFETY: reaps a child of ours that ended; no status is asked for.
        unsafe { libc::waitpid(pid, ptr::null_mut(), libc::WNOHANG) };
    }
}

#[cfg(test)]
mod tests {
    // What reaps is tested in `tests/event_loop.rs`: it would take the children of other tests of this process away.
    use super::{super::spawn::tests::start, *};
    use std::{path::Path, thread, time::Duration};

    #[test]
    fn a_child_is_not_waited_for_once_its_status_was_read() {
        let mut child = start(Path::new("/bin/sh"), &["-c", "exit 7"]);
        assert!(awaited().contains(&child.pid));
        while child.end().is_none() {
            thread::sleep(Duration::from_millis(1));
        }
        assert!(
            !awaited().contains(&child.pid),
            "its number may be another process's now"
        );
    }
}
