//! Finds and loads the project that a command is about.

use super::{CliError, GlobalArgs};
use crate::{find, ui::Ui};
use piper_core::{pipeline, problem::Severity, project::Project};
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
/// When there is no project file, or when something in it is wrong: then all that is.
pub fn load_project(global: &GlobalArgs, _ui: &Ui) -> Result<LoadedProject, CliError> {
    let found = find::find(global.directory.as_deref())?;
    load_bytes(found.path, found.bytes, found.root)
}

/// Loads the project at `root` from the bytes of its file; `path` is what messages call the file.
///
/// # Errors
///
/// When something in it is wrong: then all that is.
pub fn load_bytes(path: PathBuf, bytes: Vec<u8>, root: PathBuf) -> Result<LoadedProject, CliError> {
    let loaded = pipeline::load_bytes(path, bytes);
    let name = root.file_name().map_or_else(
        || "project".to_owned(),
        |name| name.to_string_lossy().into_owned(),
    );
    match loaded.project {
        Some(project) => Ok(LoadedProject {
            project,
            root,
            name,
        }),
        // Warnings are `piper check`'s to say: they keep nothing from running.
        None => {
            let errors = loaded
                .problems
                .into_iter()
                .filter(|problem| problem.severity == Severity::Error);
            Err(CliError::Problems(errors.collect()))
        }
    }
}
