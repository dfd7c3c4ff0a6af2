//! The recorder thread: takes records and events from the ring and writes them to the build's file.
//!
//! It fails nothing. When the file cannot be written, it says so once; from then on the log is only in memory.

use super::{
    Lost, Warn,
    plog::PlogWriter,
    ring::{Located, Ring, Work},
};
use std::{io, sync::Arc};

/// How the file ended.
#[derive(Debug, Default)]
pub(super) struct Recorded {
    pub(super) bytes: u64,
    pub(super) lost: Option<Lost>,
}

pub(super) struct Recorder {
    pub(super) ring: Arc<Ring>,
    pub(super) plog: PlogWriter,
    pub(super) warn: Warn,
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
    /// Writes until the log is finished.
    pub(super) fn run(mut self) -> Recorded {
        let _unblock = Unblock(Arc::clone(&self.ring));
        let mut deadline = None;
        let mut lost = None;
        loop {
            let work = self.ring.work(&mut deadline);
            self.plog.add_events(&work.events);
            if lost.is_none()
                && let Err(error) = self.record(&work)
            {
                lost = Some(self.give_up(&error));
            }
            if work.flush {
                deadline = None;
            }
            if !work.finish {
                continue;
            }
            // Even if a write failed before: there may be room for the last events and the footer.
            let bytes = match self.plog.finish() {
                Ok((bytes, written)) => {
                    self.ring.written(&written);
                    bytes
                }
                Err(error) => {
                    if lost.is_none() {
                        lost = Some(self.give_up(&error));
                    }
                    self.plog.len()
                }
            };
            return Recorded { bytes, lost };
        }
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
