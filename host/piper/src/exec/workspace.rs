//! Where a build runs: the checkout itself, or a fresh copy of HEAD.

use anyhow::Context as _;
use piper_core::{codes, problem::Problem, project::EnvironmentKind};
use piper_engine::{
    folder::TemporaryFolder,
    git::{Head, Repository},
};
use std::{
    io,
    path::{Path, PathBuf},
};

/// Where a build runs.
#[derive(Debug)]
pub struct Workspace {
    /// The folder in which steps run.
    pub path: PathBuf,
    /// The project's own root: what the build belongs to in the history.
    pub root: PathBuf,
    /// The copy, which goes with this value.
    copy: Option<TemporaryFolder>,
    /// What is missing in the copy: the submodules, each an empty folder.
    pub empty: Vec<String>,
}

/// What a fresh copy is made of.
#[derive(Debug)]
pub struct Origin {
    /// The repository.
    pub repository: Repository,
    /// The commit.
    pub commit: String,
    /// The project's folder in the repository.
    pub below: PathBuf,
}

impl Origin {
    /// HEAD of the repository that holds `root`.
    ///
    /// # Errors
    ///
    /// When there is none, or nothing is committed yet.
    pub fn of(root: &Path) -> Result<Self, Box<Problem>> {
        let refuse =
            |what: &str, help: &str| Box::new(Problem::error(codes::NO_COMMIT, what).help(help));
        let repository = Repository::find(root).ok_or_else(|| {
            refuse(
                "the environment `clean` builds a fresh copy of HEAD, but the project is in no git repository",
                "run `git init` and commit the project, or build in `local`",
            )
        })?;
        let Head {
            commit: Some(commit),
            ..
        } = repository.head()
        else {
            return Err(refuse(
                "the environment `clean` builds a fresh copy of HEAD, but nothing is committed yet",
                "commit the project, or build in `local`",
            ));
        };
        let below = root
            .strip_prefix(&repository.root)
            .unwrap_or(Path::new(""))
            .to_owned();
        Ok(Self {
            repository,
            commit,
            below,
        })
    }
}

impl Workspace {
    /// The checkout itself.
    pub fn local(root: &Path) -> Self {
        Self {
            path: root.to_owned(),
            root: root.to_owned(),
            copy: None,
            empty: Vec::new(),
        }
    }

    /// Makes the place where a build runs.
    ///
    /// # Errors
    ///
    /// When the copy cannot be made, or nothing is known to make it of.
    pub fn make(
        kind: EnvironmentKind,
        root: &Path,
        origin: Option<&Origin>,
    ) -> anyhow::Result<Self> {
        match kind {
            EnvironmentKind::Local => Ok(Self::local(root)),
            EnvironmentKind::Clean => {
                // Never the checkout instead: its steps may be meant to destroy what they run in.
                let origin = origin.context("nobody said of what to make a fresh copy")?;
                let copy = TemporaryFolder::make_in(&std::env::temp_dir(), "piper-clean-");
                let copy = copy.context("could not make a temporary folder")?;
                // Steps compare paths, and the system's temporary folder may be a link.
                let folder = copy
                    .path()
                    .canonicalize()
                    .context("could not find the temporary folder")?;
                origin
                    .repository
                    .copy_to(&folder, &origin.commit)
                    .context("could not make a fresh copy of HEAD")?;
                // They come from elsewhere, and may want credentials: only the user's own steps know how to get them. What git does
                // not tell costs a warning.
                let copied = Repository::find(&folder);
                let empty = copied.and_then(|copied| copied.submodules().ok());
                Ok(Self {
                    empty: empty.unwrap_or_default(),
                    // By its parts: joined with nothing, a path would end with a slash, and steps compare paths.
                    path: folder.join(&origin.below).components().collect(),
                    root: root.to_owned(),
                    copy: Some(copy),
                })
            }
        }
    }

    /// The folder of the copy, if this is one.
    pub fn copy(&self) -> Option<&Path> {
        self.copy.as_ref().map(TemporaryFolder::path)
    }

    /// Removes the copy, if this is one.
    ///
    /// # Errors
    ///
    /// When steps left something in it that cannot be removed.
    pub fn remove(self) -> io::Result<()> {
        self.copy.map_or(Ok(()), TemporaryFolder::remove)
    }

    /// Keeps the copy, if this is one, and says where it is.
    pub fn keep(self) -> Option<PathBuf> {
        self.copy.map(TemporaryFolder::keep)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_asked_to_be_a_copy_is_never_the_checkout_itself() {
        let made = Workspace::make(EnvironmentKind::Clean, Path::new("/"), None);
        assert!(made.is_err(), "{made:?}");
    }
}
