//! The signals that are meant for a build, as a descriptor to be waited for.

use crate::process::check;
use std::{
    io,
    mem::MaybeUninit,
    os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
};

/// What a person or a supervisor says to piper by signals. SIGQUIT is not among them: it ends piper at once, and the watcher
/// ends the steps.
const HEARD: [libc::c_int; 5] = [
    libc::SIGINT,
    libc::SIGTERM,
    libc::SIGHUP,
    libc::SIGTSTP,
    libc::SIGWINCH,
];

/// Those that ask piper to end.
const REQUESTS: [libc::c_int; 3] = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP];

/// Whether a signal asks piper to end.
pub(crate) fn asks_to_end(signal: libc::c_int) -> bool {
    REQUESTS.contains(&signal)
}

/// A descriptor that is readable while a request to end waits to be read by whoever blocked it.
///
/// For waits outside of the event loop: it must not be read, so that the request goes to the build, or to whoever ends piper.
pub(crate) fn request() -> io::Result<OwnedFd> {
    let mut set = MaybeUninit::uninit();
    // SAFETY: the set is initialised before it is used, and the descriptor is new and nobody else's.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        for signal in REQUESTS {
            libc::sigaddset(set.as_mut_ptr(), signal);
        }
        let fd = check(libc::signalfd(-1, set.as_ptr(), libc::SFD_CLOEXEC))?;
        Ok(OwnedFd::from_raw_fd(fd))
    }
}

/// The signals by which a person or a supervisor speaks to piper, blocked and readable.
#[derive(Debug)]
pub struct Signals {
    fd: OwnedFd,
    set: libc::sigset_t,
}

impl Signals {
    /// Blocks the signals in this thread and all that it starts from now on: call it before there is a second thread.
    ///
    /// A signal that piper was started with ignored (nohup, a shell's background job) stays ignored.
    ///
    /// # Errors
    ///
    /// When the system has no descriptor left.
    pub fn block() -> io::Result<Self> {
        let mut set = MaybeUninit::uninit();
        // SAFETY: the set is initialised before it is used, and the calls only read or fill what they are given.
        unsafe {
            libc::sigemptyset(set.as_mut_ptr());
            for signal in HEARD {
                let mut action = MaybeUninit::<libc::sigaction>::zeroed();
                libc::sigaction(signal, std::ptr::null(), action.as_mut_ptr());
                if action.assume_init().sa_sigaction != libc::SIG_IGN {
                    libc::sigaddset(set.as_mut_ptr(), signal);
                }
            }
            let set = set.assume_init();
            libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut());
            let fd = check(libc::signalfd(
                -1,
                &raw const set,
                libc::SFD_CLOEXEC | libc::SFD_NONBLOCK,
            ))?;
            Ok(Self {
                fd: OwnedFd::from_raw_fd(fd),
                set,
            })
        }
    }

    /// The next signal that came.
    pub fn take(&self) -> Option<libc::c_int> {
        let mut info = MaybeUninit::<libc::signalfd_siginfo>::uninit();
        let size = size_of::<libc::signalfd_siginfo>();
        // SAFETY: the kernel writes a whole structure or nothing, and only a whole one is read.
        unsafe {
            let read = libc::read(self.fd.as_raw_fd(), info.as_mut_ptr().cast(), size);
            (read == size as isize).then(|| info.assume_init().ssi_signo as libc::c_int)
        }
    }

    /// The next one that asked piper to end. For whoever has no build that could hear of the others.
    pub fn take_request(&self) -> Option<libc::c_int> {
        std::iter::from_fn(|| self.take()).find(|&signal| asks_to_end(signal))
    }

    /// Lets signals do again what they do by default: there is nothing left to tidy up.
    pub fn let_go(&self) {
        // SAFETY: the call only reads the set.
        unsafe {
            libc::pthread_sigmask(libc::SIG_UNBLOCK, &raw const self.set, std::ptr::null_mut());
        }
    }

    /// Blocks them again, for a further build.
    pub fn take_back(&self) {
        // SAFETY: the call only reads the set.
        unsafe {
            libc::pthread_sigmask(libc::SIG_BLOCK, &raw const self.set, std::ptr::null_mut());
        }
    }

    /// Stops this process as Ctrl-Z does, and returns when somebody lets it go on.
    pub fn stop_here(&self) {
        self.let_through(libc::SIGTSTP);
    }

    /// Stops the whole job as the terminal does at Ctrl-Z, for a key that the terminal did not take for one: whoever started
    /// `piper | tee` waits for both of them to stop.
    pub fn stop_job_here(&self) {
        // SAFETY: the call takes two numbers. The signal waits for us, too, because it is blocked.
        unsafe { libc::kill(0, libc::SIGTSTP) };
        self.stop_here();
    }

    /// Ends this process by the signal that it was sent, so that whoever started it can see that.
    pub fn die_of(&self, signal: libc::c_int) {
        self.let_through(signal);
    }

    /// Lets one signal do what it does by default.
    fn let_through(&self, signal: libc::c_int) {
        let mut one = MaybeUninit::uninit();
        // SAFETY: the set is initialised before it is used; the action of none of these signals was changed by us.
        unsafe {
            libc::sigemptyset(one.as_mut_ptr());
            libc::sigaddset(one.as_mut_ptr(), signal);
            let one = one.assume_init();
            libc::kill(libc::getpid(), signal);
            libc::pthread_sigmask(libc::SIG_UNBLOCK, &raw const one, std::ptr::null_mut());
            libc::pthread_sigmask(libc::SIG_BLOCK, &raw const self.set, std::ptr::null_mut());
        }
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
