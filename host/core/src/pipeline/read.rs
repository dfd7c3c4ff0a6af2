//! From bytes to spanned tables, with the errors of UTF-8 and TOML in words for people who do not know TOML.
//!
//! What the keys mean is not known here.

use crate::{
    codes,
    problem::{Code, Problem, Source, Span},
};
use std::{ops::Range, path::PathBuf, sync::Arc};
use toml::de::{DeTable, Error};

/// Makes a text of the bytes, and reports bytes that are none.
pub fn text(path: PathBuf, bytes: Vec<u8>) -> (Arc<Source>, Option<Problem>) {
    let error = match String::from_utf8(bytes) {
        Ok(text) => return (Arc::new(Source { path, text }), None),
        Err(error) => error,
    };
    let start = error.utf8_error().valid_up_to();
    let bytes = error.as_bytes();
    let utf16 = bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff");
    let byte = bytes[start];
    // The replacement character stands where the bad bytes were, so that the place can be shown; all before it is unchanged.
    let source = Arc::new(Source {
        path,
        text: String::from_utf8_lossy(bytes).into_owned(),
    });
    let at = Span {
        source: Arc::clone(&source),
        bytes: start..start + '\u{fffd}'.len_utf8(),
    };
    let problem = Problem::error(codes::NOT_UTF8, "the file is not UTF-8")
        .at(at, format!("byte 0x{byte:02x} is not part of a character"))
        .help(if utf16 {
            "the file is UTF-16: save it as UTF-8"
        } else {
            "save the file as UTF-8"
        });
    (source, Some(problem))
}

/// How many syntax errors are told: whoever has more has a file that is not TOML at all.
const MOST_ERRORS: usize = 100;

/// The tables of a text, and what is wrong with its syntax.
pub(super) struct Syntax<'a> {
    table: DeTable<'a>,
    errors: Vec<SyntaxError>,
}

/// The first thing wrong in a line; what follows it there is mostly its child.
struct SyntaxError {
    mistake: Mistake,
    /// The parser's words.
    message: String,
    at: Range<usize>,
    line: Range<usize>,
}

/// What people do wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mistake {
    Unquoted,
    NoEquals,
    Duplicate,
    NotATable,
    ListNotClosed,
    NotClosed,
    TooDeep,
    Other,
}

impl Mistake {
    fn of(message: &str, wrong: &str) -> Self {
        let word = wrong.starts_with(|c: char| c.is_ascii_alphanumeric());
        let begins = |beginnings: &[&str]| beginnings.iter().any(|b| message.starts_with(b));
        let number = [
            "invalid float",
            "invalid integer",
            "invalid number",
            "invalid datetime",
        ];
        if begins(&["string values must be quoted", "invalid value"]) || (word && begins(&number)) {
            Self::Unquoted
        } else if begins(&["key with no value", "invalid unquoted key"]) {
            Self::NoEquals
        } else if begins(&["duplicate key"]) {
            Self::Duplicate
        } else if begins(&["cannot extend value"]) {
            Self::NotATable
        } else if begins(&["unexpected `=` in array"]) {
            Self::ListNotClosed
        } else if begins(&[
            "unclosed",
            "invalid basic string, expected `\"`",
            "invalid multi-line",
            "invalid literal string",
        ]) {
            Self::NotClosed
        } else if begins(&["recursion limit", "cannot recurse"]) {
            Self::TooDeep
        } else {
            Self::Other
        }
    }

    fn code(self) -> Code {
        match self {
            Self::Unquoted => codes::UNQUOTED,
            Self::NoEquals => codes::NO_EQUALS,
            Self::Duplicate | Self::NotATable => codes::DUPLICATE_KEY,
            Self::ListNotClosed | Self::NotClosed => codes::UNCLOSED,
            Self::TooDeep => codes::TOO_DEEP,
            Self::Other => codes::SYNTAX,
        }
    }

    /// Whether all other keys are where they were meant to be.
    fn is_contained(self) -> bool {
        match self {
            Self::Unquoted | Self::NoEquals | Self::Duplicate | Self::NotATable => true,
            Self::ListNotClosed | Self::NotClosed | Self::TooDeep | Self::Other => false,
        }
    }
}

/// Parses the text, going on after errors.
pub(super) fn parse(text: &str) -> Syntax<'_> {
    let (table, mut found) = DeTable::parse_recoverable(text);
    let start = |error: &Error| error.span().map_or(0, |at| at.start);
    found.sort_by_key(start);
    let mut errors: Vec<SyntaxError> = Vec::new();
    // A table that is here twice is merged by the parser, which then complains of each of its keys too.
    let mut merged_until = 0;
    for error in found {
        let at = error.span().unwrap_or(0..0);
        // Not promised by the parser, and what follows slices the text.
        let at = text.floor_char_boundary(at.start)..text.ceil_char_boundary(at.end);
        let mistake = Mistake::of(error.message(), &text[at.clone()]);
        if mistake == Mistake::Duplicate && at.start < merged_until {
            continue;
        }
        if let Some(last) = errors.last_mut().filter(|last| at.start <= last.line.end) {
            // The first error of such a line speaks of a missing comma, which is what nobody forgot.
            if mistake == Mistake::ListNotClosed {
                last.mistake = mistake;
            }
            continue;
        }
        if errors.len() == MOST_ERRORS {
            break;
        }
        let start = text[..at.start]
            .rfind('\n')
            .map_or(0, |newline| newline + 1);
        let end = text[at.start..]
            .find('\n')
            .map_or(text.len(), |length| at.start + length);
        if mistake == Mistake::Duplicate && text[start..].trim_start().starts_with('[') {
            merged_until = text[end..]
                .find("\n[")
                .map_or(text.len(), |length| end + length);
        }
        errors.push(SyntaxError {
            mistake,
            message: error.message().to_owned(),
            at,
            line: start..end,
        });
    }
    Syntax {
        table: table.into_inner(),
        errors,
    }
}

impl<'a> Syntax<'a> {
    /// The text with each line that lacks its `=` blanked, if there is one: the parser builds no tables behind such a line.
    pub(super) fn without_bad_lines(&self, text: &str) -> Option<String> {
        if self.is_hopeless() {
            return None;
        }
        let mut masked = String::new();
        for error in self
            .errors
            .iter()
            .filter(|error| error.mistake == Mistake::NoEquals)
        {
            masked.push_str(&text[masked.len()..error.line.start]);
            masked.extend(std::iter::repeat_n(' ', error.line.len()));
        }
        if masked.is_empty() {
            return None;
        }
        masked.push_str(&text[masked.len()..]);
        Some(masked)
    }

    /// Whether there is so much wrong that not all of it was looked at.
    fn is_hopeless(&self) -> bool {
        self.errors.len() >= MOST_ERRORS
    }

    /// Takes tables and further errors from a second parse, of the text that [`Self::without_bad_lines`] made.
    pub(super) fn complete(mut self, second: Self) -> Self {
        self.errors
            .retain(|error| error.mistake == Mistake::NoEquals);
        self.errors.extend(second.errors);
        self.errors.sort_by_key(|error| error.at.start);
        self.errors.truncate(MOST_ERRORS);
        Self {
            table: second.table,
            errors: self.errors,
        }
    }

    /// The tables, if they can be as they were meant, and what is wrong.
    pub(super) fn finish(mut self, source: &Arc<Source>) -> (Option<DeTable<'a>>, Vec<Problem>) {
        // A list that is not closed swallows what follows; every further error is its child.
        if let Some(open) = self
            .errors
            .iter()
            .position(|error| error.mistake == Mistake::ListNotClosed)
        {
            self.errors.truncate(open + 1);
        }
        let problems = self
            .errors
            .iter()
            .map(|error| error.problem(source))
            .collect();
        let contained =
            !self.is_hopeless() && self.errors.iter().all(|error| error.mistake.is_contained());
        (contained.then_some(self.table), problems)
    }

    /// Removes problems of values that are only children of what is wrong with the syntax.
    pub(super) fn remove_children(syntax: &[Problem], others: &mut Vec<Problem>) {
        if syntax.is_empty() {
            return;
        }
        let lines_lost = syntax
            .iter()
            .any(|problem| problem.code == codes::NO_EQUALS);
        others.retain(|problem| {
            let graph = (200..300).contains(&problem.code.0) || problem.code == codes::MISSING_KEY;
            if graph && lines_lost {
                return false;
            }
            let (Some(at), false) = (&problem.at, graph) else {
                return true;
            };
            let after = syntax.partition_point(|known| start(known) <= at.bytes.start);
            after == 0 || at.source.text[start(&syntax[after - 1])..at.bytes.start].contains('\n')
        });
    }
}

fn start(problem: &Problem) -> usize {
    problem.at.as_ref().map_or(0, |span| span.bytes.start)
}

impl SyntaxError {
    fn problem(&self, source: &Arc<Source>) -> Problem {
        let text = source.text.as_str();
        let line = &text[self.line.clone()];
        let wrong = &text[self.at.clone()];
        let (message, label, help, at) = match self.mistake {
            Mistake::Unquoted if wrong.is_empty() => (
                "no value after `=`".to_owned(),
                "a value belongs here",
                String::new(),
                self.at.clone(),
            ),
            Mistake::Unquoted => (
                "a text without quotes".to_owned(),
                "not a value",
                unquoted_help(wrong),
                self.at.clone(),
            ),
            Mistake::NoEquals => {
                let (help, at) = self.no_equals(line);
                (
                    "no `=` between a key and its value".to_owned(),
                    "not `key = value`",
                    help,
                    at,
                )
            }
            Mistake::Duplicate => (
                format!("the key `{}` is here twice", wrong.trim()),
                "the second time",
                "a key stands once in its table: remove or rename one of the two".to_owned(),
                self.at.clone(),
            ),
            Mistake::NotATable => (
                format!("`{wrong}` is a value already, so it cannot have keys of its own"),
                "used as a table",
                "write its keys in one place: `[steps.name]` with `run = \"…\"` below it"
                    .to_owned(),
                self.at.clone(),
            ),
            Mistake::ListNotClosed => (
                "a list is not closed".to_owned(),
                "this looks like the next key",
                "end the list above with `]`".to_owned(),
                self.line.start..self.line.end,
            ),
            Mistake::NotClosed if self.message.starts_with("invalid multi-line") => {
                // The parser points at the end of the file; what helps is where the text begins.
                let quotes = if self.message.contains("literal") {
                    "'''"
                } else {
                    "\"\"\""
                };
                let begin = text[..self.at.start].rfind(quotes).unwrap_or(self.at.start);
                (
                    self.message_of_unclosed(),
                    "begins here",
                    format!("end it with {quotes}"),
                    begin..(begin + quotes.len()).min(text.len()),
                )
            }
            Mistake::NotClosed => (
                self.message_of_unclosed(),
                "",
                self.unclosed_help(line),
                self.at.clone(),
            ),
            Mistake::TooDeep => (
                "nested too deeply".to_owned(),
                "here is the limit",
                "no key of a project file is nested more than a few levels".to_owned(),
                self.at.clone(),
            ),
            Mistake::Other => (
                format!("this is not TOML: {}", self.message),
                "",
                other_help(&self.message).to_owned(),
                self.at.clone(),
            ),
        };
        let at = Span {
            source: Arc::clone(source),
            bytes: trim(text, at),
        };
        let mut problem = Problem::error(self.mistake.code(), message).at(at, label);
        if self.mistake == Mistake::Duplicate
            && let Some(first) = self.first_time(text)
        {
            problem.also.push((
                Span {
                    source: Arc::clone(source),
                    bytes: first,
                },
                "the first time".to_owned(),
            ));
        }
        if !help.is_empty() {
            problem = problem.help(help);
        }
        problem
    }

    /// What to write instead, and the place: the habits of YAML and of makefiles are the usual cause.
    fn no_equals(&self, line: &str) -> (String, Range<usize>) {
        let content = line.trim();
        let whole = trim(line, 0..line.len());
        let whole = self.line.start + whole.start..self.line.start + whole.end;
        let help = if content.starts_with("- ") {
            "a list is written `key = [\"a\", \"b\"]`".to_owned()
        } else if let Some((key, value)) = content.split_once(':') {
            let (key, value) = (key.trim(), value.trim());
            match value {
                "" => format!("a table begins with `[{key}]`"),
                _ if value.starts_with(['"', '\'', '[', '{']) => format!("write `{key} = {value}`"),
                _ => format!("write `{key} = {}`", quoted(value)),
            }
        } else if let Some((key, value)) = content.split_once('=') {
            match key.trim().contains(' ') {
                true => format!(
                    "a name has no spaces: write `{} ={value}`",
                    key.trim().replace(' ', "-")
                ),
                false => "a key is made of letters, digits, `-` and `_`".to_owned(),
            }
        } else if let Some((key, value)) = content.split_once(char::is_whitespace) {
            match value.trim() {
                value if value.starts_with(['"', '\'', '[', '{']) => {
                    format!("write `{key} = {value}`")
                }
                value => format!("write `{key} = {}`", quoted(value)),
            }
        } else {
            format!("write `{content} = …`, or `[{content}]` if a table begins here")
        };
        (help, whole)
    }

    fn message_of_unclosed(&self) -> String {
        let what = match self.message.as_str() {
            message if message.starts_with("unclosed inline table") => "an inline table",
            message if message.starts_with("unclosed array table") => "a header `[[…]]`",
            message if message.starts_with("unclosed array") => "a list",
            message if message.starts_with("unclosed table") => "a header `[…]`",
            _ => "a string",
        };
        format!("{what} is not closed")
    }

    fn unclosed_help(&self, line: &str) -> String {
        match self.message.as_str() {
            message if message.starts_with("unclosed inline table") => "end it with `}`".to_owned(),
            message if message.starts_with("unclosed array table") => "end it with `]]`".to_owned(),
            message if message.starts_with("unclosed table") && line.trim().contains(' ') => {
                "end it with `]`; names have no spaces".to_owned()
            }
            message if message.starts_with("unclosed") => "end it with `]`".to_owned(),
            _ => "end it with the quotes with which it began; a text of several lines stands between `\"\"\"` and `\"\"\"`".to_owned(),
        }
    }

    /// Where the key stood before. The parser does not tell, so this looks for a line that begins alike: upwards to the table's
    /// header for a key, through the whole file for a header.
    fn first_time(&self, text: &str) -> Option<Range<usize>> {
        let own = text[self.line.start..self.at.end].trim_start();
        let header = own.starts_with('[');
        let mut end = self.line.start;
        while end > 0 {
            let start = text[..end - 1].rfind('\n').map_or(0, |newline| newline + 1);
            let line = &text[start..end];
            let content = line.trim_start();
            if let Some(rest) = content.strip_prefix(own)
                && rest
                    .trim_start()
                    .starts_with(if header { [']', ']'] } else { ['=', '.'] })
            {
                let at = start + (line.len() - content.len());
                return Some(at..at + own.len());
            }
            if !header && content.starts_with('[') {
                return None;
            }
            end = start;
        }
        None
    }
}

/// Narrows a place to what is no space at its ends.
fn trim(text: &str, at: Range<usize>) -> Range<usize> {
    let part = &text[at.clone()];
    let start = at.start + (part.len() - part.trim_start().len());
    let length = part.trim().len();
    if length == 0 {
        at
    } else {
        start..start + length
    }
}

/// A text as TOML writes it, with the quotes that need the least escaping.
pub fn quoted(text: &str) -> String {
    if text.contains(['"', '\\']) && !text.contains('\'') && !text.contains(char::is_control) {
        format!("'{text}'")
    } else {
        format!("{text:?}")
    }
}

fn unquoted_help(wrong: &str) -> String {
    match wrong.to_lowercase().as_str() {
        "yes" | "on" | "true" => "a yes is written `true`".to_owned(),
        "no" | "off" | "false" => "a no is written `false`".to_owned(),
        "null" | "nil" | "none" | "~" => {
            "leave the key out: there is no value for nothing".to_owned()
        }
        _ => {
            let bare = wrong.trim_matches(['“', '”', '„', '‘', '’', '`']);
            format!("write {}", quoted(bare))
        }
    }
}

fn other_help(message: &str) -> &'static str {
    if message.starts_with("carriage return") {
        "a line ends with a line feed, or with a carriage return and a line feed"
    } else if message.starts_with("unexpected key or value") {
        "one key stands on a line; a text that contains its own quotes goes between `'` or `\"\"\"`"
    } else if message.starts_with("missing comma") {
        "put a comma between the two"
    } else if message.starts_with("missing escaped value") || message.contains("escape") {
        "a backslash is written `\\\\` in \"…\"; in '…' it stands for itself"
    } else if message.starts_with("unexpected leading zero") {
        "quote it if it is a text"
    } else {
        ""
    }
}
