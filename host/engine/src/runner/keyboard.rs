//! The keyboard of a step that asked for a terminal: what is typed at the real one goes to the step's.
//!
//! Nothing here waits: a job in the background that reads its terminal is stopped by the kernel, and piper with it.

use crate::{
    capture::Capture,
    process::{Pid, pty},
};
use piper_core::id::StepIx;
use std::{
    fs::File,
    io::{self, Read as _, Write as _},
    os::{
        fd::{AsFd as _, AsRawFd as _, OwnedFd},
        unix::fs::OpenOptionsExt as _,
    },
    time::Duration,
};

/// How often it is looked whether piper has the terminal again. A shell that moves a running job to the foreground tells nobody.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// What came of a key.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Typed {
    /// It went to the step.
    On,
    /// It asks to stop the step.
    Stop,
    /// There is no keyboard any more.
    Gone,
}

/// The keyboard, while a step has it.
#[derive(Debug)]
pub(super) struct Keyboard {
    /// The step that has it.
    pub(super) step: StepIx,
    /// The real terminal.
    keys: File,
    /// The step's one.
    master: File,
    /// `None` if piper is not the one who reads the terminal, or stopped by Ctrl-Z.
    raw: Option<pty::RawMode>,
    /// What the step's terminal had no room for.
    ahead: Vec<u8>,
    /// Keys are waited for.
    listens: bool,
}

impl Keyboard {
    /// Gives a step the keyboard. If it cannot be had the step hears nothing.
    pub(super) fn give(step: StepIx, master: OwnedFd, capture: &mut Capture) -> io::Result<Self> {
        // Whoever started piper reads the terminal by the same open file as we do: one that must not wait has to be our own.
        let keys = File::options()
            .read(true)
            .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
            .open("/proc/self/fd/0")
            .or_else(|_| io::stdin().as_fd().try_clone_to_owned().map(File::from))?;
        let mut keyboard = Self {
            step,
            keys,
            master: File::from(master),
            raw: None,
            ahead: Vec::new(),
            listens: false,
        };
        keyboard.attend(capture);
        Ok(keyboard)
    }

    /// Listens while the terminal is ours, and leaves it alone while it is not.
    fn attend(&mut self, capture: &mut Capture) {
        let is_ours = pty::is_in_foreground();
        if is_ours && self.raw.is_none() {
            self.raw = pty::RawMode::enter();
        } else if !is_ours && let Some(raw) = self.raw.take() {
            // Whoever has the terminal now set it up for himself.
            raw.forget();
        }
        let listens = is_ours && self.ahead.is_empty();
        if listens && !self.listens {
            // Without it the step runs all the same, and hears nothing.
            let _ = capture.listen_to_keyboard(self.keys.as_fd());
        } else if !listens && self.listens {
            capture.leave_keyboard(self.keys.as_fd());
        }
        self.listens = listens;
    }

    /// When it is to be looked again whether the terminal is ours.
    pub(super) fn look_within(&self) -> Option<Duration> {
        self.raw.is_none().then_some(LOOK_EVERY)
    }

    /// Looks whether the terminal is ours, if it was not.
    pub(super) fn look(&mut self, capture: &mut Capture) {
        if self.raw.is_none() {
            self.attend(capture);
        }
    }

    /// Hands on what was typed to the step whose session this is.
    pub(super) fn type_on(&mut self, session: Option<Pid>, capture: &mut Capture) -> Typed {
        if !pty::is_in_foreground() {
            self.attend(capture);
            return Typed::On;
        }
        let mut keys = [0; 4096];
        let keys = match self.keys.read(&mut keys) {
            Ok(read @ 1..) => &keys[..read],
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
                ) =>
            {
                return Typed::On;
            }
            Ok(0) | Err(_) => return Typed::Gone,
        };
        let stop =
            session.and_then(|session| pty::stop_key(keys, self.master.as_raw_fd(), session));
        // What was typed behind it in one go is dropped, as terminals do.
        self.ahead
            .extend_from_slice(&keys[..stop.unwrap_or(keys.len())]);
        self.write_ahead();
        if !self.ahead.is_empty() {
            // Until there is room, what is typed stays where it is.
            let _ = capture.wait_for_keyboard_room(self.master.as_fd());
            self.attend(capture);
        }
        if stop.is_some() {
            Typed::Stop
        } else {
            Typed::On
        }
    }

    /// The step's terminal has room.
    pub(super) fn go_on(&mut self, capture: &mut Capture) {
        self.write_ahead();
        if self.ahead.is_empty() {
            capture.leave_keyboard(self.master.as_fd());
            self.attend(capture);
        }
    }

    fn write_ahead(&mut self) {
        while !self.ahead.is_empty() {
            match self.master.write(&self.ahead) {
                Ok(written) => drop(self.ahead.drain(..written)),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                // Nobody is there any more who could read it.
                Err(_) => self.ahead.clear(),
            }
        }
    }

    /// Gives the terminal back as it was.
    pub(super) fn suspend(&mut self) {
        self.raw = None;
    }

    /// Takes the terminal again, if it is ours.
    pub(super) fn resume(&mut self, capture: &mut Capture) {
        self.attend(capture);
    }

    /// Has the step draw again what was on the screen.
    pub(super) fn redraw(&self) {
        pty::redraw(self.master.as_raw_fd());
    }

    /// Takes over a new size of the real terminal.
    pub(super) fn resize(&self) {
        pty::resize(self.master.as_raw_fd());
    }

    /// Takes the keyboard back from the step.
    pub(super) fn take_back(self, capture: &mut Capture) {
        capture.leave_keyboard(self.keys.as_fd());
        capture.leave_keyboard(self.master.as_fd());
    }
}
