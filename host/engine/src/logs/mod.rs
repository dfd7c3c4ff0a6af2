//! The log plane: what steps write, from the pipe to the build's file and to everybody who reads it.
//!
//! Nothing here knows what a step means or how a build ends; control events pass through as opaque lines that are kept beside
//! the records. There is no async runtime: the capture loop owns a [`LogWriter`], the recorder owns the file, and each
//! reader is a cursor of its own.
//!
//! ```text
//!   pipes ──LogWriter──▶ ring of recent batches ──recorder──▶ builds/ID.plog
//!           (cuts, masks)     │                                   │
//!                             └──LiveReader (falls back to it) ◀──┴──▶ PlogReader, Follow (any process, any time)
//! ```
//!
//! What the capture loop does for each byte is a `read(2)` into the batch and a search for line ends; what the recorder does is
//! one copy into a frame, and zstd. A slow recorder slows the steps down; a slow reader slows only itself.

mod batch;
mod frame;
mod index;
mod lines;
mod live;
mod plog;
mod reader;
mod recorder;
mod ring;
#[cfg(test)]
mod tests;

pub use batch::{Batch, Record, Run, Source};
pub use frame::BadFrame;
pub use index::{Damage, ReadError};
pub use lines::{LogWriter, PARTIAL_AFTER, READ_SIZE, SourceId};
pub use live::{LiveReader, Next};
pub use reader::{Dead, Follow, Followed, PlogReader, Select, Selection, State};
pub use ring::Need;

use piper_core::{id::BuildId, log::mask::Masker};
use recorder::{Recorded, Recorder};
use ring::Ring;
use std::{
    fmt,
    fs::File,
    mem,
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
};

/// Enough for the recorder, whose buffers are on the heap.
const RECORDER_STACK: usize = 256 * 1024;

/// Hears what the user should know of a log that cannot be kept.
pub type Warn = Arc<dyn Fn(String) + Send + Sync>;

/// Where the log of an attempt goes.
pub struct LogOptions {
    /// The build's file, which must not exist; `None` keeps the log in memory, for readers in this process.
    pub file: Option<PathBuf>,
    /// The build.
    pub build: BuildId,
    /// The attempt, from 1.
    pub attempt: u32,
    /// Hides secrets before anything else sees them.
    pub masker: Option<Masker>,
    /// Is told, at most once and maybe from another thread, that the log is not kept any more. It must not wait.
    pub warn: Warn,
}

impl fmt::Debug for LogOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogOptions")
            .field("file", &self.file)
            .field("build", &self.build)
            .field("attempt", &self.attempt)
            .finish_non_exhaustive()
    }
}

/// Records that are not in the build's file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lost {
    /// The number of the first of them; those after it are missing too.
    pub first: u64,
    /// Why.
    pub why: String,
}

/// What became of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEnd {
    /// How many records there were.
    pub records: u64,
    /// How large the file is.
    pub bytes: u64,
    /// What the file does not have.
    pub lost: Option<Lost>,
}

struct Shared {
    ring: Arc<Ring>,
    file: Option<Arc<File>>,
    recording: Mutex<Recording>,
    /// Whether the recording is inline, for those who need not lock it if it is not.
    is_inline: AtomicBool,
}

enum Recording {
    /// On the thread of whoever brings something: what cannot wait at once, the rest at the end.
    Inline {
        recorder: Box<Recorder>,
        /// There can be no thread, so that nothing may wait.
        threadless: bool,
    },
    OnThread(JoinHandle<Recorded>),
    Over {
        bytes: u64,
        lost: Option<Lost>,
    },
    /// Somebody is about to put the next one here.
    Taken,
}

impl Shared {
    fn recording(&self) -> MutexGuard<'_, Recording> {
        self.recording
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives the recorder a thread, if it has none and can have one.
    fn keep_up(&self) {
        if !self.is_inline.load(Ordering::Relaxed) {
            return;
        }
        let mut recording = self.recording();
        if let Recording::Inline { threadless, .. } = &mut *recording {
            if *threadless {
                return;
            }
            // A thread that cannot be started must leave the recorder here.
            *threadless = true;
        }
        let Recording::Inline { recorder, .. } = mem::replace(&mut *recording, Recording::Taken)
        else {
            return;
        };
        let slot = Arc::new(Mutex::new(Some(recorder)));
        let take = |slot: &Mutex<Option<Box<Recorder>>>| {
            let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
            slot.take().expect("the thread or, without one, we take it")
        };
        let theirs = Arc::clone(&slot);
        let spawned = thread::Builder::new()
            .name("piper-log".to_owned())
            .stack_size(RECORDER_STACK)
            .spawn(move || take(&theirs).run());
        *recording = match spawned {
            Ok(thread) => {
                self.is_inline.store(false, Ordering::Relaxed);
                Recording::OnThread(thread)
            }
            Err(_) => Recording::Inline {
                recorder: take(&slot),
                threadless: true,
            },
        };
    }

    /// Does what cannot wait, if there is no thread to do it.
    fn record_inline(&self) {
        if !self.is_inline.load(Ordering::Relaxed) {
            return;
        }
        if let Recording::Inline {
            recorder,
            threadless,
        } = &mut *self.recording()
        {
            if *threadless {
                self.ring.hurry();
            }
            if self.ring.hurries() {
                recorder.turn();
            }
        }
    }
}

/// The log of a running build, for everybody but the capture loop. Cloning it is cheap.
#[derive(Clone)]
pub struct LogHandle(Arc<Shared>);

/// Begins the log of an attempt: the first is for the capture loop, the second for everybody else.
///
/// This never fails: a log that cannot be kept is one warning.
pub fn start(options: LogOptions) -> (LogWriter, LogHandle) {
    let mut lost = None;
    let mut file = None;
    if let Some(path) = &options.file {
        match plog::create(path) {
            Ok(created) => file = Some(created),
            Err(error) => {
                let path = path.display();
                let why =
                    format!("the log of this build is not kept: could not create {path}: {error}");
                (options.warn)(why.clone());
                lost = Some(Lost { first: 0, why });
            }
        }
    }
    let ring = Arc::new(Ring::new(file.is_some()));
    let recording = match &file {
        Some(file) => {
            let plog = plog::PlogWriter::new(Arc::clone(file), options.build, options.attempt);
            let recorder = Recorder::new(Arc::clone(&ring), plog, options.warn);
            Recording::Inline {
                recorder: Box::new(recorder),
                threadless: false,
            }
        }
        None => Recording::Over { bytes: 0, lost },
    };
    let handle = LogHandle(Arc::new(Shared {
        is_inline: AtomicBool::new(file.is_some()),
        ring,
        file,
        recording: Mutex::new(recording),
    }));
    (LogWriter::new(handle.clone(), options.masker), handle)
}

impl LogHandle {
    /// Keeps an event, a line of `wire::v1` without its line end. The first one is written at once, the others soon.
    pub fn event(&self, line: &[u8]) {
        self.0.ring.push_event(line);
        self.0.record_inline();
    }

    /// Writes what comes within 200 ms, on a thread. Until this is called, or a lot has come, the log is in memory alone: most short
    /// builds end before that, and a thread costs them as much as a step.
    pub fn keep_up(&self) {
        self.0.keep_up();
    }

    /// A reader of all records, from the first one.
    pub fn reader(&self, need: Need) -> LiveReader {
        LiveReader::new(Arc::clone(&self.0.ring), self.0.file.clone(), need)
    }

    /// Waits until everything is in the file and closes it. Call it when the [`LogWriter`] is gone and the last event was given;
    /// calling it again returns the same.
    pub fn finish(&self) -> LogEnd {
        let records = self.0.ring.finish();
        let mut recording = self.0.recording();
        let Recorded { bytes, lost } = match mem::replace(&mut *recording, Recording::Taken) {
            Recording::Inline { recorder, .. } => recorder.run(),
            Recording::Over { bytes, lost } => Recorded { bytes, lost },
            Recording::Taken => Recorded::default(),
            Recording::OnThread(thread) => thread.join().unwrap_or_else(|_| {
                let why = "the thread that writes the log panicked".to_owned();
                let lost = Some(Lost { first: 0, why });
                Recorded { bytes: 0, lost }
            }),
        };
        *recording = Recording::Over {
            bytes,
            lost: lost.clone(),
        };
        LogEnd {
            records,
            bytes,
            lost,
        }
    }
}

impl fmt::Debug for LogHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogHandle").finish_non_exhaustive()
    }
}
