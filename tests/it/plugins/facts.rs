//! What plugins are told of the call, whatever they are called as.

use super::{cached, component, plugin};
use crate::support::{Finished, TestEnv};
use serde_json::{Value, json};

const MANIFEST: &str = r#"manifest = 1
name = "odd"
version = "1.4.0"
[[step]]
name = "told"
role = "planner"
[[step]]
name = "echo"
role = "runner"
[[notifier]]
name = "told"
[[trigger]]
[[webhook]]
verify = "plugin"
[log-sink]
"#;

fn told(file: &str, args: &[&str]) -> Finished {
    let env = TestEnv::new(file);
    env.write("odd.wasm", component(MANIFEST));
    plugin(&env, &["add", "./odd.wasm"]).finish().succeeds();
    // Its own name, not the one that it has here.
    cached(env.call(args)).finish().succeeds()
}

/// The objects that stand at the end of lines after this.
fn facts(text: &str, after: &str) -> Vec<Value> {
    let said = text.lines().filter_map(|line| line.split_once(after));
    let facts = said
        .map(|(_, said)| said)
        .filter(|said| said.starts_with('{'));
    facts
        .map(|facts| serde_json::from_str(facts).unwrap())
        .collect()
}

/// That each of them has what every call is told.
fn have_common(facts: &[Value]) {
    for told in facts {
        let expected = json!({ "name": "odd", "version": "1.4.0" });
        assert_eq!(told["plugin"], expected, "{told}");
        assert_eq!(
            told["piper"]["version"],
            env!("CARGO_PKG_VERSION"),
            "{told}"
        );
    }
}

#[test]
fn a_runner_is_told_who_meets() {
    let done = told("[steps]\na = { uses = \"odd/echo\" }\n", &["exec", "a"]);
    let facts = facts(&done.out(), "{} {} ");
    have_common(&facts);
    assert_eq!(facts[0]["step"]["path"], "a");
}

#[test]
fn a_planner_and_a_check_are_told_who_meets() {
    let done = told("[steps]\na = { uses = \"odd/told\" }\n", &["plan", "a"]);
    let [check, plan] = &facts(&done.err(), "odd │ ")[..] else {
        panic!("{}", done.err())
    };
    have_common(&[check.clone(), plan.clone()]);
    assert_eq!(check.as_object().unwrap().len(), 2, "nothing else: {check}");
    assert_eq!(plan["step"]["path"], "a");
}

#[test]
fn a_notifier_is_told_who_meets() {
    let file = "[steps]\na = 'true'\n[pipelines]\nbuild = { steps = [\"a\"] }\n[notify.team]\nuses = \"odd/told\"\non = [\"always\"]\n";
    let done = told(file, &["exec", "--notify"]);
    let facts = facts(&done.err(), "odd │ ");
    have_common(&facts);
    assert_eq!(facts.last().unwrap()["rule"]["name"], "team");
}
