//! Where a value stands in a project file, for whoever finds something wrong with it after the file was read.
//!
//! A plugin's schema is not known while the file is read, so what it refuses is found by the JSON pointer of the value. The text is
//! parsed again: nobody pays for places who has no problem to show.

use crate::problem::{Problem, Source, Span};
use std::{ops::Range, sync::Arc};
use toml::de::{DeTable, DeValue};

/// A place in a project file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Located {
    /// The key, if it stands in a table.
    pub key: Option<Span>,
    /// The value.
    pub value: Span,
    /// Whether the pointer was followed to its end; if not, this is the last value on its way that exists.
    pub whole: bool,
}

/// Where the value of a JSON pointer (RFC 6901) stands, such as `/steps/report/with/files/0`; `None` if not even its first part
/// is in the file.
pub fn locate(source: &Arc<Source>, pointer: &str) -> Option<Located> {
    let span = |bytes: Range<usize>| Span {
        source: Arc::clone(source),
        bytes,
    };
    let (table, _) = DeTable::parse_recoverable(&source.text);
    let mut parts = parts(pointer);
    let first = parts.next()?;
    let (key, mut node) = table.get_ref().get_key_value(first.as_str())?;
    let mut key = Some(key.span());
    let mut whole = true;
    for part in parts {
        let next = match node.get_ref() {
            DeValue::Table(table) => table
                .get_key_value(part.as_str())
                .map(|(key, node)| (Some(key.span()), node)),
            DeValue::Array(list) => part
                .parse()
                .ok()
                .and_then(|place: usize| list.get(place))
                .map(|node| (None, node)),
            _ => None,
        };
        let Some(next) = next else {
            whole = false;
            break;
        };
        (key, node) = next;
    }
    Some(Located {
        key: key.map(span),
        value: span(node.span()),
        whole,
    })
}

fn parts(pointer: &str) -> impl Iterator<Item = String> {
    let parts = pointer.split('/').skip(1);
    parts.map(|part| part.replace("~1", "/").replace("~0", "~"))
}

/// Whether the text can be read at all.
pub(super) fn is_toml(source: &Source) -> bool {
    DeTable::parse_recoverable(&source.text).1.is_empty()
}

/// Whether one of these problems is about what stands at a JSON pointer, about something in it, or about a table that it is in, but not
/// about something beside it there: then what was understood of it may be something else than what was meant.
pub fn is_touched(source: &Arc<Source>, pointer: &str, problems: &[Problem]) -> bool {
    let starts: Vec<usize> = problems
        .iter()
        .filter_map(|problem| problem.at.as_ref())
        .filter(|at| Arc::ptr_eq(&at.source, source))
        .map(|at| at.bytes.start)
        .collect();
    let is_in = |at: Range<usize>| starts.iter().any(|start| at.contains(start));
    let (table, _) = DeTable::parse_recoverable(&source.text);
    let mut table = table.get_ref();
    let mut parts = parts(pointer).peekable();
    while let Some(part) = parts.next() {
        let Some((key, node)) = table.get_key_value(part.as_str()) else {
            return false;
        };
        match node.get_ref() {
            DeValue::Table(inner) if parts.peek().is_some() => {
                // A table in one line spans its members, of which only one is on the way.
                let is_beside = |start: &usize| {
                    let mut members = inner.iter();
                    members.any(|(key, node)| (key.span().start..node.span().end).contains(start))
                };
                let of_table = |at: Range<usize>| {
                    let mut in_it = starts.iter().filter(|start| at.contains(start));
                    in_it.any(|start| !is_beside(start))
                };
                if of_table(key.span()) || of_table(node.span()) {
                    return true;
                }
                table = inner;
            }
            inner => {
                return is_in(key.span()) || is_in(node.span()) || is_in_value(inner, &is_in);
            }
        }
    }
    false
}

fn is_in_value(value: &DeValue<'_>, is_in: &dyn Fn(Range<usize>) -> bool) -> bool {
    match value {
        // Only a table that has its own lines goes on behind its place.
        DeValue::Table(table) => table.iter().any(|(key, node)| {
            is_in(key.span()) || is_in(node.span()) || is_in_value(node.get_ref(), is_in)
        }),
        DeValue::Array(list) => list
            .iter()
            .any(|node| is_in(node.span()) || is_in_value(node.get_ref(), is_in)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use test_case::test_case;

    const TEXT: &str = "[steps.a]\nuses = \"x\"\nwith.files = [\"f\", { g = 1 }]\nwith.\"a/b~c\" = true\n[steps]\nc = { with = { n = 4 }, timeout = 3 }\n";

    #[test_case("/steps/a/uses", Some("uses"), "\"x\"", true)]
    #[test_case("/steps/a/with/files", Some("files"), "[\"f\", { g = 1 }]", true; "list")]
    #[test_case("/steps/a/with/files/0", None, "\"f\"", true; "element")]
    #[test_case("/steps/a/with/files/1/g", Some("g"), "1", true; "inner table")]
    #[test_case("/steps/a/with/a~1b~0c", Some("\"a/b~c\""), "true", true; "escaped")]
    #[test_case("/steps/a/with/files/7", Some("files"), "[\"f\", { g = 1 }]", false; "beyond the end")]
    #[test_case("/steps/a/uses/more", Some("uses"), "\"x\"", false; "below a text")]
    fn a_pointer_leads_to_key_and_value(
        pointer: &str,
        key: Option<&str>,
        value: &str,
        whole: bool,
    ) {
        let source = Arc::new(Source {
            path: "piper.toml".into(),
            text: TEXT.to_owned(),
        });
        let found = locate(&source, pointer).unwrap();
        let written = |span: &Span| &TEXT[span.bytes.clone()];
        assert_eq!(found.key.as_ref().map(written), key);
        assert_eq!((written(&found.value), found.whole), (value, whole));
    }

    #[test_case("")]
    #[test_case("/")]
    #[test_case("/pipelines/build"; "not there")]
    fn what_is_nowhere_has_no_place(pointer: &str) {
        let source = Arc::new(Source {
            path: "piper.toml".into(),
            text: TEXT.to_owned(),
        });
        assert_eq!(locate(&source, pointer), None);
    }

    #[test_case("uses", "/steps/a", true; "in it")]
    #[test_case("true", "/steps/a/with", true; "deep in it")]
    #[test_case("g = 1", "/steps/a/with/files", true; "in a list")]
    #[test_case("[steps.a]", "/steps/a/with", true; "the table that it is in")]
    #[test_case("uses", "/steps/a/with", false; "beside it")]
    #[test_case("uses", "/steps/b", false; "not there")]
    #[test_case("3", "/steps/c/with", false; "beside it in one line")]
    #[test_case("{ n = 4", "/steps/c/with", true; "it, in one line")]
    #[test_case("{ with", "/steps/c/with", true; "the table, in one line")]
    #[test_case("4", "/steps/c/with", true; "in it, in one line")]
    fn a_problem_touches_what_it_is_about(written: &str, pointer: &str, expected: bool) {
        let source = Arc::new(Source {
            path: "piper.toml".into(),
            text: TEXT.to_owned(),
        });
        let start = TEXT.find(written).unwrap();
        let at = Span {
            source: Arc::clone(&source),
            bytes: start..start + written.len(),
        };
        let problem = Problem::error(crate::codes::SYNTAX, "").at(at, "");
        assert_eq!(is_touched(&source, pointer, &[problem]), expected);
    }
}
