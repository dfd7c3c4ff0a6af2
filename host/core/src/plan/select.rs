//! A part of a plan: `--step` and `--from-step`.
//!
//! What is left out counts as done. The order of what stays is kept even where it went through a step that is left out.

use super::{Command, Order, Plan, PlannedStep, Request};
use crate::{
    codes,
    id::StepIx,
    problem::Problem,
    project::Project,
    suggest::{closest, list},
};
use std::collections::BTreeSet;

/// Which of the planned steps were asked for; all, where the request names none.
pub(super) fn selection(
    project: &Project,
    steps: &[PlannedStep],
    request: &Request,
    target: &str,
    problems: &mut Vec<Problem>,
) -> Vec<bool> {
    let all = request.step.is_empty() && request.from_step.is_none();
    let mut keep = vec![all; steps.len()];
    for word in &request.step {
        let mut found = false;
        for (step, keep) in steps.iter().zip(&mut keep) {
            if is_called(step, word) {
                *keep = true;
                found = true;
            }
        }
        if !found {
            problems.push(unknown(project, steps, word, target));
        }
    }
    if let Some(word) = &request.from_step {
        match steps.iter().position(|step| is_called(step, word)) {
            Some(first) => keep[first..].fill(true),
            None => problems.push(unknown(project, steps, word, target)),
        }
    }
    keep
}

/// Whether a step is what a word means. A planner may be meant for a step that it has not planned yet.
fn is_called(step: &PlannedStep, word: &str) -> bool {
    let below = |word: &str, label: &str| {
        let rest = word.strip_prefix(label);
        rest.is_some_and(|rest| rest.starts_with('/'))
    };
    step.label == word
        || step.step.as_str() == word
        || below(&step.label, word)
        || matches!(step.command, Command::Plugin(_)) && below(word, &step.label)
}

/// Narrows a plan whose planners have planned to what was asked for.
///
/// # Errors
///
/// When a step was asked for that there is not.
pub fn narrow(project: &Project, request: &Request, mut plan: Plan) -> Result<Plan, Vec<Problem>> {
    let mut problems = Vec::new();
    let keep = selection(
        project,
        &plan.steps,
        request,
        plan.target.name(),
        &mut problems,
    );
    if !problems.is_empty() {
        return Err(problems);
    }
    plan.steps = part(plan.steps, &keep);
    Ok(plan)
}

fn unknown(project: &Project, steps: &[PlannedStep], word: &str, target: &str) -> Problem {
    let problem = Problem::error(
        codes::UNKNOWN_STEP_ARGUMENT,
        format!("`{target}` has no step named `{word}`"),
    );
    let names: BTreeSet<&str> = steps
        .iter()
        .flat_map(|step| [step.step.as_str(), step.label.as_str()])
        .collect();
    if let Some(name) = closest(word, names) {
        problem.help(format!("did you mean `{name}`?"))
    } else if project.steps.contains_key(word) {
        problem.help(format!(
            "the step exists, but not in `{target}`: `piper exec {word}` runs it with what it needs"
        ))
    } else {
        problem.help(format!(
            "its steps are {}",
            list(steps.iter().map(|step| step.label.as_str()))
        ))
    }
}

/// What a step waits for among those that stay, by their new places.
#[derive(Clone, Default)]
struct Waits {
    all_before: u32,
    steps: BTreeSet<StepIx>,
}

/// The steps to keep, with their new places.
pub(super) fn part(steps: Vec<PlannedStep>, keep: &[bool]) -> Vec<PlannedStep> {
    if keep.iter().all(|&keep| keep) {
        return steps;
    }
    // For each old place: how many are kept before it.
    let mut kept_before = Vec::with_capacity(keep.len() + 1);
    kept_before.push(0_u32);
    for &keep in keep {
        let last = kept_before[kept_before.len() - 1];
        kept_before.push(last + u32::from(keep));
    }
    // What the steps that are left out waited for, so that who waits for one of them waits for that instead, and how far
    // back the steps left out wait for a whole prefix: of all before place N, the most.
    let mut through: Vec<Waits> = Vec::with_capacity(steps.len());
    let mut kept = Vec::with_capacity(kept_before[keep.len()] as usize);
    for (place, mut step) in steps.into_iter().enumerate() {
        let mut waits = Waits {
            all_before: step
                .waits_for_all_before
                .map_or(0, |before| kept_before[before.index()]),
            steps: BTreeSet::new(),
        };
        for need in &step.waits_for {
            if keep[need.index()] {
                waits.steps.insert(StepIx(kept_before[need.index()]));
            } else {
                waits.all_before = waits.all_before.max(through[need.index()].all_before);
                waits.steps.extend(&through[need.index()].steps);
            }
        }
        if keep[place] {
            let waited = !step.starts_at_once();
            step.waits_for_all_before = step
                .waits_for_all_before
                .map(|_| StepIx(waits.all_before))
                .or((waits.all_before > 0).then_some(StepIx(waits.all_before)));
            step.waits_for = waits
                .steps
                .iter()
                .copied()
                .filter(|need| need.0 >= waits.all_before)
                .collect();
            if waited && step.starts_at_once() {
                step.order = Order::Alone;
            }
            kept.push(step);
            // Nobody asks what a kept step waited for: the step itself is waited for.
            waits = Waits::default();
        }
        through.push(waits);
    }
    kept
}
