//! Programs that a machine may lack, and that one test asks: a shell, a compiler, Graphviz.
//!
//! The unit tests of the library share this file. What every test needs (sh, git) is not asked for here: without it all fails.

use std::{env, io::Write as _, os::unix::fs::PermissionsExt as _};

/// Whether these programs are there, so that the test can run. Says which one is not; where `PIPER_TEST_ALL` is set, that fails the test.
#[track_caller]
pub(crate) fn have(tools: &[&str]) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    let is_there = |tool: &&str| {
        env::split_paths(&path).any(|folder| {
            let program = folder.join(tool).metadata();
            program.is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
        })
    };
    let missing: Vec<_> = tools.iter().filter(|tool| !is_there(tool)).collect();
    if missing.is_empty() {
        return true;
    }
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    let message = format!("{test} needs {missing:?}, which this machine does not have");
    assert!(env::var_os("PIPER_TEST_ALL").is_none(), "{message}");
    // Not by a macro: the harness would swallow it, and a test that did not run must not look as if it had.
    let _ = writeln!(std::io::stderr(), "SKIPPED: {message}");
    false
}
