//! From bytes to spanned tables, with the errors of UTF-8 and TOML in words for people who do not know TOML.
//!
//! What the keys mean is not known here.

mod mistake;
mod open;
mod twice;

use self::mistake::{Mistake, SyntaxError};
use crate::{
    codes,
    problem::{Problem, Source, Span},
};
use std::{ops::Range, path::PathBuf, sync::Arc};
use toml::de::{DeTable, Error};

/// At how many places bytes that are no text are told: whoever has more saved the whole file so.
const MOST_NOT_UTF8: usize = 20;

/// Makes a text of the bytes, and reports bytes that are none. In the text the replacement character stands for each of these, so
/// that what is around it is still read, in its place.
pub(super) fn text(path: PathBuf, bytes: Vec<u8>) -> (Arc<Source>, Vec<Problem>) {
    let error = match String::from_utf8(bytes) {
        Ok(text) => return (Arc::new(Source { path, text }), Vec::new()),
        Err(error) => error,
    };
    let bytes = error.as_bytes();
    if let Some(text) = utf16(bytes) {
        let source = Arc::new(Source { path, text });
        let problem = not_utf8(&source, 0, bytes[0]);
        return (
            source,
            vec![problem.help("the file is UTF-16: save it as UTF-8")],
        );
    }
    let mut text = String::with_capacity(bytes.len());
    let (mut places, mut more) = (Vec::new(), 0);
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        for &byte in chunk.invalid() {
            if places.len() < MOST_NOT_UTF8 {
                places.push((text.len(), byte));
            } else {
                more += 1;
            }
            text.push(char::REPLACEMENT_CHARACTER);
        }
    }
    let source = Arc::new(Source { path, text });
    let problem =
        |&(at, byte): &(usize, u8)| not_utf8(&source, at, byte).help("save the file as UTF-8");
    let mut problems: Vec<Problem> = places.iter().map(problem).collect();
    if let (Some(last), 1..) = (problems.last_mut(), more) {
        last.help.push(format!("{more} more of them follow"));
    }
    (source, problems)
}

/// The text of a file in UTF-16, which begins with a byte order mark.
fn utf16(bytes: &[u8]) -> Option<String> {
    let unit: fn([u8; 2]) -> u16 = match bytes {
        [0xff, 0xfe, ..] => u16::from_le_bytes,
        [0xfe, 0xff, ..] => u16::from_be_bytes,
        _ => return None,
    };
    let (pairs, _) = bytes.as_chunks::<2>();
    let units = pairs.iter().map(|pair| unit(*pair));
    Some(
        char::decode_utf16(units)
            .map(|decoded| decoded.unwrap_or(char::REPLACEMENT_CHARACTER))
            .collect(),
    )
}

fn not_utf8(source: &Arc<Source>, at: usize, byte: u8) -> Problem {
    let end = source.text.ceil_char_boundary(at + 1);
    let at = Span {
        source: Arc::clone(source),
        bytes: at..end,
    };
    Problem::error(codes::NOT_UTF8, "the file is not UTF-8")
        .at(at, format!("byte 0x{byte:02x} is not part of a character"))
}

/// Whether a problem is about a part of the text that has bytes which are none, and so perhaps only a child of these.
pub(super) fn is_about_no_text(problem: &Problem) -> bool {
    problem.at.as_ref().is_some_and(|Span { source, bytes }| {
        let start = source.text.floor_char_boundary(bytes.start);
        // What is missing is told as an empty place, which may stand before such a byte.
        let end = source.text.ceil_char_boundary(bytes.end + 1);
        source.text[start..end.max(start)].contains(char::REPLACEMENT_CHARACTER)
    })
}

/// How many syntax errors are told: whoever has more has a file that is not TOML at all.
const MOST_ERRORS: usize = 100;

/// How often a text is parsed again without what swallowed the rest of it: each time costs a walk through the file.
const MOST_ROUNDS: usize = 16;

/// The tables of a text, and what is wrong with its syntax.
pub(super) struct Syntax<'a> {
    table: DeTable<'a>,
    errors: Vec<SyntaxError>,
    /// What was found in the rounds before, in lines that are blank now.
    blanked: Vec<SyntaxError>,
    rounds: usize,
}

/// Parses the text, going on after errors.
pub(super) fn parse(text: &str) -> Syntax<'_> {
    let (table, mut found) = DeTable::parse_recoverable(text);
    let start = |error: &Error| error.span().map_or(0, |at| at.start);
    found.sort_by_key(start);
    let swallower = swallower(text, &found);
    // What is missing at the end of the text is a mistake as well.
    let end = swallower
        .as_ref()
        .map_or(usize::MAX, |error| error.lost.start);
    let mut errors: Vec<SyntaxError> = Vec::new();
    // A table that is here twice is merged by the parser, which then complains of each of its keys too.
    let mut merged_until = 0;
    for error in self::errors(text, &found) {
        if error.at.start >= end
            || (error.mistake == Mistake::Duplicate && error.at.start < merged_until)
            // The first thing wrong in a line; what follows it there is mostly its child.
            || errors.last().is_some_and(|last| error.at.start <= last.line.end)
        {
            continue;
        }
        if errors.len() == MOST_ERRORS {
            break;
        }
        if error.mistake == Mistake::Duplicate
            && text[error.line.start..].trim_start().starts_with('[')
        {
            merged_until = text[error.line.end..]
                .find("\n[")
                .map_or(text.len(), |length| error.line.end + length);
        }
        errors.push(error);
    }
    errors.extend(swallower);
    Syntax {
        table: table.into_inner(),
        errors,
        blanked: Vec::new(),
        rounds: 0,
    }
}

/// What the parser found, in its order. The line is looked up once for all that is wrong in it: a line may have a megabyte.
fn errors(text: &str, found: &[Error]) -> impl Iterator<Item = SyntaxError> {
    let mut line: Option<Range<usize>> = None;
    found.iter().map(move |error| {
        let at = error.span().unwrap_or(0..0);
        // Not promised by the parser, and what follows slices the text.
        let at = text.floor_char_boundary(at.start)..text.ceil_char_boundary(at.end);
        let line = match line.take().filter(|line| at.start <= line.end) {
            Some(known) => line.insert(known),
            None => line.insert(mistake::line_of(text, at.start)),
        };
        SyntaxError::new(error.message(), text, at, line.clone())
    })
}

/// The first mistake that makes the parser take what follows for something else.
fn swallower(text: &str, found: &[Error]) -> Option<SyntaxError> {
    let mut first: Option<SyntaxError> = None;
    let mut seen = Vec::new();
    for mut error in errors(text, found).filter(|error| error.mistake.swallows()) {
        // Of each kind the first begins first, and what is found for one costs a walk through the text.
        if seen.contains(&error.mistake) {
            continue;
        }
        seen.push(error.mistake);
        error.find_what_it_swallows(text);
        if first
            .as_ref()
            .is_none_or(|first| error.lost.start < first.lost.start)
        {
            first = Some(error);
        }
    }
    let first = first?;
    // A string that is not closed swallows the bracket behind it: then that is what is missing.
    if first.mistake == Mistake::BracketNotClosed
        && let Some(mut string) = errors(text, found).find(|error| {
            error.mistake == Mistake::StringNotClosed && first.lost.contains(&error.at.start)
        })
    {
        string.lost = first.lost;
        return Some(string);
    }
    Some(first)
}

impl<'a> Syntax<'a> {
    /// The text with blanks for each part that hides others from the parser, if there is one; places stay what they are.
    pub(super) fn blank(&mut self, text: &str) -> Option<(String, Blanked)> {
        if self.is_hopeless() {
            return None;
        }
        let mut masked = String::with_capacity(text.len());
        for error in self.errors.iter().filter(|error| !error.lost.is_empty()) {
            masked.push_str(&text[masked.len()..error.lost.start]);
            let blanks = text[error.lost.clone()].bytes().map(|byte| match byte {
                b'\n' => '\n',
                _ => ' ',
            });
            masked.extend(blanks);
        }
        if masked.is_empty() {
            return None;
        }
        masked.push_str(&text[masked.len()..]);
        self.blanked
            .extend(self.errors.extract_if(.., |error| !error.lost.is_empty()));
        Some((
            masked,
            Blanked(std::mem::take(&mut self.blanked), self.rounds + 1),
        ))
    }

    /// Goes on from the rounds before.
    pub(super) fn after(mut self, Blanked(blanked, rounds): Blanked) -> Self {
        self.blanked = blanked;
        self.rounds = rounds;
        self
    }

    /// Whether there is so much wrong that not all of it was looked at.
    fn is_hopeless(&self) -> bool {
        self.errors.len() + self.blanked.len() >= MOST_ERRORS || self.rounds >= MOST_ROUNDS
    }

    /// The tables, if they can be as they were meant, and what is wrong.
    pub(super) fn finish(mut self, source: &Arc<Source>) -> (Option<DeTable<'a>>, Vec<Problem>) {
        let hopeless = self.is_hopeless();
        self.errors.append(&mut self.blanked);
        self.errors.sort_by_key(|error| error.at.start);
        self.errors.truncate(MOST_ERRORS);
        let mut problems: Vec<Problem> = self
            .errors
            .iter()
            .map(|error| error.problem(source, &self.table))
            .collect();
        if hopeless && let Some(last) = problems.last_mut() {
            last.help
                .push("mend these first: the rest of the file was not looked at".to_owned());
        }
        ((!hopeless).then_some(self.table), problems)
    }

    /// Removes problems of values that are only children of what is wrong with the syntax.
    pub(super) fn remove_children(syntax: &[Problem], others: &mut Vec<Problem>) {
        if syntax.is_empty() {
            return;
        }
        // A step, a list or a parameter may stand in what could not be read.
        let lost = syntax.iter().any(|problem| {
            [
                codes::NO_EQUALS,
                codes::UNCLOSED,
                codes::SYNTAX,
                codes::TOO_DEEP,
                codes::BAD_NAME,
            ]
            .contains(&problem.code)
        });
        others.retain(|problem| {
            let graph = problem.code.is_of_graph() || problem.code == codes::MISSING_KEY;
            if graph && lost {
                return false;
            }
            let (Some(at), false) = (&problem.at, graph) else {
                return true;
            };
            // The parser makes something up in the place of a value that it cannot read, and says that it stands nowhere.
            if at.bytes == (0..0) {
                return false;
            }
            let after = syntax.partition_point(|known| start(known) <= at.bytes.start);
            let on_its_line = |known: &Problem| {
                let (one, other) = (start(known), at.bytes.start);
                !at.source.text[one.min(other)..one.max(other)].contains('\n')
            };
            let neighbours = &syntax[after.saturating_sub(1)..syntax.len().min(after + 1)];
            !neighbours.iter().any(on_its_line)
        });
    }
}

/// What was found and blanked before a round, and how many rounds there were.
pub(super) struct Blanked(Vec<SyntaxError>, usize);

fn start(problem: &Problem) -> usize {
    problem.at.as_ref().map_or(0, |span| span.bytes.start)
}

/// A text as TOML writes it, with the quotes that need the least escaping.
pub fn quoted(text: &str) -> String {
    if text.contains(['"', '\\']) && !text.contains('\'') && !text.contains(char::is_control) {
        format!("'{text}'")
    } else {
        format!("{text:?}")
    }
}
