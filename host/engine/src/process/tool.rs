//! Runs a small program of piper's own needs, such as git, and gives back what it printed.

use super::{Child, check, retry, sessions, spawn};
use crate::{clock::Clock, signals};
use piper_core::{build::Ended, time::Monotonic};
use std::{
    ffi::{CString, OsStr, OsString},
    fs::File,
    io::{self, Read},
    os::{
        fd::{AsFd, AsRawFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::Path,
    time::Duration,
};

/// How long a tool's output may stay open after its end: something that it left running may hold it for ever.
const LINGER: Duration = Duration::from_millis(200);

/// How long a tool may take to tidy up when somebody asked piper to end; then it is killed.
const GRACE: Duration = Duration::from_secs(1);

/// How much a tool may print when it asks the machine itself: more than any repository has to list, less than a machine has memory.
pub const PLENTY: usize = 1 << 30;

/// What a tool printed, and whether it succeeded.
#[derive(Debug)]
pub struct Output {
    /// Whether its exit status was 0.
    pub success: bool,
    /// Its standard output.
    pub stdout: Vec<u8>,
    /// Its standard error.
    pub stderr: String,
}

/// Runs a tool in a folder, with this process's environment less the variables `without`, and no input, and waits for it.
///
/// # Errors
///
/// When it cannot be found or started, `FileTooLarge` if it prints more than `most` bytes to one of its outputs, and `Interrupted` if
/// somebody asked piper to end; the tool has ended then, too.
pub fn run(
    name: &str,
    args: &[&OsStr],
    cwd: &Path,
    without: &[&str],
    most: usize,
) -> io::Result<Output> {
    let c_string = |text: &OsStr| CString::new(text.as_bytes()).map_err(io::Error::other);
    let path = std::env::var_os("PATH").unwrap_or_else(|| OsString::from("/usr/bin:/bin"));
    let program = c_string(spawn::find_program(name.as_ref(), &path, cwd)?.as_os_str())?;
    let argv: Vec<CString> = [OsStr::new(name)]
        .iter()
        .chain(args)
        .map(|arg| c_string(arg))
        .collect::<io::Result<_>>()?;
    let env: Vec<CString> = std::env::vars_os()
        .filter(|(name, _)| !without.iter().any(|other| name == other))
        .filter_map(|(name, value)| {
            let mut entry = name.into_encoded_bytes();
            entry.push(b'=');
            entry.extend(value.as_bytes());
            CString::new(entry).ok()
        })
        .collect();
    // The signals are blocked here and read by the event loop, which is not running: without this nobody would hear them.
    let request = signals::request()?;
    let null = File::open("/dev/null")?;
    let (stdout, stdout_end) = spawn::pipe()?;
    let (stderr, stderr_end) = spawn::pipe()?;
    let child = spawn::Spawn {
        program: &program,
        argv: &argv,
        env: &env,
        cwd: &c_string(cwd.as_os_str())?,
        stdio: spawn::Stdio::Fds([null.as_fd(), stdout_end.as_fd(), stderr_end.as_fd()]),
    }
    .start()?;
    drop((stdout_end, stderr_end));
    let running = Running {
        child,
        streams: [stdout, stderr].map(|fd| Some(File::from(fd))),
        texts: [Vec::new(), Vec::new()],
        most,
        clock: Clock::start(),
        end: None,
        kill_at: None,
        killed: false,
    };
    running.wait(&request)
}

/// A tool that runs.
struct Running {
    child: Child,
    streams: [Option<File>; 2],
    texts: [Vec<u8>; 2],
    /// How long each of them may be.
    most: usize,
    clock: Clock,
    /// How it ended, and when.
    end: Option<(Ended, Monotonic)>,
    /// When it is killed: somebody asked piper to end.
    kill_at: Option<Monotonic>,
    killed: bool,
}

impl Running {
    fn wait(mut self, request: &OwnedFd) -> io::Result<Output> {
        while !self.is_over() {
            if let Err(error) = self.turn(request) {
                // Nobody would see its end.
                spawn::discard(self.child.pid);
                return Err(error);
            }
        }
        let (end, _) = self.end.expect("it is over only when it ended");
        if self.kill_at.is_some() {
            // What it started may be deaf to TERM, too.
            sessions::kill_group(self.child.pid, libc::SIGKILL);
            let why = "a signal asked for the end";
            return Err(io::Error::new(io::ErrorKind::Interrupted, why));
        }
        let [stdout, stderr] = self.texts;
        Ok(Output {
            success: end == Ended::Status(0),
            stdout,
            stderr: String::from_utf8_lossy(&stderr).trim().to_owned(),
        })
    }

    fn now(&self) -> Monotonic {
        self.clock.now().mono
    }

    fn is_over(&self) -> bool {
        let is_closed = self.streams.iter().all(Option::is_none);
        let ended_at = self.end.as_ref().map(|(_, at)| *at);
        ended_at.is_some_and(|at| is_closed || at + LINGER <= self.now())
    }

    /// Waits for whatever comes first: its output, its end, a request to end, or that its time is up.
    fn turn(&mut self, request: &OwnedFd) -> io::Result<()> {
        let poll = |fd: Option<libc::c_int>| libc::pollfd {
            fd: fd.unwrap_or(-1),
            events: libc::POLLIN,
            revents: 0,
        };
        let [stdout, stderr] = &self.streams;
        let mut fds = [
            poll(stdout.as_ref().map(AsRawFd::as_raw_fd)),
            poll(stderr.as_ref().map(AsRawFd::as_raw_fd)),
            poll(self.end.is_none().then(|| self.child.pidfd.as_raw_fd())),
            poll(self.kill_at.is_none().then(|| request.as_raw_fd())),
        ];
        let over_at = self.end.as_ref().map(|(_, at)| *at + LINGER);
        let due = over_at.into_iter().chain(self.kill_at).min();
        // Rounded up, or the last millisecond would be spent spinning.
        let millis = due.map_or(-1, |at| at.since(self.now()).as_millis() as libc::c_int + 1);
        // SAFETY: the array lives until the call returns.
        retry(|| check(unsafe { libc::poll(fds.as_mut_ptr(), fds.len() as _, millis) }))?;
        for (part, fd) in fds[..2].iter().enumerate() {
            if fd.revents != 0 {
                self.read(part)?;
            }
        }
        if fds[2].revents != 0 {
            self.end = self.child.end().map(|end| (end, self.now()));
        }
        if fds[3].revents != 0 {
            self.kill_at = Some(self.now() + GRACE);
            sessions::kill_group(self.child.pid, libc::SIGTERM);
            sessions::kill_group(self.child.pid, libc::SIGCONT);
        }
        if self.end.is_none() && self.kill_at.is_some_and(|at| at <= self.now()) {
            if sessions::kill_group(self.child.pid, libc::SIGKILL) && !self.killed {
                self.killed = true;
                self.kill_at = Some(self.now() + GRACE);
            } else {
                // The kernel holds it (a dead network disk), and piper is not to hang with it.
                self.end = Some((Ended::Signal(libc::SIGKILL), self.now()));
            }
        }
        Ok(())
    }

    fn read(&mut self, part: usize) -> io::Result<()> {
        let Some(file) = &mut self.streams[part] else {
            return Ok(());
        };
        let mut buffer = [0; 16 * 1024];
        let text = &mut self.texts[part];
        match retry(|| file.read(&mut buffer)) {
            Ok(0) => self.streams[part] = None,
            Ok(read) if text.len() + read > self.most => {
                let why = format!("it prints more than {} bytes", self.most);
                return Err(io::Error::new(io::ErrorKind::FileTooLarge, why));
            }
            Ok(read) => text.extend_from_slice(&buffer[..read]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, cwd: &Path, most: usize) -> io::Result<Output> {
        run("sh", &["-c", script].map(OsStr::new), cwd, &[], most)
    }

    #[test]
    fn a_tool_gives_back_both_outputs_and_whether_it_succeeded() {
        let script = "echo out; echo err >&2; exit 3";
        let output = shell(script, Path::new("/"), PLENTY).unwrap();
        assert_eq!(
            (
                output.success,
                output.stdout.as_slice(),
                output.stderr.as_str()
            ),
            (false, &b"out\n"[..], "err")
        );
    }

    #[test]
    fn what_a_tool_leaves_running_is_not_waited_for() {
        let clock = Clock::start();
        let script = "sleep 30 & echo out";
        let output = shell(script, Path::new("/"), PLENTY).unwrap();
        assert_eq!(output.stdout, b"out\n");
        assert!(clock.now().mono < Monotonic(Duration::from_secs(20)));
    }

    #[test]
    fn a_tool_whose_output_cannot_be_read_is_killed() {
        let child = spawn::tests::start(Path::new("/bin/sleep"), &["30"]);
        let pid = child.pid;
        let running = Running {
            child,
            // A folder is always ready and can never be read.
            streams: [Some(File::open("/").unwrap()), None],
            texts: [Vec::new(), Vec::new()],
            most: PLENTY,
            clock: Clock::start(),
            end: None,
            kill_at: None,
            killed: false,
        };
        let error = running.wait(&signals::request().unwrap()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::IsADirectory);
        assert!(sessions::process(pid).is_none_or(|process| process.zombie));
    }

    #[test]
    fn a_tool_that_prints_without_end_is_killed_with_what_it_started() {
        let dir = tempfile::tempdir().unwrap();
        let run = |script| shell(script, dir.path(), 1 << 20);
        let error = run("sleep 1000 & echo $$ $! > pids; exec yes").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
        assert_eq!(error.to_string(), "it prints more than 1048576 bytes");
        let pids = std::fs::read_to_string(dir.path().join("pids")).unwrap();
        let clock = Clock::start();
        for pid in pids.split_whitespace() {
            let lives =
                || sessions::process(pid.parse().unwrap()).is_some_and(|process| !process.zombie);
            // A killed process is on its way out for a moment.
            while lives() {
                assert!(
                    clock.now().mono < Monotonic(Duration::from_secs(20)),
                    "{pid}"
                );
                std::thread::yield_now();
            }
        }
        let enough = run("head -c 1048576 /dev/zero").unwrap();
        assert_eq!(enough.stdout.len(), 1 << 20);
    }

    #[test]
    fn a_tool_that_is_not_there_is_not_found() {
        let error = run("piper-no-such-tool", &[], Path::new("/"), &[], PLENTY).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
