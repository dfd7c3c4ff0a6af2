//! The watcher: a small process of piper's that ends the steps when piper itself is killed.
//!
//! It is this program again, started with [`ARGUMENT`]. It reads a pipe whose other end only piper holds. The pipe's end without a
//! farewell means that piper died; then every session that it was told of and every process of this user that carries this build's
//! `PIPER_BUILD` gets TERM, and KILL soon after. What it cannot find: a process that left its session *and* changed its own
//! environment before piper was killed.

use super::{Pid, sessions, spawn};
use std::{
    ffi::CString,
    fs::{self, File},
    io::{self, BufRead, BufReader, Write},
    os::fd::{AsFd, OwnedFd},
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

/// The first argument of a watcher.
pub const ARGUMENT: &str = "__watch";

/// How long processes have to end after TERM when piper is gone.
const GRACE: Duration = Duration::from_millis(500);

/// piper's side of the pipe.
#[derive(Debug)]
pub struct Watcher {
    pipe: File,
    pid: Pid,
}

impl Watcher {
    /// Starts the watcher of a build.
    ///
    /// # Errors
    ///
    /// When the process cannot be started; steps then outlive a killed piper.
    pub fn start(build: &str) -> io::Result<Self> {
        let program = CString::new("/proc/self/exe").map_err(io::Error::other)?;
        let argv = [
            CString::from(c"piper"),
            CString::new(ARGUMENT)?,
            CString::new(build)?,
        ];
        let null = File::options().read(true).write(true).open("/dev/null")?;
        let (read, write) = spawn::pipe()?;
        blocking(&read)?;
        let child = spawn::Spawn {
            program: &program,
            argv: &argv,
            env: &[],
            cwd: c"/",
            stdio: spawn::Stdio::Fds([read.as_fd(), null.as_fd(), null.as_fd()]),
        }
        .start()?;
        Ok(Self {
            pipe: File::from(write),
            pid: child.pid,
        })
    }

    /// The watcher's process: not a step's.
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// Tells of a step that began.
    pub fn session(&mut self, session: Pid) {
        self.tell(&format!("session {session}\n"));
    }

    /// Tells of the build's temporary folder, which is to go with it.
    pub fn scratch(&mut self, folder: &Path) {
        self.tell(&format!("scratch {}\n", folder.display()));
    }

    /// Tells of a step whose survivors stay.
    pub fn keep(&mut self, label: &str) {
        self.tell(&format!("keep {label}\n"));
    }

    /// Ends the watcher: there is nothing left to watch.
    pub fn farewell(mut self) {
        self.tell("farewell\n");
        let pid = self.pid;
        drop(self);
        // SAFETY: reaps our own child; no status is asked for.
        unsafe { libc::waitpid(pid, std::ptr::null_mut(), 0) };
    }

    /// A watcher that somebody killed cannot be told anything, which fails no build.
    fn tell(&mut self, line: &str) {
        let _ = self.pipe.write_all(line.as_bytes());
    }
}

fn blocking(fd: &OwnedFd) -> io::Result<()> {
    use std::os::fd::AsRawFd;
    // SAFETY: the call takes numbers only.
    super::check(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFL, 0) }).map(drop)
}

/// The watcher's whole life, in its own process: reads standard input, and returns when there is nothing more to do.
pub fn watch(build: &str) {
    // What ends piper by way of its terminal or its service manager must not end the watcher before it.
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGTSTP] {
        // SAFETY: ignoring a signal installs no code.
        unsafe { libc::signal(signal, libc::SIG_IGN) };
    }
    let (mut steps, mut kept, mut scratch) = (Vec::new(), Vec::new(), None);
    for line in BufReader::new(io::stdin().lock()).lines() {
        let Ok(line) = line else { break };
        match line.split_once(' ') {
            Some(("session", pid)) => steps.extend(pid.parse().ok().and_then(sessions::process)),
            Some(("scratch", folder)) => scratch = Some(PathBuf::from(folder)),
            Some(("keep", label)) => kept.push(label.as_bytes().to_vec()),
            _ => return,
        }
    }
    end_all(build, &steps, &kept);
    if let Some(folder) = scratch {
        // What cannot be removed is a few small files.
        let _ = fs::remove_dir_all(folder);
    }
}

fn end_all(build: &str, steps: &[sessions::Process], kept: &[Vec<u8>]) {
    let own = std::process::id() as Pid;
    let is_kept = |pid: Pid| {
        sessions::variable_of(pid, "PIPER_STEP").is_some_and(|step| kept.contains(&step))
    };
    let left = || -> Vec<Pid> {
        // A step's pid that was given to somebody else since is not this build's; what the step left carries its mark.
        let ours = |step: &sessions::Process| {
            sessions::process(step.pid).is_none_or(|now| now.started == step.started)
        };
        let steps: Vec<Pid> = steps
            .iter()
            .filter(|step| ours(step))
            .map(|step| step.pid)
            .collect();
        let mut pids = sessions::members(&steps);
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
