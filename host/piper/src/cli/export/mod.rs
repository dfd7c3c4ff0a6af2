//! `piper export`: a plain POSIX shell script that does what `piper exec` would do.
//!
//! The script depends on nothing of piper's. What it cannot do is said in its own head, not silently left out.

mod script;

#[cfg(test)]
mod tests;

use super::{CliError, GlobalArgs, project::load_project, request::RequestArgs};
use crate::{exit_code, plugins::pipeline::Plugins, ui::Ui};
use clap::Args;

/// Print a plain shell script that does the same without piper
#[derive(Debug, Args)]
#[command(
    override_usage = "piper export [OPTIONS] [NAME] [ENVIRONMENT] [KEY=VALUE]... [-- <ARGS>...]"
)]
pub struct ExportArgs {
    #[command(flatten)]
    request: RequestArgs,
}

/// Resolves the request and prints the script.
///
/// # Errors
///
/// When the project or the request is wrong, or standard output cannot be written.
pub fn run(args: &ExportArgs, global: &GlobalArgs, ui: &Ui) -> Result<u8, CliError> {
    let request = args.request.parse().map_err(CliError::Problems)?;
    let loaded = load_project(global, ui)?;
    let plans = loaded.plans(&request, &Plugins::new(ui))?;
    ui.print(script::write(&plans).trim_end())?;
    Ok(exit_code::SUCCESS)
}
