//! What `piper plugin test` says of plugins that do what they must, and of those that do not.

use super::{component, plugin};
use crate::support::TestEnv;
use serde_json::Value;
use test_case::test_case;

const AGAIN: &str = "does the same when it is called again and again";
const CANCELLED: &str = "ends soon when it is cancelled";

/// What came of a rule for a plugin that is one thing, as its manifest calls it.
fn judged(role: &str, name: &str, rule: &str) -> (String, String) {
    let env = TestEnv::empty();
    let manifest = format!(
        "manifest = 1\nname = \"odd\"\nversion = \"1.0.0\"\n[[step]]\nname = \"{name}\"\nrole = \"{role}\"\n"
    );
    env.write("odd.wasm", component(&manifest));
    let done = plugin(&env, &["test", "./odd.wasm", "--output", "json"]).finish();
    let rules = done.lines();
    let found = rules
        .iter()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .find(|line| line["name"] == name && line["rule"] == rule)
        .unwrap_or_else(|| panic!("{} {}", done.out(), done.err()));
    let text = |key: &str| found[key].as_str().unwrap_or_default().to_owned();
    (text("outcome"), text("reason"))
}

#[test_case("runner", "hello", "passed", ""; "a step that does the same")]
#[test_case("runner", "dice", "failed", "it answered `{\"outputs\":{\"thrown\":"; "a step that throws dice")]
#[test_case("planner", "world", "passed", ""; "a planner that looks at a clock that stands still")]
fn what_is_called_again_does_the_same(role: &str, name: &str, outcome: &str, reason: &str) {
    let (what, why) = judged(role, name, AGAIN);
    assert_eq!(what, outcome, "{why}");
    assert!(why.starts_with(reason), "{why}");
}

#[test_case("nap", "passed", ""; "one that waits and ends")]
#[test_case("hello", "skipped", "it ended by itself within 5 ms"; "one that has ended before")]
fn who_is_cancelled_ends_soon(name: &str, outcome: &str, reason: &str) {
    let (what, why) = judged("runner", name, CANCELLED);
    assert_eq!(what, outcome, "{why}");
    assert!(why.starts_with(reason), "{why}");
}

#[test]
fn a_plan_that_no_build_could_run_fails_test_and_call_as_it_fails_exec() {
    let rule = "plans steps that can be built";
    assert_eq!(judged("planner", "lint", rule).0, "passed");
    let (what, why) = judged("planner", "world", rule);
    let expected =
        "the plan of `odd` for step `planned` cannot be used: it is not {\"steps\": {NAME: table}}";
    assert_eq!(what, "failed", "{why}");
    assert!(why.starts_with(expected), "{why}");

    let env = TestEnv::empty();
    env.write("odd.wasm", component(super::MANIFEST));
    let call = |plan: &str| {
        let args = ["call", "./odd.wasm", "step-planner", "--name", "everything"];
        plugin(&env, &[&args[..], &["--options", plan]].concat()).finish()
    };
    call(r#"{"steps": {"a": {"run": "x"}, "b": {"run": "x", "needs": ["a"]}}}"#).succeeds();
    call(r#"{"steps": {"a b": {"run": "x"}, "c": {"run": "x", "needs": ["d"]}}}"#)
        .exits(1)
        .complains("error[P0105]: the plan of `odd` for step `planned`: ")
        .complains("error[P0201]: the plan of `odd` for step `planned`: ");
}

#[test]
fn what_a_test_did_not_see_is_counted_and_how_to_see_it_is_said() {
    let env = TestEnv::empty();
    let manifest = "manifest = 1\nname = \"odd\"\nversion = \"1.0.0\"\n[[step]]\nname = \"everything\"\nrole = \"runner\"\n";
    // Only what the step does counts here, not that the guest is more than its manifest says.
    env.write("odd.wasm", component(manifest));
    let done = plugin(&env, &["test", "./odd.wasm"]).finish();
    assert!(
        done.out().contains("step-runner `everything` answers when it is called as the manifest says\n    as far as it came: it was refused builds, commands, files, mail, repositories, requests, secrets, state\n"),
        "{}",
        done.out()
    );
    done.complains(" of them only as far as its permissions: ")
        .complains("`piper plugin grant` and `piper exec`");
    let (what, _) = judged("runner", "everything", AGAIN);
    assert_eq!(what, "refused");
    let (what, _) = judged("runner", "hello", AGAIN);
    assert_eq!(what, "passed");
}
