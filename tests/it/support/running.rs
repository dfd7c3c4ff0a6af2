//! `piper` as a child: how it is called, and what can be done while it runs.

use super::{Finished, PATIENCE, TestEnv, signal, wait_until};
use std::{
    ffi::OsStr,
    fs::File,
    io::{Read, Write as _},
    os::unix::process::{CommandExt as _, ExitStatusExt as _},
    path::Path,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// The variables of the machine without which its tools are not found.
const TOOLS: [&str; 5] = [
    "PATH",
    "CARGO_HOME",
    "RUSTUP_HOME",
    "PYENV_ROOT",
    "RUSTUP_TOOLCHAIN",
];

/// A call of `piper` that is not made yet.
pub(crate) struct Call {
    command: Command,
    input: Vec<u8>,
    patience: Duration,
}

impl Call {
    pub(super) fn new(env: &TestEnv, args: &[&str]) -> Self {
        let mut call = Self::of(env, Path::new(env!("CARGO_BIN_EXE_piper")));
        call.command.args(args);
        call
    }

    /// A call of another program, in the same surroundings.
    pub(crate) fn of(env: &TestEnv, program: &Path) -> Self {
        let mut command = Command::new(program);
        // A suite that was started in the background passes on that interrupts are ignored.
        // SAFETY: the call is allowed between fork and exec, and installs no code.
        unsafe {
            command.pre_exec(|| {
                for signal in [libc::SIGINT, libc::SIGQUIT, libc::SIGHUP] {
                    libc::signal(signal, libc::SIG_DFL);
                }
                Ok(())
            });
        }
        command.current_dir(env.root()).env_clear();
        for name in TOOLS {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        // Toolchains live in the real home, which piper must not see.
        if let Some(home) = std::env::home_dir() {
            for (name, folder) in [("CARGO_HOME", ".cargo"), ("RUSTUP_HOME", ".rustup")] {
                if std::env::var_os(name).is_none() && home.join(folder).exists() {
                    command.env(name, home.join(folder));
                }
            }
        }
        command.env("HOME", env.beside("home"));
        command.env("LANG", "C.UTF-8");
        command.env("TMPDIR", env.beside("tmp"));
        for kind in ["state", "cache", "config"] {
            let name = format!("XDG_{}_HOME", kind.to_uppercase());
            command.env(name, env.beside(kind));
        }
        Self {
            command,
            input: Vec::new(),
            patience: PATIENCE,
        }
    }

    pub(crate) fn args(mut self, args: &[&str]) -> Self {
        self.command.args(args);
        self
    }

    /// One more argument, which need not be a text.
    pub(crate) fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.command.arg(arg);
        self
    }

    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    pub(crate) fn without_env(mut self, name: &str) -> Self {
        self.command.env_remove(name);
        self
    }

    pub(crate) fn cwd(mut self, folder: impl AsRef<Path>) -> Self {
        self.command.current_dir(folder);
        self
    }

    /// What stands on its standard input.
    pub(crate) fn input(mut self, bytes: impl AsRef<[u8]>) -> Self {
        self.input = bytes.as_ref().to_vec();
        self
    }

    /// Lets it take as long as a compiler and a registry may.
    pub(crate) fn patiently(mut self) -> Self {
        self.patience = 10 * PATIENCE;
        self
    }

    /// The command as it would be started, for what the rest of this cannot do.
    pub(crate) fn into_command(self) -> Command {
        self.command
    }

    /// Makes the call.
    pub(crate) fn start(self) -> Running {
        self.start_with_stdout(Stdio::piped())
    }

    /// Makes the call with a standard output of the caller's.
    pub(crate) fn start_with_stdout(mut self, stdout: Stdio) -> Running {
        self.command
            .stdin(Stdio::piped())
            .stdout(stdout)
            .stderr(Stdio::piped())
            // Beside a parent of the same session: in a group that nobody could let go on, Ctrl-Z means nothing.
            .process_group(0);
        let mut child = self.command.spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let input = self.input;
        // Whoever does not read its input closes it, which is no business of the test.
        thread::spawn(move || stdin.write_all(&input));
        let stdout = Collected::of(
            child
                .stdout
                .take()
                .map(|pipe| File::from(std::os::fd::OwnedFd::from(pipe))),
        );
        let stderr = Collected::of(
            child
                .stderr
                .take()
                .map(|pipe| File::from(std::os::fd::OwnedFd::from(pipe))),
        );
        Running {
            child,
            stdout,
            stderr,
            begin: Instant::now(),
            patience: self.patience,
        }
    }

    /// Makes the call and waits for its end.
    pub(crate) fn finish(self) -> Finished {
        self.start().finish()
    }
}

/// What a thread read so far.
struct Collected {
    bytes: Arc<Mutex<Vec<u8>>>,
    reader: Option<JoinHandle<()>>,
}

impl Collected {
    fn of(pipe: Option<File>) -> Self {
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let into = Arc::clone(&bytes);
        let reader = pipe.map(|mut pipe| {
            thread::spawn(move || {
                let mut buffer = vec![0; 1 << 16];
                while let Ok(read @ 1..) = pipe.read(&mut buffer) {
                    into.lock().unwrap().extend_from_slice(&buffer[..read]);
                }
            })
        });
        Self { bytes, reader }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes.lock().unwrap()).into_owned()
    }

    fn all(&mut self) -> Vec<u8> {
        if let Some(reader) = self.reader.take() {
            wait_until("the end of its output", || reader.is_finished());
        }
        std::mem::take(&mut *self.bytes.lock().unwrap())
    }
}

/// A `piper` that runs. It does not outlive the test.
pub(crate) struct Running {
    child: Child,
    stdout: Collected,
    stderr: Collected,
    begin: Instant,
    patience: Duration,
}

impl Running {
    pub(crate) fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).unwrap()
    }

    pub(crate) fn signal(&self, number: i32) {
        signal(self.pid(), number);
    }

    /// Waits until its standard output has this text.
    pub(crate) fn wait_for_out(&self, text: &str) {
        wait_until(&format!("{text:?} on stdout"), || {
            self.stdout.text().contains(text)
        });
    }

    /// Waits until its standard error has this text.
    pub(crate) fn wait_for_err(&self, text: &str) {
        wait_until(&format!("{text:?} on stderr"), || {
            self.stderr.text().contains(text)
        });
    }

    /// Waits for its end. Its output has ended then, too: a process that it left behind with its pipes fails the test.
    pub(crate) fn finish(mut self) -> Finished {
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            if self.begin.elapsed() > self.patience {
                panic!(
                    "it does not end; stdout:\n{}\nstderr:\n{}",
                    self.stdout.text(),
                    self.stderr.text()
                );
            }
            thread::sleep(Duration::from_millis(2));
        };
        let took = self.begin.elapsed();
        Finished {
            code: status.code(),
            signal: status.signal(),
            stdout: self.stdout.all(),
            stderr: self.stderr.all(),
            took,
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|status| status.is_none()) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}
