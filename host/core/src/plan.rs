//! What will run, in which order, and why: a project and a request, resolved.
//!
//! A plan holds no reference, no matrix and no default any more: the engine runs it as it stands, on a laptop and on an agent.

use crate::{
    id::{EnvironmentName, ParamName, PipelineName, StepIx, StepName},
    project::{EnvPattern, EnvironmentKind, Retry, StopSignal, Survivors, VersionSource, When},
};
use indexmap::IndexMap;
use std::time::Duration;

/// Everything that one build will do.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// The project's name.
    pub project: String,
    /// What was asked for.
    pub target: Target,
    /// The cell of the pipeline's matrix that this build is, if it has one.
    pub cell: Cell,
    /// Where the steps run.
    pub environment: (EnvironmentName, EnvironmentKind),
    /// Where the version comes from.
    pub version: Option<VersionSource>,
    /// Every declared parameter with its value.
    pub params: IndexMap<ParamName, String>,
    /// The steps, in an order in which they could run.
    pub steps: Vec<PlannedStep>,
    /// How long the build may take.
    pub timeout: Option<Duration>,
    /// Whether steps that do not depend on a failed one still run.
    pub keep_going: bool,
}

/// What was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A pipeline.
    Pipeline(PipelineName),
    /// A step by its name, with what it needs.
    Step(StepName),
}

impl Target {
    /// The name of the pipeline or the step.
    pub fn name(&self) -> &str {
        match self {
            Self::Pipeline(name) => name.as_str(),
            Self::Step(name) => name.as_str(),
        }
    }
}

/// The values of one cell of a matrix, axis by axis; empty where there is no matrix.
pub type Cell = Vec<(crate::id::AxisName, String)>;

/// One step of a plan; a step with a matrix is one for each cell.
#[derive(Debug, Clone, PartialEq)]
pub struct PlannedStep {
    /// How it is called in this build: the step's name, with its cell in brackets if it has one: `unit[rust=1.80]`.
    pub label: String,
    /// The step that it is.
    pub step: StepName,
    /// Its cell; the pipeline's cell is in [`Plan::cell`].
    pub cell: Cell,
    /// What runs.
    pub command: Command,
    /// The steps that its `needs` name, each earlier in the plan.
    pub waits_for: Vec<StepIx>,
    /// All steps of the plan before this place must be done. A bound and not a list: a plain sequence of 100,000 steps would
    /// otherwise hold five billion of them.
    pub waits_for_all_before: Option<StepIx>,
    /// Why it waits for them.
    pub order: Order,
    /// Variables beside those that every step gets; later ones win.
    pub env: Vec<(String, String)>,
    /// Variables of the caller that it gets.
    pub pass_env: Vec<EnvPattern>,
    /// Where it runs, relative to the workspace's root.
    pub cwd: Option<String>,
    /// How long one try may take.
    pub timeout: Option<Duration>,
    /// How long one try may be silent.
    pub idle_timeout: Option<Duration>,
    /// Whether and when it is tried again.
    pub retry: Retry,
    /// Whether the build succeeds although this step failed.
    pub allow_failure: bool,
    /// Whether it runs at all.
    pub when: When,
    /// Whether it gets the keyboard and a terminal.
    pub tty: bool,
    /// The signal that asks it to end.
    pub stop_signal: StopSignal,
    /// How long it may take to end after it was asked.
    pub grace: Duration,
    /// How many of the `-j` cores it takes.
    pub cpus: u32,
    /// What happens to processes that outlive it.
    pub survivors: Survivors,
    /// The secrets that it gets, by name.
    pub secrets: Vec<String>,
    /// Whether tools are told to print colours.
    pub color: bool,
}

/// Why a step waits for those it waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// They are listed before it.
    Listed,
    /// Its `needs` name them.
    Needs,
    /// It was asked for alone (`--step`), or starts the rest (`--from-step`): what it would wait for is not part of this plan.
    Alone,
}

/// A command, ready to be started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// A text for a shell. Arguments are the script's `"$@"`.
    Script {
        /// The argv to which the script is appended; never empty.
        shell: Vec<String>,
        /// The script.
        script: String,
        /// The caller's arguments after `--`.
        args: Vec<String>,
    },
    /// A program and its arguments; never empty.
    Argv(Vec<String>),
}

/// The default of `shell` (DESIGN, a shell only where one is needed): stops at the first failure and at undefined variables.
pub const DEFAULT_SHELL: [&str; 2] = ["sh", "-euc"];
