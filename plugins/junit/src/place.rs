//! Finds where in the workspace a test failed, from what its report says.
//!
//! Few reports name a file of the workspace: they have absolute paths, paths from some folder, names without a folder, or a stack trace
//! alone. What is found is there; what is not there is not named, because nothing is worse than a pointer to the wrong file.

use crate::report::Case;
use piper_plugin::prelude::*;
use std::collections::HashMap;

/// A file of the workspace, and a line if one is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) file: String,
    pub(crate) line: Option<u32>,
}

/// How often the host is asked in one step, whatever reports say.
const MOST_LOOKS: usize = 5_000;
/// How many places are tried of those that a failure mentions.
const MOST_MENTIONS: usize = 50;
/// How far up from the report's own folder files are looked for.
const MOST_FOLDERS: usize = 6;
/// Where Java's packages begin.
const JAVA_ROOTS: [&str; 6] = [
    "src/test/java/",
    "src/test/kotlin/",
    "src/test/scala/",
    "src/test/groovy/",
    "src/main/java/",
    "src/main/kotlin/",
];
/// What is in these is not the workspace's own, wherever they are.
const FOREIGN: [&str; 4] = ["node_modules", "site-packages", "dist-packages", ".cargo"];

/// Looks for files and remembers what it found.
#[derive(Default)]
pub(crate) struct Finder {
    known: HashMap<String, bool>,
}

impl Finder {
    /// Where a test failed; `report` is the path of what says so.
    pub(crate) fn place(&mut self, case: &Case, report: &str) -> Option<Place> {
        let named = self.find(&case.file, case, report);
        let said = [&case.message, &case.text, &case.printed];
        let mentions = said.into_iter().flat_map(|text| mentions(text));
        for (path, line) in mentions.take(MOST_MENTIONS) {
            if let Some(file) = self.find(path, case, report)
                && named.as_ref().is_none_or(|named| *named == file)
            {
                // Better than `line`, which may be where the test begins, and which pytest counts from 0.
                return Some(Place {
                    file,
                    line: Some(line),
                });
            }
        }
        let line = case.line;
        named.map(|file| Place { file, line })
    }

    fn find(&mut self, path: &str, case: &Case, report: &str) -> Option<String> {
        let path = path
            .strip_prefix("file://")
            .unwrap_or(path)
            .replace('\\', "/");
        let parts: Vec<&str> = path
            .split('/')
            .filter(|part| !matches!(*part, "" | "."))
            .collect();
        if parts.is_empty()
            || parts.contains(&"..")
            || parts.iter().any(|part| FOREIGN.contains(part))
        {
            return None;
        }
        let folders: Vec<&str> = ancestors(report).take(MOST_FOLDERS).collect();
        if path.starts_with('/') {
            // Where the workspace is, or was when the tests ran, is not known here: what of the path is in it is.
            let ends = (0..parts.len()).map(|from| parts[from..].join("/"));
            let mut found = ends.flat_map(|end| {
                let near = folders.iter().map(move |folder| format!("{folder}{end}"));
                near.collect::<Vec<_>>()
            });
            return found.find(|candidate| self.is_file(candidate));
        }
        let path = parts.join("/");
        let packages = packages(&case.class);
        let candidates = folders.iter().flat_map(|folder| {
            let plain = std::iter::once(format!("{folder}{path}"));
            let inside = packages.iter().flat_map(|package| {
                let roots = std::iter::once("").chain(JAVA_ROOTS);
                roots
                    .map(|root| format!("{folder}{root}{package}{path}"))
                    .collect::<Vec<_>>()
            });
            plain.chain(inside).collect::<Vec<_>>()
        });
        candidates
            .into_iter()
            .find(|candidate| self.is_file(candidate))
    }

    fn is_file(&mut self, path: &str) -> bool {
        if let Some(known) = self.known.get(path) {
            return *known;
        }
        if self.known.len() >= MOST_LOOKS {
            return false;
        }
        let is_file = files::stat(path).is_ok_and(|info| info.kind == files::Kind::File);
        self.known.insert(path.to_owned(), is_file);
        is_file
    }
}

/// The folders above a path, the nearest first, each with its `/`; the last one is the workspace itself.
fn ancestors(path: &str) -> impl Iterator<Item = &str> {
    let mut ends: Vec<usize> = path.match_indices('/').map(|(at, _)| at + 1).collect();
    ends.reverse();
    ends.push(0);
    ends.into_iter().map(|end| &path[..end])
}

/// The folders that a class or a package may be in, each with its `/`, the longest first: `com.acme.FooTest` is in `com/acme/` or in
/// `acme/`, and Go's `example.com/hello/calc` in `hello/calc/` or in `calc/`.
fn packages(class: &str) -> Vec<String> {
    let parts: Vec<&str> = match class.contains('/') {
        true => class.split('/').collect(),
        false => {
            let mut parts: Vec<&str> = class.split('.').collect();
            parts.pop();
            parts
        }
    };
    let is_plain =
        |part: &&str| !part.is_empty() && !part.contains(char::is_whitespace) && *part != "..";
    if !parts.iter().all(is_plain) || parts.len() > 12 {
        return Vec::new();
    }
    (0..parts.len())
        .map(|from| format!("{}/", parts[from..].join("/")))
        .collect()
}

/// The places that a text names, as compilers, debuggers and stack traces write them: `src/a.rs:12:5`, `(FooTest.java:12)`,
/// `File "a.py", line 12`.
fn mentions(text: &str) -> impl Iterator<Item = (&str, u32)> {
    let python = "\", line ";
    let marks = text.char_indices().filter(|(_, c)| matches!(c, ':' | '"'));
    marks.filter_map(move |(at, c)| {
        let (before, after) = match c {
            ':' => {
                let begin =
                    text[..at].rfind(|c: char| c.is_whitespace() || "\"'`()[]<>,=|:".contains(c));
                let begin = begin.map_or(0, |at| {
                    at + text[at..].chars().next().map_or(1, char::len_utf8)
                });
                (&text[begin..at], &text[at + 1..])
            }
            _ => {
                let begin = text[..at].rfind('"')? + 1;
                (&text[begin..at], text[at..].strip_prefix(python)?)
            }
        };
        let digits = after
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(after.len());
        let line = after[..digits].parse().ok().filter(|line| *line > 0)?;
        let ends_well = before.ends_with(|c: char| c.is_ascii_alphanumeric());
        let is_path =
            before.contains('.') && before.len() <= 1_000 && ends_well && !before.starts_with("//");
        is_path.then_some((before, line))
    })
}

#[cfg(test)]
mod tests;
