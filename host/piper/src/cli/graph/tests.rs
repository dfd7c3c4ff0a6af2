//! What the drawings look like, and that their readers accept them.

use super::*;
use crate::{cli::sample, tools::have, ui::style::Style};
use std::{
    io::Write as _,
    process::{Command, Stdio},
};

fn tangled() -> Project {
    let mut project = sample::project();
    let needs = |names: &[&str]| Some(names.iter().map(|name| sample::step_name(name)).collect());
    for (name, on) in [
        ("docs", needs(&[])),
        ("a", None),
        ("b", needs(&["fmt"])),
        ("pack", None),
    ] {
        let mut step = sample::run("true");
        step.needs = on;
        project.steps.insert(sample::step_name(name), step);
    }
    project.pipelines[0] =
        sample::pipeline(&[&["fmt"], &["docs"], &["unit-prep"], &["a", "b"], &["pack"]]);
    project
        .steps
        .insert(sample::step_name("unit-prep"), sample::run("x"));
    project
}

fn plan(project: &Project) -> Plan {
    structure(project, None, "x").unwrap_or_else(|error| panic!("{error:?}"))
}

#[test]
fn a_pipeline_is_drawn_layer_by_layer() {
    insta::assert_snapshot!(draw::text(&plan(&sample::project()), Style::new(false, true)), @r#"
    build
    ├── fmt
    ├── compile
    ├─┬ unit[rust=1.80]
    │ ├ unit[rust=1.95]
    │ └ lint             may fail
    └── report           always
    "#);
}

#[test]
fn arrows_say_who_does_not_wait_for_all() {
    insta::assert_snapshot!(draw::text(&plan(&tangled()), Style::new(false, true)), @r#"
    build
    ├─┬ fmt
    │ └ docs
    ├─┬ unit-prep
    │ └ b          ← fmt
    ├── a          ← unit-prep
    └── pack

    ← waits for these and what they wait for; without an arrow, for everything above its bracket
    "#);
}

#[test]
fn mermaid_escapes_what_its_grammar_reads() {
    let mut project = sample::project();
    project.steps["unit"].matrix = Some(sample::matrix("x", &["\"a\"`;<b>"]));
    insta::assert_snapshot!(draw::mermaid(&plan(&project)), @r#"
    flowchart LR
      n0["fmt"]
      n1["compile"]
      n2["unit[x=#34;a#34;#96;#59;#60;b#62;]"]
      n3["lint"]
      n4["report"]
      n0 --> n1
      n1 --> n2
      n1 --> n3
      n2 --> n4
      n3 --> n4
    "#);
}

#[test]
fn dot_leaves_out_edges_that_follow_from_others() {
    insta::assert_snapshot!(draw::dot(&plan(&sample::project())), @r#"
    digraph "build" {
      rankdir=LR;
      node [shape=box, style=rounded];
      n0 [label="fmt"];
      n1 [label="compile"];
      n2 [label="unit[rust=1.80]"];
      n3 [label="unit[rust=1.95]"];
      n4 [label="lint", style="rounded,dashed"];
      n5 [label="report"];
      n0 -> n1;
      n1 -> n2;
      n1 -> n3;
      n1 -> n4;
      n2 -> n5;
      n3 -> n5;
      n4 -> n5;
    }
    "#);
}

#[test]
fn graphviz_accepts_the_drawing() {
    if !have(&["dot"]) {
        return;
    }
    let mut project = tangled();
    let unit = project.steps.get_mut("a").unwrap();
    unit.matrix = Some(sample::matrix(
        "x",
        &["\"", "\\", "\\\"", "<b>", "a\nb", "->"],
    ));
    #[expect(clippy::disallowed_methods, reason = "the test asks Graphviz itself")]
    let dot = Command::new("dot")
        .arg("-Tplain")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    let mut dot = dot.unwrap();
    let text = draw::dot(&plan(&project));
    dot.stdin
        .take()
        .unwrap()
        .write_all(text.as_bytes())
        .unwrap();
    let output = dot.wait_with_output().unwrap();
    assert!(output.status.success(), "{text}");
    let nodes = output
        .stdout
        .split(|&byte| byte == b'\n')
        .filter(|line| line.starts_with(b"node "));
    assert_eq!(nodes.count(), plan(&project).steps.len());
}

#[test]
fn a_required_parameter_does_not_hide_the_structure() {
    let mut project = sample::project();
    for param in project.pipelines[0].params.values_mut() {
        param.default = None;
    }
    assert_eq!(plan(&project).steps.len(), 6);
}

#[test]
fn a_list_of_100_000_steps_is_drawn_with_one_edge_each() {
    let mut project = Project::default();
    let names: Vec<String> = (0..100_000).map(|n| format!("s{n}")).collect();
    for name in &names {
        project
            .steps
            .insert(sample::step_name(name), sample::run("true"));
    }
    let slots: Vec<[&str; 1]> = names.iter().map(|name| [name.as_str()]).collect();
    let slots: Vec<&[&str]> = slots.iter().map(|slot| slot.as_slice()).collect();
    let name = piper_core::id::PipelineName::parse("build").unwrap();
    project.pipelines.insert(name, sample::pipeline(&slots));
    let plan = plan(&project);
    assert_eq!(draw::dot(&plan).matches("->").count(), 99_999);
    assert_eq!(
        draw::text(&plan, Style::new(false, true)).lines().count(),
        100_001
    );
}
