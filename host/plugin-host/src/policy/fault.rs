//! What is wrong inside one text: a rule, a network, an origin, a pattern.
//!
//! Such texts stand in files and on command lines. What is wrong is the same in both; where it is shown is not decided here.

use piper_core::problem::{Code, Problem, Severity, Span};
use std::ops::Range;

/// What is wrong in a text, and in which part of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The stable code.
    pub code: Code,
    /// What is wrong.
    pub message: String,
    /// The part of the text that is wrong, in bytes.
    pub at: Range<usize>,
    /// What stands under the carets.
    pub label: String,
    /// How to mend it; one line each.
    pub help: Vec<String>,
}

impl Fault {
    /// A fault in this part of a text.
    pub fn new(
        code: Code,
        message: impl Into<String>,
        at: Range<usize>,
        label: impl Into<String>,
    ) -> Self {
        Self {
            code,
            message: message.into(),
            at,
            label: label.into(),
            help: Vec::new(),
        }
    }

    /// Adds a way to mend it.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help.push(help.into());
        self
    }

    /// The same fault in a longer text, of which the first `before` bytes are not the text at hand.
    #[must_use]
    pub fn shifted(mut self, before: usize) -> Self {
        self.at = self.at.start + before..self.at.end + before;
        self
    }

    /// The problem in the file in which the text stands: `span` is the string with its quotes, `text` its value.
    ///
    /// The carets point into the string if it is written as it reads, and at the whole of it if it has escapes.
    pub fn in_string(self, span: Span, text: &str) -> Problem {
        let written = &span.source.text[span.bytes.clone()];
        let inner = written.get(1..written.len().saturating_sub(1));
        let at = if inner == Some(text) && self.at.end <= text.len() {
            let start = span.bytes.start + 1;
            Span {
                bytes: start + self.at.start..start + self.at.end,
                ..span
            }
        } else {
            span
        };
        Problem {
            at: Some(at),
            label: (!self.label.is_empty()).then_some(self.label),
            ..Self::without_place(self.code, self.message, self.help)
        }
    }

    /// The problem alone, for a text that stands in no file.
    pub fn into_problem(self) -> Problem {
        Self::without_place(self.code, self.message, self.help)
    }

    fn without_place(code: Code, message: String, help: Vec<String>) -> Problem {
        Problem {
            severity: Severity::Error,
            code,
            message,
            at: None,
            label: None,
            also: Vec::new(),
            help,
        }
    }
}

/// The beginning of a text that somebody wrote, as it can stand in a message.
pub(crate) fn shown(text: &str) -> String {
    const LONGEST: usize = 80;
    let mut shown: String = text.chars().take(LONGEST).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    format!("`{}`", printable(&shown))
}

/// A text of a stranger as it can stand on a terminal: what cannot be seen, or changes what is seen, is written out.
pub(crate) fn printable(text: &str) -> String {
    let mut printable = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '\'' | '"' | '\\' => printable.push(letter),
            _ => printable.extend(letter.escape_debug()),
        }
    }
    printable
}

#[cfg(test)]
mod tests {
    use super::*;
    use piper_core::{codes, problem::Source};
    use std::sync::Arc;
    use test_case::test_case;

    #[test_case("it's \"x\"", "`it's \"x\"`")]
    #[test_case("a\x1b[31m\n", "`a\\u{1b}[31m\\n`")]
    #[test_case("a\u{202e}b", "`a\\u{202e}b`"; "text that turns around")]
    fn a_strangers_text_is_harmless(text: &str, expected: &str) {
        assert_eq!(shown(text), expected);
    }

    #[test_case("a = \"xyz\"", 4..9, "xyz", "y"; "as it reads")]
    #[test_case("a = 'xyz'", 4..9, "xyz", "y"; "in other quotes")]
    #[test_case("a = \"\\u0078yz\"", 4..14, "xyz", "\"\\u0078yz\""; "with an escape")]
    #[test_case("a = \"\"\"xyz\"\"\"", 4..13, "xyz", "\"\"\"xyz\"\"\""; "in three quotes")]
    fn carets_point_into_a_string_that_is_written_as_it_reads(
        text: &str,
        bytes: Range<usize>,
        value: &str,
        expected: &str,
    ) {
        let source = Arc::new(Source {
            path: "file".into(),
            text: text.to_owned(),
        });
        let fault = Fault::new(codes::BAD_HTTP_RULE, "wrong", 1..2, "here");
        let at = fault.in_string(Span { source, bytes }, value).at.unwrap();
        assert_eq!(&text[at.bytes], expected);
    }
}
