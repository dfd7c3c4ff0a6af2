//! `piper schema`: the JSON schema of the project file, for editors.

use crate::{cli::CliError, exit_code, ui::Ui};
use piper_core::pipeline;

/// Print the JSON schema of the project file
#[derive(Debug, clap::Args)]
pub struct SchemaArgs {}

/// Runs the command.
///
/// # Errors
///
/// When standard output cannot be written to.
pub fn run(_args: &SchemaArgs, ui: &Ui) -> Result<u8, CliError> {
    ui.print(&format!("{:#}", pipeline::schema()))?;
    Ok(exit_code::SUCCESS)
}
