//! The files of a project as a commit has them: where a fresh copy is built, lock and plugins are those of the copy.
//!
//! Links are nothing here: what they lead to may be outside of the commit.

use crate::exec::WorkspaceOrigin;
use piper_core::{codes, problem::Problem};
use std::{
    cell::OnceCell,
    collections::HashSet,
    path::{Component, Path, PathBuf},
    sync::Arc,
};

/// A commit, and the folder of the project in it.
#[derive(Debug)]
pub(super) struct Committed {
    origin: Arc<WorkspaceOrigin>,
    /// All plain files of the commit, listed once.
    files: OnceCell<HashSet<PathBuf>>,
}

impl Committed {
    pub(super) fn new(origin: Arc<WorkspaceOrigin>) -> Self {
        Self {
            origin,
            files: OnceCell::new(),
        }
    }

    /// What messages call a file of the project.
    pub(super) fn title(&self, path: &str) -> String {
        let below = self.origin.below.join(path);
        format!("HEAD:{}", self.inside(path).unwrap_or(below).display())
    }

    /// A file of at most `limit` bytes, by its path from the project's folder; `None` if the commit has none.
    pub(super) fn read(&self, path: &str, limit: u64) -> Result<Option<Vec<u8>>, Box<Problem>> {
        let unreadable = |error: piper_engine::git::Error| {
            let message = format!("cannot read `{}`: {error}", self.title(path));
            Box::new(Problem::error(codes::UNREADABLE, message).help("`clean` asks git for it"))
        };
        let (repository, commit) = (&self.origin.repository, &self.origin.commit);
        if self.files.get().is_none() {
            let files = repository
                .files(commit, Path::new(""))
                .map_err(unreadable)?;
            let _ = self
                .files
                .set(files.into_iter().map(PathBuf::from).collect());
        }
        let has = |path: &PathBuf| self.files.get().is_some_and(|files| files.contains(path));
        let Some(inside) = self.inside(path).filter(has) else {
            return Ok(None);
        };
        let bytes = repository.file_at(commit, &inside).map_err(unreadable)?;
        if bytes.len() as u64 > limit {
            let message = format!("`{}` is larger than {} MiB", self.title(path), limit >> 20);
            return Err(Box::new(Problem::error(codes::TOO_LARGE, message)));
        }
        Ok(Some(bytes))
    }

    /// The path from the repository's root, if it leads nowhere else.
    fn inside(&self, path: &str) -> Option<PathBuf> {
        let mut inside = PathBuf::new();
        for part in self.origin.below.join(path).components() {
            match part {
                Component::Normal(name) => inside.push(name),
                Component::CurDir => {}
                Component::ParentDir if inside.pop() => {}
                Component::ParentDir | Component::RootDir | Component::Prefix(_) => return None,
            }
        }
        Some(inside)
    }
}
