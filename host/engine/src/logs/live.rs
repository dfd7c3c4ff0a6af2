//! A reader in the process that runs the build.
//!
//! It reads from memory while it keeps up and from the file when it fell behind, and never delays the build, unless there is no
//! file and it said that it needs every record.

use super::{
    batch::Batch,
    frame::Kind,
    index::{Entry, ReadError},
    ring::{Found, Need, Ring},
};
use piper_core::time::Timestamp;
use std::{fs::File, ops::Range, sync::Arc, time::Duration};

/// What a reader of a running build gets.
#[derive(Debug)]
pub enum Next {
    /// The next records.
    Batch(Arc<Batch>),
    /// These records came and went unread, or cannot be read any more.
    Missed(Range<u64>),
    /// Nothing came in the given time.
    Idle,
    /// There will be no more.
    End,
}

/// Reads the records of a running build, from the first one on.
pub struct LiveReader {
    ring: Arc<Ring>,
    file: Option<Arc<File>>,
    cursor: usize,
    at: u64,
}

impl LiveReader {
    pub(super) fn new(ring: Arc<Ring>, file: Option<Arc<File>>, need: Need) -> Self {
        let cursor = ring.add_cursor(need);
        Self {
            ring,
            file,
            cursor,
            at: 0,
        }
    }

    /// Leaves out the records before this number. What came with it in one batch is handed out all the same.
    pub fn skip_to(&mut self, seq: u64) {
        self.at = self.at.max(seq);
        self.ring.advance(self.cursor, self.at);
    }

    /// The next records; waits at most so long for them.
    pub fn next(&mut self, wait: Duration) -> Next {
        let from = self.at;
        match self.ring.read(self.cursor, wait) {
            Found::Batch(batch) => {
                self.at = batch.end_seq();
                Next::Batch(batch)
            }
            Found::Frame(frame) => {
                let entry = Entry {
                    kind: Kind::Log,
                    offset: frame.offset,
                    len: frame.len,
                    first: frame.first,
                    count: frame.count,
                    lines: 0,
                    first_at: Timestamp::default(),
                    last_at: Timestamp::default(),
                    shares: None,
                };
                self.at = entry.end();
                self.ring.advance(self.cursor, self.at);
                match self.read(&entry) {
                    Some(Ok(mut batch)) => {
                        batch.skip_to(from);
                        Next::Batch(Arc::new(batch))
                    }
                    Some(Err(_)) | None => Next::Missed(from..self.at),
                }
            }
            Found::Gap(to) => {
                self.at = to;
                Next::Missed(from..to)
            }
            Found::Idle => Next::Idle,
            Found::End => Next::End,
        }
    }

    fn read(&self, entry: &Entry) -> Option<Result<Batch, ReadError>> {
        Some(entry.read_records(self.file.as_deref()?))
    }
}

impl Drop for LiveReader {
    fn drop(&mut self) {
        self.ring.drop_cursor(self.cursor);
    }
}

impl std::fmt::Debug for LiveReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LiveReader")
            .field("at", &self.at)
            .finish_non_exhaustive()
    }
}
