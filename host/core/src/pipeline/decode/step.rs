//! The keys of a step.

use super::{
    Author, Decoder, Reference, StepPlaces,
    fields::{Fields, Node, Owner, entries, type_of},
    plugins::OF_PROCESSES,
    with_article,
};
use crate::{
    codes,
    id::{ParamName, StepName},
    pipeline::{keys, read::quoted},
    problem::Problem,
    project::{Action, Retry, RetryOn, Step, StopSignal, Survivors, Value, When, WhenStatus},
};
use indexmap::IndexMap;
use std::{collections::HashSet, ops::Range, path::Component};
use toml::de::{DeTable, DeValue};

impl Decoder<'_> {
    /// A step, in its short form or as a table.
    pub(super) fn step(&mut self, name: &StepName, node: Node<'_>) -> (Step, StepPlaces) {
        let owner = Owner::named("step", name.as_str());
        let mut places = StepPlaces::default();
        let nothing = || Step::new(Action::Run(String::new()));
        match node.get_ref() {
            DeValue::Table(table) => {
                let step = self.step_table(owner, table, node.span(), &mut places);
                places.references = std::mem::take(&mut self.references);
                (step.unwrap_or_else(nothing), places)
            }
            DeValue::String(script) => {
                places.run = Some(node.span());
                if script.trim().is_empty() {
                    self.report_empty(format!("{owner} is empty"), node.span());
                }
                self.without_nul(script, node);
                (Step::new(Action::Run(script.to_string())), places)
            }
            _ => {
                let mut problem = Problem::error(
                    codes::WRONG_TYPE,
                    format!("{owner} must be a script or a table, not {}", type_of(node)),
                );
                problem = match node.get_ref() {
                    DeValue::Array(_) => problem.help(format!(
                        "a program with its arguments is `{name} = {{ argv = […] }}`"
                    )),
                    _ => problem.help(format!(
                        "write `{name} = \"…\"`, or `[steps.{name}]` with `run = \"…\"`"
                    )),
                };
                self.report(problem, node.span(), "");
                (nothing(), places)
            }
        }
    }

    fn step_table(
        &mut self,
        owner: Owner<'_>,
        table: &DeTable<'_>,
        at: Range<usize>,
        places: &mut StepPlaces,
    ) -> Option<Step> {
        let fields = self.fields(table, &keys::STEP, owner, at.clone());
        let action = self.action(&fields, table, at, places);
        let mut step = Step::new(action.unwrap_or_else(|| Action::Run(String::new())));
        step.about = self.text(&fields, "about").map(|(about, _)| about);
        (step.needs, places.needs) = self.needs(&fields);
        step.settings = self.settings(&fields);
        step.cwd = self.cwd(&fields);
        step.timeout = self.duration(&fields, "timeout");
        step.idle_timeout = self.duration(&fields, "idle-timeout");
        step.retry = self.retry(&fields);
        step.allow_failure = self.flag(&fields, "allow-failure").unwrap_or_default();
        step.when = self.when(&fields, places);
        step.matrix = self.matrix(&fields);
        if let Some((_, node)) = fields.get("matrix") {
            places.matrix = node.span();
        }
        step.tty = self.flag(&fields, "tty").unwrap_or_default();
        if let Some(name) = self.one_of(&fields, "stop-signal") {
            step.stop_signal = StopSignal::ALL
                .into_iter()
                .find(|(own, _)| *own == name)
                .map(|(_, signal)| signal)?;
        }
        if let Some(grace) = self.duration(&fields, "grace") {
            step.grace = grace;
        }
        if let Some(cpus) = self.count(&fields, "cpus") {
            step.cpus = cpus;
        }
        if self.one_of(&fields, "survivors").as_deref() == Some("keep") {
            step.survivors = Survivors::Keep;
        }
        step.secrets = self.secrets(&fields);
        Some(step)
    }

    /// `run`, `argv` or `uses`, of which there must be one.
    fn action(
        &mut self,
        fields: &Fields<'_>,
        table: &DeTable<'_>,
        at: Range<usize>,
        places: &mut StepPlaces,
    ) -> Option<Action> {
        let actions = ["run", "argv", "uses"].map(|name| fields.get(name));
        let given: Vec<_> = actions
            .into_iter()
            .flatten()
            .map(|(key, node)| (key.name, node))
            .collect();
        if let (false, Some((_, with))) = (fields.get("uses").is_some(), fields.get("with")) {
            let message = format!("{} has `with`, but no `uses`", fields.owner);
            let problem = Problem::error(codes::MISSING_KEY, message)
                .help("add `uses = \"…\"`, or remove `with`: it is for plugins");
            self.report(problem, with.span(), "options of no plugin");
            if given.is_empty() {
                return None;
            }
        }
        match *given.as_slice() {
            [("run", run)] => {
                let (script, _) = self.text(fields, "run")?;
                places.run = Some(run.span());
                Some(Action::Run(script))
            }
            [("uses", uses)] => {
                self.without_process_keys(fields, uses);
                let with = self.options(fields);
                let may_be_own = self.by == Author::Planner;
                Some(Action::Plugin(self.uses(fields, may_be_own)?, with))
            }
            [_] => {
                let mut argv = Vec::new();
                for node in self.list(fields, "argv", false) {
                    argv.extend(self.value(fields.owner, "argv", node));
                }
                if let Some(Value::Text(program)) = argv.first()
                    && program.is_empty()
                {
                    let (_, node) = fields.get("argv")?;
                    self.report_empty(
                        format!("`argv` of {} names no program", fields.owner),
                        node.span(),
                    );
                }
                (!argv.is_empty()).then_some(Action::Argv(argv))
            }
            [(first, at), .., (last, too)] => {
                let mut problem = Problem::error(
                    codes::EXCLUSIVE_KEYS,
                    format!("{} has both `{first}` and `{last}`", fields.owner),
                )
                .help("`run` is a text for the shell, `argv` a program with its arguments, `uses` a plugin: keep one");
                problem
                    .also
                    .push((self.span(at.span()), format!("`{first}` is here")));
                self.report(problem, too.span(), format!("and `{last}` too"));
                None
            }
            [] => {
                // A misspelt `run` has been reported; "there is no `run`" would say the same again.
                let known = table.keys().all(|key| {
                    keys::STEP
                        .find(key.get_ref())
                        .is_some_and(|key| key.since.is_some())
                });
                if known {
                    self.report(
                        Problem::error(
                            codes::MISSING_KEY,
                            format!("{} has neither `run` nor `argv` nor `uses`", fields.owner),
                        )
                        .help("add `run = \"…\"`, `argv = [\"program\", \"argument\"]`, or `uses = \"plugin\"`"),
                        at,
                        "runs nothing",
                    );
                }
                None
            }
        }
    }

    /// Reports keys that say something of a process.
    fn without_process_keys(&mut self, fields: &Fields<'_>, uses: Node<'_>) {
        for (key, node) in OF_PROCESSES.iter().filter_map(|name| fields.get(name)) {
            let mut problem = Problem::error(
                codes::EXCLUSIVE_KEYS,
                format!("{} has both `uses` and `{}`", fields.owner, key.name),
            )
            .help(format!(
                "remove `{}`: it is for steps that are processes, and a plugin is none",
                key.name
            ));
            problem
                .also
                .push((self.span(uses.span()), "`uses` is here".to_owned()));
            self.report(problem, node.span(), format!("and `{}` too", key.name));
        }
    }

    fn needs(&mut self, fields: &Fields<'_>) -> (Option<Vec<StepName>>, Vec<Range<usize>>) {
        if !fields
            .get("needs")
            .is_some_and(|(_, node)| node.get_ref().is_array())
        {
            self.list(fields, "needs", true);
            return (None, Vec::new());
        }
        let (mut names, mut places, mut seen) = (Vec::new(), Vec::new(), HashSet::new());
        for (text, node) in self.texts(fields, "needs", true) {
            if !self.is_repeated(&mut seen, text, "`needs`", node)
                && let Some(name) = self.name(text, &node.span(), "step", StepName::parse)
            {
                names.push(name);
                places.push(node.span());
            }
        }
        (Some(names), places)
    }

    fn cwd(&mut self, fields: &Fields<'_>) -> Option<Value> {
        let (_, node) = fields.get("cwd")?;
        let value = self.value(fields.owner, "cwd", node)?;
        let Value::Text(path) = &value else {
            return Some(value);
        };
        let mut depth = 0;
        let inside = std::path::Path::new(path).components().all(|component| {
            depth += match component {
                Component::Normal(_) => 1,
                Component::CurDir => 0,
                Component::ParentDir | Component::RootDir | Component::Prefix(_) => -1,
            };
            depth >= 0
        });
        if path.is_empty() {
            self.report_empty(format!("`cwd` of {} is empty", fields.owner), node.span());
        } else if !inside {
            self.report(
                Problem::error(codes::OUTSIDE_WORKSPACE, format!("`cwd` of {} is outside the workspace", fields.owner))
                    .help("write a path that begins at the project's root and stays below it, such as \"web\""),
                node.span(),
                "not below the project's root",
            );
        }
        Some(value)
    }

    fn retry(&mut self, fields: &Fields<'_>) -> Retry {
        let Some((key, node)) = fields.get("retry") else {
            return Retry::default();
        };
        match node.get_ref() {
            DeValue::Table(table) => {
                let fields = self.fields(
                    table,
                    &keys::RETRY,
                    fields.owner.inner("`retry`"),
                    node.span(),
                );
                let mut on = Vec::new();
                for (text, node) in self.texts(&fields, "on", false) {
                    on.extend(self.retry_on(&fields, text, node));
                }
                Retry {
                    max: self.count(&fields, "max").unwrap_or_default(),
                    on,
                    delay: self.duration(&fields, "delay").unwrap_or_default(),
                }
            }
            DeValue::Integer(_) => Retry {
                max: self
                    .count_of(fields.owner, key.name, keys::RETRY_MAX, node)
                    .unwrap_or_default(),
                ..Retry::default()
            },
            _ => {
                self.report_type(fields.owner, key.name, key.kind, node);
                Retry::default()
            }
        }
    }

    fn retry_on(&mut self, fields: &Fields<'_>, text: &str, node: Node<'_>) -> Option<RetryOn> {
        if let Some(status) = text.strip_prefix("exit:") {
            if let Some(status) = status.parse().ok().filter(|status| *status > 0) {
                return Some(RetryOn::Status(status));
            }
            self.report(
                Problem::error(
                    codes::OUT_OF_RANGE,
                    format!("{} is not an exit status of a failure", quoted(status)),
                )
                .help("a failed command exits with 1 to 255: \"exit:101\""),
                node.span(),
                "out of range",
            );
            return None;
        }
        match self
            .word(
                fields.owner,
                "on",
                &["exit", "exit:N", "signal", "timeout"],
                text,
                node,
            )?
            .as_str()
        {
            "exit" => Some(RetryOn::Exit),
            "signal" => Some(RetryOn::Signal),
            _ => Some(RetryOn::Timeout),
        }
    }

    fn when(&mut self, fields: &Fields<'_>, places: &mut StepPlaces) -> When {
        let Some((key, node)) = fields.get("when") else {
            return When::default();
        };
        let mut when = When::default();
        match node.get_ref() {
            DeValue::String(status) => {
                let word = self.word(fields.owner, key.name, keys::WHEN_STATUS, status, node);
                when.status = status_named(word.as_deref());
            }
            DeValue::Table(table) => {
                let fields = self.fields(
                    table,
                    &keys::WHEN,
                    fields.owner.inner("`when`"),
                    node.span(),
                );
                let word = self.one_of(&fields, "status");
                when.status = status_named(word.as_deref());
                when.branch = self.globs(&fields, "branch");
                when.event = self.patterns(&fields, "event");
                when.paths = self.globs(&fields, "paths");
                when.param = self.when_param(&fields, places);
            }
            _ => self.report_type(fields.owner, key.name, key.kind, node),
        }
        when
    }

    fn when_param(
        &mut self,
        fields: &Fields<'_>,
        places: &mut StepPlaces,
    ) -> IndexMap<ParamName, Vec<String>> {
        let mut params = IndexMap::new();
        let Some((key, node)) = fields.get("param") else {
            return params;
        };
        let Some(table) = self.table(fields, key, node) else {
            return params;
        };
        for (name, at, node) in entries(table) {
            let Some(param) = self.name(name, &at, "parameter", ParamName::parse) else {
                continue;
            };
            let nodes = match node.get_ref() {
                DeValue::Array(list) => &**list,
                _ => std::slice::from_ref(node),
            };
            if nodes.is_empty() {
                self.report_empty(
                    format!(
                        "{} of {} has no values",
                        with_article("parameter"),
                        fields.owner
                    ),
                    node.span(),
                );
            }
            let mut values = Vec::new();
            for node in nodes {
                if let Some(value) = self.scalar(fields.owner, name, keys::Kind::Scalar, node) {
                    places
                        .conditions
                        .push((param.clone(), value.clone(), node.span()));
                    values.push(value);
                }
            }
            self.references.push(Reference {
                to: Value::Param(param.clone()),
                at,
            });
            params.insert(param, values);
        }
        params
    }
}

fn status_named(word: Option<&str>) -> WhenStatus {
    match word {
        Some("failure") => WhenStatus::Failure,
        Some("always") => WhenStatus::Always,
        _ => WhenStatus::Success,
    }
}
