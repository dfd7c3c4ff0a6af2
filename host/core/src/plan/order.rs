//! In which order steps come, before anything is known of their cells.
//!
//! Two sources of order exist: the list of a pipeline, and the `needs` of a step that was asked for by its name.

use crate::{
    id::{AxisName, StepName},
    project::{Matrix, Pipeline, Project, Step},
};
use indexmap::{IndexMap, IndexSet};

/// A step's place in the order.
pub(super) struct Place<'a> {
    pub(super) name: &'a StepName,
    pub(super) step: &'a Step,
    /// How many places are listed before the slot that it stands in; `None` where nothing is listed.
    pub(super) listed_before: Option<usize>,
}

/// The places of a pipeline's list, as it stands in the file.
pub(super) fn listed<'a>(project: &'a Project, pipeline: &'a Pipeline) -> Vec<Place<'a>> {
    let mut places = Vec::with_capacity(pipeline.steps.len());
    for slot in &pipeline.steps {
        let listed_before = Some(places.len());
        places.extend(slot.steps().iter().map(|name| Place {
            name,
            step: step(project, name),
            listed_before,
        }));
    }
    places
}

/// The places of `target` and all that it needs, directly or not: each after what it needs, else as in the file.
pub(super) fn needed<'a>(project: &'a Project, target: &'a StepName) -> Vec<Place<'a>> {
    let mut closure = IndexSet::from([target]);
    let mut at = 0;
    while let Some(&name) = closure.get_index(at) {
        closure.extend(step(project, name).needs.iter().flatten());
        at += 1;
    }
    closure.sort_by_key(|name| project.steps.get_index_of(name.as_str()));

    // Depth first, with a stack of our own: a chain may be 100,000 steps long.
    let mut placed: IndexSet<&StepName> = IndexSet::with_capacity(closure.len());
    let mut entered: IndexSet<&StepName> = IndexSet::with_capacity(closure.len());
    let mut stack = Vec::new();
    for &root in &closure {
        stack.push(root);
        while let Some(&name) = stack.last() {
            let waiting = stack.len();
            if entered.insert(name) {
                let needs = step(project, name).needs.iter().flatten().rev();
                stack.extend(needs.filter(|need| !entered.contains(*need)));
            }
            if stack.len() == waiting {
                stack.pop();
                placed.insert(name);
            }
        }
    }
    placed
        .into_iter()
        .map(|name| Place {
            name,
            step: step(project, name),
            listed_before: None,
        })
        .collect()
}

fn step<'a>(project: &'a Project, name: &StepName) -> &'a Step {
    project
        .steps
        .get(name.as_str())
        .expect("the loader checked that every step that is named is declared")
}

/// The cells of a matrix, the last axis turning fastest; `None` if there are more than [`Matrix::MOST_CELLS`].
pub fn cells(matrix: &Matrix) -> Option<Vec<super::Cell>> {
    if matrix.size() > Matrix::MOST_CELLS {
        return None;
    }
    let mut cells = vec![Vec::new()];
    for (axis, values) in &matrix.axes {
        cells = cells
            .iter()
            .flat_map(|cell: &super::Cell| {
                values.iter().map(move |value| {
                    let mut cell = cell.clone();
                    cell.push((axis.clone(), value.clone()));
                    cell
                })
            })
            .collect();
    }
    cells.retain(|cell| !matrix.exclude.iter().any(|part| has(cell, part)));
    Some(cells)
}

/// Whether `cell` has all values of `part`.
fn has(cell: &super::Cell, part: &IndexMap<AxisName, String>) -> bool {
    part.iter().all(|(axis, value)| {
        cell.iter()
            .any(|(own_axis, own_value)| own_axis == axis && own_value == value)
    })
}
