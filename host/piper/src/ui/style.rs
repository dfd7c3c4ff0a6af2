//! Colours and symbols, all of them, and how wide a text is.
//!
//! What is said is not decided here.

use std::{borrow::Cow, ffi::OsString};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// What a text means; its colour follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Paint {
    /// Nothing special.
    Plain,
    /// A step that passed.
    Good,
    /// A step that failed.
    Bad,
    /// Worth a look.
    Odd,
    /// What one may overlook.
    Dim,
    /// What one looks for.
    Strong,
    /// A name that can be typed.
    Name,
    /// One of the colours by which steps are told apart.
    Key(u8),
}

/// The colours that tell steps apart. Red and green mean something else.
const KEYS: [&str; 10] = [
    "36", "33", "35", "34", "96", "93", "95", "94", "1;36", "1;35",
];

impl Paint {
    /// The colour of everything that has to do with the step `label`: the same one in every build (P-50).
    pub fn of_step(label: &str) -> Self {
        // FNV-1a: the standard library's hasher may change with its version, and with it everybody's colours.
        let hash = label.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        Self::Key((hash % KEYS.len() as u64) as u8)
    }

    fn params(self) -> Option<&'static str> {
        match self {
            Self::Plain => None,
            Self::Good => Some("32"),
            Self::Bad => Some("1;31"),
            Self::Odd => Some("33"),
            Self::Dim => Some("2"),
            Self::Strong => Some("1"),
            Self::Name => Some("36"),
            Self::Key(key) => Some(KEYS[usize::from(key) % KEYS.len()]),
        }
    }
}

/// The characters that are not letters.
#[derive(Debug, PartialEq, Eq)]
pub struct Symbols {
    /// Before a step that passed.
    pub pass: &'static str,
    /// Before a step that failed.
    pub fail: &'static str,
    /// Before a step that failed and was allowed to, or is tried again.
    pub warn: &'static str,
    /// Before a step that never ran.
    pub skip: &'static str,
    /// Between a step's label and what it printed.
    pub bar: &'static str,
    /// Between parts of a line.
    pub dot: &'static str,
    /// Where something was cut.
    pub more: &'static str,
    /// Around a part of a log.
    pub rule: &'static str,
}

const UNICODE: Symbols = Symbols {
    pass: "✓",
    fail: "✗",
    warn: "!",
    skip: "○",
    bar: "│",
    dot: "·",
    more: "…",
    rule: "──",
};

const ASCII: Symbols = Symbols {
    pass: "+",
    fail: "x",
    warn: "!",
    skip: "-",
    bar: "|",
    dot: "-",
    more: "...",
    rule: "--",
};

/// How things look on one stream.
#[derive(Debug, Clone, Copy)]
pub struct Style {
    color: bool,
    /// The characters that are not letters.
    pub symbols: &'static Symbols,
}

impl Style {
    /// With colours or without, with Unicode or without.
    pub fn new(color: bool, unicode: bool) -> Self {
        Self {
            color,
            symbols: if unicode { &UNICODE } else { &ASCII },
        }
    }

    /// `text` in its colour, if there are colours.
    pub fn paint<'a>(&self, paint: Paint, text: impl Into<Cow<'a, str>>) -> Cow<'a, str> {
        let text = text.into();
        match paint.params() {
            Some(params) if self.color && !text.is_empty() => {
                format!("\x1b[{params}m{text}\x1b[0m").into()
            }
            Some(_) | None => text,
        }
    }

    /// The beginning of `text` that fits into `columns`, with a sign that something was cut.
    pub fn cut<'a>(&self, text: &'a str, columns: usize) -> Cow<'a, str> {
        if width(text) <= columns {
            return text.into();
        }
        let more = self.more(columns);
        let end = fitting(text.char_indices(), columns - width(more));
        format!("{}{more}", &text[..end.unwrap_or(text.len())]).into()
    }

    /// The beginning and the end of a label that fit into `columns`: the one has the step's name, the other what tells its cells apart.
    pub fn cut_label<'a>(&self, label: &'a str, columns: usize) -> Cow<'a, str> {
        if width(label) <= columns {
            return label.into();
        }
        let more = self.more(columns);
        let room = columns - width(more);
        let end = fitting(label.char_indices(), room.div_ceil(2)).unwrap_or(label.len());
        let begin = fitting(label.char_indices().rev(), room / 2);
        let begin = begin.map_or(0, |last| label.ceil_char_boundary(last + 1));
        format!("{}{more}{}", &label[..end], &label[begin..]).into()
    }

    /// A text with lines and arrows in it, in the characters that there are.
    pub fn drawn(&self, text: String) -> String {
        if *self.symbols == UNICODE {
            return text;
        }
        let signs = [
            ("│", "|"),
            ("├", "|"),
            ("└", "`"),
            ("─", "-"),
            ("┬", "+"),
            ("←", "<-"),
            ("…", "..."),
        ];
        signs
            .iter()
            .fold(text, |text, (sign, ascii)| text.replace(sign, ascii))
    }

    /// The sign that something was cut, if there is room for it.
    fn more(&self, columns: usize) -> &'static str {
        match self.symbols.more {
            more if width(more) < columns => more,
            _ => "",
        }
    }
}

/// Where the first character is that does not fit into `columns`.
fn fitting(mut chars: impl Iterator<Item = (usize, char)>, columns: usize) -> Option<usize> {
    let mut used = 0;
    chars.find_map(|(at, c)| {
        used += c.width().unwrap_or(0);
        (used > columns).then_some(at)
    })
}

/// How many columns a text without control characters takes.
pub fn width(text: &str) -> usize {
    text.width()
}

/// Whether the locale is one of UTF-8: the first of the three variables that is set and not empty decides.
pub fn is_unicode_locale(variable: impl Fn(&str) -> Option<OsString>) -> bool {
    ["LC_ALL", "LC_CTYPE", "LANG"]
        .into_iter()
        .filter_map(variable)
        .find(|value| !value.is_empty())
        .is_some_and(|value| {
            let value = value.to_string_lossy().to_ascii_lowercase();
            value.ends_with("utf-8") || value.ends_with("utf8")
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use test_case::test_case;

    #[test_case(&[("LANG", "en_GB.UTF-8")], true; "language")]
    #[test_case(&[("LC_ALL", "C"), ("LANG", "en_GB.UTF-8")], false; "LC_ALL wins")]
    #[test_case(&[("LC_ALL", ""), ("LC_CTYPE", "C.utf8")], true; "empty is unset")]
    #[test_case(&[], false; "nothing")]
    fn the_locale_says_whether_there_is_unicode(variables: &[(&str, &str)], unicode: bool) {
        let lookup = |name: &str| {
            let (_, value) = variables.iter().find(|(own, _)| *own == name)?;
            Some(OsString::from(value))
        };
        assert_eq!(is_unicode_locale(lookup), unicode);
    }

    #[test_case("unit", 4, "unit"; "fits")]
    #[test_case("unit", 3, "un…"; "too long")]
    #[test_case("漢字漢字", 4, "漢…"; "wide characters are not cut in half")]
    #[test_case("unit", 1, "u"; "no room for a sign")]
    #[test_case("unit", 0, ""; "no room at all")]
    fn a_text_is_cut_to_the_columns_there_are(text: &str, columns: usize, cut: &str) {
        assert_eq!(Style::new(false, true).cut(text, columns), cut);
    }

    #[test_case("unit[rust=1.80]", 15, "unit[rust=1.80]"; "fits")]
    #[test_case("unit[rust=1.80]", 11, "unit[…1.80]"; "an odd number of columns")]
    #[test_case("unit[rust=1.80]", 10, "unit[….80]"; "an even number")]
    #[test_case("漢字漢字漢字", 8, "漢字…字"; "wide characters")]
    #[test_case("unit", 2, "u…"; "no room for an end")]
    #[test_case("unit", 1, "u"; "no room for a sign")]
    #[test_case("unit", 0, ""; "no room at all")]
    fn a_label_keeps_its_beginning_and_its_end(label: &str, columns: usize, cut: &str) {
        assert_eq!(Style::new(false, true).cut_label(label, columns), cut);
    }

    #[test]
    fn a_step_keeps_its_colour_for_ever() {
        assert_eq!(Paint::of_step("unit"), Paint::Key(3));
        assert_eq!(Paint::of_step("lint"), Paint::of_step("lint"));
        let seen: std::collections::HashSet<_> = (0..100)
            .map(|n| format!("{:?}", Paint::of_step(&format!("step-{n}"))))
            .collect();
        assert_eq!(seen.len(), KEYS.len());
    }
}
