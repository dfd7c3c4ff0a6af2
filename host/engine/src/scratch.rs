//! The folders of one build: parameters as files, and what steps leave for later ones.
//!
//! ```text
//! piper-XXXXXX/params/NAME          $PIPER_PARAMS
//! piper-XXXXXX/steps/LABEL/NAME     $PIPER_OUTPUTS of the step, $PIPER_NEEDS/LABEL of the others
//! ```

use piper_core::plan::{Plan, PlannedStep};
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// How many outputs a step may have (DESIGN, between steps).
pub const MAX_OUTPUTS: usize = 64;
/// How large an output may be, in bytes.
pub const MAX_OUTPUT: u64 = 4096;

/// A file system in memory. Two folders a step on a disk, whose journal others keep busy, cost more than the step.
const IN_MEMORY: &str = "/dev/shm";

/// The folders of one build; gone when dropped.
#[derive(Debug)]
pub struct Scratch {
    root: tempfile::TempDir,
}

impl Scratch {
    /// Makes them, and writes the parameters.
    ///
    /// # Errors
    ///
    /// When the temporary folder cannot be written to.
    pub fn new(plan: &Plan) -> io::Result<Self> {
        let mut folder = tempfile::Builder::new();
        folder.prefix("piper-");
        let in_memory = folder
            .tempdir_in(IN_MEMORY)
            .and_then(|root| Self::fill(root, plan));
        // It may be missing, or as small and full as it is in some containers.
        in_memory.or_else(|_| Self::fill(folder.tempdir()?, plan))
    }

    fn fill(root: tempfile::TempDir, plan: &Plan) -> io::Result<Self> {
        let scratch = Self { root };
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
                fs::remove_dir_all(&folder)?;
                fs::create_dir(&folder)?;
            }
            other => other?,
        }
        Ok(folder)
    }

    /// What is wrong with the outputs that a step left, if anything is; then they are removed, because nobody may use them and
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
            let _ = fs::remove_dir_all(&folder);
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
}

fn problem_with(folder: &Path) -> Option<String> {
    let entries: Vec<_> = fs::read_dir(folder).ok()?.flatten().collect();
    if entries.len() > MAX_OUTPUTS {
        return Some(format!(
            "it left {} outputs in $PIPER_OUTPUTS, and {MAX_OUTPUTS} are the most",
            entries.len()
        ));
    }
    entries.iter().find_map(|entry| {
        let name = entry.file_name().to_string_lossy().into_owned();
        match entry.metadata() {
            Ok(meta) if !meta.is_file() => Some(format!("its output {name:?} is not a plain file")),
            Ok(meta) if meta.len() > MAX_OUTPUT => Some(format!(
                "its output {name:?} has {} bytes, and {MAX_OUTPUT} are the most",
                meta.len()
            )),
            _ => None,
        }
    })
}
