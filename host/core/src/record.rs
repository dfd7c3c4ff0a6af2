//! What is kept of a build, and the two ports through which it is kept and found again.
//!
//! [`Recorder`] is for whoever runs builds, [`History`] for whoever looks at them; neither knows where anything lies.

use crate::{
    address::BuildRef,
    codes::{AMBIGUOUS_BUILD, UNKNOWN_BUILD},
    id::BuildId,
    problem::Problem,
    suggest::closest,
    time::Timestamp,
    wire::v1::Outcome,
};
use std::{
    error::Error,
    path::{Path, PathBuf},
    time::Duration,
};

/// What the index knows of a build: enough to list it and to find its file, which knows the rest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildSummary {
    /// The build.
    pub id: BuildId,
    /// The canonical root of the project: what a local project is.
    pub root: PathBuf,
    /// The project's name.
    pub project: String,
    /// The pipeline's or the step's name.
    pub target: String,
    /// The cell of the pipeline's matrix, as `axis=value,…`; empty without one.
    pub cell: String,
    /// The environment's name.
    pub environment: String,
    /// The revision that was built, if the project is in a repository.
    pub revision: Option<String>,
    /// The version of what was built.
    pub version: Option<String>,
    /// When it was created.
    pub created: Timestamp,
    /// How it ended and how long it took; `None` while it runs.
    pub end: Option<BuildEnd>,
}

/// How a build ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildEnd {
    /// How it ended.
    pub outcome: Outcome,
    /// One line that says why, if it did not succeed.
    pub reason: Option<String>,
    /// How long it took. If its piper was killed: at least, up to the last sign of life in its file.
    pub duration: Duration,
    /// How large its file and what its steps left are, in bytes.
    pub size: u64,
}

/// Which builds to list. An empty filter means all, newest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only of the project at this root.
    pub root: Option<PathBuf>,
    /// Only of this pipeline or step.
    pub target: Option<String>,
    /// Only with this outcome.
    pub outcome: Option<Outcome>,
    /// Only whose id begins so.
    pub id_prefix: Option<String>,
    /// At most so many.
    pub limit: Option<usize>,
}

/// Keeps builds while they run. Nothing here may delay a build, and no trouble with it may fail one.
pub trait Recorder {
    /// Notes that a build begins, and says where its file is to be written; `None` if nothing can be kept of it.
    fn begin(&mut self, build: &BuildSummary) -> Option<PathBuf>;

    /// Notes that a build ended, by what the clock says `now`; how, its file says. A build's duration leaves out what it was
    /// stopped for, so it does not lead from its beginning to its end. Returns what the user should know about its record: one line each, nothing if all is well.
    fn end(&mut self, build: BuildId, now: Timestamp) -> Vec<String>;
}

/// Finds builds that were kept, running ones included.
pub trait History {
    /// The builds that pass `filter`, newest first.
    ///
    /// # Errors
    ///
    /// When the history cannot be read.
    fn list(&self, filter: &Filter) -> Result<Vec<BuildSummary>, HistoryError>;

    /// Forgets builds, with their logs.
    ///
    /// # Errors
    ///
    /// When one of them could not be removed; those before it are.
    fn remove(&mut self, builds: &[BuildId]) -> Result<(), HistoryError>;

    /// The build that `build` means in the project at `root`; without a root, among all. A beginning of an id is looked for everywhere.
    ///
    /// # Errors
    ///
    /// When there is no such build, when there are several, or when the history cannot be read.
    fn find(&self, build: &BuildRef, root: Option<&Path>) -> Result<BuildSummary, FindError> {
        let here = Filter {
            root: root.map(Path::to_owned),
            limit: Some(1),
            ..Filter::default()
        };
        let filter = match build {
            BuildRef::Newest => here.clone(),
            BuildRef::NewestOf(target) => Filter {
                target: Some(target.as_str().to_owned()),
                ..here.clone()
            },
            BuildRef::NewestFailed => Filter {
                outcome: Some(Outcome::Failed),
                ..here.clone()
            },
            BuildRef::Prefix(prefix) => Filter {
                id_prefix: Some(prefix.clone()),
                limit: Some(CANDIDATES + 1),
                ..Filter::default()
            },
        };
        let mut found = self.list(&filter)?;
        match found.len() {
            0 => {
                let newest = self.list(&Filter {
                    limit: Some(NEAREST_AMONG),
                    ..here
                })?;
                Err(unknown(build, root, &newest).into())
            }
            1 => Ok(found.remove(0)),
            _ => Err(ambiguous(build, &found).into()),
        }
    }
}

/// How many builds are named when several could be meant.
const CANDIDATES: usize = 5;
/// Among how many builds a mistyped id is looked for.
const NEAREST_AMONG: usize = 200;

/// The history could not be read or changed.
#[derive(Debug, thiserror::Error)]
#[error("could not {doing}")]
pub struct HistoryError {
    /// What was being done: `read the history in /home/…`.
    pub doing: String,
    /// What went wrong.
    #[source]
    pub source: Box<dyn Error + Send + Sync>,
}

/// Why there is no build for what was asked.
#[derive(Debug, thiserror::Error)]
pub enum FindError {
    /// What was asked for is wrong.
    #[error("{}", .0.message)]
    Problem(Box<Problem>),
    /// The history could not be read.
    #[error(transparent)]
    History(#[from] HistoryError),
}

impl From<Problem> for FindError {
    fn from(problem: Problem) -> Self {
        Self::Problem(Box::new(problem))
    }
}

fn unknown(build: &BuildRef, root: Option<&Path>, newest: &[BuildSummary]) -> Problem {
    let place = match root {
        Some(root) => format!("the project in `{}`", root.display()),
        None => "this machine".to_owned(),
    };
    let what = match build {
        BuildRef::Newest => "no build".to_owned(),
        BuildRef::NewestOf(target) => format!("no build of `{target}`"),
        BuildRef::NewestFailed => "no failed build".to_owned(),
        BuildRef::Prefix(prefix) => {
            let problem = Problem::error(
                UNKNOWN_BUILD,
                format!("there is no build whose id begins with `{prefix}`"),
            );
            return match nearest(prefix, newest) {
                Some(id) => problem.help(format!("did you mean `{id}`?")),
                None => with_newest(problem, newest),
            };
        }
    };
    let problem = Problem::error(UNKNOWN_BUILD, format!("{place} has {what}"));
    match (newest.is_empty(), root) {
        (false, _) => with_newest(problem, newest),
        (true, Some(_)) => problem
            .help("`piper exec` runs one, `piper builds --all` lists those of every other project"),
        (true, None) => problem.help("`piper exec` runs one, in a folder with a piper.toml"),
    }
}

fn with_newest(problem: Problem, newest: &[BuildSummary]) -> Problem {
    if newest.is_empty() {
        return problem.help("`piper builds --all` lists all builds");
    }
    let ids: Vec<_> = newest
        .iter()
        .take(3)
        .map(|build| format!("`{}` ({})", build.id.short(), build.target))
        .collect();
    problem.help(format!(
        "the newest builds are {}; `piper builds` lists more",
        ids.join(", ")
    ))
}

/// The build whose id begins most like `prefix`.
fn nearest<'a>(prefix: &str, builds: &'a [BuildSummary]) -> Option<&'a str> {
    let mut ids = builds.iter().map(|build| build.id.as_str());
    // One letter of two is no likeness.
    let near =
        closest(prefix, ids.clone().map(|id| &id[..prefix.len()])).filter(|_| prefix.len() > 2)?;
    ids.find(|id| id.starts_with(near))
}

fn ambiguous(build: &BuildRef, found: &[BuildSummary]) -> Problem {
    let mut problem = Problem::error(
        AMBIGUOUS_BUILD,
        format!("the ids of several builds begin with `{build}`"),
    );
    for build in found.iter().take(CANDIDATES) {
        problem = problem.help(format!(
            "`{}` is `{}` of {}, created {}",
            build.id, build.target, build.project, build.created
        ));
    }
    if found.len() > CANDIDATES {
        problem = problem.help("and others");
    }
    problem
}

#[cfg(test)]
mod tests;
