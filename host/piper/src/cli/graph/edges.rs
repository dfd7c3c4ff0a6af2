//! The edges that are worth drawing.
//!
//! A plan says "all before" in one number; drawn as arrows, that would be a black square. Here is what remains when everything
//! that follows from other arrows is left out.

use piper_core::plan::Plan;
use std::collections::BTreeSet;

/// For each step: those that it waits for and that no other step which it waits for "because they are listed" has waited for already.
/// What `needs` names is always there: somebody wrote it.
pub(super) fn direct(plan: &Plan) -> Vec<Vec<u32>> {
    // The steps of the prefix looked at so far for which no other of its steps waits.
    let mut tips = BTreeSet::new();
    let mut seen = 0;
    let mut edges = Vec::with_capacity(plan.steps.len());
    for step in &plan.steps {
        let all_before = step.waits_for_all_before.map_or(0, |place| place.0);
        // A part of a plan may look back less far than the step before it did.
        if all_before < seen {
            tips.clear();
            seen = 0;
        }
        while seen < all_before {
            let earlier = &plan.steps[seen as usize];
            let behind = earlier.waits_for_all_before.map_or(0, |place| place.0);
            tips = tips.split_off(&behind);
            for need in &earlier.waits_for {
                tips.remove(&need.0);
            }
            tips.insert(seen);
            seen += 1;
        }
        let mut own: Vec<u32> = tips.range(..all_before).copied().collect();
        own.extend(step.waits_for.iter().map(|need| need.0));
        edges.push(own);
    }
    edges
}

/// The steps side by side: each is in the layer after the last one that it waits for.
pub(super) fn layers(plan: &Plan) -> Vec<u32> {
    let mut layers: Vec<u32> = Vec::with_capacity(plan.steps.len());
    // For each length of a prefix, the number of layers in it.
    let mut depth = Vec::with_capacity(plan.steps.len() + 1);
    depth.push(0);
    for (place, step) in plan.steps.iter().enumerate() {
        let listed = step
            .waits_for_all_before
            .map_or(0, |before| depth[before.index()]);
        let needed = step.waits_for.iter().map(|need| layers[need.index()] + 1);
        let layer = needed.fold(listed, u32::max);
        layers.push(layer);
        depth.push(u32::max(depth[place], layer + 1));
    }
    layers
}
