//! Starts a process with `posix_spawn`: in a new session, with no signal ignored or blocked, and with three descriptors.
//!
//! `posix_spawn` and not `fork`: the parent's memory is not copied, which costs milliseconds as soon as piper has mapped something.

use super::{Child, Pid, check};
use std::{
    ffi::{CStr, CString, OsStr},
    io,
    mem::MaybeUninit,
    os::{
        fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::{Path, PathBuf},
    ptr,
    sync::OnceLock,
};

/// What a process gets as its standard input, output and error.
#[derive(Debug, Clone, Copy)]
pub enum Stdio<'a> {
    /// Three descriptors.
    Fds([BorrowedFd<'a>; 3]),
    /// The terminal at this path, as the controlling terminal of the new session.
    Terminal(&'a CStr),
}

/// A process to be started.
#[derive(Debug, Clone, Copy)]
pub struct Spawn<'a> {
    /// The program, by its absolute path.
    pub program: &'a CStr,
    /// Its arguments, with its name first.
    pub argv: &'a [CString],
    /// Its environment, as `NAME=value`.
    pub env: &'a [CString],
    /// Where it starts.
    pub cwd: &'a CStr,
    /// Its three descriptors.
    pub stdio: Stdio<'a>,
}

impl Spawn<'_> {
    /// Starts it.
    ///
    /// # Errors
    ///
    /// What the system says: no such program or folder, not executable, no memory.
    pub fn start(&self) -> io::Result<Child> {
        let pid = self.spawn()?;
        // SAFETY: the call takes two numbers. The process is our child and not reaped, so the pid is still its own.
        let fd = check(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) } as libc::c_int);
        match fd {
            Ok(fd) => {
                // SAFETY: the kernel just gave us this descriptor; nobody else owns it.
                let pidfd = unsafe { OwnedFd::from_raw_fd(fd) };
                Ok(Child { pid, pidfd })
            }
            Err(error) => {
                // Without the descriptor its end would never be seen.
                discard(pid);
                Err(error)
            }
        }
    }

    fn spawn(&self) -> io::Result<Pid> {
        let mut actions = Actions::new()?;
        actions.chdir(self.cwd)?;
        match self.stdio {
            Stdio::Fds(fds) => {
                for (target, fd) in fds.iter().enumerate() {
                    actions.dup2(fd.as_raw_fd(), target as libc::c_int)?;
                }
            }
            Stdio::Terminal(path) => {
                // A session leader without a terminal that opens one gets it as its controlling terminal.
                actions.open(0, path, libc::O_RDWR)?;
                actions.dup2(0, 1)?;
                actions.dup2(0, 2)?;
            }
        }
        let attributes = Attributes::new()?;
        let argv = pointers(self.argv);
        let env = pointers(self.env);
        let mut pid = 0;
        // SAFETY: all pointers live until the call returns; `argv` and `env` end with null.
        let error = unsafe {
            libc::posix_spawn(
                &raw mut pid,
                self.program.as_ptr(),
                &raw const actions.0,
                &raw const attributes.0,
                argv.as_ptr(),
                env.as_ptr(),
            )
        };
        spawn_result(error).map(|()| pid)
    }
}

/// Ends and reaps a process that was just started, with its group.
pub(crate) fn discard(pid: Pid) {
    super::sessions::kill_group(pid, libc::SIGKILL);
    // SAFETY: reaps our own child; no status is asked for.
    unsafe { libc::waitpid(pid, ptr::null_mut(), 0) };
}

/// The `posix_spawn` family returns the error itself.
fn spawn_result(error: libc::c_int) -> io::Result<()> {
    if error == 0 {
        Ok(())
    } else {
        Err(io::Error::from_raw_os_error(error))
    }
}

fn pointers(strings: &[CString]) -> Vec<*mut libc::c_char> {
    strings
        .iter()
        .map(|s| s.as_ptr().cast_mut())
        .chain([ptr::null_mut()])
        .collect()
}

/// What the child does before it becomes the program.
struct Actions(libc::posix_spawn_file_actions_t);

impl Actions {
    fn new() -> io::Result<Self> {
        let mut actions = MaybeUninit::uninit();
        // SAFETY: initialises what it is pointed at.
        spawn_result(unsafe { libc::posix_spawn_file_actions_init(actions.as_mut_ptr()) })?;
        // SAFETY: it was initialised just now.
        Ok(Self(unsafe { actions.assume_init() }))
    }

    fn dup2(&mut self, from: libc::c_int, to: libc::c_int) -> io::Result<()> {
        // SAFETY: the actions are initialised and owned by us.
        spawn_result(unsafe { libc::posix_spawn_file_actions_adddup2(&raw mut self.0, from, to) })
    }

    fn open(&mut self, to: libc::c_int, path: &CStr, flags: libc::c_int) -> io::Result<()> {
        // SAFETY: the actions are initialised and owned by us; the path is copied.
        spawn_result(unsafe {
            libc::posix_spawn_file_actions_addopen(&raw mut self.0, to, path.as_ptr(), flags, 0)
        })
    }

    fn chdir(&mut self, path: &CStr) -> io::Result<()> {
        // SAFETY: the actions are initialised and owned by us; the path is copied.
        spawn_result(unsafe {
            libc::posix_spawn_file_actions_addchdir_np(&raw mut self.0, path.as_ptr())
        })
    }
}

impl Drop for Actions {
    fn drop(&mut self) {
        // SAFETY: initialised in `new`, destroyed once.
        unsafe { libc::posix_spawn_file_actions_destroy(&raw mut self.0) };
    }
}

/// A new session, every signal at its default and none blocked: piper ignores SIGPIPE and blocks what it reads from a
/// descriptor, and a step must inherit neither.
struct Attributes(libc::posix_spawnattr_t);

impl Attributes {
    fn new() -> io::Result<Self> {
        const POSIX_SPAWN_SETSID: libc::c_short = 0x80;
        let flags = POSIX_SPAWN_SETSID
            | (libc::POSIX_SPAWN_SETSIGDEF | libc::POSIX_SPAWN_SETSIGMASK) as libc::c_short;
        let mut attributes = MaybeUninit::uninit();
        // SAFETY: initialises what it is pointed at.
        spawn_result(unsafe { libc::posix_spawnattr_init(attributes.as_mut_ptr()) })?;
        // SAFETY: it was initialised just now.
        let mut attributes = Self(unsafe { attributes.assume_init() });
        let mut signals = MaybeUninit::uninit();
        // SAFETY: both calls initialise the set, the others read it; the attributes are initialised and owned by us.
        unsafe {
            libc::sigemptyset(signals.as_mut_ptr());
            spawn_result(libc::posix_spawnattr_setsigmask(
                &raw mut attributes.0,
                signals.as_ptr(),
            ))?;
            spawn_result(libc::posix_spawnattr_setsigdefault(
                &raw mut attributes.0,
                ignored(),
            ))?;
            spawn_result(libc::posix_spawnattr_setflags(&raw mut attributes.0, flags))?;
        }
        Ok(attributes)
    }
}

/// The signals that this process ignores, which never changes: a handler is reset by the system, and asking it to reset all 64
/// signals, one call each, is a third of what the child does before it becomes the program.
fn ignored() -> &'static libc::sigset_t {
    static IGNORED: OnceLock<libc::sigset_t> = OnceLock::new();
    IGNORED.get_or_init(|| {
        // SAFETY: a set and an action of zeroes are valid; the calls write them and keep no pointer.
        unsafe {
            let mut set: libc::sigset_t = std::mem::zeroed();
            libc::sigemptyset(&raw mut set);
            for signal in 1..=libc::SIGRTMAX() {
                let mut action: libc::sigaction = std::mem::zeroed();
                if libc::sigaction(signal, ptr::null(), &raw mut action) == 0
                    && action.sa_sigaction == libc::SIG_IGN
                {
                    libc::sigaddset(&raw mut set, signal);
                }
            }
            set
        }
    })
}

impl Drop for Attributes {
    fn drop(&mut self) {
        // SAFETY: initialised in `new`, destroyed once.
        unsafe { libc::posix_spawnattr_destroy(&raw mut self.0) };
    }
}

/// A pipe whose reading end does not block and whose ends are not inherited.
///
/// # Errors
///
/// When there are no descriptors left.
pub fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let mut fds = [-1; 2];
    // SAFETY: the kernel fills in two descriptors, which we own from then on.
    let (read, write) = unsafe {
        check(libc::pipe2(fds.as_mut_ptr(), libc::O_CLOEXEC))?;
        (OwnedFd::from_raw_fd(fds[0]), OwnedFd::from_raw_fd(fds[1]))
    };
    set_nonblocking(read.as_raw_fd())?;
    Ok((read, write))
}

pub(super) fn set_nonblocking(fd: libc::c_int) -> io::Result<()> {
    // SAFETY: the call takes numbers only.
    check(unsafe { libc::fcntl(fd, libc::F_SETFL, libc::O_NONBLOCK) }).map(drop)
}

/// Finds a program as `execvp` does: by the PATH given, unless its name has a slash, which makes it relative to `cwd`.
///
/// # Errors
///
/// `NotFound`, or `PermissionDenied` if there is one that may not be run.
pub fn find_program(name: &OsStr, path: &OsStr, cwd: &Path) -> io::Result<PathBuf> {
    let mut denied = false;
    let mut check = |candidate: PathBuf| match is_executable(&candidate) {
        Some(true) => Some(candidate),
        Some(false) => {
            denied = true;
            None
        }
        None => None,
    };
    let found = if name.as_bytes().contains(&b'/') {
        check(cwd.join(name))
    } else if name.is_empty() {
        None
    } else {
        // An empty part of PATH means the working directory.
        std::env::split_paths(path).find_map(|folder| check(cwd.join(folder).join(name)))
    };
    found.ok_or_else(|| {
        if denied {
            io::ErrorKind::PermissionDenied
        } else {
            io::ErrorKind::NotFound
        }
        .into()
    })
}

/// Whether a file may be run by us; `None` if there is no such file.
fn is_executable(path: &Path) -> Option<bool> {
    let c_path = CString::new(path.as_os_str().as_bytes()).ok()?;
    // SAFETY: the path ends with a null and lives until the call returns.
    let allowed = check(unsafe {
        libc::faccessat(
            libc::AT_FDCWD,
            c_path.as_ptr(),
            libc::X_OK,
            libc::AT_EACCESS,
        )
    });
    match allowed {
        // A folder is "executable" too.
        Ok(_) => std::fs::metadata(path)
            .ok()
            .filter(|meta| !meta.is_dir())
            .map(|_| true),
        Err(error) if error.raw_os_error() == Some(libc::EACCES) => Some(false),
        Err(_) => None,
    }
}
