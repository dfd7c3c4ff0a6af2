//! Where words go: standard output is data, standard error is talk.
//!
//! ```text
//!   events ──▶ progress ──▶ text ───┐
//!                      └──▶ live ───┼──▶ output (two sinks)
//!   records ─▶ lines ─▶ sanitize ───┘        ▲
//!   both ────▶ ndjson ───────────────────────┘
//! ```
//!
//! [`reporter`] joins them. Nothing here decides anything about a build.

pub mod lines;
pub mod live;
pub mod ndjson;
pub mod output;
pub mod problem;
pub mod progress;
pub mod quit;
pub mod reporter;
pub mod sanitize;
pub mod sgr;
pub mod show;
#[cfg(test)]
mod stage;
pub mod style;
pub mod text;

use std::{
    fs::File,
    io::{self, IsTerminal},
    os::{fd::AsFd, unix::fs::FileTypeExt},
};

/// When to use colours.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum ColorChoice {
    /// On a terminal, unless `NO_COLOR` is set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// How to print.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum OutputFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// What one of the two streams is like.
#[derive(Debug, Clone, Copy)]
pub struct Face {
    /// Whether it is a terminal.
    pub terminal: bool,
    /// Whether colours may be used on it.
    pub color: bool,
}

/// The two streams of the program and how to write to them.
#[derive(Debug, Clone, Copy)]
pub struct Ui {
    /// How to print.
    pub format: OutputFormat,
    /// Only what the steps print, and errors.
    pub quiet: bool,
    /// Say more.
    pub verbose: bool,
    /// Standard output.
    pub out: Face,
    /// Standard error.
    pub err: Face,
    /// Whether standard error is a terminal on which lines can be redrawn, and nobody else writes there.
    pub live: bool,
}

impl Ui {
    /// Looks at the two streams and at `NO_COLOR`.
    pub fn new(color: ColorChoice, format: OutputFormat, quiet: bool, verbose: bool) -> Self {
        // https://no-color.org: present and not empty.
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let term = std::env::var_os("TERM");
        let dumb = term.is_none_or(|term| term.is_empty() || term == "dumb");
        let face = |terminal: bool| Face {
            terminal,
            color: match color {
                ColorChoice::Auto => terminal && !no_color && !dumb,
                ColorChoice::Always => true,
                ColorChoice::Never => false,
            },
        };
        Self {
            format,
            quiet,
            verbose,
            out: face(io::stdout().is_terminal()),
            err: face(io::stderr().is_terminal()),
            live: io::stderr().is_terminal() && !dumb && !is_pipe(io::stdout()),
        }
    }

    /// Writes data to standard output, followed by a line end.
    ///
    /// # Errors
    ///
    /// When standard output cannot be written to; a closed pipe becomes [`CliError::Closed`](crate::cli::CliError::Closed).
    pub fn print(&self, text: &str) -> io::Result<()> {
        output::write_line(io::stdout(), text)
    }

    /// Writes talk to standard error, followed by a line end; whoever closed it does not want to hear it.
    pub fn say(&self, text: &str) {
        if !self.quiet {
            self.complain(text);
        }
    }

    /// Writes an error to standard error, followed by a line end, also when asked to be quiet.
    pub fn complain(&self, text: &str) {
        let _ = output::write_line(io::stderr(), text.trim_end_matches('\n'));
    }

    /// Says what the user should know, and what fails nothing.
    pub fn warn(&self, message: &str) {
        if !self.quiet {
            self.labelled(style::Paint::Odd, "warning", message);
        }
    }

    /// Says why nothing came of it.
    pub fn error(&self, message: &str) {
        self.labelled(style::Paint::Bad, "error", message);
    }

    fn labelled(&self, paint: style::Paint, word: &str, message: &str) {
        let style = style::Style::new(self.err.color, false);
        // A tool that is quoted may have said several lines.
        let lines: Vec<_> = message.lines().map(sanitize::words).collect();
        let message = lines.join("\n");
        self.complain(&format!("{}: {message}", style.paint(paint, word)));
    }
}

/// Whether what is written goes to another program, which most likely shows it: on the very terminal on which our lines would stand.
fn is_pipe(stream: impl AsFd) -> bool {
    let found = stream.as_fd().try_clone_to_owned();
    let found = found.and_then(|stream| File::from(stream).metadata());
    found.is_ok_and(|found| found.file_type().is_fifo() || found.file_type().is_socket())
}
