//! One reader for each type of value. A reader reports what it does not understand and returns nothing in its stead.

use super::{
    Decoder, Reference,
    fields::{Fields, Node, Owner, entries, type_of},
};
use crate::{
    codes,
    id::{AxisName, ParamName},
    pattern::Patterns,
    pipeline::{
        duration,
        keys::{self, Key, Kind},
        read::quoted,
    },
    problem::Problem,
    project::{EnvPattern, Settings, Value},
    suggest,
};
use indexmap::IndexMap;
use std::{collections::HashSet, ops::Range, time::Duration};
use toml::de::{DeInteger, DeTable, DeValue};

impl Decoder<'_> {
    /// Reports a value of another type than the key's, with what to write instead where that is plain.
    pub(super) fn report_type(&mut self, owner: Owner<'_>, name: &str, kind: Kind, node: Node<'_>) {
        let written = &self.source.text[node.span()];
        let short = written.len() <= 60 && !written.contains('\n');
        let mut problem = Problem::error(
            codes::WRONG_TYPE,
            format!(
                "`{name}` of {owner} must be {}, not {}",
                kind.expected(),
                type_of(node)
            ),
        );
        let write = |value: String| format!("write `{name} = {value}`");
        match (kind, node.get_ref()) {
            (Kind::Duration { .. }, DeValue::Integer(_)) if short => {
                problem = problem.help(write(format!("\"{written}s\"")) + " if seconds are meant");
            }
            (Kind::Text | Kind::Version, DeValue::Array(_)) if name == "run" => {
                problem = problem.help("a program with its arguments is `argv = […]`");
            }
            (Kind::Values, DeValue::String(text)) if short => {
                problem = problem
                    .help(write(list_of_words(text)) + ", or `run` for a text for the shell");
            }
            (Kind::Argv, DeValue::String(text)) if short => {
                problem = problem.help(write(list_of_words(text)))
            }
            (
                Kind::StepNames
                | Kind::PipelineNames
                | Kind::Occasions
                | Kind::Slots
                | Kind::EnvPatterns
                | Kind::Secrets
                | Kind::RetryOn
                | Kind::Choices,
                DeValue::String(text),
            ) if short => problem = problem.help(write(format!("[{}]", quoted(text)))),
            (Kind::Flag, DeValue::String(text)) if text == "true" || text == "false" => {
                problem = problem.help(write(text.to_string()));
            }
            (Kind::Count { .. } | Kind::Retry, DeValue::String(text))
                if text.parse::<u32>().is_ok() =>
            {
                problem = problem.help(write(text.to_string()));
            }
            (
                Kind::Text
                | Kind::ParamName
                | Kind::AxisName
                | Kind::Version
                | Kind::OneOf(_)
                | Kind::Patterns,
                DeValue::Integer(_)
                | DeValue::Float(_)
                | DeValue::Boolean(_)
                | DeValue::Datetime(_),
            ) if short => problem = problem.help(write(quoted(written))),
            (Kind::Flag, DeValue::String(text)) if text == "yes" || text == "no" => {
                problem = problem.help(write((text == "yes").to_string()));
            }
            (Kind::When, _) => {
                problem = problem.help(write("\"always\"".to_owned()) + ", for instance")
            }
            (Kind::Options | Kind::Config, _) => {
                problem = problem.help(write("{ option = \"value\" }".to_owned()))
            }
            (Kind::Env, _) => problem = problem.help(write("{ NAME = \"value\" }".to_owned())),
            (Kind::Matrix, _) => {
                problem = problem.help(write("{ axis = [\"a\", \"b\"] }".to_owned()))
            }
            (
                Kind::Steps
                | Kind::Pipelines
                | Kind::Environments
                | Kind::Params
                | Kind::Plugins
                | Kind::Notify,
                _,
            ) => {
                problem = problem.help(format!(
                    "begin a table with `[{name}]`, or with `[{name}.NAME]` for one of them"
                ));
            }
            _ => {}
        }
        self.report(problem, node.span(), "");
    }

    fn mismatch(&mut self, fields: &Fields<'_>, key: &Key, node: Node<'_>) {
        self.report_type(fields.owner, key.name, key.kind, node);
    }

    /// A table of the file.
    pub(super) fn table<'a>(
        &mut self,
        fields: &Fields<'_>,
        key: &Key,
        node: Node<'a>,
    ) -> Option<&'a DeTable<'a>> {
        let table = node.get_ref().as_table();
        if table.is_none() {
            self.mismatch(fields, key, node);
        }
        table
    }

    /// A table that declares something; `form` says how that is written.
    pub(super) fn inner_table<'a>(
        &mut self,
        owner: Owner<'_>,
        node: Node<'a>,
        form: &str,
    ) -> Option<&'a DeTable<'a>> {
        let table = node.get_ref().as_table();
        if table.is_none() {
            self.report(
                Problem::error(
                    codes::WRONG_TYPE,
                    format!("{owner} must be a table, not {}", type_of(node)),
                )
                .help(format!("write {form}")),
                node.span(),
                "",
            );
        }
        table
    }

    /// A text that is not empty.
    pub(super) fn text(
        &mut self,
        fields: &Fields<'_>,
        name: &str,
    ) -> Option<(String, Range<usize>)> {
        let (key, node) = fields.get(name)?;
        self.text_of(fields, key, node)
    }

    /// The value as a text that is not empty.
    pub(super) fn text_of(
        &mut self,
        fields: &Fields<'_>,
        key: &Key,
        node: Node<'_>,
    ) -> Option<(String, Range<usize>)> {
        let Some(text) = node.get_ref().as_str() else {
            self.mismatch(fields, key, node);
            return None;
        };
        if text.trim().is_empty() {
            self.report_empty(
                format!("`{}` of {} is empty", key.name, fields.owner),
                node.span(),
            );
            return None;
        }
        self.without_nul(text, node)?;
        Some((text.to_owned(), node.span()))
    }

    /// Reports a NUL byte, which no argument and no variable of a process can hold.
    pub(super) fn without_nul(&mut self, text: &str, node: Node<'_>) -> Option<()> {
        if !text.contains('\0') {
            return Some(());
        }
        self.report(
            Problem::error(codes::NUL_BYTE, "a NUL byte in a text")
                .help("no argument and no variable of a process can hold one: remove `\\u0000`"),
            node.span(),
            "holds U+0000",
        );
        None
    }

    pub(super) fn flag(&mut self, fields: &Fields<'_>, name: &str) -> Option<bool> {
        let (key, node) = fields.get(name)?;
        let flag = node.get_ref().as_bool();
        if flag.is_none() {
            self.mismatch(fields, key, node);
        }
        flag
    }

    pub(super) fn count(&mut self, fields: &Fields<'_>, name: &str) -> Option<u32> {
        let (key, node) = fields.get(name)?;
        self.count_of(fields.owner, key.name, key.kind, node)
    }

    /// The value as a number in the bounds of `kind`.
    pub(super) fn count_of(
        &mut self,
        owner: Owner<'_>,
        name: &str,
        kind: Kind,
        node: Node<'_>,
    ) -> Option<u32> {
        let Kind::Count { min, max } = kind else {
            unreachable!("`{name}` takes a number");
        };
        let Some(integer) = node.get_ref().as_integer() else {
            self.report_type(owner, name, kind, node);
            return None;
        };
        let count = number(integer).and_then(|number| u32::try_from(number).ok());
        if let Some(count) = count.filter(|count| (min..=max).contains(count)) {
            return Some(count);
        }
        self.report(
            Problem::error(
                codes::OUT_OF_RANGE,
                format!("`{name}` of {owner} must be from {min} to {max}"),
            )
            .help(format!(
                "write a number from {min} to {max}, or leave the key out for what is usual"
            )),
            node.span(),
            "out of range",
        );
        None
    }

    pub(super) fn duration(&mut self, fields: &Fields<'_>, name: &str) -> Option<Duration> {
        let (key, node) = fields.get(name)?;
        let Some(text) = node.get_ref().as_str() else {
            self.mismatch(fields, key, node);
            return None;
        };
        match duration::parse(text) {
            Some(Duration::ZERO) if key.kind == (Kind::Duration { zero: false }) => {
                self.report(
                    Problem::error(
                        codes::OUT_OF_RANGE,
                        format!("`{name}` of {} is zero", fields.owner),
                    )
                    .help("leave it out if there is no limit"),
                    node.span(),
                    "no time at all",
                );
                None
            }
            None => {
                let shown: String = text.chars().take(60).collect();
                let mut problem = Problem::error(
                    codes::BAD_DURATION,
                    format!("`{name}` of {}: {shown:?} is not a duration", fields.owner),
                )
                .help("whole numbers with a unit, at most a year: \"90s\", \"10m\", \"1h30m\", \"500ms\"");
                if let Some(guess) = duration::guess(text) {
                    problem = problem.help(format!("did you mean \"{guess}\"?"));
                }
                self.report(problem, node.span(), "not a duration");
                None
            }
            some => some,
        }
    }

    /// One of the words that the key takes.
    pub(super) fn one_of(&mut self, fields: &Fields<'_>, name: &str) -> Option<String> {
        let (key, node) = fields.get(name)?;
        let Kind::OneOf(words) = key.kind else {
            unreachable!("`{name}` takes one of a few words");
        };
        let Some(text) = node.get_ref().as_str() else {
            self.mismatch(fields, key, node);
            return None;
        };
        // Signals are called either way by people and tools.
        let word = text
            .strip_prefix("SIG")
            .filter(|word| name == "stop-signal" && words.contains(word));
        self.word(fields.owner, name, words, word.unwrap_or(text), node)
    }

    /// `text` if it is one of `words`.
    pub(super) fn word(
        &mut self,
        owner: Owner<'_>,
        name: &str,
        words: &[&str],
        text: &str,
        node: Node<'_>,
    ) -> Option<String> {
        if words.contains(&text) {
            return Some(text.to_owned());
        }
        let shown: String = text.chars().take(60).collect();
        let mut problem = Problem::error(
            codes::BAD_VALUE,
            format!("`{name}` of {owner} cannot be {shown:?}"),
        )
        .help(format!("it is one of {}", words.join(", ")));
        if let Some(near) = suggest::closest(text.trim_start_matches("SIG"), words.iter().copied())
        {
            problem = problem.help(format!("did you mean `{near}`?"));
        }
        self.report(problem, node.span(), "not one of its values");
        None
    }

    /// The elements of a list; nothing if it is no list. An empty list is reported unless `may_be_empty`.
    pub(super) fn list<'a>(
        &mut self,
        fields: &Fields<'a>,
        name: &str,
        may_be_empty: bool,
    ) -> &'a [toml::Spanned<DeValue<'a>>] {
        let Some((key, node)) = fields.get(name) else {
            return &[];
        };
        let Some(list) = node.get_ref().as_array() else {
            self.mismatch(fields, key, node);
            return &[];
        };
        if list.is_empty() && !may_be_empty {
            self.report_empty(
                format!("`{name}` of {} is empty", fields.owner),
                node.span(),
            );
        }
        list
    }

    /// The elements of a list of texts, without those that are something else.
    pub(super) fn texts<'a>(
        &mut self,
        fields: &Fields<'a>,
        name: &str,
        may_be_empty: bool,
    ) -> Vec<(&'a str, Node<'a>)> {
        let list = self.list(fields, name, may_be_empty);
        let mut texts = Vec::with_capacity(list.len());
        for node in list {
            match node.get_ref().as_str() {
                Some(text) => texts.extend(self.without_nul(text, node).map(|()| (text, node))),
                None => self.report_element(fields, name, "a string", node),
            }
        }
        texts
    }

    fn report_element(&mut self, fields: &Fields<'_>, name: &str, expected: &str, node: Node<'_>) {
        self.report(
            Problem::error(
                codes::WRONG_TYPE,
                format!(
                    "each element of `{name}` of {} must be {expected}, not {}",
                    fields.owner,
                    type_of(node)
                ),
            ),
            node.span(),
            "",
        );
    }

    /// One text, or a list of them.
    pub(super) fn patterns(&mut self, fields: &Fields<'_>, name: &str) -> Vec<String> {
        let texts = self.one_or_more(fields, name).into_iter();
        texts.map(|(text, _)| text).collect()
    }

    /// One pattern, or a list of them.
    pub(super) fn globs(&mut self, fields: &Fields<'_>, name: &str) -> Vec<String> {
        let texts = self.one_or_more(fields, name);
        for (text, at) in &texts {
            if let Err(error) = Patterns::parse(std::slice::from_ref(text)) {
                let message = format!(
                    "`{name}` of {}: {text:?} is not a pattern: {}",
                    fields.owner,
                    error.kind()
                );
                let problem = Problem::error(codes::BAD_PATTERN, message).help(
                    "a bracket or a brace that is meant as it is stands in brackets: [[] or [{]",
                );
                self.report(problem, at.clone(), "not a pattern");
            }
        }
        texts.into_iter().map(|(text, _)| text).collect()
    }

    fn one_or_more(&mut self, fields: &Fields<'_>, name: &str) -> Vec<(String, Range<usize>)> {
        match fields.get(name) {
            Some((_, node)) if node.get_ref().is_str() => {
                self.text(fields, name).into_iter().collect()
            }
            Some((_, node)) if node.get_ref().is_array() => self
                .texts(fields, name, false)
                .into_iter()
                .map(|(text, node)| (text.to_owned(), node.span()))
                .collect(),
            Some((key, node)) => {
                self.mismatch(fields, key, node);
                Vec::new()
            }
            None => Vec::new(),
        }
    }

    /// Reports elements that are there already, and returns whether this one is.
    pub(super) fn is_repeated<'t>(
        &mut self,
        seen: &mut HashSet<&'t str>,
        text: &'t str,
        what: &str,
        node: Node<'_>,
    ) -> bool {
        let repeated = !seen.insert(text);
        if repeated {
            self.report(
                Problem::error(codes::LISTED_TWICE, format!("`{text}` is twice in {what}"))
                    .help("remove one of the two"),
                node.span(),
                "the second time",
            );
        }
        repeated
    }

    /// The value as a text: strings, whole numbers and booleans.
    pub(super) fn scalar(
        &mut self,
        owner: Owner<'_>,
        name: &str,
        kind: Kind,
        node: Node<'_>,
    ) -> Option<String> {
        match node.get_ref() {
            DeValue::String(text) => {
                self.without_nul(text, node)?;
                Some(text.to_string())
            }
            DeValue::Integer(integer) => {
                Some(number(integer).map_or_else(|| integer.to_string(), |n| n.to_string()))
            }
            DeValue::Boolean(flag) => Some(flag.to_string()),
            DeValue::Float(_) | DeValue::Datetime(_) => {
                let written = &self.source.text[node.span()];
                self.report(
                    Problem::error(
                        codes::QUOTE_IT,
                        format!("`{written}` in {owner} is {}, not a text", type_of(node)),
                    )
                    .help(format!(
                        "quote it, so that it stays as it is written: {}",
                        quoted(written)
                    )),
                    node.span(),
                    "needs quotes",
                );
                None
            }
            DeValue::Array(_) | DeValue::Table(_) => {
                self.report_type(owner, name, kind, node);
                None
            }
        }
    }

    /// A list of scalars, each once.
    pub(super) fn scalars(&mut self, fields: &Fields<'_>, name: &str) -> Vec<String> {
        let nodes = self.list(fields, name, false);
        self.scalars_of(fields.owner, name, nodes)
    }

    /// Scalars, each once.
    pub(super) fn scalars_of(
        &mut self,
        owner: Owner<'_>,
        name: &str,
        nodes: &[toml::Spanned<DeValue<'_>>],
    ) -> Vec<String> {
        let texts: Vec<_> = nodes
            .iter()
            .filter_map(|node| Some((self.scalar(owner, name, Kind::Scalar, node)?, node)))
            .collect();
        let mut seen = HashSet::new();
        for (text, node) in &texts {
            self.is_repeated(&mut seen, text, &format!("`{name}`"), node);
        }
        texts.iter().map(|(text, _)| text.clone()).collect()
    }

    /// A text or a reference; what it refers to is noted.
    pub(super) fn value(&mut self, owner: Owner<'_>, name: &str, node: Node<'_>) -> Option<Value> {
        let DeValue::Table(table) = node.get_ref() else {
            return self.scalar(owner, name, Kind::Value, node).map(Value::Text);
        };
        let inner = owner.inner("a reference");
        let fields = self.fields(table, &keys::REFERENCE, inner, node.span());
        let to = match (fields.get("param"), fields.get("matrix")) {
            (Some(_), None) => {
                let (name, at) = self.text(&fields, "param")?;
                Value::Param(self.name(&name, &at, "parameter", ParamName::parse)?)
            }
            (None, Some(_)) => {
                let (name, at) = self.text(&fields, "matrix")?;
                Value::Matrix(self.name(&name, &at, "axis", AxisName::parse)?)
            }
            // An unknown key in it has been reported.
            (None, None) if !table.is_empty() => return None,
            (found, _) => {
                let message = if found.is_some() {
                    "a reference is either to a parameter or to an axis"
                } else {
                    "a reference names nothing"
                };
                self.report(
                    Problem::error(
                        codes::BAD_REFERENCE,
                        format!("`{name}` of {owner}: {message}"),
                    )
                    .help("write { param = \"name\" } or { matrix = \"axis\" }"),
                    node.span(),
                    "",
                );
                return None;
            }
        };
        self.references.push(Reference {
            to: to.clone(),
            at: node.span(),
        });
        Some(to)
    }

    /// `shell`, `env`, `pass-env` and `color`, which project, pipelines and steps have alike.
    pub(super) fn settings(&mut self, fields: &Fields<'_>) -> Settings {
        let shell = self.texts(fields, "shell", false);
        if let Some(("", node)) = shell.first() {
            self.report_empty(
                format!("`shell` of {} names no program", fields.owner),
                node.span(),
            );
        }
        let shell: Vec<String> = shell.into_iter().map(|(text, _)| text.to_owned()).collect();
        Settings {
            shell: (!shell.is_empty()).then_some(shell),
            env: self.env(fields),
            pass_env: self.pass_env(fields),
            color: self.flag(fields, "color"),
        }
    }

    fn env(&mut self, fields: &Fields<'_>) -> IndexMap<String, Value> {
        let mut env = IndexMap::new();
        let Some((key, node)) = fields.get("env") else {
            return env;
        };
        let Some(table) = self.table(fields, key, node) else {
            return env;
        };
        for (name, at, node) in entries(table) {
            let value = self.value(fields.owner, &format!("env.{name}"), node);
            if self.is_variable(name, at) {
                env.extend(value.map(|value| (name.to_owned(), value)));
            }
        }
        env
    }

    fn is_variable(&mut self, name: &str, at: Range<usize>) -> bool {
        if name.is_empty() || name.contains(['=', '\0']) {
            self.report(
                Problem::error(
                    codes::BAD_VARIABLE,
                    format!("{name:?} cannot be the name of a variable"),
                )
                .help("a name is not empty and has no `=`"),
                at,
                "not a name",
            );
            return false;
        }
        if name.starts_with("PIPER_") {
            self.report(
                Problem::error(
                    codes::RESERVED_VARIABLE,
                    format!(
                        "`{name}` is reserved: piper sets the variables that begin with PIPER_"
                    ),
                )
                .help("choose another name; parameters arrive as PIPER_PARAM_NAME by themselves"),
                at,
                "reserved",
            );
            return false;
        }
        true
    }

    fn pass_env(&mut self, fields: &Fields<'_>) -> Vec<EnvPattern> {
        let mut patterns = Vec::new();
        for (text, node) in self.texts(fields, "pass-env", true) {
            let name = text.strip_suffix('*').unwrap_or(text);
            if text == "*" || name.contains('*') {
                self.report(
                    Problem::error(
                        codes::BAD_VARIABLE,
                        format!("{text:?} is neither the name of a variable nor a prefix"),
                    )
                    .help("write \"NAME\" or \"PREFIX_*\"; `--pass-env-all` passes everything"),
                    node.span(),
                    "not a name",
                );
            } else if self.is_variable(name, node.span()) {
                patterns.push(match text.len() > name.len() {
                    true => EnvPattern::Prefix(name.to_owned()),
                    false => EnvPattern::Name(name.to_owned()),
                });
            }
        }
        patterns
    }

    pub(super) fn secrets(&mut self, fields: &Fields<'_>) -> Vec<String> {
        let mut seen = HashSet::new();
        let mut secrets = Vec::new();
        for (text, node) in self.texts(fields, "secrets", true) {
            let begins = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
            if !begins || !text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
                self.report(
                    Problem::error(codes::BAD_VARIABLE, format!("{text:?} cannot be the name of a secret"))
                        .help("a secret arrives as a variable: letters, digits and `_`, not beginning with a digit"),
                    node.span(),
                    "not a name",
                );
            } else if self.is_variable(text, node.span())
                && !self.is_repeated(&mut seen, text, "`secrets`", node)
            {
                secrets.push(text.to_owned());
            }
        }
        secrets
    }
}

/// The integer's value; `None` if it is beyond what anybody can mean.
pub(super) fn number(integer: &DeInteger<'_>) -> Option<i128> {
    i128::from_str_radix(integer.as_str(), integer.radix()).ok()
}

fn list_of_words(text: &str) -> String {
    let words: Vec<String> = text.split_whitespace().map(quoted).collect();
    format!("[{}]", words.join(", "))
}
