//! The README shows the examples as they are, and they stay small.

use std::{fs, path::Path};
use test_case::test_case;

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path))
        .expect("it is in the checkout")
}

#[test_case("rust-step")]
#[test_case("rust-notifier")]
fn the_readme_has_the_example_and_it_is_small(example: &str) {
    let source = read(&format!("../examples/plugins/{example}/src/lib.rs"));
    let plugin = source
        .split("#[cfg(test)]")
        .next()
        .unwrap_or_default()
        .trim();
    assert!(
        read("README.md").contains(plugin),
        "README.md has another {example}"
    );
    let lines = plugin
        .lines()
        .filter(|line| !line.trim().is_empty())
        .count();
    assert!(lines <= 15, "{example} has {lines} lines");
}
