//! `piper.toml` as understood: every name checked, every duration parsed, every reference resolved to a declared thing.
//!
//! These are plain values without places in the file: [`pipeline::load`](crate::pipeline) has reported all problems before one of
//! them exists, so whoever holds a [`Project`] need not check it again.

use crate::{
    id::{AxisName, EnvironmentName, ParamName, PipelineName, PluginName, RuleName, StepName},
    notify::Rule,
    plugin::{Options, PluginRef, ProjectPlugin, Uses},
};
use indexmap::IndexMap;
use std::time::Duration;

/// A project file.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Project {
    /// `[project] name`; the folder's name stands in where there is none.
    pub name: Option<String>,
    /// `[project] version`.
    pub version: Option<VersionSource>,
    /// What `[project]` says for every step.
    pub settings: Settings,
    /// `[params]`, shared by all pipelines and by steps run by name.
    pub params: IndexMap<ParamName, Param>,
    /// `[steps]`, in the order of the file.
    pub steps: IndexMap<StepName, Step>,
    /// `[pipelines]`, in the order of the file.
    pub pipelines: IndexMap<PipelineName, Pipeline>,
    /// `[environments]`; `local` and `clean` exist without being declared.
    pub environments: IndexMap<EnvironmentName, EnvironmentKind>,
    /// `[plugins]`: names for plugins of the project.
    pub plugins: IndexMap<PluginName, ProjectPlugin>,
    /// `[notify]`, in the order of the file.
    pub notify: IndexMap<RuleName, Rule>,
}

impl Project {
    /// What `[plugins]` says of the plugin that is meant.
    pub fn declared(&self, uses: &Uses) -> Option<&ProjectPlugin> {
        match &uses.plugin {
            PluginRef::Named(name) => self.plugins.get(name.as_str()),
            PluginRef::Path(_) | PluginRef::Url(_) | PluginRef::Own => None,
        }
    }
}

/// Where the version of the thing being built comes from (P-12).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VersionSource {
    /// `version = "1.2.0"`.
    Static(String),
    /// `version = { git-describe = "--tags" }`: what `git describe` says with these arguments, split at spaces.
    GitDescribe(Vec<String>),
}

/// What project, pipeline and step can each say; the nearest wins, and `env` and `pass_env` add up.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Settings {
    /// The argv to which a `run` script is appended.
    pub shell: Option<Vec<String>>,
    /// Variables that a step gets.
    pub env: IndexMap<String, Value>,
    /// Variables of the caller that a step gets.
    pub pass_env: Vec<EnvPattern>,
    /// Whether tools are told to print colours.
    pub color: Option<bool>,
}

/// A variable of the caller's environment, by name or by prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EnvPattern {
    /// `NAME`.
    Name(String),
    /// `PREFIX_*`, without the star.
    Prefix(String),
}

impl EnvPattern {
    /// Whether the variable `name` is meant.
    pub fn matches(&self, name: &str) -> bool {
        match self {
            Self::Name(own) => own == name,
            Self::Prefix(prefix) => name.starts_with(prefix.as_str()),
        }
    }
}

/// A whole value: a text, or what a reference stands for. Never part of a text, so nothing can be injected.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Value {
    /// The text itself.
    Text(String),
    /// `{ param = "profile" }`.
    Param(ParamName),
    /// `{ matrix = "rust" }`.
    Matrix(AxisName),
}

/// The declaration of a parameter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Param {
    /// Its value where the caller gives none; without one it is required.
    pub default: Option<String>,
    /// What it may be; anything, if empty.
    pub choices: Vec<String>,
    /// What it is for.
    pub about: Option<String>,
}

/// The declaration of a step.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// What it does, for people.
    pub about: Option<String>,
    /// What it runs.
    pub action: Action,
    /// The steps it waits for; `None` means all that are listed before it.
    pub needs: Option<Vec<StepName>>,
    /// Shell, environment and colours.
    pub settings: Settings,
    /// Where it runs, below the workspace's root.
    pub cwd: Option<Value>,
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
    /// Its cells.
    pub matrix: Option<Matrix>,
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
}

impl Step {
    /// A step that runs `action`, with every other key at its default.
    pub fn new(action: Action) -> Self {
        Self {
            about: None,
            action,
            needs: None,
            settings: Settings::default(),
            cwd: None,
            timeout: None,
            idle_timeout: None,
            retry: Retry::default(),
            allow_failure: false,
            when: When::default(),
            matrix: None,
            tty: false,
            stop_signal: StopSignal::Term,
            grace: DEFAULT_GRACE,
            cpus: 1,
            survivors: Survivors::Stop,
            secrets: Vec::new(),
        }
    }
}

/// How long a step may take to end after it was asked, unless it says otherwise.
pub const DEFAULT_GRACE: Duration = Duration::from_secs(10);

/// What a step runs.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// `run`: a text for the shell.
    Run(String),
    /// `argv`: a program and its arguments, without a shell. Never empty.
    Argv(Vec<Value>),
    /// `uses` and `with`: a plugin and its options.
    Plugin(Uses, Options),
}

/// Whether and when a step is tried again.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Retry {
    /// How many further tries there are at most.
    pub max: u32,
    /// What is worth another try; anything that failed, if empty.
    pub on: Vec<RetryOn>,
    /// How long to wait before the next try.
    pub delay: Duration,
}

/// What is worth another try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryOn {
    /// `exit`: any exit status but 0.
    Exit,
    /// `exit:N`: this exit status.
    Status(u8),
    /// `signal`: ended by a signal, or by an exit status that says so (129 to 192).
    Signal,
    /// `timeout`: `timeout` or `idle-timeout` ran out.
    Timeout,
}

/// Whether a step runs, judged when all that it waits for is done. Every part that is given must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct When {
    /// What became of the steps that it waits for.
    pub status: WhenStatus,
    /// The branch matches one of these patterns; no condition, if empty.
    pub branch: Vec<String>,
    /// The build was asked for by one of these (`manual`, `push`, …); no condition, if empty.
    pub event: Vec<String>,
    /// A changed file matches one of these patterns; no condition, if empty.
    pub paths: Vec<String>,
    /// Each parameter has one of these values.
    pub param: IndexMap<ParamName, Vec<String>>,
}

/// What must have become of the steps that a step waits for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum WhenStatus {
    /// All succeeded, failed but were allowed to, or were skipped by their own `when`.
    #[default]
    Success,
    /// One failed.
    Failure,
    /// All are done.
    Always,
}

/// The cells of a step or of a pipeline: the product of the axes, less the excluded combinations.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Matrix {
    /// The axes, in the order of the file. No axis is empty.
    pub axes: IndexMap<AxisName, Vec<String>>,
    /// Combinations that are left out: a cell that has all values of one of these.
    pub exclude: Vec<IndexMap<AxisName, String>>,
}

impl Matrix {
    /// The most cells of one matrix, before any is excluded: more is a slip, and each is a process or a build.
    pub const MOST_CELLS: usize = 1000;

    /// How many cells there are before any is excluded.
    pub fn size(&self) -> usize {
        let lengths = self.axes.values().map(Vec::len);
        lengths.fold(1, usize::saturating_mul)
    }
}

/// A signal that asks a process to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopSignal {
    /// `SIGHUP`.
    Hup,
    /// `SIGINT`.
    Int,
    /// `SIGQUIT`.
    Quit,
    /// `SIGTERM`.
    Term,
    /// `SIGUSR1`.
    Usr1,
    /// `SIGUSR2`.
    Usr2,
}

impl StopSignal {
    /// All of them, with the name that the file uses.
    pub const ALL: [(&'static str, Self); 6] = [
        ("HUP", Self::Hup),
        ("INT", Self::Int),
        ("QUIT", Self::Quit),
        ("TERM", Self::Term),
        ("USR1", Self::Usr1),
        ("USR2", Self::Usr2),
    ];
}

/// What happens to processes that outlive their step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Survivors {
    /// They end with the build.
    Stop,
    /// They live on: compiler daemons.
    Keep,
}

/// The declaration of a pipeline.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Pipeline {
    /// What it does, for people.
    pub about: Option<String>,
    /// Its steps.
    pub steps: Vec<Slot>,
    /// Where it runs; `local`, if it does not say.
    pub environment: Option<EnvironmentName>,
    /// Its parameters, beside the project's.
    pub params: IndexMap<ParamName, Param>,
    /// Shell, environment and colours.
    pub settings: Settings,
    /// How long a build may take.
    pub timeout: Option<Duration>,
    /// Whether steps that do not depend on a failed one still run.
    pub keep_going: bool,
    /// Its cells: one build each.
    pub matrix: Option<Matrix>,
}

/// One place in a pipeline's list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Slot {
    /// A step.
    One(StepName),
    /// Steps that run side by side.
    Group(Vec<StepName>),
}

impl Slot {
    /// The steps in this place.
    pub fn steps(&self) -> &[StepName] {
        match self {
            Self::One(step) => std::slice::from_ref(step),
            Self::Group(steps) => steps,
        }
    }
}

/// What kind of place steps run in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EnvironmentKind {
    /// The checkout itself.
    Local,
    /// A fresh copy of HEAD in a temporary place.
    Clean,
}
