//! The plugin's own log: what it says through `log`, and what its runtime prints.
//!
//! Whatever a guest says is bounded and stripped here, before anybody sees it. Who keeps it, shows it and masks secrets in it is a
//! [`Receiver`].

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// The longest line; the rest is cut. Stops a plugin from filling the disk with few lines.
const LINE: usize = 8 * 1024;
/// Lines a second, over time; stops it from doing so with many.
const RATE: f64 = 200.0;
/// Lines at once.
const BURST: f64 = 1_000.0;
/// Fields of one line.
const FIELDS: usize = 32;
/// How many of the last lines are kept for what is said about a crash.
const TAIL: usize = 10;

/// How much a line matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Steps of the plugin's inner life.
    Trace,
    /// What helps to find a mistake.
    Debug,
    /// What happened.
    Info,
    /// What should not happen and was dealt with.
    Warn,
    /// What went wrong and was not.
    Error,
}

/// A line, bounded and without control characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// How much it matters.
    pub level: Level,
    /// What it says.
    pub message: String,
    /// What else it says, by name.
    pub fields: Vec<(String, String)>,
}

/// Who gets the lines of a plugin.
pub trait Receiver: Send + Sync {
    /// Whether lines of this level are kept.
    fn is_enabled(&self, level: Level) -> bool;
    /// Keeps a line; must not block, because a guest waits.
    fn line(&self, line: Line);
}

/// Keeps nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silence;

impl Receiver for Silence {
    fn is_enabled(&self, _level: Level) -> bool {
        false
    }

    fn line(&self, _line: Line) {}
}

/// The log of one instance.
pub(crate) struct PluginLog {
    receiver: Arc<dyn Receiver>,
    inner: Mutex<Inner>,
}

struct Inner {
    tail: VecDeque<String>,
    tokens: f64,
    filled: Instant,
    dropped: u64,
    streams: [Vec<u8>; 2],
}

/// Where a runtime prints.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Stream {
    Stdout,
    Stderr,
}

impl PluginLog {
    pub(crate) fn new(receiver: Arc<dyn Receiver>) -> Self {
        Self {
            receiver,
            inner: Mutex::new(Inner {
                tail: VecDeque::new(),
                tokens: BURST,
                filled: Instant::now(),
                dropped: 0,
                streams: [Vec::new(), Vec::new()],
            }),
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn is_enabled(&self, level: Level) -> bool {
        self.receiver.is_enabled(level)
    }

    /// Writes a line.
    pub(crate) fn write(&self, level: Level, message: &str, fields: Vec<(String, String)>) {
        let fields = fields.into_iter().take(FIELDS);
        let line = Line {
            level,
            message: clean(message, LINE),
            fields: fields
                .map(|(name, value)| (clean(&name, 64), clean(&value, LINE)))
                .collect(),
        };
        let mut inner = self.inner();
        inner.remember(&line.message);
        if !self.receiver.is_enabled(level) || !inner.admit() {
            return;
        }
        let dropped = std::mem::take(&mut inner.dropped);
        drop(inner);
        if dropped > 0 {
            self.receiver.line(Line {
                level: Level::Warn,
                message: format!(
                    "{dropped} lines of this plugin were dropped: it may write {RATE} a second"
                ),
                fields: Vec::new(),
            });
        }
        self.receiver.line(line);
    }

    /// Takes what a runtime printed, in any pieces.
    pub(crate) fn print(&self, stream: Stream, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let end = bytes.iter().position(|byte| *byte == b'\n');
            let (piece, rest) = bytes.split_at(end.unwrap_or(bytes.len()));
            let mut inner = self.inner();
            let pending = &mut inner.streams[stream as usize];
            let room = LINE.saturating_sub(pending.len()).min(piece.len());
            pending.extend_from_slice(&piece[..room]);
            drop(inner);
            if end.is_some() {
                self.end_line(stream);
            }
            bytes = rest.strip_prefix(b"\n").unwrap_or(rest);
        }
    }

    fn end_line(&self, stream: Stream) {
        let line = std::mem::take(&mut self.inner().streams[stream as usize]);
        let level = match stream {
            Stream::Stdout => Level::Info,
            Stream::Stderr => Level::Warn,
        };
        self.write(level, &String::from_utf8_lossy(&line), Vec::new());
    }

    /// Ends the lines that have no end, at the end of a call.
    pub(crate) fn flush(&self) {
        for stream in [Stream::Stdout, Stream::Stderr] {
            if !self.inner().streams[stream as usize].is_empty() {
                self.end_line(stream);
            }
        }
    }

    /// The last lines, oldest first, also those that nobody wanted.
    pub(crate) fn tail(&self) -> Vec<String> {
        self.inner().tail.iter().cloned().collect()
    }
}

impl Inner {
    fn remember(&mut self, message: &str) {
        if message.is_empty() {
            return;
        }
        if self.tail.len() == TAIL {
            self.tail.pop_front();
        }
        self.tail.push_back(message.to_owned());
    }

    fn admit(&mut self) -> bool {
        let now = Instant::now();
        let since = now.saturating_duration_since(self.filled);
        self.filled = now;
        self.tokens = (self.tokens + refill(since)).min(BURST);
        if self.tokens < 1.0 {
            self.dropped += 1;
            return false;
        }
        self.tokens -= 1.0;
        true
    }
}

fn refill(since: Duration) -> f64 {
    since.as_secs_f64() * RATE
}

/// One line of a guest's text, at most `max` bytes, that cannot move a cursor, change a colour or turn the direction of writing.
pub(crate) fn clean(text: &str, max: usize) -> String {
    let mut clean = String::with_capacity(text.len().min(max));
    for c in text.chars() {
        let c = match c {
            '\t' | '\n' | '\r' => ' ',
            c if c.is_control() || turns(c) => continue,
            c => c,
        };
        if clean.len() + c.len_utf8() > max {
            break;
        }
        clean.push(c);
    }
    clean
}

/// Whether a character makes the text around it look like another (Trojan Source).
fn turns(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{061c}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}
