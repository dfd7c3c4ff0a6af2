//! Runs one build from its beginning to its end.
//!
//! ```text
//!   signals, deadlines ─▶ Dispatcher ── apply ──▶ Executor: start, ask, kill ──▶ processes, tasks
//!                             ▲                                                   │ pipes, pidfds
//!                             └───────────── capture: one epoll for all ◀─────────┘
//! ```
//!
//! The dispatcher owns the build and is the only one that changes it. The executor does what it is told and decides nothing.

mod dispatcher;
mod executor;
mod keyboard;

pub use dispatcher::{Listener, Report, run};

use crate::{environment::Environment, secrets::Secrets, task::TaskHost};
use piper_core::{
    id::{BuildId, StepIx},
    plan::Plan,
};
use std::{path::PathBuf, sync::Arc};

/// Everything that a build needs beside its plan.
#[derive(Debug)]
pub struct Order {
    /// What to run.
    pub plan: Arc<Plan>,
    /// The build.
    pub id: BuildId,
    /// The attempt, from 1.
    pub attempt: u32,
    /// Where steps run.
    pub workspace: PathBuf,
    /// The fresh copy in which the workspace is, by its absolute path: it goes with this build, also if piper is killed.
    pub copy: Option<PathBuf>,
    /// Where the user was.
    pub invoked_from: PathBuf,
    /// What steps get of the caller's environment.
    pub environment: Environment,
    /// How many cores steps may take together.
    pub jobs: u32,
    /// Steps whose `when` does not hold in a part that no build changes.
    pub unmet: Vec<(StepIx, String)>,
    /// The version of what is built.
    pub version: Option<String>,
    /// The commit.
    pub revision: Option<String>,
    /// The values of the secrets that steps name.
    pub secrets: Secrets,
    /// `$PIPER_ARTIFACTS`, which exists.
    pub artifacts: PathBuf,
    /// `$PIPER_CACHE`, which exists.
    pub cache: PathBuf,
    /// What carries out the steps that are plugins.
    pub tasks: Option<Arc<dyn TaskHost>>,
    /// The trace that the build belongs to, as 32 hex digits.
    pub trace: String,
}
