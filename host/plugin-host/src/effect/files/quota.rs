//! How much a plugin may keep in a folder that stays.
//!
//! One count for all instances of a plugin in one process, whichever step each runs. What is there is counted once and then kept count
//! of; whoever knows that something else wrote or removed files says so. What another process writes meanwhile is not known of.

use super::failure;
use crate::{
    failure::{Failure, FailureKind},
    policy::{
        files::DEEPEST,
        limit::{Limit, Reached},
    },
};
use cap_std::fs::Dir;
use std::{
    collections::HashMap,
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// What each file and folder costs besides its bytes: a disk has only so many of them too.
pub(super) const ENTRY: u64 = 4096;

/// The quotas of all folders that stay, by their paths. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Quotas(Arc<Mutex<HashMap<PathBuf, Arc<Quota>>>>);

impl Quotas {
    /// The one of a folder; how much may be in it is what was said first.
    pub(super) fn of(&self, folder: &Path, bytes: u64) -> Arc<Quota> {
        let mut quotas = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let quota = quotas.entry(folder.to_owned());
        Arc::clone(quota.or_insert_with(|| Arc::new(Quota::new(bytes))))
    }
}

/// The room in a folder.
pub(crate) struct Quota {
    bytes: u64,
    /// What is there, counted when something is written first.
    used: Mutex<Option<u64>>,
    turn: Mutex<()>,
}

impl Quota {
    fn new(bytes: u64) -> Self {
        Self {
            bytes,
            used: Mutex::default(),
            turn: Mutex::default(),
        }
    }

    /// The right to cut or replace files, whose sizes are looked at before and counted after it.
    pub(super) fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts so many bytes more below this folder, if there is room for them.
    pub(super) fn take(&self, dir: &Dir, bytes: u64) -> Result<(), Failure> {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let before = used.map_or_else(|| size(dir, 0), Ok);
        let before = before.map_err(|error| failure("/cache", &error))?;
        let after = before.saturating_add(bytes);
        *used = Some(before);
        if after > self.bytes {
            let reached = Reached::new(Limit::Cache, self.bytes).wanting(after);
            let message =
                format!("the folder `/cache` has {before} bytes, and {bytes} more are too many");
            return Err(Failure::limited(FailureKind::Permanent, reached, &message));
        }
        *used = Some(after);
        Ok(())
    }

    /// Counts so many bytes less.
    pub(super) fn give_back(&self, bytes: u64) {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        *used = used.map(|used| used.saturating_sub(bytes));
    }

    /// Counts what is there anew, the next time.
    pub(super) fn forget(&self) {
        *self.used.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// What it costs to make a path below a folder, as far as it is not there.
pub(super) fn missing(dir: &Dir, path: &str) -> u64 {
    let parts = Path::new(path).ancestors();
    let missing = parts
        .take_while(|part| !part.as_os_str().is_empty() && dir.symlink_metadata(part).is_err());
    missing.count() as u64 * ENTRY
}

/// The cost of all that is below a folder.
fn size(dir: &Dir, depth: usize) -> io::Result<u64> {
    let mut sum = 0;
    for entry in dir.entries()? {
        let entry = entry?;
        let kind = entry.file_type()?;
        sum += ENTRY;
        if kind.is_dir() && depth >= DEEPEST {
            let message =
                format!("it has folders more than {DEEPEST} deep, which cannot be counted");
            return Err(io::Error::other(message));
        }
        if kind.is_dir() {
            sum += size(&entry.open_dir()?, depth + 1)?;
        } else if kind.is_file() {
            sum += entry.metadata()?.len();
        }
    }
    Ok(sum)
}
