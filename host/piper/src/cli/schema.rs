//! `piper schema`: the JSON schema of the project file, for editors.

use crate::{cli::CliError, exit_code, ui::Ui};
use piper_core::pipeline;

/// Print the JSON schema of the project file
#[derive(Debug, clap::Args)]
pub(super) struct SchemaArgs {}

pub(super) fn run(SchemaArgs {}: SchemaArgs, ui: &Ui) -> Result<u8, CliError> {
    ui.print(&format!("{:#}", pipeline::schema()))?;
    Ok(exit_code::SUCCESS)
}
