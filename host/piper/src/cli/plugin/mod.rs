//! `piper plugin`: what plugins are, where they come from, what they may do, and how they are made.
//!
//! One file a subcommand. What a plugin may do is decided by the host's policy; these commands show it, and write down what a person
//! decides.

mod add;
mod build;
mod call;
mod calling;
mod check;
mod conformance;
mod grant;
mod inspect;
mod list;
mod new;
mod permissions;
mod planned;
mod refusal;
mod test;

use super::{CliError, GlobalArgs, past};
use crate::{
    plugins::{Error, Places, catalogue::Catalogue, component::Component, shown},
    ui::Ui,
};
use anyhow::anyhow;
use clap::{Args, Subcommand};
use piper_core::{
    id::PluginName,
    problem::{Problem, Severity},
};

/// Write, look at, add and grant plugins
#[derive(Debug, Args)]
#[command(after_help = BEGINNING)]
pub struct PluginArgs {
    #[command(subcommand)]
    command: Command,
}

const BEGINNING: &str = "\
To use one: `piper plugin add ./es.wasm` pins it in piper.lock, `piper plugin inspect es` shows what it asks for and why, \
`piper plugin grant es` gives it that.";

#[derive(Debug, Subcommand)]
enum Command {
    List(list::ListArgs),
    Inspect(inspect::InspectArgs),
    Check(check::CheckArgs),
    Add(add::AddArgs),
    Grant(grant::GrantArgs),
    New(new::NewArgs),
    Build(build::BuildArgs),
    Call(call::CallArgs),
    Test(test::TestArgs),
}

/// Runs a command about plugins.
///
/// # Errors
///
/// When the plugin or the command line is wrong, or the machine fails.
pub fn run(args: &PluginArgs, global: &GlobalArgs, ui: &Ui) -> Result<u8, CliError> {
    match &args.command {
        Command::List(args) => list::run(args, global, ui),
        Command::Inspect(args) => inspect::run(args, global, ui),
        Command::Check(args) => check::run(args, global, ui),
        Command::Add(args) => add::run(args, global, ui),
        Command::Grant(args) => grant::run(args, global, ui),
        Command::New(args) => new::run(args, global, ui),
        Command::Build(args) => build::run(args, global, ui),
        Command::Call(args) => call::run(args, global, ui),
        Command::Test(args) => test::run(args, global, ui),
    }
}

impl From<Error> for CliError {
    fn from(error: Error) -> Self {
        match error {
            Error::Problems(problems) => Self::Problems(problems),
            Error::Fetch { .. } | Error::Write { .. } => Self::Failed(error.into()),
            Error::Machine(message) => Self::Failed(anyhow!(message)),
        }
    }
}

/// The plugins that can be named here. A project need not be there.
pub(super) fn catalogue(global: &GlobalArgs) -> Result<Catalogue, CliError> {
    Ok(Catalogue::open(Places::find(), past::root(global)?)?)
}

/// Finds a plugin by its name, or a component by its path as seen from the folder of `-C`.
fn find(
    catalogue: &Catalogue,
    global: &GlobalArgs,
    reference: &str,
) -> Result<Component, CliError> {
    let is_path = PluginName::parse(reference).is_err() && !reference.contains("://");
    match &global.directory {
        Some(directory) if is_path => {
            Ok(catalogue.find(&directory.join(reference).to_string_lossy())?)
        }
        Some(_) | None => Ok(catalogue.find(reference)?),
    }
}

/// What people call the operator's file.
fn grants_file(catalogue: &Catalogue) -> String {
    let file = catalogue.places.grants.as_deref();
    file.map_or_else(|| "plugins.toml".to_owned(), shown)
}

/// The problems that keep something from being used; the others are `piper plugin check`'s to say.
fn errors(problems: Vec<Problem>) -> Vec<Problem> {
    let is_error = |problem: &Problem| problem.severity == Severity::Error;
    problems.into_iter().filter(is_error).collect()
}
