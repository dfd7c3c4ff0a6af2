//! The folders of one build: parameters as files, and what steps leave for later ones.
//!
//! ```text
//! piper-build-XXXXXX/params/NAME          $PIPER_PARAMS
//! piper-build-XXXXXX/steps/LABEL/NAME     $PIPER_OUTPUTS of the step, $PIPER_NEEDS/LABEL of the others
//! ```
//!
//! Whoever made them holds a lock on the folder while they are needed, so that those of a piper that was killed can be told.

use crate::folder::{TemporaryFolder, remove};
use piper_core::{
    id::ParamName,
    plan::{Plan, PlannedStep},
};
use std::{
    fs::{self, File},
    io,
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

/// How many outputs a step may have (DESIGN, between steps).
pub const MAX_OUTPUTS: usize = 64;
/// How large an output may be, in bytes.
pub const MAX_OUTPUT: u64 = 4096;

/// A file system in memory. Two folders a step on a disk, whose journal others keep busy, cost more than the step.
const IN_MEMORY: &str = "/dev/shm";

/// How their names begin. Only what holds its lock is called so.
const PREFIX: &str = "piper-build-";

/// The folders of one build; gone when dropped.
#[derive(Debug)]
pub struct Scratch {
    root: TemporaryFolder,
    /// The kernel lets it go when this process is gone, however that comes.
    _lock: File,
}

impl Scratch {
    /// Makes them, and writes the parameters.
    ///
    /// # Errors
    ///
    /// When the temporary folder cannot be written to.
    pub fn new(plan: &Plan) -> io::Result<Self> {
        let make_in = |parent: &Path| Self::fill(TemporaryFolder::make_in(parent, PREFIX)?, plan);
        // It may be missing, or as small and full as it is in some containers.
        make_in(Path::new(IN_MEMORY)).or_else(|_| make_in(&std::env::temp_dir()))
    }

    fn fill(root: TemporaryFolder, plan: &Plan) -> io::Result<Self> {
        // Whoever removes abandoned folders at this moment may have found it without its lock, and remove it: then this fails, or
        // what is made in it does, and the folders are made somewhere else.
        let lock = File::open(root.path())?;
        lock.try_lock()?;
        let scratch = Self { root, _lock: lock };
        fs::create_dir(scratch.params())?;
        fs::create_dir(scratch.needs())?;
        for (name, value) in &plan.params {
            fs::write(scratch.params().join(name.as_str()), value)?;
        }
        Ok(scratch)
    }

    /// `$PIPER_PARAMS`.
    pub fn params(&self) -> PathBuf {
        self.root.path().join("params")
    }

    /// `$PIPER_NEEDS`.
    pub fn needs(&self) -> PathBuf {
        self.root.path().join("steps")
    }

    /// `$PIPER_OUTPUTS` of a step, empty: what an earlier try left is no output of this one.
    ///
    /// # Errors
    ///
    /// When it cannot be made.
    pub fn outputs(&self, step: &PlannedStep) -> io::Result<PathBuf> {
        let folder = self.folder_of(step);
        match fs::create_dir(&folder) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                remove(&folder)?;
                fs::create_dir(&folder)?;
            }
            other => other?,
        }
        Ok(folder)
    }

    /// What a step did wrong with its outputs, if anything; then they are removed, because nobody may use them and
    /// they may be large.
    pub fn check_outputs(&self, step: &PlannedStep) -> Option<String> {
        let folder = self.folder_of(step);
        // Removing it succeeds only if it is empty, as it nearly always is: one call instead of three.
        if fs::remove_dir(&folder).is_ok() {
            return None;
        }
        let problem = problem_with(&folder);
        if problem.is_some() {
            // The next try makes a new one, and the end of the build removes all.
            let _ = remove(&folder);
        }
        problem
    }

    fn folder_of(&self, step: &PlannedStep) -> PathBuf {
        // A slash is the only thing that a label may hold and a folder's name may not. In a label a percent sign begins a byte's
        // number and no slash is written so, which makes this one to one.
        self.needs().join(step.label.replace('/', "%2F"))
    }

    /// The folder that holds them all.
    pub fn root(&self) -> &Path {
        self.root.path()
    }

    /// Removes them.
    ///
    /// # Errors
    ///
    /// When steps left something that cannot be removed.
    pub fn remove(self) -> io::Result<()> {
        self.root.remove()
    }
}

/// Removes the folders of this user's builds whose piper was killed before it had a watcher.
pub fn remove_abandoned() {
    remove_abandoned_in(Path::new(IN_MEMORY));
    remove_abandoned_in(&std::env::temp_dir());
}

fn remove_abandoned_in(parent: &Path) {
    let entries = fs::read_dir(parent).into_iter().flatten().flatten();
    let named = entries.filter(|entry| {
        let name = entry.file_name();
        name.as_encoded_bytes().starts_with(PREFIX.as_bytes())
    });
    for path in named.map(|entry| entry.path()) {
        // What cannot be removed now is tried again the next time.
        if let Some(_lock) = lock_abandoned(&path) {
            let _ = remove(&path);
        }
    }
}

/// The lock on a folder that nobody else holds.
fn lock_abandoned(path: &Path) -> Option<File> {
    let folder = File::options()
        .read(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_DIRECTORY)
        .open(path)
        .ok()?;
    // SAFETY: the call takes nothing and cannot fail.
    let own = unsafe { libc::geteuid() };
    let is_ours = folder.metadata().is_ok_and(|meta| meta.uid() == own);
    (is_ours && folder.try_lock().is_ok()).then_some(folder)
}

/// What is wrong with the outputs in a folder: what their step did, as it is said behind its name. No output is opened: it may be a pipe that nobody writes to, or have no end.
fn problem_with(folder: &Path) -> Option<String> {
    match folder.symlink_metadata() {
        Ok(meta) if meta.is_dir() => {}
        // A link would show later steps the files of another folder.
        Ok(_) => {
            return Some("put something else in the place of the folder $PIPER_OUTPUTS".to_owned());
        }
        Err(_) => return None,
    }
    let entries: io::Result<Vec<_>> =
        fs::read_dir(folder).and_then(|entries| entries.take(MAX_OUTPUTS + 1).collect());
    let entries = match entries {
        Ok(entries) => entries,
        Err(error) => {
            return Some(format!(
                "left a folder $PIPER_OUTPUTS that cannot be read: {error}"
            ));
        }
    };
    if entries.len() > MAX_OUTPUTS {
        return Some(format!(
            "left more than {MAX_OUTPUTS} outputs in $PIPER_OUTPUTS"
        ));
    }
    entries.iter().find_map(|entry| {
        let name = entry.file_name();
        // Outputs arrive as parameters where a pipeline follows, so they are called like these.
        if name.to_str().is_none_or(|name| ParamName::parse(name).is_err()) {
            return Some(format!(
                "left an output {name:?}, which is no name that others could use: up to 64 letters, digits, `_` and `-`, beginning with a letter, a digit or `_`"
            ));
        }
        match entry.metadata() {
            Ok(meta) if !meta.is_file() => Some(format!("left an output {name:?} that is not a plain file")),
            Ok(meta) if meta.len() > MAX_OUTPUT => Some(format!(
                "left an output {name:?} of {} bytes, and {MAX_OUTPUT} are the most",
                meta.len()
            )),
            _ => None,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        ffi::{CString, OsStr},
        os::unix::{ffi::OsStrExt as _, fs::symlink},
    };
    use test_case::test_case;

    fn outputs() -> (tempfile::TempDir, PathBuf) {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("step");
        fs::create_dir(&folder).unwrap();
        (root, folder)
    }

    #[test_case(b"a", true; "a letter")]
    #[test_case(b"1_a-B", true; "all that a name may have")]
    #[test_case(b"_private", true; "like a parameter that is no part of the identity")]
    #[test_case(&[b'x'; 64], true; "as long as a name may be")]
    #[test_case(&[b'x'; 65], false; "longer")]
    #[test_case(b"a b", false; "a space")]
    #[test_case(b"a.txt", false; "a dot")]
    #[test_case(b".hidden", false; "a dot at the beginning")]
    #[test_case(b"a\nb", false; "a line feed")]
    #[test_case(b"-rf", false; "an option")]
    #[test_case(b"\xff", false; "no text")]
    #[test_case("\u{e4}".as_bytes(), false; "a letter that is not ASCII")]
    fn an_output_is_called_like_a_parameter(name: &[u8], fine: bool) {
        let (_root, folder) = outputs();
        fs::write(folder.join(OsStr::from_bytes(name)), "").unwrap();
        let problem = problem_with(&folder);
        assert_eq!(problem.is_none(), fine, "{problem:?}");
        // It is shown to people: no byte of it may reach their terminal as it is.
        assert!(!problem.is_some_and(|text| text.contains('\n')));
    }

    #[test]
    fn only_folders_whose_piper_is_gone_are_removed() {
        let parent = tempfile::tempdir().unwrap();
        let make = |name: &str| {
            let path = parent.path().join(name);
            fs::create_dir_all(path.join("steps/s")).unwrap();
            path
        };
        let (dead, living, other) = (
            make("piper-build-a"),
            make("piper-build-b"),
            make("piper-c"),
        );
        let link = parent.path().join("piper-build-d");
        symlink(&other, &link).unwrap();
        let lock = lock_abandoned(&living).unwrap();
        remove_abandoned_in(parent.path());
        assert!(!dead.exists() && living.exists() && other.exists() && link.is_symlink());
        drop(lock);
        remove_abandoned_in(parent.path());
        assert!(!living.exists() && other.exists());
    }

    #[test]
    fn what_is_no_plain_file_is_no_output_and_is_never_opened() {
        let (_root, folder) = outputs();
        let path = folder.join("x");
        let told = || problem_with(&folder).unwrap();
        symlink("/etc/passwd", &path).unwrap();
        assert!(told().contains("not a plain file"));
        fs::remove_file(&path).unwrap();
        let fifo = CString::new(path.as_os_str().as_bytes()).unwrap();
        // SAFETY: the path ends with a null and lives until the call returns.
        assert_eq!(unsafe { libc::mkfifo(fifo.as_ptr(), 0o600) }, 0);
        assert!(told().contains("not a plain file"));
        fs::remove_file(&path).unwrap();
        // A file of a gigabyte, of which nothing is on the disk.
        fs::File::create(&path).unwrap().set_len(1 << 30).unwrap();
        assert!(told().contains("of 1073741824 bytes"));
    }

    #[test]
    fn something_else_in_the_place_of_the_folder_is_refused_and_can_be_removed() {
        let (root, folder) = outputs();
        let other = root.path().join("other");
        fs::create_dir(&other).unwrap();
        fs::write(other.join("theirs"), "").unwrap();
        for put in [&|| symlink(&other, &folder) as io::Result<()>, &|| {
            fs::write(&folder, "") as io::Result<()>
        }] as [&dyn Fn() -> io::Result<()>; 2]
        {
            remove(&folder).unwrap();
            put().unwrap();
            assert!(problem_with(&folder).unwrap().contains("something else"));
        }
        remove(&folder).unwrap();
        assert_eq!(problem_with(&folder), None);
        assert!(other.join("theirs").exists());
    }
}
