//! The small files about plugins: read with an end, written whole or not at all.
//!
//! What is in them is understood elsewhere.

use super::{Error, shown};
use crate::find::{open, read_at_most};
use piper_core::{
    codes,
    problem::{Problem, Source},
};
use piper_plugin_host::policy::command::quote;
use std::{
    ffi::{OsStr, OsString},
    fs::{self, DirBuilder, Metadata, Permissions},
    io::{self, Write},
    iter,
    os::unix::{
        ffi::OsStrExt,
        fs::{DirBuilderExt, MetadataExt, PermissionsExt},
    },
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
    /// It grants, so it and its folder must be this user's own or root's, and nobody else's to write.
    Operator,
}

/// Reads a text file; `None` if there is none.
///
/// # Errors
///
/// When it cannot be read, is no text, is too large, or could be somebody else's word and must not be.
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
/// When it cannot be read, is too large, or could be somebody else's word and must not be.
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
    if authority == Authority::Operator {
        let folder = |path: &Path| {
            let folder = path.parent().map(Path::to_owned)?;
            let meta = fs::metadata(&folder).ok()?;
            Some((folder, meta))
        };
        // Whoever may change a folder on the way may put another file there, also where a link leads.
        let real = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let folders = [folder(path), folder(&real)].into_iter().flatten();
        for (path, meta) in iter::once((path.to_owned(), meta.clone())).chain(folders) {
            believed(&path, Owned::of(&meta), user())?;
        }
    }
    let bytes = read_at_most(&file, &meta, limit).map_err(|error| unreadable(error.to_string()))?;
    if bytes.is_none() {
        let message = format!("`{}` is larger than {} MiB", shown(path), limit >> 20);
        return Err(Box::new(Problem::error(codes::TOO_LARGE, message)));
    }
    Ok(bytes)
}

/// Who can change something.
#[derive(Debug, Clone, Copy)]
struct Owned {
    owner: u32,
    mode: u32,
    is_folder: bool,
}

impl Owned {
    fn of(meta: &Metadata) -> Self {
        Self {
            owner: meta.uid(),
            mode: meta.mode(),
            is_folder: meta.is_dir(),
        }
    }
}

/// Whether nobody but this user and root could have written it.
fn believed(path: &Path, owned: Owned, user: u32) -> Result<(), Box<Problem>> {
    let path = shown(path);
    if owned.owner != user && owned.owner != 0 {
        let message = format!(
            "`{path}` belongs to somebody else (user id {}), and it says what plugins may do",
            owned.owner
        );
        let problem = Problem::error(codes::UNREADABLE, message);
        return Err(Box::new(
            problem.help("read it, then take it over with chown, or remove it"),
        ));
    }
    // In a sticky folder nobody takes away or replaces what is another's.
    let is_sticky = owned.is_folder && owned.mode & libc::S_ISVTX != 0;
    let (by_group, by_all) = (libc::S_IWGRP, libc::S_IWOTH);
    if owned.mode & (by_group | by_all) == 0 || is_sticky {
        return Ok(());
    }
    let message = format!(
        "`{path}` can be written by others (mode {:03o}), and it says what plugins may do",
        owned.mode & 0o777
    );
    let problem = Problem::error(codes::UNREADABLE, message);
    Err(Box::new(problem.help(format!(
        "read what it says, then: chmod go-w {}",
        quote(&path)
    ))))
}

fn user() -> u32 {
    // SAFETY: geteuid has no conditions and cannot fail.
    unsafe { libc::geteuid() }
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
    make_folder(folder, mode)?;
    let mode = fs::metadata(path).map_or(mode, |meta| meta.mode() & 0o777);
    let mut file = tempfile::Builder::new()
        .prefix(&draft_prefix(path))
        .permissions(Permissions::from_mode(mode))
        .tempfile_in(folder)?;
    file.write_all(bytes)?;
    // Without this, a crash of the machine could leave a file with its name and not its content.
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}

/// How the names of files begin that are to become the one at this path.
fn draft_prefix(path: &Path) -> OsString {
    let mut prefix = OsString::from(".");
    prefix.push(path.file_name().unwrap_or_default());
    prefix.push(".piper-");
    prefix
}

/// Removes what others left that were killed while they wrote the file at this path. Nobody may be writing it: who calls this has the
/// right to change it ([`Turn`](super::turn::Turn)).
pub(super) fn sweep(path: &Path) {
    let prefix = draft_prefix(path);
    let is_draft = |name: &OsStr| name.as_bytes().starts_with(prefix.as_bytes());
    let entries = path.parent().and_then(|folder| fs::read_dir(folder).ok());
    let entries = entries.into_iter().flatten().flatten();
    for draft in entries.filter(|entry| is_draft(&entry.file_name())) {
        // What stays is in nobody's way.
        let _ = fs::remove_file(draft.path());
    }
}

/// Makes the folder of a file of this mode: others may look into it if they may read the file, and never write, whatever the umask is.
pub(super) fn make_folder(folder: &Path, mode: u32) -> io::Result<()> {
    let looks = (mode & 0o044) >> 2;
    DirBuilder::new()
        .recursive(true)
        .mode(0o700 | (mode & 0o044) | looks)
        .create(folder)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;
    use test_case::test_case;

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

    #[test_case(1000, 0o600, false, None; "this users own")]
    #[test_case(0, 0o644, false, None; "roots")]
    #[test_case(4711, 0o600, false, Some("belongs to somebody else (user id 4711)"); "somebody elses")]
    #[test_case(1000, 0o664, false, Some("can be written by others (mode 664)"); "a groups")]
    #[test_case(0, 0o602, false, Some("can be written by others (mode 602)"); "everybodys")]
    #[test_case(1000, 0o755, true, None; "a folder into which others look")]
    #[test_case(1000, 0o775, true, Some("chmod go-w dir"); "a folder of a group")]
    #[test_case(0, 0o1777, true, None; "a sticky folder")]
    #[test_case(1000, 0o1666, false, Some("chmod go-w dir"); "a sticky file, which means nothing")]
    fn what_grants_must_not_be_anybodys(
        owner: u32,
        mode: u32,
        is_folder: bool,
        said: Option<&str>,
    ) {
        let owned = Owned {
            owner,
            mode,
            is_folder,
        };
        match (believed(Path::new("dir"), owned, 1000), said) {
            (Ok(()), None) => {}
            (Err(problem), Some(said)) => {
                let text = format!("{} {:?}", problem.message, problem.help);
                assert!(text.contains(said), "{text}");
            }
            (found, _) => panic!("{found:?}"),
        }
    }

    #[test]
    fn a_file_of_grants_that_others_could_have_written_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let (real, link) = (folder.path().join("a"), folder.path().join("b"));
        for folder in [&real, &link] {
            make_folder(folder, 0o600).unwrap();
        }
        let file = real.join("plugins.toml");
        write(&file, b"", 0o600).unwrap();
        symlink(&file, link.join("plugins.toml")).unwrap();
        let read = || read_text(&link.join("plugins.toml"), Authority::Operator);
        assert!(read().is_ok());
        for place in [&file, &real, &link] {
            let mode = fs::metadata(place).unwrap().mode();
            fs::set_permissions(place, Permissions::from_mode(mode | 0o020)).unwrap();
            let problem = read().unwrap_err();
            assert!(problem.help[0].contains("chmod go-w"), "{problem:?}");
            assert!(read_text(&file, Authority::Anybody).is_ok());
            fs::set_permissions(place, Permissions::from_mode(mode)).unwrap();
        }
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

    #[test]
    fn what_is_swept_is_what_a_killed_writer_leaves() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("plugins.toml");
        let draft = tempfile::Builder::new()
            .prefix(&draft_prefix(&file))
            .tempfile_in(folder.path())
            .unwrap();
        let (_, left) = draft.keep().unwrap();
        write(&file, b"x", 0o600).unwrap();
        sweep(&file);
        assert!(!left.exists());
        assert!(file.exists());
    }
}
