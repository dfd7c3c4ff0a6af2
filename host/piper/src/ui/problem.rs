//! How a [`Problem`] looks: a snippet with carets for people, one JSON object for machines.
//!
//! What is wrong is said by the problem; nothing here knows any code.

use super::sanitize;
use piper_core::problem::{Problem, Severity, Span};
use serde_json::{Value, json};
use std::{
    fmt::Write as _,
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
};
use unicode_width::UnicodeWidthChar;

/// How many problems keep a command from its work on the screen: whoever has more mends these first.
const MOST_SHOWN: usize = 20;

/// The widest snippet, in columns; a longer line is cut around its place.
const WIDEST: usize = 120;

/// The longest sentence, in characters: a word that it quotes may have a megabyte.
const LONGEST: usize = 1_000;

/// How many columns a tab takes in a snippet.
const TAB: &str = "    ";

/// Renders the first problems for people; `directory` is where paths are shown from.
pub fn text(problems: &[Problem], color: bool, directory: Option<&Path>) -> String {
    let shown = problems.len().min(MOST_SHOWN);
    let mut out = all(&problems[..shown], color, directory);
    if let more @ 1.. = problems.len() - shown {
        let _ = writeln!(out, "\n… and {more} more; `piper check` shows all of them");
    }
    out
}

/// Renders every problem for people, however many there are.
pub fn all(problems: &[Problem], color: bool, directory: Option<&Path>) -> String {
    let mut locator = Locator::default();
    let mut out = String::new();
    let mut painter = Painter {
        out: &mut out,
        color,
    };
    for problem in problems {
        painter.problem(problem, directory, &mut locator);
        painter.out.push('\n');
    }
    // No empty line behind the last one.
    out.pop();
    out
}

/// One object a problem.
pub fn json(problems: &[Problem], directory: Option<&Path>) -> Vec<Value> {
    let mut locator = Locator::default();
    problems
        .iter()
        .map(|problem| {
            let mut object = json!({
                "code": problem.code.to_string(),
                "severity": severity(problem.severity),
                "message": problem.message,
                "help": problem.help,
            });
            if let Some(label) = &problem.label {
                object["label"] = json!(label);
            }
            if let Some(span) = &problem.at {
                place_json(&mut object, span, directory, &mut locator);
            }
            if !problem.also.is_empty() {
                let also = problem.also.iter().map(|(span, label)| {
                    let mut object = json!({ "label": label });
                    place_json(&mut object, span, directory, &mut locator);
                    object
                });
                object["also"] = also.collect();
            }
            object
        })
        .collect()
}

/// The problems as lines for programs.
pub fn json_lines(problems: &[Problem], directory: Option<&Path>) -> Vec<String> {
    let line = |mut object: Value| {
        object["v"] = json!(1);
        object["type"] = json!("problem");
        object.to_string()
    };
    json(problems, directory).into_iter().map(line).collect()
}

fn place_json(object: &mut Value, span: &Span, directory: Option<&Path>, locator: &mut Locator) {
    let start = locator.locate(span, span.bytes.start);
    let end = locator.locate(span, span.bytes.end);
    object["path"] = json!(shown_path(&span.source.path, directory));
    object["line"] = json!(start.line);
    object["column"] = json!(start.column);
    object["end"] = json!({ "line": end.line, "column": end.column });
}

fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    }
}

/// A path as people want it: relative if it is below the folder where they are.
fn shown_path(path: &Path, directory: Option<&Path>) -> String {
    let below = directory.and_then(|directory| path.strip_prefix(directory).ok());
    harmless(&below.unwrap_or(path).to_string_lossy())
}

/// A place as people count it: from 1, in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    line: usize,
    column: usize,
    /// Where the line begins, in bytes.
    line_start: usize,
}

/// Finds lines and columns. It goes on from where it was last, so that all problems of a file together cost one walk through it.
#[derive(Default)]
struct Locator {
    last: Option<(Arc<piper_core::problem::Source>, usize, Place)>,
}

impl Locator {
    fn locate(&mut self, span: &Span, at: usize) -> Place {
        let text = &span.source.text;
        let at = text.floor_char_boundary(at.min(text.len()));
        // A byte order mark is no character that anybody sees.
        let first = if text.starts_with('\u{feff}') {
            '\u{feff}'.len_utf8()
        } else {
            0
        };
        let (mut from, mut place) = match &self.last {
            Some((source, from, place)) if Arc::ptr_eq(source, &span.source) && *from <= at => {
                (*from, *place)
            }
            _ => (
                first.min(at),
                Place {
                    line: 1,
                    column: 1,
                    line_start: first,
                },
            ),
        };
        let newlines = memchr::memchr_iter(b'\n', &text.as_bytes()[from..at]);
        let (count, last) =
            newlines.fold((0, None), |(count, _), newline| (count + 1, Some(newline)));
        if let Some(last) = last {
            from += last + 1;
            place = Place {
                line: place.line + count,
                column: 1,
                line_start: from,
            };
        }
        place.column += text[from..at].chars().count();
        self.last = Some((Arc::clone(&span.source), at, place));
        place
    }
}

struct Painter<'a> {
    out: &'a mut String,
    color: bool,
}

/// The parts of a message that have a colour.
#[derive(Clone, Copy)]
enum Ink {
    Error,
    Warning,
    Also,
    Frame,
    Strong,
}

impl Painter<'_> {
    fn paint(&mut self, ink: Ink, text: &str) {
        if !self.color {
            self.out.push_str(text);
            return;
        }
        let code = match ink {
            Ink::Error => "1;31",
            Ink::Warning => "1;33",
            Ink::Also | Ink::Frame => "1;34",
            Ink::Strong => "1",
        };
        let _ = write!(self.out, "\x1b[{code}m{text}\x1b[0m");
    }

    fn problem(&mut self, problem: &Problem, directory: Option<&Path>, locator: &mut Locator) {
        let ink = match problem.severity {
            Severity::Error => Ink::Error,
            Severity::Warning => Ink::Warning,
        };
        self.paint(
            ink,
            &format!("{}[{}]", severity(problem.severity), problem.code),
        );
        self.paint(Ink::Strong, &format!(": {}", sentence(&problem.message)));
        self.out.push('\n');
        let main = problem
            .at
            .iter()
            .map(|span| (span, problem.label.as_deref().unwrap_or_default(), ink, '^'));
        let also = problem
            .also
            .iter()
            .map(|(span, label)| (span, label.as_str(), Ink::Also, '-'));
        let marks: Vec<_> = main
            .chain(also)
            .map(|(span, label, ink, mark)| {
                (
                    locator.locate(span, span.bytes.start),
                    span,
                    label,
                    ink,
                    mark,
                )
            })
            .collect();
        let gutter = marks
            .iter()
            .map(|(place, ..)| place.line.to_string().len())
            .max()
            .unwrap_or(1);
        let mut shown: Option<PathBuf> = None;
        for (place, span, label, ink, mark) in marks {
            let arrow = if shown.as_ref() == Some(&span.source.path) {
                ":::"
            } else {
                "-->"
            };
            shown = Some(span.source.path.clone());
            let path = shown_path(&span.source.path, directory);
            self.paint(Ink::Frame, &format!("{:gutter$}{arrow} ", ""));
            let _ = writeln!(self.out, "{path}:{}:{}", place.line, place.column);
            self.snippet(place, span, (label, ink, mark), gutter);
        }
        for help in &problem.help {
            self.paint(Ink::Frame, &format!("{:gutter$} = ", ""));
            self.paint(Ink::Strong, "help:");
            let _ = writeln!(self.out, " {}", sentence(help));
        }
        if problem.help.is_empty() {
            self.paint(Ink::Frame, &format!("{:gutter$} = ", ""));
            self.paint(Ink::Strong, "help:");
            let _ = writeln!(self.out, " run `piper explain {}`", problem.code);
        }
    }

    fn snippet(
        &mut self,
        place: Place,
        span: &Span,
        (label, ink, mark): (&str, Ink, char),
        gutter: usize,
    ) {
        let text = &span.source.text;
        let rest = &text[place.line_start..];
        let line = rest.split('\n').next().unwrap_or_default();
        let line = line.strip_suffix('\r').unwrap_or(line);
        let line_end = place.line_start + line.len();
        let start = text
            .floor_char_boundary(span.bytes.start)
            .clamp(place.line_start, line_end);
        let end = text
            .ceil_char_boundary(span.bytes.end)
            .clamp(start, line_end);
        let cut = Cut::around(line, start - place.line_start..end - place.line_start);
        self.paint(Ink::Frame, &format!("{:gutter$} |\n", ""));
        self.paint(Ink::Frame, &format!("{:>gutter$} | ", place.line));
        let _ = writeln!(self.out, "{}", cut.line);
        self.paint(Ink::Frame, &format!("{:gutter$} | ", ""));
        let mut carets: String = std::iter::repeat_n(mark, cut.width.max(1)).collect();
        let lines = text[start..span.bytes.end.clamp(start, text.len())]
            .matches('\n')
            .count();
        if lines > 0 {
            carets.push('…');
        }
        if !label.is_empty() {
            let _ = write!(carets, " {}", sentence(label));
        }
        self.out.extend(std::iter::repeat_n(' ', cut.before));
        self.paint(ink, &carets);
        self.out.push('\n');
    }
}

/// A line as it is shown, and where the marked part is in it, in columns.
struct Cut {
    line: String,
    before: usize,
    width: usize,
}

impl Cut {
    /// Cuts what is too wide, with the marked part in the middle of what stays.
    fn around(line: &str, marked: Range<usize>) -> Self {
        const ROOM_BEFORE: usize = 40;
        let begin = back(line, marked.start, ROOM_BEFORE);
        let whole = columns_up_to(line, WIDEST);
        let begin = if whole.is_none() { 0 } else { begin };
        let mut shown = String::new();
        let mut columns = 0;
        let (mut before, mut after) = (None, None);
        if begin > 0 {
            shown.push('…');
            columns += 1;
        }
        let mut cut = false;
        for (at, c) in line[begin..].char_indices() {
            let at = begin + at;
            if at >= marked.start && before.is_none() {
                before = Some(columns);
            }
            if at >= marked.end && after.is_none() {
                after = Some(columns);
            }
            if columns >= WIDEST {
                cut = true;
                break;
            }
            columns += push_harmless(&mut shown, c);
        }
        if cut {
            shown.push('…');
        }
        let before = before.unwrap_or(columns);
        Self {
            line: shown,
            before,
            width: after.unwrap_or(columns).saturating_sub(before),
        }
    }
}

/// The place at most `count` characters before `at`; the line's beginning, if it is near.
fn back(line: &str, at: usize, count: usize) -> usize {
    line[..at]
        .char_indices()
        .rev()
        .nth(count)
        .map_or(0, |(at, _)| at)
}

/// The place where a line passes a width, if it does.
fn columns_up_to(line: &str, width: usize) -> Option<usize> {
    let mut columns = 0;
    line.char_indices().find_map(|(at, c)| {
        columns += if c == '\t' {
            TAB.len()
        } else {
            c.width().unwrap_or(1)
        };
        (columns > width).then_some(at)
    })
}

/// A harmless text without the middle of what is too long: the end of a sentence says as much as its beginning.
fn sentence(text: &str) -> String {
    let over = text.chars().count().saturating_sub(LONGEST);
    if over == 0 {
        return harmless(text);
    }
    let begin: String = text.chars().take(LONGEST / 2).collect();
    let end: String = text.chars().skip(LONGEST / 2 + over).collect();
    harmless(&format!("{begin} … {end}"))
}

/// A text that moves no cursor and changes no terminal.
fn harmless(text: &str) -> String {
    let mut harmless = String::with_capacity(text.len());
    for c in text.chars() {
        push_harmless(&mut harmless, c);
    }
    harmless
}

/// Appends a character, or what stands for it, and returns how many columns that takes.
fn push_harmless(out: &mut String, c: char) -> usize {
    match c {
        '\t' => {
            out.push_str(TAB);
            TAB.len()
        }
        c => {
            let shown = sanitize::shown(c);
            out.push(shown);
            shown.width().unwrap_or(0)
        }
    }
}

#[cfg(test)]
mod tests;
