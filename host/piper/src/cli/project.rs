//! Finds and loads the project that a command is about.

use super::{CliError, GlobalArgs};
use crate::{exec::WorkspaceOrigin, find, plugins::pipeline::Plugins, ui::Ui};
use piper_core::{
    pipeline,
    plan::{self, Plan, Request},
    problem::{Problem, Severity, Source},
    project::Project,
};
use std::{path::PathBuf, sync::Arc};

/// A project file, understood, and where it stands.
#[derive(Debug, Clone)]
pub struct LoadedProject {
    /// What it says.
    pub project: Project,
    /// The folder that it stands in.
    pub root: PathBuf,
    /// What the project is called where the file gives no name: its folder.
    pub name: String,
    /// The text of the file, for problems that are found later.
    pub source: Arc<Source>,
    /// The commit that it is the file of, if it is not the working copy's.
    pub origin: Option<Arc<WorkspaceOrigin>>,
}

impl LoadedProject {
    /// What a request comes to, with planned steps in the place of their planners'.
    ///
    /// # Errors
    ///
    /// All that is wrong with the request, or else with a plugin's plan.
    pub fn plans(&self, request: &Request, plugins: &Plugins) -> Result<Vec<Plan>, CliError> {
        let plans = plan::resolve(&self.project, request, &self.name);
        let expanded = plans
            .map_err(CliError::Problems)?
            .into_iter()
            .map(|plan| plugins.expand(self, plan));
        expanded
            .collect::<Result<_, _>>()
            .map_err(CliError::Problems)
    }

    /// Shows a problem at the value of a JSON pointer of the file, or as near to it as there is something.
    pub fn at(&self, problem: Problem, pointer: &str, label: &str) -> Problem {
        match pipeline::locate(&self.source, pointer) {
            Some(found) => problem.at(found.value, label),
            None => problem,
        }
    }
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
            source: loaded.source,
            origin: None,
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
