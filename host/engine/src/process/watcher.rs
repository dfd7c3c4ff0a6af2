//! The watcher: a small process of piper's that ends the steps when piper itself is killed.
//!
//! It is this program again, started with [`ARGUMENT`]. It reads a pipe whose other end only piper holds. The pipe's end without a
//! farewell means that piper died; then every session that it was told of and every process of this user that carries this build's
//! `PIPER_BUILD` gets TERM, and KILL soon after. What it cannot find: a process that left its session *and* changed its own
//! environment before piper was killed.

use super::{Pid, sessions, spawn};
use crate::{clock, folder};
use std::{
    ffi::{CString, OsString},
    fmt,
    fs::File,
    io::{self, Read, Write},
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
        unix::ffi::{OsStrExt, OsStringExt},
    },
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

/// The first argument of a watcher.
pub const ARGUMENT: &str = "__watch";

/// How often the pipe is emptied, so that piper never finds it full.
const DRAIN_EVERY: Duration = Duration::from_millis(500);

/// What the pipe holds: the notes of thousands of steps. It is what anybody may have without being root.
const PIPE: libc::c_int = 1 << 20;

/// How long the watcher may take to leave when it is told to; then it is killed, because it may be stopped.
const FAREWELL: Duration = Duration::from_secs(1);

/// How long processes have to end after TERM when piper is gone.
const GRACE: Duration = Duration::from_millis(500);

/// Behind each note: no path and no label has one, whatever else they may hold.
const NOTE_END: u8 = 0;

/// A step's session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Session {
    leader: Pid,
    /// The kernel's ticks when the leader was there already: a process with its number that started later is another one.
    noted: u64,
}

impl Session {
    /// The session of a process that was just started.
    pub fn of(leader: Pid) -> Self {
        let noted = clock::boot_ticks();
        Self { leader, noted }
    }

    /// Whether its number may still mean it. A number is given away again only when no process, group or session has it.
    fn is_ours(&self) -> bool {
        sessions::process(self.leader).is_none_or(|now| now.started <= self.noted)
    }
}

/// piper's side of the pipe.
#[derive(Debug)]
pub struct Watcher {
    pipe: File,
    pid: Pid,
    /// Becomes readable when it ends.
    over: OwnedFd,
    /// What the pipe had no room for.
    untold: Notes,
}

/// What a watcher is told.
#[derive(Debug, Default)]
pub struct Notes(Vec<u8>);

impl Notes {
    /// A step began.
    pub fn session(&mut self, session: Session) {
        let Session { leader, noted } = session;
        self.add(format_args!("session {leader} {noted}"), b"");
    }

    /// A temporary folder, by its absolute path, is to go with the build.
    pub fn folder(&mut self, folder: &Path) {
        self.add(format_args!("folder "), folder.as_os_str().as_bytes());
    }

    /// The survivors of this step stay.
    pub fn keep(&mut self, label: &str) {
        self.add(format_args!("keep "), label.as_bytes());
    }

    fn farewell(&mut self) {
        self.add(format_args!("farewell"), b"");
    }

    fn add(&mut self, what: fmt::Arguments<'_>, more: &[u8]) {
        self.0
            .write_fmt(what)
            .expect("a write to memory does not fail");
        self.0.extend_from_slice(more);
        self.0.push(NOTE_END);
    }

    /// Writes them, as far as there is room. Whoever cannot be told anything, because it was killed, is told nothing.
    fn write_to(&mut self, mut pipe: &File) {
        while !self.0.is_empty() {
            match pipe.write(&self.0) {
                Ok(told) => drop(self.0.drain(..told)),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => self.0.clear(),
            }
        }
    }
}

impl Watcher {
    /// Starts the watcher of a build. What it is to know stands in its pipe before there is one, because piper may be killed at once.
    ///
    /// # Errors
    ///
    /// When the process cannot be started; steps then outlive a killed piper.
    pub fn start(build: &str, mut notes: Notes) -> io::Result<Self> {
        let program = CString::new("/proc/self/exe").map_err(io::Error::other)?;
        let argv = [
            CString::from(c"piper"),
            CString::new(ARGUMENT)?,
            CString::new(build)?,
        ];
        let null = File::options().read(true).write(true).open("/dev/null")?;
        let (read, write) = spawn::pipe()?;
        // SAFETY: the call takes numbers only. Where it is refused, more is kept here until there is room.
        unsafe { libc::fcntl(write.as_raw_fd(), libc::F_SETPIPE_SZ, PIPE) };
        // A watcher that does not read, because somebody stopped it, must not stop the build.
        spawn::set_nonblocking(write.as_raw_fd())?;
        let pipe = File::from(write);
        notes.write_to(&pipe);
        let child = spawn::Spawn {
            program: &program,
            argv: &argv,
            env: &[],
            cwd: c"/",
            stdio: spawn::Stdio::Fds([read.as_fd(), null.as_fd(), null.as_fd()]),
        }
        .start()?;
        Ok(Self {
            pipe,
            pid: child.pid,
            // Nobody asks for its status: if it is killed, it is reaped with the orphans.
            over: child.pidfd.try_clone()?,
            untold: notes,
        })
    }

    /// What becomes readable when it ends, which it does before its time only if somebody kills it.
    pub fn over(&self) -> BorrowedFd<'_> {
        self.over.as_fd()
    }

    /// The watcher's process, which is not a step's; `None` if it is gone, because its number may then be somebody else's.
    pub fn pid(&self) -> Option<Pid> {
        (!is_readable_within(&self.over, Duration::ZERO)).then_some(self.pid)
    }

    /// Tells of a step that began. A watcher that does not listen hears it later.
    pub fn session(&mut self, session: Session) {
        self.untold.session(session);
        self.untold.write_to(&self.pipe);
    }

    /// Ends the watcher: there is nothing left to watch.
    pub fn farewell(mut self) {
        self.untold.farewell();
        self.untold.write_to(&self.pipe);
        let Self {
            pipe, over, untold, ..
        } = self;
        drop(pipe);
        // One that did not hear the farewell would take the pipe's end for piper's, and end what is to be kept.
        if !untold.0.is_empty() || !is_readable_within(&over, FAREWELL) {
            // SAFETY: the call takes a descriptor that lives, numbers, and no further information.
            unsafe {
                let info: *const libc::siginfo_t = std::ptr::null();
                let over = over.as_raw_fd();
                libc::syscall(libc::SYS_pidfd_send_signal, over, libc::SIGKILL, info, 0);
            }
        }
    }
}

fn is_readable_within(fd: &OwnedFd, most: Duration) -> bool {
    let mut poll = libc::pollfd {
        fd: fd.as_raw_fd(),
        events: libc::POLLIN,
        revents: 0,
    };
    // SAFETY: one valid `pollfd`, which the kernel writes `revents` of.
    unsafe { libc::poll(&raw mut poll, 1, most.as_millis() as libc::c_int) > 0 }
}

/// The watcher's whole life, in its own process: reads standard input, and returns when there is nothing more to do.
pub fn watch(build: &str) {
    // What ends piper by way of its terminal or its service manager must not end the watcher before it.
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGTSTP] {
        // SAFETY: ignoring a signal installs no code.
        unsafe { libc::signal(signal, libc::SIG_IGN) };
    }
    let mut told = Told::default();
    let mut notes = Vec::new();
    loop {
        let closed = wait_for_end(DRAIN_EVERY);
        read_all(&mut notes);
        if told.hear_all(&mut notes) == Then::Leave {
            return;
        }
        if closed {
            break;
        }
    }
    end_all(build, &told.steps, &told.kept);
    for folder in told.folders {
        // Nobody is there to be told of what cannot be removed.
        let _ = folder::remove(&folder);
    }
}

/// What the watcher was told.
#[derive(Default)]
struct Told {
    steps: Vec<Session>,
    kept: Vec<Vec<u8>>,
    folders: Vec<PathBuf>,
}

#[derive(Debug, PartialEq, Eq)]
enum Then {
    Listen,
    Leave,
}

impl Told {
    /// Takes the whole notes away.
    fn hear_all(&mut self, notes: &mut Vec<u8>) -> Then {
        let whole = memchr::memrchr(NOTE_END, notes).map_or(0, |end| end + 1);
        for note in notes.drain(..whole).as_slice().split(|b| *b == NOTE_END) {
            if self.hear(note) == Then::Leave {
                return Then::Leave;
            }
        }
        Then::Listen
    }

    fn hear(&mut self, note: &[u8]) -> Then {
        let (what, more) = match memchr::memchr(b' ', note) {
            Some(space) => (&note[..space], &note[space + 1..]),
            None => (note, &[][..]),
        };
        match what {
            b"session" => self.steps.extend(session(more)),
            b"folder" => {
                let folder = PathBuf::from(OsString::from_vec(more.to_vec()));
                // The watcher is somewhere else.
                self.folders.extend(folder.is_absolute().then_some(folder));
            }
            b"keep" => self.kept.push(more.to_vec()),
            b"farewell" => return Then::Leave,
            // Behind the last note there is nothing.
            _ => {}
        }
        Then::Listen
    }
}

fn session(note: &[u8]) -> Option<Session> {
    let (leader, noted) = std::str::from_utf8(note).ok()?.split_once(' ')?;
    Some(Session {
        leader: leader.parse().ok()?,
        noted: noted.parse().ok()?,
    })
}

/// Waits until nobody holds the other end of the pipe, at most so long. What comes through the pipe does not end the wait: being
/// woken at every step would cost short steps a tenth of their time.
fn wait_for_end(most: Duration) -> bool {
    let mut pipe = libc::pollfd {
        fd: libc::STDIN_FILENO,
        events: 0,
        revents: 0,
    };
    // SAFETY: one valid `pollfd`, which the kernel writes `revents` of.
    let ready = unsafe { libc::poll(&raw mut pipe, 1, most.as_millis() as libc::c_int) };
    ready > 0
}

/// Reads what is in the pipe, which does not block.
fn read_all(notes: &mut Vec<u8>) {
    // Its end and an empty pipe are the same here: the poll tells them apart.
    let _ = io::stdin().lock().read_to_end(notes);
}

fn end_all(build: &str, steps: &[Session], kept: &[Vec<u8>]) {
    let own = std::process::id() as Pid;
    let is_kept = |pid: Pid| {
        sessions::variable_of(pid, "PIPER_STEP").is_some_and(|step| kept.contains(&step))
    };
    let left = || -> Vec<Pid> {
        // A step's pid that was given to somebody else since is not this build's; what the step left carries its mark.
        let ours = steps.iter().filter(|step| step.is_ours());
        let leaders: Vec<Pid> = ours.map(|step| step.leader).collect();
        let mut pids = sessions::members(&leaders);
        let carries = |p: &sessions::Process| {
            sessions::variable_of(p.pid, "PIPER_BUILD")
                .is_some_and(|value| value == build.as_bytes())
        };
        pids.extend(
            sessions::processes()
                .iter()
                .filter(|p| !p.zombie && carries(p))
                .map(|p| p.pid),
        );
        pids.retain(|&pid| pid != own && !is_kept(pid));
        pids
    };
    for pid in left() {
        sessions::kill_one(pid, libc::SIGTERM);
        // A stopped process would not see TERM.
        sessions::kill_one(pid, libc::SIGCONT);
    }
    let mut waited = Duration::ZERO;
    while waited < GRACE && !left().is_empty() {
        let pause = Duration::from_millis(20);
        thread::sleep(pause);
        waited += pause;
    }
    // Again, because a process can fork between the look and the kill.
    for _ in 0..50 {
        let rest = left();
        if rest.is_empty() {
            return;
        }
        for pid in rest {
            sessions::kill_one(pid, libc::SIGKILL);
        }
        thread::sleep(Duration::from_millis(5));
    }
}

#[cfg(test)]
mod tests {
    use super::{super::spawn::tests::start, *};
    use std::ffi::OsStr;
    use test_case::test_case;

    #[test]
    fn a_watcher_that_does_not_read_is_not_waited_for_and_hears_everything_later() {
        let (read, write) = spawn::pipe().unwrap();
        spawn::set_nonblocking(write.as_raw_fd()).unwrap();
        let mut watcher = Watcher {
            pipe: File::from(write),
            pid: 0,
            over: read.try_clone().unwrap(),
            untold: Notes::default(),
        };
        let session = |leader| Session { leader, noted: 7 };
        let sessions: Vec<Session> = (0..50_000).map(session).collect();
        for &session in &sessions {
            watcher.session(session);
        }
        let (mut read, mut heard) = (File::from(read), Vec::new());
        while !watcher.untold.0.is_empty() {
            let _ = read.read_to_end(&mut heard);
            watcher.untold.write_to(&watcher.pipe);
        }
        drop(watcher);
        read.read_to_end(&mut heard).unwrap();
        let mut told = Told::default();
        assert_eq!(told.hear_all(&mut heard), Then::Listen);
        assert_eq!(told.steps, sessions);
    }

    #[test_case(b"folder /tmp/a\nb c", "/tmp/a\nb c"; "a line end and a space")]
    #[test_case(b"folder /tmp/\xff", b"/tmp/\xff"; "no text")]
    fn a_folder_may_have_any_name(note: &[u8], folder: impl AsRef<[u8]>) {
        let mut notes = [note, b"\0keep a b\0folder /tmp/ha"].concat();
        let mut told = Told::default();
        assert_eq!(told.hear_all(&mut notes), Then::Listen);
        assert_eq!(
            told.folders,
            [Path::new(OsStr::from_bytes(folder.as_ref()))]
        );
        assert_eq!(told.kept, [b"a b"]);
        assert_eq!(
            notes, b"folder /tmp/ha",
            "half a note is the prefix of another path"
        );
    }

    #[test]
    fn a_process_that_got_a_step_s_number_later_is_left_alone() {
        let before = clock::boot_ticks();
        let child = start(
            Path::new("/bin/sh"),
            &["-c", "while :; do sleep 0.05; done"],
        );
        let ours = Session::of(child.pid);
        let started = sessions::process(child.pid).unwrap().started;
        assert!((before..=ours.noted).contains(&started), "{ours:?}");
        let earlier = Session {
            noted: started - 1,
            ..ours
        };
        let end = |session| end_all("no build has this name", &[session], &[]);
        let lives = || sessions::process(child.pid).is_some_and(|process| !process.zombie);
        end(earlier);
        assert!(lives(), "it is somebody else's");
        end(ours);
        assert!(!lives());
        spawn::discard(child.pid);
    }
}
