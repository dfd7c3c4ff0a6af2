//! The text of a new `piper.toml`.

use super::look::{Found, Part, Step};
use std::fmt::Write as _;

const HEAD: &str = "\
# What there is to build here, and how. `piper plan` shows what would run, `piper exec` runs it.
";

const HELLO: &str = r#"
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
"#;

pub(super) fn file(found: &Found) -> String {
    let mut text = HEAD.to_owned();
    if !found.left_out.is_empty() {
        text.push_str("#\n# Seen, and left out:\n");
    }
    for line in &found.left_out {
        let _ = writeln!(text, "#  * {line}");
    }
    if found.kinds.is_empty() {
        text.push_str(HELLO);
        return text;
    }
    let in_root = || found.kinds.iter().filter(|kind| kind.folder.is_empty());
    if in_root().next().is_some() {
        text.push_str("\n[steps]\n");
    }
    for kind in in_root() {
        for step in &kind.steps {
            let _ = writeln!(text, "{} = {}", step.name, toml_string(&step.run));
        }
    }
    for kind in found.kinds.iter().filter(|kind| !kind.folder.is_empty()) {
        for step in &kind.steps {
            let _ = write!(
                text,
                "\n[steps.{}]\nrun = {}\ncwd = {}\n",
                step.name,
                toml_string(&step.run),
                toml_string(&kind.folder)
            );
        }
    }
    let of = |part: Part| -> Vec<&Step> {
        let steps = found.kinds.iter().flat_map(|kind| &kind.steps);
        steps.filter(|step| step.part == part).collect()
    };
    let (build, test, lint) = (of(Part::Build), of(Part::Test), of(Part::Lint));
    let mut pipeline = |name: &str, about: &str, steps: &[&[&Step]], comment: &str| {
        let names: Vec<String> = steps
            .concat()
            .iter()
            .map(|step| format!("\"{}\"", step.name))
            .collect();
        let _ = write!(
            text,
            "\n{comment}[pipelines.{name}]\nabout = \"{about}\"\nsteps = [{}]\n",
            names.join(", ")
        );
    };
    // `build` is what runs if nothing is named, so there is always one.
    match (build.is_empty(), test.is_empty()) {
        (false, _) => pipeline(
            "build",
            "Compile everything",
            &[&build],
            "# The steps run one after another; an inner list runs side by side.\n",
        ),
        (true, false) => pipeline("build", "Run all tests", &[&test], ""),
        (true, true) => pipeline("build", "Look for mistakes", &[&lint], ""),
    }
    if !build.is_empty() && !test.is_empty() {
        pipeline(
            "test",
            "Compile everything and run all tests",
            &[&build, &test],
            "",
        );
    }
    let is_build = build.is_empty() && test.is_empty();
    if !lint.is_empty() && !is_build {
        pipeline(
            "lint",
            "Look for mistakes without running anything",
            &[&lint],
            "",
        );
    }
    text
}

/// A basic string, or a literal one where that spares backslashes.
fn toml_string(text: &str) -> String {
    if text.contains(['\'', '\n']) || !text.contains(['\\', '"']) {
        format!(
            "\"{}\"",
            text.replace('\\', "\\\\")
                .replace('"', "\\\"")
                .replace('\n', "\\n")
        )
    } else {
        format!("'{text}'")
    }
}
