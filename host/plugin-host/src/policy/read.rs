//! The walk over a file that people write: takes values out of spanned tables and collects what is wrong with them.
//!
//! Nothing here knows what a key means. A reader reports what it does not understand and returns nothing in its stead, so that one
//! mistake hides no other.

use super::fault::{Fault, shown};
use piper_core::{
    codes,
    id::InvalidName,
    pipeline::{guess_duration, parse_duration},
    problem::{Code, Problem, Severity, Source, Span},
    suggest,
};
use std::{collections::BTreeMap, fmt, ops::Range, sync::Arc, time::Duration};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

/// A value and its place.
pub(super) type Node<'a> = &'a Spanned<DeValue<'a>>;

/// A text and its place, quotes included.
pub(super) type Text<'a> = (&'a str, Range<usize>);

/// What is wrong so far.
pub(super) struct Reader<'s> {
    source: &'s Arc<Source>,
    /// How bad a key is that nobody knows.
    unknown_keys: Severity,
    pub(super) problems: Vec<Problem>,
}

/// A table whose keys are known.
#[derive(Clone)]
pub(super) struct Fields<'a> {
    /// Whose keys they are, for messages.
    pub(super) owner: String,
    /// Its place.
    pub(super) at: Range<usize>,
    table: &'a DeTable<'a>,
}

impl<'a> Fields<'a> {
    /// The value of a key, if it is there.
    pub(super) fn get(&self, key: &str) -> Option<Node<'a>> {
        self.table.get(key)
    }

    /// Whether the key is there.
    pub(super) fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }
}

/// The keys of a table with free names, in the order of the file.
pub(super) fn entries<'a>(table: &'a DeTable<'a>) -> Vec<(&'a str, Range<usize>, Node<'a>)> {
    let mut entries: Vec<_> = table
        .iter()
        .map(|(key, value)| (key.get_ref().as_ref(), key.span(), value))
        .collect();
    entries.sort_by_key(|(_, at, _)| at.start);
    entries
}

impl<'s> Reader<'s> {
    pub(super) fn new(source: &'s Arc<Source>, unknown_keys: Severity) -> Self {
        Self {
            source,
            unknown_keys,
            problems: Vec::new(),
        }
    }

    /// Where something stands.
    pub(super) fn span(&self, bytes: Range<usize>) -> Span {
        Span {
            source: Arc::clone(self.source),
            bytes,
        }
    }

    pub(super) fn report(&mut self, problem: Problem, at: Range<usize>, label: impl Into<String>) {
        let problem = problem.at(self.span(at), label);
        self.problems.push(problem);
    }

    pub(super) fn error(&mut self, code: Code, message: impl Into<String>, at: Range<usize>) {
        self.report(Problem::error(code, message), at, "");
    }

    /// Reports what is wrong inside a string.
    pub(super) fn fault(&mut self, fault: Fault, (text, at): &Text<'_>) {
        let problem = fault.in_string(self.span(at.clone()), text);
        self.problems.push(problem);
    }

    /// Reads `text` by `parse`, and reports what that says.
    pub(super) fn parsed<T>(
        &mut self,
        text: &Text<'_>,
        parse: impl FnOnce(&str) -> Result<T, Fault>,
    ) -> Option<T> {
        parse(text.0).map_err(|fault| self.fault(fault, text)).ok()
    }

    /// The table, with every key that is not among `known` reported.
    pub(super) fn fields<'a>(
        &mut self,
        owner: impl fmt::Display,
        table: &'a DeTable<'a>,
        at: Range<usize>,
        known: &[&str],
    ) -> Fields<'a> {
        for (name, at, _) in entries(table) {
            if known.contains(&name) {
                continue;
            }
            let message = format!("unknown key {} in {owner}", shown(name));
            let problem = Problem {
                severity: self.unknown_keys,
                ..Problem::error(codes::UNKNOWN_KEY, message)
            };
            match suggest::closest(name, known.iter().copied()) {
                Some(near) => self.report(problem, at, format!("did you mean `{near}`?")),
                None => {
                    let problem = problem.help(format!("keys of {owner}: {}", known.join(", ")));
                    self.report(problem, at, "not a key");
                }
            }
        }
        Fields {
            owner: owner.to_string(),
            at,
            table,
        }
    }

    /// The value as a table with known keys.
    pub(super) fn table<'a>(
        &mut self,
        owner: impl fmt::Display,
        node: Node<'a>,
        known: &[&str],
    ) -> Option<Fields<'a>> {
        match node.get_ref() {
            DeValue::Table(table) => Some(self.fields(owner, table, node.span(), known)),
            _ => {
                self.wrong_type(&owner.to_string(), "a table", node);
                None
            }
        }
    }

    /// The value of a key as a table with known keys.
    pub(super) fn inner<'a>(
        &mut self,
        fields: &Fields<'a>,
        key: &str,
        known: &[&str],
    ) -> Option<Fields<'a>> {
        let node = fields.get(key)?;
        self.table(format_args!("`{key}` of {}", fields.owner), node, known)
    }

    /// The elements of a list of tables, `[[key]]`.
    pub(super) fn tables<'a>(
        &mut self,
        fields: &Fields<'a>,
        key: &str,
    ) -> Vec<(&'a DeTable<'a>, Range<usize>)> {
        let Some(node) = fields.get(key) else {
            return Vec::new();
        };
        let what = format!("`{key}` of {}", fields.owner);
        let Some(list) = node.get_ref().as_array() else {
            self.wrong_type(&what, "a list of tables, which begin with `[[…]]`", node);
            return Vec::new();
        };
        let mut tables = Vec::with_capacity(list.len());
        for node in list {
            match node.get_ref() {
                DeValue::Table(table) => tables.push((table, node.span())),
                _ => self.wrong_type(&what, "a list of tables, which begin with `[[…]]`", node),
            }
        }
        tables
    }

    /// A text that is not empty.
    pub(super) fn text<'a>(&mut self, fields: &Fields<'a>, key: &str) -> Option<Text<'a>> {
        let node = fields.get(key)?;
        let what = format!("`{key}` of {}", fields.owner);
        self.text_of(&what, node)
    }

    /// A text that is not empty, and must be there.
    pub(super) fn required<'a>(
        &mut self,
        fields: &Fields<'a>,
        key: &str,
        example: &str,
    ) -> Option<Text<'a>> {
        self.must_have(fields, key, example);
        self.text(fields, key)
    }

    /// Reports a key that is not there.
    pub(super) fn must_have(&mut self, fields: &Fields<'_>, key: &str, example: &str) {
        if !fields.has(key) {
            let message = format!("{} has no `{key}`", fields.owner);
            self.report(
                Problem::error(codes::MISSING_KEY, message)
                    .help(format!("add `{key} = {example}`")),
                fields.at.clone(),
                format!("`{key}` is missing"),
            );
        }
    }

    pub(super) fn text_of<'a>(&mut self, what: &str, node: Node<'a>) -> Option<Text<'a>> {
        let Some(text) = node.get_ref().as_str() else {
            self.wrong_type(what, "a string", node);
            return None;
        };
        if text.trim().is_empty() {
            self.report(
                Problem::error(codes::EMPTY, format!("{what} is empty")),
                node.span(),
                "nothing here",
            );
            return None;
        }
        Some((text, node.span()))
    }

    /// The elements of a list of texts, without those that are something else.
    pub(super) fn texts<'a>(&mut self, fields: &Fields<'a>, key: &str) -> Vec<Text<'a>> {
        let Some(node) = fields.get(key) else {
            return Vec::new();
        };
        self.texts_of(&format!("`{key}` of {}", fields.owner), node)
    }

    pub(super) fn texts_of<'a>(&mut self, what: &str, node: Node<'a>) -> Vec<Text<'a>> {
        let Some(list) = node.get_ref().as_array() else {
            self.wrong_type(what, "a list of strings", node);
            return Vec::new();
        };
        let element = format!("an element of {what}");
        list.iter()
            .filter_map(|node| self.text_of(&element, node))
            .collect()
    }

    /// `true` or `false`; false if it is not there.
    pub(super) fn flag(&mut self, fields: &Fields<'_>, key: &str) -> bool {
        let Some(node) = fields.get(key) else {
            return false;
        };
        node.get_ref().as_bool().unwrap_or_else(|| {
            self.wrong_type(
                &format!("`{key}` of {}", fields.owner),
                "`true` or `false`",
                node,
            );
            false
        })
    }

    /// A whole number within bounds.
    pub(super) fn count(
        &mut self,
        fields: &Fields<'_>,
        key: &str,
        bounds: std::ops::RangeInclusive<u64>,
    ) -> Option<u64> {
        let node = fields.get(key)?;
        let what = format!("`{key}` of {}", fields.owner);
        let Some(integer) = node.get_ref().as_integer() else {
            self.wrong_type(&what, "a whole number", node);
            return None;
        };
        let number = u64::from_str_radix(integer.as_str(), integer.radix()).ok();
        let number = number.filter(|number| bounds.contains(number));
        if number.is_none() {
            let message = format!("{what} must be from {} to {}", bounds.start(), bounds.end());
            self.report(
                Problem::error(codes::OUT_OF_RANGE, message),
                node.span(),
                "out of range",
            );
        }
        number
    }

    /// A text such as `"4MiB"`, in bytes.
    pub(super) fn size(&mut self, fields: &Fields<'_>, key: &str, most: u64) -> Option<u64> {
        let (text, at) = self.text(fields, key)?;
        let what = format!("`{key}` of {}", fields.owner);
        match parse_size(text) {
            Some(size) if (1..=most).contains(&size) => Some(size),
            Some(_) => {
                let message = format!("{what} must be from 1B to {}", Size(most));
                self.report(
                    Problem::error(codes::OUT_OF_RANGE, message),
                    at,
                    "out of range",
                );
                None
            }
            None => {
                let problem = Problem::error(
                    codes::BAD_SIZE,
                    format!("{what}: {} is not a size", shown(text)),
                )
                .help("a size is a whole number and B, KiB, MiB or GiB: \"4MiB\"");
                self.report(problem, at, "not a size");
                None
            }
        }
    }

    /// A text such as `"500ms"`, not zero.
    pub(super) fn duration(
        &mut self,
        fields: &Fields<'_>,
        key: &str,
        most: Duration,
    ) -> Option<Duration> {
        let (text, at) = self.text(fields, key)?;
        let what = format!("`{key}` of {}", fields.owner);
        match parse_duration(text) {
            Some(duration) if !duration.is_zero() && duration <= most => Some(duration),
            Some(_) => {
                let message = format!(
                    "{what} must be more than nothing and at most {}s",
                    most.as_secs()
                );
                self.report(
                    Problem::error(codes::OUT_OF_RANGE, message),
                    at,
                    "out of range",
                );
                None
            }
            None => {
                let problem = Problem::error(
                    codes::BAD_DURATION,
                    format!("{what}: {} is not a duration", shown(text)),
                );
                let problem = match guess_duration(text) {
                    Some(guess) => problem.help(format!("did you mean \"{guess}\"?")),
                    None => problem.help("whole numbers with a unit: \"500ms\", \"30s\", \"10m\""),
                };
                self.report(problem, at, "not a duration");
                None
            }
        }
    }

    /// One of a few words.
    pub(super) fn word(
        &mut self,
        fields: &Fields<'_>,
        key: &str,
        words: &[&'static str],
    ) -> Option<&'static str> {
        let (text, at) = self.text(fields, key)?;
        self.word_of(&format!("`{key}` of {}", fields.owner), &(text, at), words)
    }

    pub(super) fn word_of(
        &mut self,
        what: &str,
        (text, at): &Text<'_>,
        words: &[&'static str],
    ) -> Option<&'static str> {
        if let Some(word) = words.iter().find(|word| *word == text) {
            return Some(word);
        }
        let mut problem = Problem::error(
            codes::BAD_VALUE,
            format!("{what} cannot be {}", shown(text)),
        )
        .help(format!("it is one of {}", words.join(", ")));
        if let Some(near) = suggest::closest(text, words.iter().copied()) {
            problem = problem.help(format!("did you mean `{near}`?"));
        }
        self.report(problem, at.clone(), "not one of its values");
        None
    }

    /// A name.
    pub(super) fn name<N>(
        &mut self,
        what: &str,
        (text, at): &Text<'_>,
        parse: impl Fn(&str) -> Result<N, InvalidName>,
    ) -> Option<N> {
        let name = parse(text).ok();
        if name.is_none() {
            let problem = Problem::error(codes::BAD_NAME, format!("{} cannot be the name of {what}", shown(text)))
                .help("a name has up to 64 letters, digits, `_` and `-`, and begins with a letter or a digit");
            self.report(problem, at.clone(), "not a name");
        }
        name
    }

    pub(super) fn wrong_type(&mut self, what: &str, expected: &str, node: Node<'_>) {
        let found = match node.get_ref() {
            DeValue::String(_) => "a string",
            DeValue::Integer(_) => "a whole number",
            DeValue::Float(_) => "a number with a fraction",
            DeValue::Boolean(_) => "a boolean",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        let message = format!("{what} must be {expected}, not {found}");
        self.error(codes::WRONG_TYPE, message, node.span());
    }
}

/// Things that have names, each of which may be there once.
#[derive(Default)]
pub(super) struct Once {
    first: BTreeMap<String, Range<usize>>,
}

impl Once {
    /// Reports a name that was there before.
    pub(super) fn check(
        &mut self,
        reader: &mut Reader<'_>,
        what: &str,
        name: &str,
        at: &Range<usize>,
    ) {
        let Some(first) = self.first.get(name) else {
            self.first.insert(name.to_owned(), at.clone());
            return;
        };
        let mut problem = Problem::error(
            codes::DECLARED_TWICE,
            format!("{what} {} is declared twice", shown(name)),
        );
        problem
            .also
            .push((reader.span(first.clone()), "the first time".to_owned()));
        reader.report(problem, at.clone(), "the second time");
    }
}

const UNITS: [(&str, u64); 4] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("B", 1),
];

/// Reads a whole number and a unit.
fn parse_size(text: &str) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let (_, factor) = UNITS.iter().find(|(name, _)| *name == unit)?;
    number.parse::<u64>().ok()?.checked_mul(*factor)
}

/// A number of bytes in the largest unit that is whole.
struct Size(u64);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = |(_, factor): &&(&str, u64)| self.0.is_multiple_of(*factor);
        let (unit, factor) = UNITS.iter().find(whole).unwrap_or(&("B", 1));
        write!(f, "{}{unit}", self.0 / factor)
    }
}

/// Whether nothing among them is worse than a warning.
pub(super) fn is_fine(problems: &[Problem]) -> bool {
    problems
        .iter()
        .all(|problem| problem.severity < Severity::Error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use test_case::test_case;

    #[test_case("4MiB", Some(4 << 20))]
    #[test_case("512KiB", Some(512 << 10))]
    #[test_case("1GiB", Some(1 << 30))]
    #[test_case("7B", Some(7))]
    #[test_case("4MB", None; "another unit")]
    #[test_case("4 MiB", None; "a space")]
    #[test_case("MiB", None; "no number")]
    #[test_case("4", None; "no unit")]
    #[test_case("99999999999999999999B", None; "overflow of the number")]
    #[test_case("99999999999GiB", None; "overflow of the product")]
    fn a_size_is_a_whole_number_and_a_unit(text: &str, expected: Option<u64>) {
        assert_eq!(parse_size(text), expected);
    }

    #[test]
    fn a_size_is_shown_in_its_largest_whole_unit() {
        assert_eq!(Size(4 << 20).to_string(), "4MiB");
        assert_eq!(Size(1025).to_string(), "1025B");
    }
}
