//! Hides secrets in what steps write.
//!
//! A secret is found as it is, line by line if it has several, in the encodings in which tools like to print it, and with colours and
//! other controls in the middle of it: whoever takes those away later would put it together. This is a safety net for mistakes: a
//! step that means to give a secret away can always do so, and nothing here claims otherwise.
//!
//! Every byte that belongs to any occurrence of any pattern is hidden, and each stretch of hidden bytes becomes [`MASK`]. What
//! comes out does not depend on how the input was cut into chunks: bytes that may be the beginning of a pattern, or of a control
//! sequence, are held back until the next ones tell, and no others are.

mod encodings;

use aho_corasick::{
    Anchored, MatchKind,
    automaton::{Automaton, StateID},
    nfa::contiguous::NFA,
};
use std::{
    collections::{BTreeSet, HashMap},
    ops::Range,
};

/// What stands in the place of a secret.
pub const MASK: &str = "***";

/// The shortest text that is hidden, in bytes: a shorter one would be found everywhere.
pub const MIN_SECRET: usize = 6;

/// A secret that is not hidden.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "secret {name} is not masked in the log: it has fewer than {MIN_SECRET} bytes, and masking it would garble the log; use a longer one"
)]
pub struct TooShort {
    /// The secret's name.
    pub name: String,
}

/// Finds and hides a set of secrets.
#[derive(Debug, Clone)]
pub struct Masker {
    found: Option<Found>,
}

#[derive(Debug, Clone)]
struct Found {
    patterns: NFA,
    start: StateID,
    /// How many bytes each state may be in the middle of a pattern with; states that are not here are in none.
    depths: HashMap<StateID, usize>,
    beginnings: Beginnings,
}

/// Which groups of three bytes the patterns begin with: what lets most text pass without a look at each byte.
#[derive(Debug, Clone)]
struct Beginnings {
    /// A bit for each hash of a group.
    groups: Box<[u64; GROUP_BITS / 64]>,
    /// How many groups each pattern begins with.
    stride: usize,
}

/// How many bits there are for groups: eight kilobytes stay in the fastest cache, and some thousand groups leave most bits unset.
const GROUP_BITS: usize = 1 << 16;

const GROUP: usize = 3;

/// Where the masking of one stream stands.
#[derive(Debug, Clone, Default)]
pub struct MaskState {
    state: Option<StateID>,
    /// The end of what was seen, which may be the beginning of a secret.
    held: Vec<u8>,
    /// What of `held` is hidden already, in order and apart.
    hidden: Vec<Range<usize>>,
    /// The byte before `held` was hidden, and its mask written.
    after_mask: bool,
    /// How many of the last bytes of `held` are looked at again without control sequences.
    visible: usize,
    /// There are control sequences among those.
    has_controls: bool,
}

/// What a control sequence begins with.
const ESCAPE: u8 = 0x1b;

/// The longest run of controls, in bytes, that may part a secret.
const CONTROLS: usize = 256;

/// Whether a byte is a control that a terminal shows nothing for; what is shown as an end of a line or a gap parts words for people too.
fn is_control(byte: u8) -> bool {
    matches!(byte, 0..=0x08 | 0x0b | 0x0c | 0x0e..=0x1f | 0x7f)
}

impl Masker {
    /// Prepares to hide these secrets, each a name and a value, and says which ones it will not hide.
    pub fn new<N: AsRef<str>, V: AsRef<[u8]>>(secrets: &[(N, V)]) -> (Self, Vec<TooShort>) {
        Self::with_plain(secrets, &[])
    }

    /// The same, and hides further texts as they are and in JSON, in no other encoding: each costs as much as it is long, and not some
    /// fifty times that.
    pub fn with_plain<N: AsRef<str>, V: AsRef<[u8]>>(
        secrets: &[(N, V)],
        plain: &[&[u8]],
    ) -> (Self, Vec<TooShort>) {
        let mut patterns = BTreeSet::new();
        for text in plain {
            encodings::add_plain(text, &mut patterns);
        }
        let mut too_short = Vec::new();
        for (name, value) in secrets {
            if !encodings::add_patterns(value.as_ref(), &mut patterns) {
                too_short.push(TooShort {
                    name: name.as_ref().to_owned(),
                });
            }
        }
        let found = (!patterns.is_empty())
            .then(|| Found::new(&patterns))
            .flatten();
        (Self { found }, too_short)
    }

    /// Whether there is nothing to hide.
    pub fn is_empty(&self) -> bool {
        self.found.is_none()
    }

    /// Takes the next bytes of a stream and appends to `out` what is known to be no part of a secret, and masks.
    pub fn push(&self, state: &mut MaskState, bytes: &[u8], out: &mut Vec<u8>) {
        let Some(found) = &self.found else {
            out.extend_from_slice(bytes);
            return;
        };
        let held = state.held.len();
        let undecided = found.walk(state, bytes);
        let mut decided = held + bytes.len() - undecided;
        if state.has_controls || bytes.iter().any(|byte| is_control(*byte)) {
            decided = decided.min(found.walk_visible(state, bytes));
        } else {
            state.visible = undecided.min(state.visible + bytes.len());
        }
        state.release(bytes, decided, out);
    }

    /// Whole bytes without the secrets.
    pub fn bytes(&self, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(bytes.len());
        let mut state = MaskState::default();
        self.push(&mut state, bytes, &mut out);
        self.finish(&mut state, &mut out);
        out
    }

    /// A whole text without the secrets.
    pub fn text(&self, text: String) -> String {
        if self.is_empty() {
            return text;
        }
        // A value that is no text may share bytes with a letter.
        String::from_utf8(self.bytes(text.as_bytes()))
            .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
    }

    /// Ends a stream: what was held back was no secret.
    pub fn finish(&self, state: &mut MaskState, out: &mut Vec<u8>) {
        let held = state.held.len();
        state.release(&[], held, out);
        *state = MaskState::default();
    }
}

impl Found {
    fn new(patterns: &BTreeSet<Vec<u8>>) -> Option<Self> {
        let automaton = NFA::builder()
            .match_kind(MatchKind::Standard)
            .build(patterns)
            .ok()?;
        let start = automaton.start_state(Anchored::No).ok()?;
        let walk = |bytes: &[u8]| {
            bytes.iter().fold(start, |at, &byte| {
                automaton.next_state(Anchored::No, at, byte)
            })
        };
        let mut depths = HashMap::new();
        for pattern in patterns {
            let mut at = start;
            for (i, &byte) in pattern.iter().enumerate() {
                at = automaton.next_state(Anchored::No, at, byte);
                depths.insert(at, i + 1);
            }
        }
        // Behind a whole pattern that no longer one begins with, only its own end can be the beginning of another. Short ones
        // first: such an end may be a whole pattern too.
        let mut complete: Vec<&[u8]> = patterns
            .iter()
            .map(Vec::as_slice)
            .zip(patterns.iter().skip(1).map(Some).chain([None]))
            .filter(|(pattern, next)| next.is_none_or(|next| !next.starts_with(pattern)))
            .map(|(pattern, _)| pattern)
            .collect();
        complete.sort_by_key(|pattern| pattern.len());
        for pattern in complete {
            let depth = depths.get(&walk(&pattern[1..])).copied().unwrap_or(0);
            depths.insert(walk(pattern), depth);
        }
        Some(Self {
            patterns: automaton,
            start,
            depths,
            beginnings: Beginnings::of(patterns),
        })
    }

    /// Finds and marks what is hidden in the bytes as they are; how many of the last ones may still be the beginning of a pattern.
    fn walk(&self, state: &mut MaskState, bytes: &[u8]) -> usize {
        let mut at = state.state.unwrap_or(self.start);
        let held = state.held.len();
        let mut i = 0;
        loop {
            if at == self.start {
                i = self.beginnings.next(bytes, i);
            }
            let Some(&byte) = bytes.get(i) else { break };
            at = self.patterns.next_state(Anchored::No, at, byte);
            i += 1;
            if self.patterns.is_special(at) && self.patterns.is_match(at) {
                let end = held + i;
                state.hide(end - self.longest_match(at)..end);
            }
        }
        state.state = Some(at);
        self.depths.get(&at).copied().unwrap_or(0)
    }

    /// The same without the control sequences between the bytes; the place from which on nothing is decided.
    fn walk_visible(&self, state: &mut MaskState, bytes: &[u8]) -> usize {
        let text = [&state.held, bytes].concat();
        let mut at = self.start;
        // Where the bytes stand that led to this state.
        let mut places = Vec::new();
        let mut sequences = 0;
        let mut i = state.held.len() - state.visible;
        let mut pending = None;
        while let Some(&byte) = text.get(i) {
            match is_control(byte).then(|| control(&text[i..])) {
                Some(Sequence::Whole(length)) => {
                    sequences += length;
                    if sequences > CONTROLS {
                        at = self.start;
                        places.clear();
                    }
                    i += length;
                    continue;
                }
                Some(Sequence::Begun) => {
                    pending = Some(i);
                    break;
                }
                Some(Sequence::None) | None => {}
            }
            sequences = 0;
            at = self.patterns.next_state(Anchored::No, at, byte);
            places.push(i);
            i += 1;
            if self.patterns.is_special(at) && self.patterns.is_match(at) {
                state
                    .hidden
                    .push(places[places.len() - self.longest_match(at)]..i);
            }
            if at == self.start {
                places.clear();
            }
        }
        state.sort_hidden();
        let depth = self.depths.get(&at).copied().unwrap_or(0);
        let first = places[places.len() - depth..].first().copied();
        let from = first.or(pending).unwrap_or(text.len());
        state.visible = text.len() - from;
        state.has_controls = text[from..].iter().any(|byte| is_control(*byte));
        from
    }

    fn longest_match(&self, at: StateID) -> usize {
        let matches = 0..self.patterns.match_len(at);
        let lengths = matches.map(|i| {
            self.patterns
                .pattern_len(self.patterns.match_pattern(at, i))
        });
        lengths.max().unwrap_or(0)
    }
}

impl Beginnings {
    fn of(patterns: &BTreeSet<Vec<u8>>) -> Self {
        // The groups of longer beginnings would fill the bits, and save less and less.
        const LONGEST: usize = 16;
        let lengths = patterns.iter().map(Vec::len);
        let shortest = lengths.min().unwrap_or(GROUP).min(LONGEST);
        let mut groups = Box::new([0; GROUP_BITS / 64]);
        for pattern in patterns {
            for group in pattern[..shortest].windows(GROUP) {
                let bit = Self::bit(group);
                groups[bit / 64] |= 1 << (bit % 64);
            }
        }
        Self {
            groups,
            stride: shortest - GROUP + 1,
        }
    }

    fn bit(group: &[u8]) -> usize {
        let number = u32::from_le_bytes([group[0], group[1], group[2], 0]);
        // The upper bits of a product depend on all bits of the number; the factor is that of Fibonacci hashing.
        (number.wrapping_mul(0x9e37_79b1) >> (u32::BITS - GROUP_BITS.ilog2())) as usize
    }

    /// The first place from `from` on at which a pattern may begin.
    ///
    /// It is enough to look at every `stride`th group: a pattern has a known group at each of its first `stride` places, one of
    /// which is looked at.
    fn next(&self, bytes: &[u8], from: usize) -> usize {
        let mut begin = from;
        while let Some(group) = bytes.get(begin + self.stride - 1..begin + self.stride - 1 + GROUP)
        {
            let bit = Self::bit(group);
            if self.groups[bit / 64] >> (bit % 64) & 1 == 1 {
                break;
            }
            begin += self.stride;
        }
        begin
    }
}

impl MaskState {
    /// Hides a stretch that ends behind all others so far.
    fn hide(&mut self, mut bytes: Range<usize>) {
        while let Some(last) = self.hidden.last()
            && last.end >= bytes.start
        {
            bytes.start = bytes.start.min(last.start);
            self.hidden.pop();
        }
        self.hidden.push(bytes);
    }

    /// Puts what is hidden in order and apart.
    fn sort_hidden(&mut self) {
        let mut all = std::mem::take(&mut self.hidden);
        all.sort_by_key(|bytes| bytes.end);
        for bytes in all {
            self.hide(bytes);
        }
    }

    /// Writes what lies before `decided`, and keeps the rest. `new` are the bytes that follow those held.
    fn release(&mut self, new: &[u8], decided: usize, out: &mut Vec<u8>) {
        let held = std::mem::take(&mut self.held);
        let copy = |bytes: Range<usize>, out: &mut Vec<u8>| {
            let in_held = |at: usize| at.min(held.len());
            out.extend_from_slice(&held[in_held(bytes.start)..in_held(bytes.end)]);
            let in_new = |at: usize| at.saturating_sub(held.len());
            out.extend_from_slice(&new[in_new(bytes.start)..in_new(bytes.end)]);
        };
        let mut written = 0;
        let mut undecided = Vec::new();
        for hidden in std::mem::take(&mut self.hidden) {
            if hidden.end > decided {
                undecided.push(hidden.start.saturating_sub(decided)..hidden.end - decided);
            }
            if hidden.start < decided {
                let touches_mask = self.after_mask && hidden.start == 0;
                copy(written..hidden.start, out);
                if !touches_mask {
                    out.extend_from_slice(MASK.as_bytes());
                }
                self.after_mask = true;
                written = hidden.end.min(decided);
            }
        }
        if written < decided {
            copy(written..decided, out);
            self.after_mask = false;
        }
        self.hidden = undecided;
        let mut rest = Vec::new();
        copy(decided..held.len() + new.len(), &mut rest);
        self.held = rest;
    }
}

/// What bytes that begin with a control are.
enum Sequence {
    /// A control of so many bytes: a sequence such as a colour's, a title, a byte alone.
    Whole(usize),
    /// Maybe the beginning of one.
    Begun,
    /// Something else.
    None,
}

/// Looks for a control at the beginning of some bytes (ECMA-35, 13.2; ECMA-48, 5.4 and 5.6).
fn control(bytes: &[u8]) -> Sequence {
    let [ESCAPE, rest @ ..] = bytes else {
        return Sequence::Whole(1);
    };
    let within = |length: usize| match length <= CONTROLS {
        true => Sequence::Whole(length),
        false => Sequence::None,
    };
    let is_cut = bytes.len() < CONTROLS;
    let end = match rest.first() {
        Some(b'[') => rest[1..]
            .iter()
            .position(|byte| !matches!(byte, 0x20..=0x3f)),
        // A title, a link, a picture: ends with a bell, or with a backslash behind an escape.
        Some(b']' | b'P' | b'X' | b'^' | b'_') => {
            let end = rest.iter().position(|byte| *byte < 0x20);
            return match end.map(|end| (&rest[end..], end)) {
                Some(([0x07, ..], end)) => within(end + 2),
                Some(([ESCAPE, b'\\', ..], end)) => within(end + 3),
                Some(([ESCAPE], _)) | None if is_cut => Sequence::Begun,
                Some(_) | None => Sequence::None,
            };
        }
        _ => rest.iter().position(|byte| !matches!(byte, 0x20..=0x2f)),
    };
    let skipped = 1 + usize::from(rest.first() == Some(&b'['));
    match end.map(|end| (end, rest[end + skipped - 1])) {
        Some((end, 0x30..=0x7e)) => within(end + skipped + 1),
        Some(_) => Sequence::None,
        None if is_cut => Sequence::Begun,
        None => Sequence::None,
    }
}

#[cfg(test)]
mod tests;
