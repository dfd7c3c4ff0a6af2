//! The event loop and the reaping of children, in a process of their own: they reap whatever is a child of it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use piper_engine::process::{
    Child, Pid, reap_adopted,
    spawn::{Spawn, Stdio},
};
use std::{
    ffi::CString,
    fs::File,
    os::fd::{AsFd, BorrowedFd},
    path::Path,
    thread,
    time::Duration,
};

/// Starts a shell that reads nothing and prints to `out`.
fn shell(script: &str, out: BorrowedFd<'_>) -> Child {
    let c_string = |text: &str| CString::new(text).unwrap();
    let path = std::env::var("PATH").unwrap();
    Spawn {
        program: c"/bin/sh",
        argv: &[c_string("sh"), c_string("-c"), c_string(script)],
        env: &[c_string(&format!("PATH={path}"))],
        cwd: c"/",
        stdio: Stdio::Fds([null().as_fd(), out, out]),
    }
    .start()
    .unwrap()
}

fn null() -> File {
    let mut options = File::options();
    options.read(true).write(true).open("/dev/null").unwrap()
}

/// Whether a process is there, be it only to be reaped.
fn is_there(pid: Pid) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..6000 {
        if holds() {
            return;
        }
        thread::sleep(Duration::from_millis(5));
    }
    panic!("waited in vain for {what}");
}

mod children {
    use super::*;
    use piper_core::build::Ended;

    #[test]
    fn a_status_that_somebody_waits_for_is_left_to_them() {
        let mut child = shell("exit 7", null().as_fd());
        let mut end = None;
        wait_until("its end", || {
            reap_adopted();
            end = child.end();
            end.is_some()
        });
        assert_eq!(end, Some(Ended::Status(7)));
    }

    #[test]
    fn a_child_that_nobody_waits_for_any_more_is_reaped() {
        let child = shell("exit 7", null().as_fd());
        let pid = child.pid;
        drop(child);
        wait_until("it to be reaped", || {
            reap_adopted();
            !is_there(pid)
        });
    }
}
