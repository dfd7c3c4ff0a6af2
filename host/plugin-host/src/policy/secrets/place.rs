//! Finds placeholders, and what is left of them, in whatever a plugin wants sent.
//!
//! Found are: `piper-secret-` in any case, and 16 digits in a row of the beginning or the end of a placeholder that the instance has;
//! both also in base64 (either alphabet, at each of its three places in a group), in hex, and behind up to three layers of percent
//! encoding. Not found is what a plugin hides on purpose (split, reversed, compressed, encrypted, written with escapes of JSON): a
//! placeholder is worthless to whoever gets it, and a plugin that wants to send garbage can.

use aho_corasick::{AhoCorasick, MatchKind};
use std::sync::OnceLock;

/// What every placeholder begins with.
pub const PREFIX: &str = "piper-secret-";

/// How many hex digits follow it.
pub(super) const DIGITS: usize = 32;

/// How many digits are as good as a whole placeholder: no request has so many of them by chance.
const TELLING: usize = DIGITS / 2;

/// How many times percent encoding is taken off.
const LAYERS: usize = 3;

/// Whether something that looks like a placeholder stands in the value.
pub fn has_placeholder(value: &[u8]) -> bool {
    !find(value).is_empty()
}

/// The places of what looks like a whole placeholder, in order and apart.
pub(super) fn find(text: &[u8]) -> Vec<std::ops::Range<usize>> {
    let length = PREFIX.len() + DIGITS;
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(window) = text.get(at..at + length) {
        let digits = window.strip_prefix(PREFIX.as_bytes());
        if digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)) {
            found.push(at..at + length);
            at += length;
        } else {
            at += 1;
        }
    }
    found
}

/// Finds traces of placeholders.
pub(super) struct Scanner {
    shapes: Vec<Vec<u8>>,
    /// Made when the first text is looked at: most calls send nothing, and to make it costs more than all else that a small one does.
    patterns: OnceLock<AhoCorasick>,
}

impl Scanner {
    /// Finds what every placeholder begins with.
    pub(super) fn new() -> Self {
        Self {
            shapes: shapes(PREFIX),
            patterns: OnceLock::new(),
        }
    }

    /// Finds parts of this placeholder, too.
    pub(super) fn add(&mut self, placeholder: &str) {
        let digits = &placeholder[PREFIX.len()..];
        for part in [&digits[..TELLING], &digits[TELLING..]] {
            self.shapes.extend(shapes(part));
        }
        self.patterns = OnceLock::new();
    }

    fn patterns(&self) -> &AhoCorasick {
        self.patterns.get_or_init(|| {
            // Letters of base64 have a case, but what is found too much here is refused only if a plugin wrote nearly that.
            AhoCorasick::builder()
                .match_kind(MatchKind::Standard)
                .ascii_case_insensitive(true)
                .build(&self.shapes)
                .expect("a few thousand short patterns are not too many")
        })
    }

    /// Whether a trace of a placeholder is in the text.
    pub(super) fn finds_in(&self, text: &[u8]) -> bool {
        if self.patterns().is_match(text) {
            return true;
        }
        let mut text = text.to_vec();
        for _ in 0..LAYERS {
            let decoded = percent_decoded(&text);
            if decoded.len() == text.len() {
                return false;
            }
            if self.patterns().is_match(&decoded) {
                return true;
            }
            text = decoded;
        }
        false
    }
}

/// The shapes of a text that are looked for.
fn shapes(text: &str) -> Vec<Vec<u8>> {
    let mut shapes = vec![text.as_bytes().to_vec()];
    shapes.push(
        text.bytes()
            .flat_map(|byte| format!("{byte:02x}").into_bytes())
            .collect(),
    );
    for before in 0..3 {
        let padded = [&vec![0; before][..], text.as_bytes()].concat();
        let letters = super::keys::to_base64(&padded).into_bytes();
        // The first letters depend on the bytes before the text, the last one maybe on those behind it.
        let first = (before * 8).div_ceil(6);
        let fixed = padded.len() * 8 / 6;
        let standard = letters[first..fixed].to_vec();
        let for_urls = standard.iter().map(|letter| match letter {
            b'+' => b'-',
            b'/' => b'_',
            other => *other,
        });
        shapes.push(for_urls.collect());
        shapes.push(standard);
    }
    shapes
}

/// Takes one layer off; what is not properly encoded stays.
fn percent_decoded(text: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, after @ ..] = rest {
        let digit = |at: usize| {
            after
                .get(at)
                .and_then(|byte| char::from(*byte).to_digit(16))
        };
        match (first, digit(0), digit(1)) {
            (b'%', Some(high), Some(low)) => {
                decoded.push((high << 4 | low) as u8);
                rest = &after[2..];
            }
            _ => {
                decoded.push(*first);
                rest = after;
            }
        }
    }
    decoded
}
