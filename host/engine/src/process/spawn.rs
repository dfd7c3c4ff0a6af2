//! Starts a process: in a new session, with no signal ignored or blocked, and with three descriptors.
//!
//! The child shares our memory until it is the program, as with `posix_spawn`: copying the memory, as `fork` does, costs milliseconds
//! as soon as piper has mapped something. Not `posix_spawn` itself, because that asks for the handler of each of the 64 signals and
//! maps a new stack every time, and has no way to return a descriptor of the process.

use super::{Child, Pid, check, descriptors, reaper};
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
    sync::{Mutex, OnceLock, PoisonError},
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
    /// What the system says: no such program or folder, not executable, no memory. `InvalidInput` if a descriptor is one of the
    /// first three, but not in its place.
    pub fn start(&self) -> io::Result<Child> {
        if let Stdio::Fds(fds) = &self.stdio {
            let is_in_the_way = |(target, fd): (i32, &BorrowedFd<'_>)| {
                let fd = fd.as_raw_fd();
                fd < 3 && fd != target
            };
            // It would be overwritten before it is copied.
            if (0..).zip(fds).any(is_in_the_way) {
                return Err(io::ErrorKind::InvalidInput.into());
            }
        }
        let argv = pointers(self.argv);
        let env = pointers(self.env);
        let mut becoming = Becoming {
            program: self.program.as_ptr(),
            argv: argv.as_ptr(),
            env: env.as_ptr(),
            cwd: self.cwd.as_ptr(),
            stdio: self.stdio,
            changed: changed(),
            open_files: descriptors::given(),
            error: 0,
        };
        let mut stack = STACK.lock().unwrap_or_else(PoisonError::into_inner);
        // A handler of ours must not run in the child, which shares our memory.
        let blocked = SignalsBlocked::all()?;
        let mut pidfd: libc::c_int = -1;
        let mut awaited = reaper::awaited();
        // SAFETY: the stack is ours alone until the child has become the program or ended, because CLONE_VFORK keeps this thread
        // waiting for that. All that `becoming` points at lives for as long; stacks grow down, so the child gets its end.
        let pid = check(unsafe {
            libc::clone(
                become_program,
                stack.end(),
                libc::CLONE_VM | libc::CLONE_VFORK | libc::CLONE_PIDFD | libc::SIGCHLD,
                (&raw mut becoming).cast(),
                &raw mut pidfd,
            )
        });
        drop(blocked);
        drop(stack);
        let pid = pid?;
        let pidfd = own(pidfd, pid)?;
        if becoming.error != 0 {
            discard(pid);
            return Err(io::Error::from_raw_os_error(becoming.error));
        }
        awaited.insert(pid);
        Ok(Child {
            pid,
            pidfd,
            reaped: false,
        })
    }
}

/// The descriptor of a process that was just started. A kernel older than 5.2 does not know the flag, gives none and says nothing.
fn own(pidfd: libc::c_int, pid: Pid) -> io::Result<OwnedFd> {
    if pidfd < 0 {
        // Nobody would see its end.
        discard(pid);
        return Err(io::ErrorKind::Unsupported.into());
    }
    // SAFETY: the kernel just gave us this descriptor; nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(pidfd) })
}

/// What the child needs. It is made before there is a child, which may neither allocate nor take a lock.
struct Becoming<'a> {
    program: *const libc::c_char,
    argv: *const *const libc::c_char,
    env: *const *const libc::c_char,
    cwd: *const libc::c_char,
    stdio: Stdio<'a>,
    /// The signals that are set back to their default.
    changed: &'static [libc::c_int],
    /// How many files it may have open, if it is not as many as this process.
    open_files: Option<&'static libc::rlimit>,
    /// What kept it from becoming the program; written by the child.
    error: libc::c_int,
}

/// The child's whole life before it is the program: async-signal-safe calls only.
extern "C" fn become_program(becoming: *mut libc::c_void) -> libc::c_int {
    // SAFETY: this is the `Becoming` that was handed to `clone`, whose owner waits.
    let becoming = unsafe { &mut *becoming.cast::<Becoming<'_>>() };
    becoming.error = becoming.exec();
    NOT_STARTED
}

/// The status of a child that could not become the program; whoever started it has the reason and nobody sees this.
const NOT_STARTED: libc::c_int = 127;

impl Becoming<'_> {
    /// Returns only if it failed, with the error.
    fn exec(&self) -> libc::c_int {
        let prepared = self.prepare();
        if prepared.is_ok() {
            // SAFETY: all three were made from live strings, and the arrays end with null.
            unsafe { libc::execve(self.program, self.argv, self.env) };
        }
        // SAFETY: reads this thread's own number; the parent, whose it is too, waits.
        unsafe { *libc::__errno_location() }
    }

    /// A session of its own, the working folder, the descriptors and their number, and every signal as at login.
    fn prepare(&self) -> Result<(), Failed> {
        // SAFETY: these take numbers, strings that live, and structures on this stack.
        unsafe {
            tried(libc::setsid())?;
            tried(libc::chdir(self.cwd))?;
            match &self.stdio {
                Stdio::Fds(fds) => {
                    for (target, fd) in (0..).zip(fds) {
                        let fd = fd.as_raw_fd();
                        if fd == target {
                            // It is where it belongs, and must only stay open.
                            tried(libc::fcntl(fd, libc::F_SETFD, 0))?;
                        } else {
                            tried(libc::dup2(fd, target))?;
                        }
                    }
                }
                Stdio::Terminal(path) => {
                    // A session leader without a terminal that opens one gets it as its controlling terminal.
                    let terminal =
                        tried(libc::open(path.as_ptr(), libc::O_RDWR | libc::O_CLOEXEC))?;
                    for target in 0..3 {
                        tried(libc::dup2(terminal, target))?;
                    }
                }
            }
            // What this process was given beside the three, by a caller that knows nothing of steps: a lock that must not be held by
            // what a step leaves running, a pipe that somebody waits for the end of. A kernel older than 5.9 does not know the call,
            // which is not worth failing for.
            libc::syscall(libc::SYS_close_range, FIRST_OTHER, libc::c_uint::MAX, 0);
            if let Some(limit) = self.open_files {
                tried(libc::setrlimit(libc::RLIMIT_NOFILE, limit))?;
            }
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = libc::SIG_DFL;
            for &signal in self.changed {
                tried(libc::sigaction(signal, &raw const action, ptr::null_mut()))?;
            }
            let mut none: libc::sigset_t = std::mem::zeroed();
            libc::sigemptyset(&raw mut none);
            tried(libc::sigprocmask(
                libc::SIG_SETMASK,
                &raw const none,
                ptr::null_mut(),
            ))?;
        }
        Ok(())
    }
}

/// The first descriptor that is not one of the three.
const FIRST_OTHER: libc::c_uint = 3;

/// A call failed; `errno` says why.
struct Failed;

fn tried(result: libc::c_int) -> Result<libc::c_int, Failed> {
    if result == -1 {
        Err(Failed)
    } else {
        Ok(result)
    }
}

/// The stack of a child before it is the program. One for all: whoever starts a process waits for that.
static STACK: Mutex<Stack> = Mutex::new(Stack([0; STACK_SIZE]));

/// What the child calls takes some hundred bytes; a dynamic linker that resolves a name on the way takes a few thousand.
const STACK_SIZE: usize = 64 * 1024;

#[repr(align(16))]
struct Stack([u8; STACK_SIZE]);

impl Stack {
    fn end(&mut self) -> *mut libc::c_void {
        self.0.as_mut_ptr_range().end.cast()
    }
}

/// Signals are blocked while this lives.
struct SignalsBlocked(libc::sigset_t);

impl SignalsBlocked {
    fn all() -> io::Result<Self> {
        let (mut all, mut before) = (MaybeUninit::uninit(), MaybeUninit::uninit());
        // SAFETY: the calls fill in both sets.
        unsafe {
            libc::sigfillset(all.as_mut_ptr());
            let error = libc::pthread_sigmask(libc::SIG_BLOCK, all.as_ptr(), before.as_mut_ptr());
            match error {
                0 => Ok(Self(before.assume_init())),
                error => Err(io::Error::from_raw_os_error(error)),
            }
        }
    }
}

impl Drop for SignalsBlocked {
    fn drop(&mut self) {
        // SAFETY: the set was filled in by the same call; setting a valid mask cannot fail.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const self.0, ptr::null_mut()) };
    }
}

/// The signals that this process ignores, which a program would go on ignoring, and those that have a handler: the system resets
/// these only when the child becomes the program, and one that came before would run in memory that is ours. They never change.
fn changed() -> &'static [libc::c_int] {
    static CHANGED: OnceLock<Vec<libc::c_int>> = OnceLock::new();
    let is_changed = |&signal: &libc::c_int| {
        let mut action = MaybeUninit::<libc::sigaction>::zeroed();
        // SAFETY: an action of zeroes is valid; the call only writes it, if the signal exists.
        unsafe {
            libc::sigaction(signal, ptr::null(), action.as_mut_ptr()) == 0
                && action.assume_init().sa_sigaction != libc::SIG_DFL
        }
    };
    CHANGED.get_or_init(|| (1..=libc::SIGRTMAX()).filter(is_changed).collect())
}

/// Ends and reaps a process that was just started, with its group.
pub(crate) fn discard(pid: Pid) {
    super::sessions::kill_group(pid, libc::SIGKILL);
    // SAFETY: reaps our own child; no status is asked for.
    unsafe { libc::waitpid(pid, ptr::null_mut(), 0) };
}

fn pointers(strings: &[CString]) -> Vec<*const libc::c_char> {
    strings
        .iter()
        .map(|s| s.as_ptr())
        .chain([ptr::null()])
        .collect()
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

#[cfg(test)]
pub(in crate::process) mod tests {
    use super::*;
    use std::{fs::File, os::fd::AsFd};

    /// Starts a program that reads and writes nothing.
    pub(in crate::process) fn start(program: &Path, args: &[&str]) -> Child {
        let c_string = |text: &OsStr| CString::new(text.as_bytes()).unwrap();
        let argv: Vec<CString> = [program.as_os_str()]
            .into_iter()
            .chain(args.iter().map(OsStr::new))
            .map(c_string)
            .collect();
        let path = std::env::var("PATH").unwrap();
        let null = File::options()
            .read(true)
            .write(true)
            .open("/dev/null")
            .unwrap();
        Spawn {
            program: &argv[0],
            argv: &argv,
            env: &[CString::new(format!("PATH={path}")).unwrap()],
            cwd: c"/",
            stdio: Stdio::Fds([null.as_fd(); 3]),
        }
        .start()
        .unwrap()
    }

    #[test]
    fn signals_with_a_handler_are_reset_before_they_are_let_through() {
        // Rust's own, which tell a stack overflow from other faults.
        for signal in [libc::SIGSEGV, libc::SIGBUS] {
            assert!(changed().contains(&signal), "{signal} has a handler");
        }
    }

    #[test]
    fn only_the_three_descriptors_are_inherited() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let lock = File::create(&path).unwrap();
        lock.try_lock().unwrap();
        // As from a caller that does not say what is to be closed.
        // SAFETY: sets a flag of a descriptor of ours.
        check(unsafe { libc::fcntl(lock.as_raw_fd(), libc::F_SETFD, 0) }).unwrap();
        let child = start(Path::new("/bin/sleep"), &["30"]);
        let open = std::fs::read_dir(format!("/proc/{}/fd", child.pid)).unwrap();
        let mut open: Vec<_> = open.map(|entry| entry.unwrap().file_name()).collect();
        open.sort();
        drop(lock);
        assert_eq!(open, ["0", "1", "2"]);
        // Children of other tests have it until they are another program.
        let is_free = || File::open(&path).unwrap().try_lock().is_ok();
        let mut tries = 0..1000;
        while !is_free() {
            assert!(tries.next().is_some(), "the child holds the lock");
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        discard(child.pid);
    }

    #[test]
    fn standard_descriptors_in_another_order_are_refused() {
        // SAFETY: nobody closes them.
        let [stdin, stdout, stderr] = [0, 1, 2].map(|fd| unsafe { BorrowedFd::borrow_raw(fd) });
        let argv = [c"sh", c"-c", c":"].map(CString::from);
        let spawn = |fds| Spawn {
            program: c"/bin/sh",
            argv: &argv,
            env: &[],
            cwd: c"/",
            stdio: Stdio::Fds(fds),
        };
        let refused = spawn([stderr, stdout, stdin]).start().unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::InvalidInput);
        discard(spawn([stdin, stdout, stderr]).start().unwrap().pid);
    }

    #[test]
    fn a_kernel_that_gives_no_descriptor_of_a_process_is_refused_and_the_process_ended() {
        let child = start(
            Path::new("/bin/sh"),
            &["-c", "while :; do sleep 0.05; done"],
        );
        let refused = own(-1, child.pid).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::Unsupported);
        assert_eq!(super::super::sessions::process(child.pid), None);
    }
}
