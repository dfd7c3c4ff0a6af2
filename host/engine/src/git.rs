//! What piper wants to know of a repository.
//!
//! The common questions (which commit, which branch) are answered from the files, because starting git costs more than many a
//! build; everything else asks git.

use crate::process::tool;
use std::{
    ffi::OsStr,
    fs, io,
    path::{Path, PathBuf},
};

/// A repository.
#[derive(Debug, Clone)]
pub struct Repository {
    /// The folder that has the working tree.
    pub root: PathBuf,
    /// The folder of this working tree's HEAD.
    dir: PathBuf,
    /// The folder of the references that all working trees share.
    common: PathBuf,
}

/// What git sets for its hooks (`git rev-parse --local-env-vars`): with these, a git in a copy would change the user's own
/// repository.
const LOCAL_VARIABLES: &[&str] = &[
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_COMMON_DIR",
    "GIT_CONFIG",
    "GIT_CONFIG_COUNT",
    "GIT_CONFIG_PARAMETERS",
    "GIT_DIR",
    "GIT_GRAFT_FILE",
    "GIT_IMPLICIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_INTERNAL_SUPER_PREFIX",
    "GIT_NAMESPACE",
    "GIT_NO_REPLACE_OBJECTS",
    "GIT_OBJECT_DIRECTORY",
    "GIT_PREFIX",
    "GIT_REPLACE_REF_BASE",
    "GIT_SHALLOW_FILE",
    "GIT_WORK_TREE",
];

/// Where HEAD is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Head {
    /// The commit; `None` before the first one.
    pub commit: Option<String>,
    /// The branch; `None` if HEAD is detached.
    pub branch: Option<String>,
}

/// Git could not answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It could not be run.
    #[error("could not run git")]
    Run(#[source] io::Error),
    /// It says no.
    #[error("git {command} failed: {stderr}")]
    Refused {
        /// The subcommand.
        command: String,
        /// What it said.
        stderr: String,
    },
}

impl Repository {
    /// The repository that holds `folder`, if there is one.
    pub fn find(folder: &Path) -> Option<Self> {
        folder.ancestors().find_map(Self::at)
    }

    fn at(root: &Path) -> Option<Self> {
        let entry = root.join(".git");
        let dir = if entry.is_dir() {
            entry
        } else {
            // A linked working tree or a submodule: a file that says where.
            let text = fs::read_to_string(&entry).ok()?;
            root.join(text.strip_prefix("gitdir:")?.trim())
        };
        let common = fs::read_to_string(dir.join("commondir"))
            .map_or_else(|_| dir.clone(), |text| dir.join(text.trim()));
        dir.join("HEAD").exists().then(|| Self {
            root: root.to_owned(),
            dir,
            common,
        })
    }

    /// Where HEAD is.
    pub fn head(&self) -> Head {
        let Ok(head) = fs::read_to_string(self.dir.join("HEAD")) else {
            return Head::default();
        };
        let Some(reference) = head.trim().strip_prefix("ref: ") else {
            return Head {
                commit: Some(head.trim().to_owned()),
                branch: None,
            };
        };
        // With the reftable format, HEAD names this branch, which does not exist, and only git knows more.
        if reference == "refs/heads/.invalid" {
            return self.ask_for_head();
        }
        let commit = self.resolve(reference);
        // A branch may itself be another name of a branch.
        if commit
            .as_ref()
            .is_some_and(|text| text.starts_with("ref: "))
        {
            return self.ask_for_head();
        }
        let branch = reference.strip_prefix("refs/heads/").map(str::to_owned);
        Head { commit, branch }
    }

    fn ask_for_head(&self) -> Head {
        let line = |args: &[&str]| {
            let output = self.git(args).ok()?;
            Some(String::from_utf8_lossy(&output).trim().to_owned()).filter(|line| !line.is_empty())
        };
        Head {
            commit: line(&["rev-parse", "--verify", "HEAD"]),
            branch: line(&["symbolic-ref", "--short", "HEAD"]),
        }
    }

    fn resolve(&self, reference: &str) -> Option<String> {
        if let Ok(loose) = fs::read_to_string(self.common.join(reference)) {
            return Some(loose.trim().to_owned());
        }
        let packed = fs::read_to_string(self.common.join("packed-refs")).ok()?;
        let of = |line: &str| {
            line.split_once(' ')
                .filter(|(_, name)| *name == reference)
                .map(|(commit, _)| commit.to_owned())
        };
        packed.lines().find_map(of)
    }

    /// What `git describe` says with these arguments.
    ///
    /// # Errors
    ///
    /// When git is not there, or there is nothing to describe.
    pub fn describe(&self, args: &[String]) -> Result<String, Error> {
        let args: Vec<&str> = ["describe"]
            .into_iter()
            .chain(args.iter().map(String::as_str))
            .collect();
        Ok(String::from_utf8_lossy(&self.git(&args)?).trim().to_owned())
    }

    /// The content of a file at a commit; `path` is relative to the root.
    ///
    /// # Errors
    ///
    /// When git is not there, or the commit has no such file.
    pub fn file_at(&self, commit: &str, path: &Path) -> Result<Vec<u8>, Error> {
        self.git(&["show", &format!("{commit}:{}", path.display())])
    }

    /// The plain files of a commit below the folder `below`, which is relative to the root, as they are called there. A name that is no
    /// text is left out.
    ///
    /// # Errors
    ///
    /// When git is not there, or the commit has no such folder.
    pub fn files(&self, commit: &str, below: &Path) -> Result<Vec<String>, Error> {
        let tree = format!("{commit}:{}", below.display());
        let list = self.git(&["ls-tree", "-r", "-z", &tree])?;
        let name = |line: &[u8]| {
            let (about, name) = std::str::from_utf8(line).ok()?.split_once('\t')?;
            // Links and submodules have other modes.
            about.starts_with("100").then(|| name.to_owned())
        };
        Ok(list.split(|b| *b == 0).filter_map(name).collect())
    }

    /// The files that the last commit changed, and those that differ from it now; relative to the root.
    ///
    /// # Errors
    ///
    /// When git is not there or refuses.
    pub fn changed_files(&self) -> Result<Vec<String>, Error> {
        let of_commit = self.git(&[
            "diff-tree",
            "--no-commit-id",
            "--name-only",
            "--root",
            "-r",
            "-z",
            "-m",
            "HEAD",
        ])?;
        let of_tree = self.git(&["diff", "--name-only", "-z", "HEAD"])?;
        let untracked = self.git(&["ls-files", "--others", "--exclude-standard", "-z"])?;
        let mut files: Vec<String> = [of_commit, of_tree, untracked]
            .iter()
            .flat_map(|list| list.split(|b| *b == 0))
            .filter(|name| !name.is_empty())
            .map(|name| String::from_utf8_lossy(name).into_owned())
            .collect();
        files.sort_unstable();
        files.dedup();
        Ok(files)
    }

    /// Whether the working tree differs from HEAD, in files that git tracks or that it does not ignore.
    ///
    /// # Errors
    ///
    /// When git is not there or refuses.
    pub fn is_dirty(&self) -> Result<bool, Error> {
        Ok(!self.git(&["status", "--porcelain"])?.is_empty())
    }

    /// The submodules of what is checked out here, by their paths relative to the root. Git is asked only where the files say that
    /// there are some.
    ///
    /// # Errors
    ///
    /// When git is not there or refuses.
    pub fn submodules(&self) -> Result<Vec<String>, Error> {
        if !self.root.join(".gitmodules").exists() {
            return Ok(Vec::new());
        }
        let list = self.git(&["ls-files", "--stage", "-z"])?;
        let of = |line: &[u8]| {
            let line = String::from_utf8_lossy(line);
            let (about, path) = line.split_once('\t')?;
            about.starts_with("160000 ").then(|| path.to_owned())
        };
        Ok(list.split(|b| *b == 0).filter_map(of).collect())
    }

    /// Makes a fresh copy of a commit in an empty folder, with its history but without a copy of its objects.
    ///
    /// # Errors
    ///
    /// When git is not there or refuses.
    pub fn copy_to(&self, folder: &Path, commit: &str) -> Result<(), Error> {
        let clone = [
            OsStr::new("clone"),
            OsStr::new("--quiet"),
            OsStr::new("--shared"),
            OsStr::new("--no-checkout"),
            self.root.as_os_str(),
            folder.as_os_str(),
        ];
        git(&clone, &self.root)?;
        git(
            &[
                OsStr::new("checkout"),
                OsStr::new("--quiet"),
                OsStr::new("--detach"),
                OsStr::new(commit),
            ],
            folder,
        )?;
        Ok(())
    }

    fn git(&self, args: &[&str]) -> Result<Vec<u8>, Error> {
        git(&args.iter().map(OsStr::new).collect::<Vec<_>>(), &self.root)
    }
}

fn git(args: &[&OsStr], cwd: &Path) -> Result<Vec<u8>, Error> {
    let output = tool::run("git", args, cwd, LOCAL_VARIABLES, tool::PLENTY).map_err(Error::Run)?;
    if output.success {
        Ok(output.stdout)
    } else {
        let command = args
            .first()
            .map(|arg| arg.to_string_lossy().into_owned())
            .unwrap_or_default();
        Err(Error::Refused {
            command,
            stderr: output.stderr,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repository() -> (tempfile::TempDir, Repository) {
        let dir = tempfile::tempdir().unwrap();
        let run = |args: &[&str]| {
            git(&args.iter().map(OsStr::new).collect::<Vec<_>>(), dir.path()).unwrap()
        };
        run(&["init", "-q", "-b", "trunk"]);
        run(&["config", "user.name", "n"]);
        run(&["config", "user.email", "e@example.com"]);
        fs::write(dir.path().join("a"), "1").unwrap();
        run(&["add", "a"]);
        run(&["commit", "-qm", "one"]);
        let found = Repository::find(&dir.path().join("below")).unwrap();
        (dir, found)
    }

    #[test]
    fn head_is_read_without_git_loose_packed_and_detached() {
        let (_dir, repository) = repository();
        let asked = repository.ask_for_head();
        assert_eq!(asked.branch.as_deref(), Some("trunk"));
        assert_eq!(repository.head(), asked);
        repository.git(&["pack-refs", "--all"]).unwrap();
        assert_eq!(repository.head(), asked);
        repository.git(&["checkout", "-q", "--detach"]).unwrap();
        assert_eq!(
            repository.head(),
            Head {
                branch: None,
                ..asked
            }
        );
    }

    #[test]
    fn a_branch_that_is_a_name_of_another_one_has_that_one_s_commit() {
        let (dir, repository) = repository();
        let direct = repository.head();
        let heads = dir.path().join(".git/refs/heads");
        fs::write(heads.join("alias"), "ref: refs/heads/trunk\n").unwrap();
        fs::write(dir.path().join(".git/HEAD"), "ref: refs/heads/alias\n").unwrap();
        assert_eq!(repository.head(), repository.ask_for_head());
        assert_eq!(repository.head().commit, direct.commit);
    }

    #[test]
    fn a_linked_working_tree_has_its_own_head() {
        let (_dir, repository) = repository();
        let other = tempfile::tempdir().unwrap();
        let path = other.path().join("tree");
        repository
            .git(&[
                "worktree",
                "add",
                "-q",
                "-b",
                "side",
                path.to_str().unwrap(),
            ])
            .unwrap();
        let linked = Repository::find(&path).unwrap();
        assert_eq!(linked.head().branch.as_deref(), Some("side"));
        assert_eq!(linked.head().commit, repository.head().commit);
    }

    #[test]
    fn changed_files_are_those_of_the_commit_the_index_and_the_tree() {
        let (dir, repository) = repository();
        fs::write(dir.path().join("b c"), "1").unwrap();
        assert_eq!(repository.changed_files().unwrap(), ["a", "b c"]);
    }

    #[test]
    fn a_copy_is_at_the_commit_and_without_what_is_not_committed() {
        let (dir, repository) = repository();
        fs::write(dir.path().join("a"), "changed").unwrap();
        let copy = tempfile::tempdir().unwrap();
        repository
            .copy_to(copy.path(), &repository.head().commit.unwrap())
            .unwrap();
        assert_eq!(fs::read(copy.path().join("a")).unwrap(), b"1");
    }
}
