//! The capture loop's end of the log: bytes of many streams in, numbered records out.
//!
//! Nothing here waits but [`LogWriter::publish`] and [`LogWriter::wait_for_room`], and that only while the recorder is a whole ring behind. Nothing here reads a
//! clock or opens a file.
//!
//! Bytes are read straight into the text of the batch under construction. At most one stream has an unfinished line at the end
//! of that text; when another stream's turn comes, the unfinished line is parked with its stream. So a byte is copied once on
//! its way from the pipe to the batch, plus once for each unfinished line at a read's end.

use super::{
    LogHandle,
    batch::{Batch, Run, Source},
    frame::MAX_LABEL,
    ring::Ring,
};
use memchr::{memchr_iter, memrchr};
use piper_core::{
    id::StepIx,
    log::{
        MAX_RECORD, Marks, Stream,
        mask::{MaskState, Masker},
    },
    time::Timestamp,
};
use std::{
    collections::HashMap,
    io,
    ops::Range,
    os::fd::{AsRawFd, BorrowedFd},
    sync::Arc,
    time::Duration,
};

/// How much text waits for the end of a short build.
const LONG: usize = 128 * 1024;

/// How long an unfinished line may wait for its end before readers see what is there of it.
pub const PARTIAL_AFTER: Duration = Duration::from_millis(50);

/// How much one read may bring: what a pipe holds by default.
pub const READ_SIZE: usize = 64 * 1024;

/// How much text a batch gathers before it is handed on without being asked.
const BATCH_TEXT: usize = 256 * 1024;

/// A batch's buffer: its text, and one unfinished line that is moved back into it.
pub(super) const TEXT_CAPACITY: usize = BATCH_TEXT + MAX_RECORD + READ_SIZE;

/// How many runs a batch gathers, which bounds its memory when many streams write a byte at a time.
pub(super) const BATCH_RUNS: usize = 4096;

/// One try of one step, as the writer calls it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SourceId(u32);

type Key = (SourceId, Stream);

/// An unfinished line that no reader has seen.
#[derive(Debug, Clone, Copy)]
struct Waiting {
    /// When its first byte came.
    first: Timestamp,
    /// When its last byte came.
    last: Timestamp,
}

#[derive(Debug, Default)]
struct StreamState {
    /// The unfinished line while it is not at the end of the batch's text.
    parked: Vec<u8>,
    waiting: Option<Waiting>,
    /// The last record said that its line goes on.
    continues: bool,
    /// What may be the beginning of a secret.
    mask: MaskState,
}

struct Writing {
    source: Arc<Source>,
    streams: [Option<StreamState>; 2],
}

/// Cuts what steps write into records and hands them on. Belongs to the capture loop.
///
/// When it is dropped, what it holds is published and readers learn that no more will come.
pub struct LogWriter {
    log: LogHandle,
    masker: Option<Masker>,
    /// What was read but not masked yet; used only with a masker.
    unmasked: Vec<u8>,
    sources: HashMap<SourceId, Writing>,
    next_source: u32,
    text: Vec<u8>,
    runs: Vec<Run>,
    /// The stream whose unfinished line is at the end of `text`, and where that line begins.
    open: Option<(Key, usize)>,
    /// Streams with an unfinished line that readers have not seen; few, as few steps run at once.
    unfinished: Vec<Key>,
    next_seq: u64,
    last_at: Timestamp,
    /// How many bytes were handed on.
    published: usize,
}

impl LogWriter {
    pub(super) fn new(log: LogHandle, masker: Option<Masker>) -> Self {
        Self {
            log,
            masker: masker.filter(|masker| !masker.is_empty()),
            unmasked: Vec::new(),
            sources: HashMap::new(),
            next_source: 0,
            text: Vec::new(),
            runs: Vec::new(),
            open: None,
            unfinished: Vec::new(),
            next_seq: 0,
            last_at: Timestamp::default(),
            published: 0,
        }
    }

    /// What is said of a step outside of its log, without the secrets.
    pub fn masked(&self, words: String) -> String {
        match &self.masker {
            Some(masker) => masker.text(words),
            None => words,
        }
    }

    /// Makes a source known; both its streams are open from now on.
    pub fn register(&mut self, step: StepIx, r#try: u32, label: &str) -> SourceId {
        let id = SourceId(self.next_source);
        self.next_source += 1;
        let source = Source {
            step,
            r#try,
            label: label[..label.floor_char_boundary(MAX_LABEL)].into(),
        };
        let writing = Writing {
            source: Arc::new(source),
            streams: [Some(StreamState::default()), Some(StreamState::default())],
        };
        self.sources.insert(id, writing);
        id
    }

    /// The number that the next record will get: all records of what was given so far, unfinished lines apart, have smaller ones.
    pub fn next_seq(&self) -> u64 {
        self.next_seq
    }

    /// Reads once from `from`, at most [`READ_SIZE`] bytes, into the log. 0 means that the stream ended: call
    /// [`close`](Self::close) then. `now` is asked after the read.
    ///
    /// # Errors
    ///
    /// What read(2) says, `WouldBlock` and `Interrupted` included; the log is as it was.
    pub fn read_from(
        &mut self,
        source: SourceId,
        stream: Stream,
        from: BorrowedFd<'_>,
        now: impl FnOnce() -> Timestamp,
    ) -> io::Result<usize> {
        let key = (source, stream);
        if self.masker.is_some() {
            let mut unmasked = std::mem::take(&mut self.unmasked);
            unmasked.clear();
            let read = read_into(from, &mut unmasked);
            if read.as_ref().is_ok_and(|&n| n > 0) {
                self.mask(key, &unmasked, now());
            }
            self.unmasked = unmasked;
            return read;
        }
        self.bring_to_end(key);
        let before = self.text.len();
        let read = read_into(from, &mut self.text)?;
        if read > 0 {
            self.cut(key, before, now());
        }
        Ok(read)
    }

    /// Takes bytes that a stream carried. Bytes for a closed stream are dropped.
    pub fn append(&mut self, source: SourceId, stream: Stream, bytes: &[u8], at: Timestamp) {
        let key = (source, stream);
        if self.masker.is_some() {
            return self.mask(key, bytes, at);
        }
        for piece in bytes.chunks(READ_SIZE) {
            self.bring_to_end(key);
            let before = self.text.len();
            self.text.extend_from_slice(piece);
            self.cut(key, before, at);
        }
    }

    /// Ends a stream: what is left of its last line becomes a record that says so.
    pub fn close(&mut self, source: SourceId, stream: Stream, at: Timestamp) {
        let key = (source, stream);
        if let Some(masker) = self.masker.take() {
            let mut rest = Vec::new();
            if let Some(state) = self.state(key) {
                masker.finish(&mut state.mask, &mut rest);
            }
            self.append(source, stream, &rest, at);
            self.masker = Some(masker);
        }
        self.bring_to_end(key);
        let Some((_, start)) = self.open.take() else {
            return;
        };
        let mid_line = self.state(key).is_some_and(|state| state.continues);
        if start < self.text.len() || mid_line {
            self.push_run(key, Marks::NO_EOL, 1, start..self.text.len(), at);
        }
        self.unfinished.retain(|&other| other != key);
        if let Some(writing) = self.sources.get_mut(&source) {
            writing.streams[stream as usize] = None;
            if writing.streams.iter().all(Option::is_none) {
                self.sources.remove(&source);
            }
        }
        self.publish_if_large();
    }

    /// When [`flush_partial`](Self::flush_partial) wants to be called, if no more bytes come until then.
    pub fn next_partial_deadline(&self) -> Option<Timestamp> {
        let deadline = |&(source, stream): &Key| {
            let state = self.sources.get(&source)?.streams[stream as usize].as_ref()?;
            Some(state.waiting?.first + PARTIAL_AFTER)
        };
        self.unfinished.iter().filter_map(deadline).min()
    }

    /// Turns each unfinished line that has waited for [`PARTIAL_AFTER`] into a record that says that the line goes on.
    pub fn flush_partial(&mut self, now: Timestamp) {
        let mut unfinished = std::mem::take(&mut self.unfinished);
        unfinished.retain(|&key| {
            let Some(waiting) = self.state(key).and_then(|state| state.waiting) else {
                return false;
            };
            let due = waiting.first + PARTIAL_AFTER <= now;
            if due {
                self.bring_to_end(key);
                if let Some((_, start)) = self.open.take() {
                    self.push_run(
                        key,
                        Marks::CONTINUES,
                        1,
                        start..self.text.len(),
                        waiting.last,
                    );
                }
                if let Some(state) = self.state(key) {
                    state.waiting = None;
                    state.continues = true;
                }
                self.publish_if_large();
            }
            !due
        });
        self.unfinished = unfinished;
    }

    /// Hands the records so far on to the recorder and the readers. Call it once in each round of the event loop.
    ///
    /// Waits while the recorder is a whole ring behind: a slow disk slows the steps down instead of filling the memory. Who must
    /// not wait asks [`wait_for_room`](Self::wait_for_room) before each read.
    pub fn publish(&mut self) {
        if self.runs.is_empty() {
            return;
        }
        self.park();
        let runs = std::mem::take(&mut self.runs);
        let text = if self.text.len() < TEXT_CAPACITY / 8 {
            let text = self.text.as_slice().to_vec();
            self.text.clear();
            text
        } else {
            let empty = self.ring().spare_buffer();
            std::mem::replace(&mut self.text, empty)
        };
        self.published += text.len();
        self.ring().push(Batch { text, runs });
        if self.is_long() {
            self.log.keep_up();
        }
        self.log.0.record_inline();
    }

    /// Whether so much has come that it is to be written and shown while it comes, however young the build is.
    pub fn is_long(&self) -> bool {
        self.published >= LONG
    }

    /// Whether more can be read without waiting for the recorder; waits so long for that to become true.
    pub fn wait_for_room(&self, most: Duration) -> bool {
        self.ring().wait_for_room(most)
    }

    /// Lets [`publish`](Self::publish) not wait any more: the last records must not keep piper from ending.
    pub fn stop_waiting(&self) {
        self.ring().stop_waiting();
    }

    /// How much memory the buffers take.
    #[cfg(test)]
    pub(super) fn memory(&self) -> usize {
        let streams = self
            .sources
            .values()
            .flat_map(|writing| writing.streams.iter().flatten());
        self.text.capacity()
            + self.runs.capacity() * size_of::<Run>()
            + streams.map(|state| state.parked.capacity()).sum::<usize>()
    }

    fn ring(&self) -> &Ring {
        &self.log.0.ring
    }

    fn state(&mut self, (source, stream): Key) -> Option<&mut StreamState> {
        self.sources.get_mut(&source)?.streams[stream as usize].as_mut()
    }

    fn mask(&mut self, key: Key, bytes: &[u8], at: Timestamp) {
        let Some(masker) = self.masker.take() else {
            return;
        };
        for piece in bytes.chunks(READ_SIZE) {
            self.bring_to_end(key);
            let before = self.text.len();
            let mut text = std::mem::take(&mut self.text);
            if let Some(state) = self.state(key) {
                masker.push(&mut state.mask, piece, &mut text);
            }
            self.text = text;
            self.cut(key, before, at);
        }
        self.masker = Some(masker);
    }

    /// Moves the unfinished line at the end of the text, if there is one, to its stream.
    fn park(&mut self) {
        let Some(((source, stream), start)) = self.open.take() else {
            return;
        };
        if let Some(writing) = self.sources.get_mut(&source)
            && let Some(state) = &mut writing.streams[stream as usize]
        {
            state.parked.extend_from_slice(&self.text[start..]);
        }
        self.text.truncate(start);
    }

    /// Makes the unfinished line of this stream, which may be empty, the end of the text, with room for a read.
    fn bring_to_end(&mut self, key: Key) {
        if self.text.capacity() < TEXT_CAPACITY {
            self.text.reserve_exact(TEXT_CAPACITY - self.text.len());
        }
        if self.open.is_some_and(|(open, _)| open == key) {
            return;
        }
        self.park();
        let start = self.text.len();
        if let Some(writing) = self.sources.get_mut(&key.0)
            && let Some(state) = &mut writing.streams[key.1 as usize]
        {
            self.text.append(&mut state.parked);
            self.open = Some((key, start));
        }
    }

    /// Makes records of the lines that the bytes from `new` on have completed.
    fn cut(&mut self, key: Key, new: usize, at: Timestamp) {
        let Some((_, line)) = self.open else {
            // The stream is closed: nobody waits for these bytes.
            self.text.truncate(new);
            return;
        };
        let (mut start, mut unseen) = (line, new);
        let mut continues = None;
        loop {
            let window = self.text.len().min(start + MAX_RECORD + 1);
            let (marks, count, end) = match memrchr(b'\n', &self.text[unseen..window]) {
                Some(last) => {
                    let end = unseen + last + 1;
                    let lines = memchr_iter(b'\n', &self.text[unseen..end]).count();
                    (Marks::default(), lines as u32, end)
                }
                None if window - start > MAX_RECORD => (Marks::CONTINUES, 1, start + MAX_RECORD),
                None => break,
            };
            self.push_run(key, marks, count, start..end, at);
            continues = Some(marks == Marks::CONTINUES);
            start = end;
            unseen = unseen.max(end);
        }
        self.open = Some((key, start));
        let unfinished = start < self.text.len();
        let Some(state) = self.state(key) else { return };
        let was_waiting = state.waiting.is_some();
        let first = match state.waiting {
            Some(waiting) if continues.is_none() => waiting.first,
            _ => at,
        };
        state.waiting = unfinished.then_some(Waiting { first, last: at });
        state.continues = continues.unwrap_or(state.continues);
        match (was_waiting, unfinished) {
            (false, true) => self.unfinished.push(key),
            (true, false) => self.unfinished.retain(|&other| other != key),
            _ => {}
        }
        self.publish_if_large();
    }

    fn push_run(
        &mut self,
        (id, stream): Key,
        marks: Marks,
        count: u32,
        bytes: Range<usize>,
        at: Timestamp,
    ) {
        let Some(writing) = self.sources.get(&id) else {
            return;
        };
        let marks = marks | Marks::from(stream);
        // Readers seek by time, so a record is never older than the one before it.
        self.last_at = self.last_at.max(at);
        let (at, first_seq) = (self.last_at, self.next_seq);
        self.next_seq += u64::from(count);
        let (start, end) = (bytes.start as u32, bytes.end as u32);
        if let Some(last) = self.runs.last_mut()
            && (last.at, last.marks) == (at, marks)
            && marks.ends_line()
            && Arc::ptr_eq(&last.source, &writing.source)
        {
            last.count += count;
            last.end = end;
            return;
        }
        self.runs.push(Run {
            source: Arc::clone(&writing.source),
            at,
            marks,
            first_seq,
            count,
            start,
            end,
        });
    }

    fn publish_if_large(&mut self) {
        if self.text.len() >= BATCH_TEXT || self.runs.len() >= BATCH_RUNS {
            self.publish();
        }
    }
}

impl Drop for LogWriter {
    fn drop(&mut self) {
        self.publish();
        self.ring().end_of_records();
    }
}

/// Reads once, straight into the buffer's spare room.
fn read_into(from: BorrowedFd<'_>, buffer: &mut Vec<u8>) -> io::Result<usize> {
    buffer.reserve(READ_SIZE);
    let spare = &mut buffer.spare_capacity_mut()[..READ_SIZE];
    // SAFETY: the pointer and the length are those of memory that the buffer owns, and nobody else reads or writes it meanwhile.
    let read = unsafe { libc::read(from.as_raw_fd(), spare.as_mut_ptr().cast(), spare.len()) };
    let read = usize::try_from(read).map_err(|_| io::Error::last_os_error())?;
    // SAFETY: read(2) has written `read` bytes, at most `spare.len()`, right behind the buffer's bytes.
    unsafe { buffer.set_len(buffer.len() + read) };
    Ok(read)
}
