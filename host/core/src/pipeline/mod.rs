//! From the text of `piper.toml` to a [`Project`], reporting every problem of the file at once.
//!
//! Nothing here opens a file: whoever calls has the bytes. The way of a file is `read` (bytes to spanned tables), `decode`
//! (tables to a [`Project`], guided by the one table of `keys`), `check` (what no single value shows: unknown steps, cycles,
//! undeclared parameters).

mod check;
mod decode;
mod duration;
mod keys;
mod locate;
mod read;
mod schema;

use crate::{
    problem::{Problem, Severity, Source},
    project::Project,
};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};
use toml::de::DeTable;

use decode::Author;
pub use duration::{guess as guess_duration, parse as parse_duration};
pub use locate::{Located, is_touched, locate};
use read::Syntax;
pub use read::quoted;
pub use schema::schema;

/// What became of a project file.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    /// The text that was read, for whoever shows the problems.
    pub source: Arc<Source>,
    /// The project, if nothing is wrong with it but warnings.
    pub project: Option<Project>,
    /// Where something is: what else was understood, for whoever looks for further mistakes in it. Never to be run, and not there if
    /// the file is no TOML. What a problem is about, [`is_touched`] says, counts for nothing.
    pub damaged: Option<Project>,
    /// All that is wrong, in the order of the file.
    pub problems: Vec<Problem>,
}

impl Loaded {
    /// Whether anything is so wrong that nothing may run.
    pub fn has_errors(&self) -> bool {
        self.problems
            .iter()
            .any(|problem| problem.severity == Severity::Error)
    }
}

/// Reads a project file from its bytes; `path` is only for messages.
pub fn load_bytes(path: PathBuf, bytes: Vec<u8>) -> Loaded {
    let (source, problems) = read::text(path, bytes);
    let mut loaded = load(source);
    if !problems.is_empty() {
        (loaded.project, loaded.damaged) = (None, None);
        loaded
            .problems
            .retain(|problem| !read::is_about_no_text(problem));
        loaded.problems.extend(problems);
        sort(&mut loaded.problems);
    }
    loaded
}

/// Reads a project file.
pub fn load(source: Arc<Source>) -> Loaded {
    load_as(source, Author::Person)
}

/// Reads what a planner answered, written as a project file.
pub(crate) fn load_planned(source: Arc<Source>) -> Loaded {
    load_as(source, Author::Planner)
}

fn load_as(source: Arc<Source>, by: Author) -> Loaded {
    let (project, problems) = decode_tables(&source, |table| {
        let (decoded, places, mut found) = decode::decode(&source, table, by);
        found.extend(check::check(&source, &decoded, &places));
        (decoded, found)
    });
    let mut loaded = Loaded {
        source,
        project,
        damaged: None,
        problems,
    };
    if loaded.has_errors() {
        let damaged = loaded.project.take();
        loaded.damaged = damaged.filter(|_| locate::is_toml(&loaded.source));
    }
    loaded
}

/// Reads the tables of any file that people write, and lets `decode` say what they mean and what is wrong with them.
///
/// Returns what `decode` made, if the tables can be as they were meant, and all problems in the order of the file; those that are
/// only children of what is wrong with the syntax are left out.
pub fn decode_tables<T>(
    source: &Arc<Source>,
    decode: impl FnOnce(&DeTable<'_>) -> (T, Vec<Problem>),
) -> (Option<T>, Vec<Problem>) {
    decode_syntax(source, read::parse(&source.text), &source.text, decode)
}

/// Decodes what was parsed from `text`: the source's, with blanks for what hides others.
fn decode_syntax<T>(
    source: &Arc<Source>,
    mut syntax: Syntax<'_>,
    text: &str,
    decode: impl FnOnce(&DeTable<'_>) -> (T, Vec<Problem>),
) -> (Option<T>, Vec<Problem>) {
    if let Some((text, blanked)) = syntax.blank(text) {
        let syntax = read::parse(&text).after(blanked);
        return decode_syntax(source, syntax, &text, decode);
    }
    let (table, mut problems) = syntax.finish(source);
    let mut decoded = None;
    if let Some(table) = table {
        let (value, mut found) = decode(&table);
        Syntax::remove_children(&problems, &mut found);
        problems.extend(found);
        decoded = Some(value);
    }
    sort(&mut problems);
    (decoded, problems)
}

/// Puts problems in the order of their file, file by file, behind those that are about no place.
pub fn sort(problems: &mut [Problem]) {
    fn key(problem: &Problem) -> Option<(&Path, usize)> {
        let at = problem.at.as_ref()?;
        Some((&at.source.path, at.bytes.start))
    }
    problems.sort_by(|one, other| key(one).cmp(&key(other)));
}

/// The first of some words, for a message.
fn listed(words: &[String]) -> String {
    const MOST: usize = 20;
    let more = if words.len() > MOST { ", …" } else { "" };
    format!("{}{more}", words[..words.len().min(MOST)].join(", "))
}

#[cfg(test)]
mod tests;
