//! Finds the project file and reads it.
//!
//! What it says is for [`piper_core::pipeline`]; here is only whether it may be trusted and can be read.

use piper_core::{codes, problem::Problem};
use std::{
    fs::{self, File, Metadata, OpenOptions},
    io::{self, Read},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

/// The name of the project file.
pub const FILE_NAME: &str = "piper.toml";

/// The largest file that is read, in bytes; a hundred times the largest that a person writes.
const LARGEST: u64 = 64 * 1024 * 1024;

/// A project file that was found and may be trusted.
#[derive(Debug, PartialEq, Eq)]
pub struct Found {
    /// The folder that it stands in, canonical: what a local project is.
    pub root: PathBuf,
    /// The file.
    pub path: PathBuf,
    /// What it holds.
    pub bytes: Vec<u8>,
}

/// Finds the project of `directory`, or of the working directory.
///
/// # Errors
///
/// When there is none, when it cannot be read, or when it belongs to somebody else.
pub fn find(directory: Option<&Path>) -> Result<Found, Box<Problem>> {
    let home = std::env::var_os("HOME").map(PathBuf::from);
    find_from(directory.unwrap_or(Path::new(".")), home.as_deref(), user())
}

/// The root of the project of `directory`, or of the working directory, whatever its file holds.
pub fn root(directory: Option<&Path>) -> Option<PathBuf> {
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let start = fs::canonicalize(directory.unwrap_or(Path::new("."))).ok()?;
    nearest(&start, home.as_deref())
}

/// The nearest folder with a project file, `start` included, not above the repository's root or the home folder.
fn nearest(start: &Path, home: Option<&Path>) -> Option<PathBuf> {
    let home = home.and_then(|home| fs::canonicalize(home).ok());
    for folder in start.ancestors() {
        // A link to nothing is something that somebody meant as a project: it must not be passed by in silence.
        if fs::symlink_metadata(folder.join(FILE_NAME)).is_ok() {
            return Some(folder.to_owned());
        }
        if home.as_deref() == Some(folder) || fs::symlink_metadata(folder.join(".git")).is_ok() {
            return None;
        }
    }
    None
}

fn user() -> u32 {
    // SAFETY: geteuid has no conditions and cannot fail.
    unsafe { libc::geteuid() }
}

/// The folder in which a project is looked for, canonical: `directory`, or the working directory.
///
/// # Errors
///
/// When it is not there, as the working directory may be, or is no folder.
pub fn start(directory: Option<&Path>) -> Result<PathBuf, Box<Problem>> {
    let directory = directory.unwrap_or(Path::new("."));
    let folder = fs::canonicalize(directory).and_then(|folder| match folder.is_dir() {
        true => Ok(folder),
        false => Err(io::ErrorKind::NotADirectory.into()),
    });
    folder.map_err(|error| {
        let (directory, reason) = (directory.display(), reason(&error));
        let problem = Problem::error(
            codes::NO_PROJECT,
            format!("cannot look for a project in `{directory}`: {reason}"),
        );
        Box::new(problem.help("name a folder that exists with -C DIR"))
    })
}

fn find_from(directory: &Path, home: Option<&Path>, user: u32) -> Result<Found, Box<Problem>> {
    let start = start(Some(directory))?;
    if let Some(root) = nearest(&start, home) {
        let path = root.join(FILE_NAME);
        let bytes = read(&path, user)?;
        return Ok(Found { root, path, bytes });
    }
    Err(Problem::error(
        codes::NO_PROJECT,
        format!("there is no {FILE_NAME} in {} or above it", start.display()),
    )
    .help("`piper init` writes one; -C DIR looks in another folder")
    .into())
}

fn read(path: &Path, user: u32) -> Result<Vec<u8>, Box<Problem>> {
    let unreadable = |why: &str| -> Box<Problem> {
        Problem::error(
            codes::UNREADABLE,
            format!("cannot read {}: {why}", path.display()),
        )
        .help("the project file is a plain file that you may read")
        .into()
    };
    let file = open(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => unreadable("it is a link to something that does not exist"),
        _ => unreadable(&reason(&error)),
    })?;
    let meta = file
        .metadata()
        .map_err(|error| unreadable(&reason(&error)))?;
    if meta.is_dir() {
        return Err(unreadable("it is a folder"));
    }
    if !meta.is_file() {
        return Err(unreadable("it is not a plain file"));
    }
    check_owner(path, &meta, user)?;
    let bytes = read_at_most(&file, &meta, LARGEST).map_err(|error| unreadable(&reason(&error)))?;
    bytes.ok_or_else(|| {
        Problem::error(
            codes::TOO_LARGE,
            format!("{} is larger than {} MiB", path.display(), LARGEST >> 20),
        )
        .help("a project file holds commands; keep data in files of its own")
        .into()
    })
}

/// Opens what should be a plain file, at once also if it is a FIFO, which would wait for its writer otherwise.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(path)
}

/// Whoever owns the file decides what this user runs: that may be this user or root, nobody else.
fn check_owner(path: &Path, meta: &Metadata, user: u32) -> Result<(), Box<Problem>> {
    let owner = meta.uid();
    if owner == user || owner == 0 {
        return Ok(());
    }
    let path = path.display();
    Err(Problem::error(
        codes::FOREIGN_PROJECT,
        format!("{path} belongs to somebody else (user id {owner}, you are {user})"),
    )
    .help("its commands would run with your rights: read it, then copy the project or take the file over with chown")
    .into())
}

/// The whole file, or nothing if it is larger than `limit`, also when it grows meanwhile.
pub(crate) fn read_at_most(
    file: &File,
    meta: &Metadata,
    limit: u64,
) -> io::Result<Option<Vec<u8>>> {
    // Room for all of it and a byte more, which is not there: two reads and no copy.
    let size = usize::try_from(meta.len().min(limit)).unwrap_or_default();
    let mut bytes = Vec::with_capacity(size + 1);
    file.take(limit + 1).read_to_end(&mut bytes)?;
    Ok((bytes.len() as u64 <= limit).then_some(bytes))
}

/// What the system said, without its number.
fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error")
        .next()
        .unwrap_or(&text)
        .to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use tempfile::TempDir;

    fn folder() -> (TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().canonicalize().unwrap();
        (folder, path)
    }

    fn code(result: Result<Found, Box<Problem>>) -> u16 {
        result.expect_err("nothing may be found").code.0
    }

    #[test]
    fn the_nearest_file_above_is_found() {
        let (_guard, root) = folder();
        fs::create_dir_all(root.join("a/b")).unwrap();
        fs::write(root.join(FILE_NAME), "x").unwrap();
        let found = find_from(&root.join("a/b"), None, user()).unwrap();
        assert_eq!(found.root, root);
        assert_eq!(found.bytes, b"x");
        fs::write(root.join("a").join(FILE_NAME), "y").unwrap();
        assert_eq!(
            find_from(&root.join("a/b"), None, user()).unwrap().root,
            root.join("a")
        );
    }

    #[test]
    fn nothing_above_a_repository_or_the_home_folder_is_looked_at() {
        let (_guard, root) = folder();
        fs::create_dir_all(root.join("home/project/src")).unwrap();
        fs::write(root.join(FILE_NAME), "").unwrap();
        let src = root.join("home/project/src");
        assert_eq!(code(find_from(&src, Some(&root.join("home")), user())), 308);
        assert!(find_from(&src, Some(&root.join("elsewhere")), user()).is_ok());
        fs::write(root.join("home/project/.git"), "gitdir: x").unwrap();
        assert_eq!(code(find_from(&src, None, user())), 308);
        fs::write(root.join("home/project").join(FILE_NAME), "").unwrap();
        assert!(
            find_from(&src, None, user()).is_ok(),
            "the repository's own root is looked at"
        );
    }

    #[test]
    fn what_is_no_readable_file_is_an_error_and_does_not_hang() {
        let (_guard, root) = folder();
        let path = root.join(FILE_NAME);
        let try_it = || code(find_from(&root, None, user()));
        fs::create_dir(&path).unwrap();
        assert_eq!(try_it(), 8);
        fs::remove_dir(&path).unwrap();
        symlink("nowhere", &path).unwrap();
        assert_eq!(try_it(), 8);
        fs::remove_file(&path).unwrap();
        let name = std::ffi::CString::new(path.as_os_str().as_encoded_bytes()).unwrap();
        // SAFETY: the name is a string that ends with a NUL and lives as long as the call.
        assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
        assert_eq!(try_it(), 8);
        fs::remove_file(&path).unwrap();
        File::create(&path).unwrap().set_len(LARGEST + 1).unwrap();
        assert_eq!(try_it(), 9);
        fs::set_permissions(&path, PermissionsExt::from_mode(0o000)).unwrap();
        if user() != 0 {
            assert_eq!(try_it(), 8);
        }
    }

    #[test]
    fn a_folder_that_does_not_exist_is_no_project() {
        assert_eq!(
            code(find_from(Path::new("/nowhere/at/all"), None, user())),
            308
        );
    }

    #[test]
    fn a_file_of_somebody_else_is_refused_unless_it_is_roots() {
        let (_guard, root) = folder();
        fs::write(root.join(FILE_NAME), "").unwrap();
        let owner = fs::metadata(root.join(FILE_NAME)).unwrap().uid();
        let result = find_from(&root, None, owner.wrapping_add(1));
        if owner == 0 {
            assert!(result.is_ok());
            std::os::unix::fs::chown(root.join(FILE_NAME), Some(4711), None).unwrap();
            assert_eq!(code(find_from(&root, None, 0)), 309);
        } else {
            assert_eq!(code(result), 309);
        }
    }
}
