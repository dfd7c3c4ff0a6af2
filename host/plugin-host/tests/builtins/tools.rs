//! Programs that these tests want and a machine may lack. They are kept outside of the tree and made once a machine.

use std::{
    env,
    ffi::OsStr,
    fs,
    io::Write,
    path::PathBuf,
    process::{Command, Stdio},
};

/// Where they are kept.
fn folder() -> PathBuf {
    let home = env::home_dir().expect("there is a home");
    let cache = env::var_os("XDG_CACHE_HOME").map_or_else(|| home.join(".cache"), PathBuf::from);
    cache.join("piper-tools")
}

#[expect(
    clippy::disallowed_methods,
    reason = "no step of a build: the test waits for it or ends it"
)]
pub(crate) fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.stdin(Stdio::null());
    command
}

/// A tool, made if it is not there and `PIPER_TEST_ALL` is set; without it, says that the test is skipped.
fn tool(
    path: PathBuf,
    test: &str,
    how: &str,
    make: impl FnOnce() -> Vec<Command>,
) -> Option<PathBuf> {
    if path.exists() {
        return Some(path);
    }
    if env::var_os("PIPER_TEST_ALL").is_none() {
        // Past the test harness, which keeps what a passing test prints to itself.
        let _ = writeln!(
            std::io::stderr(),
            "SKIPPED: {test} needs {}: {how}",
            path.display()
        );
        return None;
    }
    fs::create_dir_all(folder()).unwrap();
    for mut command in make() {
        let output = command.output();
        let output = output.unwrap_or_else(|error| panic!("{command:?}: {error}; {how}"));
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{command:?}: {said}");
    }
    Some(path)
}

/// MinIO, a real S3 store.
pub(crate) fn minio(test: &str) -> Option<PathBuf> {
    let folder = folder().join("bin");
    let package = "github.com/minio/minio@v0.0.0-20260212201848-7aac2a2c5b7c";
    let how = format!("GOBIN={} go install {package}", folder.display());
    tool(folder.join("minio"), test, &how, || {
        let mut go = command("go");
        go.args(["install", package]).env("GOBIN", &folder);
        vec![go]
    })
}

/// A Python with the reference library of Standard Webhooks.
pub(crate) fn standard_webhooks(test: &str) -> Option<PathBuf> {
    let folder = folder().join("standardwebhooks");
    let python = folder.join("bin/python");
    let how = format!(
        "python3 -m venv {0} && {0}/bin/python -m pip install standardwebhooks==1.1.0",
        folder.display()
    );
    tool(python.clone(), test, &how, || {
        let mut venv = command("python3");
        venv.args(["-m", "venv"]).arg(&folder);
        let mut pip = command(&python);
        pip.args(["-m", "pip", "install", "--quiet", "standardwebhooks==1.1.0"]);
        vec![venv, pip]
    })
}
