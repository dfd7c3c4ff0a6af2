//! Ctrl-\ ends piper at once, as the way out of one that hangs, but first removes the live lines.
//!
//! It must work whatever the rest of the program does: nothing here locks, allocates or waits. Ending the steps is the watcher's.

use std::{
    mem::MaybeUninit,
    ptr,
    sync::atomic::{AtomicUsize, Ordering},
};

/// How many rows stand on the screen below everything else; the cursor is in the last one.
static DRAWN: AtomicUsize = AtomicUsize::new(0);

/// The most rows that are removed, for a text of fixed length. More stand on no screen.
const MOST_ROWS: usize = 128;
const UP: &[u8] = b"\x1b[A";
/// What is below, and the end of a frame that may have been begun.
const ERASE: &[u8] = b"\r\x1b[J\x1b[?2026l";

/// Notes how many rows stand on the screen.
pub(super) fn note_drawn(rows: usize) {
    DRAWN.store(rows, Ordering::Relaxed);
}

/// Has SIGQUIT remove the live lines before it ends piper, unless it was ignored. Call it before any process is started.
pub fn tidy_up_on_quit() {
    // SAFETY: actions of zeroes are valid, the first call only fills one in, and the handler makes only calls that are allowed in one.
    // It is gone when it runs, so that the same signal ends the process once it returns.
    unsafe {
        let mut before = MaybeUninit::<libc::sigaction>::zeroed();
        libc::sigaction(libc::SIGQUIT, ptr::null(), before.as_mut_ptr());
        if before.assume_init().sa_sigaction != libc::SIG_DFL {
            return;
        }
        let mut action = MaybeUninit::<libc::sigaction>::zeroed().assume_init();
        action.sa_sigaction = quit as *const () as libc::sighandler_t;
        action.sa_flags = libc::SA_RESETHAND;
        libc::sigaction(libc::SIGQUIT, &raw const action, ptr::null_mut());
    }
}

extern "C" fn quit(signal: libc::c_int) {
    let rows = DRAWN.load(Ordering::Relaxed).min(MOST_ROWS);
    if rows > 0 {
        let mut text = [0; MOST_ROWS * UP.len() + ERASE.len()];
        let mut len = 0;
        let ups = std::iter::repeat_n(UP, rows - 1);
        for part in ups.chain([ERASE]) {
            text[len..len + part.len()].copy_from_slice(part);
            len += part.len();
        }
        let mut terminal = libc::pollfd {
            fd: libc::STDERR_FILENO,
            events: libc::POLLOUT,
            revents: 0,
        };
        // SAFETY: both calls are allowed in a handler, and what they are given lives until they return. A terminal that was stopped
        // by Ctrl-S is left as it is: waiting for it would close the way out.
        unsafe {
            if libc::poll(&raw mut terminal, 1, 0) == 1 {
                libc::write(libc::STDERR_FILENO, text.as_ptr().cast(), len);
            }
        }
    }
    // SAFETY: the call takes two numbers. The signal waits until the handler, which was removed, returns.
    unsafe { libc::raise(signal) };
}
