//! From spanned tables to a [`Project`]: walks the tables by the table of keys and collects every problem.
//!
//! What is wrong is reported and replaced by something harmless, so that one mistake hides no other; the result counts only if
//! nothing was wrong. What needs more than one value to be judged is for [`check`](super::check).

mod fields;
mod matrix;
mod plugins;
mod step;
mod values;

use self::fields::{Fields, Node, Owner, entries};
pub(super) use self::plugins::OF_PROCESSES;
use super::{
    keys::{self, Kind},
    listed,
};
use crate::{
    codes,
    id::{EnvironmentName, InvalidName, ParamName, PipelineName, StepName},
    problem::{Problem, Source, Span},
    project::{EnvironmentKind, Param, Pipeline, Project, Slot, Value, VersionSource},
    suggest,
};
use indexmap::IndexMap;
use std::{ops::Range, sync::Arc};
use toml::de::{DeTable, DeValue};

/// Who wrote a text that is decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Author {
    /// A person.
    Person,
    /// A planner, which may call itself `self`.
    Planner,
}

/// Where things stand in the file, in the order of the [`Project`]'s maps.
#[derive(Debug, Default)]
pub(super) struct Places {
    /// One for each step.
    pub(super) steps: Vec<StepPlaces>,
    /// One for each pipeline.
    pub(super) pipelines: Vec<PipelinePlaces>,
    /// References in `[project]`.
    pub(super) references: Vec<Reference>,
    /// `[params]`: one for each parameter.
    pub(super) params: Vec<Range<usize>>,
    /// One for each rule of `[notify]`.
    pub(super) notify: Vec<NotifyPlaces>,
}

/// Where the parts of a rule of `[notify]` stand.
#[derive(Debug, Default)]
pub(super) struct NotifyPlaces {
    /// Each of its pipelines.
    pub(super) pipelines: Vec<Range<usize>>,
    /// What it refers to.
    pub(super) references: Vec<Reference>,
}

/// Where the parts of a step stand.
#[derive(Debug, Default)]
pub(super) struct StepPlaces {
    /// Its name.
    pub(super) name: Range<usize>,
    /// Each of its needs.
    pub(super) needs: Vec<Range<usize>>,
    /// Its script.
    pub(super) run: Option<Range<usize>>,
    /// Its matrix.
    pub(super) matrix: Range<usize>,
    /// What it refers to.
    pub(super) references: Vec<Reference>,
    /// The values in `when.param`, as (parameter, value, place).
    pub(super) conditions: Vec<(ParamName, String, Range<usize>)>,
}

/// Where the parts of a pipeline stand.
#[derive(Debug, Default)]
pub(super) struct PipelinePlaces {
    /// Each of its steps, group after group.
    pub(super) steps: Vec<Range<usize>>,
    /// Its environment.
    pub(super) environment: Range<usize>,
    /// Each of its parameters.
    pub(super) params: Vec<Range<usize>>,
    /// What it refers to.
    pub(super) references: Vec<Reference>,
}

/// A use of a parameter or of an axis.
#[derive(Debug, Clone)]
pub(super) struct Reference {
    /// What is referred to; never a text.
    pub(super) to: Value,
    /// Where.
    pub(super) at: Range<usize>,
}

/// Decodes a whole file, which a person wrote, or a planner.
pub(super) fn decode(
    source: &Arc<Source>,
    table: &DeTable<'_>,
    by: Author,
) -> (Project, Places, Vec<Problem>) {
    let mut decoder = Decoder {
        source,
        by,
        problems: Vec::new(),
        references: Vec::new(),
    };
    let mut places = Places::default();
    let project = decoder.file(table, &mut places);
    (project, places, decoder.problems)
}

/// The state of decoding: what is wrong so far.
struct Decoder<'s> {
    source: &'s Arc<Source>,
    by: Author,
    problems: Vec<Problem>,
    /// What the table at hand refers to; moved to its place when the table is done.
    references: Vec<Reference>,
}

impl Decoder<'_> {
    fn span(&self, bytes: Range<usize>) -> Span {
        Span {
            source: Arc::clone(self.source),
            bytes,
        }
    }

    fn report(&mut self, problem: Problem, at: Range<usize>, label: impl Into<String>) {
        let problem = problem.at(self.span(at), label);
        self.problems.push(problem);
    }

    fn file(&mut self, table: &DeTable<'_>, places: &mut Places) -> Project {
        let mut project = Project::default();
        let fields = self.fields(table, &keys::FILE, Owner::FILE, 0..0);
        if let Some((key, node)) = fields.get("project")
            && let Some(table) = self.table(&fields, key, node)
        {
            self.project(table, node.span(), &mut project);
        }
        places.references = std::mem::take(&mut self.references);
        if let Some((key, node)) = fields.get("params")
            && let Some(table) = self.table(&fields, key, node)
        {
            (project.params, places.params) = self.params(table, Owner::FILE);
        }
        if let Some((key, node)) = fields.get("environments")
            && let Some(table) = self.table(&fields, key, node)
        {
            self.environments(table, &mut project);
        }
        if let Some((key, node)) = fields.get("steps")
            && let Some(table) = self.table(&fields, key, node)
        {
            let entries = entries(table);
            project.steps.reserve(entries.len());
            for (name, at, node) in entries {
                let Some(name) = self.name(name, &at, "step", StepName::parse) else {
                    continue;
                };
                let (step, mut place) = self.step(&name, node);
                place.name = at;
                project.steps.insert(name, step);
                places.steps.push(place);
            }
        }
        if let Some((key, node)) = fields.get("pipelines")
            && let Some(table) = self.table(&fields, key, node)
        {
            for (name, at, node) in entries(table) {
                let Some(name) = self.name(name, &at, "pipeline", PipelineName::parse) else {
                    continue;
                };
                let (pipeline, place) = self.pipeline(&name, node);
                project.pipelines.insert(name, pipeline);
                places.pipelines.push(place);
            }
        }
        if let Some((key, node)) = fields.get("plugins")
            && let Some(table) = self.table(&fields, key, node)
        {
            project.plugins = self.plugins(table);
        }
        if let Some((key, node)) = fields.get("notify")
            && let Some(table) = self.table(&fields, key, node)
        {
            (project.notify, places.notify) = self.notify(table);
        }
        project
    }

    fn project(&mut self, table: &DeTable<'_>, at: Range<usize>, project: &mut Project) {
        let fields = self.fields(table, &keys::PROJECT, Owner::of_what("`[project]`"), at);
        project.name = self.text(&fields, "name").map(|(name, _)| name);
        project.settings = self.settings(&fields);
        let Some((key, node)) = fields.get("version") else {
            return;
        };
        project.version = match node.get_ref() {
            DeValue::Table(table) => {
                let fields = self.fields(
                    table,
                    &keys::VERSION,
                    fields.owner.inner("`version`"),
                    node.span(),
                );
                self.text(&fields, "git-describe").map(|(arguments, _)| {
                    VersionSource::GitDescribe(
                        arguments.split_whitespace().map(str::to_owned).collect(),
                    )
                })
            }
            _ => self
                .text_of(&fields, key, node)
                .map(|(version, _)| VersionSource::Static(version)),
        };
    }

    fn environments(&mut self, table: &DeTable<'_>, project: &mut Project) {
        for (name, at, node) in entries(table) {
            let Some(name) = self.name(name, &at, "environment", EnvironmentName::parse) else {
                continue;
            };
            if matches!(name.as_str(), "local" | "clean") {
                self.report(
                    Problem::error(
                        codes::BUILT_IN_ENVIRONMENT,
                        format!("the environment `{name}` exists already"),
                    )
                    .help("give it another name, or leave it out: `local` and `clean` need no declaration"),
                    at,
                    "built in",
                );
                continue;
            }
            let owner = Owner::named("environment", name.as_str());
            let mut kind = EnvironmentKind::Local;
            if let Some(table) =
                self.inner_table(owner, node, "[environments.NAME] with `kind = \"clean\"`")
            {
                let fields = self.fields(table, &keys::ENVIRONMENT, owner, node.span());
                let planned = self.planned_environment(&fields);
                if !planned && self.one_of(&fields, "kind").as_deref() == Some("clean") {
                    kind = EnvironmentKind::Clean;
                }
            }
            project.environments.insert(name, kind);
        }
    }

    fn planned_environment(&mut self, fields: &Fields<'_>) -> bool {
        let Some((_, node)) = fields.get("kind") else {
            return false;
        };
        let Some(kind) = node
            .get_ref()
            .as_str()
            .filter(|kind| keys::PLANNED_ENVIRONMENTS.contains(kind))
        else {
            return false;
        };
        self.report(
            Problem::error(
                codes::NOT_IMPLEMENTED,
                format!(
                    "environments of kind `{kind}` are not implemented in this version of piper"
                ),
            )
            .help("this version knows `local` and `clean`"),
            node.span(),
            "a later version brings it",
        );
        true
    }

    fn params(
        &mut self,
        table: &DeTable<'_>,
        of: Owner<'_>,
    ) -> (IndexMap<ParamName, Param>, Vec<Range<usize>>) {
        let mut params = IndexMap::new();
        let mut places = Vec::new();
        for (name, at, node) in entries(table) {
            let Some(name) = self.name(name, &at, "parameter", ParamName::parse) else {
                continue;
            };
            let named = Owner::named("parameter", name.as_str());
            let owner = if of.is_file() { named } else { named.of(&of) };
            let param = self.param(owner, node);
            params.insert(name, param);
            places.push(at);
        }
        (params, places)
    }

    fn param(&mut self, owner: Owner<'_>, node: Node<'_>) -> Param {
        let DeValue::Table(table) = node.get_ref() else {
            let default = self.scalar(owner, "default", Kind::Scalar, node);
            return Param {
                default,
                ..Param::default()
            };
        };
        let fields = self.fields(table, &keys::PARAM, owner, node.span());
        let default = fields.get("default").and_then(|(key, node)| {
            Some((self.scalar(owner, key.name, key.kind, node)?, node.span()))
        });
        let choices = self.scalars(&fields, "choices");
        if let Some((default, at)) = &default
            && !choices.is_empty()
            && !choices.contains(default)
        {
            let mut problem = Problem::error(
                codes::DEFAULT_NOT_A_CHOICE,
                format!("the default `{default}` of {owner} is not among its choices"),
            )
            .help(format!("choices: {}", listed(&choices)));
            if let Some(near) = suggest::closest(default, choices.iter().map(String::as_str)) {
                problem = problem.help(format!("did you mean `{near}`?"));
            }
            self.report(problem, at.clone(), "not a choice");
        }
        Param {
            default: default.map(|(default, _)| default),
            choices,
            about: self.text(&fields, "about").map(|(about, _)| about),
        }
    }

    fn pipeline(&mut self, name: &PipelineName, node: Node<'_>) -> (Pipeline, PipelinePlaces) {
        let owner = Owner::named("pipeline", name.as_str());
        let mut pipeline = Pipeline::default();
        let mut places = PipelinePlaces::default();
        let form = format!("`{name} = {{ steps = [\"…\"] }}`, or `[pipelines.{name}]`");
        let Some(table) = self.inner_table(owner, node, &form) else {
            return (pipeline, places);
        };
        let fields = self.fields(table, &keys::PIPELINE, owner, node.span());
        pipeline.about = self.text(&fields, "about").map(|(about, _)| about);
        (pipeline.steps, places.steps) = self.slots(&fields);
        if let Some((text, at)) = self.text(&fields, "environment") {
            pipeline.environment = self.name(&text, &at, "environment", EnvironmentName::parse);
            places.environment = at;
        }
        if let Some((key, node)) = fields.get("params")
            && let Some(table) = self.table(&fields, key, node)
        {
            (pipeline.params, places.params) = self.params(table, owner);
        }
        pipeline.settings = self.settings(&fields);
        pipeline.timeout = self.duration(&fields, "timeout");
        pipeline.keep_going = self.flag(&fields, "keep-going").unwrap_or_default();
        pipeline.matrix = self.matrix(&fields);
        places.references = std::mem::take(&mut self.references);
        (pipeline, places)
    }

    /// The list of a pipeline; names that cannot be names are left out.
    fn slots(&mut self, fields: &Fields<'_>) -> (Vec<Slot>, Vec<Range<usize>>) {
        let (mut slots, mut places) = (Vec::new(), Vec::new());
        for node in self.list(fields, "steps", false) {
            match node.get_ref() {
                DeValue::Array(inner) => {
                    let before = places.len();
                    let names = inner
                        .iter()
                        .filter_map(|node| self.step_name(fields, node, &mut places))
                        .collect();
                    if inner.is_empty() {
                        self.report_empty("a group of steps is empty", node.span());
                    }
                    if places.len() > before {
                        slots.push(Slot::Group(names));
                    }
                }
                _ => slots.extend(self.step_name(fields, node, &mut places).map(Slot::One)),
            }
        }
        (slots, places)
    }

    fn step_name(
        &mut self,
        fields: &Fields<'_>,
        node: Node<'_>,
        places: &mut Vec<Range<usize>>,
    ) -> Option<StepName> {
        let Some(text) = node.get_ref().as_str() else {
            let mut problem = Problem::error(
                codes::WRONG_TYPE,
                format!(
                    "a step in {} must be named by a string, not {}",
                    fields.owner,
                    fields::type_of(node)
                ),
            );
            problem = match node.get_ref() {
                DeValue::Array(_) => problem.help("a group holds names only: groups do not nest"),
                _ => problem.help("declare the step in `[steps]` and list its name here"),
            };
            self.report(problem, node.span(), "not a name");
            return None;
        };
        let name = self.name(text, &node.span(), "step", StepName::parse)?;
        places.push(node.span());
        Some(name)
    }

    /// Checks a name and reports one that is none, with a name that would be.
    fn name<N>(
        &mut self,
        text: &str,
        at: &Range<usize>,
        what: &str,
        parse: impl Fn(&str) -> Result<N, InvalidName>,
    ) -> Option<N> {
        if let Ok(name) = parse(text) {
            return Some(name);
        }
        let shown: String = text.chars().take(80).collect();
        let mut problem = Problem::error(
            codes::BAD_NAME,
            format!("{shown:?} cannot be the name of {}", with_article(what)),
        )
        .help(format!(
            "a name has up to 64 letters, digits, `_` and `-`{}",
            if what == "parameter" {
                ""
            } else {
                ", and begins with a letter or a digit"
            }
        ));
        let mended: String = text
            .trim_matches(|c: char| !c.is_ascii_alphanumeric())
            .chars()
            .take(crate::id::MAX_NAME)
            .map(|c| {
                if c.is_ascii_alphanumeric() || c == '_' {
                    c
                } else {
                    '-'
                }
            })
            .collect();
        // What is left of a name in another alphabet is nobody's idea of a name.
        if parse(&mended).is_ok()
            && (mended.len() + 1 >= text.chars().count() || mended.len() == crate::id::MAX_NAME)
        {
            problem = problem.help(format!("for instance `{mended}`"));
        }
        self.report(problem, at.clone(), "not a name");
        None
    }

    fn report_empty(&mut self, message: impl Into<String>, at: Range<usize>) {
        let problem = Problem::error(codes::EMPTY, message)
            .help("write what belongs there, or remove what is empty");
        self.report(problem, at, "nothing here");
    }
}

fn with_article(what: &str) -> String {
    let article = if what.starts_with(['a', 'e']) {
        "an"
    } else {
        "a"
    };
    format!("{article} {what}")
}
