//! Whether the steps can run in the order in which they are listed.

use super::Check;
use crate::{
    codes,
    id::StepName,
    problem::Problem,
    project::{Pipeline, Project, Slot},
};
use std::{collections::HashSet, fmt::Write as _};

/// The longest list, in steps, and the longest cycle that are printed whole.
const MOST_PRINTED: usize = 40;

pub(super) fn check(check: &mut Check<'_>) {
    let needs = needs(check);
    let cyclic = cycles(check, &needs);
    lists(check, &needs, &cyclic);
}

/// The needs of each step by index, as (index of the need, its place in the list); unknown ones are reported.
fn needs(check: &mut Check<'_>) -> Vec<Vec<(usize, usize)>> {
    let project = check.project;
    let mut all = Vec::with_capacity(project.steps.len());
    for (at, (name, step)) in project.steps.iter().enumerate() {
        let mut known = Vec::new();
        for (place, need) in step.needs.iter().flatten().enumerate() {
            match project.steps.get_index_of(need) {
                Some(index) => known.push((index, place)),
                None => {
                    let at = check.places.steps[at].needs[place].clone();
                    report_unknown(check, need, &format!("step `{name}` needs"), &at);
                }
            }
        }
        all.push(known);
    }
    all
}

fn report_unknown(check: &mut Check<'_>, name: &StepName, who: &str, at: &std::ops::Range<usize>) {
    let project = check.project;
    let near = check.near(name.as_str(), project.steps.keys().map(StepName::as_str));
    let (label, help) = match near {
        Some(near) => (
            format!("did you mean `{near}`?"),
            format!("or declare it: `{name} = \"…\"` in `[steps]`"),
        ),
        None => (
            "not in `[steps]`".to_owned(),
            format!("declare it: `{name} = \"…\"` in `[steps]`"),
        ),
    };
    let problem = Problem::error(
        codes::UNKNOWN_STEP,
        format!("{who} `{name}`, which is not a step"),
    )
    .help(help);
    check.report(problem, at, label);
}

/// Reports each group of steps that wait for each other once, and returns which steps stand in a reported cycle.
///
/// Steps are peeled off as long as all that they need is peeled off. Each one that remains needs one that remains, so that a walk
/// along such needs must come back to where it has been.
fn cycles(check: &mut Check<'_>, needs: &[Vec<(usize, usize)>]) -> Vec<bool> {
    let mut waiting: Vec<usize> = needs.iter().map(Vec::len).collect();
    let mut dependents = vec![Vec::new(); needs.len()];
    for (at, needs) in needs.iter().enumerate() {
        for (need, _) in needs {
            dependents[*need].push(at);
        }
    }
    let mut free: Vec<usize> = (0..needs.len()).filter(|at| waiting[*at] == 0).collect();
    while let Some(at) = free.pop() {
        for dependent in &dependents[at] {
            waiting[*dependent] -= 1;
            if waiting[*dependent] == 0 {
                free.push(*dependent);
            }
        }
    }
    let mut cyclic = vec![false; needs.len()];
    let mut walk_of = vec![usize::MAX; needs.len()];
    for start in 0..needs.len() {
        let mut path = Vec::new();
        let mut at = start;
        while waiting[at] > 0 && walk_of[at] == usize::MAX {
            walk_of[at] = start;
            path.push(at);
            at = needs[at]
                .iter()
                .map(|(need, _)| *need)
                .find(|need| waiting[*need] > 0)
                .expect("what waits, waits for something that waits");
        }
        if path.is_empty() || walk_of[at] != start {
            continue;
        }
        let begin = path
            .iter()
            .position(|step| *step == at)
            .expect("the walk came back to its own path");
        let mut cycle = path.split_off(begin);
        let first = (0..cycle.len())
            .min_by_key(|i| cycle[*i])
            .expect("a cycle has a step");
        cycle.rotate_left(first);
        for step in &cycle {
            cyclic[*step] = true;
        }
        report_cycle(check, needs, &cycle);
    }
    cyclic
}

fn report_cycle(check: &mut Check<'_>, needs: &[Vec<(usize, usize)>], cycle: &[usize]) {
    let name = |at: usize| {
        check
            .project
            .steps
            .get_index(at)
            .expect("indices are of steps")
            .0
            .as_str()
    };
    let mut path: Vec<&str> = cycle
        .iter()
        .take(MOST_PRINTED)
        .map(|at| name(*at))
        .collect();
    if cycle.len() > MOST_PRINTED {
        path.push("…");
    }
    path.push(name(cycle[0]));
    let message = match cycle {
        [one] => format!("step `{}` needs itself", name(*one)),
        _ => format!("steps wait for each other: {}", path.join(" → ")),
    };
    let place = |from: usize, to: usize| {
        let (_, place) = needs[from].iter().find(|(need, _)| *need == to)?;
        Some(check.span(&check.places.steps[from].needs[*place]))
    };
    let next = cycle.get(1).unwrap_or(&cycle[0]);
    let mut problem = Problem::error(codes::CYCLE, message).help("remove one of these needs");
    for pair in cycle.windows(2).skip(1).take(MOST_PRINTED).chain(
        [&[cycle[cycle.len() - 1], cycle[0]][..]]
            .into_iter()
            .filter(|_| cycle.len() > 1),
    ) {
        if let Some(span) = place(pair[0], pair[1]) {
            problem.also.push((
                span,
                format!("`{}` needs `{}`", name(pair[0]), name(pair[1])),
            ));
        }
    }
    if let Some(span) = place(cycle[0], *next) {
        let label = format!("`{}` needs `{}`", name(cycle[0]), name(*next));
        check.problems.push(problem.at(span, label));
    }
}

/// Each pipeline's list: unknown steps, steps twice, needs that are missing or come later.
fn lists(check: &mut Check<'_>, needs: &[Vec<(usize, usize)>], cyclic: &[bool]) {
    let project = check.project;
    // For each step the last pipeline that lists it and its place there; kept between pipelines, since clearing would cost as
    // much as there are steps.
    let mut listed: Vec<Option<(usize, usize)>> = vec![None; project.steps.len()];
    for (at, (name, pipeline)) in project.pipelines.iter().enumerate() {
        let places = &check.places.pipelines[at].steps;
        let steps: Vec<&StepName> = pipeline.steps.iter().flat_map(Slot::steps).collect();
        for (position, step) in steps.iter().enumerate() {
            let Some(index) = project.steps.get_index_of(*step) else {
                report_unknown(
                    check,
                    step,
                    &format!("pipeline `{name}` lists"),
                    &places[position],
                );
                continue;
            };
            match listed[index] {
                Some((pipeline, first)) if pipeline == at => {
                    let mut problem = Problem::error(
                        codes::STEP_TWICE,
                        format!("pipeline `{name}` lists step `{step}` twice"),
                    )
                    .help("a step runs once in a build: remove one, or declare a second step");
                    problem
                        .also
                        .push((check.span(&places[first]), "the first time".to_owned()));
                    check.report(problem, &places[position], "the second time");
                }
                _ => listed[index] = Some((at, position)),
            }
        }
        let mut corrected: Option<Option<String>> = None;
        for step in &steps {
            let Some(index) = project.steps.get_index_of(*step) else {
                continue;
            };
            for (need, place) in &needs[index] {
                let position = |step: usize| {
                    listed[step]
                        .filter(|(pipeline, _)| *pipeline == at)
                        .map(|(_, position)| position)
                };
                let (need_name, _) = project
                    .steps
                    .get_index(*need)
                    .expect("indices are of steps");
                let (code, message) = match (position(*need), position(index)) {
                    (Some(need), Some(own)) if need < own => continue,
                    (Some(_), _) if cyclic[index] && cyclic[*need] => continue,
                    (Some(_), _) => (
                        codes::NEED_LISTED_LATER,
                        format!(
                            "pipeline `{name}` lists `{step}` before `{need_name}`, which it needs"
                        ),
                    ),
                    (None, _) => (
                        codes::NEED_NOT_LISTED,
                        format!(
                            "pipeline `{name}` lists `{step}` but not `{need_name}`, which it needs"
                        ),
                    ),
                };
                let list = corrected
                    .get_or_insert_with(|| corrected_list(project, pipeline, needs, cyclic));
                let mut problem = Problem::error(code, message).help(match list {
                    Some(list) => format!("write `steps = {list}`"),
                    None => format!("list `{need_name}` before `{step}`"),
                });
                problem.also.push((
                    check.span(&check.places.steps[index].needs[*place]),
                    "needed here".to_owned(),
                ));
                let own = position(index).unwrap_or_default();
                check.report(problem, &places[own], format!("needs `{need_name}`"));
            }
        }
    }
}

/// The pipeline's list with each missing or late need put in front of the place that needs it; `None` if it is too long to print
/// or if there is none.
fn corrected_list(
    project: &Project,
    pipeline: &Pipeline,
    needs: &[Vec<(usize, usize)>],
    cyclic: &[bool],
) -> Option<String> {
    let mut list = Corrected {
        needs,
        done: HashSet::new(),
        slots: Vec::new(),
    };
    let length: usize = pipeline.steps.iter().map(|slot| slot.steps().len()).sum();
    if length > MOST_PRINTED {
        return None;
    }
    for slot in &pipeline.steps {
        let own: Vec<usize> = slot
            .steps()
            .iter()
            .map(|step| project.steps.get_index_of(step))
            .collect::<Option<_>>()?;
        if own.iter().any(|step| cyclic[*step]) {
            return None;
        }
        for step in &own {
            for (need, _) in &needs[*step] {
                if !own.contains(need) {
                    list.put(*need, &own, 0)?;
                }
            }
        }
        let mut left = Vec::new();
        for step in &own {
            list.put_in_group(*step, &own, &mut left);
        }
        if !left.is_empty() {
            list.slots.push(left);
        }
        if list.done.len() > MOST_PRINTED {
            return None;
        }
    }
    let name = |at: &usize| {
        project
            .steps
            .get_index(*at)
            .map(|(name, _)| format!("\"{name}\""))
            .unwrap_or_default()
    };
    let mut text = "[".to_owned();
    for (i, slot) in list.slots.iter().enumerate() {
        let separator = if i > 0 { ", " } else { "" };
        let names: Vec<String> = slot.iter().map(name).collect();
        let _ = match &names[..] {
            [one] => write!(text, "{separator}{one}"),
            _ => write!(text, "{separator}[{}]", names.join(", ")),
        };
    }
    text.push(']');
    Some(text)
}

struct Corrected<'a> {
    needs: &'a [Vec<(usize, usize)>],
    done: HashSet<usize>,
    slots: Vec<Vec<usize>>,
}

impl Corrected<'_> {
    /// Puts a member of a group behind the members that it needs.
    fn put_in_group(&mut self, step: usize, group: &[usize], left: &mut Vec<usize>) {
        if !self.done.insert(step) {
            return;
        }
        let needs = self.needs;
        for (need, _) in needs[step].iter().filter(|(need, _)| group.contains(need)) {
            self.put_in_group(*need, group, left);
        }
        left.push(step);
    }

    /// Puts a step behind all that it needs; `None` if that is deeper than anybody wants printed, or comes back to `group`.
    fn put(&mut self, step: usize, group: &[usize], depth: usize) -> Option<()> {
        if group.contains(&step) || depth > MOST_PRINTED || self.done.len() > MOST_PRINTED {
            return None;
        }
        if self.done.contains(&step) {
            return Some(());
        }
        let needs = self.needs;
        for (need, _) in &needs[step] {
            self.put(*need, group, depth + 1)?;
        }
        self.done.insert(step);
        self.slots.push(vec![step]);
        Some(())
    }
}
