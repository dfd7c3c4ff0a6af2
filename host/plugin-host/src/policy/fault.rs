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
pub(super) fn shown(text: &str) -> String {
    const LONGEST: usize = 80;
    let mut shown: String = text.chars().take(LONGEST).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    format!("`{}`", shown.escape_debug())
}
