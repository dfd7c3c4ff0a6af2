//! Calling plugins by hand, and trying whether they do what they must.

use super::{plugin, project, write_grants};
use crate::support::{TestEnv, guests};
use serde_json::{Value, json};
use test_case::test_case;

#[test]
fn a_call_answers_with_json() {
    let env = project();
    let args = [
        "call",
        "./odd.wasm",
        "step-runner",
        "--name",
        "echo",
        "--config",
        "{\"a\":1}",
        "--options",
        "-",
    ];
    let done = plugin(&env, &args).input("{\"b\":2}").finish().succeeds();
    let answer: Value = serde_json::from_str(&done.out()).unwrap();
    assert_eq!(answer["status"], "passed");
    assert_eq!(answer["message"], "{\"a\":1} {\"b\":2} {}");
}

/// A project whose plugin has one type of step, called `echo`, and says what its options are.
fn with_a_schema() -> TestEnv {
    let env = TestEnv::new("[steps]\na = 'true'\n");
    let manifest = "manifest = 1\nname = \"odd\"\nversion = \"1.0.0\"\nlicense = \"MIT\"\ndescription = \"Echoes\"\n[[step]]\nname = \"echo\"\nrole = \"runner\"\n";
    let schema = json!({ "step-runner": { "echo": {
        "properties": { "most": { "maximum": 9, "default": 3 } }, "additionalProperties": false,
    } } });
    let component = guests::with_section(guests::odd(), "piper:manifest", manifest);
    let component = guests::with_section(&component, "piper:options-schema", &schema.to_string());
    env.write("odd.wasm", component);
    env
}

#[test]
fn a_call_is_made_with_defaults_and_the_only_name_as_a_build_would() {
    let call = ["call", "./odd.wasm", "step-runner"];
    let done = plugin(&with_a_schema(), &call).finish().succeeds();
    let answer: Value = serde_json::from_str(&done.out()).unwrap();
    assert_eq!(answer["message"], "{} {\"most\":3} {}");
}

#[test_case("{\"most\": 10}", "`most`: 10 is greater than the maximum of 9"; "out of bounds")]
#[test_case("{\"mots\": 1}", "did you mean `most`?"; "a slip")]
fn a_call_that_no_build_would_make_is_refused(options: &str, said: &str) {
    let call = ["call", "./odd.wasm", "step-runner", "--options", options];
    plugin(&with_a_schema(), &call)
        .finish()
        .exits(2)
        .complains("error[P0623]: the options of `./odd.wasm`")
        .complains(said);
}

#[test_case("step-planner", &["--name", "lint"], &json!({"steps": {"lint": {"run": "true"}}}); "a planner")]
#[test_case("notifier", &[], &json!({"undelivered": []}); "a notifier")]
#[test_case("log-sink", &["--input", "[\"a\", \"b\"]"], &json!({"again": [], "rejected": [], "wait_ms": 2}); "a sink")]
fn each_kind_can_be_called(kind: &str, more: &[&str], expected: &Value) {
    let env = project();
    let args = [&["call", "./odd.wasm", kind, "--output", "json"], more].concat();
    let done = plugin(&env, &args).finish().succeeds();
    let line: Value = serde_json::from_str(&done.out()).unwrap();
    assert_eq!(
        (&line["type"], &line["kind"]),
        (&json!("plugin.called"), &json!(kind))
    );
    assert_eq!(&line["answer"], expected, "{line}");
}

#[test]
fn a_call_that_overruns_a_limit_names_the_line_to_change() {
    let env = project();
    plugin(&env, &["add", "odd.wasm"]).finish().succeeds();
    let digest = env.read("piper.lock").split('"').nth(3).unwrap().to_owned();
    write_grants(
        &env,
        &format!(
            "[plugins.odd]\ndigest = \"{digest}\"\nlimits.cpu = \"100ms\"\nconfig = {{ url = \"https://a.example\" }}\n"
        ),
    );
    let done = plugin(&env, &["call", "odd", "step-runner", "--name", "spin"])
        .finish()
        .exits(1);
    done.complains("plugin `odd`: its `run` ended: it computed for more than 100 ms (limit.cpu)")
        .complains("`limits.cpu = \"200ms\"` in `[plugins.odd]` of ")
        .says("");
}

#[test]
fn a_trap_is_told_with_where_and_what_was_said_last() {
    let env = project();
    let done = plugin(
        &env,
        &["call", "./odd.wasm", "step-runner", "--name", "panic"],
    )
    .finish()
    .exits(1);
    done.complains("its `run` ended: it panicked or aborted (plugin.trap)")
        .complains("misbehave")
        .complains("the guest panics on purpose");
}

#[test]
fn a_step_that_failed_is_a_failed_call() {
    let env = project();
    plugin(
        &env,
        &[
            "call",
            "./odd.wasm",
            "step-runner",
            "--name",
            "status failed",
        ],
    )
    .finish()
    .exits(1);
}

#[test_case(&["call", "./odd.wasm"], "is several kinds"; "which kind")]
#[test_case(&["call", "./odd.wasm", "step-runner", "--options", "[1]"], "not a JSON object"; "no object")]
#[test_case(&["call", "./odd.wasm", "step-runner", "--options", "{"], "not JSON"; "no JSON")]
#[test_case(&["call", "./odd.wasm", "notifier", "--input", "1"], "error[P0310]"; "no events")]
#[test_case(&["call", "./odd.wasm", "sink"], "log-sink"; "no kind")]
fn a_wrong_call_says_what_is_right(args: &[&str], said: &str) {
    plugin(&project(), args).finish().exits(2).complains(said);
}

#[test]
fn the_rules_of_every_kind_are_tried() {
    let env = project();
    let done = plugin(&env, &["test", "./odd.wasm", "--output", "json"]).finish();
    let lines: Vec<Value> = done
        .lines()
        .iter()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let (end, rules) = lines.split_last().unwrap();
    assert_eq!(end["type"], "plugin.tested");
    for kind in [
        "step-planner",
        "step-runner",
        "trigger-poll",
        "trigger-webhook",
        "log-sink",
        "log-reader",
        "notifier",
        "config-check",
    ] {
        let of_kind = rules.iter().filter(|rule| rule["kind"] == kind);
        assert!(of_kind.count() >= 7, "{kind}: {}", done.out());
    }
    let told = rules
        .iter()
        .find(|rule| rule["rule"] == "answers an unknown kind of event with success");
    assert_eq!(told.unwrap()["outcome"], "passed", "{}", done.out());
}

#[test]
fn a_plugin_that_traps_fails_its_test_and_is_named() {
    let env = project();
    let manifest = super::MANIFEST.replace("name = \"run\"", "name = \"panic\"");
    env.write("odd.wasm", super::component(&manifest));
    let done = plugin(&env, &["test", "./odd.wasm"]).finish().exits(1);
    assert!(
        done.out().contains("step-runner `panic` answers when it is called as the manifest says\n    plugin `./odd.wasm`: its `run` ended"),
        "{}",
        done.out()
    );
}
