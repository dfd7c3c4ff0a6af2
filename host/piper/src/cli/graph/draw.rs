//! A plan as a drawing, in each of the languages.

use super::edges::{direct, layers};
use crate::ui::{
    sanitize::words,
    style::{Paint, Style, width},
};
use piper_core::{
    plan::{Plan, PlannedStep},
    project::WhenStatus,
};
use serde_json::json;
use std::fmt::Write as _;

/// One line a step. Who stands under another begins when the other is done; arrows name what a step waits for where that is not
/// simply everything above its own bracket.
pub(super) fn text(plan: &Plan, style: Style) -> String {
    let layers = layers(plan);
    let edges = direct(plan);
    let mut order: Vec<usize> = (0..plan.steps.len()).collect();
    order.sort_by_key(|&place| layers[place]);
    let explained = arrows(plan, &layers, &order);
    let column = plan
        .steps
        .iter()
        .map(|step| width(&step.label))
        .filter(|&own| own <= 40)
        .max()
        .unwrap_or(0);

    let mut text = style.paint(Paint::Strong, plan.target.name()).into_owned();
    let mut any_arrow = false;
    for (at, &place) in order.iter().enumerate() {
        let step = &plan.steps[place];
        let same =
            |other: Option<&usize>| other.is_some_and(|&other| layers[other] == layers[place]);
        let (above, below) = (
            same(at.checked_sub(1).and_then(|at| order.get(at))),
            same(order.get(at + 1)),
        );
        let last_layer = layers[place] == layers[order[order.len() - 1]];
        let trunk = if last_layer { " " } else { "│" };
        let branch = if last_layer { "└" } else { "├" };
        let bracket = match (above, below) {
            (false, false) => format!("{branch}── "),
            (false, true) => format!("{branch}─┬ "),
            (true, true) => format!("{trunk} ├ "),
            (true, false) => format!("{trunk} └ "),
        };
        let mut notes = Vec::new();
        if explained[place] && !edges[place].is_empty() {
            let names: Vec<&str> = edges[place]
                .iter()
                .map(|&need| plan.steps[need as usize].label.as_str())
                .collect();
            notes.push(format!("← {}", shortened(&names)));
            any_arrow = true;
        } else if explained[place] {
            notes.push("← nothing".to_owned());
            any_arrow = true;
        }
        notes.extend(remarks(step));
        let _ = write!(text, "\n{bracket}{}", step.label);
        if !notes.is_empty() {
            let blanks = column.saturating_sub(width(&step.label)) + 2;
            let _ = write!(
                text,
                "{:blanks$}{}",
                "",
                style.paint(Paint::Dim, words(&notes.join(", ")))
            );
        }
    }
    if any_arrow {
        let _ = write!(
            text,
            "\n\n{}",
            style.paint(Paint::Dim, "← waits for these and what they wait for; without an arrow, for everything above its bracket")
        );
    }
    text
}

/// Which steps do not simply wait for everything in the layers above theirs.
fn arrows(plan: &Plan, layers: &[u32], order: &[usize]) -> Vec<bool> {
    let count = layers.iter().max().map_or(0, |&last| last as usize + 1);
    // The last place among all layers above, and how many steps each layer has.
    let mut last_above = vec![0; count + 1];
    let mut size = vec![0_usize; count];
    for (place, &layer) in layers.iter().enumerate() {
        size[layer as usize] += 1;
        last_above[layer as usize + 1] = place + 1;
    }
    for layer in 1..=count {
        last_above[layer] = last_above[layer].max(last_above[layer - 1]);
    }
    let mut arrows = vec![false; plan.steps.len()];
    for &place in order {
        let (step, layer) = (&plan.steps[place], layers[place] as usize);
        let by_list = step
            .waits_for_all_before
            .is_some_and(|before| before.index() >= last_above[layer]);
        // Needs that name the whole layer above are enough if one of these waits for all that is above itself.
        let above = |need: &usize| layers[*need] as usize + 1 == layer;
        let needs = || step.waits_for.iter().map(|need| need.index()).filter(above);
        let by_needs =
            layer > 0 && needs().count() == size[layer - 1] && needs().any(|need| !arrows[need]);
        arrows[place] = !(by_list || by_needs || layer == 0);
    }
    arrows
}

/// So many names are written out.
const NAMED: usize = 4;

fn shortened(names: &[&str]) -> String {
    match names.len().checked_sub(NAMED) {
        None | Some(0) => names.join(", "),
        Some(more) => format!("{} and {more} more", names[..NAMED].join(", ")),
    }
}

fn remarks(step: &PlannedStep) -> Vec<String> {
    let mut remarks = Vec::new();
    match step.when.status {
        WhenStatus::Success => {}
        WhenStatus::Failure => remarks.push("on failure".to_owned()),
        WhenStatus::Always => remarks.push("always".to_owned()),
    }
    if step.allow_failure {
        remarks.push("may fail".to_owned());
    }
    remarks
}

/// For Graphviz. Names are quoted, and in its quotes only `"` and `\` mean something.
pub(super) fn dot(plan: &Plan) -> String {
    let quote = |text: &str| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
    let mut text = format!(
        "digraph {} {{\n  rankdir=LR;\n  node [shape=box, style=rounded];\n",
        quote(plan.target.name())
    );
    for (place, step) in plan.steps.iter().enumerate() {
        let style = match (step.when.status, step.allow_failure) {
            (WhenStatus::Failure, _) => ", style=\"rounded,dotted\"",
            (_, true) => ", style=\"rounded,dashed\"",
            (WhenStatus::Success | WhenStatus::Always, false) => "",
        };
        let _ = writeln!(text, "  n{place} [label={}{style}];", quote(&step.label));
    }
    for (to, from) in edges(plan) {
        let _ = writeln!(text, "  n{from} -> n{to};");
    }
    text.push('}');
    text
}

/// For Mermaid. In its quotes, whatever is not surely plain is written by its number.
pub(super) fn mermaid(plan: &Plan) -> String {
    let mut text = "flowchart LR".to_owned();
    for (place, step) in plan.steps.iter().enumerate() {
        let mut label = String::new();
        for c in step.label.chars() {
            if c.is_ascii_alphanumeric() || "._-=,/+[]".contains(c) {
                label.push(c);
            } else {
                let _ = write!(label, "#{};", u32::from(c));
            }
        }
        let _ = write!(text, "\n  n{place}[\"{label}\"]");
    }
    for (to, from) in edges(plan) {
        let _ = write!(text, "\n  n{from} --> n{to}");
    }
    text
}

pub(super) fn json(plan: &Plan) -> String {
    let edges: Vec<[u32; 2]> = edges(plan).map(|(to, from)| [from, to as u32]).collect();
    let nodes: Vec<&str> = plan.steps.iter().map(|step| step.label.as_str()).collect();
    json!({
        "v": 1,
        "type": "graph",
        "target": plan.target.name(),
        "steps": nodes,
        "edges": edges,
    })
    .to_string()
}

/// Each step with each of those that it directly waits for.
fn edges(plan: &Plan) -> impl Iterator<Item = (usize, u32)> {
    direct(plan)
        .into_iter()
        .enumerate()
        .flat_map(|(to, needs)| needs.into_iter().map(move |from| (to, from)))
}
