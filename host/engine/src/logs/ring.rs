//! The recent batches of a running build, and who waits for whom.
//!
//! The capture loop pushes; the recorder takes all and says what is safely in the file; each reader is a place in the numbers.
//! A batch goes when it is in the file and every reader has passed it, or the ring is full. The writer waits only for
//! the recorder; where there is no file, for the readers that said they need every record.
//!
//! Nothing here reads or writes a file.

use super::{batch::Batch, lines::TEXT_CAPACITY};
use std::{
    collections::VecDeque,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// How much memory recent batches may take before the writer waits.
const LIMIT: usize = 4 * 1024 * 1024;

/// How much the recorder lets gather before it is woken early.
const WAKE_AT: usize = 128 * 1024;

/// How long a record or an event may stay out of the file once the recorder runs. With the time until it does, 200 ms.
pub(super) const WRITE_WITHIN: Duration = Duration::from_millis(180);

/// How much of the events that no file took is kept for a last try at the end.
const UNWRITTEN_EVENTS: usize = 1024 * 1024;

/// Buffers that are kept for the writer; the ring never holds many more large ones.
const SPARE_BUFFERS: usize = 8;

/// Whether the writer waits for a reader where there is no file that the reader could fall back to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// The reader must get every record.
    Required,
    /// The reader may miss records, and is told which.
    Optional,
}

#[derive(Debug)]
struct Cursor {
    at: u64,
    need: Need,
    /// How many events there were when it last looked.
    events_seen: u64,
}

/// A frame of the file that a reader may fall back to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Located {
    pub(super) offset: u64,
    pub(super) len: u64,
    pub(super) first: u64,
    pub(super) count: u32,
}

/// When the recorder wants to be woken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sleep {
    Awake,
    /// By anything.
    Idle,
    /// Not by less than [`WAKE_AT`]: it has a deadline.
    Gathering,
}

struct State {
    batches: VecDeque<Arc<Batch>>,
    cost: usize,
    /// The number that the next record will get.
    end: u64,
    /// The writer is gone.
    ended: bool,
    /// The events that the recorder has not taken.
    events: Vec<u8>,
    /// How many events there were.
    event_count: u64,
    /// The recorder shall write at once.
    urgent: bool,
    finishing: bool,
    /// The number up to which the recorder has taken records, and how many bytes came since.
    taken: u64,
    untaken: usize,
    /// The number up to which records are in the file.
    written: u64,
    has_file: bool,
    frames: Vec<Located>,
    sleep: Sleep,
    cursors: Vec<Option<Cursor>>,
    readers_waiting: usize,
    writer_waiting: bool,
    /// The writer must not wait any more.
    writer_hurries: bool,
    spare: Vec<Vec<u8>>,
}

/// What the recorder is to do now.
pub(super) struct Work {
    pub(super) batches: Vec<Arc<Batch>>,
    pub(super) events: Vec<u8>,
    /// Write what there is, be it little.
    pub(super) flush: bool,
    /// Nothing will follow.
    pub(super) finish: bool,
}

/// What a reader finds at its place.
pub(super) enum Found {
    Batch(Arc<Batch>),
    /// The ring has moved on; this frame has it.
    Frame(Located),
    /// Nobody has it: records up to this number are missed.
    Gap(u64),
    Idle,
    End,
}

/// See the module.
pub(super) struct Ring {
    state: Mutex<State>,
    for_recorder: Condvar,
    for_writer: Condvar,
    for_readers: Condvar,
}

impl Ring {
    pub(super) fn new(has_file: bool) -> Self {
        Self {
            state: Mutex::new(State {
                batches: VecDeque::new(),
                cost: 0,
                end: 0,
                ended: false,
                events: Vec::new(),
                event_count: 0,
                urgent: false,
                finishing: false,
                taken: 0,
                untaken: 0,
                written: 0,
                has_file,
                frames: Vec::new(),
                sleep: Sleep::Awake,
                cursors: Vec::new(),
                readers_waiting: 0,
                writer_waiting: false,
                writer_hurries: false,
                spare: Vec::new(),
            }),
            for_recorder: Condvar::new(),
            for_writer: Condvar::new(),
            for_readers: Condvar::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code panics while it holds the lock, and a log that goes on is worth more than one that is certainly consistent.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An empty buffer for the next batch's text.
    pub(super) fn spare_buffer(&self) -> Vec<u8> {
        self.lock().spare.pop().unwrap_or_default()
    }

    /// Adds a batch, once there is room for it.
    pub(super) fn push(&self, batch: Batch) {
        let mut state = self.lock();
        state.evict();
        while state.cost >= LIMIT && !state.finishing && !state.writer_hurries {
            state.writer_waiting = true;
            // What the recorder has taken and gathers takes the room: it must not wait for more.
            state.urgent |= state.taken == state.end;
            self.for_recorder.notify_one();
            state = self
                .for_writer
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
            state.evict();
        }
        state.writer_waiting = false;
        state.cost += batch.cost();
        state.untaken += batch.text.len() + size_of::<Batch>();
        state.end = batch.end_seq();
        state.batches.push_back(Arc::new(batch));
        self.wake(&state);
    }

    /// Takes from now on what comes, whether there is room or not.
    pub(super) fn stop_waiting(&self) {
        self.lock().writer_hurries = true;
    }

    /// Whether a batch could be added without waiting; waits so long for that to become true.
    pub(super) fn wait_for_room(&self, most: Duration) -> bool {
        let mut state = self.lock();
        if state.cost >= LIMIT {
            state.evict();
        }
        if state.cost >= LIMIT && !state.finishing {
            state.writer_waiting = true;
            state.urgent |= state.taken == state.end;
            self.for_recorder.notify_one();
            state = self
                .for_writer
                .wait_timeout(state, most)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
            state.evict();
            state.writer_waiting = false;
        }
        state.cost < LIMIT || state.finishing
    }

    /// No record follows.
    pub(super) fn end_of_records(&self) {
        let mut state = self.lock();
        state.ended = true;
        self.wake(&state);
    }

    /// Adds an event: a line of JSON without its line end.
    pub(super) fn push_event(&self, line: &[u8]) {
        let mut state = self.lock();
        state.event_count += 1;
        if !state.has_file && state.events.len() + line.len() > UNWRITTEN_EVENTS {
            return self.wake(&state);
        }
        // The first event says what the build is: a build that dies young shall at least be known by name.
        state.urgent |= state.event_count == 1;
        state.events.extend_from_slice(line);
        state.events.push(b'\n');
        self.wake(&state);
    }

    /// No event follows, and no record that anybody waits for.
    pub(super) fn finish(&self) -> u64 {
        let mut state = self.lock();
        state.ended = true;
        state.finishing = true;
        self.wake(&state);
        self.for_writer.notify_all();
        state.end
    }

    fn wake(&self, state: &State) {
        let wake_recorder = match state.sleep {
            Sleep::Awake => false,
            Sleep::Idle => state.has_something() || state.finishing,
            Sleep::Gathering => state.hurries(),
        };
        if wake_recorder {
            self.for_recorder.notify_one();
        }
        if state.readers_waiting > 0 {
            self.for_readers.notify_all();
        }
    }

    /// Makes the recorder write at once.
    pub(super) fn hurry(&self) {
        self.lock().urgent = true;
    }

    /// Whether the recorder is to write at once, or has a lot to do.
    pub(super) fn hurries(&self) -> bool {
        self.lock().hurries()
    }

    /// Waits until the recorder has something to do. `deadline` is by when it must write what it has taken before.
    pub(super) fn work(&self, deadline: &mut Option<Instant>) -> Work {
        let mut state = self.lock();
        let flush = loop {
            // Also of what is taken at once, because it is not written at once.
            if deadline.is_none() && state.has_something() {
                *deadline = Some(now() + WRITE_WITHIN);
            }
            if state.hurries() {
                break state.urgent || state.finishing;
            }
            let Some(by) = *deadline else {
                state.sleep = Sleep::Idle;
                state = self
                    .for_recorder
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let left = by.saturating_duration_since(now());
            if left.is_zero() {
                break true;
            }
            state.sleep = Sleep::Gathering;
            state = self
                .for_recorder
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        };
        state.sleep = Sleep::Awake;
        state.urgent = false;
        state.untaken = 0;
        let first = state
            .batches
            .partition_point(|batch| batch.end_seq() <= state.taken);
        let batches = if state.has_file {
            state.batches.range(first..).map(Arc::clone).collect()
        } else {
            Vec::new()
        };
        state.taken = state.end;
        Work {
            batches,
            events: std::mem::take(&mut state.events),
            flush,
            finish: state.finishing,
        }
    }

    /// These frames are in the file now.
    pub(super) fn written(&self, frames: &[Located]) {
        let mut state = self.lock();
        state.frames.extend_from_slice(frames);
        if let Some(last) = frames.last() {
            state.written = last.first + u64::from(last.count);
        }
        state.evict();
        if state.writer_waiting {
            self.for_writer.notify_one();
        }
    }

    /// There is no file any more. Returns the number up to which records are in what there is of it.
    pub(super) fn file_is_gone(&self) -> u64 {
        let mut state = self.lock();
        state.has_file = false;
        state.evict();
        self.for_writer.notify_all();
        state.written
    }

    pub(super) fn add_cursor(&self, need: Need) -> usize {
        let mut state = self.lock();
        let events_seen = state.event_count;
        let cursor = Some(Cursor {
            at: 0,
            need,
            events_seen,
        });
        match state.cursors.iter().position(Option::is_none) {
            Some(place) => {
                state.cursors[place] = cursor;
                place
            }
            None => {
                state.cursors.push(cursor);
                state.cursors.len() - 1
            }
        }
    }

    pub(super) fn drop_cursor(&self, place: usize) {
        let mut state = self.lock();
        state.cursors[place] = None;
        state.evict();
        if state.writer_waiting {
            self.for_writer.notify_one();
        }
    }

    /// What is at the place of a reader; waits so long for something to come. A batch and a gap move the reader on. An event
    /// ends the wait, too: who shows records shows events beside them.
    pub(super) fn read(&self, place: usize, wait: Duration) -> Found {
        let mut state = self.lock();
        if !state.ended && state.at(place) >= state.end && !wait.is_zero() {
            state.readers_waiting += 1;
            state = self
                .for_readers
                .wait_timeout_while(state, wait, |state| {
                    !state.ended && state.at(place) >= state.end && !state.has_news_for(place)
                })
                .unwrap_or_else(PoisonError::into_inner)
                .0;
            state.readers_waiting -= 1;
        }
        let event_count = state.event_count;
        if let Some(cursor) = &mut state.cursors[place] {
            cursor.events_seen = event_count;
        }
        let at = state.at(place);
        if at >= state.end {
            return if state.ended { Found::End } else { Found::Idle };
        }
        let batch = state.batches.partition_point(|batch| batch.end_seq() <= at);
        if let Some(batch) = state.batches.get(batch)
            && batch.first_seq() <= at
        {
            let batch = Arc::clone(batch);
            self.move_to(&mut state, place, batch.end_seq());
            return Found::Batch(batch);
        }
        let frame = state
            .frames
            .partition_point(|frame| frame.first + u64::from(frame.count) <= at);
        if let Some(&frame) = state.frames.get(frame)
            && frame.first <= at
        {
            return Found::Frame(frame);
        }
        let next = state
            .batches
            .front()
            .map_or(state.end, |batch| batch.first_seq());
        self.move_to(&mut state, place, next);
        Found::Gap(next)
    }

    /// Moves a reader that has read from the file.
    pub(super) fn advance(&self, place: usize, to: u64) {
        let mut state = self.lock();
        self.move_to(&mut state, place, to);
    }

    fn move_to(&self, state: &mut State, place: usize, to: u64) {
        if let Some(cursor) = &mut state.cursors[place] {
            cursor.at = to;
        }
        if state.writer_waiting {
            self.for_writer.notify_one();
        }
    }
}

impl State {
    fn has_something(&self) -> bool {
        self.has_file && (self.taken < self.end || !self.events.is_empty())
    }

    fn hurries(&self) -> bool {
        self.finishing
            || self.has_file && (self.urgent || self.untaken + self.events.len() >= WAKE_AT)
    }

    /// Whether events came since this reader last looked.
    fn has_news_for(&self, place: usize) -> bool {
        self.cursors[place]
            .as_ref()
            .is_some_and(|cursor| cursor.events_seen < self.event_count)
    }

    fn at(&self, place: usize) -> u64 {
        self.cursors[place].as_ref().map_or(0, |cursor| cursor.at)
    }

    /// Lets go of the oldest batches: those that nobody needs, and if there are too many those that readers find in the file.
    fn evict(&mut self) {
        let cursors = || self.cursors.iter().flatten();
        let slowest = cursors().map(|cursor| cursor.at).min().unwrap_or(u64::MAX);
        let needed = if self.has_file {
            self.written
        } else {
            cursors()
                .filter(|cursor| cursor.need == Need::Required)
                .map(|cursor| cursor.at)
                .min()
                .unwrap_or(u64::MAX)
        };
        while let Some(oldest) = self.batches.front() {
            let end = oldest.end_seq();
            if end > needed || (end > slowest && self.cost < LIMIT) {
                break;
            }
            self.cost -= oldest.cost();
            if let Some(oldest) = self.batches.pop_front()
                && let Ok(batch) = Arc::try_unwrap(oldest)
                && batch.text.capacity() == TEXT_CAPACITY
                && self.spare.len() < SPARE_BUFFERS
            {
                let mut text = batch.text;
                text.clear();
                self.spare.push(text);
            }
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "only for how long a condition variable waits, which takes the standard library's own clock"
)]
fn now() -> Instant {
    Instant::now()
}
