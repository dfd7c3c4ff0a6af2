//! The plugin's own log: what it says through `log`, and what its runtime prints.
//!
//! Whatever a guest says is bounded and stripped here, and the values of its secrets hidden, before anybody sees it. Who keeps and
//! shows it is a [`Receiver`].

use crate::{
    mask::Mask,
    policy::{
        limit::{Limit, Reached},
        rate::Rate,
    },
};
use piper_core::time::Monotonic;
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::time::Instant;

/// The longest line, its fields with it; the rest is cut. Stops a plugin from filling the disk with few lines.
const LINE: usize = 8 * 1024;
/// How much of a line is looked at: a secret is hidden before the line is cut, so that no half of one is left at the end.
const SEEN: usize = 4 * LINE;
/// How many times as many lines as in a second may come at once: what a stack trace with its surroundings has.
const BURST: u32 = 5;
/// Fields of one line, and how long the name of one may be.
const FIELDS: usize = 32;
const NAME: usize = 64;
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
    mask: Mask,
    rate: Reached,
    began: Instant,
    inner: Mutex<Inner>,
}

struct Inner {
    tail: VecDeque<String>,
    rate: Rate,
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
    /// `rate` is how many lines it may write a second.
    pub(crate) fn new(receiver: Arc<dyn Receiver>, mask: Mask, rate: usize) -> Self {
        let per_second = u32::try_from(rate).unwrap_or(u32::MAX);
        Self {
            receiver,
            mask,
            rate: Reached::of(Limit::LogRate, rate),
            began: Instant::now(),
            inner: Mutex::new(Inner {
                tail: VecDeque::new(),
                rate: Rate::new(per_second, per_second.saturating_mul(BURST)),
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
        let message = self.shown(message, LINE);
        let mut room = LINE - message.len();
        let mut shown = |text: &str, most: usize| {
            let shown = self.shown(text, most.min(room));
            room -= shown.len();
            shown
        };
        let fields = fields.into_iter().take(FIELDS);
        let fields = fields.map(|(name, value)| (shown(&name, NAME), shown(&value, LINE)));
        let fields = fields
            .filter(|(name, value)| !name.is_empty() || !value.is_empty())
            .collect();
        let line = Line {
            level,
            message,
            fields,
        };
        let now = Monotonic(self.began.elapsed());
        let mut inner = self.inner();
        inner.remember(&line.message);
        if !self.receiver.is_enabled(level) || !inner.admit(now) {
            return;
        }
        drop(inner);
        self.tell_dropped();
        self.receiver.line(line);
    }

    /// Says how many lines are missing since it was last said, if any are.
    fn tell_dropped(&self) {
        let dropped = std::mem::take(&mut self.inner().dropped);
        if dropped == 0 {
            return;
        }
        let mut message = format!(
            "{dropped} lines of this plugin were dropped ({})",
            self.rate
        );
        if let Some(line) = self.rate.line() {
            message.push_str(&format!(
                "; `{line}` in its table of plugins.toml allows more"
            ));
        }
        self.receiver.line(Line {
            level: Level::Warn,
            message,
            fields: Vec::new(),
        });
    }

    /// A text as it may be shown. It is masked twice: what is stripped may have parted a secret, or been a part of one.
    fn shown(&self, text: &str, max: usize) -> String {
        let Some(masker) = self.mask.masker() else {
            return clean(text, max);
        };
        let seen = &text[..text.floor_char_boundary(SEEN)];
        let stripped = clean(&masker.text(seen.to_owned()), SEEN);
        clean(&masker.text(stripped), max)
    }

    /// Takes what a runtime printed, in any pieces.
    pub(crate) fn print(&self, stream: Stream, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let end = bytes.iter().position(|byte| *byte == b'\n');
            let (piece, rest) = bytes.split_at(end.unwrap_or(bytes.len()));
            let mut inner = self.inner();
            let pending = &mut inner.streams[stream as usize];
            let room = SEEN.saturating_sub(pending.len()).min(piece.len());
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

    /// Ends the lines that have no end and says what is missing, at the end of a call.
    pub(crate) fn flush(&self) {
        for stream in [Stream::Stdout, Stream::Stderr] {
            if !self.inner().streams[stream as usize].is_empty() {
                self.end_line(stream);
            }
        }
        self.tell_dropped();
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

    fn admit(&mut self, now: Monotonic) -> bool {
        let is_admitted = self.rate.take(now).is_ok();
        if !is_admitted {
            self.dropped += 1;
        }
        is_admitted
    }
}

/// What stands at the end of a line that was cut.
const CUT: &str = " … (cut)";

/// One line of a guest's text, at most `max` bytes, that cannot move a cursor, change a colour or turn the direction of writing.
pub(crate) fn clean(text: &str, max: usize) -> String {
    let mut clean = String::with_capacity(text.len().min(max));
    for c in text.chars() {
        let c = match c {
            '\t' | '\n' | '\r' => ' ',
            c if c.is_control() || is_invisible(c) => continue,
            c => c,
        };
        if clean.len() + c.len_utf8() > max {
            // A name or a code is too short to say so.
            if let Some(room) = max.checked_sub(4 * CUT.len()) {
                clean.truncate(clean.floor_char_boundary(room + 3 * CUT.len()));
                clean.push_str(CUT);
            }
            break;
        }
        clean.push(c);
    }
    clean
}

/// Whether a character changes how others are shown (Trojan Source), or is taken for the end of a line by some.
fn is_invisible(c: char) -> bool {
    matches!(
        c,
        '\u{200e}' | '\u{200f}' | '\u{061c}' | '\u{feff}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::Duration;
    use test_case::test_case;
    use tokio::time::advance;

    #[derive(Default)]
    struct Kept(Mutex<Vec<String>>);

    impl Receiver for Kept {
        fn is_enabled(&self, _: Level) -> bool {
            true
        }

        fn line(&self, line: Line) {
            self.0.lock().unwrap().push(line.message);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_is_dropped_and_counted() {
        let kept = Arc::new(Kept::default());
        let log = PluginLog::new(kept.clone(), Mask::default(), 200);
        let count = || std::mem::take(&mut *kept.0.lock().unwrap()).len();
        for _ in 0..1_500 {
            log.write(Level::Info, "x", Vec::new());
        }
        assert_eq!(count(), 1_000);
        advance(Duration::from_secs(1)).await;
        for _ in 0..500 {
            log.write(Level::Info, "x", Vec::new());
        }
        let first = kept.0.lock().unwrap()[0].clone();
        assert_eq!(
            first,
            "500 lines of this plugin were dropped (log-rate: 200 a second); `limits.log-rate = 400` in its table of plugins.toml allows more"
        );
        assert_eq!(
            count(),
            201,
            "what was earned in a second, and what is said of the others"
        );
        log.flush();
        let last = kept.0.lock().unwrap().pop();
        assert!(last.is_some_and(|last| last.starts_with("300 lines of this plugin were dropped")));
        log.flush();
        assert_eq!(count(), 0, "it is said once");
    }

    #[test_case("plain", "plain")]
    #[test_case("two\nlines\ttab", "two lines tab"; "line ends and tabs")]
    #[test_case("\x1b[2Jgone\x07", "[2Jgone"; "escape sequences")]
    #[test_case("a\u{9b}31mb\u{202e}c\u{2028}d", "a31mbcd"; "one letter that begins a sequence, and text that turns around")]
    fn a_line_is_made_harmless(text: &str, expected: &str) {
        assert_eq!(clean(text, LINE), expected);
    }

    #[test]
    fn a_line_that_is_too_long_says_so() {
        let long = clean(&"x".repeat(1 << 20), LINE);
        assert!(long.len() <= LINE && long.ends_with("x … (cut)"));
        assert_eq!(clean(&"x".repeat(LINE), LINE).len(), LINE);
        assert_eq!(clean("abcdef", 3), "abc", "a name is only cut");
    }

    proptest! {
        #[test]
        fn any_text_becomes_one_short_line(text in any::<String>(), times in 1_usize..50, max in 0_usize..400) {
            let clean = clean(&text.repeat(times), max);
            prop_assert!(clean.len() <= max);
            prop_assert!(!clean.contains(char::is_control));
        }
    }
}
