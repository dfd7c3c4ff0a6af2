//! What the tests stand on: a project of one's own, the program as a child, and waiting for conditions.
//!
//! No test sleeps for a time in the hope that something has happened by then: it waits for what it wants to see.

mod finished;
pub(crate) mod guests;
mod running;
mod terminal;
mod tools;

pub(crate) use finished::Finished;
pub(crate) use running::{Call, Running};
pub(crate) use terminal::Terminal;
pub(crate) use tools::have;

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

/// How long anything may take. Far more than it does on a busy machine, and less than a person who waits for CI.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A project in a folder of its own, with a home and state folders that nobody else uses.
pub(crate) struct TestEnv {
    folder: tempfile::TempDir,
}

impl TestEnv {
    /// A project with this project file.
    pub(crate) fn new(file: &str) -> Self {
        let env = Self::empty();
        env.write("piper.toml", file);
        env
    }

    /// A project whose pipeline `build` runs these steps in this order.
    pub(crate) fn sequence(steps: &[(&str, &str)]) -> Self {
        let mut file = "[steps]\n".to_owned();
        for (name, script) in steps {
            file += &format!("{name} = '''{script}'''\n");
        }
        let names: Vec<&str> = steps.iter().map(|(name, _)| *name).collect();
        Self::new(&format!(
            "{file}[pipelines]\nbuild = {{ steps = {names:?} }}\n"
        ))
    }

    /// A folder without a project file.
    pub(crate) fn empty() -> Self {
        let folder = tempfile::Builder::new()
            .prefix("piper-it-")
            .tempdir()
            .unwrap();
        for name in ["project", "home", "state", "cache", "config", "tmp"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        Self { folder }
    }

    /// A folder beside the project: `home`, `state`, `cache`, `config`, `tmp`.
    pub(crate) fn beside(&self, name: &str) -> PathBuf {
        // The temporary folder of the machine may be a link, and piper says canonical paths.
        self.folder.path().canonicalize().unwrap().join(name)
    }

    /// The project's root.
    pub(crate) fn root(&self) -> PathBuf {
        self.beside("project")
    }

    /// A path in the project.
    pub(crate) fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.root().join(name)
    }

    /// Writes a file of the project, and the folders above it.
    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    /// Writes a program of the project.
    pub(crate) fn program(&self, name: &str, content: &str) {
        self.write(name, content);
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// A file of the project as text; empty if it is not there.
    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    /// The words of a file of the project.
    pub(crate) fn words(&self, name: &str) -> Vec<String> {
        self.read(name)
            .split_whitespace()
            .map(str::to_owned)
            .collect()
    }

    /// Calls `piper` with these arguments in the project's root; the call can still be changed.
    pub(crate) fn call(&self, args: &[&str]) -> Call {
        Call::new(self, args)
    }

    /// Calls `piper` with these arguments and waits for its end.
    pub(crate) fn piper(&self, args: &[&str]) -> Finished {
        self.call(args).finish()
    }

    /// Makes the project a git repository with one commit on the branch `main`.
    pub(crate) fn commit_all(&self) {
        if !self.path(".git").exists() {
            self.git(&["init", "--quiet", "--initial-branch=main"]);
        }
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--message", "a commit"]);
    }

    /// Calls git in the project.
    pub(crate) fn git(&self, args: &[&str]) -> String {
        let mut command = Command::new("git");
        command.args(["-c", "user.name=Test", "-c", "user.email=test@example.org"]);
        command.args(args).current_dir(self.root()).env_clear();
        command.env("HOME", self.beside("home"));
        command.env("PATH", std::env::var_os("PATH").unwrap());
        let output = command.output().unwrap();
        assert!(output.status.success(), "git {args:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// Waits until a step has written a process id into this file of the project, and returns it.
    pub(crate) fn pid_in(&self, name: &str) -> i32 {
        wait_for(&format!("a process id in `{name}`"), || {
            // A line end says that all of it is there.
            self.read(name)
                .strip_suffix('\n')
                .and_then(|pid| pid.parse().ok())
        })
    }

    /// The files of the builds that are kept, oldest first.
    pub(crate) fn records(&self) -> Vec<PathBuf> {
        let Ok(entries) = fs::read_dir(self.beside("state").join("piper/local/builds")) else {
            return Vec::new();
        };
        let mut found: Vec<_> = entries
            .map(|entry| entry.unwrap().path())
            .filter(|path| {
                path.extension()
                    .is_some_and(|extension| extension == "plog")
            })
            .map(|path| (path.metadata().unwrap().modified().unwrap(), path))
            .collect();
        found.sort();
        found.into_iter().map(|(_, path)| path).collect()
    }
}

/// Waits until there is something, and returns it.
pub(crate) fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begin.elapsed() < PATIENCE, "waited in vain for {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Waits until something holds.
pub(crate) fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    wait_for(what, || holds().then_some(()));
}

/// What the system says about a process: `R`, `S`, `T`, …; `None` if it is gone or only waits to be reaped.
pub(crate) fn state(pid: i32) -> Option<char> {
    // The program's name may be cut in the middle of a letter; the state is the second byte behind its bracket.
    let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
    let name_end = stat.iter().rposition(|byte| *byte == b')')?;
    let state = char::from(*stat.get(name_end + 2)?);
    (!matches!(state, 'Z' | 'X')).then_some(state)
}

/// Waits until a process is gone.
pub(crate) fn wait_gone(pid: i32) {
    wait_until(&format!("process {pid} to be gone"), || {
        state(pid).is_none()
    });
}

/// Sends a signal to a process.
pub(crate) fn signal(pid: i32, signal: i32) {
    // SAFETY: the call takes two numbers.
    assert_eq!(unsafe { libc::kill(pid, signal) }, 0, "kill {pid}");
}

/// Whether a process was sent a signal that it has not taken yet.
pub(crate) fn is_pending(pid: i32, signal: i32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let set = status
        .lines()
        .find_map(|line| line.strip_prefix("ShdPnd:"))
        .unwrap();
    u64::from_str_radix(set.trim(), 16).unwrap() & (1 << (signal - 1)) != 0
}

/// The children of a process, those included that only wait to be reaped.
pub(crate) fn children(pid: i32) -> Vec<i32> {
    let list = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
    list.unwrap_or_default()
        .split_whitespace()
        .map(|child| child.parse().unwrap())
        .collect()
}

/// Waits for the watcher, which stands some 20 ms after the start: the child of piper's that is piper, too.
pub(crate) fn wait_for_watcher(piper: i32) -> i32 {
    // Not by its program: so has a step's process before it becomes its own.
    let watches = |pid: &i32| {
        let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        words.split(|byte| *byte == 0).nth(1) == Some(b"__watch")
    };
    wait_for("the watcher", || children(piper).into_iter().find(watches))
}
