//! A project and a request, made into plans.
//!
//! Everything that is wrong with a request is reported at once; what is wrong with the file, the loader has reported already.

use super::{
    Cell, Command, DEFAULT_SHELL, Order, Plan, PlannedStep, PluginCall, Target, cell_text,
    order::{self, Place},
    params,
    params::declared_params,
    select,
};
use crate::{
    codes,
    id::{AxisName, EnvironmentName, ParamName, StepIx},
    problem::Problem,
    project::{Action, EnvironmentKind, Matrix, Pipeline, Project, Settings, Slot, Step, Value},
    suggest::{closest, list},
};
use indexmap::IndexMap;
use std::{collections::HashMap, ops::Range};

/// What somebody asked for, in the words that they used.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Request {
    /// A pipeline, else a step with all that it needs; `build`, if nothing is named. With values of its matrix in brackets, as
    /// in `unit[rust=1.80]`, only the cells that have them.
    pub target: Option<String>,
    /// Where to run it; where the pipeline says, else `local`, if nothing is named.
    pub environment: Option<String>,
    /// Values of parameters, each once.
    pub params: Vec<(String, String)>,
    /// Arguments for the step that was named, or for the pipeline's last step.
    pub args: Vec<String>,
    /// Run these alone, without what they need: steps, or single cells by their labels.
    pub step: Vec<String>,
    /// Run this and everything after it in the plan's order; what is before it counts as done.
    pub from_step: Option<String>,
    /// Let steps that do not depend on a failed one still run.
    pub keep_going: bool,
}

/// What is asked for if nothing is named.
const DEFAULT_TARGET: &str = "build";

/// Makes the plans of a request: one, or one for each cell of the pipeline's matrix.
///
/// `name` is the project's where the file gives none.
///
/// # Errors
///
/// All that is wrong with the request: names that do not exist, parameters that are missing or refused, steps that are not part
/// of what was asked for, and arguments that no single step could get.
pub fn resolve(
    project: &Project,
    request: &Request,
    name: &str,
) -> Result<Vec<Plan>, Vec<Problem>> {
    let target = target(project, request)?;
    let pipeline = match &target {
        Target::Pipeline(name) => project.pipelines.get(name.as_str()),
        Target::Step(_) => None,
    };
    let only = request
        .target
        .as_deref()
        .and_then(|word| in_brackets(word).1);
    let mut problems = Vec::new();
    let environment = environment(project, pipeline, request, &mut problems);
    let params = params::values(project, pipeline, &target, request, &mut problems);
    let places = match (&target, pipeline) {
        (Target::Step(name), _) => order::needed(project, name),
        (Target::Pipeline(_), pipeline) => pipeline
            .map(|pipeline| order::listed(project, pipeline))
            .unwrap_or_default(),
    };
    let mut cells = vec![Cell::new()];
    if let Some(matrix) = pipeline.and_then(|pipeline| pipeline.matrix.as_ref()) {
        cells = cells_of(
            matrix,
            &format!("pipeline `{}`", target.name()),
            &mut problems,
        );
    }
    if pipeline.is_some() {
        retain(&mut cells, only, target.name(), &mut problems);
    }

    let mut plans = Vec::with_capacity(cells.len());
    for cell in cells {
        let scope = Scope {
            project,
            pipeline,
            target: &target,
            params: &params,
            cell: &cell,
            only,
        };
        let (steps, last) = scope.steps(&places, &mut problems);
        let keep = select::selection(project, &steps, request, target.name(), &mut problems);
        let after_last = steps.len() - last;
        let mut steps = select::part(steps, &keep);
        give_arguments(&mut steps, after_last, request, &target, &mut problems);
        if !problems.is_empty() {
            // Every cell would have the same problems.
            return Err(problems);
        }
        plans.push(Plan {
            project: project.name.clone().unwrap_or_else(|| name.to_owned()),
            target: target.clone(),
            cell,
            environment: environment.clone(),
            version: project.version.clone(),
            params: params.clone(),
            steps,
            timeout: pipeline.and_then(|pipeline| pipeline.timeout),
            keep_going: request.keep_going || pipeline.is_some_and(|pipeline| pipeline.keep_going),
        });
    }
    if problems.is_empty() {
        Ok(plans)
    } else {
        Err(problems)
    }
}

fn target(project: &Project, request: &Request) -> Result<Target, Vec<Problem>> {
    let has = |word: &str| project.pipelines.contains_key(word) || project.steps.contains_key(word);
    // `--step X` alone is enough to say what is meant where there is no `build` that X could be a part of.
    let alone = match request.step.as_slice() {
        [label] if !has(DEFAULT_TARGET) => Some(label.as_str()),
        _ => None,
    };
    let word = request
        .target
        .as_deref()
        .or(alone)
        .map_or(DEFAULT_TARGET, |word| in_brackets(word).0);
    if let Some((name, _)) = project.pipelines.get_key_value(word) {
        return Ok(Target::Pipeline(name.clone()));
    }
    if let Some((name, _)) = project.steps.get_key_value(word) {
        return Ok(Target::Step(name.clone()));
    }
    let pipelines = || project.pipelines.keys().map(|name| name.as_str());
    let steps = || project.steps.keys().map(|name| name.as_str());
    let mut problem = match &request.target {
        Some(_) => Problem::error(
            codes::UNKNOWN_TARGET,
            format!("no pipeline or step is named `{word}`"),
        ),
        None => Problem::error(
            codes::UNKNOWN_TARGET,
            format!("nothing was named, and no pipeline or step is named `{DEFAULT_TARGET}`"),
        ),
    };
    let named = request.target.as_ref();
    let is_plugin = |step: &Step| matches!(step.action, Action::Plugin(..));
    let outer = word.split_once('/').map(|(outer, _)| outer);
    if let Some(outer) = outer.filter(|outer| project.steps.get(*outer).is_some_and(is_plugin)) {
        problem = problem.help(format!(
            "a step that `{outer}` plans is chosen by `--step {word}`"
        ));
    } else if let Some(name) = named.and_then(|_| closest(word, pipelines().chain(steps()))) {
        problem = problem.help(format!("did you mean `{name}`?"));
    }
    if pipelines().len() > 0 {
        problem = problem.help(format!("pipelines: {}", list(pipelines())));
    }
    if steps().len() > 0 {
        problem = problem.help(format!("steps: {}", list(steps())));
    }
    if let (None, Some(name)) = (&request.target, pipelines().chain(steps()).next()) {
        problem = problem.help(format!("say which, as in `piper exec {name}`"));
    }
    if pipelines().len() + steps().len() == 0 {
        problem = problem.help("`piper.toml` declares no pipeline and no step yet: `[steps]` with `hello = \"echo hello\"` is enough");
    }
    Err(vec![problem])
}

fn environment(
    project: &Project,
    pipeline: Option<&Pipeline>,
    request: &Request,
    problems: &mut Vec<Problem>,
) -> (EnvironmentName, EnvironmentKind) {
    // The two that exist without being declared.
    let builtin = [
        ("local", EnvironmentKind::Local),
        ("clean", EnvironmentKind::Clean),
    ]
    .map(|(name, kind)| (EnvironmentName::parse(name).expect("a name"), kind));
    let named = request.environment.as_deref().or_else(|| {
        pipeline.and_then(|pipeline| pipeline.environment.as_ref().map(|name| name.as_str()))
    });
    let word = named.unwrap_or("local");
    if let Some((name, kind)) = project.environments.get_key_value(word) {
        return (name.clone(), *kind);
    }
    if let Some(found) = builtin.iter().find(|(name, _)| name.as_str() == word) {
        return found.clone();
    }
    let mut names: Vec<&str> = builtin.iter().map(|(name, _)| name.as_str()).collect();
    names.extend(project.environments.keys().map(|name| name.as_str()));
    let mut problem = Problem::error(
        codes::UNKNOWN_ENVIRONMENT,
        format!("no environment is named `{word}`"),
    );
    if let Some(name) = closest(word, names.iter().copied()) {
        problem = problem.help(format!("did you mean `{name}`?"));
    }
    if declared_params(project, pipeline)
        .keys()
        .any(|name| name.as_str() == word)
    {
        problem = problem.help(format!(
            "the parameter of that name is set by `{word}=value`"
        ));
    }
    problems.push(problem.help(format!("environments: {}", list(names.into_iter()))));
    builtin[0].clone()
}

/// `unit[rust=1.80]` as the name and what stands in the brackets.
fn in_brackets(word: &str) -> (&str, Option<&str>) {
    let inner = word.strip_suffix(']').and_then(|rest| rest.split_once('['));
    inner.map_or((word, None), |(name, cell)| (name, Some(cell)))
}

/// Keeps the cells that have all the values of `only`: `os=linux,rust=1.80`, in any order.
fn retain(cells: &mut Vec<Cell>, only: Option<&str>, whose: &str, problems: &mut Vec<Problem>) {
    let Some(only) = only else { return };
    let all: Vec<String> = cells.iter().map(cell_text).collect();
    cells.retain(|cell| {
        let text = cell_text(cell);
        let mut wanted = only.split(',');
        wanted.all(|value| text.split(',').any(|own| own == value))
    });
    if all.is_empty() || !cells.is_empty() {
        return;
    }
    let problem = Problem::error(
        codes::UNKNOWN_TARGET,
        format!("`{whose}` has no cell `{only}`"),
    );
    problems.push(if all == [""] {
        problem.help(format!("it has no matrix: `piper exec {whose}` runs it"))
    } else {
        problem.help(format!(
            "its cells are {}",
            list(all.iter().map(String::as_str))
        ))
    });
}

fn cells_of(matrix: &Matrix, whose: &str, problems: &mut Vec<Problem>) -> Vec<Cell> {
    let wrong = match order::cells(matrix) {
        Some(cells) if !cells.is_empty() => return cells,
        Some(_) => Problem::error(
            codes::MATRIX_EMPTY,
            format!("the matrix of {whose} has no cell left"),
        )
        .help("its `exclude` leaves nothing to run"),
        None => Problem::error(
            codes::MATRIX_TOO_LARGE,
            format!(
                "the matrix of {whose} has more than {} cells",
                Matrix::MOST_CELLS
            ),
        )
        .help("take values or axes away"),
    };
    problems.push(wrong);
    Vec::new()
}

/// What the values of a step can refer to, and where its settings come from.
struct Scope<'a> {
    project: &'a Project,
    pipeline: Option<&'a Pipeline>,
    target: &'a Target,
    params: &'a IndexMap<ParamName, String>,
    cell: &'a Cell,
    /// Which cells of the target were asked for, if not all.
    only: Option<&'a str>,
}

impl Scope<'_> {
    /// The planned steps, cell by cell, and the place at which the last slot begins.
    fn steps(
        &self,
        places: &[Place<'_>],
        problems: &mut Vec<Problem>,
    ) -> (Vec<PlannedStep>, usize) {
        let mut steps: Vec<PlannedStep> = Vec::with_capacity(places.len());
        // Where the cells of each place begin, and which steps a name stands for.
        let mut first_of_place = Vec::with_capacity(places.len());
        let mut of_name: HashMap<&str, Range<u32>> = HashMap::with_capacity(places.len());
        for place in places {
            let first = steps.len() as u32;
            first_of_place.push(first);
            let (waits_for, all_before, order) = match (&place.step.needs, place.listed_before) {
                (Some(needs), _) => {
                    let mut waits_for = Vec::with_capacity(needs.len());
                    for need in needs {
                        match of_name.get(need.as_str()) {
                            Some(range) => waits_for.extend(range.clone().map(StepIx)),
                            None => problems.push(not_before(
                                place.name.as_str(),
                                need.as_str(),
                                self.target,
                            )),
                        }
                    }
                    waits_for.sort_unstable();
                    waits_for.dedup();
                    (waits_for, None, Order::Needs)
                }
                (None, Some(before)) => (
                    Vec::new(),
                    Some(StepIx(first_of_place[before])),
                    Order::Listed,
                ),
                (None, None) => (Vec::new(), None, Order::Listed),
            };
            let mut cells = match &place.step.matrix {
                Some(matrix) => cells_of(matrix, &format!("step `{}`", place.name), problems),
                None => vec![Cell::new()],
            };
            if matches!(self.target, Target::Step(name) if name == place.name) {
                retain(&mut cells, self.only, place.name.as_str(), problems);
            }
            for cell in cells {
                let mut step = self.step(place, cell, problems);
                step.waits_for.clone_from(&waits_for);
                step.waits_for_all_before = all_before;
                step.order = order;
                steps.push(step);
            }
            of_name.insert(place.name.as_str(), first..steps.len() as u32);
        }
        let last = places
            .last()
            .map_or(0, |place| place.listed_before.unwrap_or(places.len() - 1));
        let last = first_of_place.get(last).map_or(0, |&first| first as usize);
        (steps, last)
    }

    /// One cell of a step, without its order.
    fn step(&self, place: &Place<'_>, cell: Cell, problems: &mut Vec<Problem>) -> PlannedStep {
        let Place { name, step, .. } = place;
        let label = match cell.as_slice() {
            [] => name.to_string(),
            _ => format!("{name}[{}]", cell_text(&cell)),
        };
        let mut text = |value: &Value| {
            self.text(value, &cell).unwrap_or_else(|| {
                let problem = self.meaningless(name.as_str(), value);
                // A step may use the same reference in many places and cells.
                if !problems.contains(&problem) {
                    problems.push(problem);
                }
                String::new()
            })
        };
        let layers = self.layers(&step.settings);
        let shell = layers.iter().rev().find_map(|layer| layer.shell.as_ref());
        let command = match &step.action {
            Action::Run(script) => Command::Script {
                shell: shell
                    .cloned()
                    .unwrap_or_else(|| DEFAULT_SHELL.map(str::to_owned).to_vec()),
                script: script.clone(),
                args: Vec::new(),
            },
            Action::Argv(argv) => Command::Argv(argv.iter().map(&mut text).collect()),
            Action::Plugin(uses, with) => Command::Plugin(Box::new(PluginCall {
                declared: self.project.declared(uses).cloned(),
                uses: uses.clone(),
                with: with.resolve(&mut text),
            })),
        };
        let mut env: IndexMap<String, String> = IndexMap::new();
        for (name, value) in layers.iter().flat_map(|layer| &layer.env) {
            env.insert(name.clone(), text(value));
        }
        let cwd = step.cwd.as_ref().map(&mut text);
        for (axis, value) in self.cell.iter().chain(&cell) {
            env.insert(axis.variable(), value.clone());
        }
        PlannedStep {
            label,
            step: (*name).clone(),
            cell,
            command,
            waits_for: Vec::new(),
            waits_for_all_before: None,
            order: Order::Listed,
            env: env.into_iter().collect(),
            pass_env: layers
                .iter()
                .flat_map(|layer| &layer.pass_env)
                .cloned()
                .collect(),
            cwd,
            timeout: step.timeout,
            idle_timeout: step.idle_timeout,
            retry: step.retry.clone(),
            allow_failure: step.allow_failure,
            when: step.when.clone(),
            tty: step.tty,
            stop_signal: step.stop_signal,
            grace: step.grace,
            cpus: step.cpus,
            survivors: step.survivors,
            secrets: step.secrets.clone(),
            color: layers
                .iter()
                .rev()
                .find_map(|layer| layer.color)
                .unwrap_or(true),
        }
    }

    /// The settings that apply to a step, the nearest last.
    fn layers<'b>(&'b self, own: &'b Settings) -> Vec<&'b Settings> {
        let pipeline = self.pipeline.map(|pipeline| &pipeline.settings);
        std::iter::once(&self.project.settings)
            .chain(pipeline)
            .chain([own])
            .collect()
    }

    fn text(&self, value: &Value, cell: &Cell) -> Option<String> {
        let of_axis = |axis: &AxisName| {
            let cells = cell.iter().chain(self.cell);
            cells
                .into_iter()
                .find(|(own, _)| own == axis)
                .map(|(_, value)| value.clone())
        };
        match value {
            Value::Text(text) => Some(text.clone()),
            Value::Param(name) => self.params.get(name.as_str()).cloned(),
            Value::Matrix(axis) => of_axis(axis),
        }
    }

    /// A reference to something that the pipelines of the step have and this target has not.
    fn meaningless(&self, step: &str, value: &Value) -> Problem {
        let what = match value {
            Value::Text(text) => format!("the text {text:?}"),
            Value::Param(name) => format!("the parameter `{name}`"),
            Value::Matrix(axis) => format!("the matrix axis `{axis}`"),
        };
        let serves = |pipeline: &Pipeline| {
            let has_it = match value {
                Value::Text(_) => false,
                Value::Param(name) => pipeline.params.contains_key(name),
                Value::Matrix(axis) => pipeline
                    .matrix
                    .as_ref()
                    .is_some_and(|matrix| matrix.axes.contains_key(axis)),
            };
            has_it
                && pipeline
                    .steps
                    .iter()
                    .flat_map(Slot::steps)
                    .any(|own| own.as_str() == step)
        };
        let problem = Problem::error(
            codes::UNDECLARED_PARAM,
            format!(
                "step `{step}` refers to {what}, which `{}` does not have",
                self.target.name()
            ),
        );
        match self
            .project
            .pipelines
            .iter()
            .find(|(_, pipeline)| serves(pipeline))
        {
            Some((name, _)) => problem.help(format!(
                "run it as part of a pipeline that has it: `piper exec {name} --step {step}`"
            )),
            None => problem.help(
                "declare it where every pipeline and step can see it: parameters in `[params]`",
            ),
        }
    }
}

fn not_before(step: &str, need: &str, target: &Target) -> Problem {
    Problem::error(
        codes::NEED_NOT_LISTED,
        format!(
            "step `{step}` needs `{need}`, which does not come before it in `{}`",
            target.name()
        ),
    )
    .help(format!("list `{need}` before `{step}`"))
}

/// Hands the caller's arguments to the one step that they are for.
fn give_arguments(
    steps: &mut [PlannedStep],
    after_last: usize,
    request: &Request,
    target: &Target,
    problems: &mut Vec<Problem>,
) {
    if request.args.is_empty() || !problems.is_empty() {
        return;
    }
    // Steps that are asked for alone are what the arguments are for, else it is what the last slot leaves of itself.
    let first = match request.step.as_slice() {
        [] => steps.len() - after_last.min(steps.len()),
        _ => 0,
    };
    match &mut steps[first..] {
        [step] => match &mut step.command {
            Command::Script { args, .. } => args.extend_from_slice(&request.args),
            Command::Argv(argv) => argv.extend_from_slice(&request.args),
            Command::Plugin(call) => problems.push(
                Problem::error(
                    codes::UNUSED_ARGUMENTS,
                    format!(
                        "step `{}` is the plugin `{}`, which takes no arguments after `--`",
                        step.label, call.uses
                    ),
                )
                .help("a plugin's options stand in the file: `with = { … }`, whose values may be `{ param = \"name\" }`"),
            ),
        },
        [] => problems.push(Problem::error(
            codes::UNUSED_ARGUMENTS,
            format!(
                "`{}` has no step that could get the arguments after `--`",
                target.name()
            ),
        )),
        candidates => {
            let problem = Problem::error(
                codes::UNUSED_ARGUMENTS,
                format!(
                    "which step gets the arguments after `--`? `{}` ends with {} steps side by side",
                    target.name(),
                    candidates.len()
                ),
            );
            problems.push(
                problem
                    .help(format!(
                        "they are {}",
                        list(candidates.iter().map(|step| step.label.as_str()))
                    ))
                    .help(format!(
                        "run one of them alone: `piper exec {} --step '{}' -- …`",
                        target.name(),
                        candidates[0].label
                    )),
            );
        }
    }
}
