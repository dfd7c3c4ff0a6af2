//! What people do wrong when they write TOML, and how it is told to somebody who does not know it.
//!
//! Nothing here decides what else is looked at: that is for [`read`](super).

use super::{
    open::{self, Open},
    quoted, twice,
};
use crate::{
    codes,
    problem::{Code, Problem, Source, Span},
};
use std::{ops::Range, sync::Arc};
use toml::de::DeTable;

/// One thing wrong in a line.
pub(super) struct SyntaxError {
    pub(super) mistake: Mistake,
    /// The parser's words.
    message: String,
    /// Where the parser saw it.
    pub(super) at: Range<usize>,
    pub(super) line: Range<usize>,
    /// Where that begins which is not closed.
    begin: usize,
    /// Lines whose keys are not where they were meant to be, because of it.
    pub(super) lost: Range<usize>,
}

/// What people do wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mistake {
    Unquoted,
    NoEquals,
    Duplicate,
    NotATable,
    HeaderNotClosed,
    BadHeader,
    BracketNotClosed,
    StringNotClosed,
    TextNotClosed,
    TooDeep,
    Other,
}

impl Mistake {
    fn of(message: &str, wrong: &str, line: &str) -> Self {
        let word = wrong.starts_with(|c: char| c.is_ascii_alphanumeric());
        let begins = |beginnings: &[&str]| beginnings.iter().any(|b| message.starts_with(b));
        let number = [
            "invalid float",
            "invalid integer",
            "invalid number",
            "invalid datetime",
        ];
        let open_header = begins(&["unclosed table", "unclosed array table"]);
        let bad_key = begins(&["invalid unquoted key", "unquoted keys cannot be empty"]);
        if begins(&["string values must be quoted", "invalid value"]) || (word && begins(&number)) {
            Self::Unquoted
        } else if open_header && !line.contains(']') {
            Self::HeaderNotClosed
        } else if open_header || (bad_key && line.trim_start().starts_with('[')) {
            Self::BadHeader
        } else if begins(&["key with no value", "invalid unquoted key"]) {
            Self::NoEquals
        } else if begins(&["duplicate key"]) {
            Self::Duplicate
        } else if begins(&["cannot extend value"]) {
            Self::NotATable
        } else if begins(&["unclosed array", "unclosed inline table"]) {
            Self::BracketNotClosed
        } else if begins(&["invalid multi-line"]) {
            Self::TextNotClosed
        } else if begins(&[
            "invalid basic string, expected `\"`",
            "invalid literal string, expected `'`",
        ]) || (begins(&["invalid basic string", "invalid literal string"])
            && wrong.starts_with('\r'))
        {
            Self::StringNotClosed
        } else if begins(&["recursion limit", "cannot recurse"]) {
            Self::TooDeep
        } else {
            Self::Other
        }
    }

    /// Whether the parser takes what follows for something else.
    pub(super) fn swallows(self) -> bool {
        match self {
            Self::HeaderNotClosed
            | Self::BadHeader
            | Self::BracketNotClosed
            | Self::TextNotClosed
            | Self::TooDeep => true,
            Self::Unquoted
            | Self::NoEquals
            | Self::Duplicate
            | Self::NotATable
            | Self::StringNotClosed
            | Self::Other => false,
        }
    }

    fn code(self) -> Code {
        match self {
            Self::Unquoted => codes::UNQUOTED,
            Self::NoEquals => codes::NO_EQUALS,
            Self::Duplicate | Self::NotATable => codes::DUPLICATE_KEY,
            Self::BadHeader => codes::BAD_NAME,
            Self::HeaderNotClosed
            | Self::BracketNotClosed
            | Self::StringNotClosed
            | Self::TextNotClosed => codes::UNCLOSED,
            Self::TooDeep => codes::TOO_DEEP,
            Self::Other => codes::SYNTAX,
        }
    }
}

/// How a mistake is told.
struct Words {
    message: String,
    at: Range<usize>,
    label: String,
    also: Option<(Range<usize>, &'static str)>,
    help: String,
}

impl SyntaxError {
    pub(super) fn new(message: &str, text: &str, at: Range<usize>, line: Range<usize>) -> Self {
        let mistake = Mistake::of(message, &text[at.clone()], &text[line.clone()]);
        let lost = match mistake {
            // The parser builds no tables behind such a line.
            Mistake::NoEquals => line.clone(),
            _ => line.start..line.start,
        };
        Self {
            mistake,
            message: message.to_owned(),
            begin: at.start,
            at,
            line,
            lost,
        }
    }

    /// Finds the lines that the parser did not take for what they are.
    pub(super) fn find_what_it_swallows(&mut self, text: &str) {
        let end = match self.mistake {
            Mistake::BracketNotClosed => {
                let open = Open::at_end_of(text).brackets;
                self.begin = open.first().map_or(0, |(begin, _)| *begin);
                open::extent(text, self.begin).end
            }
            Mistake::TextNotClosed => {
                self.begin = Open::at_end_of(text).string.unwrap_or_default();
                text.len()
            }
            Mistake::TooDeep => text.len(),
            // The next header is as good as ever.
            Mistake::HeaderNotClosed | Mistake::BadHeader => text[self.line.end..]
                .find("\n[")
                .map_or(text.len(), |length| self.line.end + length),
            Mistake::Unquoted
            | Mistake::NoEquals
            | Mistake::Duplicate
            | Mistake::NotATable
            | Mistake::StringNotClosed
            | Mistake::Other => return,
        };
        self.lost = line_of(text, self.begin).start..end;
    }

    pub(super) fn problem(&self, source: &Arc<Source>, table: &DeTable<'_>) -> Problem {
        let text = source.text.as_str();
        let words = self.words(text, table);
        // A guess about where something begins may be between the bytes of a character.
        let span = |at: Range<usize>| Span {
            source: Arc::clone(source),
            bytes: trim(
                text,
                text.floor_char_boundary(at.start)..text.ceil_char_boundary(at.end),
            ),
        };
        let at = span(words.at);
        let mut problem = Problem::error(self.mistake.code(), words.message).at(at, words.label);
        if let Some((at, label)) = words.also {
            problem.also.push((span(at), label.to_owned()));
        }
        if !words.help.is_empty() {
            problem = problem.help(words.help);
        }
        match self.lines_lost(text) {
            Some(lost) => problem.help(lost),
            None => problem,
        }
    }

    /// Says that more may be found, if more than one line could not be looked at.
    fn lines_lost(&self, text: &str) -> Option<String> {
        let lost = text[self.lost.clone()].trim_end();
        let more = lost.matches('\n').count();
        let first = 1 + text[..self.lost.start].matches('\n').count();
        (more > 0).then(|| {
            format!(
                "lines {first} to {} were not looked at: once this is mended, more may be found",
                first + more
            )
        })
    }

    fn words(&self, text: &str, table: &DeTable<'_>) -> Words {
        let line = &text[self.line.clone()];
        // Found in a text with blanks, where other places are between characters.
        let at = text.floor_char_boundary(self.at.start)..text.ceil_char_boundary(self.at.end);
        let wrong = &text[at.clone()];
        let words = |message: &str, label: &str, help: &str| Words {
            message: message.to_owned(),
            at: at.clone(),
            label: label.to_owned(),
            also: None,
            help: help.to_owned(),
        };
        match self.mistake {
            Mistake::Unquoted if wrong.is_empty() => words(
                "no value after `=`",
                "a value belongs here",
                "write the value, or remove the key",
            ),
            Mistake::Unquoted => words(
                "a text without quotes",
                "not a value",
                &unquoted_help(wrong),
            ),
            Mistake::NoEquals => self.no_equals(line),
            Mistake::Duplicate => Words {
                also: twice::first_time(text, at.clone(), table).map(|at| (at, "the first time")),
                ..words(
                    &format!("the key `{}` is here twice", wrong.trim()),
                    "the second time",
                    "a key stands once in its table: remove or rename one of the two",
                )
            },
            Mistake::NotATable => words(
                &format!("`{wrong}` is a value already, so it cannot have keys of its own"),
                "used as a table",
                "write its keys in one place: `[steps.name]` with `run = \"…\"` below it",
            ),
            Mistake::HeaderNotClosed => {
                let header = line.trim();
                let closer = if header.starts_with("[[") { "]]" } else { "]" };
                words(
                    "a header `[…]` is not closed",
                    &format!("`{closer}` is missing here"),
                    &format!("write `{header}{closer}`"),
                )
            }
            Mistake::BadHeader => words(
                &format!("`{}` holds what cannot be a name", line.trim()),
                "not part of a name",
                &bad_header_help(line),
            ),
            Mistake::BracketNotClosed => self.bracket_not_closed(text),
            Mistake::StringNotClosed => self.string_not_closed(text),
            Mistake::TextNotClosed => {
                let quotes = if self.message.contains("literal") {
                    "'''"
                } else {
                    "\"\"\""
                };
                // The parser points at the end of the file; what helps is where the text begins.
                Words {
                    at: self.begin..(self.begin + quotes.len()).min(text.len()),
                    ..words(
                        "a string is not closed",
                        "begins here",
                        &format!("end it with {quotes}"),
                    )
                }
            }
            Mistake::TooDeep => words(
                "nested too deeply",
                "here is the limit",
                "no key of a project file is nested more than a few levels",
            ),
            Mistake::Other => words(
                &format!("this is not TOML: {}", self.message),
                "",
                other_help(&self.message),
            ),
        }
    }

    fn bracket_not_closed(&self, text: &str) -> Words {
        // The parser can only know one that the scan finds too; else the place is the parser's.
        let (end, begin, closers) = Open::missing(text, self.lost.clone())
            .unwrap_or_else(|| (self.at.start, self.begin, "]".to_owned()));
        let what = if text[begin..].starts_with('{') {
            "an inline table"
        } else {
            "a list"
        };
        Words {
            message: format!("{what} is not closed"),
            at: end..end,
            label: format!("`{closers}` is missing here"),
            also: Some((begin..begin + 1, "begins here")),
            help: format!("end it with `{closers}`"),
        }
    }

    fn string_not_closed(&self, text: &str) -> Words {
        let quote = if self.message.contains("literal") {
            '\''
        } else {
            '"'
        };
        let line = text[self.line.clone()].trim_end();
        let open = Open::at_end_of(line);
        let mut end = line.len();
        if !open.brackets.is_empty() {
            end = line.trim_end_matches([']', '}', ',']).len();
        }
        let end = self.line.start + end;
        let begin = open.string.map(|begin| self.line.start + begin);
        Words {
            message: "a string is not closed".to_owned(),
            at: end..end,
            label: format!("`{quote}` is missing here"),
            also: begin.map(|begin| (begin..begin + 1, "begins here")),
            help: format!(
                "end it with `{quote}`; a text of several lines stands between `\"\"\"` and `\"\"\"`"
            ),
        }
    }

    /// What to write instead, and the place: the habits of YAML and of makefiles are the usual cause.
    fn no_equals(&self, line: &str) -> Words {
        const VALUE_BEGINS: [char; 4] = ['"', '\'', '[', '{'];
        let content = line.trim();
        let whole = trim(line, 0..line.len());
        let mut at = self.line.start + whole.start..self.line.start + whole.end;
        let mut label = "not `key = value`";
        let help = if content.starts_with("- ") {
            "a list is written `key = [\"a\", \"b\"]`".to_owned()
        } else if content.starts_with("//") {
            "a comment begins with `#`".to_owned()
        } else if let Some(name) = content.strip_suffix(']').filter(|name| is_bare(name)) {
            format!("write `[{name}]` if a table begins here")
        } else if let Some((key, value)) = content.split_once(char::is_whitespace)
            && is_bare(key)
            && value.trim_start().starts_with(VALUE_BEGINS)
        {
            at.start += key.len();
            at.end = at.start;
            label = "`=` is missing here";
            format!("write `{key} = {}`", value.trim())
        } else if let Some((key, value)) = content.split_once(':') {
            let (key, value) = (key.trim(), value.trim());
            match value {
                "" => format!("a table begins with `[{key}]`"),
                _ if value.starts_with(VALUE_BEGINS) => format!("write `{key} = {value}`"),
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
            format!("write `{key} = {}`", quoted(value.trim()))
        } else {
            format!("write `{content} = …`, or `[{content}]` if a table begins here")
        };
        Words {
            message: "no `=` between a key and its value".to_owned(),
            at,
            label: label.to_owned(),
            also: None,
            help,
        }
    }
}

pub(super) fn line_of(text: &str, at: usize) -> Range<usize> {
    let start = text[..at].rfind('\n').map_or(0, |end| end + 1);
    let end = text[at..]
        .find('\n')
        .map_or(text.len(), |length| at + length);
    start..end
}

/// Whether a text is a key as TOML has it, dots included.
fn is_bare(text: &str) -> bool {
    let bare = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    !text.is_empty() && text.chars().all(bare)
}

/// The rule, and the header with `-` for each character that no name has, if it can be one then.
fn bad_header_help(line: &str) -> String {
    let rule = "a name has letters, digits, `-` and `_`, and dots stand between names";
    let name = line.trim().trim_start_matches('[').split(']').next();
    let mended: String = name
        .unwrap_or_default()
        .trim()
        .chars()
        .map(|c| {
            if is_bare(c.encode_utf8(&mut [0; 4])) {
                c
            } else {
                '-'
            }
        })
        .collect();
    let is_name = |part: &str| part.starts_with(|c: char| c.is_ascii_alphanumeric());
    match mended.split('.').all(is_name) {
        true => format!("{rule}: write `[{mended}]`"),
        false => rule.to_owned(),
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
    } else if message.contains("visible characters") {
        "a control character is written as an escape in \"…\", such as `\\u001b`"
    } else if message.starts_with("unexpected `=` in array") {
        "a list holds values only; a table in it is written `{ key = \"value\" }`"
    } else if message.starts_with("missing comma") {
        "put a comma between the two"
    } else if message.starts_with("missing escaped value") || message.contains("escape") {
        "a backslash is written `\\\\` in \"…\"; in '…' it stands for itself"
    } else if message.starts_with("unexpected leading zero") {
        "quote it if it is a text"
    } else {
        "a line is a header `[name]`, a `key = value`, or a comment that begins with `#`"
    }
}
