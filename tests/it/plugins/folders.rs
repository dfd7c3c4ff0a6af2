//! The folders that a step's plugin has beside the workspace: `/out` and `/cache`.

use super::{component, plugin, write_grants};
use crate::support::{Finished, TestEnv};
use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

const ASKS: &str = r#"manifest = 1
name = "odd"
version = "1.0.0"
[[step]]
name = "plan"
role = "planner"
[[step]]
name = "keep"
role = "runner"
[[notifier]]
[[trigger]]
[[webhook]]
verify = "plugin"
[log-sink]
[[permission.files]]
out = true
why = "make a report"
optional = true
[[permission.files]]
cache = true
why = "be fast the next time"
optional = true
"#;

/// A project with one step, which writes both folders; `more` makes another plugin of the same name.
fn project(more: &str) -> TestEnv {
    let env = TestEnv::new("[steps]\na = { uses = \"odd/keep\" }\n");
    put(&env, more);
    env
}

fn put(env: &TestEnv, more: &str) {
    env.write("ci/odd.wasm", component(&format!("{ASKS}{more}")));
    let added = plugin(env, &["add", "./ci/odd.wasm"]);
    own_cache(env, added).succeeds();
}

/// A folder of caches that no other test has.
fn own_cache(env: &TestEnv, call: crate::support::Call) -> Finished {
    call.env("XDG_CACHE_HOME", env.beside("cache")).finish()
}

fn exec(env: &TestEnv) -> Finished {
    own_cache(env, env.call(&["exec", "a"]))
}

fn grant(env: &TestEnv, what: &[&str]) {
    let args = [&["grant", "odd", "--yes"], what].concat();
    own_cache(env, plugin(env, &args)).succeeds();
}

/// The folders that the plugin had as `/cache`.
fn caches(env: &TestEnv) -> Vec<PathBuf> {
    let folder = env.beside("cache").join("piper/plugin-cache/odd");
    let folders = fs::read_dir(folder).into_iter().flatten();
    folders.map(|entry| entry.unwrap().path()).collect()
}

/// All files below a folder that are called like this.
fn files(folder: &Path, name: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path, name));
        } else if path.file_name().is_some_and(|own| own == name) {
            found.push(path);
        }
    }
    found
}

#[test]
fn a_plugin_leaves_artifacts_in_out_and_finds_again_what_it_kept_in_cache() {
    let env = project("");
    grant(&env, &["--files", "out", "--files", "cache"]);
    exec(&env).succeeds().says("kept 0 before\n");
    exec(&env).succeeds().says("kept 1 before\n");
    let caches = caches(&env);
    assert_eq!(caches.len(), 1);
    assert_eq!(fs::metadata(&caches[0]).unwrap().mode() & 0o777, 0o700);
    assert_eq!(fs::read(caches[0].join("kept")).unwrap(), b"xx");
    let made = files(env.beside("").as_path(), "made.txt");
    assert_eq!(made.len(), 2, "one a build: {made:?}");
    assert!(
        made.iter().all(|path| path.ends_with("out/a/sub/made.txt")),
        "{made:?}"
    );
}

#[test]
fn a_folder_that_is_not_granted_is_not_made() {
    let env = project("");
    exec(&env).exits(3).complains("policy.fs");
    assert!(caches(&env).is_empty());
}

#[test]
fn another_plugin_of_the_same_name_finds_nothing_in_its_cache() {
    let env = project("");
    write_grants(
        &env,
        "[policy.project-plugins]\nfiles = { out = true, cache = true }\n",
    );
    exec(&env).succeeds().says("kept 0 before\n");
    fs::remove_file(env.path("piper.lock")).unwrap();
    put(&env, "[[permission.state]]\nwhy = \"x\"\noptional = true\n");
    exec(&env).succeeds().says("kept 0 before\n");
    assert_eq!(caches(&env).len(), 2);
}
