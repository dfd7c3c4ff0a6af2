use super::*;
use crate::{
    plan::cell_text,
    project::{RetryOn, WhenStatus},
};
use proptest::prelude::*;
use std::time::Duration;
use test_case::test_case;

const PROJECT: &str = r#"
[params]
level = "3"
[steps]
first = "true"
side = "true"
last = "true"
[steps.outer]
uses = "planner"
env = { A = "1" }
cwd = "web"
timeout = "1m"
retry = { max = 2, on = ["exit"] }
secrets = ["TOKEN"]
[pipelines.list]
steps = ["first", "outer", "last"]
shell = ["bash", "-c"]
[pipelines.group]
steps = ["first", ["side", "outer"], "last"]
[plugins.other]
use = "./other.wasm"
"#;

fn source(text: &str) -> Arc<Source> {
    Arc::new(Source {
        path: "piper.toml".into(),
        text: text.to_owned(),
    })
}

/// The plan of `target`, in which each use of a plugin of `answers` is expanded.
fn expanded_of(text: &str, target: &str, answers: &[(&str, &str)]) -> Result<Plan, Vec<Problem>> {
    let source = source(text);
    let loaded = pipeline::load(Arc::clone(&source));
    assert_eq!(loaded.problems, []);
    let project = loaded.project.unwrap();
    let request = Request {
        target: Some(target.to_owned()),
        ..Request::default()
    };
    let plan = resolve(&project, &request, "p").unwrap().remove(0);
    expand(&project, &source, plan, |_, call| {
        let uses = call.uses.to_string();
        let answer = answers.iter().find(|(name, _)| *name == uses);
        Ok(answer.map(|(_, answer)| (*answer).to_owned()))
    })
}

fn expanded(target: &str, answer: &str) -> Plan {
    expanded_of(PROJECT, target, &[("planner", answer)]).unwrap()
}

/// Each step with all that it waits for.
fn order(plan: &Plan) -> Vec<String> {
    let label = |step: StepIx| plan.steps[step.index()].label.as_str();
    let steps = plan.steps.iter();
    steps
        .map(|step| {
            let waits: Vec<&str> = step.waits_on().map(label).collect();
            format!("{}: {}", step.label, waits.join(" "))
        })
        .collect()
}

const TWO: &str = r#"{"steps": {"z": "make z", "a": {"run": "make a"}}}"#;

#[test]
fn planned_steps_stand_in_the_list_where_their_planner_stood() {
    assert_eq!(
        order(&expanded("list", TWO)),
        [
            "first: ",
            "outer/z: first",
            "outer/a: first outer/z",
            "last: first outer/z outer/a"
        ]
    );
}

#[test]
fn planned_steps_wait_for_nobody_for_whom_their_planner_does_not_wait() {
    assert_eq!(
        order(&expanded("group", TWO)),
        [
            "first: ",
            "side: first",
            "outer/z: first",
            "outer/a: first outer/z",
            "last: first side outer/z outer/a"
        ]
    );
}

#[test]
fn needs_are_among_planned_steps_and_those_of_the_planner_come_first() {
    let text = r#"
        [steps]
        first = "true"
        side = "true"
        outer = { uses = "planner", needs = ["side"] }
        user = { run = "true", needs = ["outer"] }
        [pipelines.needs]
        steps = ["first", "side", "outer", "user"]
    "#;
    let answer = r#"{"steps": {
        "a": "x",
        "b": {"run": "x", "needs": []},
        "c": {"run": "x", "needs": ["a"]}
    }}"#;
    let plan = expanded_of(text, "needs", &[("planner", answer)]).unwrap();
    assert_eq!(
        order(&plan),
        [
            "first: ",
            "side: first",
            "outer/a: side",
            "outer/b: side",
            "outer/c: side outer/a",
            "user: outer/a outer/b outer/c"
        ]
    );
}

#[test]
fn a_planner_that_plans_nothing_is_left_out_and_the_order_stays() {
    let plan = expanded("list", r#"{"steps": {}}"#);
    assert_eq!(order(&plan), ["first: ", "last: first"]);
}

#[test]
fn what_the_outer_step_says_holds_for_planned_steps_that_say_nothing() {
    let answer = r#"{"steps": {
        "plain": "make",
        "own": {"run": "make", "cwd": "own", "timeout": "5s", "retry": 1, "secrets": ["TOKEN"],
                "env": {"A": "2", "B": {"param": "level"}}, "shell": ["sh", "-c"]}
    }}"#;
    let plan = expanded("list", answer);
    let [_, plain, own, _] = plan.steps.as_slice() else {
        panic!("{:?}", order(&plan))
    };
    assert_eq!(plain.step.as_str(), "outer");
    assert_eq!(plain.cwd.as_deref(), Some("web"));
    assert_eq!(plain.timeout, Some(Duration::from_secs(60)));
    assert_eq!(plain.retry.on, [RetryOn::Exit]);
    assert_eq!(plain.secrets, <[String; 0]>::default());
    assert_eq!(plain.command.argv()[..2], ["bash", "-c"]);
    assert_eq!(own.cwd.as_deref(), Some("own"));
    assert_eq!(own.timeout, Some(Duration::from_secs(5)));
    assert_eq!(own.retry.max, 1);
    assert_eq!(own.secrets, ["TOKEN"]);
    assert_eq!(own.command.argv()[..2], ["sh", "-c"]);
    let env = |name: &str| {
        own.env
            .iter()
            .find(|(own, _)| own == name)
            .unwrap()
            .1
            .clone()
    };
    assert_eq!((env("A"), env("B")), ("2".into(), "3".into()));
}

#[test]
fn a_planned_step_may_have_cells_and_its_planners_cells_too() {
    let text = PROJECT.replace(
        "uses = \"planner\"",
        "uses = \"planner\"\nmatrix.os = [\"a b\", \"c\"]",
    );
    let answer = r#"{"steps": {"x": {"argv": ["make", {"matrix": "os"}, {"matrix": "n"}], "matrix": {"n": [1, 2]}}}}"#;
    let plan = expanded_of(&text, "list", &[("planner", answer)]).unwrap();
    let labels: Vec<&str> = plan.steps.iter().map(|step| step.label.as_str()).collect();
    assert_eq!(labels[1], "outer[os=a%20b]/x[n=1]");
    assert_eq!(labels[4], "outer[os=c]/x[n=2]");
    assert_eq!(plan.steps[1].command.argv(), ["make", "a b", "1"]);
    assert_eq!(cell_text(&plan.steps[4].cell), "os=c,n=2");
    assert!(
        plan.steps[4]
            .env
            .contains(&("PIPER_MATRIX_OS".into(), "c".into()))
    );
}

#[test]
fn a_when_of_the_outer_step_is_that_of_all_its_steps() {
    let text = PROJECT.replace(
        "uses = \"planner\"",
        "uses = \"planner\"\nwhen = \"always\"",
    );
    let plan = expanded_of(&text, "list", &[("planner", TWO)]).unwrap();
    let status = plan.steps[1..3].iter().map(|step| step.when.status);
    assert!(status.eq([WhenStatus::Always; 2]));
}

#[test]
fn a_planner_calls_itself_self_and_other_plugins_by_their_names() {
    let answers = [
        (
            "planner",
            r#"{"steps": {"own": {"uses": "self/inner", "with": {"n": 1}}, "other": {"uses": "other"}}}"#,
        ),
        ("planner/inner", r#"{"steps": {"deep": "make deep"}}"#),
    ];
    let plan = expanded_of(PROJECT, "list", &answers).unwrap();
    let labels: Vec<&str> = plan.steps.iter().map(|step| step.label.as_str()).collect();
    assert_eq!(labels, ["first", "outer/own/deep", "outer/other", "last"]);
    let Command::Plugin(call) = &plan.steps[2].command else {
        panic!("it is no planner's")
    };
    assert_eq!(
        call.declared
            .as_ref()
            .map(|plugin| plugin.source.to_string()),
        Some("./other.wasm".into())
    );
}

#[test_case("nonsense", "is not {\"steps\""; "not JSON")]
#[test_case("[]", "is not {\"steps\": {NAME: table}}: it is a list"; "a list")]
#[test_case(r#"["a"]"#, ": it is a list"; "a list of one")]
#[test_case("null", ": it is null"; "nothing")]
#[test_case("{}", ": it has no `steps`"; "no steps")]
#[test_case(r#"{"steps": []}"#, "is not {\"steps\": {NAME: table}}: its `steps` is a list"; "a list of steps")]
#[test_case(r#"{"steps": "a"}"#, ": its `steps` is a string"; "a string for steps")]
#[test_case(r#"{"steps": {"a": []}}"#, "step `a` must be a script or a table, not a list"; "a list for a step")]
#[test_case(r#"{"steps": {"a": "x", "b": "y", "a": "z"}}"#, "\"a\" stands twice"; "one name for two")]
#[test_case(r#"{"steps": {"a": {"env": [{"A": "1", "A": "2"}], "run": "x"}}}"#, "\"A\" stands twice"; "one key for two, further in")]
#[test_case(r#"{"steps": {"a": null}}"#, "null in the step \"a\""; "null")]
#[test_case(r#"{"steps": {"a b": "x"}}"#, "cannot be the name of a step"; "name")]
#[test_case(r#"{"steps": {"a": {"run": "x", "timout": "1s"}}}"#, "unknown key `timout`"; "unknown key")]
#[test_case(r#"{"steps": {"a": {"run": "x", "needs": ["first"]}}}"#, "which is not a step"; "a need outside")]
#[test_case(r#"{"steps": {"a": {"argv": ["x", {"param": "nope"}]}}}"#, "`nope`"; "undeclared parameter")]
#[test_case(r#"{"steps": {"a": {"run": "x", "secrets": ["OTHER"]}}}"#, "wants the secret `OTHER`"; "secret")]
#[test_case(r#"{"steps": {"a": {"uses": "planner"}}}"#, "again and again"; "itself")]
#[test_case(r#"{"steps": {"a": {"run": "x", "matrix": {"m": [1,2,3,4,5,6,7,8,9,10,11], "n": [1,2,3,4,5,6,7,8,9,10], "o": [1,2,3,4,5,6,7,8,9]}}, "b": {"run": "x", "matrix": {"m": [1,2,3,4,5,6,7,8,9,10,11]}}}}"#, "1000 are the most"; "too many")]
fn an_answer_that_cannot_be_used_is_shown_at_the_uses_of_its_step(answer: &str, what: &str) {
    let problems = expanded_of(PROJECT, "list", &[("planner", answer)]).unwrap_err();
    let [problem] = problems.as_slice() else {
        panic!("{problems:?}")
    };
    assert!(problem.message.contains(what), "{}", problem.message);
    assert!(problem.message.contains("`planner`"), "{}", problem.message);
    let at = problem.at.as_ref().unwrap();
    assert_eq!(&at.source.text[at.bytes.clone()], "\"planner\"");
}

#[test]
fn a_planned_step_that_needs_one_of_the_file_is_told_what_helps() {
    let answer = r#"{"steps": {"a": {"run": "x", "needs": ["first"]}}}"#;
    let problems = expanded_of(PROJECT, "list", &[("planner", answer)]).unwrap_err();
    let help = problems[0].help.join("\n");
    assert!(help.contains("the step with the `uses` needs"), "{help}");
}

#[test]
fn a_when_in_both_places_is_a_problem() {
    let text = PROJECT.replace(
        "uses = \"planner\"",
        "uses = \"planner\"\nwhen = \"always\"",
    );
    let answer = r#"{"steps": {"a": {"run": "x", "when": "failure"}}}"#;
    let problems = expanded_of(&text, "list", &[("planner", answer)]).unwrap_err();
    assert!(problems[0].message.contains("has a `when`"));
}

proptest! {
    /// Whatever a planner puts into a text reaches the step as it is, and is never read as anything else.
    #[test]
    fn a_text_of_an_answer_stays_a_text(script in "\\PC{0,20}[\"'\\\\\u{7f}\u{1}\n\t]{0,3}[a-z]", name in "[a-z]{1,5}") {
        let answer = serde_json::json!({ "steps": { (name.clone()): { "argv": [script] } } });
        let plan = expanded("list", &answer.to_string());
        prop_assert_eq!(plan.steps[1].command.argv(), [script.as_str()]);
    }

    #[test]
    fn no_answer_makes_it_panic(answer in "\\{\"steps\": \\{(\"[a-c ]\": (\"x\"|\\{\"(run|argv|uses|needs|matrix)\": (\"[a-c/]{1,3}\"|\\[\"[a-c]\"\\])\\}),?){0,3}\\}\\}") {
        let _ = expanded_of(PROJECT, "group", &[("planner", &answer)]);
    }
}
