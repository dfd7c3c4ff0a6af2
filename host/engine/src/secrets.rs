//! Where `exec` finds the secrets that steps ask for by name.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs, io,
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

/// A file of secrets cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be read.
    #[error("could not read the secrets in {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It is a device, a pipe, a socket or a folder.
    #[error("{path} is not a regular file")]
    NotAFile {
        /// What it is.
        path: PathBuf,
    },
    /// Others could read it.
    #[error("{path} can be read by others: run `chmod 600 {path}`")]
    Open {
        /// The file.
        path: PathBuf,
    },
    /// It is somebody else's.
    #[error("{path} belongs to another user")]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// A line has no `=`.
    #[error("{path}:{line}: expected NAME=VALUE")]
    Line {
        /// The file.
        path: PathBuf,
        /// Which line, from 1.
        line: usize,
    },
}

/// Secrets by name.
pub type Secrets = BTreeMap<String, OsString>;

/// Reads a file of lines `NAME=VALUE`; a value goes to the end of its line as it stands. Empty lines and those that begin
/// with `#` say nothing.
///
/// # Errors
///
/// When it cannot be read, or anybody but the user could.
pub fn read_file(path: &Path) -> Result<Secrets, Error> {
    let path_buf = || path.to_owned();
    let read = |source| Error::Read {
        path: path_buf(),
        source,
    };
    // A named pipe would otherwise keep piper waiting for whoever writes it.
    let file = fs::File::options()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(path)
        .map_err(read)?;
    let meta = file.metadata().map_err(read)?;
    if !meta.is_file() {
        return Err(Error::NotAFile { path: path_buf() });
    }
    // SAFETY: takes nothing, and cannot fail.
    if meta.uid() != unsafe { libc::geteuid() } {
        return Err(Error::Foreign { path: path_buf() });
    }
    if meta.mode() & 0o077 != 0 {
        return Err(Error::Open { path: path_buf() });
    }
    let text = io::read_to_string(file).map_err(read)?;
    let mut secrets = Secrets::new();
    for (place, line) in text.lines().enumerate() {
        if line.trim().is_empty() || line.trim_start().starts_with('#') {
            continue;
        }
        let (name, value) = line.split_once('=').ok_or_else(|| Error::Line {
            path: path_buf(),
            line: place + 1,
        })?;
        secrets.insert(name.trim().to_owned(), value.into());
    }
    Ok(secrets)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn file(text: &str, mode: u32) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secrets");
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        (dir, path)
    }

    #[test]
    fn a_value_goes_to_the_end_of_its_line() {
        let (_dir, path) = file("# mine\n\nA=b=c \"d\"\n B =\n", 0o600);
        let secrets = read_file(&path).unwrap();
        assert_eq!(secrets["A"], "b=c \"d\"");
        assert_eq!(secrets["B"], "");
    }

    #[test]
    fn a_file_that_others_can_read_is_refused_with_the_remedy() {
        let (_dir, path) = file("A=b\n", 0o640);
        let error = read_file(&path).unwrap_err().to_string();
        assert!(error.contains("chmod 600"), "{error}");
    }

    #[test]
    fn what_is_no_file_is_refused_as_such() {
        for path in ["/dev/zero", "/"] {
            let error = read_file(Path::new(path)).unwrap_err().to_string();
            assert_eq!(error, format!("{path} is not a regular file"));
        }
    }

    #[test]
    fn a_line_without_a_value_is_named_and_not_shown() {
        let (_dir, path) = file("A=b\nhunter2\n", 0o600);
        let error = read_file(&path).unwrap_err().to_string();
        assert!(
            error.contains(":2:") && !error.contains("hunter2"),
            "{error}"
        );
    }
}
