//! What a step prints can never damage what piper prints.
//!
//! A [`Sanitizer`] sees the bytes of one stream of one try, cut anywhere, and lets pass what its [`Policy`] allows. It knows
//! nothing of prefixes, streams and terminals.

use super::sgr::Look;
use std::borrow::Cow;

/// The longest sequence that is looked at. All colours at once take some 60 bytes.
const MAX_SEQUENCE: usize = 96;

const ESC: u8 = 0x1b;
const REPLACEMENT: &[u8] = "\u{fffd}".as_bytes();

/// What passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// Everything.
    Pass,
    /// Everything but colours: the very bytes of the program, as if it had not been told to print colours.
    WithoutColor,
    /// Text, tabs and colours; nothing else reaches a terminal.
    Terminal {
        /// Whether colours pass.
        color: bool,
        /// What a carriage return does.
        returns: Returns,
    },
}

/// What a carriage return does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Returns {
    /// Goes back to the beginning of the line, as on any terminal.
    Pass,
    /// What follows replaces what stood in the line.
    Replace,
}

/// What the bytes seen so far have begun and not ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Text,
    /// After ESC.
    Escape,
    /// After ESC and an intermediate byte: one final byte follows.
    Intermediate,
    /// After `ESC [`; `held` has the parameters.
    Control {
        /// Still nothing but digits, semicolons and colons, and not too many.
        colors: bool,
    },
    /// In a string (title, hyperlink, device control): up to BEL or ST.
    String,
    /// After ESC in a string.
    StringEscape,
    /// In a character of several bytes; `held` has the beginning.
    Character {
        need: usize,
    },
}

/// Lets bytes of one stream pass as its policy says.
#[derive(Debug, Clone)]
pub struct Sanitizer {
    policy: Policy,
    state: State,
    held: [u8; MAX_SEQUENCE],
    held_len: usize,
    /// The look that the step asked for.
    wanted: Look,
    /// The look that the output has.
    current: Look,
    /// Whether the two differ; comparing them for each piece of text would cost more than the text.
    unsettled: bool,
    /// A carriage return came; what follows replaces the line.
    returned: bool,
}

impl Sanitizer {
    /// A sanitizer at the beginning of a stream.
    pub fn new(policy: Policy) -> Self {
        Self {
            policy,
            state: State::Text,
            held: [0; MAX_SEQUENCE],
            held_len: 0,
            wanted: Look::default(),
            current: Look::default(),
            unsettled: false,
            returned: false,
        }
    }

    /// One with the same policy, at the beginning of a stream.
    pub fn fresh(&self) -> Self {
        Self::new(self.policy)
    }

    /// Adds what passes of `text` to `out`. The line began at `line_start` of `out`.
    pub fn push(&mut self, text: &[u8], out: &mut Vec<u8>, line_start: usize) {
        match self.policy {
            Policy::Pass => out.extend_from_slice(text),
            Policy::WithoutColor => self.push_without_color(text, out),
            Policy::Terminal { color, returns } => {
                if self.is_idle() && is_plain(text) {
                    out.extend_from_slice(text);
                } else {
                    let mut line = Line {
                        out,
                        start: line_start,
                    };
                    self.push_to_terminal(text, &mut line, color, returns);
                }
            }
        }
    }

    /// Whether these whole lines would pass as they are, all of them, for sure.
    pub fn lets_pass(&self, lines: &[u8]) -> bool {
        match self.policy {
            Policy::Pass => true,
            Policy::WithoutColor => self.held_len == 0 && memchr::memchr(ESC, lines).is_none(),
            Policy::Terminal { .. } => false,
        }
    }

    /// Ends a line: nothing that it began goes on, except its colours, which the next line opens again.
    pub fn end_line(&mut self, out: &mut Vec<u8>) {
        match self.policy {
            Policy::Pass => {}
            Policy::WithoutColor => self.release(out),
            Policy::Terminal { .. } => {
                if let State::Character { .. } = self.state {
                    self.settle(out);
                    out.extend_from_slice(REPLACEMENT);
                }
                self.state = State::Text;
                self.returned = false;
                self.close_colors(out);
            }
        }
    }

    /// Switches colours off in the output; the next text switches them on again.
    pub fn close_colors(&mut self, out: &mut Vec<u8>) {
        Look::default().write_from(&self.current, out);
        self.set_current(Look::default());
    }

    fn set_current(&mut self, look: Look) {
        self.current = look;
        self.unsettled = self.wanted != self.current;
    }

    /// Whether plain text passes as it is.
    fn is_idle(&self) -> bool {
        self.state == State::Text && !self.returned && !self.unsettled
    }

    fn hold(&mut self, byte: u8) -> bool {
        if self.held_len == MAX_SEQUENCE {
            return false;
        }
        self.held[self.held_len] = byte;
        self.held_len += 1;
        true
    }

    /// Lets go what was held, as it came.
    fn release(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.held[..self.held_len]);
        self.held_len = 0;
    }

    fn push_without_color(&mut self, mut text: &[u8], out: &mut Vec<u8>) {
        while let Some(&byte) = text.first() {
            match (self.held_len, byte) {
                (0, _) => {
                    let plain = memchr::memchr(ESC, text).unwrap_or(text.len());
                    out.extend_from_slice(&text[..plain]);
                    text = &text[plain..];
                    if text.is_empty() {
                        return;
                    }
                    self.hold(ESC);
                }
                (1, b'[') => {
                    self.hold(byte);
                }
                (2.., b'm') => self.held_len = 0,
                (2.., b'0'..=b'9' | b';' | b':') if self.hold(byte) => {}
                _ => {
                    self.release(out);
                    continue;
                }
            }
            text = &text[1..];
        }
    }

    fn push_to_terminal(
        &mut self,
        text: &[u8],
        line: &mut Line<'_>,
        color: bool,
        returns: Returns,
    ) {
        let mut at = 0;
        while at < text.len() {
            let byte = text[at];
            // A byte that a state does not understand ends that state and is looked at again.
            let taken = match self.state {
                State::Text => {
                    let run = text_run(&text[at..]);
                    if run > 0 {
                        self.show(&text[at..at + run], line);
                        at += run;
                        continue;
                    }
                    self.begin(byte, line, returns);
                    true
                }
                State::Escape => self.after_escape(byte),
                State::Intermediate => match byte {
                    0x20..=0x2f => true,
                    _ => self.leave(matches!(byte, 0x30..=0x7e)),
                },
                State::Control { colors } => self.in_control(byte, colors, color),
                State::String => {
                    match byte {
                        ESC => self.state = State::StringEscape,
                        // BEL, CAN and SUB.
                        0x07 | 0x18 | 0x1a => self.state = State::Text,
                        _ => {}
                    }
                    true
                }
                State::StringEscape => {
                    if byte == b'\\' {
                        self.leave(true)
                    } else {
                        self.state = State::Escape;
                        false
                    }
                }
                State::Character { need } => self.in_character(byte, need, line),
            };
            at += usize::from(taken);
        }
    }

    /// Goes back to text; says whether the byte was taken.
    fn leave(&mut self, taken: bool) -> bool {
        self.state = State::Text;
        taken
    }

    /// A byte of text that is not plain.
    fn begin(&mut self, byte: u8, line: &mut Line<'_>, returns: Returns) {
        match byte {
            ESC => self.state = State::Escape,
            b'\r' => match returns {
                Returns::Pass => line.out.push(b'\r'),
                Returns::Replace => self.returned = true,
            },
            0xc2..=0xdf => self.begin_character(byte, 2),
            0xe0..=0xef => self.begin_character(byte, 3),
            0xf0..=0xf4 => self.begin_character(byte, 4),
            0x80.. => self.show(REPLACEMENT, line),
            // NUL, BEL, backspace, the shifts, DEL and the like move the cursor or ring.
            _ => {}
        }
    }

    fn begin_character(&mut self, byte: u8, need: usize) {
        self.held_len = 0;
        self.hold(byte);
        self.state = State::Character { need };
    }

    fn after_escape(&mut self, byte: u8) -> bool {
        match byte {
            b'[' => {
                self.held_len = 0;
                self.state = State::Control { colors: true };
                true
            }
            b']' | b'P' | b'X' | b'^' | b'_' => {
                self.state = State::String;
                true
            }
            0x20..=0x2f => {
                self.state = State::Intermediate;
                true
            }
            ESC => true,
            _ => self.leave(matches!(byte, 0x30..=0x7e)),
        }
    }

    fn in_control(&mut self, byte: u8, colors: bool, keep: bool) -> bool {
        match byte {
            b'0'..=b'9' | b';' | b':' => {
                let colors = colors && self.hold(byte);
                self.state = State::Control { colors };
                true
            }
            0x20..=0x3f => {
                self.state = State::Control { colors: false };
                true
            }
            0x40..=0x7e => {
                if byte == b'm' && colors && keep {
                    let params = self.held;
                    self.wanted.apply(&params[..self.held_len]);
                    self.unsettled = self.wanted != self.current;
                }
                self.leave(true)
            }
            _ => self.leave(false),
        }
    }

    fn in_character(&mut self, byte: u8, need: usize, line: &mut Line<'_>) -> bool {
        if !(0x80..=0xbf).contains(&byte) {
            self.show(REPLACEMENT, line);
            return self.leave(false);
        }
        self.hold(byte);
        if self.held_len == need {
            let [a, b, c, d, ..] = self.held;
            match str::from_utf8(&[a, b, c, d][..need]) {
                Ok(character) if character.chars().all(is_harmful) => {}
                Ok(character) => self.show(character.as_bytes(), line),
                Err(_) => self.show(REPLACEMENT, line),
            }
            self.state = State::Text;
        }
        true
    }

    /// Adds text that may be seen, in the look that the step asked for.
    fn show(&mut self, text: &[u8], line: &mut Line<'_>) {
        if self.returned {
            self.returned = false;
            line.out.truncate(line.start);
            self.set_current(Look::default());
        }
        self.settle(line.out);
        line.out.extend_from_slice(text);
    }

    /// Gives the output the look that the step asked for.
    fn settle(&mut self, out: &mut Vec<u8>) {
        if self.unsettled {
            self.wanted.write_from(&self.current, out);
            self.set_current(self.wanted);
        }
    }
}

/// The line that is being written.
struct Line<'a> {
    out: &'a mut Vec<u8>,
    start: usize,
}

/// Whether a character moves, hides or reorders: C1 controls and what switches the direction of writing.
fn is_harmful(character: char) -> bool {
    matches!(character, '\u{80}'..='\u{9f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn is_plain_byte(byte: u8) -> bool {
    (0x20..0x7f).contains(&byte) | (byte == b'\t')
}

/// Whether all of `text` is printable ASCII or tabs. Judges many bytes at once, without a branch on each.
fn is_plain(text: &[u8]) -> bool {
    text.chunks(64).all(|chunk| {
        chunk
            .iter()
            .fold(true, |plain, &byte| plain & is_plain_byte(byte))
    })
}

/// How many bytes at the beginning of `text` may be shown as they are.
fn text_run(text: &[u8]) -> usize {
    let mut run = 0;
    while let Some(&byte) = text.get(run) {
        let rest = &text[run..];
        let len = match byte {
            0x20..0x7f | b'\t' => 1,
            0xc2..=0xdf => character_len(rest, 2),
            0xe0..=0xef => character_len(rest, 3),
            0xf0..=0xf4 => character_len(rest, 4),
            _ => 0,
        };
        if len == 0 {
            break;
        }
        run += len;
    }
    run
}

/// The length of the character at the beginning of `text`; 0 if it is cut, wrong or harmful.
fn character_len(text: &[u8], len: usize) -> usize {
    let character = text.get(..len).and_then(|bytes| str::from_utf8(bytes).ok());
    match character.and_then(|character| character.chars().next()) {
        Some(character) if !is_harmful(character) => len,
        Some(_) | None => 0,
    }
}

/// A name, reason or command as a part of one of piper's own lines: it came from a file that somebody wrote.
pub fn words(text: &str) -> Cow<'_, str> {
    if text.chars().all(|c| c == shown(c)) {
        return Cow::Borrowed(text);
    }
    let clean = text.trim_end().chars().map(|c| match c {
        '\n' | '\t' => ' ',
        c => shown(c),
    });
    Cow::Owned(clean.collect())
}

/// The character, or what is shown of one that would move, ring, hide or reorder: its picture if it has one.
pub(super) fn shown(c: char) -> char {
    match c {
        '\0'..='\x1f' => char::from_u32(0x2400 + u32::from(c)).unwrap_or('\u{fffd}'),
        '\x7f' => '\u{2421}',
        // In a line of its own a mark of direction may stand; here it would reorder what piper says beside it.
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{feff}' => '\u{fffd}',
        c if is_harmful(c) => '\u{fffd}',
        c => c,
    }
}

#[cfg(test)]
mod tests;
