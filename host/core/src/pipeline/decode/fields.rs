//! The walk over one table with fixed keys: unknown, missing and planned keys are reported here and nowhere else.

use super::Decoder;
use crate::{
    codes,
    pipeline::keys::{self, Key, Kind, Table},
    problem::Problem,
    suggest,
};
use std::{fmt, ops::Range};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

/// A value and its place.
pub(super) type Node<'a> = &'a Spanned<DeValue<'a>>;

/// Whose keys are read, for messages.
#[derive(Debug, Clone, Copy)]
pub(super) struct Owner<'a> {
    what: &'static str,
    name: &'a str,
    of: Option<&'a Self>,
}

impl<'a> Owner<'a> {
    /// The file itself.
    pub(super) const FILE: Owner<'static> = Owner::of_what("the project file");

    /// Something that is there once.
    pub(super) const fn of_what(what: &'static str) -> Self {
        Self {
            what,
            name: "",
            of: None,
        }
    }

    /// One of many.
    pub(super) const fn named(what: &'static str, name: &'a str) -> Self {
        Self {
            what,
            name,
            of: None,
        }
    }

    /// A table inside this one.
    pub(super) const fn inner<'b>(&'b self, what: &'static str) -> Owner<'b>
    where
        'a: 'b,
    {
        Owner {
            what,
            name: "",
            of: Some(self),
        }
    }

    /// The same, said to belong to `owner`.
    pub(super) const fn of(self, owner: &'a Self) -> Self {
        Self {
            of: Some(owner),
            ..self
        }
    }

    /// Whether this is the file itself.
    pub(super) fn is_file(&self) -> bool {
        self.what == Self::FILE.what
    }
}

impl fmt::Display for Owner<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.what)?;
        if !self.name.is_empty() {
            write!(f, " `{}`", self.name)?;
        }
        match self.of {
            Some(owner) => write!(f, " of {owner}"),
            None => Ok(()),
        }
    }
}

/// The known keys that a table has.
pub(super) struct Fields<'a> {
    /// Whose they are.
    pub(super) owner: Owner<'a>,
    table: &'static Table,
    values: Vec<(&'static Key, Node<'a>)>,
}

impl<'a> Fields<'a> {
    /// The value of a key, if it is there.
    pub(super) fn get(&self, name: &str) -> Option<(&'static Key, Node<'a>)> {
        debug_assert!(
            self.table.find(name).is_some(),
            "`{name}` is in the table of keys"
        );
        self.values
            .iter()
            .find(|(key, _)| key.name == name)
            .copied()
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

/// What a value is, for "must be …, not …".
pub(super) fn type_of(node: Node<'_>) -> &'static str {
    match node.get_ref() {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

impl Decoder<'_> {
    /// Sorts the keys of a table into known ones, which are returned, and others, which are reported.
    pub(super) fn fields<'a>(
        &mut self,
        table: &'a DeTable<'a>,
        known: &'static Table,
        owner: Owner<'a>,
        at: Range<usize>,
    ) -> Fields<'a> {
        let mut values = Vec::with_capacity(table.len());
        for (name, node) in table {
            match known.find(name.get_ref()) {
                Some(key) if key.since.is_some() => values.push((key, node)),
                Some(key) => self.report_planned(key, owner, name.span()),
                None => self.report_unknown(name.get_ref(), known, owner, name.span()),
            }
        }
        for key in known.keys.iter().filter(|key| key.required) {
            if !table.contains_key(key.name) {
                self.report(
                    Problem::error(codes::MISSING_KEY, format!("{owner} has no `{}`", key.name))
                        .help(match key.kind {
                            Kind::OneOf(words) => {
                                format!("add `{} = …`, one of {}", key.name, words.join(", "))
                            }
                            kind => format!("add `{} = …`, {}", key.name, kind.expected()),
                        }),
                    at.clone(),
                    format!("`{}` is missing", key.name),
                );
            }
        }
        Fields {
            owner,
            table: known,
            values,
        }
    }

    fn report_planned(&mut self, key: &Key, owner: Owner<'_>, at: Range<usize>) {
        self.report(
            Problem::error(
                codes::NOT_IMPLEMENTED,
                format!(
                    "`{}` of {owner} is not implemented in this version of piper",
                    key.name
                ),
            )
            .help(format!(
                "remove it, or use a later version: {}",
                first_lower(key.doc)
            )),
            at,
            "a later version brings it",
        );
    }

    fn report_grant(&mut self, name: &str, owner: Owner<'_>, at: Range<usize>) {
        self.report(
            Problem::error(
                codes::GRANT_IN_PROJECT,
                format!("`{name}` of {owner}: a project cannot grant its plugins anything"),
            )
            .help("remove it; whoever runs the build grants it: `piper plugin grant` shows what the plugin asks for, and why"),
            at,
            "the operator's to say",
        );
    }

    fn report_unknown(&mut self, name: &str, known: &Table, owner: Owner<'_>, at: Range<usize>) {
        if std::ptr::eq(known, &keys::PLUGIN) && keys::GRANTS.contains(&name) {
            return self.report_grant(name, owner, at);
        }
        let shown: String = name.escape_debug().take(80).collect();
        let mut problem = Problem::error(
            codes::UNKNOWN_KEY,
            format!("unknown key `{shown}` in {owner}"),
        );
        let implemented = || known.keys.iter().filter(|key| key.since.is_some());
        let meant = known
            .keys
            .iter()
            .find(|key| key.elsewhere.contains(&name))
            .map(|key| key.name)
            .or_else(|| suggest::closest(name, implemented().map(|key| key.name)));
        let label = match meant {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => {
                let keys: Vec<&str> = implemented().map(|key| key.name).collect();
                problem = problem.help(format!("keys of {}: {}", known.title, keys.join(", ")));
                let others = keys::TABLES
                    .iter()
                    .filter(|other| !std::ptr::eq(**other, known));
                if let Some(other) = others.clone().find(|other| other.find(name).is_some()) {
                    problem = problem.help(format!("`{name}` is a key of {}", other.title));
                }
                "not a key".to_owned()
            }
        };
        self.report(problem, at, label);
    }
}

fn first_lower(sentence: &str) -> String {
    let sentence = sentence.trim_end_matches('.');
    let mut chars = sentence.chars();
    chars
        .next()
        .map(|first| first.to_lowercase().chain(chars).collect())
        .unwrap_or_default()
}
