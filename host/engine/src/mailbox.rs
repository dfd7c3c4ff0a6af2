//! How the dispatcher is woken: one queue, and one descriptor that can be waited for beside the signals.

use crate::process::check;
use piper_core::build::Event;
use std::{
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
    sync::{Mutex, PoisonError},
};

/// What the dispatcher is told.
#[derive(Debug)]
pub enum Message {
    /// Something happened to a step.
    Event(Event),
    /// Something that fails nothing, in words.
    Warning(String),
}

/// The dispatcher's queue. Unbounded: at most one message a try and a few warnings are ever in it.
#[derive(Debug)]
pub struct Mailbox {
    queue: Mutex<Vec<Message>>,
    wake: EventFd,
}

impl Mailbox {
    /// An empty one.
    ///
    /// # Errors
    ///
    /// When the system has no descriptor left.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            queue: Mutex::default(),
            wake: EventFd::new()?,
        })
    }

    /// Adds a message and wakes the dispatcher.
    pub fn send(&self, message: Message) {
        self.queue
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(message);
        self.wake.ring();
    }

    /// Takes everything.
    pub fn take(&self) -> Vec<Message> {
        self.wake.quiet();
        std::mem::take(&mut *self.queue.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl AsFd for Mailbox {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }
}

/// A descriptor that is readable from `ring` to `quiet`.
#[derive(Debug)]
pub struct EventFd(OwnedFd);

impl EventFd {
    /// A quiet one.
    ///
    /// # Errors
    ///
    /// When the system has no descriptor left.
    pub fn new() -> io::Result<Self> {
        // SAFETY: the descriptor is new and nobody else's.
        unsafe {
            Ok(Self(OwnedFd::from_raw_fd(check(libc::eventfd(
                0,
                libc::EFD_CLOEXEC | libc::EFD_NONBLOCK,
            ))?)))
        }
    }

    /// Makes it readable.
    pub fn ring(&self) {
        // SAFETY: writes eight bytes from a value that lives on. It fails only if the counter is full, and then it is readable.
        unsafe {
            libc::write(
                self.0.as_raw_fd(),
                (&raw const ONE).cast(),
                size_of::<u64>(),
            )
        };
    }

    /// Makes it unreadable.
    pub fn quiet(&self) {
        let mut count = 0_u64;
        // SAFETY: reads eight bytes into a value of that size; it fails only if it is quiet already.
        unsafe {
            libc::read(
                self.0.as_raw_fd(),
                (&raw mut count).cast(),
                size_of::<u64>(),
            )
        };
    }
}

static ONE: u64 = 1;

impl AsFd for EventFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
