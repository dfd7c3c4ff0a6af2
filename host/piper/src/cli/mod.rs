//! The command line: one file a command, each with its arguments and its `run`.
//!
//! A command returns an exit code or a [`CliError`]; nothing below ends the process or writes past [`Ui`].

pub mod completions;
pub mod export;
pub mod graph;
pub mod init;
pub mod list;
pub mod plan;
pub mod project;
pub(crate) mod quote;
pub mod request;
#[cfg(test)]
pub(crate) mod sample;
pub(crate) mod style;

use crate::{
    exit_code,
    ui::{ColorChoice, OutputFormat, Ui},
};
use clap::{Args, Parser, Subcommand};
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
    #[command(name = "__complete", hide = true)]
    Complete(completions::CompleteArgs),
    Completions(completions::CompletionsArgs),
    Export(export::ExportArgs),
    Graph(graph::GraphArgs),
    Init(init::InitArgs),
    List(list::ListArgs),
    Plan(plan::PlanArgs),
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
    let cli = Cli::parse();
    let ui = Ui::new(
        cli.global.color,
        cli.global.output,
        cli.global.quiet,
        cli.global.verbose,
    );
    let Some(command) = cli.command else {
        return exit_code::SUCCESS;
    };
    let done = match &command {
        Command::Complete(args) => completions::complete(args, description(), &cli.global),
        Command::Completions(args) => completions::run(args, &ui),
        Command::Export(args) => export::run(args, &cli.global, &ui),
        Command::Graph(args) => graph::run(args, &cli.global, &ui),
        Command::Init(args) => init::run(args, &cli.global, &ui),
        Command::List(args) => list::run(args, &cli.global, &ui),
        Command::Plan(args) => plan::run(args, &cli.global, &ui),
    };
    match done {
        Ok(code) => code,
        Err(CliError::Closed) => exit_code::SUCCESS,
        Err(CliError::Failed(error)) => {
            ui.say(&format!("error: {error:#}"));
            exit_code::ERRORED
        }
        Err(CliError::Problems(problems)) => {
            for problem in problems {
                ui.say(&format!(
                    "error[{}]: {}\n{}",
                    problem.code,
                    problem.message,
                    problem.help.join("\n")
                ));
            }
            exit_code::USAGE
        }
    }
}
