//! The recorder: takes records and events from the ring and writes them to the build's file, on a thread of its own, or on that of
//! whoever has something that cannot wait.
//!
//! It fails nothing. When the file cannot be written, it says so once; from then on the log is only in memory.

use super::{
    Lost, Warn,
    plog::PlogWriter,
    ring::{Located, Ring, Work},
};
use std::{io, sync::Arc, time::Instant};

/// How the file ended.
#[derive(Debug, Default)]
pub(super) struct Recorded {
    pub(super) bytes: u64,
    pub(super) lost: Option<Lost>,
}

pub(super) struct Recorder {
    ring: Arc<Ring>,
    plog: PlogWriter,
    warn: Warn,
    /// When what was taken must be written.
    deadline: Option<Instant>,
    lost: Option<Lost>,
}

/// Sets the writer and the readers free if the recorder panics.
struct Unblock(Arc<Ring>);

impl Drop for Unblock {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.file_is_gone();
        }
    }
}

impl Recorder {
    pub(super) fn new(ring: Arc<Ring>, plog: PlogWriter, warn: Warn) -> Self {
        Self {
            ring,
            plog,
            warn,
            deadline: None,
            lost: None,
        }
    }

    /// Writes until the log is finished.
    pub(super) fn run(mut self) -> Recorded {
        let _unblock = Unblock(Arc::clone(&self.ring));
        loop {
            if let Some(recorded) = self.turn() {
                return recorded;
            }
        }
    }

    /// Waits until there is something to do, and does it.
    pub(super) fn turn(&mut self) -> Option<Recorded> {
        let work = self.ring.work(&mut self.deadline);
        self.plog.add_events(&work.events);
        if self.lost.is_none()
            && let Err(error) = self.record(&work)
        {
            self.lost = Some(self.give_up(&error));
        }
        if work.flush {
            self.deadline = None;
        }
        work.finish.then(|| self.finish())
    }

    /// Even if a write failed before: there may be room for the last events and the footer.
    fn finish(&mut self) -> Recorded {
        let bytes = match self.plog.finish() {
            Ok((bytes, written)) => {
                self.ring.written(&written);
                bytes
            }
            Err(error) => {
                if self.lost.is_none() {
                    self.lost = Some(self.give_up(&error));
                }
                self.plog.len()
            }
        };
        let lost = self.lost.take();
        Recorded { bytes, lost }
    }

    fn record(&mut self, work: &Work) -> io::Result<()> {
        for batch in &work.batches {
            let written = self.plog.add_records(Arc::clone(batch))?;
            self.report(&written);
        }
        if work.flush && !work.finish {
            let written = self.plog.flush()?;
            self.report(&written);
        }
        Ok(())
    }

    fn report(&self, written: &[Located]) {
        if !written.is_empty() {
            self.ring.written(written);
        }
    }

    fn give_up(&mut self, error: &io::Error) -> Lost {
        self.plog.forget_records();
        let first = self.ring.file_is_gone();
        let why = error.to_string();
        (self.warn)(format!(
            "the log of this build is kept only up to record {first}: {why}; make room on the disk that holds it, for the next build"
        ));
        Lost { first, why }
    }
}
