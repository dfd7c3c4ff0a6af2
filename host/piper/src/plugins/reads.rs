//! The files that a planner reads: those of its manifest's patterns, as the build will see them.

use crate::exec::WorkspaceOrigin;
use piper_plugin_host::policy::files::{Patterns, WorkspacePath};
use serde_json::{Map, Value};
use std::{fs, path::Path};

/// How much a planner reads, in bytes.
const MOST_BYTES: usize = 1 << 20;
/// How many files and folders are looked at: a pattern such as `**/*.json` must not walk a disk.
const MOST_ENTRIES: usize = 200_000;

/// The text of each file that matches; what is no text is left out.
///
/// # Errors
///
/// When a folder cannot be read, or it is too much.
pub(crate) fn files(
    patterns: &Patterns,
    root: &Path,
    origin: Option<&WorkspaceOrigin>,
) -> Result<Map<String, Value>, String> {
    let mut files = Map::new();
    let mut bytes = 0;
    let mut keep = |path: &str, content: Vec<u8>| {
        let Ok(text) = String::from_utf8(content) else {
            return Ok(());
        };
        bytes += text.len();
        if bytes > MOST_BYTES {
            return Err(format!(
                "it reads more than {} KiB of files",
                MOST_BYTES >> 10
            ));
        }
        files.insert(path.to_owned(), Value::String(text));
        Ok(())
    };
    let wanted =
        |path: &str| WorkspacePath::parse(path).is_ok_and(|parsed| patterns.matches(&parsed));
    match origin {
        Some(origin) => {
            let tree = origin
                .repository
                .files(&origin.commit, &origin.below)
                .map_err(|error| error.to_string())?;
            for path in tree.iter().filter(|path| wanted(path)) {
                let content = origin
                    .repository
                    .file_at(&origin.commit, &origin.below.join(path))
                    .map_err(|error| format!("`{path}` cannot be read: {error}"))?;
                keep(path, content)?;
            }
        }
        None => {
            for path in tree(root, patterns)?.iter().filter(|path| wanted(path)) {
                let content = read(&root.join(path))
                    .map_err(|error| format!("`{path}` cannot be read: {error}"))?;
                keep(path, content)?;
            }
        }
    }
    Ok(files)
}

/// A file, but not much more of it than is allowed in all.
fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    use std::io::Read as _;
    let mut content = Vec::new();
    fs::File::open(path)?
        .take(MOST_BYTES as u64 + 1)
        .read_to_end(&mut content)?;
    Ok(content)
}

/// The plain files below `root` whose names are text, in order, but for folders in which nothing is meant. No link is followed, and
/// git's own folder is nobody's business.
fn tree(root: &Path, patterns: &Patterns) -> Result<Vec<String>, String> {
    let (mut found, mut folders) = (Vec::new(), vec![String::new()]);
    let mut seen = 0;
    while let Some(folder) = folders.pop() {
        let unreadable = |error| format!("the folder `{folder}` cannot be read: {error}");
        for entry in fs::read_dir(root.join(&folder)).map_err(unreadable)? {
            let entry = entry.map_err(unreadable)?;
            seen += 1;
            if seen > MOST_ENTRIES {
                return Err(format!(
                    "the project has more than {MOST_ENTRIES} files to look through"
                ));
            }
            let Ok(name) = entry.file_name().into_string() else {
                continue;
            };
            let path = match folder.as_str() {
                "" => name.clone(),
                folder => format!("{folder}/{name}"),
            };
            match entry.file_type().map_err(unreadable)? {
                kind if kind.is_dir()
                    && name != ".git"
                    && patterns.may_be_below(&format!("{path}/")) =>
                {
                    folders.push(path);
                }
                kind if kind.is_file() => found.push(path),
                _ => {}
            }
        }
    }
    found.sort_unstable();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn plain_files_that_match_are_read_and_no_link_is_followed() {
        let folder = tempfile::tempdir().unwrap();
        for (path, text) in [
            ("a.json", "{}"),
            ("sub/b.json", "[]"),
            ("sub/c.txt", "c"),
            (".git/d.json", "1"),
        ] {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        fs::write(folder.path().join("binary.json"), [0xff]).unwrap();
        symlink("/etc", folder.path().join("etc")).unwrap();
        symlink("/etc/passwd", folder.path().join("passwd.json")).unwrap();
        let patterns = Patterns::parse(&["**/*.json"]).unwrap();
        let files = files(&patterns, folder.path(), None).unwrap();
        let paths: Vec<_> = files.keys().map(String::as_str).collect();
        assert_eq!(paths, ["a.json", "sub/b.json"]);
        assert_eq!(files["sub/b.json"], "[]");
    }

    #[test]
    fn what_cannot_be_meant_is_not_looked_into() {
        let folder = tempfile::tempdir().unwrap();
        let closed = folder.path().join("node_modules");
        fs::create_dir_all(closed.join("a")).unwrap();
        fs::write(closed.join("a/package.json"), "{}").unwrap();
        fs::write(folder.path().join("package.json"), "{}").unwrap();
        let tree = |pattern: &str| {
            let patterns = Patterns::parse(&[pattern]).unwrap();
            tree(folder.path(), &patterns).unwrap()
        };
        assert_eq!(tree("package.json"), ["package.json"]);
        assert_eq!(tree("**").len(), 2);
    }

    #[test]
    fn too_much_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a"), vec![b'a'; MOST_BYTES + 1]).unwrap();
        let patterns = Patterns::parse(&["*"]).unwrap();
        let refused = files(&patterns, folder.path(), None).unwrap_err();
        assert!(refused.contains("more than 1024 KiB"), "{refused}");
    }
}
