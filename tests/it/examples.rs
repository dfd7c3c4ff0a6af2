//! Every project under `examples/` builds, from a copy, as a new user would build it.

use crate::support::{TestEnv, have};
use std::{
    fs,
    path::{Path, PathBuf},
};

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples")
}

/// What was built in the original must not be part of the copy.
fn copy(from: &Path, env: &TestEnv, below: &str) {
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        let to = format!("{below}{name}");
        if entry.file_type().unwrap().is_dir() {
            if name != "target" && name != "node_modules" {
                copy(&entry.path(), env, &format!("{to}/"));
            }
        } else {
            fs::create_dir_all(env.path(&to).parent().unwrap()).unwrap();
            fs::copy(entry.path(), env.path(&to)).unwrap();
        }
    }
}

fn example(name: &str) -> TestEnv {
    let env = TestEnv::empty();
    copy(&examples().join(name), &env, "");
    env.piper(&["check"]).succeeds().never_says("warning");
    env
}

#[test]
fn every_example_has_its_test() {
    let mut names: Vec<String> = fs::read_dir(examples())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        // Projects of others, fetched from their registries: its own script `run` tries them.
        .filter(|name| name != "elsewhere")
        // Crates with tests of their own, and plugins in other languages.
        .filter(|name| name != "plugins")
        .collect();
    names.sort();
    assert_eq!(names, ["c", "hello", "monorepo", "node", "rust"]);
}

#[test]
fn hello_greets_and_counts() {
    let env = example("hello");
    env.piper(&["exec"])
        .succeeds()
        .says("hello, world\nworld has 5 letters\n");
    env.piper(&["exec", "greet", "name=Ada"])
        .succeeds()
        .says("hello, Ada\n");
}

#[test]
fn the_c_project_compiles_and_is_checked() {
    if !have(&["make", "cc"]) {
        return;
    }
    let env = example("c");
    env.piper(&["exec"]).succeeds();
    assert!(env.path("greet").exists());
    env.piper(&["exec", "clean"]).succeeds();
    assert!(!env.path("greet").exists());
}

#[test]
fn the_rust_project_compiles_is_tested_and_runs_without_a_network() {
    let env = example("rust");
    env.piper(&["exec"]).succeeds();
    env.piper(&["exec", "run", "--", "Ada"]).succeeds();
}

#[test]
fn the_node_project_is_checked_and_tested() {
    if have(&["node", "npm"]) {
        example("node").piper(&["exec"]).succeeds();
    }
}

#[test]
fn the_monorepo_builds_every_package_and_releases_only_on_demand() {
    let env = example("monorepo");
    let done = env.piper(&["exec", "--output", "json"]).succeeds();
    let events = done.events();
    for package in ["shared", "api", "web"] {
        assert_eq!(
            events.outcome(&format!("test[package={package}]")),
            "succeeded"
        );
    }
    assert_eq!(events.outcome("release"), "skipped");
    let done = env.piper(&["exec", "stage=test"]).succeeds();
    assert!(done.out().contains("releasing to test"), "{}", done.out());
}
