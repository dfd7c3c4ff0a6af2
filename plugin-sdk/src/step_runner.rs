//! A step that runs inside the sandbox: files, HTTP and commands as the operator granted.
//!
//! The type with the step's options (its `with` in `piper.toml`) is the step:
//!
//! ```
//! use piper_plugin::prelude::*;
//!
//! /// Fails if there are too many words.
//! #[settings]
//! struct Words {
//!     /// The files to look at.
//!     files: Vec<String>,
//!     /// How many words a file may have.
//!     #[setting(default = 500)]
//!     most: u64,
//! }
//!
//! impl StepRunner for Words {
//!     fn run(&self, step: &Step) -> Result<Verdict> {
//!         let mut too_long = 0;
//!         for path in files::glob(self.files.clone()) {
//!             let path = path?;
//!             let words = files::read_text(&path)?.split_whitespace().count() as u64;
//!             step.print(format_args!("{words:6} {path}\n"));
//!             if words > self.most {
//!                 let message = format!("{words} words are too many");
//!                 step.annotate(&Annotation::error(message).file(path))?;
//!                 too_long += 1;
//!             }
//!         }
//!         step.output("too_long", too_long)?;
//!         match too_long {
//!             0 => Ok(Verdict::passed()),
//!             _ => Ok(Verdict::failed(format_args!("{too_long} files are too long"))),
//!         }
//!     }
//! }
//!
//! piper_plugin::plugin! {
//! #   manifest: "tests/piper-plugin.toml",
//!     step_runner: Words,
//! }
//!
//! // In `cargo test`, without WebAssembly:
//! # fn main() {
//! let fake = piper_plugin::testing::Fake::new();
//! fake.file("docs/a.md", "one two three");
//! let verdict = fake.run::<Words, _>(json!({"files": ["docs/*.md"], "most": 2})).unwrap();
//! assert_eq!(verdict.status, Status::Failed);
//! assert_eq!(fake.stdout(), "     3 docs/a.md\n");
//! assert_eq!(fake.output("too_long").as_deref(), Some("1"));
//! # }
//! ```
//!
//! A red result is a verdict. A [`Failure`] says that the step could not do its work: `invalid` fails it at its `with`, every other kind
//! makes it `errored`; only `transient` is tried again, and only if the step's own `retry` says so. Each attempt has a fresh instance.

use crate::{
    facts::{self, Running},
    failure::{Failure, Result},
    host::{self, RawCall},
    settings::Settings,
};
use serde::Serialize;
use serde_json::{Value, json};
use std::{
    fmt::Display,
    io::{self, Write},
    ops::Deref,
};

/// A type of step; the implementing type is its options, `C` the plugin's configuration.
pub trait StepRunner<C: Settings = ()>: Settings {
    /// Runs one attempt.
    ///
    /// # Errors
    ///
    /// When the step could not do its work; see the [module](self).
    fn run(&self, step: &Step<C>) -> Result<Verdict>;
}

/// How a step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// All is well.
    Passed,
    /// It is red.
    Failed,
    /// There was nothing to do.
    Skipped,
}

/// How a step ended, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// How.
    pub status: Status,
    /// Why, in one line; may be empty if it passed.
    pub message: String,
}

impl Verdict {
    /// All is well.
    pub fn passed() -> Self {
        Self {
            status: Status::Passed,
            message: String::new(),
        }
    }

    /// It is red, and this is why.
    pub fn failed(why: impl Display) -> Self {
        Self {
            status: Status::Failed,
            message: why.to_string(),
        }
    }

    /// There was nothing to do, and this is why.
    pub fn skipped(why: impl Display) -> Self {
        Self {
            status: Status::Skipped,
            message: why.to_string(),
        }
    }

    /// The same with a word for whoever reads it.
    #[must_use]
    pub fn because(mut self, why: impl Display) -> Self {
        self.message = why.to_string();
        self
    }
}

/// The step that is being run, and what it can tell its build. Dereferences to what the host says about it.
#[derive(Debug)]
pub struct Step<C = ()> {
    /// Which of the manifest's step types is meant; empty if there is only one.
    pub name: String,
    /// The plugin's configuration.
    pub config: C,
    facts: Running,
}

impl<C> Deref for Step<C> {
    type Target = Running;

    fn deref(&self) -> &Running {
        &self.facts
    }
}

impl<C> Step<C> {
    /// Writes to the step's log as if a command had printed it to stdout. No line end is added.
    pub fn print(&self, text: impl Display) {
        host::step_print(false, text.to_string().as_bytes());
    }

    /// The same to stderr.
    pub fn print_error(&self, text: impl Display) {
        host::step_print(true, text.to_string().as_bytes());
    }

    /// The step's stdout for `writeln!` and the like; any bytes.
    pub fn stdout(&self) -> Stream {
        Stream { is_stderr: false }
    }

    /// The step's stderr.
    pub fn stderr(&self) -> Stream {
        Stream { is_stderr: true }
    }

    /// Sets an output, which later steps read. The name is like a parameter's: up to 64 letters, digits, `_` and `-`; at most 64 outputs of 4 KiB.
    ///
    /// # Errors
    ///
    /// When the name is another or a limit is reached.
    pub fn output(&self, name: impl AsRef<str>, value: impl Display) -> Result<()> {
        host::step_set_output(name.as_ref(), &value.to_string())
    }

    /// Points at something in the code; at most 200 times.
    ///
    /// # Errors
    ///
    /// When there are too many.
    pub fn annotate(&self, annotation: &Annotation) -> Result<()> {
        self.report("annotation", std::slice::from_ref(annotation))
    }

    /// Adds a text in Markdown to the build's summary.
    ///
    /// # Errors
    ///
    /// When there are too many.
    pub fn summary(&self, markdown: impl Display) -> Result<()> {
        self.report("summary", &[json!({"markdown": markdown.to_string()})])
    }

    /// Adds items to the step's report. Known kinds are `annotation`, `test`, `summary`, `metric`, `link` and `artifact`; others are kept.
    ///
    /// # Errors
    ///
    /// When an item is no object or there are too many.
    pub fn report(&self, kind: &str, items: &[impl Serialize]) -> Result<()> {
        let items = items.iter().map(|item| match serde_json::to_value(item)? {
            object @ Value::Object(_) => Ok(object.to_string()),
            other => Err(Failure::invalid(
                "step.report-item",
                format_args!("{other} is no object"),
            )),
        });
        host::step_report(kind, &items.collect::<Result<Vec<_>>>()?)
    }
}

/// One of the step's output streams.
#[derive(Debug, Clone, Copy)]
pub struct Stream {
    is_stderr: bool,
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        host::step_print(self.is_stderr, bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// How much an annotation matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Good to know.
    Notice,
    /// Should be looked at.
    Warning,
    /// Must be mended.
    Error,
}

/// Something about the code, at a place if it has one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Annotation {
    /// How much it matters.
    pub level: Severity,
    /// What it is about, in one or a few lines.
    pub message: String,
    /// A few words above it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// The file, relative to the workspace. One that leads out of it is left out, with a warning in the log.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// The line, from 1; nothing without a file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
    /// The column, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<u32>,
    /// The last line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end_line: Option<u32>,
}

impl Annotation {
    fn new(level: Severity, message: String) -> Self {
        Self {
            level,
            message,
            title: None,
            file: None,
            line: None,
            column: None,
            end_line: None,
        }
    }

    /// Good to know.
    pub fn notice(message: impl Display) -> Self {
        Self::new(Severity::Notice, message.to_string())
    }

    /// Should be looked at.
    pub fn warning(message: impl Display) -> Self {
        Self::new(Severity::Warning, message.to_string())
    }

    /// Must be mended.
    pub fn error(message: impl Display) -> Self {
        Self::new(Severity::Error, message.to_string())
    }

    /// A few words above it.
    #[must_use]
    pub fn title(mut self, title: impl Into<String>) -> Self {
        self.title = Some(title.into());
        self
    }

    /// In this file.
    #[must_use]
    pub fn file(mut self, path: impl Into<String>) -> Self {
        self.file = Some(path.into());
        self
    }

    /// In this line, from 1.
    #[must_use]
    pub fn line(mut self, line: u32) -> Self {
        self.line = Some(line);
        self
    }

    /// In this column, from 1.
    #[must_use]
    pub fn column(mut self, column: u32) -> Self {
        self.column = Some(column);
        self
    }

    /// Up to this line, from 1.
    #[must_use]
    pub fn end_line(mut self, line: u32) -> Self {
        self.end_line = Some(line);
        self
    }
}

/// Reads a call and runs it.
#[doc(hidden)]
pub fn enter<T: StepRunner<C>, C: Settings>(call: RawCall) -> Result<Verdict> {
    let parts = facts::parts::<T, C, Running>(call)?;
    parts.options.run(&Step {
        name: parts.name,
        config: parts.config,
        facts: parts.facts,
    })
}
