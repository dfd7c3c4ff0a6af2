//! The small files about plugins: read with an end, written whole or not at all.
//!
//! What is in them is understood elsewhere.

use super::{Error, shown};
use crate::find::open;
use piper_core::{
    codes,
    problem::{Problem, Source},
};
use std::{
    fs::{self, Permissions},
    io::{self, Read, Write},
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::Arc,
};

/// The largest text that is read: far more than anybody writes.
pub(super) const LARGEST_TEXT: u64 = 4 << 20;

/// Whose word a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Authority {
    /// Anybody's: it gives nothing.
    Anybody,
    /// It grants, so it must be this user's own or root's.
    Operator,
}

/// Reads a text file; `None` if there is none.
///
/// # Errors
///
/// When it cannot be read, is no text, is too large, or is somebody else's and must not be.
pub fn read_text(path: &Path, authority: Authority) -> Result<Option<Arc<Source>>, Box<Problem>> {
    let Some(bytes) = read(path, LARGEST_TEXT, authority)? else {
        return Ok(None);
    };
    text(path, bytes).map(Some)
}

/// The text that a file holds.
pub(super) fn text(path: &Path, bytes: Vec<u8>) -> Result<Arc<Source>, Box<Problem>> {
    let text = String::from_utf8(bytes).map_err(|_| {
        let message = format!("`{}` is not UTF-8", shown(path));
        Problem::error(codes::NOT_UTF8, message).help("save it as UTF-8")
    })?;
    Ok(Arc::new(Source {
        path: path.to_owned(),
        text,
    }))
}

/// Reads a plain file of at most `limit` bytes; `None` if there is none.
///
/// # Errors
///
/// When it cannot be read, is too large, or is somebody else's and must not be.
pub fn read(
    path: &Path,
    limit: u64,
    authority: Authority,
) -> Result<Option<Vec<u8>>, Box<Problem>> {
    let unreadable = |why: String| {
        let message = format!("cannot read `{}`: {why}", shown(path));
        Box::new(
            Problem::error(codes::UNREADABLE, message).help("it is a plain file that you may read"),
        )
    };
    let file = match open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unreadable(error.to_string())),
    };
    let meta = file
        .metadata()
        .map_err(|error| unreadable(error.to_string()))?;
    if !meta.is_file() {
        return Err(unreadable("it is not a plain file".to_owned()));
    }
    // SAFETY: geteuid has no conditions and cannot fail.
    let user = unsafe { libc::geteuid() };
    if authority == Authority::Operator && meta.uid() != user && meta.uid() != 0 {
        let message = format!(
            "`{}` belongs to somebody else (user id {}), and it says what plugins may do",
            shown(path),
            meta.uid()
        );
        let problem = Problem::error(codes::UNREADABLE, message);
        return Err(Box::new(
            problem.help("read it, then take it over with chown, or remove it"),
        ));
    }
    let mut bytes = Vec::new();
    file.take(limit + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| unreadable(error.to_string()))?;
    if bytes.len() as u64 > limit {
        let message = format!("`{}` is larger than {} MiB", shown(path), limit >> 20);
        return Err(Box::new(Problem::error(codes::TOO_LARGE, message)));
    }
    Ok(Some(bytes))
}

/// Puts a file into its place in one step: whoever reads it sees the old one or the new one. A link stays, and what it leads to changes.
///
/// # Errors
///
/// When it cannot be written.
pub fn write(path: &Path, bytes: &[u8], mode: u32) -> Result<(), Error> {
    let place = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    place_whole(&place, bytes, mode).map_err(|source| Error::Write {
        path: path.to_owned(),
        source,
    })
}

fn place_whole(path: &PathBuf, bytes: &[u8], mode: u32) -> io::Result<()> {
    let folder = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let mode = fs::metadata(path).map_or(mode, |meta| meta.mode() & 0o777);
    let mut file = tempfile::Builder::new()
        .prefix(".piper-")
        .permissions(Permissions::from_mode(mode))
        .tempfile_in(folder)?;
    file.write_all(bytes)?;
    // Without this, a crash of the machine could leave a file with its name and not its content.
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{chown, symlink};

    #[test]
    fn a_file_behind_a_link_is_replaced_and_the_link_stays() {
        let folder = tempfile::tempdir().unwrap();
        let (real, link) = (folder.path().join("real"), folder.path().join("link"));
        fs::write(&real, "old").unwrap();
        fs::set_permissions(&real, Permissions::from_mode(0o640)).unwrap();
        symlink("real", &link).unwrap();
        write(&link, b"new", 0o600).unwrap();
        assert_eq!(fs::read(&real).unwrap(), b"new");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::metadata(&real).unwrap().mode() & 0o777, 0o640);
    }

    #[test]
    fn a_new_file_and_its_folder_are_made() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a/b");
        assert_eq!(read_text(&file, Authority::Operator).unwrap(), None);
        write(&file, b"x", 0o600).unwrap();
        assert_eq!(fs::metadata(&file).unwrap().mode() & 0o777, 0o600);
        let text = read_text(&file, Authority::Operator).unwrap().unwrap();
        assert_eq!(text.text, "x");
    }

    #[test]
    fn what_grants_must_not_be_anybodys() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("plugins.toml");
        fs::write(&file, "").unwrap();
        if chown(&file, Some(4711), None).is_err() {
            return; // Only root can give files away.
        }
        assert!(read_text(&file, Authority::Anybody).is_ok());
        let problem = read_text(&file, Authority::Operator).unwrap_err();
        assert!(
            problem.message.contains("belongs to somebody else"),
            "{problem:?}"
        );
    }

    #[test]
    fn what_is_too_large_or_no_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("x");
        fs::write(&file, "12345").unwrap();
        assert_eq!(
            read(&file, 5, Authority::Anybody).unwrap().unwrap(),
            b"12345"
        );
        let code = |path: &Path| read(path, 4, Authority::Anybody).unwrap_err().code;
        assert_eq!(code(&file), codes::TOO_LARGE);
        assert_eq!(code(folder.path()), codes::UNREADABLE);
    }
}
