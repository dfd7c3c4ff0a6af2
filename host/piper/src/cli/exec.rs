//! `piper exec`: run a pipeline or a step on this machine.

use super::{
    CliError, GlobalArgs, at_least_one,
    project::{LoadedProject, Requested, load_requested},
    request::RequestArgs,
};
use crate::{
    exec::{self, Options, Runner, Telling, Workspace, exit_code},
    plugins::pipeline::Plugins,
    ui::{Ui, quit::tidy_up_on_quit},
};
use anyhow::Context as _;
use clap::Args;
use piper_core::{
    codes,
    plan::{Plan, Request, Target},
    problem::Problem,
    wire::v1::Outcome,
};
use piper_engine::{process::descriptors::Limit, secrets, signals::Signals};
use std::{mem, num::NonZeroU32, path::PathBuf, sync::Arc, thread};

/// Run a pipeline or a step on this machine
#[derive(Debug, Args)]
#[command(
    override_usage = "piper exec [OPTIONS] [NAME] [ENVIRONMENT] [KEY=VALUE]... [-- <ARGS>...]"
)]
pub struct ExecArgs {
    #[command(flatten)]
    request: RequestArgs,
    /// How many cores steps may take together; all of them, if not given
    #[arg(short, long, value_name = "N", value_parser = at_least_one, allow_negative_numbers = true)]
    jobs: Option<NonZeroU32>,
    /// Pass all of your environment on to the steps, not only what the project file names
    #[arg(long)]
    pass_env_all: bool,
    /// Take secrets from this file of NAME=VALUE lines, which only you may be able to read
    #[arg(long, value_name = "FILE")]
    secrets: Option<PathBuf>,
    /// Tell whom the rules of `[notify]` name
    #[arg(long)]
    notify: bool,
    /// Keep the fresh copy of the environment `clean` if the build fails
    #[arg(long)]
    keep: bool,
}

/// Runs the command.
///
/// # Errors
///
/// When something is wrong with what was asked for, or a build could not begin.
pub fn run(args: &ExecArgs, global: &GlobalArgs, ui: &Ui) -> Result<u8, CliError> {
    // Before signals are held back: a value may come from a pipe that nobody writes to, and whoever waits in vain can interrupt.
    let request = args.request.parse().map_err(CliError::Problems)?;
    tidy_up_on_quit();
    // Before there is a second thread, and before anything is made that a signal would leave behind.
    let signals = Signals::block().context("could not watch for signals")?;
    let code = run_builds(&request, args, global, ui, &signals);
    // A build that begins hears what came before it. Where none could begin, that may be why.
    if code.is_err()
        && let Some(signal) = signals.take_request()
    {
        signals.die_of(signal);
    }
    code
}

fn run_builds(
    request: &Request,
    args: &ExecArgs,
    global: &GlobalArgs,
    ui: &Ui,
    signals: &Signals,
) -> Result<u8, CliError> {
    let Requested {
        loaded,
        plans,
        plugins,
    } = load_requested(request, global, ui)?;
    for plan in &plans {
        warn_of_unused_arguments(plan, ui);
        if let (true, Target::Step(name)) = (args.notify, &plan.target) {
            ui.warn(&format!(
                "`--notify` tells nobody of this: rules are about pipelines, and `{name}` is a step"
            ));
        }
    }

    let jobs = jobs(args, ui);
    let from_file = args.secrets.as_deref().map(secrets::read_file).transpose();
    let secrets = from_file.map_err(|error| {
        let message = match std::error::Error::source(&error) {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        };
        Problem::error(codes::SECRET_MISSING, message)
            .help("`--secrets FILE` takes a file of NAME=VALUE lines")
    })?;
    let options = Options {
        jobs,
        pass_env_all: args.pass_env_all,
        secrets: secrets.unwrap_or_default(),
        keep: args.keep,
    };
    let mut runner = Runner::new(ui, signals, options)?;
    let secrets = plans
        .iter()
        .map(|plan| runner.secrets(plan))
        .collect::<Result<Vec<_>, _>>()
        .map_err(CliError::Problems)?;

    let tasks = plans
        .iter()
        .map(|plan| {
            let telling = args.notify.then(|| telling(&plugins, &loaded, plan));
            Ok((plugins.tasks(&loaded, plan)?, telling.transpose()?))
        })
        .collect::<Result<Vec<_>, _>>()
        .map_err(CliError::Problems)?;

    let mut worst = Outcome::Succeeded;
    for ((plan, secrets), tasks) in plans.into_iter().zip(secrets).zip(tasks) {
        let (kind, keep_going) = (plan.environment.1, plan.keep_going);
        let workspace = Workspace::make(kind, &loaded.root, loaded.origin.as_deref())?;
        warn_of_empty_submodules(&workspace.empty, ui);
        let report = runner
            .run(plan, secrets, tasks, workspace)
            .map_err(|error| refusal(error, &loaded))?;
        if let Some(signal) = report.signal {
            // Whoever started piper must see that it was a signal: a shell's loop stops then.
            signals.die_of(signal);
        }
        worst = worse(worst, report.outcome);
        if worst != Outcome::Succeeded && !keep_going {
            break;
        }
    }
    // To take the engine of WebAssembly apart costs as much as a step, and the process ends anyway.
    mem::forget(plugins);
    Ok(exit_code(worst))
}

fn telling(
    plugins: &Plugins,
    loaded: &LoadedProject,
    plan: &Plan,
) -> Result<Telling, Vec<Problem>> {
    let (rules, hidden) = plugins.rules(loaded, plan)?;
    Ok(Telling {
        notifier: Arc::new(rules),
        hidden,
        project: Arc::new(loaded.project.clone()),
    })
}

/// Why a build could not begin; what the file asks in vain is shown where it asks.
fn refusal(error: exec::Error, loaded: &LoadedProject) -> CliError {
    match error {
        exec::Error::Unanswered { problem, pointer } => {
            loaded.at(*problem, &pointer, "asked here").into()
        }
        exec::Error::Failed(error) => error.into(),
    }
}

fn warn_of_empty_submodules(paths: &[String], ui: &Ui) {
    if paths.is_empty() {
        return;
    }
    ui.warn(&format!(
        "the fresh copy of HEAD has no content of its submodules ({}): a step that needs them runs `git submodule update --init` first",
        paths.join(", ")
    ));
}

fn warn_of_unused_arguments(plan: &Plan, ui: &Ui) {
    for step in plan
        .steps
        .iter()
        .filter(|step| step.command.ignores_its_arguments())
    {
        ui.warn(&format!(
            "{} was given arguments, but its script does not use \"$@\"",
            step.label
        ));
    }
}

/// How many cores steps may take, as far as there are files to be opened for so many steps.
fn jobs(args: &ExecArgs, ui: &Ui) -> u32 {
    let limit = Limit::raise();
    let (wanted, most) = (args.jobs.map_or_else(cores, NonZeroU32::get), limit.steps());
    if wanted > most && args.jobs.is_some() {
        ui.warn(&format!(
            "at most {most} steps run at once, because this process may have only {} files open: raise the hard limit (`ulimit -Hn`) for more",
            limit.files()
        ));
    }
    wanted.min(most)
}

fn cores() -> u32 {
    thread::available_parallelism()
        .map_or(1, |cores| u32::try_from(cores.get()).unwrap_or(u32::MAX))
}

fn worse(a: Outcome, b: Outcome) -> Outcome {
    let rank = |outcome| match outcome {
        Outcome::Succeeded => 0,
        Outcome::Failed => 1,
        Outcome::Errored => 2,
        Outcome::Cancelled => 3,
    };
    if rank(b) > rank(a) { b } else { a }
}
