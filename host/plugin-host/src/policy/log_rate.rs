//! The plugin's own log: how much of it is kept, and how it is made fit to be shown.
//!
//! A line that is too long is cut, one too many is dropped and counted. Where lines go is not decided here, and secrets are hidden
//! elsewhere, before.

use super::rate::Rate;
use piper_core::time::Monotonic;

/// Lines a second; more is a flood that hides what matters.
pub const LINES_PER_SECOND: u32 = 200;

/// Lines at once: what a stack trace with its surroundings has.
pub const BURST: u32 = 1000;

/// The longest line, in bytes.
pub const MAX_LINE: usize = 8 * 1024;

/// What stands at the end of a line that was cut.
const CUT: &str = " … (cut)";

/// The state of one plugin's log.
#[derive(Debug, Clone)]
pub struct LogRate {
    rate: Rate,
    dropped: u64,
}

/// A line that is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// What is to be said before it of the lines that were not kept, if any were not.
    pub notice: Option<String>,
    /// The line, without control characters and not too long.
    pub line: String,
}

impl Default for LogRate {
    fn default() -> Self {
        Self {
            rate: Rate::new(LINES_PER_SECOND, BURST),
            dropped: 0,
        }
    }
}

impl LogRate {
    /// Takes the next line, which may have any bytes; nothing if there are too many.
    pub fn push(&mut self, line: &[u8], now: Monotonic) -> Option<Kept> {
        if self.rate.take(now).is_err() {
            self.dropped = self.dropped.saturating_add(1);
            return None;
        }
        Some(Kept {
            notice: self.finish(),
            line: clean(line),
        })
    }

    /// What is to be said of the lines that were dropped since it was last said, if any were.
    pub fn finish(&mut self) -> Option<String> {
        match std::mem::take(&mut self.dropped) {
            0 => None,
            1 => Some("1 line dropped".to_owned()),
            dropped => Some(format!("{dropped} lines dropped")),
        }
    }
}

/// Cuts a line and takes out what a terminal would obey; a line end inside becomes a space.
fn clean(line: &[u8]) -> String {
    // Some bytes more, since control characters fall away; not all of what may be megabytes.
    let read = &line[..line.len().min(2 * MAX_LINE)];
    let mut clean = String::with_capacity(read.len().min(MAX_LINE));
    let text = String::from_utf8_lossy(read);
    let mut is_cut = read.len() < line.len();
    for letter in text.trim_end_matches(['\r', '\n']).chars() {
        let letter = match letter {
            '\n' | '\t' => ' ',
            _ if letter.is_control() || is_invisible(letter) => continue,
            _ => letter,
        };
        if clean.len() + letter.len_utf8() > MAX_LINE - CUT.len() {
            is_cut = true;
            break;
        }
        clean.push(letter);
    }
    if is_cut {
        clean.push_str(CUT);
    }
    clean
}

/// Letters that change how others are shown: text that turns around, and separators that some take for line ends.
fn is_invisible(letter: char) -> bool {
    matches!(letter, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{2028}' | '\u{2029}' | '\u{200e}' | '\u{200f}' | '\u{61c}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::Duration;
    use test_case::test_case;

    fn at(millis: u64) -> Monotonic {
        Monotonic(Duration::from_millis(millis))
    }

    #[test]
    fn a_flood_is_dropped_and_counted() {
        let mut log = LogRate::default();
        let kept = (0..1500)
            .filter(|_| log.push(b"x", at(0)).is_some())
            .count();
        assert_eq!(kept, 1000);
        let next = log.push(b"y", at(1000)).unwrap();
        assert_eq!(next.notice.as_deref(), Some("500 lines dropped"));
        assert_eq!(log.push(b"z", at(1000)).unwrap().notice, None, "said once");
        let kept = (0..500)
            .filter(|_| log.push(b"x", at(1000)).is_some())
            .count();
        assert_eq!(kept, 198, "what was earned in a second");
        assert_eq!(log.finish().as_deref(), Some("302 lines dropped"));
        assert_eq!(log.finish(), None);
    }

    #[test_case(b"plain", "plain")]
    #[test_case(b"two\nlines\r\n", "two lines")]
    #[test_case(b"\x1b[2Jgone\x07", "[2Jgone"; "escape sequences")]
    #[test_case("a\u{9b}31mb\u{202e}c".as_bytes(), "a31mbc"; "one letter that begins a sequence, and text that turns around")]
    #[test_case(b"a\xffb", "a\u{fffd}b"; "no text")]
    fn a_line_is_made_harmless(line: &[u8], expected: &str) {
        assert_eq!(LogRate::default().push(line, at(0)).unwrap().line, expected);
    }

    #[test]
    fn a_line_that_is_too_long_says_so() {
        let long = clean(&[b'x'; 1 << 20]);
        assert!(long.len() <= MAX_LINE && long.ends_with("x … (cut)"));
        assert!(!clean(&[b'x'; MAX_LINE - 10]).ends_with(CUT));
    }

    proptest! {
        #[test]
        fn any_bytes_become_one_short_line(line in proptest::collection::vec(any::<u8>(), 0..64), times in 1_usize..1000) {
            let clean = clean(&line.repeat(times));
            prop_assert!(clean.len() <= MAX_LINE);
            prop_assert!(!clean.contains(char::is_control));
        }
    }
}
