//! Steps that are carried out in this process: the port through which plugins run.
//!
//! A task is to the engine what a process is: it prints into two pipes, has a descriptor that says when it is over, is asked to end and,
//! if it does not, let go of. Retries, timeouts, outputs, the log and its masking are the same. What carries a task out is not known
//! here. Ctrl-Z stops this whole process, its tasks with it.

use crate::{environment::Vars, process::check};
use piper_core::{
    build::{Ended, Fault},
    plan::{PlannedStep, PluginCall},
};
use std::{
    fmt, io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    thread,
};

/// Carries out the steps that are no processes.
pub trait TaskHost: fmt::Debug + Send + Sync {
    /// Starts one try of a step. It must not wait: the whole build does while this runs.
    ///
    /// # Errors
    ///
    /// When the try cannot begin, with who is to blame: that is its end.
    fn start(&self, job: Job<'_>) -> Result<Box<dyn Task>, NotStarted>;
}

/// One try of a step that is to be carried out.
#[derive(Debug)]
pub struct Job<'a> {
    /// The step.
    pub step: &'a PlannedStep,
    /// The plugin and its options, which the step's command is.
    pub call: &'a PluginCall,
    /// Which try, from 1.
    pub r#try: u32,
    /// All variables that a process in its place would get; the secrets that the step lists are among them.
    pub vars: &'a Vars,
    /// The folder of the whole build.
    pub workspace: &'a Path,
    /// The folder in which the step runs; it exists.
    pub cwd: &'a Path,
    /// `$PIPER_OUTPUTS`: a folder of its own, in which each file is an output.
    pub outputs: PathBuf,
    /// What is written here is the step's standard output. The try's end is not told before this is closed, or a moment passed.
    pub stdout: OwnedFd,
    /// What is written here is the step's standard error.
    pub stderr: OwnedFd,
}

/// Why a try did not begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotStarted {
    /// Why, in words.
    pub why: String,
    /// Who is to blame.
    pub fault: Fault,
}

/// A try that runs. Dropping it lets go of it: what it still does is nobody's concern any more, and it must not make the one who
/// drops it wait. What it prints from then on is lost, and writing fails.
pub trait Task: Send {
    /// Becomes readable when it is over, and stays so.
    fn over(&self) -> BorrowedFd<'_>;

    /// How it ended. Asked once, when [`over`](Self::over) is readable.
    fn end(&mut self) -> TaskEnd;

    /// Asks it to end, within the step's grace period. May be asked again.
    fn ask_to_end(&mut self);
}

/// How a task ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TaskEnd {
    /// The step passed.
    Passed,
    /// The step failed, and why.
    Failed(String),
    /// There was nothing to do, and why.
    Skipped(String),
    /// No verdict: whoever carries it out broke.
    Errored {
        /// Why, in words.
        why: String,
        /// Whether another try may help.
        passing: bool,
    },
}

impl TaskEnd {
    /// The same end in other words.
    #[must_use]
    pub fn said_as(self, other: impl FnOnce(String) -> String) -> Self {
        match self {
            Self::Passed => Self::Passed,
            Self::Failed(why) => Self::Failed(other(why)),
            Self::Skipped(why) => Self::Skipped(other(why)),
            Self::Errored { why, passing } => Self::Errored {
                why: other(why),
                passing,
            },
        }
    }
}

impl From<TaskEnd> for Ended {
    fn from(end: TaskEnd) -> Self {
        let said = |why: String| match why.trim() {
            "" => "it does not say why".to_owned(),
            _ => why,
        };
        match end {
            TaskEnd::Passed => Self::Status(0),
            TaskEnd::Failed(why) => Self::Failed { why: said(why) },
            TaskEnd::Skipped(why) => Self::Skipped { why: said(why) },
            TaskEnd::Errored { why, passing } => Self::Errored {
                why: said(why),
                passing,
            },
        }
    }
}

/// A task that runs in a thread of its own.
pub struct ThreadTask {
    over: Arc<OwnedFd>,
    end: Arc<Mutex<Option<TaskEnd>>>,
    ask: Box<dyn Fn() + Send>,
}

impl fmt::Debug for ThreadTask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ThreadTask")
            .field("end", &self.end)
            .finish_non_exhaustive()
    }
}

impl ThreadTask {
    /// Runs `work` in a thread; `ask` makes it end soon. When this is dropped, `ask` is called a last time, and the thread goes on until it
    /// returns. A panic is an end as well.
    ///
    /// # Errors
    ///
    /// When the system has no thread or no descriptor left.
    pub fn start(
        name: &str,
        ask: impl Fn() + Send + 'static,
        work: impl FnOnce() -> TaskEnd + Send + 'static,
    ) -> io::Result<Self> {
        // SAFETY: the descriptor is new and nobody else's.
        let over = unsafe {
            OwnedFd::from_raw_fd(check(libc::eventfd(
                0,
                libc::EFD_CLOEXEC | libc::EFD_NONBLOCK,
            ))?)
        };
        let over = Arc::new(over);
        let end = Arc::new(Mutex::new(None));
        let (told, result) = (Arc::clone(&over), Arc::clone(&end));
        thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || {
                // What the work owns is dropped in there, the pipes too: its end is not told before.
                let ended = catch_unwind(AssertUnwindSafe(work));
                let ended = ended.unwrap_or_else(|_| TaskEnd::Errored {
                    why: "a bug in piper: it panicked".to_owned(),
                    passing: false,
                });
                *result.lock().unwrap_or_else(PoisonError::into_inner) = Some(ended);
                let one = 1_u64.to_ne_bytes();
                // SAFETY: the buffer is as long as told. The counter is at most 1, so that the write cannot fail.
                unsafe { libc::write(told.as_raw_fd(), one.as_ptr().cast(), one.len()) };
            })?;
        Ok(Self {
            over,
            end,
            ask: Box::new(ask),
        })
    }
}

impl Task for ThreadTask {
    fn over(&self) -> BorrowedFd<'_> {
        self.over.as_fd()
    }

    fn end(&mut self) -> TaskEnd {
        let end = self.end.lock().unwrap_or_else(PoisonError::into_inner);
        end.clone().unwrap_or_else(|| TaskEnd::Errored {
            why: "a bug in piper: it ended without saying how".to_owned(),
            passing: false,
        })
    }

    fn ask_to_end(&mut self) {
        (self.ask)();
    }
}

impl Drop for ThreadTask {
    fn drop(&mut self) {
        (self.ask)();
    }
}
