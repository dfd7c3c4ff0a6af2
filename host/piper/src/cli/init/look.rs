//! What a repository is built with, by the files that lie in it.
//!
//! Only commands whose tool is installed and whose target exists become steps: the file has to work at once. Nothing is run to find out.

use super::makefile::Makefile;
use crate::find;
use std::{
    fs::{self, DirEntry},
    io::{self, Read as _},
    os::unix::fs::PermissionsExt as _,
    path::Path,
};

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) kinds: Vec<Kind>,
    /// What would have been a step, and why it is none.
    pub(super) left_out: Vec<String>,
}

/// One tool chain in one folder.
#[derive(Debug)]
pub(super) struct Kind {
    pub(super) name: &'static str,
    /// Below the repository's root; empty for the root.
    pub(super) folder: String,
    pub(super) steps: Vec<Step>,
}

/// A step to write.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) name: String,
    pub(super) run: String,
    pub(super) part: Part,
}

/// Which pipeline a step belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Build,
    Test,
    Lint,
}

/// A repository may have this many further folders with tool chains of their own; more are no monorepo but a collection.
const MOST_FOLDERS: usize = 16;
/// What make looks for, in its order.
const MAKEFILES: [&str; 3] = ["GNUmakefile", "makefile", "Makefile"];
/// Where make looks for what a makefile includes, from the makefile's folder.
const INCLUDE_FOLDERS: [&str; 3] = ["", "/usr/local/include", "/usr/include"];
/// What else may say how to build: nothing is done with it, but it must not be passed by in silence.
const UNKNOWN: [(&str, &str); 5] = [
    ("meson.build", "Meson"),
    ("BUILD.bazel", "Bazel"),
    ("pom.xml", "Maven"),
    ("build.gradle", "Gradle"),
    ("build.gradle.kts", "Gradle"),
];
/// Folders whose files somebody else wrote.
const FOREIGN: [&str; 5] = ["node_modules", "vendor", "third_party", "target", "dist"];

/// Where CMake builds: the first that is free.
const BUILD_FOLDERS: [&str; 3] = ["build", "cmake-build", "build-piper"];

/// Looks at the root, and one level below it for tool chains that the root has not.
pub(super) fn look(root: &Path, has_tool: &dyn Fn(&str) -> bool) -> Found {
    let mut found = Found::default();
    Folder {
        path: root,
        below: "",
        above: &[],
        has_tool,
    }
    .look(&mut found);
    let mut in_root: Vec<&str> = found.kinds.iter().map(|kind| kind.name).collect();
    // One that was left out is there all the same, and calls those below it.
    let native = ["CMakeLists.txt", "configure"].iter().chain(&MAKEFILES);
    if native.into_iter().any(|name| root.join(name).is_file()) {
        in_root.extend(["make", "CMake"]);
    }
    let mut folders: Vec<String> = fs::read_dir(root)
        .into_iter()
        .flatten()
        .flatten()
        // `file_type` does not follow links, so nothing outside the repository is looked at.
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| {
            piper_core::id::StepName::parse(name).is_ok() && !FOREIGN.contains(&name.as_str())
        })
        .collect();
    folders.sort();
    for name in folders.iter().take(MOST_FOLDERS) {
        Folder {
            path: &root.join(name),
            below: name,
            above: &in_root,
            has_tool,
        }
        .look(&mut found);
    }
    found
}

struct Folder<'a> {
    path: &'a Path,
    below: &'a str,
    /// Tool chains of the root, which see to what is below it themselves.
    above: &'a [&'static str],
    has_tool: &'a dyn Fn(&str) -> bool,
}

/// A file longer than this was not written by hand; what is of interest stands at its beginning.
const MOST_BYTES: u64 = 1024 * 1024;

/// What looks for one tool chain.
type Chain<'a> = fn(&Folder<'a>, &mut Found) -> Option<Kind>;

impl<'a> Folder<'a> {
    fn look(&self, found: &mut Found) {
        let is_wanted = |name: &str| !self.above.contains(&name);
        let chains: [(&str, Chain<'a>); 4] = [
            ("Cargo", Self::cargo),
            ("Go", Self::go),
            ("Node", Self::node),
            ("Python", Self::python),
        ];
        for (_, chain) in chains.iter().filter(|(name, _)| is_wanted(name)) {
            let kind = chain(self, found);
            found.kinds.extend(kind);
        }
        if is_wanted("make") {
            self.native(found);
        }
        if self.below.is_empty() {
            for (file, name) in UNKNOWN {
                if self.has(file) {
                    self.leave_out(found, file, &format!("`piper init` does not know {name}"));
                }
            }
        }
    }

    /// `configure`, CMake and make, which stand for each other.
    fn native(&self, found: &mut Found) {
        let alone = found.kinds.iter().all(|kind| kind.folder != self.below);
        // Who releases a `configure` that is ready to run builds with it; CMake beside it is for other systems or still on trial.
        // Debian's tools choose the same.
        let configure = self.configure(found, alone);
        let cmake = self.cmake(found, configure.is_some());
        let native = configure.or(cmake);
        // A makefile beside another tool chain is a list of shortcuts to it; alone it is the build.
        let alone = alone && native.is_none();
        found.kinds.extend(native);
        let make = self.make(found, alone);
        found.kinds.extend(make);
    }

    fn read(&self, name: &str) -> Option<String> {
        let file = find::open(&self.path.join(name)).ok()?;
        // A device may never end.
        file.metadata().ok().filter(|file| file.is_file())?;
        let mut bytes = Vec::new();
        file.take(MOST_BYTES).read_to_end(&mut bytes).ok()?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }

    fn has(&self, name: &str) -> bool {
        self.path.join(name).is_file()
    }

    /// Says that a file of this folder was seen, and why nothing comes of it.
    fn leave_out(&self, found: &mut Found, file: &str, why: &str) {
        let line = match self.below {
            "" => format!("{file}: {why}"),
            below => format!("{below}/{file}: {why}"),
        };
        found.left_out.push(line);
    }

    /// Says once that a tool is missing.
    fn needs(&self, tool: &str, file: &str, found: &mut Found) -> bool {
        let there = (self.has_tool)(tool);
        if !there {
            self.leave_out(found, file, &format!("`{tool}` is not installed"));
        }
        there
    }

    /// A tool chain with its steps, if it has any. Names of steps below the root begin with their folder.
    fn kind(&self, name: &'static str, steps: &[(&str, &str, Part)]) -> Option<Kind> {
        let step = |&(step, run, part): &(&str, &str, Part)| {
            let name = if self.below.is_empty() {
                step.to_owned()
            } else {
                format!("{}-{step}", self.below)
            };
            piper_core::id::StepName::parse(&name)
                .is_ok()
                .then(|| Step {
                    name,
                    run: run.to_owned(),
                    part,
                })
        };
        let steps: Vec<Step> = steps.iter().filter_map(step).collect();
        (!steps.is_empty()).then(|| Kind {
            name,
            folder: self.below.to_owned(),
            steps,
        })
    }

    fn cargo(&self, found: &mut Found) -> Option<Kind> {
        let manifest = self.read("Cargo.toml")?;
        if !self.needs("cargo", "Cargo.toml", found) {
            return None;
        }
        let workspace = manifest
            .lines()
            .any(|line| line.trim_start().starts_with("[workspace"));
        let all = if workspace { " --workspace" } else { "" };
        let locked = if self.has("Cargo.lock") {
            " --locked"
        } else {
            ""
        };
        let (build, test) = (
            format!("cargo build{all}{locked}"),
            format!("cargo test{all}{locked}"),
        );
        let lint = format!("cargo clippy{all} --all-targets{locked}");
        let mut steps = vec![
            ("cargo-build", build.as_str(), Part::Build),
            ("cargo-test", test.as_str(), Part::Test),
        ];
        if (self.has_tool)("cargo-fmt") {
            steps.push(("cargo-fmt", "cargo fmt --check", Part::Lint));
        }
        if (self.has_tool)("cargo-clippy") {
            steps.push(("cargo-clippy", &lint, Part::Lint));
        }
        self.kind("Cargo", &steps)
    }

    fn go(&self, found: &mut Found) -> Option<Kind> {
        if !self.has("go.mod") || !self.needs("go", "go.mod", found) {
            return None;
        }
        let steps = [
            ("go-build", "go build ./...", Part::Build),
            ("go-test", "go test ./...", Part::Test),
            ("go-vet", "go vet ./...", Part::Lint),
        ];
        self.kind("Go", &steps)
    }

    fn cmake(&self, found: &mut Found, is_configured: bool) -> Option<Kind> {
        let lists = self.read("CMakeLists.txt")?;
        if is_configured {
            self.leave_out(found, "CMakeLists.txt", "`configure` builds the same");
            return None;
        }
        if !self.needs("cmake", "CMakeLists.txt", found) {
            return None;
        }
        let lists: String = lists.to_ascii_lowercase().split_whitespace().collect();
        let Some(build) = BUILD_FOLDERS.iter().find(|name| self.is_for_cmake(name)) else {
            let why = format!(
                "{} hold other things, and `piper init` builds in no folder that it does not know",
                BUILD_FOLDERS.join(", ")
            );
            self.leave_out(found, "CMakeLists.txt", &why);
            return None;
        };
        let configure = format!("cmake -S . -B {build}");
        let compile = format!("cmake --build {build}");
        let test = format!("ctest --test-dir {build} --output-on-failure");
        let mut steps = vec![
            ("cmake-configure", configure.as_str(), Part::Build),
            ("cmake-build", &compile, Part::Build),
        ];
        if (lists.contains("enable_testing(") || lists.contains("include(ctest)"))
            && (self.has_tool)("ctest")
        {
            steps.push(("ctest", &test, Part::Test));
        }
        self.kind("CMake", &steps)
    }

    /// Whether CMake may write into a folder: it is not there, it is empty, or CMake has configured this project there. Another one
    /// is part of the repository, or the cache of another place was committed with it, which CMake refuses.
    fn is_for_cmake(&self, name: &str) -> bool {
        let folder = self.path.join(name);
        let Ok(meta) = folder.symlink_metadata() else {
            return true;
        };
        let is_empty = || fs::read_dir(&folder).is_ok_and(|mut entries| entries.next().is_none());
        let is_of_here = || {
            let cache = self
                .read(&format!("{name}/CMakeCache.txt"))
                .unwrap_or_default();
            let home = cache
                .lines()
                .find_map(|line| line.strip_prefix("CMAKE_HOME_DIRECTORY:INTERNAL="));
            let here = self.path.canonicalize().ok();
            home.is_some() && home.map(Path::new) == here.as_deref()
        };
        meta.is_dir() && (is_empty() || is_of_here())
    }

    fn node(&self, found: &mut Found) -> Option<Kind> {
        let file = "package.json";
        let text = self.read(file)?;
        // As npm reads it.
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
        let package: serde_json::Value = match serde_json::from_str(text) {
            Ok(package) => package,
            Err(error) => {
                let (line, column) = (error.line(), error.column());
                self.leave_out(found, &format!("{file}:{line}:{column}"), &not_json(&error));
                return None;
            }
        };
        let (tool, install) = if self.has("pnpm-lock.yaml") {
            ("pnpm", "pnpm install --frozen-lockfile")
        } else if self.has("yarn.lock") {
            ("yarn", "yarn install")
        } else if self.has("package-lock.json") || self.has("npm-shrinkwrap.json") {
            ("npm", "npm ci")
        } else {
            ("npm", "npm install")
        };
        if !self.needs(tool, file, found) {
            return None;
        }
        let has_dependencies = [
            "dependencies",
            "devDependencies",
            "optionalDependencies",
            "workspaces",
        ]
        .iter()
        .any(|key| match &package[key] {
            serde_json::Value::Object(members) => !members.is_empty(),
            serde_json::Value::Array(members) => !members.is_empty(),
            _ => false,
        });
        // What `npm init` writes for a package without tests only fails.
        let script = |name: &str| {
            package["scripts"][name]
                .as_str()
                .is_some_and(|line| !line.trim().is_empty() && !line.contains("no test specified"))
        };
        let mut steps = Vec::new();
        let install_name = format!("{tool}-install");
        if has_dependencies {
            steps.push((install_name, install.to_owned(), Part::Build));
        }
        for (name, part) in [
            ("build", Part::Build),
            ("test", Part::Test),
            ("lint", Part::Lint),
        ] {
            if script(name) {
                steps.push((format!("{tool}-{name}"), format!("{tool} run {name}"), part));
            }
        }
        if steps.is_empty() {
            let why = "it has neither dependencies nor a script `build`, `test` or `lint`";
            self.leave_out(found, file, why);
        }
        let steps: Vec<(&str, &str, Part)> = steps
            .iter()
            .map(|(name, run, part)| (name.as_str(), run.as_str(), *part))
            .collect();
        self.kind("Node", &steps)
    }

    fn python(&self, found: &mut Found) -> Option<Kind> {
        let project = self.read("pyproject.toml");
        let marks = ["setup.py", "setup.cfg", "requirements.txt", "tox.ini"];
        if project.is_none() && !marks.iter().any(|name| self.has(name)) {
            return None;
        }
        if !self.needs("python3", "Python", found) {
            return None;
        }
        let project = project.unwrap_or_default();
        let uses = |word: &str| {
            project.contains(word)
                || [
                    "requirements.txt",
                    "requirements-dev.txt",
                    "setup.cfg",
                    "setup.py",
                    "tox.ini",
                ]
                .iter()
                .any(|name| self.read(name).is_some_and(|text| text.contains(word)))
        };
        // A runner of the project's own environment comes before what happens to be installed.
        let runner = [
            ("uv.lock", "uv", "uv sync"),
            ("poetry.lock", "poetry", "poetry install"),
        ]
        .into_iter()
        .find(|(lock, tool, _)| self.has(lock) && (self.has_tool)(tool));
        let compile = "python3 -m compileall -q -x '/(\\.|venv/|node_modules/)' .";
        let mut steps: Vec<(&str, String, Part)> =
            vec![("python-compile", compile.to_owned(), Part::Build)];
        if let Some((_, _, install)) = runner {
            steps.insert(0, ("python-install", install.to_owned(), Part::Build));
        }
        let unittest = match uses("pytest") || self.has("conftest.py") {
            true => None,
            false => self.unittest(),
        };
        if let Some(line) = &unittest {
            let line = match runner {
                Some((_, runner, _)) => format!("{runner} run {line}"),
                None => format!("{}{line}", self.python_path()),
            };
            steps.push(("python-test", line, Part::Test));
        }
        let has_tests = unittest.is_none()
            && (["tests", "test"]
                .iter()
                .any(|name| self.path.join(name).is_dir())
                || self.has("conftest.py")
                || !self.python_tests("").is_empty());
        for (tool, line, part, wanted) in [
            ("pytest", "pytest", Part::Test, uses("pytest") || has_tests),
            (
                "ruff",
                "ruff check .",
                Part::Lint,
                uses("ruff") || self.has("ruff.toml") || self.has(".ruff.toml"),
            ),
        ] {
            if !wanted {
                continue;
            }
            let path = match part {
                Part::Test => self.python_path(),
                Part::Build | Part::Lint => "",
            };
            match runner {
                Some((_, runner, _)) if uses(tool) => {
                    steps.push((tool, format!("{runner} run {line}"), part))
                }
                _ if (self.has_tool)(tool) => steps.push((tool, format!("{path}{line}"), part)),
                _ if self.has(&format!(".venv/bin/{tool}")) => {
                    steps.push((tool, format!("{path}.venv/bin/{line}"), part))
                }
                _ => found.left_out.push(format!("{tool}: it is not installed")),
            }
        }
        let steps: Vec<(&str, &str, Part)> = steps
            .iter()
            .map(|(name, run, part)| (*name, run.as_str(), *part))
            .collect();
        self.kind("Python", &steps)
    }

    /// What goes before a command that is to find the packages below `src`, which nothing installs.
    fn python_path(&self) -> &'static str {
        let packages = fs::read_dir(self.path.join("src")).into_iter().flatten();
        let is_package = |entry: io::Result<DirEntry>| {
            entry.is_ok_and(|entry| {
                let path = entry.path();
                path.join("__init__.py").exists() || path.extension().is_some_and(|end| end == "py")
            })
        };
        match packages.into_iter().any(is_package) {
            true => "PYTHONPATH=src ",
            false => "",
        }
    }

    /// The command for tests that need nothing but Python itself. It runs the tests of one folder, the first that has some.
    fn unittest(&self) -> Option<String> {
        let below = ["", "tests", "test"].into_iter().find(|below| {
            let tests = self.python_tests(below);
            let says = |word: &str| tests.iter().any(|text| text.contains(word));
            says("unittest") && says("TestCase") && !says("pytest")
        })?;
        let place = match below {
            "" => String::new(),
            // In a package, tests import each other by the package's name.
            _ if self.has(&format!("{below}/__init__.py")) => format!(" -s {below} -t ."),
            _ => format!(" -s {below}"),
        };
        Some(format!("python3 -m unittest discover{place}"))
    }

    /// The text of the files in a folder that hold tests by their names.
    fn python_tests(&self, below: &str) -> Vec<String> {
        let entries = fs::read_dir(self.path.join(below))
            .into_iter()
            .flatten()
            .flatten();
        entries
            .filter_map(|entry| entry.file_name().into_string().ok())
            .filter(|name| name.starts_with("test") && name.ends_with(".py"))
            .filter_map(|name| self.read(&Path::new(below).join(name).to_string_lossy()))
            .collect()
    }

    /// A script that makes the makefile: by autoconf, or written by hand.
    fn configure(&self, found: &mut Found, alone: bool) -> Option<Kind> {
        let file = "configure";
        let Ok(meta) = self.path.join(file).metadata() else {
            if self.has("configure.ac") {
                let why = "`autoreconf -i` has to make its `configure` first";
                self.leave_out(found, "configure.ac", why);
            }
            return None;
        };
        if !meta.is_file() {
            return None;
        }
        if !alone {
            self.leave_out(found, file, "another tool chain was found beside it");
            return None;
        }
        if meta.permissions().mode() & 0o111 == 0 {
            self.leave_out(found, file, "it is not executable");
            return None;
        }
        if !self.needs("make", file, found) {
            return None;
        }
        // A makefile that is there already only says that this has to run, or is what it made.
        let makefile = Makefile::read(&self.read("Makefile.in").unwrap_or_default());
        let build = if makefile.has("all") {
            ("make-all", "make all", Part::Build)
        } else {
            ("make", "make", Part::Build)
        };
        let mut steps = vec![("configure", "./configure", Part::Build), build];
        steps.extend(make_test(&makefile));
        self.kind("make", &steps)
    }

    fn make(&self, found: &mut Found, alone: bool) -> Option<Kind> {
        // With a `configure`, that makes it.
        if self.has("configure") {
            return None;
        }
        let (file, text) = MAKEFILES
            .iter()
            .find_map(|name| Some((*name, self.read(name)?)))?;
        let makefile = Makefile::read(&text);
        let build = makefile.build();
        let mut steps = Vec::new();
        if let Ok((name, run)) = build {
            steps.push((name, run, Part::Build));
        }
        steps.extend(make_test(&makefile));
        if makefile.has("lint") {
            steps.push(("make-lint", "make lint", Part::Lint));
        }
        if !alone {
            let why = "beside another tool chain it mostly calls that";
            self.leave_out(found, file, why);
            return None;
        }
        let is_there = |name: &str| {
            INCLUDE_FOLDERS
                .iter()
                .any(|folder| self.path.join(folder).join(name).exists())
        };
        if let Some(missing) = makefile.missing_include(is_there) {
            let why = format!(
                "it includes `{missing}`, which is not there and which none of its rules makes"
            );
            self.leave_out(found, file, &why);
            return None;
        }
        if let Err(why) = build {
            self.leave_out(found, file, &why);
        }
        if steps.is_empty() || !self.needs("make", file, found) {
            return None;
        }
        self.kind("make", &steps)
    }
}

/// What is wrong with a text, without its place.
fn not_json(error: &serde_json::Error) -> String {
    let said = error.to_string();
    let what = said.split(" at line ").next().unwrap_or_default();
    format!("it is not JSON: {what}")
}

/// The step that runs the tests.
fn make_test(makefile: &Makefile) -> Option<(&'static str, &'static str, Part)> {
    [
        ("test", "make-test", "make test"),
        ("check", "make-check", "make check"),
    ]
    .into_iter()
    .find(|(target, ..)| makefile.has(target))
    .map(|(_, name, run)| (name, run, Part::Test))
}
