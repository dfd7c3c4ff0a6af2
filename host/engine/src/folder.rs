//! A temporary folder that steps write to: nobody else can look into it, and it goes whatever they left there.
//!
//! What lies in it, and who is told of one that stays, is its owner's business.

use std::{
    fs, io,
    os::{
        fd::AsRawFd as _,
        unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    },
    path::{Path, PathBuf},
};

/// Only the owner may look into it, and change it.
const PRIVATE: u32 = 0o700;

/// A temporary folder; gone when dropped.
#[derive(Debug)]
pub struct TemporaryFolder {
    /// `None` when it is removed or to be kept.
    path: Option<PathBuf>,
}

impl TemporaryFolder {
    /// Makes one in a folder. Where others may put files, too, the umask alone would let them read it.
    ///
    /// # Errors
    ///
    /// When nothing can be made there.
    pub fn make_in(parent: &Path, prefix: &str) -> io::Result<Self> {
        let made = tempfile::Builder::new()
            .prefix(prefix)
            .permissions(fs::Permissions::from_mode(PRIVATE))
            .tempdir_in(parent)?;
        let path = Some(made.keep());
        Ok(Self { path })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.path.as_deref().expect("it is there until it is taken")
    }

    /// Leaves it where it is.
    pub fn keep(mut self) -> PathBuf {
        self.path.take().expect("it is there until it is taken")
    }

    /// Removes it.
    ///
    /// # Errors
    ///
    /// When something of it cannot be removed; the message says where it is.
    pub fn remove(self) -> io::Result<()> {
        let path = self.keep();
        remove(&path).map_err(|error| {
            let message = format!("could not remove {}: {error}", path.display());
            io::Error::new(error.kind(), message)
        })
    }
}

impl Drop for TemporaryFolder {
    fn drop(&mut self) {
        if let Some(path) = &self.path {
            // Whoever wants to be told asks for its removal.
            let _ = remove(path);
        }
    }
}

/// Removes a folder with all that is in it, or whatever else a step put in its place. Folders that a step made read-only (Go's module
/// cache is full of them) go, too.
///
/// # Errors
///
/// When something of it cannot be removed.
pub fn remove(folder: &Path) -> io::Result<()> {
    if !folder.symlink_metadata()?.is_dir() {
        return fs::remove_file(folder);
    }
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            open_up(folder)?;
            fs::remove_dir_all(folder)
        }
        done => done,
    }
}

/// Gives its owner all rights to each folder in it and to itself.
fn open_up(folder: &Path) -> io::Result<()> {
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        // By a descriptor, which needs no right to read: a link that takes the folder's place meanwhile leads nowhere.
        let held = fs::OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_PATH | libc::O_NOFOLLOW | libc::O_DIRECTORY)
            .open(&folder)?;
        let path = format!("/proc/self/fd/{}", held.as_raw_fd());
        fs::set_permissions(&path, fs::Permissions::from_mode(PRIVATE))?;
        for entry in fs::read_dir(&path)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                open.push(folder.join(entry.file_name()));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_else_can_look_into_it() {
        let parent = tempfile::tempdir().unwrap();
        let folder = TemporaryFolder::make_in(parent.path(), "piper-").unwrap();
        let mode = folder.path().metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, PRIVATE);
    }

    #[test]
    fn folders_without_any_right_are_opened_and_what_links_lead_to_is_left_alone() {
        let parent = tempfile::tempdir().unwrap();
        let theirs = parent.path().join("theirs");
        fs::create_dir(&theirs).unwrap();
        let closed = fs::Permissions::from_mode(0o500);
        fs::set_permissions(&theirs, closed).unwrap();
        let folder = TemporaryFolder::make_in(parent.path(), "piper-").unwrap();
        let below = folder.path().join("a/b");
        fs::create_dir_all(&below).unwrap();
        std::os::unix::fs::symlink(&theirs, folder.path().join("link")).unwrap();
        for path in [&below, below.parent().unwrap()] {
            fs::set_permissions(path, fs::Permissions::from_mode(0o000)).unwrap();
        }
        // Root may do everything, so its removals never need this.
        open_up(folder.path()).unwrap();
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&below), mode(&theirs)), (PRIVATE, 0o500));
        let path = folder.path().to_owned();
        folder.remove().unwrap();
        assert!(!path.exists() && theirs.exists());
    }
}
