//! A build as notifiers are told of it: a snapshot and not a delta, because nobody promises them every event.

use super::{Annotation, Counts, Exit, Outcome, StepOutcome, is_false};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What is known of a build when something happened to it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// The version of this format: 1.
    pub v: u32,
    /// What happened: `build.started`, `build.finished`.
    pub r#type: String,
    /// The build.
    pub build: String,
    /// The attempt, from 1.
    pub attempt: u32,
    /// The project's name.
    pub project: String,
    /// The pipeline's name.
    pub target: String,
    /// The cell of the pipeline's matrix.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub cell: BTreeMap<String, String>,
    /// The environment's name.
    pub environment: String,
    /// The commit, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// The version of what is built.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The parameters.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub params: BTreeMap<String, String>,
    /// The trace that the build belongs to, as 32 hex digits.
    pub trace: String,
    /// When it began: RFC 3339, UTC, microseconds.
    pub started_at: String,
    /// How it ended; absent while it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<SnapshotEnd>,
    /// The last build before it that succeeded, failed or errored, of the same pipeline and cell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<Previous>,
    /// The steps that are done. Of very many, those that did not simply succeed, as far as they fit.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<SnapshotStep>,
    /// How many steps that are done are not in `steps`.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub steps_left_out: usize,
    /// What its steps point at in the code, errors first, as far as it fits.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub annotations: Vec<Annotation>,
    /// How many annotations are not in `annotations`.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub annotations_left_out: usize,
    /// The step that made the build fail, and what it last printed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<SnapshotFailure>,
}

fn is_zero(count: &usize) -> bool {
    *count == 0
}

/// How a build ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SnapshotEnd {
    /// How it ended.
    pub outcome: Outcome,
    /// Why, in words, if it did not succeed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When: RFC 3339, UTC, microseconds.
    pub at: String,
    /// How long it took, in microseconds.
    pub duration_us: u64,
    /// How many steps ended in which way.
    pub counts: Counts,
}

/// The build before.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Previous {
    /// The build.
    pub build: String,
    /// How it ended.
    pub outcome: Outcome,
    /// When it began: RFC 3339, UTC, microseconds.
    pub started_at: String,
}

/// A step that is done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SnapshotStep {
    /// The step, by its label.
    pub step: String,
    /// How it ended.
    pub outcome: StepOutcome,
    /// Why, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// How the last try ended; absent if there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit: Option<Exit>,
    /// How many tries there were.
    pub tries: u32,
    /// It passed, but not at the first try.
    #[serde(default, skip_serializing_if = "is_false")]
    pub flaky: bool,
    /// It failed and was allowed to.
    #[serde(default, skip_serializing_if = "is_false")]
    pub allowed: bool,
    /// From the first try's start to the last one's end, in microseconds.
    pub duration_us: u64,
}

/// Why a build failed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SnapshotFailure {
    /// The step, by its label.
    pub step: String,
    /// The last that it printed, secrets masked; what is not UTF-8 is replaced.
    pub log_tail: String,
}
