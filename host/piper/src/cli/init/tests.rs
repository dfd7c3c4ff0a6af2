//! What is found in a repository, and what becomes of it.

use super::*;
use look::look;
use test_case::test_case;

fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        if text.starts_with("#!") {
            fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
        }
    }
    folder
}

const UNITTEST: &str = "import unittest\nclass X(unittest.TestCase):\n    def test(self): pass\n";
const SCRIPT: &str = "#!/bin/sh\n";

fn written(files: &[(&str, &str)]) -> String {
    write::file(&look(folder(files).path(), &|_| true))
}

/// The commands that were found, in order.
fn commands(files: &[(&str, &str)], missing: &[&str]) -> String {
    let found = look(folder(files).path(), &|tool| !missing.contains(&tool));
    let steps = found.kinds.iter().flat_map(|kind| &kind.steps);
    steps
        .map(|step| step.run.as_str())
        .collect::<Vec<_>>()
        .join("; ")
}

#[test_case(&[("Cargo.toml", "[package]")], &["cargo-fmt", "cargo-clippy"], "cargo build; cargo test"; "cargo")]
#[test_case(&[("Cargo.toml", "[workspace]\n"), ("Cargo.lock", "")], &["cargo-clippy"], "cargo build --workspace --locked; cargo test --workspace --locked; cargo fmt --check"; "cargo workspace")]
#[test_case(&[("Cargo.toml", "")], &["cargo"], ""; "no cargo")]
#[test_case(&[("go.mod", "")], &[], "go build ./...; go test ./...; go vet ./..."; "go")]
#[test_case(&[("CMakeLists.txt", "project(x)")], &[], "cmake -S . -B build; cmake --build build"; "cmake")]
#[test_case(&[("CMakeLists.txt", "ENABLE_TESTING ()")], &[], "cmake -S . -B build; cmake --build build; ctest --test-dir build --output-on-failure"; "cmake with tests")]
#[test_case(&[("CMakeLists.txt", ""), ("build/tools.cmake", "")], &[], "cmake -S . -B cmake-build; cmake --build cmake-build"; "cmake beside a folder of the repository")]
#[test_case(&[("CMakeLists.txt", ""), ("build/CMakeCache.txt", "CMAKE_HOME_DIRECTORY:INTERNAL=/elsewhere\n")], &[], "cmake -S . -B cmake-build; cmake --build cmake-build"; "cmake beside the committed cache of another place")]
#[test_case(&[("package.json", "\u{feff}{\"scripts\":{\"build\":\"x\"}}")], &[], "npm run build"; "node with a byte order mark")]
#[test_case(&[("package.json", r#"{"scripts":{"test":"node --test"}}"#)], &[], "npm run test"; "node without dependencies")]
#[test_case(&[("package.json", r#"{"scripts":{"test":"echo \"Error: no test specified\" && exit 1","build":"x"},"dependencies":{"a":"1"}}"#), ("pnpm-lock.yaml", "")], &[], "pnpm install --frozen-lockfile; pnpm run build"; "pnpm")]
#[test_case(&[("package.json", "{"), ("yarn.lock", "")], &[], ""; "not a package")]
#[test_case(&[("Makefile", "CC := cc\nx=1\n.PHONY: all\nall: a b\n\tcc: x\ncheck:\n%.o: %.c\n")], &[], "make all; make check"; "make")]
#[test_case(&[("Makefile", "prog: prog.c\n\tcc\n")], &[], "make"; "make with its first target")]
#[test_case(&[("Makefile", "include rules.mk\n"), ("rules.mk", "x:\n")], &[], "make"; "make with its targets in another file")]
#[test_case(&[("Makefile", "help:\n\tx\ntest:\n\tx\n")], &[], "make test"; "make that builds nothing by itself")]
#[test_case(&[("Makefile", "prog: x\n"), ("go.mod", "")], &["go"], "make"; "make alone after all")]
#[test_case(&[("Makefile", "deploy: x\n"), ("go.mod", "")], &[], "go build ./...; go test ./...; go vet ./..."; "make beside another")]
#[test_case(&[("Makefile", "all: x\ntest:\n"), ("go.mod", "")], &[], "go build ./...; go test ./...; go vet ./..."; "make that repeats another")]
#[test_case(&[("Makefile", "all: x\n"), ("go.mod", ""), ("sub/Makefile", "all: x\n")], &[], "go build ./...; go test ./...; go vet ./..."; "make below make")]
#[test_case(&[("Makefile", "$(PLATFORMS) test:\n\tx\n")], &[], "make; make test"; "make with variables among its targets")]
#[test_case(&[("Makefile", "$(PLATFORMS) help test:\n\tx\n")], &[], "make test"; "make that may only help")]
#[test_case(&[("Makefile", "all:\n\t@echo run ./configure first"), ("Makefile.in", "all: x\ncheck: all\n"), ("configure", SCRIPT)], &[], "./configure; make all; make check"; "configure")]
#[test_case(&[("configure", SCRIPT), ("CMakeLists.txt", ""), ("lib/CMakeLists.txt", "")], &[], "./configure; make"; "configure and cmake")]
#[test_case(&[("configure", ""), ("CMakeLists.txt", "")], &[], "cmake -S . -B build; cmake --build build"; "configure that cannot be run")]
#[test_case(&[("configure", SCRIPT), ("CMakeLists.txt", "")], &["make"], "cmake -S . -B build; cmake --build build"; "configure without make")]
#[test_case(&[("configure", SCRIPT), ("go.mod", "")], &[], "go build ./...; go test ./...; go vet ./..."; "configure beside another")]
#[test_case(&[("pyproject.toml", "[tool.ruff]\n[tool.pytest]"), ("uv.lock", "")], &["pytest"], "uv sync; python3 -m compileall -q -x '/(\\.|venv/|node_modules/)' .; uv run pytest; uv run ruff check ."; "python with uv")]
#[test_case(&[("setup.py", ""), ("tests/a.py", "")], &["ruff"], "python3 -m compileall -q -x '/(\\.|venv/|node_modules/)' .; pytest"; "python")]
#[test_case(&[("setup.py", ""), ("test_x.py", UNITTEST)], &["pytest", "ruff"], "python3 -m compileall -q -x '/(\\.|venv/|node_modules/)' .; python3 -m unittest discover"; "python with tests of its own kind")]
#[test_case(&[("setup.py", ""), ("tests/test_x.py", UNITTEST)], &[], "python3 -m compileall -q -x '/(\\.|venv/|node_modules/)' .; python3 -m unittest discover -s tests"; "python with a folder of tests")]
#[test_case(&[("pyproject.toml", ""), ("src/greet/__init__.py", ""), ("tests/test_x.py", UNITTEST)], &[], "python3 -m compileall -q -x '/(\\.|venv/|node_modules/)' .; PYTHONPATH=src python3 -m unittest discover -s tests"; "python with its packages in src")]
#[test_case(&[("poetry.lock", ""), ("setup.py", ""), ("test/__init__.py", ""), ("test/test_x.py", UNITTEST)], &[], "poetry install; python3 -m compileall -q -x '/(\\.|venv/|node_modules/)' .; poetry run python3 -m unittest discover -s test -t ."; "python with a package of tests")]
#[test_case(&[("setup.py", "tests_require=['pytest']"), ("test_x.py", UNITTEST)], &[], "python3 -m compileall -q -x '/(\\.|venv/|node_modules/)' .; pytest"; "python that wants pytest")]
#[test_case(&[("setup.py", ""), ("test_x.py", "def test_x(): pass\n")], &[], "python3 -m compileall -q -x '/(\\.|venv/|node_modules/)' .; pytest"; "python with a test that is a function")]
#[test_case(&[("Cargo.toml", ""), ("sub/Cargo.toml", ""), ("web/package.json", r#"{"scripts":{"build":"x"}}"#), ("node_modules/x/go.mod", "")], &["cargo-fmt", "cargo-clippy"], "cargo build; cargo test; npm run build"; "several")]
fn only_what_works_is_found(files: &[(&str, &str)], missing: &[&str], expected: &str) {
    assert_eq!(commands(files, missing), expected);
}

#[test]
fn a_folder_in_which_cmake_has_configured_this_project_is_used_again() {
    let folder = folder(&[("CMakeLists.txt", ""), ("build/CMakeCache.txt", "")]);
    let here = folder.path().canonicalize().unwrap();
    let cache = format!("# x\nCMAKE_HOME_DIRECTORY:INTERNAL={}\n", here.display());
    fs::write(here.join("build/CMakeCache.txt"), cache).unwrap();
    let found = look(folder.path(), &|_| true);
    assert_eq!(found.kinds[0].steps[0].run, "cmake -S . -B build");
}

#[test]
fn several_tool_chains_share_one_file() {
    let package =
        r#"{"scripts":{"build":"vite build","test":"vitest"},"devDependencies":{"vite":"1"}}"#;
    let text = written(&[
        ("Cargo.toml", "[package]"),
        ("web/package.json", package),
        ("web/package-lock.json", ""),
        ("tools/pyproject.toml", ""),
    ]);
    insta::assert_snapshot!(text, @r#"
    # What there is to build here, and how. `piper plan` shows what would run, `piper exec` runs it.

    [steps]
    cargo-build = "cargo build"
    cargo-test = "cargo test"
    cargo-fmt = "cargo fmt --check"
    cargo-clippy = "cargo clippy --all-targets"

    [steps.tools-python-compile]
    run = "python3 -m compileall -q -x '/(\\.|venv/|node_modules/)' ."
    cwd = "tools"

    [steps.web-npm-install]
    run = "npm ci"
    cwd = "web"

    [steps.web-npm-build]
    run = "npm run build"
    cwd = "web"

    [steps.web-npm-test]
    run = "npm run test"
    cwd = "web"

    # The steps run one after another; an inner list runs side by side.
    [pipelines.build]
    about = "Compile everything"
    steps = ["cargo-build", "tools-python-compile", "web-npm-install", "web-npm-build"]

    [pipelines.test]
    about = "Compile everything and run all tests"
    steps = ["cargo-build", "tools-python-compile", "web-npm-install", "web-npm-build", "cargo-test", "web-npm-test"]

    [pipelines.lint]
    about = "Look for mistakes without running anything"
    steps = ["cargo-fmt", "cargo-clippy"]
    "#);
}

#[test]
fn the_file_says_what_was_left_out() {
    let text = written(&[
        ("configure", SCRIPT),
        ("CMakeLists.txt", "project(x)"),
        ("meson.build", ""),
    ]);
    let head = text.split("\n\n").next().unwrap();
    insta::assert_snapshot!(head, @"
    # What there is to build here, and how. `piper plan` shows what would run, `piper exec` runs it.
    #
    # Seen, and left out:
    #  * CMakeLists.txt: `configure` builds the same
    #  * meson.build: `piper init` does not know Meson
    ");
    assert!(text.contains("\nconfigure = \"./configure\"\n"), "{text}");
}

#[test_case(&[("go.mod", ""), ("configure", SCRIPT)], "configure: another tool chain was found beside it")]
#[test_case(&[("CMakeLists.txt", ""), ("Makefile", "all:\n")], "Makefile: beside another tool chain it mostly calls that")]
#[test_case(&[("CMakeLists.txt", ""), ("configure.ac", "")], "configure.ac: `autoreconf -i` has to make its `configure` first")]
#[test_case(&[("configure", "")], "configure: it is not executable")]
#[test_case(&[("package.json", "{\n  \"name\": \"x\",\n  oops\n}\n")], "package.json:3:3: it is not JSON: key must be a string"; "a package that is broken")]
#[test_case(&[("web/package.json", "")], "web/package.json:1:0: it is not JSON: EOF while parsing a value"; "a package below that is empty")]
#[test_case(&[("package.json", r#"{"scripts":{"start":"x"}}"#)], "package.json: it has neither dependencies nor a script `build`, `test` or `lint`"; "a package with nothing to build")]
#[test_case(&[("Makefile", "clean:\n\trm -r x\n")], "Makefile: `make` alone makes `clean`, and none of its targets is `all` or `build`"; "a makefile that only cleans")]
#[test_case(&[("Makefile", "include config.mk\nall: x\n")], "Makefile: it includes `config.mk`, which is not there and which none of its rules makes"; "a makefile that includes what is not there")]
#[test_case(&[("makefile", "X = y\n")], "makefile: it has no target"; "a makefile without targets")]
#[test_case(&[("CMakeLists.txt", ""), ("build", ""), ("cmake-build/x", ""), ("build-piper/x", "")], "CMakeLists.txt: build, cmake-build, build-piper hold other things, and `piper init` builds in no folder that it does not know"; "no place to build")]
fn nothing_is_left_out_in_silence(files: &[(&str, &str)], line: &str) {
    assert_eq!(look(folder(files).path(), &|_| true).left_out, [line]);
}

#[test]
fn what_is_no_plain_file_is_not_waited_for() {
    let folder = folder(&[("sub/go.mod", "")]);
    for name in ["Cargo.toml", "package.json", "Makefile", "CMakeLists.txt"] {
        let path = folder.path().join(name).into_os_string().into_string();
        let path = std::ffi::CString::new(path.unwrap()).unwrap();
        // SAFETY: the path is a string that ends with a NUL and lives as long as the call.
        assert_eq!(unsafe { libc::mkfifo(path.as_ptr(), 0o600) }, 0);
    }
    std::os::unix::fs::symlink("/dev/zero", folder.path().join("pyproject.toml")).unwrap();
    let text = write::file(&look(folder.path(), &|_| true));
    let body = text.split_once("\n\n").unwrap().1;
    assert!(body.starts_with("[steps.sub-go-build]\n"), "{text}");
}

#[test]
fn where_nothing_is_known_the_file_says_hello() {
    insta::assert_snapshot!(written(&[("README", "")]), @r#"
    # What there is to build here, and how. `piper plan` shows what would run, `piper exec` runs it.

    [steps]
    hello = "echo Hello from piper"

    [steps.greet]
    about = "Greet somebody: piper exec greet name=you"
    run = 'echo "Hello, $PIPER_PARAM_NAME."'

    [params]
    name = { default = "world", about = "Who is greeted" }

    [pipelines.build]
    about = "Replace this by what builds your project"
    steps = ["hello", "greet"]
    "#);
}

fn refusal(result: Result<(), CliError>) -> Option<u16> {
    match result {
        Err(CliError::Problems(problems)) => Some(problems[0].code.0),
        _ => None,
    }
}

#[test]
fn a_file_that_is_there_is_kept_unless_forced() {
    let folder = folder(&[("piper.toml", "old")]);
    let file = folder.path().join("piper.toml");
    assert_eq!(refusal(place(&file, "new", false)), Some(315));
    assert_eq!(fs::read_to_string(&file).unwrap(), "old");
    place(&file, "new", true).unwrap();
    assert_eq!(fs::read_to_string(&file).unwrap(), "new");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn a_link_is_replaced_and_never_followed() {
    let folder = folder(&[("elsewhere", "mine")]);
    let file = folder.path().join("piper.toml");
    std::os::unix::fs::symlink("nowhere", &file).unwrap();
    assert_eq!(refusal(place(&file, "new", false)), Some(315));
    fs::remove_file(&file).unwrap();
    std::os::unix::fs::symlink("elsewhere", &file).unwrap();
    place(&file, "new", true).unwrap();
    assert_eq!(
        fs::read_to_string(folder.path().join("elsewhere")).unwrap(),
        "mine"
    );
    assert!(!file.symlink_metadata().unwrap().is_symlink());
}

#[test]
fn the_file_is_as_open_as_any_new_one() {
    let folder = folder(&[("other", "")]);
    let file = folder.path().join("piper.toml");
    place(&file, "new", false).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode();
    assert_eq!(mode(&file), mode(&folder.path().join("other")));
}
