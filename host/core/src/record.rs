//! What is kept of a build, and the two ports through which it is kept and found again.

use crate::{id::BuildId, time::Timestamp, wire::v1::Outcome};
use std::{path::PathBuf, time::Duration};

/// What the index knows of a build: enough to list it and to find its file, which knows the rest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildSummary {
    /// The build.
    pub id: BuildId,
    /// The canonical root of the project: what a local project is.
    pub root: PathBuf,
    /// The project's name.
    pub project: String,
    /// The pipeline's or the step's name.
    pub target: String,
    /// The cell of the pipeline's matrix, as `axis=value,…`; empty without one.
    pub cell: String,
    /// The environment's name.
    pub environment: String,
    /// The revision that was built, if the project is in a repository.
    pub revision: Option<String>,
    /// The version of what was built.
    pub version: Option<String>,
    /// When it was created.
    pub created: Timestamp,
    /// How it ended and how long it took; `None` while it runs.
    pub end: Option<BuildEnd>,
}

/// How a build ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildEnd {
    /// How it ended.
    pub outcome: Outcome,
    /// One line that says why, if it did not succeed.
    pub reason: Option<String>,
    /// How long it took.
    pub duration: Duration,
    /// How large its file is, in bytes.
    pub size: u64,
}

/// Which builds to list. An empty filter means all, newest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only of the project at this root.
    pub root: Option<PathBuf>,
    /// Only of this pipeline or step.
    pub target: Option<String>,
    /// Only with this outcome.
    pub outcome: Option<Outcome>,
    /// Only whose id begins so.
    pub id_prefix: Option<String>,
    /// At most so many.
    pub limit: Option<usize>,
}
