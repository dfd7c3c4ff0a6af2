//! Native commands, outside the sandbox. Each needs a grant that matches it.
//!
//! ```
//! use piper_plugin::{exec::Command, testing::Fake};
//!
//! # let fake = Fake::new();
//! # fake.command(["git", "rev-parse", "HEAD"], 0, "c0ffee\n");
//! let revision = Command::new("git").args(["rev-parse", "HEAD"]).run()?.ok()?;
//! assert_eq!(revision.text()?.trim(), "c0ffee");
//! # Ok::<(), piper_plugin::Failure>(())
//! ```

use crate::{
    failure::{Failure, Result},
    host::{self, ExecProcess, RawCommand, RawOutput, RawStdin},
};
use std::time::Duration;

/// How much is asked for at once.
const PIECE: u32 = 1 << 16;

/// A command being put together. No shell.
#[derive(Debug, Clone)]
#[must_use = "a command does nothing until it is run or started"]
pub struct Command(RawCommand);

impl Command {
    /// Begins a command.
    pub fn new(program: impl Into<String>) -> Self {
        Self(RawCommand {
            argv: vec![program.into()],
            env: Vec::new(),
            cwd: None,
            stdin: RawStdin::Empty,
            stdout_file: None,
            timeout: None,
            quiet: false,
        })
    }

    /// Adds an argument.
    pub fn arg(mut self, argument: impl Into<String>) -> Self {
        self.0.argv.push(argument.into());
        self
    }

    /// Adds arguments.
    pub fn args<A: Into<String>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.0.argv.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// Sets a variable of its environment.
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.0.env.push((name.into(), value.into()));
        self
    }

    /// Its working folder, a path as in [`files`](crate::files); without it, the workspace.
    pub fn cwd(mut self, path: impl Into<String>) -> Self {
        self.0.cwd = Some(path.into());
        self
    }

    /// What it reads.
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.0.stdin = RawStdin::Bytes(bytes.into());
        self
    }

    /// The file that it reads.
    pub fn stdin_file(mut self, path: impl Into<String>) -> Self {
        self.0.stdin = RawStdin::File(path.into());
        self
    }

    /// Where its stdout goes instead of to the plugin.
    pub fn stdout_file(mut self, path: impl Into<String>) -> Self {
        self.0.stdout_file = Some(path.into());
        self
    }

    /// When it is ended.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.0.timeout = Some(timeout);
        self
    }

    /// Keeps what it writes out of the step's log.
    pub fn quiet(mut self) -> Self {
        self.0.quiet = true;
        self
    }

    /// Starts it.
    ///
    /// # Errors
    ///
    /// When it is not granted or cannot be started.
    pub fn start(self) -> Result<Process> {
        let program = self.0.argv[0].clone();
        Ok(Process {
            program,
            raw: host::exec_start(self.0)?,
        })
    }

    /// Runs it to its end. Of each stream the last mebibyte is kept.
    ///
    /// # Errors
    ///
    /// When it is not granted or cannot be started; how it ends is never a failure until [`Finished::ok`] is asked.
    pub fn run(self) -> Result<Finished> {
        let mut process = self.start()?;
        // One after the other is enough: the host keeps what nobody reads, so the command never waits for us.
        let stdout = drain(|| process.raw.stdout(PIECE))?;
        let stderr = drain(|| process.raw.stderr(PIECE))?;
        let exit = process.wait()?;
        Ok(Finished {
            program: process.program,
            exit,
            stdout,
            stderr,
        })
    }
}

fn drain(mut more: impl FnMut() -> Result<RawOutput>) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    loop {
        let output = more()?;
        bytes.extend_from_slice(&output.bytes);
        if output.closed {
            return Ok(bytes);
        }
    }
}

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exit {
    /// Its status, if it ended by itself.
    pub status: Option<i32>,
    /// `exited`, `signalled`, `timeout` or `killed`.
    pub reason: String,
    /// How long it took.
    pub duration: Duration,
}

/// What a process wrote since it was last asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// The oldest bytes not yet read.
    pub bytes: Vec<u8>,
    /// Nothing follows.
    pub is_closed: bool,
    /// How many bytes before these are lost because nobody read them in time.
    pub dropped: u64,
}

impl From<RawOutput> for Output {
    fn from(raw: RawOutput) -> Self {
        Self {
            bytes: raw.bytes,
            is_closed: raw.closed,
            dropped: raw.dropped,
        }
    }
}

/// A command that was started. Dropping it ends it and all that it started.
pub struct Process {
    program: String,
    raw: ExecProcess,
}

impl Process {
    /// What it wrote to stdout, at most `max` bytes; waits until there is some or none can follow.
    ///
    /// # Errors
    ///
    /// When the call is being stopped.
    pub fn stdout(&mut self, max: u32) -> Result<Output> {
        self.raw.stdout(max).map(Into::into)
    }

    /// What it wrote to stderr, likewise.
    ///
    /// # Errors
    ///
    /// When the call is being stopped.
    pub fn stderr(&mut self, max: u32) -> Result<Output> {
        self.raw.stderr(max).map(Into::into)
    }

    /// Ends it.
    ///
    /// # Errors
    ///
    /// When it cannot be ended.
    pub fn kill(&mut self) -> Result<()> {
        self.raw.kill()
    }

    /// Waits for its end.
    ///
    /// # Errors
    ///
    /// When the call is being stopped.
    pub fn wait(&mut self) -> Result<Exit> {
        let raw = self.raw.wait()?;
        Ok(Exit {
            status: raw.status,
            reason: raw.reason,
            duration: raw.duration,
        })
    }
}

/// A command that ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finished {
    program: String,
    /// How it ended.
    pub exit: Exit,
    /// What it wrote to stdout.
    pub stdout: Vec<u8>,
    /// What it wrote to stderr.
    pub stderr: Vec<u8>,
}

impl Finished {
    /// Itself, if it ended with status 0.
    ///
    /// # Errors
    ///
    /// `exec.status`, permanent, with the end of what it wrote to stderr.
    pub fn ok(self) -> Result<Self> {
        let how = match (self.exit.status, self.exit.reason.as_str()) {
            (Some(0), _) => return Ok(self),
            (Some(status), _) => format!("ended with status {status}"),
            (None, reason) => format!("was ended ({reason})"),
        };
        let stderr = String::from_utf8_lossy(&self.stderr);
        let said = stderr.lines().rev().find(|line| !line.trim().is_empty());
        let said = said.map_or_else(String::new, |line| format!(": {line}"));
        Err(Failure::permanent(
            "exec.status",
            format_args!("`{}` {how}{said}", self.program),
        ))
    }

    /// What it wrote to stdout, as a text.
    ///
    /// # Errors
    ///
    /// When it is not UTF-8.
    pub fn text(&self) -> Result<&str> {
        Ok(std::str::from_utf8(&self.stdout)?)
    }
}
