//! What will run, in which order, and why: a project and a request, resolved.
//!
//! A plan holds no reference, no matrix and no default any more: the engine runs it as it stands, on a laptop and on an agent.
//!
//! [`resolve`] makes one out of a project and a [`Request`]. Nothing here runs anything, and nothing here judges a `when`: that
//! needs to know what became of the steps. [`expand`] puts what planners answered in the place of their steps.

mod direct;
mod expand;
mod order;
mod params;
mod resolve;
mod select;

#[cfg(test)]
mod tests;

pub use self::{
    expand::expand,
    order::cells,
    params::declared_params,
    resolve::{Request, resolve},
    select::narrow,
};

use crate::{
    id::{AxisName, EnvironmentName, ParamName, PipelineName, StepIx, StepName},
    plugin::{self, ProjectPlugin, Uses},
    project::{EnvPattern, EnvironmentKind, Retry, StopSignal, Survivors, VersionSource, When},
};
use indexmap::IndexMap;
use std::{borrow::Cow, fmt::Write as _, time::Duration};

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
pub type Cell = Vec<(AxisName, String)>;

/// A cell as people read and type it: `os=linux,rust=1.80`.
///
/// Different cells of one matrix have different texts, and every text is printable ASCII without spaces: whatever else a value
/// holds is written as `%` and the two hexadecimal digits of each byte.
pub fn cell_text(cell: &Cell) -> String {
    let mut text = String::new();
    for (axis, value) in cell {
        if !text.is_empty() {
            text.push(',');
        }
        text.push_str(axis.as_str());
        text.push('=');
        for byte in value.bytes() {
            // What has a meaning in a label or in an address (`BUILD/STEP#TRY`) is written by its number too.
            if byte.is_ascii_graphic() && !b"[],=%#".contains(&byte) {
                text.push(char::from(byte));
            } else {
                // Writing to a `String` cannot fail.
                let _ = write!(text, "%{byte:02X}");
            }
        }
    }
    text
}

/// One step of a plan; a step with a matrix is one for each cell.
#[derive(Debug, Clone, PartialEq)]
pub struct PlannedStep {
    /// How it is called in this build: the step's name, with its cell in brackets if it has one: `unit[rust=1.80]`. One that a planner
    /// planned has the label of the planner's step before its own: `report/upload`.
    pub label: String,
    /// The step of the file that it is, or that planned it.
    pub step: StepName,
    /// Its cell; the pipeline's cell is in [`Plan::cell`].
    pub cell: Cell,
    /// What runs.
    pub command: Command,
    /// Steps that must be done before, each earlier in the plan, in ascending order and each once.
    ///
    /// A step waits for these *and* for those of [`waits_for_all_before`](Self::waits_for_all_before);
    /// [`waits_on`](Self::waits_on) joins the two.
    pub waits_for: Vec<StepIx>,
    /// Every step with a smaller place than this must be done before; the place is at most the step's own.
    ///
    /// So a plain list of 100,000 steps is 100,000 numbers and not 5,000,000,000 edges, and `when` still judges *all* that a
    /// step waits for: `[a, on-fail, c]` must not start `c` because `on-fail` succeeded. Whoever runs a plan keeps the number
    /// of the first step that is not done yet and compares.
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

impl PlannedStep {
    /// All that it waits for, each once, in ascending order. This can be every step before it: do not call it in a loop over
    /// the steps of a plan.
    pub fn waits_on(&self) -> impl Iterator<Item = StepIx> + '_ {
        let all_before = self.waits_for_all_before.map_or(0, |place| place.0);
        let beyond = self.waits_for.partition_point(|step| step.0 < all_before);
        (0..all_before)
            .map(StepIx)
            .chain(self.waits_for[beyond..].iter().copied())
    }

    /// Whether it waits for nothing in this plan.
    pub fn starts_at_once(&self) -> bool {
        self.waits_for.is_empty() && self.waits_for_all_before.is_none_or(|place| place.0 == 0)
    }
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
    /// A plugin, which is no process.
    Plugin(Box<PluginCall>),
}

/// A plugin that a step calls, and with what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PluginCall {
    /// Which plugin, as the file names it.
    pub uses: Uses,
    /// What `[plugins]` says of a plugin of that name; a name that it does not have is the operator's or built in.
    pub declared: Option<ProjectPlugin>,
    /// The step's options: an object.
    pub with: serde_json::Value,
}

/// The default of `shell` (DESIGN, a shell only where one is needed): stops at the first failure and at undefined variables.
pub const DEFAULT_SHELL: [&str; 2] = ["sh", "-euc"];

/// Shells that take the word after the script as `$0`; other interpreters (`python3 -c`, `perl -e`, `fish -c`) take it as the first argument.
const SHELLS_WITH_ZERO: [&str; 9] = [
    "sh", "ash", "bash", "dash", "ksh", "mksh", "yash", "zsh", "busybox",
];

impl Command {
    /// Every word of the process to be started: a shell with the script and its arguments, or the program with its arguments. A plugin
    /// has none.
    pub fn argv(&self) -> Vec<&str> {
        match self {
            Self::Argv(argv) => argv.iter().map(String::as_str).collect(),
            Self::Plugin(_) => Vec::new(),
            Self::Script {
                shell,
                script,
                args,
            } => {
                let mut argv: Vec<&str> = shell.iter().map(String::as_str).collect();
                argv.push(script);
                let program = argv[0].rsplit('/').next().unwrap_or_default();
                if !args.is_empty() && SHELLS_WITH_ZERO.contains(&program) {
                    argv.push(argv[0]);
                }
                argv.extend(args.iter().map(String::as_str));
                argv
            }
        }
    }

    /// The words to start instead of a shell, where nobody could tell the difference; `None` where a shell is needed, and for
    /// the others, which have none.
    pub fn without_shell(&self) -> Option<Vec<&str>> {
        match self {
            Self::Script { shell, script, .. } => direct::words(shell, script),
            Self::Argv(_) | Self::Plugin(_) => None,
        }
    }

    /// Whether it was given arguments that its script never looks at: surely not what the caller wanted.
    pub fn ignores_its_arguments(&self) -> bool {
        match self {
            Self::Script {
                shell,
                script,
                args,
            } => {
                let used = ["$@", "${@", "$*", "${*", "$1", "${1", "$#", "${#", "shift"];
                !args.is_empty()
                    && shell[0]
                        .rsplit('/')
                        .next()
                        .is_some_and(|program| SHELLS_WITH_ZERO.contains(&program))
                    && !used.iter().any(|word| script.contains(word))
            }
            Self::Argv(_) | Self::Plugin(_) => false,
        }
    }

    /// What it runs, as one line for people: a script's first line, the words of an argv, or a plugin with its options.
    pub fn one_line(&self) -> Cow<'_, str> {
        match self {
            Self::Argv(argv) => Cow::Owned(argv.join(" ")),
            Self::Plugin(call) => {
                let options = plugin::one_line(&call.with);
                let line = format!("{} {options}", call.uses);
                Cow::Owned(line.trim_end().to_owned())
            }
            Self::Script { script, .. } => {
                let script = script.trim();
                match script.split_once('\n') {
                    None => Cow::Borrowed(script),
                    Some((first, _)) => Cow::Owned(format!("{} …", first.trim_end())),
                }
            }
        }
    }
}
