//! The folder in which git keeps a repository. It is no part of a workspace: what git is told to run stands there, and often enough a
//! password, in the address of a remote.

use crate::policy::files::WorkspacePath;
use cap_std::fs::Dir;
use std::{
    fs, io,
    os::fd::{AsFd, AsRawFd},
    path::PathBuf,
};

const NAME: &str = ".git";

/// Whether an entry of a folder is it.
pub(super) fn is_it(entry: &str) -> bool {
    entry.trim_end_matches('/') == NAME
}

/// Whether a path leads into it by its own words.
pub(super) fn is_on(path: &WorkspacePath) -> bool {
    path.names().any(is_it)
}

/// Whether something that was opened below a folder is in it, whichever links led there.
pub(super) fn holds(root: &Dir, opened: &impl AsFd) -> io::Result<bool> {
    let (root, opened) = (path(root)?, path(opened)?);
    // A repository may itself be below another one's folder, as submodules are.
    let below = opened.strip_prefix(&root).unwrap_or(&opened);
    Ok(below.iter().any(|name| name == NAME))
}

/// Where the kernel says that something is.
fn path(of: &impl AsFd) -> io::Result<PathBuf> {
    fs::read_link(format!("/proc/self/fd/{}", of.as_fd().as_raw_fd()))
}
