//! What the file says of plugins: `uses` and `with`, `[plugins]`, `[notify]`.

use super::{
    Decoder, NotifyPlaces, Reference,
    fields::{Fields, Node, Owner, entries},
    values::number,
};
use crate::{
    codes,
    id::{AxisName, ParamName, PipelineName, PluginName, RuleName},
    notify::{Occasion, Rule},
    pipeline::keys,
    plugin::{NotAPlugin, Options, PluginRef, ProjectPlugin, Uses, pointer_part},
    problem::Problem,
    project::Value,
};
use indexmap::IndexMap;
use std::{collections::HashSet, ops::Range};
use toml::de::{DeTable, DeValue};

/// Keys of a step that say something of its process, which a plugin has not.
pub(in crate::pipeline) const OF_PROCESSES: [&str; 4] =
    ["shell", "tty", "stop-signal", "survivors"];

impl Decoder<'_> {
    /// The plugin of a step or of a rule.
    pub(super) fn uses(&mut self, fields: &Fields<'_>, may_be_own: bool) -> Option<Uses> {
        let (text, at) = self.text(fields, "uses")?;
        match Uses::parse(&text) {
            Ok(uses) if uses.plugin == PluginRef::Own && !may_be_own => {
                let own = NotAPlugin {
                    why: "is what a planner calls itself in its answer",
                    help: "name the plugin".to_owned(),
                };
                self.report_no_plugin(fields.owner, "uses", &text, own, at);
                None
            }
            Ok(uses) => Some(uses),
            Err(error) => {
                self.report_no_plugin(fields.owner, "uses", &text, error, at);
                None
            }
        }
    }

    fn report_no_plugin(
        &mut self,
        owner: Owner<'_>,
        key: &str,
        text: &str,
        error: NotAPlugin,
        at: Range<usize>,
    ) {
        let shown: String = text.chars().take(80).collect();
        let message = format!("`{key}` of {owner}: {shown:?} {}", error.why);
        let problem = Problem::error(codes::NOT_A_PLUGIN, message).help(error.help);
        self.report(problem, at, "not a plugin");
    }

    /// The options of a plugin; what they refer to is noted.
    pub(super) fn options(&mut self, fields: &Fields<'_>) -> Options {
        let mut options = Options::default();
        if let Some((key, node)) = fields.get("with")
            && let Some(table) = self.table(fields, key, node)
        {
            let references = Some(&mut options.references);
            let mut walk = Walk {
                decoder: self,
                owner: fields.owner.inner("`with`"),
                references,
            };
            options.object = walk.members(table, "");
        }
        options
    }

    /// `[plugins]`.
    pub(super) fn plugins(&mut self, table: &DeTable<'_>) -> IndexMap<PluginName, ProjectPlugin> {
        let mut plugins = IndexMap::new();
        for (name, at, node) in entries(table) {
            let Some(name) = self.name(name, &at, "plugin", PluginName::parse) else {
                continue;
            };
            if name.as_str() == "self" {
                let problem =
                    Problem::error(codes::BAD_NAME, "`self` cannot be the name of a plugin")
                        .help("it is what a planner calls itself: choose another name");
                self.report(problem, at, "not a name");
                continue;
            }
            let plugin = self.plugin(&name, node);
            plugins.extend(plugin.map(|plugin| (name, plugin)));
        }
        plugins
    }

    fn plugin(&mut self, name: &PluginName, node: Node<'_>) -> Option<ProjectPlugin> {
        let owner = Owner::named("plugin", name.as_str());
        let (text, at, config) = match node.get_ref() {
            DeValue::String(text) => (text.to_string(), node.span(), serde_json::Map::new()),
            _ => {
                let form = "`NAME = \"./file.wasm\"`, or `[plugins.NAME]` with `use = \"…\"` and `config = {…}`";
                let table = self.inner_table(owner, node, form)?;
                let fields = self.fields(table, &keys::PLUGIN, owner, node.span());
                let config = self.config(&fields);
                if fields.get("use").is_none() {
                    let source = PluginRef::Named(name.clone());
                    return Some(ProjectPlugin { source, config });
                }
                let (text, at) = self.text(&fields, "use")?;
                (text, at, config)
            }
        };
        match PluginRef::source(&text) {
            Ok(source) => Some(ProjectPlugin { source, config }),
            Err(error) => {
                self.report_no_plugin(owner, "use", &text, error, at);
                None
            }
        }
    }

    fn config(&mut self, fields: &Fields<'_>) -> serde_json::Map<String, serde_json::Value> {
        let Some((key, node)) = fields.get("config") else {
            return serde_json::Map::new();
        };
        let Some(table) = self.table(fields, key, node) else {
            return serde_json::Map::new();
        };
        let mut walk = Walk {
            decoder: self,
            owner: fields.owner.inner("`config`"),
            references: None,
        };
        walk.members(table, "")
    }

    /// `[notify]`.
    pub(super) fn notify(
        &mut self,
        table: &DeTable<'_>,
    ) -> (IndexMap<RuleName, Rule>, Vec<NotifyPlaces>) {
        let (mut rules, mut places) = (IndexMap::new(), Vec::new());
        for (name, at, node) in entries(table) {
            let Some(name) = self.name(name, &at, "rule", RuleName::parse) else {
                continue;
            };
            let owner = Owner::named("notify rule", name.as_str());
            let form = "`[notify.NAME]` with `uses = \"…\"`";
            let Some(table) = self.inner_table(owner, node, form) else {
                continue;
            };
            let fields = self.fields(table, &keys::NOTIFY, owner, node.span());
            let mut place = NotifyPlaces::default();
            let rule = self.rule(&fields, &mut place);
            place.references = std::mem::take(&mut self.references);
            if let Some(rule) = rule {
                rules.insert(name, rule);
                places.push(place);
            }
        }
        (rules, places)
    }

    fn rule(&mut self, fields: &Fields<'_>, places: &mut NotifyPlaces) -> Option<Rule> {
        let with = self.options(fields);
        let (mut on, mut seen) = (Vec::new(), HashSet::new());
        let words = Occasion::ALL.map(|(word, _)| word);
        for (text, node) in self.texts(fields, "on", false) {
            if !self.is_repeated(&mut seen, text, "`on`", node)
                && self.word(fields.owner, "on", &words, text, node).is_some()
            {
                let occasions = Occasion::ALL.into_iter();
                on.extend(
                    occasions
                        .filter(|(word, _)| *word == text)
                        .map(|(_, on)| on),
                );
            }
        }
        if fields.get("on").is_none() {
            on.extend(Occasion::DEFAULT);
        }
        let (mut pipelines, mut seen) = (Vec::new(), HashSet::new());
        for (text, node) in self.texts(fields, "pipelines", false) {
            if !self.is_repeated(&mut seen, text, "`pipelines`", node)
                && let Some(name) = self.name(text, &node.span(), "pipeline", PipelineName::parse)
            {
                pipelines.push(name);
                places.pipelines.push(node.span());
            }
        }
        Some(Rule {
            uses: self.uses(fields, false)?,
            with,
            on,
            pipelines,
        })
    }
}

/// The walk over a table of anything.
struct Walk<'w, 's, 'o> {
    decoder: &'w mut Decoder<'s>,
    owner: Owner<'o>,
    /// Where references are noted; `None` where there is nothing to refer to.
    references: Option<&'w mut Vec<(String, Value)>>,
}

impl Walk<'_, '_, '_> {
    fn members(
        &mut self,
        table: &DeTable<'_>,
        pointer: &str,
    ) -> serde_json::Map<String, serde_json::Value> {
        let mut members = serde_json::Map::new();
        for (name, _, node) in entries(table) {
            let pointer = format!("{pointer}/{}", pointer_part(name));
            let value = self.value(node, &pointer);
            members.extend(value.map(|value| (name.to_owned(), value)));
        }
        members
    }

    /// A value as JSON. A date is a text, as in every JSON.
    fn value(&mut self, node: Node<'_>, pointer: &str) -> Option<serde_json::Value> {
        match node.get_ref() {
            DeValue::String(text) => Some(text.as_ref().into()),
            DeValue::Boolean(flag) => Some((*flag).into()),
            DeValue::Datetime(date) => Some(date.to_string().into()),
            DeValue::Integer(integer) => {
                let value = number(integer);
                let value = value.and_then(|value| i64::try_from(value).ok());
                if value.is_none() {
                    self.report_number(codes::OUT_OF_RANGE, node, "is too large", "out of range");
                }
                value.map(Into::into)
            }
            DeValue::Float(float) => {
                let value = float.as_str().parse().ok();
                let value = value.and_then(serde_json::Number::from_f64);
                if value.is_none() {
                    self.report_number(
                        codes::QUOTE_IT,
                        node,
                        "is no number of JSON",
                        "needs quotes",
                    );
                }
                value.map(Into::into)
            }
            DeValue::Array(list) => {
                let values = (0..).zip(list.iter()).map(|(place, node): (usize, _)| {
                    // A hole would give those behind it other places; the file is not used anyway.
                    let value = self.value(node, &format!("{pointer}/{place}"));
                    value.unwrap_or_default()
                });
                Some(values.collect::<Vec<_>>().into())
            }
            DeValue::Table(table) => match reference(table) {
                None => Some(self.members(table, pointer).into()),
                Some(to) => {
                    self.refer(to, node, pointer);
                    Some(serde_json::Value::Null)
                }
            },
        }
    }

    fn report_number(
        &mut self,
        code: crate::problem::Code,
        node: Node<'_>,
        what: &str,
        label: &str,
    ) {
        let written = &self.decoder.source.text[node.span()];
        let message = format!("`{written}` in {} {what}", self.owner);
        let problem = Problem::error(code, message).help("quote it, if the plugin takes a text");
        self.decoder.report(problem, node.span(), label);
    }

    fn refer(&mut self, to: (&str, &str), node: Node<'_>, pointer: &str) {
        let Some(references) = &mut self.references else {
            let message = format!("{} cannot refer to anything", self.owner);
            let problem = Problem::error(codes::BAD_REFERENCE, message)
                .help("it is the same in every build; `with` of a step may have references");
            return self.decoder.report(problem, node.span(), "");
        };
        let at = &node.span();
        let value = match to {
            ("param", name) => self
                .decoder
                .name(name, at, "parameter", ParamName::parse)
                .map(Value::Param),
            (_, name) => self
                .decoder
                .name(name, at, "axis", AxisName::parse)
                .map(Value::Matrix),
        };
        if let Some(to) = value {
            references.push((pointer.to_owned(), to.clone()));
            let at = at.clone();
            self.decoder.references.push(Reference { to, at });
        }
    }
}

/// What a table refers to, if it is a reference and not an option: `{ param = "name" }`, `{ matrix = "axis" }`.
fn reference<'a>(table: &'a DeTable<'_>) -> Option<(&'a str, &'a str)> {
    let (key, value) = table.iter().next().filter(|_| table.len() == 1)?;
    let key = key.get_ref().as_ref();
    let name = value.get_ref().as_str()?;
    matches!(key, "param" | "matrix").then_some((key, name))
}
