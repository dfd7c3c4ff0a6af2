//! Finds where a key stood before: the parser tells only of the second time.
//!
//! It looks in tables that the parser made, so that a key, a dotted key and a header are found alike.

use std::ops::Range;
use toml::de::{DeTable, DeValue};

/// Up to where the text before a header is parsed again, in bytes: of many headers that are here twice, each costs that.
const LONGEST: usize = 1 << 18;

/// The first place of the key that stands at `at` for the second time, if it can be told.
pub(super) fn first_time(
    text: &str,
    at: Range<usize>,
    table: &DeTable<'_>,
) -> Option<Range<usize>> {
    let line_start = text[..at.start].rfind('\n').map_or(0, |end| end + 1);
    let key = text[at.clone()].trim_matches(['"', '\'']);
    let before = text[line_start..at.start].trim_start();
    if let Some(path) = before.strip_prefix('[') {
        if line_start > LONGEST {
            return None;
        }
        // A header that is here twice takes the place of the first in the tables.
        let (table, _) = DeTable::parse_recoverable(&text[..line_start]);
        let found = walk(table.get_ref(), path.trim_start_matches('['))?;
        return Some(found.get_key_value(key)?.0.span());
    }
    let header = text[..line_start]
        .lines()
        .rev()
        .map(str::trim_start)
        .find(|line| line.starts_with('['));
    let path = header.and_then(|header| header.trim_start_matches('[').split(']').next());
    let found = walk(table, path.unwrap_or_default())?;
    let found = match inline(found, &at) {
        Some(inner) => inner,
        None => walk(found, before)?,
    };
    let first = found.get_key_value(key)?.0.span();
    (first.start < at.start).then_some(first)
}

/// The innermost inline table that the place is in.
fn inline<'t, 'a>(table: &'t DeTable<'a>, at: &Range<usize>) -> Option<&'t DeTable<'a>> {
    table.values().find_map(|node| {
        let holds = node.span().contains(&at.start);
        match node.get_ref() {
            DeValue::Table(inner) if holds => Some(inline(inner, at).unwrap_or(inner)),
            _ => None,
        }
    })
}

/// Follows a dotted name that may end with a dot.
fn walk<'t, 'a>(table: &'t DeTable<'a>, path: &str) -> Option<&'t DeTable<'a>> {
    path.split('.')
        .map(|part| part.trim().trim_matches(['"', '\'']))
        .filter(|part| !part.is_empty())
        .try_fold(table, |table, part| table.get(part)?.get_ref().as_table())
}
