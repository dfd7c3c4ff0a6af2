//! What is wrong, where, and how to mend it: the one value behind every error that a person sees.
//!
//! A problem is data. How it looks on a terminal, in JSON or over HTTP is decided where it is shown.

use std::{fmt, ops::Range, path::PathBuf, sync::Arc};

/// Something wrong in what a person wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Error or warning.
    pub severity: Severity,
    /// The stable code, for `piper explain`.
    pub code: Code,
    /// What is wrong, in a lower-case fragment with names in backquotes.
    pub message: String,
    /// The place that is wrong.
    pub at: Option<Span>,
    /// What stands under the carets.
    pub label: Option<String>,
    /// Further places, each with what is to be seen there.
    pub also: Vec<(Span, String)>,
    /// How to mend it; one line each.
    pub help: Vec<String>,
}

/// How bad a problem is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Worth mending; nothing is refused.
    Warning,
    /// Nothing runs until it is mended.
    Error,
}

/// A stable code such as `P0107`; each has a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Code(pub u16);

impl Code {
    /// Whether it is about steps and pipelines together, and no single value.
    pub fn is_of_graph(self) -> bool {
        (200..300).contains(&self.0)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "P{:04}", self.0)
    }
}

/// A text that people wrote, and where it stands.
#[derive(Debug, PartialEq, Eq)]
pub struct Source {
    /// The file.
    pub path: PathBuf,
    /// Its text.
    pub text: String,
}

/// A part of a [`Source`], in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// Which text.
    pub source: Arc<Source>,
    /// Which bytes of it.
    pub bytes: Range<usize>,
}

impl Problem {
    /// An error without a place yet.
    pub fn error(code: Code, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            code,
            message: message.into(),
            at: None,
            label: None,
            also: Vec::new(),
            help: Vec::new(),
        }
    }

    /// A warning without a place yet.
    pub fn warning(code: Code, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Warning,
            ..Self::error(code, message)
        }
    }

    /// Says where it is, and what stands under the carets.
    #[must_use]
    pub fn at(mut self, span: Span, label: impl Into<String>) -> Self {
        let label = label.into();
        self.at = Some(span);
        self.label = (!label.is_empty()).then_some(label);
        self
    }

    /// Adds a way to mend it.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help.push(help.into());
        self
    }
}
