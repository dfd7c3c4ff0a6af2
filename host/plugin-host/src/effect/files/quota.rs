//! How much a plugin may keep in a folder that stays.
//!
//! What is there is counted once and then kept count of; whoever knows that something else wrote or removed files says so. Two instances
//! that write at the same time each know of their own bytes only.

use super::{DEEPEST, failure};
use crate::failure::{Failure, FailureKind};
use cap_std::fs::Dir;
use std::{
    io,
    sync::{Mutex, PoisonError},
};

/// The room in a folder.
pub(super) struct Quota {
    bytes: u64,
    /// What is there, counted when something is written first.
    used: Mutex<Option<u64>>,
}

impl Quota {
    pub(super) fn new(bytes: u64) -> Self {
        Self {
            bytes,
            used: Mutex::default(),
        }
    }

    /// Counts so many bytes more below this folder, if there is room for them.
    pub(super) fn take(&self, dir: &Dir, bytes: u64) -> Result<(), Failure> {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let before = used.map_or_else(|| size(dir, 0), Ok);
        let before = before.map_err(|error| failure("/cache", &error))?;
        let after = before.saturating_add(bytes);
        *used = Some(before);
        if after > self.bytes {
            let message = format!(
                "the folder `/cache` has {before} bytes, and {} are allowed",
                self.bytes
            );
            return Err(Failure::new(FailureKind::Permanent, "fs.full", message));
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

/// The bytes of all files below a folder.
fn size(dir: &Dir, depth: usize) -> io::Result<u64> {
    let mut sum = 0;
    for entry in dir.entries()? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() && depth < DEEPEST {
            sum += size(&entry.open_dir()?, depth + 1)?;
        } else if kind.is_file() {
            sum += entry.metadata()?.len();
        }
    }
    Ok(sum)
}
