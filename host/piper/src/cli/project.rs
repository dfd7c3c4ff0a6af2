//! Finds and loads the project that a command is about.

use super::{CliError, GlobalArgs};
use crate::{
    exec::WorkspaceOrigin,
    find::{self, FILE_NAME},
    plugins::pipeline::Plugins,
    ui::Ui,
};
use piper_core::{
    codes,
    pipeline::{self, Loaded},
    plan::{self, Plan, Request},
    problem::{Problem, Severity, Source},
    project::{EnvironmentKind, Project},
};
use piper_engine::git::Repository;
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
    fn new(
        project: Project,
        root: PathBuf,
        source: &Arc<Source>,
        origin: Option<Arc<WorkspaceOrigin>>,
    ) -> Self {
        let name = root.file_name().map_or_else(
            || "project".to_owned(),
            |name| name.to_string_lossy().into_owned(),
        );
        Self {
            project,
            root,
            name,
            source: Arc::clone(source),
            origin,
        }
    }

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
            .map(|plan| plan::narrow(&self.project, request, plugins.expand(self, plan)?));
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
pub fn load_project(global: &GlobalArgs, ui: &Ui) -> Result<LoadedProject, CliError> {
    let found = find::find(global.directory.as_deref())?;
    load_bytes(found.path, found.bytes, found.root, None, ui)
}

/// A project, and what somebody asked of it.
#[derive(Debug)]
pub struct Requested {
    /// The project: as HEAD has it if that is what is built.
    pub loaded: LoadedProject,
    /// What the request comes to.
    pub plans: Vec<Plan>,
    /// The project's plugins.
    pub plugins: Plugins,
}

/// Loads the project that a request is about, as the request's environment sees it, and plans it.
///
/// # Errors
///
/// When the project, the request or a plugin is wrong.
pub fn load_requested(
    request: &Request,
    global: &GlobalArgs,
    ui: &Ui,
) -> Result<Requested, CliError> {
    let planned = |loaded: LoadedProject| {
        let plugins = Plugins::new(ui);
        let plans = loaded.plans(request, &plugins)?;
        Ok::<_, CliError>(Requested {
            loaded,
            plans,
            plugins,
        })
    };
    // Whoever asks for `clean` by its name does not mean the working copy's file, which may be broken or gone.
    if request.environment.as_deref() == Some("clean") {
        return planned(at_head(project_root(global)?, ui)?);
    }
    let requested = planned(load_project(global, ui)?)?;
    let is_clean = |plan: &Plan| plan.environment.1 == EnvironmentKind::Clean;
    if requested.plans.iter().any(is_clean) {
        return planned(at_head(requested.loaded.root, ui)?);
    }
    Ok(requested)
}

/// Loads the project at `root` from the bytes of its file; `path` is what messages call the file.
fn load_bytes(
    path: PathBuf,
    bytes: Vec<u8>,
    root: PathBuf,
    origin: Option<Arc<WorkspaceOrigin>>,
    ui: &Ui,
) -> Result<LoadedProject, CliError> {
    let mut loaded = pipeline::load_bytes(path, bytes);
    match loaded.project.take() {
        Some(project) => Ok(LoadedProject::new(project, root, &loaded.source, origin)),
        // Warnings are `piper check`'s to say: they keep nothing from running.
        None => {
            ask_plugins(&mut loaded, root, origin, ui);
            let problems = loaded.problems.into_iter();
            let errors = problems.filter(|problem| problem.severity == Severity::Error);
            Err(CliError::Problems(errors.collect()))
        }
    }
}

/// Adds what is wrong with what a file says to plugins, as far as it was understood, to all else that is wrong with it.
pub(super) fn ask_plugins(
    loaded: &mut Loaded,
    root: PathBuf,
    origin: Option<Arc<WorkspaceOrigin>>,
    ui: &Ui,
) {
    let Some(project) = loaded.project.as_ref().or(loaded.damaged.as_ref()) else {
        return;
    };
    let project = LoadedProject::new(project.clone(), root, &loaded.source, origin);
    let found = Plugins::new(ui).check(&project, &loaded.problems);
    loaded.problems.extend(found);
    pipeline::sort(&mut loaded.problems);
}

/// The root of the project, whatever the working copy has there.
fn project_root(global: &GlobalArgs) -> Result<PathBuf, CliError> {
    let directory = global.directory.as_deref();
    if let Some(root) = find::root(directory) {
        return Ok(root);
    }
    match Repository::find(&find::start(directory)?) {
        Some(repository) => Ok(repository.root),
        // It says what is missing better than this could.
        None => Ok(find::find(directory)?.root),
    }
}

/// The project at `root` as it is at HEAD, what an agent would build.
fn at_head(root: PathBuf, ui: &Ui) -> Result<LoadedProject, CliError> {
    let head = WorkspaceOrigin::of(&root)?;
    let path = head.below.join(FILE_NAME);
    let bytes = head
        .repository
        .file_at(&head.commit, &path)
        .map_err(|error| {
            Problem::error(
                codes::NO_COMMIT,
                format!(
                    "`clean` builds HEAD, which has no {}: {error}",
                    path.display()
                ),
            )
            .help("commit the project file, or build in `local`")
        })?;
    if head.repository.is_dirty().unwrap_or(false) {
        ui.warn("the working copy differs from HEAD, and `clean` builds HEAD");
    }
    let shown = PathBuf::from(format!("HEAD:{}", path.display()));
    load_bytes(shown, bytes, root, Some(Arc::new(head)), ui)
}
