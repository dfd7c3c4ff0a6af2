//! A build's one file as its writer sees it: append-only, locked while it is written, cut back to its last whole frame when a
//! write fails.
//!
//! Nothing is ever synced: what a crash of the machine may cost here, it costs the build's outputs too. This module neither
//! waits nor decides when to write; that is the recorder's.

use super::{
    batch::Batch,
    frame::{self, Encoder, Header, Kind},
    index::{self, Entry, Index},
    ring::Located,
};
use piper_core::{id::BuildId, time::Timestamp};
use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
    sync::Arc,
};

/// How much a frame gathers before it is closed.
const FRAME: usize = 256 * 1024;

/// What a run takes in a frame beside its text, at most.
const RUN: usize = 16;

/// The file of a build that runs.
pub(super) struct PlogWriter {
    file: Arc<File>,
    build: BuildId,
    attempt: u32,
    encoder: Encoder,
    /// The records of the next frame, and roughly its size.
    gathered: Vec<Arc<Batch>>,
    gathered_len: usize,
    /// Events that are not in the file yet.
    events: Vec<u8>,
    first_event: u64,
    payload: Vec<u8>,
    /// Frames that are not in the file yet.
    out: Vec<u8>,
    /// The file's length up to its last whole frame.
    len: u64,
    index: Index,
    /// How many entries of the index are in the file.
    in_file: usize,
}

/// Makes the file and locks it, so that others can tell a build that runs from one that died.
pub(super) fn create(path: &Path) -> io::Result<Arc<File>> {
    let file = OpenOptions::new()
        .read(true)
        .append(true)
        .create_new(true)
        // What builds print is their owner's business alone.
        .mode(0o600)
        .open(path)?;
    // Others only ever look whether it is locked, so that this does not wait. A file without a lock would look like a dead build.
    file.lock().inspect_err(|_| drop(fs::remove_file(path)))?;
    Ok(Arc::new(file))
}

impl PlogWriter {
    pub(super) fn new(file: Arc<File>, build: BuildId, attempt: u32) -> Self {
        Self {
            file,
            build,
            attempt,
            encoder: Encoder::default(),
            gathered: Vec::new(),
            gathered_len: 0,
            events: Vec::new(),
            first_event: 0,
            payload: Vec::new(),
            out: Vec::new(),
            len: 0,
            index: Index::default(),
            in_file: 0,
        }
    }

    /// Goes on with a file whose writer died: `index` is what it has, `len` where its last whole frame ends.
    pub(super) fn resume(
        file: Arc<File>,
        build: BuildId,
        attempt: u32,
        index: Index,
        len: u64,
    ) -> Self {
        let first_event = index
            .entries
            .iter()
            .rfind(|entry| entry.kind == Kind::Events)
            .map_or(0, Entry::end);
        let in_file = index.entries.len();
        Self {
            len,
            index,
            in_file,
            first_event,
            ..Self::new(file, build, attempt)
        }
    }

    /// Takes records; writes when they fill a frame. Returns the frames that went into the file.
    pub(super) fn add_records(&mut self, batch: Arc<Batch>) -> io::Result<Vec<Located>> {
        self.gathered_len += batch.text.len() + RUN * batch.runs.len();
        self.gathered.push(batch);
        if self.gathered_len < FRAME {
            return Ok(Vec::new());
        }
        self.close_log_frame()?;
        self.write()
    }

    /// Takes lines of events.
    pub(super) fn add_events(&mut self, lines: &[u8]) {
        self.events.extend_from_slice(lines);
    }

    /// Writes whatever was taken: the records first, so that no event is in the file before the records that precede it.
    pub(super) fn flush(&mut self) -> io::Result<Vec<Located>> {
        self.close_log_frame()?;
        self.close_event_frames()?;
        let written = self.write()?;
        self.events.clear();
        Ok(written)
    }

    /// Writes the rest and the footer, and unlocks the file. Returns its length.
    pub(super) fn finish(&mut self) -> io::Result<(u64, Vec<Located>)> {
        self.close_log_frame()?;
        self.close_event_frames()?;
        self.payload.clear();
        self.index.encode(&mut self.payload);
        let offset = self.len + self.out.len() as u64;
        let header = self.header(Kind::Footer, 0, self.index.entries.len() as u32);
        self.encoder.append(header, &self.payload, &mut self.out)?;
        self.out.extend_from_slice(&index::trailer(offset));
        let written = self.write()?;
        self.events.clear();
        // Readers in this process may hold the file open for longer.
        self.file.unlock()?;
        Ok((self.len, written))
    }

    /// How long the file is.
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// Forgets the records that are not in the file, which has no room for them. Events are kept for [`finish`](Self::finish).
    pub(super) fn forget_records(&mut self) {
        self.gathered.clear();
        self.gathered_len = 0;
    }

    fn header(&self, kind: Kind, first: u64, count: u32) -> Header {
        Header {
            kind,
            compressed: false,
            build: self.build,
            attempt: self.attempt,
            first,
            count,
            lines: 0,
            first_at: Timestamp::default(),
            last_at: Timestamp::default(),
            raw_len: 0,
            stored_len: 0,
            payload_crc: 0,
        }
    }

    fn close_log_frame(&mut self) -> io::Result<()> {
        let runs = || self.gathered.iter().flat_map(|batch| &batch.runs);
        let (Some(first), Some(last)) = (runs().next(), runs().next_back()) else {
            return Ok(());
        };
        let count = (last.end_seq() - first.first_seq) as u32;
        let header = Header {
            lines: runs().map(|run| run.lines()).sum(),
            first_at: first.at,
            last_at: last.at,
            ..self.header(Kind::Log, first.first_seq, count)
        };
        self.payload.clear();
        frame::encode_records(&self.gathered, &mut self.payload);
        let shares = self.index.shares(&self.gathered);
        let offset = self.len + self.out.len() as u64;
        let header = self.encoder.append(header, &self.payload, &mut self.out)?;
        let mut entry = Entry::new(&header, offset);
        entry.shares = Some(shares);
        self.index.entries.push(entry);
        self.forget_records();
        Ok(())
    }

    fn close_event_frames(&mut self) -> io::Result<()> {
        let mut rest = self.events.as_slice();
        while !rest.is_empty() {
            // A frame ends with a line; a line that is longer than a frame has one of its own.
            let end = memchr::memrchr(b'\n', &rest[..rest.len().min(FRAME)])
                .or_else(|| memchr::memchr(b'\n', rest))
                .map_or(rest.len(), |at| at + 1);
            let (lines, after) = rest.split_at(end);
            rest = after;
            let count = memchr::memchr_iter(b'\n', lines).count() as u32;
            let header = self.header(Kind::Events, self.first_event, count);
            self.first_event += u64::from(count);
            let offset = self.len + self.out.len() as u64;
            let header = self.encoder.append(header, lines, &mut self.out)?;
            self.index.entries.push(Entry::new(&header, offset));
        }
        Ok(())
    }

    /// Writes the frames that are ready, or none of them.
    fn write(&mut self) -> io::Result<Vec<Located>> {
        let mut file = &*self.file;
        if let Err(error) = file.write_all(&self.out) {
            self.take_back();
            return Err(error);
        }
        self.len += self.out.len() as u64;
        self.out.clear();
        let written = self.index.entries[self.in_file..]
            .iter()
            .filter(|entry| entry.kind == Kind::Log)
            .map(|entry| Located {
                offset: entry.offset,
                len: entry.len,
                first: entry.first,
                count: entry.count,
            })
            .collect();
        self.in_file = self.index.entries.len();
        Ok(written)
    }

    /// Cuts the file back to its last whole frame and forgets what did not fit.
    fn take_back(&mut self) {
        // If even this fails, readers stop at the last whole frame all the same.
        let _ = self.file.set_len(self.len);
        self.out.clear();
        for entry in self.index.entries.drain(self.in_file..) {
            if entry.kind == Kind::Events {
                self.first_event = self.first_event.min(entry.first);
            }
        }
    }
}
