//! The folder in which this machine's builds are kept, and whether it is safe to write there.
//!
//! Logs hold what builds print, so the folder is its owner's alone. Nothing here knows what is in the files.

use piper_core::id::BuildId;
use std::{
    env,
    ffi::OsString,
    fs::{self, DirBuilder, Metadata},
    io,
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::{Path, PathBuf},
};

/// Why nothing can be kept.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no home folder.
    #[error("there is no home folder to keep builds in: set HOME or XDG_STATE_HOME")]
    NoHome,
    /// A folder could be changed by somebody else.
    #[error(
        "`{}` belongs to somebody else or others may write to it: mend that, or set XDG_STATE_HOME to a folder of yours",
        path.display()
    )]
    Foreign {
        /// The folder.
        path: PathBuf,
    },
    /// A folder is not there and cannot be made, or is no folder.
    #[error("`{}` cannot be used to keep builds in", path.display())]
    Unusable {
        /// The folder.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
}

/// The folder of this machine's builds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    folder: PathBuf,
}

impl Place {
    /// Where builds are kept by the rules of the XDG base directories; nothing is looked at yet.
    ///
    /// # Errors
    ///
    /// When neither the environment nor the system's user list names a home folder.
    pub fn find() -> Result<Self, Error> {
        let state = base(
            env::var_os("XDG_STATE_HOME"),
            env::home_dir(),
            ".local/state",
        )
        .ok_or(Error::NoHome)?;
        Ok(Self::below(&state))
    }

    /// Where builds are kept below the state folder `state`.
    pub fn below(state: &Path) -> Self {
        Self {
            folder: state.join("piper").join("local"),
        }
    }

    /// Makes the folders that are missing, and makes sure that nobody else can change them.
    ///
    /// # Errors
    ///
    /// When they cannot be made or are not ours alone.
    pub fn prepare(&self) -> Result<(), Error> {
        if self.check()? {
            return Ok(());
        }
        let builds = self.builds();
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&builds)
            .map_err(|source| Error::Unusable {
                path: builds.clone(),
                source,
            })?;
        match self.check()? {
            true => Ok(()),
            false => Err(Error::Unusable {
                path: builds,
                source: io::ErrorKind::NotFound.into(),
            }),
        }
    }

    /// Whether the folders are there; each that is must be ours alone, because who may change one may replace what is below.
    ///
    /// # Errors
    ///
    /// When one is not ours alone or cannot be looked at.
    pub fn check(&self) -> Result<bool, Error> {
        let above = self.folder.parent().expect("made with two names");
        for path in [above, &self.folder, &self.builds()] {
            let unusable = |source| Error::Unusable {
                path: path.to_owned(),
                source,
            };
            // A link is fine if it is ours: some keep their state on another disk.
            let seen = fs::symlink_metadata(path).and_then(|link| Ok((link, fs::metadata(path)?)));
            match seen {
                Ok((link, folder)) if is_ours(&link) && is_ours(&folder) => {
                    if !folder.is_dir() {
                        return Err(unusable(io::ErrorKind::NotADirectory.into()));
                    }
                    if folder.mode() & 0o022 != 0 {
                        return Err(Error::Foreign {
                            path: path.to_owned(),
                        });
                    }
                }
                Ok(_) => {
                    return Err(Error::Foreign {
                        path: path.to_owned(),
                    });
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
                Err(error) => return Err(unusable(error)),
            }
        }
        Ok(true)
    }

    /// The folder of the builds' files.
    pub fn builds(&self) -> PathBuf {
        self.folder.join("builds")
    }

    /// The file of a build.
    pub fn file(&self, build: BuildId) -> PathBuf {
        self.folder.join("builds").join(format!("{build}.plog"))
    }

    /// The folder of what a build's steps leave in `$PIPER_ARTIFACTS`.
    pub fn artifacts(file: &Path) -> PathBuf {
        file.with_extension("artifacts")
    }

    /// How many bytes a build takes: its file and what its steps left. What cannot be looked at does not count.
    pub(super) fn size(file: &Path) -> u64 {
        let log = fs::metadata(file).map_or(0, |file| file.len());
        log + size_below(&Self::artifacts(file))
    }

    /// The list of the builds since old ones were removed.
    pub(super) fn recent(&self) -> PathBuf {
        self.folder.join("recent")
    }

    /// The index of the builds.
    pub fn index(&self) -> PathBuf {
        self.folder.join("index.db")
    }
}

fn size_below(folder: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else {
        return 0;
    };
    let size = |entry: fs::DirEntry| match entry.metadata() {
        Ok(found) if found.is_dir() => size_below(&entry.path()),
        Ok(found) => found.len(),
        Err(_) => 0,
    };
    entries.flatten().map(size).sum()
}

fn is_ours(metadata: &Metadata) -> bool {
    // SAFETY: `geteuid` only returns a number and cannot fail.
    let us = unsafe { libc::geteuid() };
    metadata.uid() == us
}

/// A folder by the XDG rules: the variable if it is an absolute path, else `fallback` below the home folder.
pub(crate) fn base(
    variable: Option<OsString>,
    home: Option<PathBuf>,
    fallback: &str,
) -> Option<PathBuf> {
    variable
        .map(PathBuf::from)
        .filter(|path| path.is_absolute())
        .or_else(|| Some(home.filter(|path| path.is_absolute())?.join(fallback)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, chown, symlink};
    use test_case::test_case;

    #[test_case(Some("/x"), Some("/home/a"), Some("/x"); "the variable wins")]
    #[test_case(Some("x"), Some("/home/a"), Some("/home/a/.local/state"); "a relative variable does not count")]
    #[test_case(Some(""), Some("/home/a"), Some("/home/a/.local/state"); "an empty variable does not count")]
    #[test_case(None, Some(""), None; "an empty home is none")]
    #[test_case(None, None, None; "no home at all")]
    fn the_state_folder_follows_the_xdg_rules(
        variable: Option<&str>,
        home: Option<&str>,
        expected: Option<&str>,
    ) {
        let found = base(
            variable.map(Into::into),
            home.map(Into::into),
            ".local/state",
        );
        assert_eq!(found, expected.map(PathBuf::from));
    }

    #[test]
    fn folders_are_made_for_their_owner_alone() {
        let state = tempfile::tempdir().unwrap();
        let place = Place::below(&state.path().join("deep/er"));
        assert!(!place.check().unwrap());
        place.prepare().unwrap();
        place.prepare().unwrap();
        assert_eq!(place.builds().metadata().unwrap().mode() & 0o777, 0o700);
    }

    #[test]
    fn a_file_where_the_folder_should_be_is_said() {
        let state = tempfile::tempdir().unwrap();
        fs::write(state.path().join("piper"), "").unwrap();
        let error = Place::below(state.path()).prepare().unwrap_err();
        assert!(matches!(error, Error::Unusable { .. }), "{error:?}");
    }

    #[test]
    fn a_folder_that_others_may_change_is_refused() {
        let state = tempfile::tempdir().unwrap();
        let place = Place::below(state.path());
        place.prepare().unwrap();
        fs::set_permissions(
            state.path().join("piper"),
            fs::Permissions::from_mode(0o777),
        )
        .unwrap();
        assert!(matches!(place.prepare(), Err(Error::Foreign { .. })));
    }

    #[test]
    fn a_link_or_a_folder_of_somebody_else_is_refused() {
        let state = tempfile::tempdir().unwrap();
        let theirs = state.path().join("theirs");
        fs::create_dir(&theirs).unwrap();
        symlink(&theirs, state.path().join("piper")).unwrap();
        let place = Place::below(state.path());
        place.prepare().expect("a link of ours to a folder of ours");
        // Only root can give a folder away; for others this test ends here.
        if chown(&theirs, Some(12345), None).is_ok() {
            assert!(matches!(place.prepare(), Err(Error::Foreign { .. })));
        }
    }
}
