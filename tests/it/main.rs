//! The whole program from outside: what a person at a terminal, a script or a signal sees of `piper`.
//!
//! Every test has its own project, home and state folders and starts the real binary; nothing here reaches into the library.
//! Rules that can fail on a lower level are tested there: here stands what only the joined parts can get wrong.

#![expect(
    clippy::disallowed_methods,
    reason = "these tests are outside of piper: they start it and look at the clock on the wall"
)]
#![expect(
    clippy::unwrap_used,
    reason = "the lint knows test functions, but not the functions that they share"
)]

mod cli;
mod engine;
mod examples;
mod plugins;
mod support;

use std::{fs, path::Path};

/// A file that no `mod` names is compiled by nobody and fails never.
#[test]
fn no_test_file_is_forgotten() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/it");
    let mut folders = vec![(
        here.clone(),
        fs::read_to_string(here.join("main.rs")).unwrap(),
    )];
    while let Some((folder, index)) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_stem().unwrap().to_str().unwrap();
            if name == "main" || name == "mod" {
                continue;
            }
            assert!(
                index.contains(&format!("mod {name};")),
                "{} is in no module list",
                path.display()
            );
            if path.is_dir() {
                let index = fs::read_to_string(path.join("mod.rs")).unwrap();
                folders.push((path, index));
            }
        }
    }
}
