//! Turns to change a small file that several pipers may change at once: reading, deciding and writing is one turn.
//!
//! Only those who take turns wait for each other; an editor does not, so what was read before a turn is compared in it by whoever
//! decided by that.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

/// The right to change a file, until it is dropped.
#[derive(Debug)]
pub(super) struct Turn {
    place: PathBuf,
    _lock: File,
}

impl Turn {
    /// Waits for the right to change the file at this path, which need not be there; its folder must.
    ///
    /// # Errors
    ///
    /// When nothing can be written beside it.
    pub(super) fn take(path: &Path) -> io::Result<Self> {
        let mut name = std::ffi::OsString::from(".");
        name.push(path.file_name().unwrap_or_default());
        name.push(".turn");
        let place = path.with_file_name(name);
        loop {
            let mut options = OpenOptions::new();
            options.write(true).create(true).truncate(false);
            let lock = options
                .mode(0o600)
                .custom_flags(libc::O_NOFOLLOW)
                .open(&place)?;
            lock.lock()?;
            // Whoever had the turn before took the file away with it: this lock keeps nobody out then.
            match fs::symlink_metadata(&place) {
                Ok(there) if there.ino() == lock.metadata()?.ino() => {
                    return Ok(Self { place, _lock: lock });
                }
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        // While the lock is held, so that nobody else's is taken away. If it stays, it is in nobody's way.
        let _ = fs::remove_file(&self.place);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    #[test]
    fn turns_do_not_overlap_and_leave_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("counter");
        fs::write(&file, "0").unwrap();
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..25 {
                        let _turn = Turn::take(&file).unwrap();
                        let count: u32 = fs::read_to_string(&file).unwrap().parse().unwrap();
                        fs::write(&file, (count + 1).to_string()).unwrap();
                    }
                });
            }
        });
        assert_eq!(fs::read_to_string(&file).unwrap(), "200");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
