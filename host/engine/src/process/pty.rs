//! A pseudo-terminal for a step that asked for one, and the raw mode of the real one while that step runs.

use super::{Pid, check, sessions, spawn::set_nonblocking};
use std::{
    ffi::{CStr, CString},
    io,
    mem::MaybeUninit,
    os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd},
};

/// piper's side of a pseudo-terminal.
#[derive(Debug)]
pub struct Pty {
    /// What the step writes is read here; what is written here is the step's keyboard. Does not block.
    pub master: OwnedFd,
    path: CString,
}

impl Pty {
    /// Opens one, as large as the real terminal.
    ///
    /// # Errors
    ///
    /// When the system has none left.
    pub fn open() -> io::Result<Self> {
        // SAFETY: the descriptor is ours as soon as the call succeeds; the other calls take it, and a buffer of the size told.
        unsafe {
            let fd = check(libc::posix_openpt(
                libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC,
            ))?;
            let master = OwnedFd::from_raw_fd(fd);
            check(libc::grantpt(fd))?;
            check(libc::unlockpt(fd))?;
            let mut name = [0; 128];
            let error = libc::ptsname_r(fd, name.as_mut_ptr(), name.len());
            if error != 0 {
                return Err(io::Error::from_raw_os_error(error));
            }
            let path = CStr::from_ptr(name.as_ptr()).to_owned();
            set_nonblocking(fd)?;
            let pty = Self { master, path };
            pty.resize();
            Ok(pty)
        }
    }

    /// The path of the step's side.
    pub fn path(&self) -> &CStr {
        &self.path
    }

    /// Takes over the size of the real terminal.
    pub fn resize(&self) {
        resize(self.master.as_raw_fd());
    }
}

/// Gives a pseudo-terminal the size of the real terminal on standard input.
pub fn resize(master: RawFd) {
    let mut size = MaybeUninit::<libc::winsize>::zeroed();
    // SAFETY: the first call fills the size in, the second reads it; where there is no terminal nothing happens.
    unsafe {
        if libc::ioctl(libc::STDIN_FILENO, libc::TIOCGWINSZ, size.as_mut_ptr()) == 0 {
            libc::ioctl(master, libc::TIOCSWINSZ, size.as_ptr());
        }
    }
}

/// Where among these keys is the one that is to stop what runs in a pseudo-terminal, if nobody there would do it: the step's own
/// group is in the foreground. It is an orphaned one, because its leader's parent is in another session, and the kernel stops no
/// such group for Ctrl-Z. Of a shell's job inside of the step the kernel and that shell take care.
///
/// One that ignores the signal is not stopped by any terminal: a shell at its prompt.
///
/// To a program that takes Ctrl-Z as a key like others (an editor) it is one.
pub fn stop_key(keys: &[u8], master: RawFd, session: Pid) -> Option<usize> {
    let mut settings = MaybeUninit::<libc::termios>::uninit();
    // SAFETY: `tcgetattr` fills the settings in if it succeeds, and only then are they read; the other call takes a number.
    unsafe {
        if libc::tcgetattr(master, settings.as_mut_ptr()) != 0 {
            return None;
        }
        let settings = settings.assume_init();
        let stop = settings.c_cc[libc::VSUSP];
        let is_key = settings.c_lflag & libc::ISIG != 0 && stop != libc::_POSIX_VDISABLE;
        let place = memchr::memchr(stop, keys).filter(|_| is_key)?;
        let is_its_own = libc::tcgetpgrp(master) == session;
        (is_its_own && !sessions::ignores(session, libc::SIGTSTP)).then_some(place)
    }
}

/// Has the programs in the foreground of a pseudo-terminal draw again what was on the screen, which others used meanwhile.
pub fn redraw(master: RawFd) {
    resize(master);
    // SAFETY: the call takes a number.
    let group = unsafe { libc::tcgetpgrp(master) };
    // Of itself it comes only when the size is another one.
    sessions::kill_group(group, libc::SIGWINCH);
}

/// Whether this process's group is the one that may read the terminal on standard input.
pub fn is_in_foreground() -> bool {
    // SAFETY: the calls take numbers.
    unsafe { libc::tcgetpgrp(libc::STDIN_FILENO) == libc::getpgrp() }
}

/// The real terminal in raw mode: every key goes to the step. Dropping it gives the terminal back as it was.
#[derive(Debug)]
pub struct RawMode {
    before: libc::termios,
}

impl RawMode {
    /// Switches the terminal on standard input; `None` if there is none or somebody else has it.
    pub fn enter() -> Option<Self> {
        let mut before = MaybeUninit::<libc::termios>::uninit();
        // SAFETY: `tcgetattr` fills `before` in if it succeeds, and only then is it read.
        unsafe {
            if libc::tcgetattr(libc::STDIN_FILENO, before.as_mut_ptr()) != 0 || !is_in_foreground()
            {
                return None;
            }
            let before = before.assume_init();
            let mut raw = before;
            libc::cfmakeraw(&raw mut raw);
            // What piper itself says in the meantime shall begin at the beginning of a line.
            raw.c_oflag = before.c_oflag;
            (libc::tcsetattr(libc::STDIN_FILENO, libc::TCSADRAIN, &raw const raw) == 0)
                .then_some(Self { before })
        }
    }

    /// Leaves the terminal to whoever has it now, as it is. To change it from the background would stop piper.
    pub fn forget(self) {
        std::mem::forget(self);
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        // SAFETY: `before` was filled in by the system.
        unsafe { libc::tcsetattr(libc::STDIN_FILENO, libc::TCSADRAIN, &raw const self.before) };
    }
}
