//! What no single value shows: unknown steps, cycles, orders that cannot run, references to what nobody declares.
//!
//! Works on the decoded [`Project`] and the places of its parts; all of it is linear in the size of the file.

mod order;
mod shell;

use super::{
    decode::{Places, Reference},
    listed,
};
use crate::{
    codes,
    id::{AxisName, EnvironmentName, ParamName, PipelineName},
    problem::{Problem, Source, Span},
    project::{Param, Pipeline, Project, Slot, Value},
    suggest,
};
use indexmap::IndexMap;
use std::{
    collections::{HashMap, HashSet},
    ops::Range,
    sync::Arc,
};

/// How many names may be compared for suggestions in one file, so that a long file of unknown names is still read at once.
const MOST_COMPARED: usize = 200_000;

/// How many choices a parameter may have for its conditions to be compared with them.
const MOST_CHOICES: usize = 1000;

/// Reports what is wrong between the parts of a project.
pub(super) fn check(source: &Arc<Source>, project: &Project, places: &Places) -> Vec<Problem> {
    let mut check = Check {
        source,
        project,
        places,
        users: vec![Vec::new(); project.steps.len()],
        problems: Vec::new(),
        compared: 0,
    };
    check.note_users();
    order::check(&mut check);
    check.references();
    check.conditions();
    check.environments();
    check.variables();
    check.axes();
    check.notify();
    shell::check(&mut check);
    check.problems
}

/// The state of checking.
struct Check<'a> {
    source: &'a Arc<Source>,
    project: &'a Project,
    places: &'a Places,
    /// The pipelines of each step, by index.
    users: Vec<Vec<usize>>,
    problems: Vec<Problem>,
    compared: usize,
}

impl<'a> Check<'a> {
    fn report(&mut self, problem: Problem, at: &Range<usize>, label: impl Into<String>) {
        let problem = problem.at(self.span(at), label);
        self.problems.push(problem);
    }

    fn span(&self, at: &Range<usize>) -> Span {
        Span {
            source: Arc::clone(self.source),
            bytes: at.clone(),
        }
    }

    /// "did you mean …?", while there is time for it.
    fn near<'n>(
        &mut self,
        word: &str,
        names: impl ExactSizeIterator<Item = &'n str>,
    ) -> Option<&'n str> {
        self.compared = self.compared.saturating_add(names.len());
        (self.compared <= MOST_COMPARED).then(|| suggest::closest(word, names))?
    }

    fn note_users(&mut self) {
        for (at, pipeline) in self.project.pipelines.values().enumerate() {
            for step in pipeline.steps.iter().flat_map(Slot::steps) {
                if let Some(step) = self.project.steps.get_index_of(step)
                    && self.users[step].last() != Some(&at)
                {
                    self.users[step].push(at);
                }
            }
        }
    }

    fn pipeline(&self, at: usize) -> (&'a str, &'a Pipeline) {
        let (name, pipeline) = self
            .project
            .pipelines
            .get_index(at)
            .expect("users are indices of pipelines");
        (name.as_str(), pipeline)
    }

    fn references(&mut self) {
        let project = self.project;
        for reference in &self.places.references {
            if let Some(lack) = lacking(project, None, None, &reference.to) {
                self.report_undeclared(reference, "`[project]`", lack);
            }
        }
        for (at, (name, pipeline)) in project.pipelines.iter().enumerate() {
            for reference in &self.places.pipelines[at].references {
                if let Some(lack) = lacking(project, Some(pipeline), None, &reference.to) {
                    self.report_undeclared(reference, &format!("pipeline `{name}`"), lack);
                }
            }
        }
        for (at, (name, step)) in project.steps.iter().enumerate() {
            let mut seen = HashSet::new();
            for reference in &self.places.steps[at].references {
                // One look at all its pipelines for each thing referred to, however often that is.
                if !seen.insert(&reference.to)
                    || lacking(project, None, step.matrix.as_ref(), &reference.to).is_none()
                {
                    continue;
                }
                let lacks = self.users[at].iter().find(|&&user| {
                    lacking(project, Some(self.pipeline(user).1), None, &reference.to).is_some()
                });
                let lack = match (lacks, self.users[at].is_empty()) {
                    (Some(&user), _) => Lack::In(self.pipeline(user).0),
                    (None, true) => Lack::Anywhere,
                    (None, false) => continue,
                };
                self.report_undeclared(reference, &format!("step `{name}`"), lack);
            }
        }
    }

    fn report_undeclared(&mut self, reference: &Reference, owner: &str, lack: Lack<'_>) {
        let project = self.project;
        let (code, what, name, declare) = match &reference.to {
            Value::Text(_) => return,
            Value::Param(name) => (
                codes::UNDECLARED_PARAM,
                "parameter",
                name.as_str(),
                "params.NAME = \"default\"",
            ),
            Value::Matrix(name) => (
                codes::UNDECLARED_AXIS,
                "axis",
                name.as_str(),
                "matrix.NAME = [\"…\"]",
            ),
        };
        let declare = declare.replace("NAME", name);
        let (message, declare) = match lack {
            Lack::In(pipeline) => (
                format!(
                    "{owner} refers to the {what} `{name}`, which pipeline `{pipeline}` does not declare"
                ),
                format!("add `{declare}` to `[pipelines.{pipeline}]`"),
            ),
            Lack::AtTheTop => (
                match reference.to {
                    Value::Matrix(_) => format!("{owner} refers to the {what} `{name}`, and no rule has axes"),
                    Value::Param(_) | Value::Text(_) => format!("{owner} refers to the {what} `{name}`, which is not in `[params]`"),
                },
                "a rule is for builds of any pipeline: it can refer to parameters of `[params]` only".to_owned(),
            ),
            Lack::Anywhere => (
                format!("{owner} refers to the {what} `{name}`, which is not declared"),
                match reference.to {
                    Value::Matrix(_) => format!(
                        "declare it: `{declare}` in the step or in each pipeline that uses it"
                    ),
                    Value::Param(_) | Value::Text(_) => format!(
                        "declare it: `{name} = \"default\"` in `[params]`, or `{declare}` in the pipeline"
                    ),
                },
            ),
        };
        let near = match &reference.to {
            Value::Param(_) => {
                let own = project
                    .pipelines
                    .values()
                    .map(|pipeline| pipeline.params.len())
                    .sum::<usize>();
                self.compared = self.compared.saturating_add(own);
                let all = project.params.keys().map(ParamName::as_str);
                match self.near(name, all) {
                    Some(near) => Some(near),
                    None if self.compared > MOST_COMPARED => None,
                    None => suggest::closest(
                        name,
                        project
                            .pipelines
                            .values()
                            .flat_map(|pipeline| pipeline.params.keys())
                            .map(ParamName::as_str),
                    ),
                }
            }
            Value::Matrix(_) | Value::Text(_) => None,
        };
        let mut problem = Problem::error(code, message).help(declare);
        if let Some(near) = near.filter(|near| *near != name) {
            problem = problem.help(format!("did you mean `{near}`?"));
        }
        self.report(problem, &reference.at, "not declared");
    }

    /// Values of `when.param` that the parameter can never have.
    fn conditions(&mut self) {
        for at in 0..self.project.steps.len() {
            for (param, value, place) in &self.places.steps[at].conditions {
                let shared = self.project.params.get(param);
                let declared = self.users[at]
                    .iter()
                    .take(100)
                    .filter_map(|&user| self.pipeline(user).1.params.get(param))
                    .chain(shared);
                let choices: Vec<&Param> = declared.collect();
                let possible = |param: &&Param| {
                    param.choices.is_empty()
                        || param.choices.len() > MOST_CHOICES
                        || param.choices.contains(value)
                };
                let Some(first) = choices.first().filter(|_| !choices.iter().any(possible)) else {
                    continue;
                };
                let problem = Problem::error(
                    codes::IMPOSSIBLE_CONDITION,
                    format!("the parameter `{param}` is never `{value}`"),
                )
                .help(format!("choices: {}", listed(&first.choices)));
                self.report(problem, place, "not a choice");
            }
        }
    }

    fn environments(&mut self) {
        let project = self.project;
        for (at, (name, pipeline)) in project.pipelines.iter().enumerate() {
            let Some(environment) = &pipeline.environment else {
                continue;
            };
            if matches!(environment.as_str(), "local" | "clean")
                || project.environments.contains_key(environment)
            {
                continue;
            }
            let declared = project.environments.keys().map(EnvironmentName::as_str);
            let near = self
                .near(environment.as_str(), ["local", "clean"].into_iter())
                .or_else(|| self.near(environment.as_str(), declared));
            let mut problem = Problem::error(
                codes::UNDECLARED_ENVIRONMENT,
                format!(
                    "pipeline `{name}` runs in the environment `{environment}`, which is not declared"
                ),
            );
            problem = match near {
                Some(near) => problem.help(format!("did you mean `{near}`?")),
                None => problem.help(format!(
                    "use `local` or `clean`, or declare `[environments.{environment}]`"
                )),
            };
            self.report(
                problem,
                &self.places.pipelines[at].environment.clone(),
                "unknown",
            );
        }
    }

    /// Parameters whose names differ but whose variables do not.
    fn variables(&mut self) {
        let project = self.project;
        let shared = self.same_variables(&project.params, &self.places.params, &HashMap::new());
        for (at, pipeline) in project.pipelines.values().enumerate() {
            self.same_variables(&pipeline.params, &self.places.pipelines[at].params, &shared);
        }
    }

    fn same_variables(
        &mut self,
        params: &'a IndexMap<ParamName, Param>,
        places: &[Range<usize>],
        shared: &HashMap<String, &'a ParamName>,
    ) -> HashMap<String, &'a ParamName> {
        let mut own: HashMap<String, &ParamName> = HashMap::new();
        for (name, place) in params.keys().zip(places) {
            let variable = name.variable();
            if let Some(other) = own
                .get(&variable)
                .or_else(|| shared.get(&variable))
                .filter(|other| **other != name)
            {
                self.report(
                    Problem::error(
                        codes::SAME_VARIABLE,
                        format!(
                            "the parameters `{other}` and `{name}` are both the variable {variable}"
                        ),
                    )
                    .help("rename one of the two"),
                    place,
                    format!("the same variable as `{other}`"),
                );
            }
            own.insert(variable, name);
        }
        own
    }

    /// What rules of `[notify]` name.
    fn notify(&mut self) {
        let project = self.project;
        for (at, (name, rule)) in project.notify.iter().enumerate() {
            let owner = format!("notify rule `{name}`");
            for (place, pipeline) in rule.pipelines.iter().enumerate() {
                if project.pipelines.contains_key(pipeline) {
                    continue;
                }
                let pipelines = project.pipelines.keys().map(PipelineName::as_str);
                let mut problem = Problem::error(
                    codes::UNKNOWN_PIPELINE,
                    format!("{owner} names `{pipeline}`, which is not a pipeline"),
                );
                problem = match self.near(pipeline.as_str(), pipelines) {
                    Some(near) => problem.help(format!("did you mean `{near}`?")),
                    None => problem.help("rules are for builds of `[pipelines]`, not of steps"),
                };
                let places = self.places;
                self.report(problem, &places.notify[at].pipelines[place], "unknown");
            }
            let places = self.places;
            for reference in &places.notify[at].references {
                if lacking(project, None, None, &reference.to).is_some() {
                    self.report_undeclared(reference, &owner, Lack::AtTheTop);
                }
            }
        }
    }

    /// Axes that a step shares with a pipeline that uses it.
    fn axes(&mut self) {
        for (at, (name, step)) in self.project.steps.iter().enumerate() {
            let Some(matrix) = &step.matrix else { continue };
            let clash = self.users[at].iter().find_map(|&user| {
                let (pipeline, declared) = self.pipeline(user);
                let outer: &IndexMap<AxisName, _> = &declared.matrix.as_ref()?.axes;
                let axis = matrix.axes.keys().find(|axis| outer.contains_key(*axis))?;
                Some((pipeline, axis))
            });
            if let Some((pipeline, axis)) = clash {
                self.report(
                    Problem::error(
                        codes::AXIS_TWICE,
                        format!("step `{name}` and pipeline `{pipeline}` both have the axis `{axis}`"),
                    )
                    .help("rename one of the two, or remove the step's: a pipeline's axis reaches all its steps"),
                    &self.places.steps[at].matrix.clone(),
                    format!("`{axis}` again"),
                );
            }
        }
    }
}

/// Where a declaration is missing.
#[derive(Clone, Copy)]
enum Lack<'a> {
    In(&'a str),
    Anywhere,
    AtTheTop,
}

/// Whether what is referred to is declared neither at the top, nor in `pipeline`, nor by `matrix`.
fn lacking(
    project: &Project,
    pipeline: Option<&Pipeline>,
    matrix: Option<&crate::project::Matrix>,
    to: &Value,
) -> Option<Lack<'static>> {
    let declared = match to {
        Value::Text(_) => true,
        Value::Param(name) => {
            project.params.contains_key(name)
                || pipeline.is_some_and(|pipeline| pipeline.params.contains_key(name))
        }
        Value::Matrix(axis) => {
            let outer = pipeline.and_then(|pipeline| pipeline.matrix.as_ref());
            [matrix, outer]
                .into_iter()
                .flatten()
                .any(|matrix| matrix.axes.contains_key(axis))
        }
    };
    (!declared).then_some(Lack::Anywhere)
}
