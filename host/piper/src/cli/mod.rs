//! The command line: one file a command, each with its arguments and its `run`.
//!
//! A command returns an exit code or a [`CliError`]; nothing below ends the process or writes past [`Ui`].

pub mod builds;
pub mod check;
pub mod completions;
pub mod exec;
pub mod explain;
pub mod export;
pub mod gc;
pub mod graph;
pub mod init;
pub mod list;
pub mod logs;
mod past;
pub mod plan;
pub mod project;
pub(crate) mod quote;
pub mod request;
#[cfg(test)]
pub(crate) mod sample;
pub mod schema;
pub mod show;
pub(crate) mod style;

use crate::{
    exit_code,
    ui::{ColorChoice, OutputFormat, Ui, problem},
};
use clap::{Args, CommandFactory as _, Parser, Subcommand};
use piper_core::problem::Problem;
use std::{io, path::PathBuf};

/// Build this project the way its farm does
#[derive(Debug, Parser)]
#[command(name = "piper", version, disable_help_subcommand = true)]
struct Cli {
    #[command(flatten)]
    global: GlobalArgs,
    #[command(subcommand)]
    command: Option<Command>,
}

/// What every command takes.
#[derive(Debug, Clone, Args)]
pub struct GlobalArgs {
    /// Look for the project here instead of in the working directory
    #[arg(short = 'C', long = "directory", global = true, value_name = "DIR")]
    pub directory: Option<PathBuf>,
    /// When to use colours
    #[arg(long, global = true, value_enum, default_value_t, value_name = "WHEN")]
    pub color: ColorChoice,
    /// How to print: for people, or one JSON object a line
    #[arg(
        long,
        global = true,
        value_enum,
        default_value_t,
        value_name = "FORMAT"
    )]
    pub output: OutputFormat,
    /// Say more about what piper itself does
    #[arg(short, long, global = true)]
    pub verbose: bool,
    /// Print only what the steps print, and errors
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    Exec(exec::ExecArgs),
    Plan(plan::PlanArgs),
    Check(check::CheckArgs),
    List(list::ListArgs),
    Graph(graph::GraphArgs),
    Init(init::InitArgs),
    Builds(builds::BuildsArgs),
    Show(show::ShowArgs),
    Logs(logs::LogsArgs),
    Gc(gc::GcArgs),
    Export(export::ExportArgs),
    Schema(schema::SchemaArgs),
    Explain(explain::ExplainArgs),
    Completions(completions::CompletionsArgs),
    #[command(name = "__complete", hide = true)]
    Complete(completions::CompleteArgs),
}

/// Why a command did not do what was asked.
#[derive(Debug)]
pub enum CliError {
    /// The user's input is wrong: all that is wrong with it. Ends with [`exit_code::USAGE`].
    Problems(Vec<Problem>),
    /// piper or the machine failed. Ends with [`exit_code::ERRORED`].
    Failed(anyhow::Error),
    /// Standard output was closed: a quiet end, as for any tool in a pipe.
    Closed,
}

impl From<Problem> for CliError {
    fn from(problem: Problem) -> Self {
        Self::Problems(vec![problem])
    }
}

impl From<Box<Problem>> for CliError {
    fn from(problem: Box<Problem>) -> Self {
        Self::Problems(vec![*problem])
    }
}

impl From<anyhow::Error> for CliError {
    fn from(error: anyhow::Error) -> Self {
        Self::Failed(error)
    }
}

impl From<io::Error> for CliError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::Closed,
            _ => Self::Failed(error.into()),
        }
    }
}

/// The description of the command line.
pub(crate) fn description() -> clap::Command {
    <Cli as clap::CommandFactory>::command()
}

/// Runs the command line of this process and says with which status to end.
pub fn main() -> u8 {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and the version are answers; a reader that closed the pipe does not want the rest.
            let _ = error.print();
            return if error.use_stderr() {
                exit_code::USAGE
            } else {
                exit_code::SUCCESS
            };
        }
    };
    let global = &cli.global;
    let ui = Ui::new(global.color, global.output, global.quiet, global.verbose);
    let result = match cli.command {
        // P-05: no command is a question, not a mistake.
        None => ui
            .print(&Cli::command().render_help().to_string())
            .map(|()| exit_code::SUCCESS)
            .map_err(CliError::from),
        Some(Command::Exec(args)) => exec::run(&args, global, &ui),
        Some(Command::Plan(args)) => plan::run(&args, global, &ui),
        Some(Command::Check(args)) => check::run(&args, global, &ui),
        Some(Command::List(args)) => list::run(&args, global, &ui),
        Some(Command::Graph(args)) => graph::run(&args, global, &ui),
        Some(Command::Init(args)) => init::run(&args, global, &ui),
        Some(Command::Builds(args)) => builds::run(&args, global, &ui),
        Some(Command::Show(args)) => show::run(&args, global, &ui),
        Some(Command::Logs(args)) => logs::run(&args, global, &ui),
        Some(Command::Gc(args)) => gc::run(&args, global, &ui),
        Some(Command::Export(args)) => export::run(&args, global, &ui),
        Some(Command::Schema(args)) => schema::run(&args, &ui),
        Some(Command::Explain(args)) => explain::run(&args, &ui),
        Some(Command::Completions(args)) => completions::run(&args, &ui),
        Some(Command::Complete(args)) => completions::complete(&args, description(), global),
    };
    result.unwrap_or_else(|error| report(error, &ui))
}

/// Tells the user why nothing came of it, and says with which status to end.
fn report(error: CliError, ui: &Ui) -> u8 {
    match error {
        CliError::Problems(problems) => {
            let here = std::env::current_dir().ok();
            ui.complain(&problem::text(&problems, ui.err.color, here.as_deref()));
            exit_code::USAGE
        }
        CliError::Failed(error) => {
            ui.error(&format!("{error:#}"));
            exit_code::ERRORED
        }
        CliError::Closed => exit_code::SUCCESS,
    }
}
