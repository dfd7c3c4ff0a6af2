//! Planners' answers, put in the place of their steps.
//!
//! An answer is `{"steps": {NAME: table}}`, each table as a `[steps.NAME]` of the project file. It is written as such a file and goes the
//! same way as one, so that a planner can say nothing that a person could not. Who asks the planner is not known here.

mod answer;

use self::answer::Answer;
use super::{Command, Plan, PlannedStep, PluginCall, Request, Target, resolve, select};
use crate::{
    codes,
    id::StepIx,
    pipeline::{self, locate},
    plugin::PluginRef,
    problem::{Problem, Severity, Source},
    project::{DEFAULT_GRACE, Matrix, Project, Retry, Settings, Value, When},
};
use std::{collections::BTreeSet, fmt::Write as _, ops::Range, sync::Arc};

/// How many planners may stand behind each other: one that plans itself would plan for ever.
const MOST_ROUNDS: usize = 4;

/// How many steps, cells counted, one answer may have: each is a process.
const MOST_STEPS: usize = 1000;

/// The name of the pipeline as which an answer is read.
const PIPELINE: &str = "planned";

/// Replaces each step whose plugin is a planner by the steps that it answers, until none is left.
///
/// `ask` is given each step that is a plugin, and returns the planner's answer, or `None` if it is none. `source` is the project file, in
/// which problems are shown.
///
/// The planned steps are called `outer/inner`, are ordered among themselves as the list of a pipeline, and wait for all that the outer step
/// waits for; who waits for the outer one waits for all of them. What the outer step says of its tries (`when`, `retry`, `timeout` …)
/// holds for each of them that says nothing itself. They get no secret that the outer step does not list.
///
/// # Errors
///
/// What `ask` returned, and all that is wrong with the answers.
pub fn expand(
    project: &Project,
    source: &Arc<Source>,
    mut plan: Plan,
    mut ask: impl FnMut(&PlannedStep, &PluginCall) -> Result<Option<String>, Vec<Problem>>,
) -> Result<Plan, Vec<Problem>> {
    for round in 0..=MOST_ROUNDS {
        let (mut parts, mut problems) = (Vec::with_capacity(plan.steps.len()), Vec::new());
        for outer in &plan.steps {
            let Command::Plugin(call) = &outer.command else {
                parts.push(None);
                continue;
            };
            let context = Context {
                project,
                source,
                plan: &plan,
                outer,
                call,
            };
            match ask(outer, call) {
                Ok(None) => parts.push(None),
                Ok(Some(_)) if round == MOST_ROUNDS => {
                    problems.push(context.problem("it plans planners again and again"));
                }
                Ok(Some(answer)) => match context.planned(&answer) {
                    Ok(steps) => parts.push(Some(steps)),
                    Err(found) => problems.extend(found),
                },
                Err(found) => problems.extend(found),
            }
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        if parts.iter().all(Option::is_none) {
            break;
        }
        plan.steps = spliced(plan.steps, parts);
    }
    Ok(plan)
}

/// The step that an answer is for.
struct Context<'a> {
    project: &'a Project,
    source: &'a Arc<Source>,
    plan: &'a Plan,
    outer: &'a PlannedStep,
    call: &'a PluginCall,
}

impl Context<'_> {
    fn problem(&self, what: &str) -> Problem {
        self.place(Problem::error(
            codes::BAD_ANSWER,
            format!(
                "the plan of `{}` for step `{}` cannot be used: {what}",
                self.call.uses, self.outer.label
            ),
        ))
    }

    /// Shows the problem at the `uses` of the step.
    fn place(&self, problem: Problem) -> Problem {
        let pointer = format!("/steps/{}/uses", self.outer.step);
        match locate(self.source, &pointer) {
            Some(found) => problem.at(found.value, "planned by this"),
            None => problem,
        }
    }

    /// The steps of an answer, ordered among themselves.
    fn planned(&self, answer: &str) -> Result<Vec<PlannedStep>, Vec<Problem>> {
        let one = |what: &str| vec![self.problem(what)];
        let answer = Answer::read(answer)
            .map_err(|why| one(&format!("it is not {{\"steps\": {{NAME: table}}}}: {why}")))?;
        if answer.steps.is_empty() {
            return Ok(Vec::new());
        }
        let text = self.written(&answer).map_err(|what| one(&what))?;
        let loaded = pipeline::load_planned(Arc::new(Source {
            path: format!("the plan of {}", self.call.uses).into(),
            text,
        }));
        let Some(mut inner) = loaded.project else {
            return Err(self.told(loaded.problems));
        };
        let cells = |matrix: &Matrix| -> usize { matrix.axes.values().map(Vec::len).product() };
        let steps = inner.steps.values();
        let count: usize = steps
            .map(|step| step.matrix.as_ref().map_or(1, cells))
            .sum();
        if count > MOST_STEPS {
            return Err(one(&format!(
                "it has {count} steps, and {MOST_STEPS} are the most"
            )));
        }
        self.surround(&mut inner);
        let params = self.plan.params.iter();
        let request = Request {
            target: Some(PIPELINE.to_owned()),
            params: params
                .map(|(name, value)| (name.to_string(), value.clone()))
                .collect(),
            ..Request::default()
        };
        let plans = resolve(&inner, &request, "").map_err(|problems| self.told(problems))?;
        let mut steps: Vec<PlannedStep> = plans.into_iter().flat_map(|plan| plan.steps).collect();
        let mut problems = Vec::new();
        for step in &mut steps {
            problems.extend(self.adopt(step).err().map(|problem| *problem));
        }
        if problems.is_empty() {
            Ok(steps)
        } else {
            Err(problems)
        }
    }

    /// The answer as a project file: its steps, as one pipeline, with the parameters and the cell of this build.
    fn written(&self, answer: &Answer) -> Result<String, String> {
        let mut text = String::from("[steps]\n");
        for (name, step) in &answer.steps {
            write_key(&mut text, name);
            write_toml(&mut text, step).map_err(|what| format!("{what} in the step {name:?}"))?;
            text.push('\n');
        }
        text.push_str("[params]\n");
        for (name, value) in &self.plan.params {
            write_key(&mut text, name.as_str());
            write_text(&mut text, value);
            text.push('\n');
        }
        // Writing to a `String` cannot fail.
        let _ = write!(text, "[pipelines.{PIPELINE}]\nsteps = [");
        for name in answer.steps.keys() {
            write_text(&mut text, name);
            text.push(',');
        }
        text.push_str("]\n");
        for (axis, value) in self.plan.cell.iter().chain(&self.outer.cell) {
            let _ = write!(text, "matrix.{axis} = [");
            write_text(&mut text, value);
            text.push_str("]\n");
        }
        Ok(text)
    }

    /// Gives the project of an answer what holds for the outer step.
    fn surround(&self, inner: &mut Project) {
        let project = self.project;
        let pipeline = match &self.plan.target {
            Target::Pipeline(name) => project.pipelines.get(name),
            Target::Step(_) => None,
        };
        let shell = pipeline.and_then(|pipeline| pipeline.settings.shell.as_ref());
        let env = self.outer.env.iter();
        inner.plugins.clone_from(&project.plugins);
        inner.settings = Settings {
            shell: shell.or(project.settings.shell.as_ref()).cloned(),
            env: env
                .map(|(name, value)| (name.clone(), Value::Text(value.clone())))
                .collect(),
            pass_env: self.outer.pass_env.clone(),
            color: Some(self.outer.color),
        };
    }

    /// The problems of an answer, as problems of the step that it is for.
    fn told(&self, problems: Vec<Problem>) -> Vec<Problem> {
        let errors = problems
            .into_iter()
            .filter(|problem| problem.severity == Severity::Error);
        let told = errors.map(|problem| {
            let message = format!(
                "the plan of `{}` for step `{}`: {}",
                self.call.uses, self.outer.label, problem.message
            );
            let mut told = self.place(Problem::error(problem.code, message));
            // What helps in a project file is not always what helps in a plan.
            told.help = match problem.code {
                codes::UNKNOWN_STEP => vec![
                    "a planned step needs others of its own plan; what comes before all of them, the step with the `uses` needs"
                        .to_owned(),
                ],
                _ => problem.help,
            };
            told
        });
        let mut told: Vec<Problem> = told.collect();
        // A name that is wrong in several places of the answer has one place in the file.
        told.dedup();
        told
    }

    /// Makes a step of the answer one of the plan.
    fn adopt(&self, step: &mut PlannedStep) -> Result<(), Box<Problem>> {
        let outer = self.outer;
        if let Some(secret) = step
            .secrets
            .iter()
            .find(|name| !outer.secrets.contains(name))
        {
            let what = format!("its step `{}` wants the secret `{secret}`", step.label);
            return Err(self
                .problem(&what)
                .help(format!(
                    "if it may have it, add it to the step: `secrets = [\"{secret}\"]`"
                ))
                .into());
        }
        if outer.when != When::default() {
            if step.when != When::default() {
                let what = format!(
                    "its step `{}` has a `when`, as the step itself has",
                    step.label
                );
                return Err(self.problem(&what).help("remove the step's `when`").into());
            }
            step.when.clone_from(&outer.when);
        }
        step.label = format!("{}/{}", outer.label, step.label);
        step.step.clone_from(&outer.step);
        step.cell.splice(0..0, outer.cell.iter().cloned());
        step.cwd = step.cwd.take().or_else(|| outer.cwd.clone());
        step.timeout = step.timeout.or(outer.timeout);
        step.idle_timeout = step.idle_timeout.or(outer.idle_timeout);
        step.allow_failure |= outer.allow_failure;
        if step.retry == Retry::default() {
            step.retry.clone_from(&outer.retry);
        }
        if step.grace == DEFAULT_GRACE {
            step.grace = outer.grace;
        }
        if step.cpus == 1 {
            step.cpus = outer.cpus;
        }
        if let Command::Plugin(call) = &mut step.command
            && call.uses.plugin == PluginRef::Own
        {
            call.uses.plugin.clone_from(&self.call.uses.plugin);
            call.declared.clone_from(&self.call.declared);
        }
        Ok(())
    }
}

/// The steps of a plan, with some of them replaced.
fn spliced(steps: Vec<PlannedStep>, parts: Vec<Option<Vec<PlannedStep>>>) -> Vec<PlannedStep> {
    // Where what stands for each old place is now. A step for which nothing is planned stays until it is taken out as a whole.
    let mut places: Vec<Range<u32>> = Vec::with_capacity(parts.len());
    for part in &parts {
        let start = places.last().map_or(0, |range| range.end);
        let count = part.as_ref().map_or(1, |steps| steps.len().max(1));
        places.push(start..start + count as u32);
    }
    let (mut new, mut keep) = (Vec::with_capacity(places.len()), Vec::new());
    for (place, (mut step, part)) in steps.into_iter().zip(parts).enumerate() {
        let waits_for = step.waits_for.iter();
        let waits_for: Vec<StepIx> = waits_for
            .flat_map(|need| places[need.index()].clone().map(StepIx))
            .collect();
        // It is at most the step's own place.
        let all_before = step
            .waits_for_all_before
            .map(|before| StepIx(places[before.index()].start));
        let outer = Waits {
            start: places[place].start,
            everything: step.waits_for_all_before == Some(StepIx(place as u32)),
            waits_for,
            all_before,
        };
        match part {
            Some(part) if !part.is_empty() => {
                for mut step in part {
                    outer.join(&mut step);
                    new.push(step);
                    keep.push(true);
                }
            }
            other => {
                step.waits_for = outer.waits_for;
                step.waits_for_all_before = outer.all_before;
                new.push(step);
                keep.push(other.is_none());
            }
        }
    }
    select::part(new, &keep)
}

/// What a step that is replaced waits for, by new places.
struct Waits {
    /// Where the first of its steps is.
    start: u32,
    /// It waits for everything before it.
    everything: bool,
    waits_for: Vec<StepIx>,
    all_before: Option<StepIx>,
}

impl Waits {
    /// Lets one of its steps wait for it all, beside those of its fellows that it waits for.
    fn join(&self, step: &mut PlannedStep) {
        let own = step.waits_for.iter();
        let mut waits: BTreeSet<StepIx> = own.map(|need| StepIx(need.0 + self.start)).collect();
        let fellows = step.waits_for_all_before.map_or(0, |before| before.0);
        step.waits_for_all_before = if self.everything {
            Some(StepIx(self.start + fellows))
        } else {
            // Whoever stands before them and is not waited for by the step that they replace must not be waited for now.
            waits.extend((self.start..self.start + fellows).map(StepIx));
            self.all_before
        };
        waits.extend(&self.waits_for);
        step.waits_for = waits.into_iter().collect();
    }
}

fn write_key(text: &mut String, key: &str) {
    write_text(text, key);
    text.push_str(" = ");
}

/// A string. JSON's escapes are TOML's, but for one character that TOML wants escaped.
fn write_text(text: &mut String, value: &str) {
    let json = serde_json::Value::from(value).to_string();
    text.push_str(&json.replace('\u{7f}', "\\u007f"));
}

fn write_toml(text: &mut String, value: &serde_json::Value) -> Result<(), &'static str> {
    match value {
        serde_json::Value::Null => return Err("there is a null"),
        serde_json::Value::String(value) => write_text(text, value),
        serde_json::Value::Array(list) => {
            text.push('[');
            for value in list {
                write_toml(text, value)?;
                text.push(',');
            }
            text.push(']');
        }
        serde_json::Value::Object(members) => {
            text.push('{');
            for (place, (name, value)) in members.iter().enumerate() {
                text.push_str(if place > 0 { ", " } else { "" });
                write_key(text, name);
                write_toml(text, value)?;
            }
            text.push('}');
        }
        // Writing to a `String` cannot fail.
        number_or_flag => _ = write!(text, "{number_or_flag}"),
    }
    Ok(())
}

#[cfg(test)]
mod tests;
