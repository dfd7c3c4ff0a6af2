use super::*;
use crate::{
    id::BuildId,
    pipeline,
    plan::{Request, resolve},
    problem::Source,
    record::BuildEnd,
    wire::v1::Counts,
};
use serde_json::json;
use std::{sync::Arc, time::Duration};
use test_case::test_case;

const GOOD: Outcome = Outcome::Succeeded;
const BAD: Outcome = Outcome::Failed;

#[test_case(GOOD, None, "always"; "a first success is no news")]
#[test_case(BAD, None, "failed changed always"; "a first failure is")]
#[test_case(GOOD, Some(GOOD), "always"; "still well")]
#[test_case(BAD, Some(GOOD), "failed changed always"; "broken")]
#[test_case(BAD, Some(BAD), "failed always"; "still broken")]
#[test_case(GOOD, Some(BAD), "recovered changed always"; "recovered")]
#[test_case(Outcome::Errored, Some(GOOD), "failed changed always"; "the machine broke")]
#[test_case(Outcome::Errored, Some(BAD), "failed always"; "broken in another way")]
#[test_case(GOOD, Some(Outcome::Errored), "recovered changed always"; "the machine is well again")]
#[test_case(Outcome::Cancelled, Some(GOOD), "always"; "cancelled when well")]
#[test_case(Outcome::Cancelled, Some(BAD), "always"; "cancelled when broken")]
fn an_end_is_these_occasions(outcome: Outcome, previous: Option<Outcome>, expected: &str) {
    let moment = Moment::Ended { outcome, previous };
    assert_eq!(occasions(moment), expected);
}

fn occasions(moment: Moment) -> String {
    let words = Occasion::ALL.into_iter();
    let words = words.filter(|(_, occasion)| moment.is(*occasion));
    words.map(|(word, _)| word).collect::<Vec<_>>().join(" ")
}

#[test]
fn a_start_is_one_occasion() {
    assert_eq!(occasions(Moment::Started), "started");
}

fn id(letter: char) -> BuildId {
    BuildId::parse(&letter.to_string().repeat(16)).unwrap()
}

fn summary(letter: char, created: u64, outcome: Option<Outcome>) -> BuildSummary {
    BuildSummary {
        id: id(letter),
        root: "/src".into(),
        project: "hello".into(),
        target: "build".into(),
        cell: String::new(),
        environment: "local".into(),
        revision: Some("0123".into()),
        version: None,
        created: Timestamp(created * 1_000_000),
        end: outcome.map(|outcome| BuildEnd {
            outcome,
            reason: None,
            duration: Duration::from_secs(1),
            size: 0,
        }),
    }
}

#[test]
fn a_build_is_compared_with_the_last_that_says_something_of_the_same() {
    let of = |target: &str, cell: &str, summary: BuildSummary| BuildSummary {
        target: target.into(),
        cell: cell.into(),
        ..summary
    };
    let builds = [
        summary('b', 1, Some(GOOD)),
        summary('c', 2, Some(BAD)),
        summary('d', 3, Some(Outcome::Cancelled)),
        summary('f', 4, None),
        of("deploy", "", summary('g', 5, Some(GOOD))),
        of("build", "os=mac", summary('h', 5, Some(GOOD))),
        summary('z', 9, Some(GOOD)),
    ];
    let found = previous(&builds, &summary('k', 6, None)).unwrap();
    assert_eq!((found.0.id, found.1), (id('c'), BAD));
    assert_eq!(previous(&builds, &summary('b', 1, None)), None);
}

const PROJECT: &str = r#"
[params]
room = "ops"
[plugins]
near = "./near.wasm"
[steps]
make = "make"
[pipelines]
build = { steps = ["make"] }
deploy = { steps = ["make"] }
[notify.team]
uses = "near"
with.room = { param = "room" }
on = ["failed"]
[notify.releases]
uses = "mail"
on = ["always", "started"]
pipelines = ["deploy"]
"#;

fn planned(target: &str) -> (Project, Plan) {
    let source = Source {
        path: "piper.toml".into(),
        text: PROJECT.to_owned(),
    };
    let project = pipeline::load(Arc::new(source)).project.unwrap();
    let request = Request {
        target: Some(target.to_owned()),
        ..Request::default()
    };
    let plan = resolve(&project, &request, "p").unwrap().remove(0);
    (project, plan)
}

fn facts<'a>(summary: &'a BuildSummary, plan: &'a Plan, events: &'a [v1::Event]) -> Facts<'a> {
    Facts {
        summary,
        attempt: 1,
        plan,
        trace: "00000000000000000000000000000001",
        previous: None,
        events,
        log_tail: None,
    }
}

#[test_case("build", BAD, &["team"]; "a failure")]
#[test_case("build", GOOD, &[]; "a success")]
#[test_case("deploy", BAD, &["team", "releases"]; "a failure of the named pipeline")]
#[test_case("deploy", GOOD, &["releases"]; "a success of the named pipeline")]
#[test_case("make", BAD, &[]; "a step by its name")]
fn the_rules_of_a_pipeline_fire(target: &str, outcome: Outcome, rules: &[&str]) {
    let (project, plan) = planned(target);
    let summary = summary('b', 1, None);
    let moment = Moment::Ended {
        outcome,
        previous: Some(outcome),
    };
    let event = facts(&summary, &plan, &[]).event(moment, Timestamp(0));
    let messages = messages(&project, &plan, moment, &event);
    let fired: Vec<&str> = messages.iter().map(|one| one.rule.as_str()).collect();
    assert_eq!(fired, rules);
    if let Some(team) = messages.iter().find(|one| one.rule.as_str() == "team") {
        let call = project.notify[team.rule].call(&project, &plan);
        assert_eq!(call.with, json!({ "room": "ops" }));
        assert!(call.declared.is_some());
    }
}

fn finished(step: &str, outcome: v1::StepOutcome, reason: Option<&str>) -> v1::Event {
    v1::Event::StepFinished {
        step: step.to_owned(),
        outcome,
        reason: reason.map(str::to_owned),
        exit: None,
        tries: 1,
        flaky: false,
        allowed: false,
        duration_us: 5,
    }
}

#[test]
fn a_snapshot_has_all_that_a_message_needs() {
    let (_, plan) = planned("build");
    let (build, before) = (summary('c', 60, None), summary('b', 1, Some(GOOD)));
    let events = [
        finished("make", v1::StepOutcome::Failed, None),
        v1::Event::BuildFinished {
            outcome: BAD,
            reason: Some("make failed".into()),
            duration_us: 7,
            counts: Counts {
                failed: 1,
                ..Counts::default()
            },
            log_end: 3,
        },
    ];
    let facts = Facts {
        previous: Some((&before, GOOD)),
        log_tail: Some(b"one\ntwo\n"),
        ..facts(&build, &plan, &events)
    };
    let moment = Moment::Ended {
        outcome: BAD,
        previous: Some(GOOD),
    };
    let event = facts.event(moment, Timestamp(61_000_000));
    assert_eq!(event.id, "cccccccccccccccc.1/build.finished");
    assert_eq!((event.subject.as_str(), event.seq), ("cccccccccccccccc", 1));
    assert_eq!(
        serde_json::to_value(&event.body).unwrap(),
        json!({
            "v": 1,
            "type": "build.finished",
            "build": "cccccccccccccccc",
            "attempt": 1,
            "project": "hello",
            "target": "build",
            "environment": "local",
            "revision": "0123",
            "params": { "room": "ops" },
            "trace": "00000000000000000000000000000001",
            "started_at": "1970-01-01T00:01:00.000000Z",
            "end": {
                "outcome": "failed",
                "reason": "make failed",
                "at": "1970-01-01T00:01:01.000000Z",
                "duration_us": 7,
                "counts": { "succeeded": 0, "failed": 1, "allowed": 0, "errored": 0, "skipped": 0, "cancelled": 0, "flaky": 0 },
            },
            "previous": {
                "build": "bbbbbbbbbbbbbbbb",
                "outcome": "succeeded",
                "started_at": "1970-01-01T00:00:01.000000Z",
            },
            "steps": [{ "step": "make", "outcome": "failed", "tries": 1, "duration_us": 5 }],
            "failure": { "step": "make", "log_tail": "one\ntwo\n" },
        })
    );
}

#[test]
fn a_snapshot_of_a_huge_build_keeps_what_failed_and_stays_small() {
    let (_, plan) = planned("build");
    let build = summary('b', 1, None);
    // Control characters are the longest in JSON: six bytes for one.
    let long = "\u{1}".repeat(10_000);
    let step = |place: usize| match place {
        4_999 => finished("culprit", v1::StepOutcome::Failed, Some(&long)),
        place if place % 2 == 0 => finished("a", v1::StepOutcome::Succeeded, None),
        _ => finished(&"s".repeat(200), v1::StepOutcome::Skipped, Some(&long)),
    };
    let events: Vec<v1::Event> = (0..5_000).map(step).collect();
    let log = vec![b'\x01'; 1 << 20];
    let facts = Facts {
        log_tail: Some(&log),
        ..facts(&build, &plan, &events)
    };
    let body = facts.event(Moment::Started, Timestamp(0)).body;
    assert_eq!(body.steps[0].step, "culprit");
    assert_eq!(body.steps.len() + body.steps_left_out, 5_000);
    assert!(serde_json::to_string(&body).unwrap().len() < 256 << 10);
}

#[test]
fn a_snapshot_has_the_annotations_that_fit_and_errors_come_first() {
    let (_, plan) = planned("build");
    let build = summary('b', 1, None);
    let annotation = |level, message: &str| {
        v1::Event::Annotation(Box::new(Annotation {
            step: "lint".to_owned(),
            r#try: 1,
            level,
            message: message.to_owned(),
            title: None,
            file: Some("src/a.rs".to_owned()),
            line: Some(3),
            column: None,
            end_line: None,
        }))
    };
    let long = "\u{1}".repeat(2_000);
    let events = [
        annotation(v1::Level::Notice, &long),
        annotation(v1::Level::Warning, "two"),
        annotation(v1::Level::Error, "one"),
        annotation(v1::Level::Notice, &long),
    ];
    let body = facts(&build, &plan, &events)
        .event(Moment::Started, Timestamp(0))
        .body;
    let told: Vec<&str> = body.annotations.iter().map(|told| &*told.message).collect();
    assert_eq!(told, ["one", "two", &long]);
    assert_eq!(body.annotations_left_out, 1);
    let first = serde_json::to_value(&body.annotations[0]).unwrap();
    let expected = json!({ "step": "lint", "try": 1, "level": "error", "message": "one", "file": "src/a.rs", "line": 3 });
    assert_eq!(first, expected);
}

#[test_case(b"short", "short"; "whole")]
#[test_case(&[b"x".repeat(MOST_TAIL), b"\nlast\n".to_vec()].concat(), "last\n"; "from a line on")]
#[test_case(b"a\xffb", "a\u{fffd}b"; "not UTF-8")]
fn the_end_of_a_log_is_text(log: &[u8], expected: &str) {
    assert_eq!(last_lines(log), expected);
}
