//! Colours and columns for what the commands print.
//!
//! Texts from the project file go through [`visible`] first, so that no `about` can write to the terminal's controls.

use crate::ui::Face;
use std::{borrow::Cow, fmt::Write as _};
use unicode_width::UnicodeWidthStr;

/// Paints words, or leaves them as they are.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Style {
    on: bool,
}

impl Style {
    /// As the stream wants it.
    pub(crate) fn of(face: Face) -> Self {
        Self { on: face.color }
    }

    /// Without colours.
    #[cfg(test)]
    pub(crate) fn plain() -> Self {
        Self { on: false }
    }

    /// A heading, or a name that the eye should find.
    pub(crate) fn bold(self, text: &str) -> String {
        self.paint("1", text)
    }

    /// What is said in passing.
    pub(crate) fn dim(self, text: &str) -> String {
        self.paint("2", text)
    }

    /// A name that can be typed.
    pub(crate) fn name(self, text: &str) -> String {
        self.paint("36", text)
    }

    fn paint(self, code: &str, text: &str) -> String {
        if self.on && !text.is_empty() {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}

/// The text with its control characters made visible, and those that turn the direction of writing replaced.
pub(crate) fn visible(text: &str) -> Cow<'_, str> {
    let turns = |c| matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    if !text.contains(|c: char| c.is_control() || turns(c)) {
        return Cow::Borrowed(text);
    }
    let shown = text.chars().map(|c| match c {
        '\n' | '\t' => ' ',
        '\0'..='\x1f' => char::from_u32(0x2400 + u32::from(c)).unwrap_or('\u{fffd}'),
        '\x7f' => '\u{2421}',
        c if c.is_control() || turns(c) => '\u{fffd}',
        c => c,
    });
    Cow::Owned(shown.collect())
}

/// How many columns a text takes.
pub(crate) fn width(text: &str) -> usize {
    text.width()
}

/// Adds `text`, painted as `painted`, and blanks up to `columns`.
pub(crate) fn pad(out: &mut String, text: &str, painted: &str, columns: usize) {
    let blanks = columns.saturating_sub(width(text));
    // Writing to a `String` cannot fail.
    let _ = write!(out, "{painted}{:blanks$}", "");
}

#[cfg(test)]
mod tests {
    use super::*;
    use test_case::test_case;

    #[test_case("Compile — everything", "Compile — everything"; "plain")]
    #[test_case("a\x1b[31mb", "a␛[31mb"; "escape sequence")]
    #[test_case("a\nb\tc", "a b c"; "blanks")]
    #[test_case("a\u{202e}b\u{85}", "a\u{fffd}b\u{fffd}"; "direction and C1")]
    fn control_characters_are_shown_and_not_sent(text: &str, expected: &str) {
        assert_eq!(visible(text), expected);
    }
}
