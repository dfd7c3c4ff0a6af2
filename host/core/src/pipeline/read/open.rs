//! Finds what begins and does not end: the parser says only that the file ended inside of something.
//!
//! All of it is a guess about a text that is no TOML: it says where a person would have ended what is open, and judges nothing.

use std::ops::Range;

/// What is open at the end of a text.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Open {
    /// Where each list or inline table begins that is not closed, with what would close it.
    pub(super) brackets: Vec<(usize, char)>,
    /// Where the string begins in which the text ends.
    pub(super) string: Option<usize>,
    /// The first bracket that closes something around what is open.
    clash: Option<usize>,
}

impl Open {
    pub(super) fn at_end_of(text: &str) -> Self {
        let mut open = Self::default();
        let mut at = 0;
        while let Some(next) = text[at..].find(['#', '[', '{', ']', '}', '"', '\'']) {
            at += next;
            let rest = &text[at..];
            at += match rest.as_bytes()[0] {
                b'#' => first_line(rest).len(),
                b'[' if open.brackets.is_empty() && begins_a_line(text, at) => {
                    first_line(rest).len()
                }
                b'"' | b'\'' => match string_length(rest) {
                    Some(length) => length,
                    None => {
                        open.string = Some(at);
                        break;
                    }
                },
                bracket => {
                    open.bracket(at, bracket);
                    1
                }
            };
        }
        open
    }

    fn bracket(&mut self, at: usize, bracket: u8) {
        match bracket {
            b'[' => self.brackets.push((at, ']')),
            b'{' => self.brackets.push((at, '}')),
            closer => {
                let popped = self
                    .brackets
                    .pop_if(|(_, wanted)| *wanted == char::from(closer));
                if popped.is_none() && !self.brackets.is_empty() {
                    self.clash.get_or_insert(at);
                }
            }
        }
    }

    /// Where something is missing in `part` of the text, which begins before a bracket that is not closed, with where that begins
    /// and what is missing: before the first bracket that closes something around it, or else at the end.
    pub(super) fn missing(text: &str, part: Range<usize>) -> Option<(usize, usize, String)> {
        let clash = Self::at_end_of(&text[part.clone()]).clash;
        let end = clash.map_or(part.end, |clash| part.start + clash);
        let mut open = Self::at_end_of(&text[part.start..end]);
        if let Some(closer) = clash.and_then(|_| text[end..].chars().next())
            && let Some(around) = open
                .brackets
                .iter()
                .rposition(|(_, wanted)| *wanted == closer)
        {
            open.brackets.drain(..=around);
        }
        let (begin, _) = *open.brackets.first()?;
        let at = last_end(text, part.start..end);
        Some((at, part.start + begin, open.closers()))
    }

    /// What closes all of it.
    pub(super) fn closers(&self) -> String {
        self.brackets
            .iter()
            .rev()
            .map(|(_, closer)| *closer)
            .collect()
    }
}

/// The bytes of what begins at `at` with a bracket and is not closed: up to the line that a person would read as the next key or
/// header, or for an inline table to the first line that ends without a comma.
pub(super) fn extent(text: &str, at: usize) -> Range<usize> {
    let table = text[at..].starts_with('{');
    let mut end = at + first_line(&text[at..]).len();
    let mut goes_on = comma_follows(&text[at..end]);
    while end < text.len() {
        let line = first_line(&text[end + 1..]);
        let content = without_comment(line);
        let is_next = !content.is_empty()
            && (is_header(content) || if table { !goes_on } else { is_key(content) });
        if is_next {
            return at..end + 1;
        }
        if !content.is_empty() {
            goes_on = comma_follows(line);
        }
        end += 1 + line.len();
    }
    at..text.len()
}

/// The end of the last thing in a part of the text: space, empty lines and comments are nothing.
pub(super) fn last_end(text: &str, part: Range<usize>) -> usize {
    let mut end = part.end;
    while end > part.start {
        let start = text[part.start..end]
            .trim_end_matches('\n')
            .rfind('\n')
            .map_or(part.start, |newline| part.start + newline + 1);
        let content = without_comment(&text[start..end]);
        if !content.is_empty() {
            let before = text[start..end].find(content).unwrap_or_default();
            return start + before + content.len();
        }
        end = start;
    }
    part.start
}

fn comma_follows(line: &str) -> bool {
    without_comment(line).ends_with([',', '{', '['])
}

/// The content of one line.
fn without_comment(line: &str) -> &str {
    let mut at = 0;
    while let Some(next) = line[at..].find(['#', '"', '\'']) {
        at += next;
        if line[at..].starts_with('#') {
            return line[..at].trim();
        }
        let Some(length) = string_length(&line[at..]) else {
            break;
        };
        at += length;
    }
    line.trim()
}

/// Whether a line is a header, and no list in a list.
fn is_header(content: &str) -> bool {
    let name = content.trim_start_matches('[').trim_end_matches(']');
    content.starts_with('[') && content.ends_with(']') && is_dotted_name(name)
}

fn is_key(content: &str) -> bool {
    content
        .split_once('=')
        .is_some_and(|(key, _)| is_dotted_name(key))
}

fn is_dotted_name(text: &str) -> bool {
    text.split('.').map(str::trim).all(|part| {
        let quoted = part.len() > 2
            && ['"', '\''].iter().any(|quote| {
                part.starts_with(*quote)
                    && part.ends_with(*quote)
                    && part.matches(*quote).count() == 2
            });
        let bare = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        quoted || (!part.is_empty() && part.chars().all(bare))
    })
}

fn begins_a_line(text: &str, at: usize) -> bool {
    let before = text[..at].trim_end_matches([' ', '\t']);
    before.is_empty() || before.ends_with('\n')
}

fn first_line(text: &str) -> &str {
    text.split('\n').next().unwrap_or_default()
}

/// How long the string is that `text` begins with; nothing if the text ends first. One of a single line ends with it.
fn string_length(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let quote = bytes[0];
    let long = bytes.starts_with(&[quote; 3]);
    let mut at = if long { 3 } else { 1 };
    loop {
        match *bytes.get(at)? {
            b'\\' if quote == b'"' && bytes.get(at + 1) != Some(&b'\n') => at += 1,
            b'\n' if !long => return Some(at),
            byte if byte != quote => {}
            _ if !long => return Some(at + 1),
            _ if bytes[at..].starts_with(&[quote; 3]) => return Some(at + 3),
            _ => {}
        }
        at += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use test_case::test_case;

    #[test_case("a = [\"]\", '[', [\"b\"] # [", "]"; "brackets in strings and comments are none")]
    #[test_case("[steps\na = { b = [", "]}"; "a header is no list")]
    #[test_case("a = \"x[\nb = [", "]"; "a string ends with its line")]
    #[test_case("a = \"\"\"\n[\n\\\"\"\"\"\nb = {", "}"; "a string of several lines")]
    #[test_case("a = [\"b\"]]", ""; "one too many")]
    fn brackets_that_are_open_are_found(text: &str, closers: &str) {
        assert_eq!(Open::at_end_of(text).closers(), closers);
    }

    #[test_case("a = \"b", Some(4))]
    #[test_case("a = '''b\n", Some(4))]
    #[test_case("a = \"b\\\"", Some(4); "an escaped quote")]
    #[test_case("a = \"b\"", None)]
    fn a_string_that_is_open_is_found(text: &str, begin: Option<usize>) {
        assert_eq!(Open::at_end_of(text).string, begin);
    }

    #[test_case("[\"a\", \"b\"\nc = 1\n", "[\"a\", \"b\"\n"; "up to the next key")]
    #[test_case("[\"a\",\n  \"x = y\",\n[\"b\"],\n\n[p.q]\n", "[\"a\",\n  \"x = y\",\n[\"b\"],\n\n"; "up to the next header")]
    #[test_case("[\"a\",\n\"b\"", "[\"a\",\n\"b\""; "up to the end of the file")]
    #[test_case("{ a = 1\nb = 2\n", "{ a = 1\n"; "a table in one line")]
    #[test_case("{\n a = 1, # one\n\n b = 2\nc = 3\n", "{\n a = 1, # one\n\n b = 2\n"; "a table in several lines")]
    #[test_case("{\n a = 1,\n[b]\n", "{\n a = 1,\n"; "a table before a header")]
    fn what_is_open_ends_where_a_person_would_end_it(text: &str, expected: &str) {
        assert_eq!(&text[extent(text, 0)], expected);
    }

    #[test_case("[\"a\" # one\n\n# two\n", "[\"a\""; "comments and empty lines behind it")]
    #[test_case("[\"#\"\n", "[\"#\""; "no comment")]
    fn the_last_thing_of_a_part_is_found(text: &str, expected: &str) {
        assert_eq!(&text[..last_end(text, 0..text.len())], expected);
    }
}
