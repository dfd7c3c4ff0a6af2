//! `init`: a project file that works at once.

use crate::support::{TestEnv, have};
use test_case::test_case;

#[test_case(&[("Cargo.toml", "[package]\nname = 'x'\nversion = '0.1.0'\n"), ("src/lib.rs", "")], "cargo"; "cargo")]
#[test_case(&[("package.json", "{\"name\":\"x\",\"scripts\":{\"build\":\"tsc\",\"test\":\"jest\",\"lint:fix\":\"x\"}}")], "npm"; "npm")]
#[test_case(&[("Makefile", "all:\n\techo all\ntest:\n\techo test\n.PHONY: all test\n")], "make"; "make")]
#[test_case(&[("CMakeLists.txt", "cmake_minimum_required(VERSION 3.10)\nproject(x C)\nenable_testing()\n")], "cmake"; "cmake")]
#[test_case(&[("go.mod", "module example.org/x\n\ngo 1.21\n"), ("x.go", "package x\n")], "go "; "go")]
#[test_case(&[("pyproject.toml", "[project]\nname = 'x'\nversion = '1'\n"), ("tests/test_x.py", "")], "python"; "python")]
#[test_case(&[("Cargo.toml", "[workspace]\nmembers = []\n"), ("package.json", "{\"scripts\":{\"test\":\"x\"}}"), ("Makefile", "all:\n")], "cargo"; "several at once")]
#[test_case(&[], ""; "an empty folder")]
#[test_case(&[("package.json", "{ not json"), ("Makefile", "\u{0}\n:::\n%.o: %.c\n")], ""; "files that cannot be read")]
fn what_init_writes_is_accepted_and_runs_the_tool_that_it_found(
    files: &[(&str, &str)],
    tool: &str,
) {
    let env = TestEnv::empty();
    for (name, content) in files {
        env.write(name, content);
    }
    // `init` names no tool that is not there, and this machine may have none of them.
    for tool in ["cargo", "npm", "make", "cmake", "go", "python3"] {
        env.program(&format!("../bin/{tool}"), "#!/bin/sh\n");
    }
    let path = format!(
        "{}:{}",
        env.beside("bin").display(),
        std::env::var("PATH").unwrap()
    );
    env.call(&["init"]).env("PATH", path).finish().succeeds();
    assert!(
        env.read("piper.toml").contains(tool),
        "{}",
        env.read("piper.toml")
    );
    env.piper(&["check"]).succeeds().never_says("warning");
    env.piper(&["plan"]).succeeds();
}

#[test]
fn a_project_file_that_is_there_is_not_overwritten() {
    let env = TestEnv::new("[steps]\na = 'true'\n");
    env.piper(&["init"]).exits(2).complains("--force");
    assert_eq!(env.read("piper.toml"), "[steps]\na = 'true'\n");
    env.piper(&["init", "--force"]).succeeds();
    assert_ne!(env.read("piper.toml"), "[steps]\na = 'true'\n");
}

#[test]
fn a_makefile_builds_at_once() {
    if !have(&["make"]) {
        return;
    }
    let env = TestEnv::empty();
    env.write(
        "Makefile",
        "all:\n\t@echo all of it\n\ntest:\n\t@echo tested\n\n.PHONY: all test\n",
    );
    env.piper(&["init"]).succeeds();
    let done = env.piper(&["exec"]).succeeds();
    assert!(done.out().contains("all of it"), "{}", done.out());
}

#[test]
fn tests_that_need_only_python_run_at_once() {
    if !have(&["python3"]) {
        return;
    }
    let env = TestEnv::empty();
    env.write("setup.py", "");
    env.write(
        "test_x.py",
        "import unittest\nclass X(unittest.TestCase):\n    def test(self):\n        open('tested', 'w')\n",
    );
    env.piper(&["init"]).succeeds();
    env.piper(&["exec", "test"]).succeeds();
    assert!(env.path("tested").exists());
}
