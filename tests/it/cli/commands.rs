//! Commands that run nothing: check, list, plan, graph, schema, explain, completions.

use crate::support::{Call, TestEnv};
use serde_json::Value;
use std::path::Path;
use test_case::test_case;

const PROJECT: &str = "[project]
name = 'shop'
[steps]
compile = { run = 'touch ran', about = 'Compile it' }
unit = 'touch ran'
lint = { argv = ['touch', 'ran'], needs = [] }
[pipelines.build]
about = 'All of it'
steps = ['compile', ['unit', 'lint']]
params.profile = { default = 'debug', choices = ['debug', 'release'] }
";

#[test_case(&["check"], ""; "check")]
#[test_case(&["list"], "Compile it"; "list")]
#[test_case(&["list", "--params"], "profile"; "parameters")]
#[test_case(&["plan"], "touch ran"; "plan")]
#[test_case(&["plan", "unit"], "unit"; "plan of a step")]
#[test_case(&["graph"], "lint"; "graph")]
#[test_case(&["graph", "--format", "dot"], "digraph"; "dot")]
#[test_case(&["graph", "--format", "mermaid"], "flowchart"; "mermaid")]
#[test_case(&["export"], "#!/bin/sh"; "export")]
#[test_case(&["schema"], "idle-timeout"; "schema")]
#[test_case(&["explain"], "P0107"; "all codes")]
#[test_case(&["explain", "P0107"], "P0107"; "one code")]
#[test_case(&["completions", "bash"], "piper"; "bash")]
#[test_case(&["completions", "zsh"], "piper"; "zsh")]
#[test_case(&["completions", "fish"], "piper"; "fish")]
fn a_command_that_looks_answers_on_stdout_and_runs_nothing(args: &[&str], said: &str) {
    let env = TestEnv::new(PROJECT);
    let done = env.piper(args).succeeds();
    assert!(done.out().contains(said), "{}", done.out());
    assert!(!env.path("ran").exists());
    assert!(
        !env.beside("state").join("piper").exists(),
        "nothing is kept of it"
    );
}

#[test_case(&["check", "--output", "json"])]
#[test_case(&["list", "--output", "json"])]
#[test_case(&["plan", "--output", "json"])]
#[test_case(&["schema"])]
fn an_answer_for_programs_is_json(args: &[&str]) {
    let env = TestEnv::new(PROJECT);
    let done = env.piper(args).succeeds();
    let values: Result<Vec<Value>, _> = serde_json::Deserializer::from_slice(&done.stdout)
        .into_iter()
        .collect();
    values.unwrap_or_else(|error| panic!("{error}: {}", done.out()));
}

#[test]
fn check_reports_every_problem_of_the_file_with_its_place() {
    let env = TestEnv::new(
        "[steps]\na = { run = 'x', timout = '1s' }\nb = { run = 'x', needs = ['c'] }\n[pipelines]\np = { steps = ['a', 'nope'] }\n",
    );
    let done = env
        .piper(&["check"])
        .exits(2)
        .complains("piper.toml:2:")
        .complains("piper.toml:5:");
    done.complains("`timeout`").complains("piper explain P0");
    env.write("piper.toml", [0xff, 0xfe, b'\n']);
    env.piper(&["check"]).exits(2).complains("piper.toml");
    std::fs::remove_file(env.path("piper.toml")).unwrap();
    std::fs::create_dir(env.path("piper.toml")).unwrap();
    env.piper(&["check"]).exits(2).complains("piper.toml");
}

#[test]
fn the_schema_accepts_the_project_and_refuses_a_mistyped_key() {
    let env = TestEnv::new(PROJECT);
    let schema: Value = serde_json::from_slice(&env.piper(&["schema"]).succeeds().stdout).unwrap();
    let schema = jsonschema::validator_for(&schema).unwrap();
    let value = |text: &str| -> Value { toml::from_str(text).unwrap() };
    assert!(schema.is_valid(&value(PROJECT)));
    assert!(!schema.is_valid(&value("[steps.a]\nrun = 'x'\ntimout = '1s'\n")));
}

#[test]
fn bash_completes_what_the_project_has() {
    let env = TestEnv::new(PROJECT);
    let script = r#"
        eval "$(piper completions bash)"
        COMP_WORDS=(piper exec '') COMP_CWORD=2 COMP_LINE='piper exec ' COMP_POINT=11
        _piper piper '' exec
        printf '%s\n' "${COMPREPLY[@]}"
    "#;
    let bin = Path::new(env!("CARGO_BIN_EXE_piper")).parent().unwrap();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let call = Call::of(&env, "/bin/bash".as_ref()).args(&["-c", script]);
    let done = call.env("PATH", path).finish().succeeds();
    let words: Vec<String> = done
        .lines()
        .iter()
        .map(|line| line.trim().to_owned())
        .collect();
    for word in ["build", "lint", "unit"] {
        assert!(words.iter().any(|own| own == word), "{words:?}");
    }
}

#[test]
fn a_plan_without_a_project_says_where_it_looked() {
    let env = TestEnv::empty();
    for command in ["plan", "list", "check", "graph", "export", "exec"] {
        env.piper(&[command])
            .exits(2)
            .says("")
            .complains("piper init");
    }
}

#[test]
fn a_plugin_is_listed_and_planned() {
    let env = TestEnv::new(
        "[steps]\nreport = { uses = 'junit', with = { files = 'a.xml' } }\n[pipelines]\nbuild = { steps = ['report'] }\n",
    );
    let listed = env.piper(&["list"]).succeeds();
    assert!(
        listed.out().contains("junit files=\"a.xml\""),
        "{}",
        listed.out()
    );
    let planned = env.piper(&["plan"]).succeeds();
    assert!(planned.out().contains("plugin junit"), "{}", planned.out());
}

#[test_case(&["exec", "nope"], "P0301"; "an unknown name")]
#[test_case(&["logs", "bbbbbbb"], "P0306"; "an unknown build")]
fn a_refusal_is_told_to_programs_too(args: &[&str], code: &str) {
    let env = TestEnv::sequence(&[("a", "true")]);
    let done = env.piper(&[args, &["--output", "json"]].concat()).exits(2);
    let lines = done.lines();
    let line: serde_json::Value = serde_json::from_str(&lines[0]).unwrap();
    assert_eq!(lines.len(), 1);
    assert_eq!(
        (&line["type"], &line["code"]),
        (&"problem".into(), &code.into())
    );
    done.complains(code);
}

#[test_case(&["--output", "json", "exec", "-j", "0"], "'0' for '--jobs"; "a value that cannot be")]
#[test_case(&["exec", "--output=json", "--bogus"], "'--bogus'"; "no such option")]
#[test_case(&["--output", "json", "exce"], "'exce'"; "no such command")]
fn a_wrong_command_line_is_told_to_programs_too(args: &[&str], said: &str) {
    let env = TestEnv::sequence(&[("a", "true")]);
    let done = env.piper(args).exits(2).complains(said);
    let line: serde_json::Value = serde_json::from_str(&done.lines()[0]).unwrap();
    assert_eq!(
        (&line["type"], &line["code"]),
        (&"problem".into(), &"P0320".into())
    );
    assert!(line["message"].as_str().unwrap().contains(said), "{line}");
    let plain = env.piper(&["exec", "--bogus", "--", "--output", "json"]);
    assert_eq!(
        plain.exits(2).out(),
        "",
        "what stands behind -- is not piper's"
    );
}

#[test]
fn a_code_is_explained_to_programs_too() {
    let env = TestEnv::empty();
    for args in [
        &["explain", "P0107"][..],
        &["explain"],
        &["explain", "limit.cpu"],
    ] {
        let done = env
            .piper(&[args, &["--output", "json"]].concat())
            .succeeds();
        for line in done.lines() {
            let object: serde_json::Value = serde_json::from_str(&line).unwrap();
            assert_eq!(object["type"], "code");
            assert!(!object["text"].as_str().unwrap().is_empty(), "{line}");
        }
    }
}

#[test_case("plan"; "in the plan")]
#[test_case("list"; "in the list")]
fn words_are_shown_as_somebody_could_type_them(command: &str) {
    let env = TestEnv::new(
        "[steps]\nshow = { argv = [\"printf\", \"[%s]\\n\", \"it's\"] }\n[pipelines]\nbuild = { steps = ['show'] }\n",
    );
    let done = env.piper(&[command]).succeeds();
    let typed = r"printf $'[%s]\n' 'it'\''s'";
    assert!(done.out().contains(typed), "{}", done.out());
}
