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
