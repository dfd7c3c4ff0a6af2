//! A terminal with somebody in front of it.

use super::{Call, wait_until};
use std::{
    fs::File,
    io::{Read as _, Write as _},
    os::{
        fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
        unix::process::{CommandExt as _, ExitStatusExt as _},
    },
    process::{Child, ExitStatus},
    sync::{Arc, Mutex},
    thread::{self, JoinHandle},
    time::Duration,
};

/// A `piper` in a terminal of its own: its three streams are the terminal, which is its controlling one.
pub(crate) struct Terminal {
    child: Child,
    keys: File,
    screen: Arc<Mutex<Vec<u8>>>,
    /// `None` as long as nobody looks.
    reader: Option<JoinHandle<()>>,
}

impl Terminal {
    pub(crate) fn start(call: Call) -> Self {
        let mut terminal = Self::start_unread(call);
        terminal.read(None);
        terminal
    }

    /// One that takes nothing, as after Ctrl-S, until [`read`](Self::read) is called.
    pub(crate) fn start_unread(call: Call) -> Self {
        let (mut master, mut slave) = (0, 0);
        let size = libc::winsize {
            ws_row: 24,
            ws_col: 80,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        // SAFETY: both descriptors are written before they are read, the name and the settings may be left out, and the size
        // lives until the call returns. The descriptors are owned by nobody else.
        let (master, slave) = unsafe {
            let made = libc::openpty(
                &raw mut master,
                &raw mut slave,
                std::ptr::null_mut(),
                std::ptr::null(),
                &raw const size,
            );
            assert_eq!(made, 0, "no terminal left");
            (OwnedFd::from_raw_fd(master), OwnedFd::from_raw_fd(slave))
        };
        // SAFETY: sets a flag of a descriptor of ours.
        unsafe { libc::fcntl(master.as_raw_fd(), libc::F_SETFD, libc::FD_CLOEXEC) };
        let mut command = call.env("TERM", "xterm").into_command();
        let stdio = || slave.try_clone().unwrap();
        command.stdin(stdio()).stdout(stdio()).stderr(stdio());
        // SAFETY: both calls are allowed between fork and exec, and touch no memory.
        unsafe {
            command.pre_exec(|| {
                if libc::setsid() == -1 || libc::ioctl(0, libc::TIOCSCTTY, 0) == -1 {
                    return Err(std::io::Error::last_os_error());
                }
                Ok(())
            });
        }
        let child = command.spawn().unwrap();
        drop((command, slave));
        Self {
            child,
            keys: File::from(master),
            screen: Arc::default(),
            reader: None,
        }
    }

    /// Begins to take what is sent; a slow one rests so long after each 4 KiB.
    pub(crate) fn read(&mut self, rest: Option<Duration>) {
        let into = Arc::clone(&self.screen);
        let mut output = self.keys.try_clone().unwrap();
        self.reader = Some(thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(read @ 1..) = output.read(&mut buffer) {
                into.lock().unwrap().extend_from_slice(&buffer[..read]);
                thread::sleep(rest.unwrap_or_default());
            }
        }));
    }

    /// Presses these keys.
    pub(crate) fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
    }

    /// Everything that was sent to the screen.
    pub(crate) fn sent(&self) -> String {
        String::from_utf8_lossy(&self.screen.lock().unwrap()).into_owned()
    }

    pub(crate) fn wait_for(&self, text: &str) {
        wait_until(&format!("{text:?} on the screen"), || {
            self.sent().contains(text)
        });
    }

    /// Waits for the end of `piper`, and for all that it wrote.
    pub(crate) fn finish(&mut self) -> ExitStatus {
        let mut status = None;
        wait_until("the end of piper", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        // What was written last is still on its way here.
        wait_until("the end of the terminal", || {
            self.reader.as_ref().is_none_or(JoinHandle::is_finished)
        });
        status.unwrap()
    }

    /// Waits for the end of `piper` by a signal, and returns that.
    pub(crate) fn killed_by(&mut self) -> Option<i32> {
        self.finish().signal()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|status| status.is_none()) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}
